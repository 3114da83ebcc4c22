/* SPDX-License-Identifier: MIT */
/* Greetings, tagged replies and continuation requests: how one is read, and what a refusal means; see
 * reply.h. */
#include "daemon/imap/reply.h"

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
