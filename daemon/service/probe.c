/* SPDX-License-Identifier: MIT */
/* Looking at a server step by step without changing anything; see probe.h. */
#include "daemon/service/probe.h"

#include "common/json_fields.h"
#include "common/names.h"
#include "common/times.h"
#include "daemon/accounts/secrets.h"
#include "daemon/imap/session.h"
#include "daemon/incoming/receiver.h"
#include "daemon/loop.h"
#include "daemon/outgoing/sender.h"
#include "daemon/pop3/session.h"
#include "daemon/session/session.h"
#include "daemon/session/signin.h"
#include "daemon/session/token.h"
#include "daemon/settings.h"
#include "daemon/smtp/session.h"
#include "daemon/tls/allowed.h"

#include <stdio.h>

struct probe {
        handle_id self;                /* dropped when it is over: nothing is begun any more */
        struct property_values values; /* what is tried; a copy */
        struct account *account;       /* held, and told how it went; NULL: a server without one */
        unsigned generation;           /* of it */
        struct session *session;
        struct token_wait *token;
        struct signin signin; /* texts owned */
        const struct probe_user *user;
        void *ctx;
        int64_t since; /* loop_now() when the last step that was told had ended */
        bool tls_told, connected;
        struct mailbox_user no_mailbox; /* engines want one; nothing is opened */
};

/* Tells a step that took `ms`. */
static void say_timed(struct probe *probe, const char *name, const char *result, int64_t ms,
                      const struct cause *cause, json_t *details, const char *text)
{
        json_t *step = json_object();

        json_put_text(step, "step", name);
        json_put_text(step, "result", result);
        json_put(step, "milliseconds", json_integer(ms < 0 ? 0 : ms));
        json_put_text(step, "text", text);
        json_put(step, "cause", cause_json(cause));
        json_put(step, "details", details ? details : json_null());
        if (probe->user)
                probe->user->step(probe->ctx, step);
        json_decref(step);
}

/* Tells a step that has lasted since the one before it. */
static void say(struct probe *probe, const char *name, const char *result, const struct cause *cause,
                json_t *details, const char *text)
{
        int64_t ms = loop_now() - probe->since;

        probe->since += ms;
        say_timed(probe, name, result, ms, cause, details, text);
}

/* On the loop's next turn: callbacks of the session may still stand on the stack. */
static void free_probe(void *ctx)
{
        struct probe *probe = ctx;

        properties_done(&probe->values);
        signin_done(&probe->signin);
        if (probe->account)
                account_release(probe->account);
        free(probe);
}

/* What was found counts for the account as if it had found it itself, where it is still as it was then. */
static void count_for_account(const struct probe *probe, const struct cause *why, const char *challenge_id)
{
        static const struct cause none;
        struct account *account = probe->account;

        if (!account || account->deleted || account->unreadable || account->generation != probe->generation)
                return;
        if (account->sender)
                sender_tested(account->sender, why ? why : &none, challenge_id);
        else if (account->receiver)
                receiver_tested(account->receiver, why ? why : &none);
}

/* In callbacks of the session and of the token, and on the loop's own turn: never from inside what is told to
 * the user. */
static void finish(struct probe *probe, bool good)
{
        if (!probe->self)
                return;
        handle_drop(&probe->self);
        token_wait_cancel(take(probe->token));
        if (probe->session)
                session_close(take(probe->session));
        if (probe->user)
                probe->user->done(probe->ctx, good);
        loop_later(free_probe, probe);
}

static void end_cancelled(void *object)
{
        finish(object, false);
}

/* It may be telling something at this moment. */
void probe_cancel(struct probe *probe)
{
        probe->user = NULL;
        loop_later_to(probe->self, end_cancelled);
}

/* ---- certificate ---- */

static json_t *certificate_details(const struct probe *probe, const struct verdict *verdict)
{
        const struct tls_evidence *evidence = session_evidence(probe->session);
        json_t *details = json_object(), *chain = json_array(), *errors = json_array();

        for (size_t i = 0; evidence && i < evidence->chain_count; i++)
                (void)json_array_append_new(chain, certificate_json(&evidence->chain[i]));
        for (size_t i = 0; evidence && i < evidence->error_count; i++) {
                json_t *error = json_object();
                json_put_text(error, "code", tls_problem_name(evidence->errors[i].problem));
                json_put(error, "depth", json_integer(evidence->errors[i].depth));
                json_put_text(error, "text", evidence->errors[i].text);
                json_put_text(error, "remedy", evidence->errors[i].remedy);
                (void)json_array_append_new(errors, error);
        }
        json_put(details, "chain", chain);
        json_put(details, "errors", errors);
        json_put_text(details, "verifiedBy", verdict_verified_by(verdict->kind));
        return details;
}

/* Of a good verdict. */
static char *certificate_words(const struct probe *probe, const struct verdict *verdict,
                               const struct channel_info *info)
{
        char until[32];
        const struct tls_evidence *evidence = session_evidence(probe->session);
        const char *subject = evidence && evidence->chain_count ? evidence->chain[0].subject : "?";

        time_rfc3339(info->not_after, until);
        return text_of("%s, valid until %s, %s", subject, until,
                       verdict->kind == VERDICT_ALLOWED ? "encrypted, identity by exemption"
                       : verdict->kind == VERDICT_USER  ? "verified by the User Trust Store"
                                                        : "verified by the System Trust Store");
}

/* A probe records no challenge that somebody could approve: an account has to meet the certificate first. */
static void name_the_way(const struct probe *probe, struct cause *cause)
{
        const char *name = prop_text(&probe->values, PROP_NAME);
        scoped(scoped_free) char *better = copy_text(cause_remedy_of(cause));
        scoped(scoped_free) char *poll = name[0] ? text_of("emailsecctl account poll %s, then", name)
                                                 : copy_text("once an account has met it");
        cause_remedy(cause, "%s; or compare and accept: %s emailsecctl challenge list", better, poll);
}

/* The cause of a bad verdict; a challenge that an account has raised there already is named, else how it is
 * raised: a look records none. */
static struct cause cause_of(const struct probe *probe, const struct verdict *verdict)
{
        struct verdict copy = *verdict;
        scoped(scoped_free) char *place =
                text_of("%s:%u", prop_text(&probe->values, PROP_HOSTNAME), port_in_use(&probe->values));
        const struct tls_evidence *evidence = session_evidence(probe->session);
        json_t *entry = evidence && verdict->kind == VERDICT_CHALLENGE ? allowed_get(place, NULL) : NULL;

        if (entry && same_text(json_string_value(json_object_get(entry, "state")), "pending"))
                verdict_remedy(&copy, evidence, json_string_value(json_object_get(entry, "id")));
        else if (verdict->kind == VERDICT_CHALLENGE)
                name_the_way(probe, &copy.cause);
        json_decref(entry);
        return copy.cause;
}

/* TLS and certificate are two steps: a channel may be fine and its peer unknown. */
static void tell_tls(struct probe *probe, const struct verdict *verdict)
{
        struct channel_info info = { .version = "", .cipher = "", .group = "", .staple = "" };
        bool good = verdict_is_good(verdict);
        json_t *details = json_object();

        (void)session_tls_info(probe->session, &info);
        probe->tls_told = true;
        json_put_text(details, "version", info.version);
        json_put_text(details, "cipher", info.cipher);
        json_put_text(details, "group", info.group);
        json_put_text(details, "staple", info.staple);
        json_put(details, "resumed", json_boolean(info.resumed));
        scoped(scoped_free) char *words = text_of("%s %s%s%s, OCSP answer: %s", info.version, info.cipher,
                                                  info.group[0] ? ", " : "", info.group, info.staple);
        say(probe, "tls", "ok", NULL, details, words);
        scoped(scoped_free) char *named =
                good ? certificate_words(probe, verdict, &info) : copy_text(verdict->cause.text);
        struct cause cause = cause_of(probe, verdict);
        say(probe, "certificate",
            !good                              ? "failed"
            : verdict->kind == VERDICT_ALLOWED ? "warning"
                                               : "ok",
            good ? NULL : &cause, certificate_details(probe, verdict), named);
}

static void reached(void *ctx, enum session_mark mark, const struct verdict *verdict)
{
        struct probe *probe = ctx;
        struct connection_times times = session_times(probe->session);

        if (probe->account && probe->account->generation == probe->generation)
                session_tell_account(probe->session, mark, probe->account);
        if (mark == SESSION_CONNECTED) {
                const char *address = session_address(probe->session),
                           *before = session_before(probe->session);
                if (!probe->connected)
                        say_timed(probe, "resolve", "ok", times.lookup, NULL, NULL, address);
                probe->connected = true;
                scoped(scoped_free) char *words =
                        text_of("%s port %u%s%s", address, port_in_use(&probe->values), before ? "; " : "",
                                before ? before : "");
                say_timed(probe, "connect", "ok", times.connect, NULL, NULL, words);
                probe->since = loop_now();
        } else if (mark == SESSION_SECURED) {
                tell_tls(probe, verdict);
        }
}

/* ---- signed in ---- */

static const char *capabilities_of(const struct probe *probe, const struct engine *engine)
{
        if (prop_is(&probe->values, WORD_IMAP))
                return imap_session_capabilities(engine);
        if (prop_is(&probe->values, WORD_POP3))
                return pop3_session_capabilities(engine);
        return smtp_session_capabilities(engine)->text;
}

/* Signed in, and nothing more is done: no mailbox is opened, no message sent. Capabilities in which a
 * server repeats a secret are not shown. */
static void ready(void *ctx)
{
        struct probe *probe = ctx;
        bool tls = prop_bool(&probe->values, PROP_USE_SSL) || prop_bool(&probe->values, PROP_USE_STARTTLS);

        if (!tls) {
                say(probe, "tls", "warning", NULL, NULL, "none: everything goes in clear");
                say(probe, "certificate", "skipped", NULL, NULL, "no TLS");
        }
        if (signin_wanted(&probe->signin)) {
                scoped(scoped_free) char *words = text_of("signed in as %s", probe->signin.user);
                say(probe, "login", "ok", NULL, NULL, words);
        } else {
                say(probe, "login", "skipped", NULL, NULL, "no user name is set");
        }
        const struct engine *engine = session_engine(probe->session);
        const char *offers = capabilities_of(probe, engine);
        bool hidden = offers && engine->hides && engine->hides(engine, offers, strlen(offers));
        say(probe, "capabilities", "ok", NULL, NULL, hidden ? "***" : offers);
        count_for_account(probe, NULL, "");
        finish(probe, true);
}

/* The step that a failure belongs to; where that is connecting, the name had been found. */
static const char *failed_step(struct probe *probe, const struct cause *cause)
{
        int64_t lookup = session_times(probe->session).lookup;

        if (cause->code == CAUSE_RESOLVE || (!probe->connected && lookup < 0))
                return "resolve";
        if (!probe->connected) {
                say_timed(probe, "resolve", "ok", lookup, NULL, NULL, "an address is known");
                probe->since += lookup;
                return "connect";
        }
        bool tls = prop_bool(&probe->values, PROP_USE_SSL) || prop_bool(&probe->values, PROP_USE_STARTTLS);
        return tls && !probe->tls_told ? "tls" : "login";
}

static void ended(void *ctx, const struct cause *why, const char *challenge_id)
{
        struct probe *probe = ctx;
        struct cause cause = *why;
        bool certificate = cause.code == CAUSE_CHALLENGE || cause.code == CAUSE_CERTIFICATE ||
                           cause.code == CAUSE_REJECTED || cause.code == CAUSE_TRUST_STORE;

        if (cause.code == CAUSE_NONE)
                cause_set(&cause, CAUSE_CLOSED, "the server closed the connection");
        count_for_account(probe, &cause, challenge_id);
        if (!(certificate && probe->tls_told)) { /* that step has been told already */
                cause_of_account(&cause, prop_text(&probe->values, PROP_NAME));
                say(probe, failed_step(probe, &cause), "failed", &cause, NULL, cause.text);
        }
        finish(probe, false);
}

static struct engine *new_engine(void *ctx)
{
        struct probe *probe = ctx;
        bool starttls = prop_bool(&probe->values, PROP_USE_STARTTLS);

        if (prop_is(&probe->values, WORD_IMAP)) {
                struct imap_config config = { probe->signin, starttls, &probe->no_mailbox, probe };
                return imap_session_new(&config);
        }
        if (prop_is(&probe->values, WORD_POP3)) {
                struct pop3_config config = { probe->signin, starttls, &probe->no_mailbox, probe };
                return pop3_session_new(&config);
        }
        struct smtp_config config = { .signin = probe->signin,
                                      .starttls = starttls,
                                      .hello = settings_hello(settings_current()) };
        return smtp_session_new(&config);
}

static const struct session_user session_user = {
        .again = new_engine, .reached = reached, .ready = ready, .ended = ended
};

static void start(void *ctx);

/* The token is kept now: start() finds that none is due and goes on. */
static void token_is_there(void *ctx, const struct cause *cause, const char *challenge_id)
{
        struct probe *probe = ctx;

        probe->token = NULL;
        if (cause->code)
                count_for_account(probe, cause, challenge_id);
        say(probe, "token", cause->code ? "failed" : "ok", cause->code ? cause : NULL, NULL,
            cause->code ? cause->text : "an OAuth access token came");
        if (cause->code)
                finish(probe, false);
        else
                start(probe);
}

static void start(void *ctx)
{
        struct probe *probe = ctx;
        struct cause cause = { 0 };
        struct session_plan plan;

        probe->since = loop_now();
        if (token_due(&probe->values)) {
                probe->token = token_await(&probe->values, probe->account != NULL, token_is_there, probe);
                return;
        }
        if (signin_of(&probe->values, &probe->signin, &cause) < 0) {
                count_for_account(probe, &cause, "");
                cause_of_account(&cause, prop_text(&probe->values, PROP_NAME));
                say(probe, "login", "failed", &cause, NULL, cause.text);
                finish(probe, false);
                return;
        }
        session_plan_of(&probe->values, &plan);
        plan.record = probe->account != NULL;
        probe->session = session_open(&plan, new_engine(probe), &session_user, probe);
}

static struct probe *probe_new(const struct probe_user *user, void *ctx)
{
        struct probe *probe = new_object(struct probe);

        probe->user = user;
        probe->ctx = ctx;
        probe->self = handle_new(probe);
        loop_later_to(probe->self, start); /* never calls back before it returns */
        return probe;
}

/* The properties are those of this moment; what is found counts for the account only while its generation
 * is the same. */
struct probe *probe_account(struct account *account, const struct probe_user *user, void *ctx)
{
        struct probe *probe = probe_new(user, ctx);

        properties_copy(&probe->values, &account->values);
        probe->account = account_hold(account);
        probe->generation = account->generation;
        return probe;
}

/* Without a user name, so that nothing signs in and no secret is needed. */
struct probe *probe_server(const char *host, uint16_t port, const char *transport, const char *security,
                           const struct probe_user *user, void *ctx)
{
        struct probe *probe = probe_new(user, ctx);
        bool mail_in = strcmp(transport, "smtp") != 0;

        properties_defaults(&probe->values, mail_in ? KIND_INCOMING : KIND_OUTGOING);
        prop_put_text(&probe->values, PROP_HOSTNAME, host);
        prop_put_text(&probe->values, PROP_TRANSPORT, transport);
        probe->values.of[PROP_USE_SSL].number = strcmp(security, "ssl") == 0;
        probe->values.of[PROP_USE_STARTTLS].number = strcmp(security, "starttls") == 0;
        probe->values.of[PROP_PORT].number = port;
        return probe;
}
