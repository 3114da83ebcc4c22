/* SPDX-License-Identifier: MIT */
/* Signing in to IMAP; see signin.h. Which way is decided by sasl/, with the TLS rule (security rule 20). */
#include "daemon/imap/signin.h"

#include "daemon/imap/command.h"
#include "daemon/imap/enable.h"
#include "daemon/imap/responses.h"
#include "daemon/sasl/ways.h"

void imap_signin_clear(struct imap_session *session)
{
        sasl_free(take(session->sasl));
        free_secret(take(session->first_response));
        free_secret(take(session->last_said));
        session->mechanism = NULL;
        session->first_sent = false;
        session->rounds = 0;
}

/* The words behind AUTH=, parted by blanks; the caller frees. */
static char *offered_mechanisms(const struct imap_session *session)
{
        char *words = copy_text(session->capabilities ? session->capabilities : "");
        char *to = words, *state = NULL;

        for (char *word = strtok_r(words, " ", &state); word; word = strtok_r(NULL, " ", &state)) {
                if (strncmp(word, "AUTH=", 5) != 0)
                        continue;
                size_t len = strlen(word + 5);
                if (to != words)
                        *to++ = ' ';
                memmove(to, word + 5, len);
                to += len;
        }
        *to = '\0';
        return words;
}

/* The step of the best way that is left; STEP_FAILED with a cause when there is none. */
static int next_way(struct imap_session *session, struct cause *cause)
{
        const struct signin *signin = &session->config.signin;
        scoped(scoped_free) char *offered = offered_mechanisms(session);
        struct cause login_cause = { 0 };

        free(session->broken);
        session->broken = sasl_broken(&session->ways, signin, offered);
        session->mechanism = sasl_choose(signin, &session->chat.channel, offered, &session->ways, cause);
        if (session->mechanism)
                return IMAP_AUTHENTICATE;
        if (cause->code != CAUSE_NO_MECHANISM || imap_offers(session, "LOGINDISABLED"))
                return STEP_FAILED;
        if (sasl_may_login_plainly(signin, &session->chat.channel, &session->ways, &login_cause) == 0)
                return IMAP_LOGIN;
        if (login_cause.code != CAUSE_NO_MECHANISM)
                *cause = login_cause;
        return STEP_FAILED;
}

int imap_sign_in(struct imap_session *session)
{
        struct cause cause = { 0 };
        int step = next_way(session, &cause);

        return step != STEP_FAILED ? step : chat_fail_with(&session->chat, &cause);
}

/* The next way where there is one, else the cause. `cancel`: the exchange is open yet, and is ended first. */
static int go_on(struct imap_session *session, bool again, bool cancel, struct cause *cause)
{
        scoped(scoped_free) char *offered = offered_mechanisms(session);
        const char *refused = session->mechanism;
        struct cause unused = { 0 };

        if (again) {
                imap_signin_clear(session);
                int step = next_way(session, &unused);
                if (step != STEP_FAILED) {
                        chat_refused(&session->chat, cause);
                        if (!cancel)
                                return step;
                        session->after_cancel = step;
                        imap_say_more_secret(session, "*");
                        return STEP_SAME;
                }
        }
        scoped(scoped_free) char *others = sasl_other_words(&session->chat.channel, offered, refused ? refused : "");
        signin_remedy(&session->config.signin, refused, others, cause);
        return chat_fail_with(&session->chat, cause);
}

/* What the server offered before does not hold after (RFC 9051 section 6.2.2). */
static int signed_in(struct imap_session *session)
{
        chat_signed_in(&session->chat, session->mechanism ? session->mechanism : "LOGIN", take(session->broken));
        session->signed_in = true;
        imap_signin_clear(session);
        return session->capabilities_fresh ? imap_enable(session) : (int)IMAP_CAPABILITY;
}

/* Says an answer to a challenge and keeps it, to know it again in what the server says. */
static void answer(struct imap_session *session, char *secret)
{
        free_secret(session->last_said);
        session->last_said = secret;
        imap_say_more_secret(session, secret);
}

/* ---- AUTHENTICATE ---- */

void imap_say_authenticate(struct chat *chat)
{
        struct imap_session *session = imap_session_of(chat);
        struct cause cause = { 0 };

        session->capabilities_fresh = false;
        session->sasl = sasl_new(&session->config.signin, &chat->channel, session->mechanism, &cause);
        char *first = session->sasl ? sasl_first(session->sasl, &cause) : NULL;
        if (cause.code != CAUSE_NONE) {
                free_secret(first);
                (void)chat_fail_with(&session->chat, &cause);
        } else if (first && !session->ways.without_first &&
                   (imap_offers(session, "SASL-IR") || imap_offers(session, "IMAP4REV2"))) {
                session->first_sent = true;
                scoped(scoped_free) char *traced = text_of("AUTHENTICATE %s ***", session->mechanism);
                scoped(scoped_free_secret) char *line =
                        text_of("AUTHENTICATE %s %s", session->mechanism, first);
                session->last_said = first;
                imap_say_secret(session, traced, line);
        } else {
                session->first_response = first;
                imap_say(session, "AUTHENTICATE %s", session->mechanism);
        }
}

static int answer_or_fail(struct imap_session *session, char *response, const struct cause *cause)
{
        struct cause why = *cause;

        if (!response)
                return go_on(session, sasl_failed(&session->ways, &session->config.signin, session->sasl, &why), true, &why);
        answer(session, response);
        return STEP_SAME;
}

static int calculated(struct chat *chat, const struct calculation *calculation)
{
        struct imap_session *session = imap_session_of(chat);
        struct cause cause = { 0 };
        char *response = sasl_calculated(session->sasl, calculation, &cause);

        return answer_or_fail(session, response, &cause);
}

static int challenge_heard(struct imap_session *session, const struct imap_reply *said)
{
        struct cause cause = { 0 };

        if (++session->rounds > LIMIT_SASL_ROUNDS || said->words.len > LIMIT_SASL_MESSAGE)
                return chat_fail(&session->chat, CAUSE_PROTOCOL, "the server asks too much while signing in");
        if (session->first_response) {
                /* "=" stands for an empty response in the command only; on a line of its own it is empty */
                char *first = take(session->first_response);
                if (same_text(first, "="))
                        first[0] = '\0';
                answer(session, first);
                return STEP_SAME;
        }
        scoped(scoped_free) char *challenge = copy_bytes(said->words.bytes, said->words.len);
        struct calculation *slow = sasl_calculation(session->sasl, challenge);
        if (slow)
                return chat_calculate(&session->chat, slow, calculated);
        char *response = sasl_feed(session->sasl, challenge, &cause);
        return answer_or_fail(session, response, &cause);
}

static int refused(struct imap_session *session, const struct imap_reply *said)
{
        struct cause cause;
        struct sasl_refusal refusal = {
                .kind = imap_explain(session, said, CAUSE_AUTHENTICATION, "the sign-in", &cause),
                .first_sent = session->first_sent,
                .showed = sasl_showed(session->sasl) && !session->first_response,
        };

        if (refusal.kind == SAID_NOTHING_KNOWN && said->status == IMAP_REFUSED_AS_BAD)
                refusal.kind = SAID_MECHANISM;
        bool again = sasl_refused(&session->ways, &session->config.signin, session->mechanism, &refusal) != SASL_NO_MORE;
        return go_on(session, again, false, &cause);
}

/* The server has ended the exchange that we gave up: a success would be one that nobody proved. */
static int cancelled(struct imap_session *session, const struct imap_reply *said)
{
        int step = session->after_cancel;

        if (said->status != IMAP_NO && said->status != IMAP_REFUSED_AS_BAD)
                return imap_refused(session, said, CAUSE_PROTOCOL, "to end a sign-in that was given up");
        session->after_cancel = 0;
        return step;
}

int imap_authenticate_heard(struct chat *chat, const void *reply)
{
        struct imap_session *session = imap_session_of(chat);
        const struct imap_reply *said = reply;
        struct cause cause = { 0 };

        if (session->after_cancel)
                return cancelled(session, said);
        if (said->status == IMAP_CONTINUE)
                return challenge_heard(session, said);
        if (said->status == IMAP_NO || said->status == IMAP_REFUSED_AS_BAD)
                return refused(session, said);
        if (said->status != IMAP_OK)
                return imap_refused(session, said, CAUSE_AUTHENTICATION, "the sign-in");
        if (sasl_finish(session->sasl, NULL, &cause) != 0)
                return chat_fail_with(&session->chat, &cause);
        return signed_in(session);
}

/* ---- LOGIN ---- */

static bool fits_quotes(const char *text)
{
        for (; *text; text++)
                if ((unsigned char)*text >= 0x80)
                        return false;
        return true;
}

static void put_quoted(char **at, const char *text)
{
        *(*at)++ = '"';
        for (; *text; text++) {
                if (*text == '"' || *text == '\\')
                        *(*at)++ = '\\';
                *(*at)++ = *text;
        }
        *(*at)++ = '"';
}

void imap_say_login(struct chat *chat)
{
        struct imap_session *session = imap_session_of(chat);
        const struct signin *signin = &session->config.signin;

        session->capabilities_fresh = false;
        if (!fits_quotes(signin->user) || !fits_quotes(signin->secret)) {
                imap_say(session, "LOGIN {%zu}", strlen(signin->user));
                return;
        }
        size_t size = sizeof "LOGIN \"\" \"\"" + 2 * (strlen(signin->user) + strlen(signin->secret));
        scoped(scoped_free_secret) char *line = new_zeroed(size, 1);
        char *at = stpcpy(line, "LOGIN ");
        put_quoted(&at, signin->user);
        *at++ = ' ';
        put_quoted(&at, signin->secret);
        session->rounds = 2; /* no literals will be asked for */
        imap_say_secret(session, "LOGIN ***", line);
}

int imap_login_heard(struct chat *chat, const void *reply)
{
        struct imap_session *session = imap_session_of(chat);
        const struct signin *signin = &session->config.signin;
        const struct imap_reply *said = reply;

        if (said->status == IMAP_CONTINUE && session->rounds < 2) {
                answer(session, session->rounds++ == 0
                                        ? text_of("%s {%zu}", signin->user, strlen(signin->secret))
                                        : copy_text(signin->secret));
                return STEP_SAME;
        }
        if (said->status != IMAP_OK)
                return imap_refused(session, said, CAUSE_AUTHENTICATION, "the sign-in");
        return signed_in(session);
}
