/* SPDX-License-Identifier: MIT */
/* Signing in to IMAP, then ENABLE and ID; see signin.h. Which way is decided by sasl/, with the TLS rule
 * (security rule 20). */
#include "daemon/imap/signin.h"

#include "daemon/imap/command.h"

/* ---- ENABLE and ID; a server that refuses either is used without ---- */

static bool has_rev2(const struct imap_session *session)
{
        return imap_offers(session, "IMAP4REV2");
}

/* What to take into use, parted by blanks; "" nothing. A server of rev2 alone is one without being asked. */
static const char *wanted(const struct imap_session *session)
{
        bool utf8 = imap_offers(session, "UTF8=ACCEPT") || imap_offers(session, "UTF8=ONLY");
        bool rev2 = has_rev2(session) && imap_offers(session, "IMAP4REV1");

        if (!imap_offers(session, "ENABLE") && !has_rev2(session))
                return "";
        return utf8 && rev2 ? "UTF8=ACCEPT IMAP4rev2" : utf8 ? "UTF8=ACCEPT" : rev2 ? "IMAP4rev2" : "";
}

int imap_enable(struct imap_session *session)
{
        return wanted(session)[0] || imap_offers(session, "ID") ? (int)IMAP_ENABLE : (int)STEP_READY;
}

void imap_say_enable(struct engine *engine)
{
        struct imap_session *session = imap_session_of(engine);

        if (wanted(session)[0])
                imap_say(session, "ENABLE %s", wanted(session));
        if (imap_offers(session, "ID"))
                imap_say(session, "ID (\"name\" \"emailsecd\" \"version\" \"%s\")", VERSION);
}

int imap_enable_heard(struct engine *engine, const void *reply)
{
        struct imap_session *session = imap_session_of(engine);
        const struct imap_reply *said = reply;

        if (said->status != IMAP_OK && said->status != IMAP_NO && said->status != IMAP_REFUSED_AS_BAD)
                return imap_refused(session, said, CAUSE_SERVER_BUSY, "to enable what it offers");
        return session->in_flight ? (int)STEP_SAME : (int)STEP_READY;
}

void imap_enabled(struct imap_session *session, struct imap_cursor *cursor)
{
        struct imap_text word;

        if (session->engine.step != IMAP_ENABLE)
                return;
        while (imap_blanks(cursor), imap_word(cursor, &word))
                session->utf8 |= imap_is(&word, "UTF8=ACCEPT") || imap_is(&word, "IMAP4rev2");
}

bool imap_names_are_utf8(const struct imap_session *session)
{
        return session->utf8 || (has_rev2(session) && !imap_offers(session, "IMAP4REV1"));
}

/* ---- signing in ---- */

/* The words behind AUTH=, parted by blanks; the caller frees. */
static char *offered_mechanisms(const struct engine *engine)
{
        const struct imap_session *session = container_of(engine, struct imap_session, engine);
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
static int next_way(struct engine *engine, struct cause *cause)
{
        struct imap_session *session = imap_session_of(engine);
        const struct signin *signin = &session->config.signin;
        const struct sasl_ways *ways = &session->signing.ways;
        scoped(scoped_free) char *offered = offered_mechanisms(engine);
        struct cause login_cause = { 0 };

        free(session->broken);
        session->broken = sasl_broken(ways, signin, offered);
        session->signing.mechanism = sasl_choose(signin, &engine->channel, offered, ways, cause);
        if (session->signing.mechanism)
                return IMAP_AUTHENTICATE;
        if (cause->code != CAUSE_NO_MECHANISM || imap_offers(session, "LOGINDISABLED"))
                return STEP_FAILED;
        if (sasl_may_login_plainly(signin, &engine->channel, ways, &login_cause) == 0)
                return IMAP_LOGIN;
        if (login_cause.code != CAUSE_NO_MECHANISM)
                *cause = login_cause;
        return STEP_FAILED;
}

/* In a trace *** stands for it. */
static void say_secret(struct engine *engine, const char *line)
{
        imap_say_more_secret(imap_session_of(engine), line);
}

static int calculated(struct engine *engine, const struct calculation *calculation)
{
        return line_signin_calculated(&imap_session_of(engine)->signing, calculation);
}

static const struct line_signin_class signin_class = {
        .next_way = next_way,
        .offered = offered_mechanisms,
        .say = say_secret,
        .calculated = calculated,
};

void imap_signin_init(struct imap_session *session)
{
        session->signing = (struct line_signin){
                .class = &signin_class,
                .engine = &session->engine,
                .signin = &session->config.signin,
        };
}

int imap_sign_in(struct imap_session *session)
{
        return line_signin_begin(&session->signing);
}

/* What the server offered before does not hold after (RFC 9051 section 6.2.2). */
static int signed_in(struct imap_session *session)
{
        const char *mechanism = session->signing.mechanism;

        engine_signed_in(&session->engine, mechanism ? mechanism : "LOGIN", take(session->broken));
        session->signed_in = true;
        line_signin_clear(&session->signing);
        return session->capabilities_fresh ? imap_enable(session) : (int)IMAP_CAPABILITY;
}

/* ---- AUTHENTICATE ---- */

void imap_say_authenticate(struct engine *engine)
{
        struct imap_session *session = imap_session_of(engine);
        struct line_signin *signing = &session->signing;
        char *first;

        session->capabilities_fresh = false;
        if (!line_signin_start(signing, &first))
                return;
        /* RFC 4959, 3; part of IMAP4rev2 (RFC 9051, appendix E). */
        bool early = imap_offers(session, "SASL-IR") || imap_offers(session, "IMAP4REV2");
        if (first && early && !signing->ways.without_first) {
                signing->first_sent = true;
                scoped(scoped_free) char *traced = text_of("AUTHENTICATE %s ***", signing->mechanism);
                scoped(scoped_free_secret) char *line =
                        text_of("AUTHENTICATE %s %s", signing->mechanism, first);
                signing->last_said = first;
                imap_say_secret(session, traced, line);
        } else {
                signing->first_response = first;
                imap_say(session, "AUTHENTICATE %s", signing->mechanism);
        }
}

/* BAD without a word of a known kind is a server that does not know the mechanism it announced: the next
 * way is tried. */
static int refused(struct imap_session *session, const struct imap_reply *said)
{
        struct cause cause;
        enum server_kind kind = imap_explain(session, said, CAUSE_AUTHENTICATION, "the sign-in", &cause);

        if (kind == SAID_NOTHING_KNOWN && said->status == IMAP_REFUSED_AS_BAD)
                kind = SAID_MECHANISM;
        return line_signin_refused(&session->signing, kind, &cause);
}

int imap_authenticate_heard(struct engine *engine, const void *reply)
{
        struct imap_session *session = imap_session_of(engine);
        const struct imap_reply *said = reply;
        bool no = said->status == IMAP_NO || said->status == IMAP_REFUSED_AS_BAD;
        struct cause cause = { 0 };

        if (session->signing.after_cancel) /* a success would be one that nobody proved */
                return no ? line_signin_cancelled(&session->signing)
                          : imap_refused(session, said, CAUSE_PROTOCOL, "to end a sign-in that was given up");
        if (said->status == IMAP_CONTINUE)
                return line_signin_challenge(&session->signing, said->words.bytes, said->words.len);
        if (no)
                return refused(session, said);
        if (said->status != IMAP_OK)
                return imap_refused(session, said, CAUSE_AUTHENTICATION, "the sign-in");
        if (sasl_finish(session->signing.sasl, NULL, &cause) != 0)
                return engine_fail_with(&session->engine, &cause);
        return signed_in(session);
}

/* ---- LOGIN ---- */

/* A quoted string holds 7-bit characters only (RFC 3501, 4.3). CR and LF never come here: names and secrets
 * with them are refused before. */
static bool fits_quotes(const char *text)
{
        for (; *text; text++)
                if ((unsigned char)*text >= 0x80)
                        return false;
        return true;
}

/* The caller has made room for two bytes per character and the quotes. */
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

/* Anything beyond ASCII goes as literals, each awaited with a continuation, since LITERAL+ need not be
 * offered. The capabilities may change with the sign-in, so those known are stale. */
void imap_say_login(struct engine *engine)
{
        struct imap_session *session = imap_session_of(engine);
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
        session->signing.rounds = 2; /* no literals will be asked for */
        imap_say_secret(session, "LOGIN ***", line);
}

bool imap_login_awaits_more(const struct imap_session *session)
{
        return session->signing.rounds < 2;
}

/* `rounds` counts the literals that were sent: first the name with the size of the secret, then the secret.
 */
int imap_login_heard(struct engine *engine, const void *reply)
{
        struct imap_session *session = imap_session_of(engine);
        const struct signin *signin = &session->config.signin;
        const struct imap_reply *said = reply;

        if (said->status == IMAP_CONTINUE)
                return line_signin_answer(&session->signing,
                                          session->signing.rounds++ == 0
                                                  ? text_of("%s {%zu}", signin->user, strlen(signin->secret))
                                                  : copy_text(signin->secret));
        if (said->status != IMAP_OK)
                return imap_refused(session, said, CAUSE_AUTHENTICATION, "the sign-in");
        return signed_in(session);
}
