/* SPDX-License-Identifier: MIT */
/* Signing in to POP3; see signin.h. Which way is decided by sasl/, with the TLS rule (security rule 20). */
#include "daemon/pop3/signin.h"

enum { AUTH_LINE = 255 }; /* RFC 5034 section 4: a longer command goes without its initial response */

void pop3_signin_clear(struct pop3_session *session)
{
        sasl_free(take(session->sasl));
        free_secret(take(session->first_response));
        free_secret(take(session->last_said));
        session->mechanism = NULL;
        session->rounds = 0;
}

/* USER and PASS: offered, or the server is too old to say what it offers. */
static bool has_user(const struct pop3_session *session)
{
        return session->capabilities.user || !session->capabilities.known ||
               !session->capabilities.mechanisms;
}

int pop3_sign_in(struct pop3_session *session)
{
        const struct signin *signin = &session->config.signin;
        const char *offered = session->capabilities.mechanisms ? session->capabilities.mechanisms : "";
        struct cause cause = { 0 }, login_cause = { 0 };

        session->mechanism = sasl_choose(signin, &session->chat.channel, offered, &cause);
        if (session->mechanism)
                return POP3_AUTH;
        if (cause.code != CAUSE_NO_MECHANISM || !has_user(session))
                return chat_fail_with(&session->chat, &cause);
        if (sasl_may_login_plainly(signin, &session->chat.channel, &login_cause) == 0)
                return POP3_USER;
        return chat_fail_with(&session->chat, login_cause.code == CAUSE_NO_MECHANISM ? &cause : &login_cause);
}

static int signed_in(struct pop3_session *session)
{
        session->chat.signed_in_by = session->mechanism ? session->mechanism : "LOGIN";
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
        } else if (first && strlen("AUTH  \r\n") + strlen(session->mechanism) + strlen(first) <= AUTH_LINE) {
                scoped(scoped_free) char *traced = text_of("AUTH %s ***", session->mechanism);
                scoped(scoped_free_secret) char *line = text_of("AUTH %s %s", session->mechanism, first);
                session->last_said = first;
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

static int calculated(struct chat *chat, const struct calculation *calculation)
{
        struct pop3_session *session = pop3_session_of(chat);
        struct cause cause = { 0 };
        char *response = sasl_calculated(session->sasl, calculation, &cause);

        return response ? answer(session, response) : chat_fail_with(chat, &cause);
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
        return response ? answer(session, response) : chat_fail_with(&session->chat, &cause);
}

int pop3_auth_heard(struct chat *chat, const void *reply)
{
        struct pop3_session *session = pop3_session_of(chat);
        const struct pop3_reply *said = reply;
        struct cause cause = { 0 };

        if (said->status == POP3_CONTINUE)
                return challenge_heard(session, said->words);
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
        const struct pop3_reply *said = reply;

        if (said->status != POP3_OK)
                return pop3_refused(pop3_session_of(chat), said, CAUSE_AUTHENTICATION, "the sign-in");
        return POP3_PASS;
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
