/* SPDX-License-Identifier: MIT */
/* Signing in to POP3; see signin.h. Which way is decided by sasl/, with the TLS rule (security rule 20). */
#include "daemon/pop3/signin.h"

#include "daemon/sasl/ways.h"

enum { AUTH_LINE = 255 }; /* RFC 5034 section 4: a longer command goes without its initial response */

void pop3_signin_clear(struct pop3_session *session)
{
        sasl_free(take(session->sasl));
        free_secret(take(session->first_response));
        free_secret(take(session->last_said));
        session->mechanism = NULL;
        session->first_sent = false;
        session->rounds = 0;
}

/* USER and PASS: offered, or the server is too old to say what it offers. */
static bool has_user(const struct pop3_session *session)
{
        return session->capabilities.user || !session->capabilities.known ||
               !session->capabilities.mechanisms;
}

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
                  "the server seems to take APOP only, which is not supported: it rests on MD5, by which the password can be "
                  "found (%s)", before);
        cause_remedy(cause, "have the server's operator offer USER and PASS or SASL within TLS, or use IMAP there");
}

/* The step of the best way that is left; STEP_FAILED with a cause when there is none. */
static int next_way(struct pop3_session *session, struct cause *cause)
{
        const struct signin *signin = &session->config.signin;
        const char *offered = session->capabilities.mechanisms ? session->capabilities.mechanisms : "";
        struct cause login_cause = { 0 };

        session->mechanism = sasl_choose(signin, &session->chat.channel, offered, &session->ways, cause);
        if (session->mechanism)
                return POP3_AUTH;
        if (cause->code != CAUSE_NO_MECHANISM || !has_user(session))
                return STEP_FAILED;
        if (sasl_may_login_plainly(signin, &session->chat.channel, &session->ways, &login_cause) == 0)
                return POP3_USER;
        if (login_cause.code != CAUSE_NO_MECHANISM)
                *cause = login_cause;
        return STEP_FAILED;
}

int pop3_sign_in(struct pop3_session *session)
{
        struct cause cause = { 0 };
        int step = next_way(session, &cause);

        return step != STEP_FAILED ? step : chat_fail_with(&session->chat, &cause);
}

/* The next way where there is one, else the cause. `cancel`: the exchange is open yet, and is ended first. */
static int go_on(struct pop3_session *session, bool again, bool cancel, struct cause *cause)
{
        const char *offered = session->capabilities.mechanisms ? session->capabilities.mechanisms : "";
        const char *refused = session->mechanism;
        struct cause unused = { 0 };

        if (again) {
                pop3_signin_clear(session);
                int step = next_way(session, &unused);
                if (step != STEP_FAILED) {
                        chat_refused(&session->chat, cause);
                        if (!cancel)
                                return step;
                        session->after_cancel = step;
                        pop3_say_more_secret(session, "*");
                        return STEP_SAME;
                }
        }
        scoped(scoped_free) char *others = sasl_other_words(&session->chat.channel, offered, refused ? refused : "");
        signin_remedy(&session->config.signin, refused, others, cause);
        return chat_fail_with(&session->chat, cause);
}

static int signed_in(struct pop3_session *session)
{
        chat_signed_in(&session->chat, session->mechanism ? session->mechanism : "LOGIN",
                       sasl_broken(&session->ways, &session->config.signin,
                                   session->capabilities.mechanisms ? session->capabilities.mechanisms : ""));
        session->signed_in = true;
        pop3_signin_clear(session);
        return STEP_READY;
}

/* ---- AUTH ---- */

void pop3_say_auth(struct chat *chat)
{
        struct pop3_session *session = pop3_session_of(chat);
        struct cause cause = { 0 };

        session->sasl = sasl_new(&session->config.signin, &chat->channel, session->mechanism, &cause);
        char *first = session->sasl ? sasl_first(session->sasl, &cause) : NULL;
        if (cause.code != CAUSE_NONE) {
                free_secret(first);
                (void)chat_fail_with(&session->chat, &cause);
        } else if (first && !session->ways.without_first &&
                   strlen("AUTH  \r\n") + strlen(session->mechanism) + strlen(first) <= AUTH_LINE) {
                scoped(scoped_free) char *traced = text_of("AUTH %s ***", session->mechanism);
                scoped(scoped_free_secret) char *line = text_of("AUTH %s %s", session->mechanism, first);
                session->last_said = first;
                session->first_sent = true;
                pop3_say_secret(session, traced, line);
        } else {
                session->first_response = first;
                pop3_say(session, "AUTH %s", session->mechanism);
        }
}

/* Says an answer to a challenge and keeps it, to know it again in what the server says. */
static int answer(struct pop3_session *session, char *secret)
{
        free_secret(session->last_said);
        session->last_said = secret;
        pop3_say_more_secret(session, secret);
        return STEP_SAME;
}

/* On our side. */
static int failed(struct pop3_session *session, struct cause *cause)
{
        return go_on(session, sasl_failed(&session->ways, &session->config.signin, session->sasl, cause), true, cause);
}

static int calculated(struct chat *chat, const struct calculation *calculation)
{
        struct pop3_session *session = pop3_session_of(chat);
        struct cause cause = { 0 };
        char *response = sasl_calculated(session->sasl, calculation, &cause);

        return response ? answer(session, response) : failed(session, &cause);
}

static int challenge_heard(struct pop3_session *session, const char *challenge)
{
        struct cause cause = { 0 };

        if (++session->rounds > LIMIT_SASL_ROUNDS || strlen(challenge) > LIMIT_SASL_MESSAGE)
                return chat_fail(&session->chat, CAUSE_PROTOCOL, "the server asks too much while signing in");
        if (session->first_response) {
                /* "=" stands for an empty response in the command only; on a line of its own it is empty */
                char *first = take(session->first_response);
                if (same_text(first, "="))
                        first[0] = '\0';
                return answer(session, first);
        }
        struct calculation *slow = sasl_calculation(session->sasl, challenge);
        if (slow)
                return chat_calculate(&session->chat, slow, calculated);
        char *response = sasl_feed(session->sasl, challenge, &cause);
        return response ? answer(session, response) : failed(session, &cause);
}

static int refused(struct pop3_session *session, const struct pop3_reply *said)
{
        struct cause cause;
        struct sasl_refusal refusal = {
                .kind = pop3_explain(session, said, CAUSE_AUTHENTICATION, "the sign-in", &cause),
                .first_sent = session->first_sent,
                .showed = sasl_showed(session->sasl) && !session->first_response,
        };
        bool again = sasl_refused(&session->ways, &session->config.signin, session->mechanism, &refusal) != SASL_NO_MORE;

        return go_on(session, again, false, &cause);
}

/* The server has ended the exchange that we gave up: a success would be one that nobody proved. */
static int cancelled(struct pop3_session *session, const struct pop3_reply *said)
{
        int step = session->after_cancel;

        if (said->status != POP3_ERR)
                return pop3_refused(session, said, CAUSE_PROTOCOL, "to end a sign-in that was given up");
        session->after_cancel = 0;
        return step;
}

int pop3_auth_heard(struct chat *chat, const void *reply)
{
        struct pop3_session *session = pop3_session_of(chat);
        const struct pop3_reply *said = reply;
        struct cause cause = { 0 };

        if (session->after_cancel)
                return cancelled(session, said);
        if (said->status == POP3_CONTINUE)
                return challenge_heard(session, said->words);
        if (said->status == POP3_ERR)
                return refused(session, said);
        if (said->status != POP3_OK)
                return pop3_refused(session, said, CAUSE_AUTHENTICATION, "the sign-in");
        if (sasl_finish(session->sasl, NULL, &cause) != 0)
                return chat_fail_with(&session->chat, &cause);
        return signed_in(session);
}

/* ---- USER, PASS ---- */

void pop3_say_user(struct chat *chat)
{
        struct pop3_session *session = pop3_session_of(chat);

        pop3_say(session, "USER %s", session->config.signin.user);
}

int pop3_user_heard(struct chat *chat, const void *reply)
{
        struct pop3_session *session = pop3_session_of(chat);
        const struct pop3_reply *said = reply;
        struct cause cause;

        if (said->status == POP3_OK)
                return POP3_PASS;
        enum server_kind kind = pop3_explain(session, said, CAUSE_AUTHENTICATION, "the sign-in", &cause);
        if (kind == SAID_NOTHING_KNOWN || kind == SAID_MECHANISM)
                explain_apop(session, &cause);
        return chat_fail_with(chat, &cause);
}

void pop3_say_pass(struct chat *chat)
{
        struct pop3_session *session = pop3_session_of(chat);
        scoped(scoped_free_secret) char *line = text_of("PASS %s", session->config.signin.secret);

        pop3_say_secret(session, "PASS ***", line);
}

int pop3_pass_heard(struct chat *chat, const void *reply)
{
        struct pop3_session *session = pop3_session_of(chat);
        const struct pop3_reply *said = reply;

        if (said->status != POP3_OK)
                return pop3_refused(session, said, CAUSE_AUTHENTICATION, "the sign-in");
        return signed_in(session);
}
