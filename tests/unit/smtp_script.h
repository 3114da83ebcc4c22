/* SPDX-License-Identifier: MIT */
/*
 * A scripted conversation with an SMTP session: a list of texts, each said by the server
 * ("S:...", CRLF added; "s:..." as it is, with \n for CRLF) or expected from the client ("C:..."),
 * "TLS" for a handshake, "CLOSE" for the server's end. What the server says is fed whole,
 * byte by byte, or cut at one place.
 */
#pragma once

#include "daemon/smtp/session.h"

#include <check.h>
#include <stdio.h>

#define SCRIPT_LINES 40

struct script_run {
        struct engine *engine;
        struct buf sent; /* what the client said, not yet expected */
        size_t cut;      /* 0: whole, 1: byte by byte, n: cut after n - 1 bytes */
        const char *name;
};

static void script_take_out(struct script_run *run)
{
        struct buf *out = &run->engine->out;

        if (out->len)
                ck_assert_int_eq(buf_append(&run->sent, buf_bytes(out), out->len), 0);
        buf_consume(out, out->len);
}

static void script_feed_piece(struct script_run *run, const char *bytes, size_t len)
{
        if (!len || run->engine->state == ENGINE_FAILED || run->engine->state == ENGINE_ENDED)
                return;
        /* Memory of the exact size, so that ASan sees a read beyond it. */
        uint8_t *copy = memcpy(new_zeroed(len, 1), bytes, len);
        run->engine->class->received(run->engine, copy, len);
        free(copy);
        script_take_out(run);
}

static void script_feed(struct script_run *run, const char *bytes, size_t len)
{
        if (run->cut == 1) {
                for (size_t i = 0; i < len; i++)
                        script_feed_piece(run, bytes + i, 1);
                return;
        }
        size_t first = run->cut > 1 && run->cut - 1 < len ? run->cut - 1 : len;
        script_feed_piece(run, bytes, first);
        script_feed_piece(run, bytes + first, len - first);
}

static void script_say(struct script_run *run, const char *text, bool lines)
{
        struct buf bytes = BUF_WITH_MAX(1 << 20);

        for (; *text; text++)
                ck_assert_int_eq(lines && *text == '\n' ? buf_append_text(&bytes, "\r\n")
                                                        : buf_append(&bytes, text, 1),
                                 0);
        if (!lines)
                ck_assert_int_eq(buf_append_text(&bytes, "\r\n"), 0);
        script_feed(run, (const char *)buf_bytes(&bytes), bytes.len);
        buf_free(&bytes);
}

static void script_expect(struct script_run *run, const char *line)
{
        size_t len = strlen(line);
        const char *has = run->sent.len ? (const char *)buf_bytes(&run->sent) : "";
        bool same =
                run->sent.len >= len + 2 && memcmp(has, line, len) == 0 && memcmp(has + len, "\r\n", 2) == 0;

        ck_assert_msg(same, "%s (cut %zu): expected \"%s\", has \"%.*s\" (%s)", run->name, run->cut, line,
                      (int)run->sent.len, has, run->engine->cause->text);
        buf_consume(&run->sent, len + 2);
}

static void script_line(struct script_run *run, const char *line)
{
        if (strncmp(line, "S:", 2) == 0) {
                script_say(run, line + 2, false);
        } else if (strncmp(line, "s:", 2) == 0) {
                script_say(run, line + 2, true);
        } else if (strncmp(line, "C:", 2) == 0) {
                script_expect(run, line + 2);
        } else if (strcmp(line, "TLS") == 0) {
                struct engine_channel channel = { .tls = true };
                ck_assert_msg(run->engine->state == ENGINE_WANTS_TLS, "%s: %s", run->name,
                              run->engine->cause->text);
                run->engine->class->secured(run->engine, &channel);
                script_take_out(run);
        } else if (strcmp(line, "CLOSE") == 0) {
                run->engine->class->closed(run->engine);
        } else if (strcmp(line, "QUIT") == 0) {
                run->engine->class->quit(run->engine);
                script_take_out(run);
        } else {
                ck_abort_msg("script: %s", line);
        }
}

static void script_start(struct script_run *run, const char *name, const struct smtp_config *config, bool tls,
                         size_t cut)
{
        struct engine_channel channel = { .tls = tls };

        *run = (struct script_run){ .sent = BUF_WITH_MAX(64 << 20), .name = name, .cut = cut };
        run->engine = smtp_session_new(config);
        run->engine->class->start(run->engine, &channel);
        script_take_out(run);
}

static void script_end(struct script_run *run)
{
        run->engine->class->free(run->engine);
        buf_free(&run->sent);
}
