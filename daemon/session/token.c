/* SPDX-License-Identifier: MIT */
/*
 * One token an account, who waits for it, and the question under way; see token.h.
 *
 * Access tokens are in memory alone (RFC 6749, 1.4): a start asks for new ones. A refresh token that the
 * provider replaces (RFC 6749, 6) must be on disk before the access token that came with it is used: the old
 * one may be void from that moment on, so while the disk does not take it the account stands still, with the
 * disk as its cause.
 *
 * However many sessions want one, one question is under way (`exchange`), or one answer waits for the disk
 * (`answered`); everybody else is in `waits`. All on the loop; an account that changes or goes forgets its
 * token, and what the disk answers after that finds no handle.
 */
#include "daemon/session/token.h"

#include "common/names.h"
#include "daemon/accounts/secrets.h"
#include "daemon/journal.h"
#include "daemon/loop.h"
#include "daemon/messages.h"
#include "daemon/session/token_exchange.h"
#include "daemon/tls/jws.h"
#include "daemon/tls/keys.h"

#include <stdio.h>

enum {
        BUCKETS = 256,
        LIFE_USUAL = 3600, /* seconds, where the provider does not say */
        EARLY_MOST = 300,  /* so long before its end a token is no longer used, or a tenth of its life */
};

struct token_wait {
        struct token *token;  /* NULL: over, the answer is on its way */
        struct cause failure; /* of one that could not even be asked for */
        token_came *done;     /* NULL: cancelled */
        void *ctx;
        struct token_wait *next;
};

struct token {
        char *account;
        char *grant;           /* oauthGrant, as it was asked by last */
        char *access;          /* NULL: none */
        int64_t good_until;    /* loop_now() */
        bool proven;           /* a mail server took it */
        char *answered;        /* an access token that waits for its refresh token to be on disk */
        int64_t answered_life; /* seconds */
        handle_id self;        /* for who keeps its refresh token */
        struct token_exchange *exchange;
        struct token_wait *waits;
        struct token *next; /* in its bucket */
};

static struct token *tokens[BUCKETS];

/* Where its pointer is, or where one of that account would be put. */
static struct token **place_of(const char *account)
{
        struct token **place = &tokens[text_hash(account) % BUCKETS];

        while (*place && strcmp((*place)->account, account) != 0)
                place = &(*place)->next;
        return place;
}

static struct token *token_made(const char *account)
{
        struct token **place = place_of(account);

        if (!*place) {
                *place = new_object(struct token);
                (*place)->account = copy_text(account);
                (*place)->self = handle_new(*place);
        }
        return *place;
}

/* Also when the machine slept past its end: the loop's clock counts that time. */
bool token_due(const struct property_values *values)
{
        const struct token *token = *place_of(prop_text(values, PROP_NAME));

        return prop_fetches_tokens(values) && (!token || !token->access || loop_now() >= token->good_until);
}

const char *token_access(const char *account)
{
        const struct token *token = *place_of(account);

        return token ? token->access : NULL;
}

/* ---- what is asked ---- */

/* The assertion of oauthGrant jwtBearer, signed (RFC 7523 section 2.1); NULL with a cause. */
static char *signed_assertion(const struct property_values *values, const struct grant_source *source,
                              struct cause *cause)
{
        EVP_PKEY *key = keys_private(prop_text(values, PROP_CLIENT_CERTIFICATE), cause);
        const char *algorithm = key ? jws_algorithm(key, cause) : NULL;
        uint8_t *signature;
        size_t len;

        if (!algorithm)
                return NULL;
        scoped(scoped_free) char *text = grant_assertion(algorithm, prop_text(values, PROP_OAUTH_CLIENT_ID),
                                                         prop_text(values, PROP_ACCOUNT), source->token_url,
                                                         source->scope, (int64_t)loop_wall());
        if (jws_sign(key, text, &signature, &len, cause) < 0)
                return NULL;
        scoped(scoped_free) char *coded = base64url_encode(signature, len);
        free(signature);
        return text_of("%s.%s", text, coded);
}

/* Without one a person has to act; the remedy is the way of the account's own grant. */
static const char *refresh_token(const struct property_values *values, struct cause *cause)
{
        const char *name = prop_text(values, PROP_NAME);
        scoped(scoped_free) char *kept = secret_source(name, "oauthRefreshToken");

        if (!same_text(kept, "none"))
                return secret_get(name, "oauthRefreshToken", cause);
        cause_set(cause, CAUSE_SECRET, "account %s has no OAuth refresh token", name);
        if (prop_is(values, WORD_DEVICE))
                cause_remedy(cause, "emailsecctl account authorize %s", name);
        else
                cause_remedy(cause, "emailsecctl account password %s --secret oauthRefreshToken", name);
        return NULL;
}

static void exchanged(void *ctx, enum grant_result result, struct grant_answer *answer,
                      const struct cause *why, const char *challenge_id);

/* -1 with a cause when there is nothing to ask with. */
static int ask(struct token *token, const struct property_values *values, bool record, struct cause *cause)
{
        struct grant_source source;
        struct grant_request request;
        char *assertion = NULL;

        free(token->grant);
        token->grant = copy_text(prop_text(values, PROP_OAUTH_GRANT));
        grant_source_of(values, &source);
        int result = token_client(values, &source, &request, cause);
        if (result == 0 && prop_is(values, WORD_JWT_BEARER)) {
                request.assertion = assertion = signed_assertion(values, &source, cause);
                result = assertion ? 0 : -1;
        } else if (result == 0 && !prop_is(values, WORD_CLIENT_CREDENTIALS)) {
                request.refresh_token = refresh_token(values, cause);
                result = request.refresh_token ? 0 : -1;
        }
        if (result == 0)
                token->exchange =
                        token_exchange_begin(values, source.token_url, &request, record, exchanged, token);
        free_secret(assertion);
        grant_source_done(&source);
        return result;
}

/* ---- what comes of it ---- */

/* The list is taken first: a callee may wait for the next token, or cancel another one's wait, which then
 * stays in this list without a callback. */
static void tell(struct token *token, const struct cause *cause, const char *challenge_id)
{
        struct token_wait *waits = take(token->waits);

        for (struct token_wait *wait = waits; wait; wait = wait->next)
                wait->token = NULL;
        while (waits) {
                struct token_wait *wait = waits;
                waits = wait->next;
                if (wait->done)
                        wait->done(wait->ctx, cause, challenge_id);
                free(wait);
        }
}

static void give(struct token *token, char *access, int64_t life)
{
        struct subject subject = { .account = token->account };
        struct cause none = { 0 };
        int64_t seconds = life ? life : LIFE_USUAL;
        int64_t early = seconds / 10 < EARLY_MOST ? seconds / 10 : EARLY_MOST;

        free_secret(token->access);
        token->access = access;
        token->proven = false;
        token->good_until = loop_now() + (seconds - early) * 1000;
        log_debug(&subject, "account %s: an OAuth access token came, good for %lld s", token->account,
                  (long long)seconds);
        tell(token, &none, "");
}

struct keeping {
        handle_id token;
};

/* The refresh token in place of the old one is safe, or could not be kept: then the new one is lost with the
 * next start, and the old one may be void already. */
static void kept(void *ctx, const struct cause *cause)
{
        struct keeping *keeping = ctx;
        struct token *token = handle_object(keeping->token);

        free(keeping);
        if (token && token->answered) {
                if (cause_happened(cause)) {
                        free_secret(take(token->answered));
                        tell(token, cause, "");
                } else {
                        give(token, take(token->answered), token->answered_life);
                }
        }
}

/* What invalid_grant means for each grant: who has to do something. */
static void say_who_must_agree(const struct token *token, struct cause *cause)
{
        if (same_text(token->grant, "refreshToken"))
                cause_remedy(cause, "get a new one and store it: emailsecctl account password NAME --secret "
                                    "oauthRefreshToken");
        else if (same_text(token->grant, "jwtBearer"))
                cause_remedy(cause, "see that the provider knows the key of clientCertificate and lets it "
                                    "act for this user");
}

static void exchanged(void *ctx, enum grant_result result, struct grant_answer *answer,
                      const struct cause *why, const char *challenge_id)
{
        struct token *token = ctx;
        struct cause cause = *why;

        token->exchange = NULL;
        if (result != GRANT_GIVEN) {
                if (same_text(answer->error, "invalid_grant"))
                        say_who_must_agree(token, &cause);
                if (cause.code == CAUSE_NONE) /* pending, slow down: not an answer to this */
                        cause_set(&cause, CAUSE_PROTOCOL,
                                  "the token endpoint answers as if it had been asked for a device");
                cause_of_account(&cause, token->account);
                tell(token, &cause, challenge_id);
                return;
        }
        const char *before = secret_get(token->account, "oauthRefreshToken", &cause);
        if (!answer->refresh_token || !before || same_text(before, answer->refresh_token)) {
                give(token, take(answer->access_token), answer->expires_in);
                return;
        }
        struct keeping *keeping = new_object(struct keeping);
        keeping->token = token->self;
        free_secret(token->answered);
        token->answered = take(answer->access_token);
        token->answered_life = answer->expires_in;
        secret_set(token->account, "oauthRefreshToken", answer->refresh_token, NULL, kept, keeping);
}

/* ---- waiting ---- */

static void fail_later(void *ctx)
{
        struct token_wait *wait = ctx;

        if (wait->done)
                wait->done(wait->ctx, &wait->failure, "");
        free(wait);
}

/* `done` never comes from within: where there is nothing to ask with, on the loop's next turn. */
struct token_wait *token_await(const struct property_values *values, bool record, token_came *done, void *ctx)
{
        struct token *token = token_made(prop_text(values, PROP_NAME));
        struct token_wait *wait = new_object(struct token_wait);

        wait->done = done;
        wait->ctx = ctx;
        if (!token->exchange && !token->answered && ask(token, values, record, &wait->failure) < 0) {
                loop_later(fail_later, wait);
                return wait;
        }
        wait->token = token;
        wait->next = token->waits;
        token->waits = wait;
        return wait;
}

void token_wait_cancel(struct token_wait *wait)
{
        if (!wait)
                return;
        wait->done = NULL;
        if (!wait->token)
                return; /* whoever is about to tell frees it */
        struct token_wait **at = &wait->token->waits;
        while (*at != wait)
                at = &(*at)->next;
        *at = wait->next;
        free(wait);
}

/* ---- taken, refused, forgotten ---- */

void token_proved(const char *account)
{
        struct token *token = *place_of(account);

        if (token)
                token->proven = true;
}

/* Dropped in any case. One that no mail server ever took is refused for another reason than its age, and
 * asking for the next one would go round in a circle. */
bool token_refused(const char *account)
{
        struct token *token = *place_of(account);

        if (!token || !token->access)
                return false;
        free_secret(take(token->access));
        return token->proven;
}

void token_forget(const char *account)
{
        struct token **place = place_of(account), *token = *place;
        struct cause cause = { 0 };

        if (!token)
                return;
        *place = token->next;
        handle_drop(&token->self);
        token_exchange_cancel(take(token->exchange));
        cause_set(&cause, CAUSE_CANCELLED, "the account was changed meanwhile");
        tell(token, &cause, "");
        free_secret(token->access);
        free_secret(token->answered);
        free(token->grant);
        free(token->account);
        free(token);
}

void tokens_close(void)
{
        for (size_t i = 0; i < BUCKETS; i++)
                while (tokens[i])
                        token_forget(tokens[i]->account);
}
