/* SPDX-License-Identifier: MIT */
/*
 * Scripted conversations with an incoming engine: what the server says, what must be heard from
 * the client word for word, when TLS comes, which operation is begun. Each script is played
 * whole, byte by byte, and with every server text cut in two at every place; what the user is
 * told is written down as one line and must be the same each time.
 */
#pragma once

#include "common/buf.h"
#include "common/limits.h"
#include "common/printable.h"
#include "daemon/wire/mailbox.h"

#include <check.h>
#include <stdio.h>

enum line_kind { END, S, C, TLS, DO, CLOSE };

struct line {
        enum line_kind kind;
        const char *text;                   /* S, C: with line ends */
        void (*act)(struct engine *engine); /* DO */
};

struct script {
        const char *name;
        bool starttls, tls; /* tls: from the first byte */
        const char *user, *secret;
        const struct line *lines;
        enum engine_state state; /* at the end */
        enum cause_code cause;
        const char *told; /* what the user was told; NULL: does not matter */
};

struct play {
        struct buf told, sent;
        int refuse; /* message_begin answers this */
        struct engine *engine;
        void (*on_changed)(struct engine *engine);
};

static inline void tell(struct play *play, const char *text)
{
        ck_assert_int_eq(buf_append_text(&play->told, text), 0);
}

static inline void play_opened(void *ctx, const struct mailbox_info *info)
{
        char text[128];

        (void)snprintf(text, sizeof text, "opened(%llu %u %u%s%s%s) ", (unsigned long long)info->uidvalidity,
                       info->uidnext, info->exists, info->can_idle ? " idle" : "",
                       info->can_expunge_uid ? " expunge" : "", info->read_only ? " ro" : "");
        tell(ctx, text);
}
static inline void play_not_opened(void *ctx, const struct cause *cause)
{
        tell(ctx, "not_opened(");
        tell(ctx, cause_kind(cause->code)->name);
        tell(ctx, ") ");
}
static inline void play_listed(void *ctx, const struct mailbox_entry *entries, size_t count)
{
        for (size_t i = 0; i < count; i++) {
                char text[160];
                (void)snprintf(text, sizeof text, "%u:%s:%llu%s%s ", entries[i].uid, entries[i].uidl,
                               (unsigned long long)entries[i].size, entries[i].seen ? ":seen" : "",
                               entries[i].deleted ? ":deleted" : "");
                tell(ctx, text);
        }
}
static inline void play_listed_all(void *ctx)
{
        tell(ctx, "listed ");
}
static inline int play_begin(void *ctx, const struct mailbox_entry *entry, uint64_t size)
{
        struct play *play = ctx;
        char text[64];

        (void)snprintf(text, sizeof text, "%u,%llu<", entry->uid, (unsigned long long)size);
        tell(play, text);
        return play->refuse;
}
static inline int play_piece(void *ctx, const uint8_t *bytes, size_t len)
{
        struct play *play = ctx;

        return buf_append(&play->told, bytes, len);
}
static inline int play_end(void *ctx)
{
        tell(ctx, "> ");
        return 0;
}
static inline int play_head(void *ctx, const struct mailbox_entry *entry, const char *bytes, size_t len)
{
        struct play *play = ctx;
        char text[32];

        (void)snprintf(text, sizeof text, "%u:head<", entry->uid);
        tell(play, text);
        ck_assert_int_eq(buf_append(&play->told, bytes, len), 0);
        tell(play, "> ");
        return 0;
}
static inline void play_fetched(void *ctx)
{
        tell(ctx, "fetched ");
}
static inline int play_refused(void *ctx, const struct mailbox_entry *entry, const struct cause *why)
{
        char text[320];

        (void)snprintf(text, sizeof text, "%u:refused(%.250s) ", entry->uid, why->text);
        tell(ctx, text);
        return 0;
}
static inline void play_gone(void *ctx, const struct mailbox_entry *entry, bool told)
{
        char text[32];

        (void)snprintf(text, sizeof text, "%u:%s ", entry->uid, told ? "gone" : "denied");
        tell(ctx, text);
}
static inline void play_not_marked(void *ctx, const struct mailbox_entry *entry, const struct cause *why)
{
        char text[320];

        (void)snprintf(text, sizeof text, "%u:not-marked(%.250s) ", entry->uid, why->text);
        tell(ctx, text);
}
static inline void play_marked_beside(void *ctx, const struct mailbox_entry *entries, size_t count,
                                      bool marked)
{
        char text[80];

        (void)snprintf(text, sizeof text, "%u..%u:%s ", entries[0].uid, entries[count - 1].uid,
                       marked ? "beside" : "not-beside");
        tell(ctx, text);
}
static inline void play_marked(void *ctx)
{
        tell(ctx, "marked ");
}
static inline void play_changed(void *ctx)
{
        struct play *play = ctx;

        tell(play, "changed ");
        if (play->on_changed)
                play->on_changed(play->engine);
}
static inline void play_woken(void *ctx)
{
        tell(ctx, "woken ");
}

static inline void play_idle_refused(void *ctx, const struct cause *cause)
{
        (void)cause;
        tell(ctx, "idle_refused ");
}

static bool play_dates; /* until the operation is over that a script begins with it */

static inline bool play_wants_dates(void *ctx)
{
        (void)ctx;
        return play_dates;
}

static inline void play_dated(void *ctx, time_t taken_in)
{
        char text[64];

        (void)snprintf(text, sizeof text, "dated(%lld) ", (long long)taken_in);
        tell(ctx, text);
}

static const struct mailbox_user play_user = {
        .wants_dates = play_wants_dates,
        .dated = play_dated,
        .opened = play_opened,
        .not_opened = play_not_opened,
        .listed = play_listed,
        .listed_all = play_listed_all,
        .message_begin = play_begin,
        .message_piece = play_piece,
        .message_end = play_end,
        .head = play_head,
        .refused = play_refused,
        .gone = play_gone,
        .fetched = play_fetched,
        .not_marked = play_not_marked,
        .marked = play_marked,
        .marked_beside = play_marked_beside,
        .changed = play_changed,
        .woken = play_woken,
        .idle_refused = play_idle_refused,
};

/* Given by each test: a session, and what makes its tags predictable after start and handshake. */
static struct engine *play_new(const struct script *script, struct play *play);
static void play_begun(struct engine *engine);

/* What the owner of the connection does after each call. */
static inline void play_send(struct play *play)
{
        struct buf *out = &play->engine->out;

        if (out->len)
                ck_assert_int_eq(buf_append(&play->sent, buf_bytes(out), out->len), 0);
        buf_clear(out);
}

static inline void play_feed(struct play *play, const char *text, size_t len)
{
        if (!len || play->engine->state == ENGINE_FAILED || play->engine->state == ENGINE_ENDED)
                return;
        /* an allocation of exactly this size: reading beyond it is seen */
        uint8_t *bytes = new_zeroed(len, 1);
        memcpy(bytes, text, len);
        play->engine->class->received(play->engine, bytes, len);
        free(bytes);
        play_send(play);
}

/* `cut` 0: whole; SIZE_MAX: byte by byte; else two portions. */
static inline void play_server(struct play *play, const char *text, size_t cut)
{
        size_t len = strlen(text);

        if (cut == SIZE_MAX) {
                for (size_t i = 0; i < len; i++)
                        play_feed(play, text + i, 1);
        } else if (cut < len) {
                play_feed(play, text, cut);
                play_feed(play, text + cut, len - cut);
        } else {
                play_feed(play, text, len);
        }
}

static inline void play_client(struct play *play, const struct script *script, const char *text)
{
        char *sent = buf_take_text(&play->sent);

        ck_assert_msg(strcmp(sent, text) == 0, "%s: client said\n%s\ninstead of\n%s\n(%s)", script->name,
                      sent, text, play->engine->cause->text);
        free(sent);
}

static inline void play_line(struct play *play, const struct script *script, const struct line *line,
                             size_t cut)
{
        static const struct engine_channel secure = { .tls = true };
        struct engine *engine = play->engine;

        switch (line->kind) {
        case S:
                play_server(play, line->text, cut);
                break;
        case C:
                play_client(play, script, line->text ? line->text : "");
                break;
        case TLS:
                ck_assert_msg(engine->state == ENGINE_WANTS_TLS, "%s: %s", script->name, engine->cause->text);
                engine->class->secured(engine, &secure);
                play_begun(engine);
                play_send(play);
                break;
        case DO:
                ck_assert_msg(engine->state == ENGINE_READY || engine->idle, "%s: not ready: %s",
                              script->name, engine->cause->text);
                line->act(engine);
                play_send(play);
                break;
        case CLOSE:
                engine->class->closed(engine);
                break;
        case END:
                break;
        }
}

static inline void play(const struct script *script, size_t cut)
{
        struct play play = { .told = BUF_WITH_MAX(64 * MIB), .sent = BUF_WITH_MAX(64 * MIB) };
        struct engine_channel channel = { .tls = script->tls };

        play.engine = play_new(script, &play);
        play.engine->class->start(play.engine, &channel);
        play_begun(play.engine);
        play_send(&play);
        for (const struct line *line = script->lines; line->kind != END; line++)
                play_line(&play, script, line, cut);
        ck_assert_msg(play.engine->state == script->state, "%s (cut %zu): state %d, %s", script->name, cut,
                      (int)play.engine->state, play.engine->cause->text);
        ck_assert_msg(play.engine->cause->code == script->cause, "%s (cut %zu): cause %s, %s", script->name,
                      cut, cause_kind(play.engine->cause->code)->name, play.engine->cause->text);
        char *rest = buf_take_text(&play.sent), *told = buf_take_text(&play.told);
        ck_assert_msg(rest[0] == '\0', "%s (cut %zu): client also said %s", script->name, cut, rest);
        ck_assert_msg(!script->told || strcmp(told, script->told) == 0,
                      "%s (cut %zu): told\n%s\ninstead of\n%s", script->name, cut, told, script->told);
        free(rest);
        free(told);
        play.engine->class->free(play.engine);
        buf_free(&play.sent);
        buf_free(&play.told);
}

static inline void play_every_way(const struct script *script)
{
        size_t longest = 0;

        for (const struct line *line = script->lines; line->kind != END; line++)
                if (line->kind == S && strlen(line->text) > longest)
                        longest = strlen(line->text);
        play(script, 0);
        play(script, SIZE_MAX);
        for (size_t cut = 1; cut < longest; cut++)
                play(script, cut);
}
