/* SPDX-License-Identifier: MIT */
/*
 * Commands with their tags, which of them are in flight, and how a reply to one is read; see command.h. The
 * gate before TLS (rule S4) and the test that an answer follows its command (rule S5) have their one place
 * here.
 */
#include "daemon/imap/command.h"

#include <stdio.h>
#include <sys/random.h>

/* ---- what may be said ---- */

bool imap_offers(const struct imap_session *session, const char *word)
{
        const char *at = session->capabilities ? session->capabilities : "";
        size_t len = strlen(word);

        while ((at = strstr(at, word))) {
                bool begins = at == session->capabilities || at[-1] == ' ';
                if (begins && (at[len] == ' ' || at[len] == '\0'))
                        return true;
                at += len;
        }
        return false;
}

/* ---- saying ---- */

/* The commands that may go out before TLS stands on a STARTTLS account; no other passes (rule S4). */
static bool is_discovery(int step)
{
        return step == IMAP_CAPABILITY || step == IMAP_STARTTLS || step == IMAP_LOGOUT;
}

static bool may_say(struct imap_session *session)
{
        return is_discovery(session->engine.step) || engine_may_speak(&session->engine);
}

static void command_said(struct imap_session *session, size_t before)
{
        session->said += session->engine.out.len - before;
        if (session->in_flight == session->flight_room) {
                session->flight_room = session->flight_room ? IMAP_FLIGHTS : 1;
                session->flights =
                        new_resized(session->flights, session->flight_room, sizeof *session->flights);
        }
        session->flights[session->in_flight++] =
                (struct imap_flight){ .tag = session->tag, .end = session->said };
}

static void forget_flights(struct imap_session *session)
{
        free(take(session->flights));
        session->in_flight = session->flight_room = 0;
}

/* Room for one more command; there always is unless the table of steps is wrong. */
static bool next_tag(struct imap_session *session)
{
        if (!may_say(session))
                return false;
        if (session->in_flight == IMAP_FLIGHTS) {
                (void)engine_fail(&session->engine, CAUSE_INTERNAL, "too many IMAP commands at once");
                return false;
        }
        session->tag++;
        return true;
}

void imap_say(struct imap_session *session, const char *format, ...)
{
        size_t before = session->engine.out.len;
        va_list args;

        if (!next_tag(session))
                return;
        va_start(args, format);
        scoped(scoped_free) char *words = text_of_list(format, args);
        va_end(args);
        engine_say(&session->engine, "%s%u %s", session->prefix, session->tag, words);
        if (session->engine.state != ENGINE_FAILED)
                command_said(session, before);
}

void imap_say_secret(struct imap_session *session, const char *traced, const char *line)
{
        size_t before = session->engine.out.len;

        if (!next_tag(session))
                return;
        scoped(scoped_free) char *tagged_trace = text_of("%s%u %s", session->prefix, session->tag, traced);
        scoped(scoped_free_secret) char *tagged = text_of("%s%u %s", session->prefix, session->tag, line);
        engine_say_secret(&session->engine, tagged_trace, tagged);
        if (session->engine.state != ENGINE_FAILED)
                command_said(session, before);
}

/* A server may end IDLE by itself: its reply may come before this is out. */
void imap_say_end_of_idle(struct imap_session *session)
{
        size_t before = session->engine.out.len;

        engine_say_gated(&session->engine, "DONE");
        if (session->engine.state != ENGINE_FAILED)
                session->said += session->engine.out.len - before;
}

/* The reply to the last command cannot come before this is out either. */
void imap_say_more_secret(struct imap_session *session, const char *line)
{
        size_t before = session->engine.out.len;

        engine_say_secret(&session->engine, "***", line);
        if (session->engine.state == ENGINE_FAILED)
                return;
        session->said += session->engine.out.len - before;
        if (session->in_flight)
                session->flights[session->in_flight - 1].end = session->said;
}

/* True when all of the command is out of our hands (rule S5: no reply can come before). */
static bool was_sent(struct imap_session *session, const struct imap_flight *flight)
{
        if (flight->end <= session->said - session->engine.out.len)
                return true;
        (void)engine_fail(&session->engine, CAUSE_INJECTION, "an answer came before its command was sent");
        return false;
}

static bool tag_number(const struct imap_session *session, const struct imap_text *tag, uint32_t *out)
{
        size_t len = strlen(session->prefix);
        struct imap_cursor cursor = imap_cursor(tag->bytes, tag->len);
        uint64_t number;

        if (tag->len <= len || memcmp(tag->bytes, session->prefix, len) != 0)
                return false;
        cursor.at += len;
        if (!imap_number(&cursor, UINT32_MAX, &number))
                return false;
        *out = (uint32_t)number;
        return true;
}

bool imap_command_answered(struct imap_session *session, const struct imap_text *tag)
{
        uint32_t number = 0;
        size_t i = 0;
        bool ours = tag_number(session, tag, &number);

        while (ours && i < session->in_flight && session->flights[i].tag != number)
                i++;
        /* a line that a server's mistake cut off from a response; tags cannot be guessed, so it is no answer
         */
        if (!ours && session->signed_in && ++session->untagged <= LIMIT_UNTAGGED_IDLE)
                return false;
        if (!ours || i == session->in_flight) {
                (void)engine_fail(&session->engine, CAUSE_PROTOCOL,
                                  "the server answered a command that was not given");
                return false;
        }
        if (!was_sent(session, &session->flights[i]))
                return false;
        session->answered = session->flights[i];
        if (--session->in_flight == 0)
                forget_flights(session);
        else
                memmove(&session->flights[i], &session->flights[i + 1],
                        (session->in_flight - i) * sizeof session->flights[0]);
        return true;
}

bool imap_command_continued(struct imap_session *session)
{
        if (session->in_flight)
                return was_sent(session, &session->flights[session->in_flight - 1]);
        (void)engine_fail(&session->engine, CAUSE_PROTOCOL,
                          "the server asks for more where nothing was begun");
        return false;
}

/* Letters that nobody can guess; digits follow (rule S5). */
static void new_prefix(struct imap_session *session)
{
        uint8_t random[sizeof session->prefix - 1];

        while (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
                ;
        for (size_t i = 0; i < sizeof random; i++)
                session->prefix[i] = (char)('a' + random[i] % 26);
}

void imap_commands_forget(struct imap_session *session)
{
        forget_flights(session);
        new_prefix(session);
}

/* ---- greetings, tagged replies and continuation requests ---- */

static const struct {
        const char *word;
        enum imap_status status;
} statuses[] = {
        { "OK", IMAP_OK },   { "NO", IMAP_NO },           { "BAD", IMAP_REFUSED_AS_BAD },
        { "BYE", IMAP_BYE }, { "PREAUTH", IMAP_PREAUTH },
};

struct imap_reply imap_reply_read(struct imap_cursor *cursor)
{
        struct imap_reply reply = IMAP_EMPTY_REPLY(IMAP_OTHER);
        struct imap_text word;

        if (!imap_word(cursor, &word))
                return reply;
        for (size_t i = 0; i < count_of(statuses); i++)
                if (imap_is(&word, statuses[i].word))
                        reply.status = statuses[i].status;
        (void)imap_blanks(cursor);
        const char *end = cursor->at < cursor->end && *cursor->at == '['
                                  ? memchr(cursor->at, ']', (size_t)(cursor->end - cursor->at))
                                  : NULL;
        if (end) {
                reply.code = (struct imap_text){ cursor->at + 1, (size_t)(end - cursor->at) - 1, IMAP_ATOM };
                cursor->at = end + 1;
                (void)imap_blanks(cursor);
        }
        reply.words = (struct imap_text){ cursor->at, (size_t)(cursor->end - cursor->at), IMAP_ATOM };
        return reply;
}

/* ---- what a refusal means ---- */

/* The table of codes and known words says it; CAUSE_NONE: nothing better than what the command itself stands
 * for. */
static struct server_meaning meaning_of(const struct imap_session *session, const struct imap_reply *reply)
{
        struct server_words said = {
                .protocol = SERVER_IMAP,
                .phase = session->engine.step == IMAP_GREETING ? PHASE_GREETING
                         : session->signed_in                  ? PHASE_MAILBOX
                                                               : PHASE_SIGNIN,
                .code = reply->code.bytes,
                .code_len = reply->code.len,
                .words = reply->words.bytes,
                .len = reply->words.len,
        };

        return server_words_meaning(&said);
}

bool imap_echoes_secret(const struct imap_session *session, const char *words, size_t len)
{
        return line_signin_repeated(&session->signing, words, len);
}

enum server_kind imap_explain(struct imap_session *session, const struct imap_reply *reply,
                              enum cause_code otherwise, const char *what, struct cause *cause)
{
        struct server_meaning meaning = meaning_of(session, reply);
        enum cause_code code = meaning.code;
        bool shown = reply->words.len && !imap_echoes_secret(session, reply->words.bytes, reply->words.len);
        const char *before = shown ? ": " : "", *words = shown ? reply->words.bytes : "";
        int len = !shown ? 0 : reply->words.len < 300 ? (int)reply->words.len : 300;
        bool bye = reply->status == IMAP_BYE;

        if (reply->status == IMAP_CONTINUE || reply->status == IMAP_OTHER) {
                cause_set(cause, CAUSE_PROTOCOL, "the server gave an answer that IMAP does not know (%s)",
                          what);
                return SAID_NOTHING_KNOWN;
        }
        if (code == CAUSE_NONE && !bye)
                code = reply->status == IMAP_REFUSED_AS_BAD && session->signed_in ? CAUSE_PROTOCOL
                                                                                  : otherwise;
        cause_set(cause, code != CAUSE_NONE ? code : CAUSE_SERVER_BUSY, "the server %s%s%s%.*s",
                  bye ? "ended the session" : "refused ", bye ? "" : what, before, len, words);
        server_meaning_remedy(&meaning, cause);
        return meaning.kind;
}

int imap_refused(struct imap_session *session, const struct imap_reply *reply, enum cause_code otherwise,
                 const char *what)
{
        struct cause cause;

        (void)imap_explain(session, reply, otherwise, what, &cause);
        return engine_fail_with(&session->engine, &cause);
}
