/* SPDX-License-Identifier: MIT */
/* Signing in to POP3; see signin.h. Which way is decided by sasl/, with the TLS rule (security rule 20). */
#include "daemon/pop3/signin.h"

enum { AUTH_LINE = 255 }; /* RFC 5034 section 4: a longer command goes without its initial response */

/* USER and PASS: offered, or the server is too old to say what it offers. */
static bool has_user(const struct pop3_session *session)
{
        return session->capabilities.user || !session->capabilities.known ||
               !session->capabilities.mechanisms;
}

/* RFC 1939, 7: a timestamp in the form of a msg-id stands in the greeting of a server that takes APOP. */
bool pop3_offers_apop(const char *greeting)
{
        const char *begin = strchr(greeting, '<');
        const char *at = begin ? strchr(begin, '@') : NULL;

        return at && strchr(at, '>');
}

/* Of a server that has a way to sign in that we do not, and no other. */
static void explain_apop(const struct pop3_session *session, struct cause *cause)
{
        if (!session->apop || (session->capabilities.mechanisms && session->capabilities.mechanisms[0]))
                return;
        scoped(scoped_free) char *before = copy_text(cause->text);
        cause_set(cause, CAUSE_NO_MECHANISM,
                  "the server seems to take APOP only, which is not supported: it rests on MD5, by which the "
                  "password can be "
                  "found (%s)",
                  before);
        cause_remedy(cause,
                     "have the server's operator offer USER and PASS or SASL within TLS, or use IMAP there");
}

/* Borrowed from the session: valid until CAPA is heard again. */
static const char *offered(const struct pop3_session *session)
{
        return session->capabilities.mechanisms ? session->capabilities.mechanisms : "";
}

static char *offered_mechanisms(const struct engine *engine)
{
        return copy_text(offered(container_of(engine, struct pop3_session, engine)));
}

/* The step of the best way that is left; STEP_FAILED with a cause when there is none. */
static int next_way(struct engine *engine, struct cause *cause)
{
        struct pop3_session *session = pop3_session_of(engine);
        const struct signin *signin = &session->config.signin;
        const struct sasl_ways *ways = &session->signing.ways;
        struct cause login_cause = { 0 };

        session->signing.mechanism = sasl_choose(signin, &engine->channel, offered(session), ways, cause);
        if (session->signing.mechanism)
                return POP3_AUTH;
        if (cause->code != CAUSE_NO_MECHANISM || !has_user(session))
                return STEP_FAILED;
        if (sasl_may_login_plainly(signin, &engine->channel, ways, &login_cause) == 0)
                return POP3_USER;
        if (login_cause.code != CAUSE_NO_MECHANISM)
                *cause = login_cause;
        return STEP_FAILED;
}

/* In a trace *** stands for it. */
static void say_secret(struct engine *engine, const char *line)
{
        pop3_say_more_secret(pop3_session_of(engine), line);
}

static int calculated(struct engine *engine, const struct calculation *calculation)
{
        return line_signin_calculated(&pop3_session_of(engine)->signing, calculation);
}

static const struct line_signin_class signin_class = {
        .next_way = next_way,
        .offered = offered_mechanisms,
        .say = say_secret,
        .calculated = calculated,
};

void pop3_signin_init(struct pop3_session *session)
{
        session->signing = (struct line_signin){
                .class = &signin_class,
                .engine = &session->engine,
                .signin = &session->config.signin,
        };
}

int pop3_sign_in(struct pop3_session *session)
{
        return line_signin_begin(&session->signing);
}

/* From here on the session is in the TRANSACTION state (RFC 1939, 5). Secrets of the exchange are wiped. */
static int signed_in(struct pop3_session *session)
{
        const char *mechanism = session->signing.mechanism;

        engine_signed_in(&session->engine, mechanism ? mechanism : "LOGIN",
                         sasl_broken(&session->signing.ways, &session->config.signin, offered(session)));
        session->signed_in = true;
        line_signin_clear(&session->signing);
        return STEP_READY;
}

/* ---- AUTH ---- */

void pop3_say_auth(struct engine *engine)
{
        struct pop3_session *session = pop3_session_of(engine);
        struct line_signin *signing = &session->signing;
        char *first;

        if (!line_signin_start(signing, &first))
                return;
        /* A response that is too long for the line, or was rejected in it before, waits for the server's
         * empty challenge. */
        if (first && !signing->ways.without_first &&
            strlen("AUTH  \r\n") + strlen(signing->mechanism) + strlen(first) <= AUTH_LINE) {
                scoped(scoped_free) char *traced = text_of("AUTH %s ***", signing->mechanism);
                scoped(scoped_free_secret) char *line = text_of("AUTH %s %s", signing->mechanism, first);
                signing->last_said = first;
                signing->first_sent = true;
                pop3_say_secret(session, traced, line);
        } else {
                signing->first_response = first;
                pop3_say(session, "AUTH %s", signing->mechanism);
        }
}

/* Another way may be left: what the words are about decides whether it is tried or the password is wrong. */
static int refused(struct pop3_session *session, const struct pop3_reply *said)
{
        struct cause cause;
        enum server_kind kind = pop3_explain(session, said, CAUSE_AUTHENTICATION, "the sign-in", &cause);

        return line_signin_refused(&session->signing, kind, &cause);
}

int pop3_auth_heard(struct engine *engine, const void *reply)
{
        struct pop3_session *session = pop3_session_of(engine);
        const struct pop3_reply *said = reply;
        struct cause cause = { 0 };

        if (session->signing.after_cancel) /* a success would be one that nobody proved */
                return said->status == POP3_ERR ? line_signin_cancelled(&session->signing)
                                                : pop3_refused(session, said, CAUSE_PROTOCOL,
                                                               "to end a sign-in that was given up");
        if (said->status == POP3_CONTINUE)
                return line_signin_challenge(&session->signing, said->words, strlen(said->words));
        if (said->status == POP3_ERR)
                return refused(session, said);
        if (said->status != POP3_OK)
                return pop3_refused(session, said, CAUSE_AUTHENTICATION, "the sign-in");
        if (sasl_finish(session->signing.sasl, NULL, &cause) != 0)
                return engine_fail_with(&session->engine, &cause);
        return signed_in(session);
}

/* ---- USER, PASS ---- */

void pop3_say_user(struct engine *engine)
{
        struct pop3_session *session = pop3_session_of(engine);

        pop3_say(session, "USER %s", session->config.signin.user);
}

/* A server may refuse USER for an unknown name, or because it takes no USER at all; both are told as a
 * failed sign-in. */
int pop3_user_heard(struct engine *engine, const void *reply)
{
        struct pop3_session *session = pop3_session_of(engine);
        const struct pop3_reply *said = reply;
        struct cause cause;

        if (said->status == POP3_OK)
                return POP3_PASS;
        enum server_kind kind = pop3_explain(session, said, CAUSE_AUTHENTICATION, "the sign-in", &cause);
        if (kind == SAID_NOTHING_KNOWN || kind == SAID_MECHANISM)
                explain_apop(session, &cause);
        return engine_fail_with(engine, &cause);
}

void pop3_say_pass(struct engine *engine)
{
        struct pop3_session *session = pop3_session_of(engine);
        scoped(scoped_free_secret) char *line = text_of("PASS %s", session->config.signin.secret);

        pop3_say_secret(session, "PASS ***", line);
}

int pop3_pass_heard(struct engine *engine, const void *reply)
{
        struct pop3_session *session = pop3_session_of(engine);
        const struct pop3_reply *said = reply;

        if (said->status != POP3_OK)
                return pop3_refused(session, said, CAUSE_AUTHENTICATION, "the sign-in");
        return signed_in(session);
}
