/* SPDX-License-Identifier: MIT */
/* Asking for a code, then asking again and again whether somebody agreed; see authorize.h. */
#include "daemon/service/authorize.h"

#include "common/json_fields.h"
#include "daemon/accounts/accounts.h"
#include "daemon/accounts/secrets.h"
#include "daemon/journal.h"
#include "daemon/loop.h"
#include "daemon/messages.h"
#include "daemon/session/token.h"
#include "daemon/session/token_exchange.h"

enum {
        INTERVAL_USUAL = 5, /* seconds; RFC 8628 section 3.5, and what is added to slow down */
        INTERVAL_MOST = 300,
        LIFE_USUAL = 900, /* of the code, where the provider does not say */
};

struct authorize {
        struct property_values values; /* a copy */
        struct grant_source source;
        struct token_exchange *exchange;
        struct timer *again;
        char *device_code;
        int64_t interval, until; /* seconds; loop_now() */
        bool storing;            /* the end is on its way to the disk */
        struct actor actor;
        const struct authorize_user *user; /* NULL: cancelled */
        void *ctx;
};

/* By way of the loop where a timer or an exchange of its own is on the stack. */
static void authorize_free(void *ctx)
{
        struct authorize *authorize = ctx;

        token_exchange_cancel(authorize->exchange);
        timer_free(authorize->again);
        free_secret(authorize->device_code);
        grant_source_done(&authorize->source);
        properties_done(&authorize->values);
        free(authorize);
}

static json_t *step_of(const char *name, const char *result, const struct cause *cause, const char *text)
{
        json_t *step = json_object();

        json_put_text(step, "step", name);
        json_put_text(step, "result", result);
        json_put(step, "milliseconds", json_integer(0));
        json_put_text(step, "text", text);
        json_put(step, "cause", cause_json(cause));
        json_put(step, "details", json_null());
        return step;
}

/* The last step; with a cause it failed. */
static void finish(struct authorize *authorize, const struct cause *cause)
{
        struct cause why = *cause;

        if (authorize->user) {
                cause_of_account(&why, prop_text(&authorize->values, PROP_NAME));
                json_t *step =
                        step_of(authorize->device_code ? "agreed" : "code", why.code ? "failed" : "ok",
                                why.code ? &why : NULL,
                                why.code ? why.text : "the account may sign in; its refresh token is stored");
                authorize->user->done(authorize->ctx, step);
                json_decref(step);
        }
        authorize->user = NULL;
        loop_later(authorize_free, authorize);
}

/* ---- agreed ---- */

/* After the token is on disk. It is recorded also when the caller has gone meanwhile: the account has
 * changed all the same, or has been deleted, which account_named() tells. */
static void stored(void *ctx, const struct cause *cause)
{
        struct authorize *authorize = ctx;
        struct account *account = account_named(prop_text(&authorize->values, PROP_NAME));
        struct subject subject = { .account = prop_text(&authorize->values, PROP_NAME) };
        struct cause none = { 0 };

        if (!cause_happened(cause)) {
                scoped(scoped_free) char *object = text_of("account %s", subject.account);
                log_about(&subject, LOG_INFO, MSG_ACCOUNT_CHANGED,
                          "account %s was authorized at its OAuth provider", subject.account);
                audit_trail_record(&authorize->actor, &(struct trail){ .action = TRAIL_ACCOUNT_AUTHORIZED,
                                                                       .about = subject,
                                                                       .object = object });
                if (account && !account->unreadable)
                        account_tell_changed(account);
        }
        finish(authorize, cause_happened(cause) ? cause : &none);
}

static void ask_whether(void *ctx);

/* RFC 8628, 3.5: pending goes on, slow_down adds five seconds for good, anything else ends it. The interval
 * never exceeds INTERVAL_MOST by more than one step. */
static void asked_whether(void *ctx, enum grant_result result, struct grant_answer *answer,
                          const struct cause *why, const char *challenge_id)
{
        struct authorize *authorize = ctx;
        struct cause cause = *why;

        (void)challenge_id;
        authorize->exchange = NULL;
        if (result == GRANT_SLOW_DOWN && authorize->interval < INTERVAL_MOST)
                authorize->interval += INTERVAL_USUAL;
        /* section 3.5: a connection that fails is tried again, less often */
        bool later = result == GRANT_REFUSED && cause_class(&cause) == CLASS_DOWN;
        if (later && authorize->interval < INTERVAL_MOST)
                authorize->interval *= 2;
        if (result == GRANT_PENDING || result == GRANT_SLOW_DOWN ||
            (later && loop_now() < authorize->until)) {
                timer_set(authorize->again, authorize->interval * 1000);
        } else if (result == GRANT_GIVEN && !answer->refresh_token) {
                cause_set(&cause, CAUSE_AUTHENTICATION,
                          "the provider gave no refresh token: the station could sign in once only");
                cause_remedy(&cause,
                             "let oauthScope ask for it (microsoft: offline_access), and authorize again");
                finish(authorize, &cause);
        } else if (result == GRANT_GIVEN) {
                authorize->storing = true;
                secret_set(prop_text(&authorize->values, PROP_NAME), "oauthRefreshToken",
                           answer->refresh_token, NULL, stored, authorize);
        } else {
                finish(authorize, &cause);
        }
}

/* The client secret is read anew each time: it may have been replaced while a person looked for a browser. */
static void ask_whether(void *ctx)
{
        struct authorize *authorize = ctx;
        struct grant_request request;
        struct cause cause = { 0 };

        if (loop_now() >= authorize->until) {
                cause_set(&cause, CAUSE_TIMEOUT, "nobody agreed in time");
                cause_remedy(&cause, "emailsecctl account authorize NAME");
                finish(authorize, &cause);
                return;
        }
        if (token_client(&authorize->values, &authorize->source, &request, &cause) < 0) {
                finish(authorize, &cause);
                return;
        }
        request.device_code = authorize->device_code;
        authorize->exchange = token_exchange_begin(&authorize->values, authorize->source.token_url, &request,
                                                   true, asked_whether, authorize);
}

/* ---- the code ---- */

/* The user code is for the person's eyes and goes to the caller alone, never into the journal. */
static void tell_code(struct authorize *authorize, const struct grant_answer *answer)
{
        scoped(scoped_free) char *words = text_of(
                "open %s in a browser and type in %s (within %lld minutes)%s%s", answer->verification_uri,
                answer->user_code, (long long)((authorize->until - loop_now()) / 60000),
                answer->verification_uri_complete ? "; or open " : "",
                answer->verification_uri_complete ? answer->verification_uri_complete : "");
        json_t *step = step_of("code", "ok", NULL, words), *details = json_object();

        json_put_text(details, "verificationUri", answer->verification_uri);
        json_put_text(details, "verificationUriComplete", answer->verification_uri_complete);
        json_put_text(details, "userCode", answer->user_code);
        json_put(details, "expiresIn", json_integer((authorize->until - loop_now()) / 1000));
        json_put(step, "details", details);
        authorize->user->step(authorize->ctx, step);
        json_decref(step);
}

/* The interval is bounded: the provider decides how often it is asked, within reason. */
static void code_came(void *ctx, enum grant_result result, struct grant_answer *answer,
                      const struct cause *why, const char *challenge_id)
{
        struct authorize *authorize = ctx;

        (void)challenge_id;
        authorize->exchange = NULL;
        if (result != GRANT_GIVEN) {
                finish(authorize, why);
                return;
        }
        authorize->device_code = take(answer->device_code);
        authorize->interval = answer->interval ? answer->interval : INTERVAL_USUAL;
        if (authorize->interval > INTERVAL_MOST)
                authorize->interval = INTERVAL_MOST;
        authorize->until = loop_now() + (answer->expires_in ? answer->expires_in : LIFE_USUAL) * 1000;
        timer_set(authorize->again, authorize->interval * 1000);
        tell_code(authorize, answer);
}

/* Works on a copy of the properties: a change of the account meanwhile does not mix two providers. Nothing
 * is stored before somebody has agreed. */
int authorize_begin(const struct account *account, const struct actor *actor,
                    const struct authorize_user *user, void *ctx, struct authorize **out, struct cause *cause)
{
        struct grant_request request;

        if (!prop_fetches_tokens(&account->values) || !prop_is(&account->values, WORD_DEVICE)) {
                cause_about(cause, CAUSE_STATE, "name",
                            "account %s does not sign in by OAuth with oauthGrant device", account->name);
                cause_remedy(cause,
                             "emailsecctl account set %s authentication=xoauth2 oauthGrant=device "
                             "oauthProvider=... "
                             "oauthClientId=...",
                             account->name);
                return -1;
        }
        struct authorize *authorize = new_object(struct authorize);
        authorize->actor = *actor;
        authorize->user = user;
        authorize->ctx = ctx;
        authorize->again = timer_new(ask_whether, authorize);
        properties_copy(&authorize->values, &account->values);
        grant_source_of(&authorize->values, &authorize->source);
        if (token_client(&authorize->values, &authorize->source, &request, cause) < 0) {
                authorize_free(authorize);
                return -1;
        }
        request.ask_device = true;
        authorize->exchange = token_exchange_begin(&authorize->values, authorize->source.device_url, &request,
                                                   true, code_came, authorize);
        *out = authorize;
        return 0;
}

/* A token on its way to the disk cannot be called back: stored() frees then, and tells nobody. */
void authorize_cancel(struct authorize *authorize)
{
        authorize->user = NULL;
        if (!authorize->storing)
                authorize_free(authorize);
}
