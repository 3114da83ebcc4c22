/* SPDX-License-Identifier: MIT */
/*
 * A strict SMTP receiver for tests: commands end in CRLF, DATA ends in CRLF.CRLF, BDAT is
 * counted; any other CR or LF is a violation. It answers each command as RFC 5321 says,
 * unless `answer` says otherwise, and keeps count of what it has been given.
 */
#pragma once

#include "common/buf.h"

#include <stdio.h>

struct receiver {
        enum { RECEIVER_COMMAND, RECEIVER_DATA, RECEIVER_CHUNK } mode;
        struct buf line;    /* a command not yet whole */
        struct buf content; /* of the message at hand, dots taken off */
        struct buf replies; /* for the client */
        struct buf log;     /* every command, '\n' after each; content as "#length" */
        const char *violation;
        size_t messages; /* content heard to its end */
        size_t matched;  /* DATA: how much of CRLF.CRLF stands */
        bool line_start;
        uint64_t chunk_left;
        bool chunk_last;
        bool mail;    /* a transaction is open */
        bool spoiled; /* a BDAT was refused: only RSET helps (RFC 3030 section 2) */
        size_t recipients;
        /* The reply to a command line ("." for the end of content), or NULL for the usual one. */
        const char *(*answer)(struct receiver *receiver, const char *line);
        void *ctx;
};

static inline void receiver_init(struct receiver *r)
{
        *r = (struct receiver){ .line = BUF_WITH_MAX(1 << 16),
                                .content = BUF_WITH_MAX(1 << 26),
                                .replies = BUF_WITH_MAX(1 << 26),
                                .log = BUF_WITH_MAX(1 << 26) };
}

static inline void receiver_done(struct receiver *r)
{
        buf_free(&r->line);
        buf_free(&r->content);
        buf_free(&r->replies);
        buf_free(&r->log);
}

static inline void receiver_put(struct buf *to, const void *bytes, size_t len)
{
        if (buf_append(to, bytes, len))
                abort();
}

static inline void receiver_data(struct receiver *r)
{
        r->mode = RECEIVER_DATA;
        buf_clear(&r->content);
        r->line_start = true;
        r->matched = 2;
}

/* Answers; true when the answer is positive. */
static inline bool receiver_reply(struct receiver *r, const char *line, const char *usual)
{
        const char *own = r->answer ? r->answer(r, line) : NULL;
        const char *reply = own ? own : usual;

        if (buf_appendf(&r->replies, "%s\r\n", reply))
                abort();
        return reply[0] < '4';
}

static inline void receiver_end(struct receiver *r)
{
        char note[40];

        r->mode = RECEIVER_COMMAND;
        r->messages++;
        receiver_put(&r->log, note, (size_t)snprintf(note, sizeof note, "#%zu\n", r->content.len));
        receiver_reply(r, ".", r->recipients ? "250 2.0.0 taken" : "554 5.5.1 no recipients");
        r->mail = false;
        r->recipients = 0;
}

static inline void receiver_bdat(struct receiver *r, const char *line)
{
        char last[8] = "";
        unsigned long long count = 0;

        if (sscanf(line, "BDAT %llu %7s", &count, last) < 1)
                r->violation = "BDAT without a count";
        r->chunk_left = count;
        r->chunk_last = strcmp(last, "LAST") == 0;
        r->mode = RECEIVER_CHUNK;
}

static inline void receiver_command(struct receiver *r, const char *line)
{
        if (strncmp(line, "MAIL FROM:<", 11) == 0) {
                bool nested = r->mail || r->spoiled;
                if (receiver_reply(r, line, nested ? "503 5.5.1 nested MAIL" : "250 2.1.0 ok") && !nested) {
                        r->mail = true;
                        r->recipients = 0;
                        buf_clear(&r->content);
                }
        } else if (strncmp(line, "RCPT TO:<", 9) == 0) {
                if (receiver_reply(r, line, r->mail ? "250 2.1.5 ok" : "503 5.5.1 no MAIL"))
                        r->recipients++;
        } else if (strcmp(line, "DATA") == 0) {
                if (receiver_reply(r, line, r->recipients ? "354 go" : "503 5.5.1 no recipients"))
                        receiver_data(r);
        } else if (strncmp(line, "BDAT ", 5) == 0) {
                receiver_bdat(r, line);
        } else if (strcmp(line, "RSET") == 0) {
                r->mail = r->spoiled = false;
                r->recipients = 0;
                receiver_reply(r, line, "250 2.0.0 reset");
        } else if (strcmp(line, "QUIT") == 0) {
                receiver_reply(r, line, "221 bye");
        } else {
                r->violation = "an unknown command";
        }
}

static inline void receiver_line_byte(struct receiver *r, uint8_t byte)
{
        size_t len = r->line.len;
        bool after_cr = len && buf_bytes(&r->line)[len - 1] == '\r';

        if (byte == '\n' && after_cr) {
                char *line = strndup((const char *)buf_bytes(&r->line), len - 1);
                buf_clear(&r->line);
                if (buf_appendf(&r->log, "%s\n", line))
                        abort();
                receiver_command(r, line);
                free(line);
                return;
        }
        if (byte == '\n' || after_cr || !byte)
                r->violation = "a bare CR, LF or NUL in a command";
        receiver_put(&r->line, &byte, 1);
}

static inline void receiver_data_byte(struct receiver *r, uint8_t byte)
{
        static const char end[] = "\r\n.\r\n";
        bool after_cr = r->matched == 1 || r->matched == 4;

        if ((byte == '\n') != after_cr)
                r->violation = "a bare CR or LF in content";
        if (byte == (uint8_t)end[r->matched]) {
                r->matched++;
        } else {
                if (r->matched == 3 && byte != '.') /* a dot at a line's start, not doubled */
                        r->violation = "a dot not stuffed";
                r->matched = byte == '\r';
        }
        bool stuffing = r->line_start && byte == '.';
        r->line_start = byte == '\n';
        if (!stuffing)
                receiver_put(&r->content, &byte, 1);
        if (r->matched == 5) {
                r->content.len -= 2; /* the CRLF of the dot's own line */
                receiver_end(r);
        }
}

static inline void receiver_take(struct receiver *r, const uint8_t *bytes, size_t len)
{
        while (len) {
                if (r->mode == RECEIVER_CHUNK && r->chunk_left) {
                        size_t count = r->chunk_left < len ? (size_t)r->chunk_left : len;
                        receiver_put(&r->content, bytes, count);
                        r->chunk_left -= count;
                        bytes += count;
                        len -= count;
                } else {
                        r->mode == RECEIVER_DATA ? receiver_data_byte(r, *bytes)
                                                 : receiver_line_byte(r, *bytes);
                        bytes++;
                        len--;
                }
                if (r->mode == RECEIVER_CHUNK && !r->chunk_left) {
                        r->mode = RECEIVER_COMMAND;
                        if (r->spoiled || !r->recipients)
                                r->spoiled =
                                        !receiver_reply(r, "BDAT", "503 5.5.1 no recipients, or RSET first");
                        else if (r->chunk_last)
                                receiver_end(r);
                        else
                                r->spoiled = !receiver_reply(r, "+", "250 2.0.0 more");
                }
        }
}
