/* SPDX-License-Identifier: MIT */
/*
 * A session's chat: what arrives goes to it at once; what it has to say, and what it has come to, is looked at once a
 * turn, however many calls led there (link_flush). So nobody has to say that a chat was called, and no user is called
 * from inside a call of his own.
 */
#include "common/times.h"
#include "common/printable.h"
#include "daemon/journal.h"
#include "daemon/session/session_parts.h"
#include "daemon/tls/clock_doubt.h"

enum {
        CHUNK_OUT = 256 * 1024,
        PROGRESS_LEAST = 512,   /* bytes of what was asked for, within one deadline, for which the next one is given */
};

/* Moves what the chat wants to say to the connection, in bounded portions. */
static void move_out(struct link *link)
{
        struct buf *out = &link->chat->out;

        while (out->len && connection_unsent(link->connection) < CHUNK_OUT) {
                size_t len = out->len < CHUNK_OUT ? out->len : CHUNK_OUT;
                connection_write(link->connection, buf_bytes(out), len);
                buf_consume(out, len);
        }
        if (!out->len && !link->was_ready)
                buf_wipe(out); /* what signs in does not stay in memory */
        else
                buf_release(out);
        if (link->drained)
                chat_release(link->chat);
        link->drained = false;
}

/* The deadline of what is awaited. It begins anew with each thing awaited, and while enough comes of what was asked
 * for, but not with bytes of any other kind: a server that dribbles gains no time. */
static void arm(struct link *link)
{
        const struct chat *chat = link->chat;
        unsigned wait = chat->wait ? chat->wait : link->plan.timeout_seconds;
        bool anew = link->armed_waits != chat->waits || chat->progress - link->armed_progress >= PROGRESS_LEAST;

        if (chat->idle || link->paused || link->calculating) {
                connection_expect(link->connection, 0, NULL);
                link->armed = false;
        } else if (!link->armed || anew) {
                connection_expect(link->connection, chat->bound ? wait : link_share(link), chat->phrase);
                link->armed = true;
                link->armed_waits = chat->waits;
                link->armed_progress = chat->progress;
        }
}

void link_hold_reading(const struct link *link)
{
        if (link->connection && link->talking)
                connection_pause(link->connection, link->paused || link->calculating || link->chat->calculation ||
                                                           chat_is_over(link->chat));
}

/* A greeting that has a date shows what time it is elsewhere. */
static void note_time(const struct link *link)
{
        scoped(scoped_free) char *who = text_of("that of %.40s", link->plan.host);

        if (link->chat->greeting)
                clock_doubt_said(time_in_words(link->chat->greeting), false, who, loop_now());
}

static void became_ready(struct link *link)
{
        link->was_ready = true;
        connection_served(link->connection);
        note_time(link);
        link_note_signin(link);
        link_touch(link);
        if (link->user->reached)
                link->user->reached(link->ctx, LINK_READY, NULL);
        if (link->connection && link->user->ready)
                link->user->ready(link->ctx);
}

/* Looks at what the chat has come to. The user is called last, and may close the link. */
static void link_flush(void *object)
{
        struct link *link = object;
        const struct chat *chat = link->chat;
        struct cause none = { 0 };

        link->touched = false;
        if (!link->connection || !link->talking)
                return;
        if (chat->state == CHAT_FAILED) {
                link_lose(link, chat->cause);
                return;
        }
        move_out(link);
        if (chat->state == CHAT_ENDED) {
                link_end_with(link, &none, "");
                return;
        }
        if (chat->state == CHAT_WANTS_TLS) {
                if (!link->channel)
                        link_begin_tls(link, false);
                return;
        }
        if (chat->calculation)
                link_calculate(link);
        link_hold_reading(link);
        arm(link);
        if (chat->state == CHAT_READY && !link->was_ready) {
                became_ready(link);
        } else if (link->moved && link->was_ready) {
                link->moved = false;
                if (link->user->progress)
                        link->user->progress(link->ctx);
        }
}

void link_touch(struct link *link)
{
        if (link->touched)
                return;
        link->touched = true;
        loop_later_to(link->self, link_flush);
}

/* ---- what happens to the chat ---- */

static void chat_is_due(void *ctx)
{
        link_touch(ctx);
}

static void trace_line(void *ctx, char direction, const char *line, size_t len)
{
        const struct link *link = ctx;
        struct subject subject = link_subject(link);
        char text[1024];

        (void)printable_copy(text, sizeof text, line, len);
        log_about(&subject, LOG_INFO, NULL, "%s: %c %s", link->plan.account, direction, text);
}

static void trace_step(void *ctx, const char *from, const char *to)
{
        const struct link *link = ctx;
        struct subject subject = link_subject(link);

        log_about(&subject, LOG_INFO, NULL, "%s: %s -> %s", link->plan.account, from, to);
}

void link_use_chat(struct link *link, struct chat *chat)
{
        link->chat = chat;
        chat->due = chat_is_due;
        chat->owner = link;
        if (link->plan.debug) {
                chat->trace = trace_line;
                chat->traced_step = trace_step;
                chat->trace_ctx = link;
        }
}

void link_talk(struct link *link, const struct chat_channel *channel)
{
        const struct chat_class *class = link->chat->class;

        if (link->talking)
                class->secured(link->chat, channel);
        else
                class->start(link->chat, channel);
        link->talking = true;
        link_hold_reading(link);
        link_touch(link);
}

void link_received(struct link *link, const uint8_t *bytes, size_t len)
{
        link->heard = link->moved = true;
        link->chat->class->received(link->chat, bytes, len);
        link_hold_reading(link);
        link_touch(link);
}

void link_drained(struct link *link)
{
        struct chat *chat = link->chat;

        link->moved = link->drained = true;
        if (link->talking && chat->class->drained && !chat->out.len)
                chat->class->drained(chat);
        link_touch(link);
}

void link_calculated(struct link *link, const struct calculation *calculation)
{
        chat_calculated(link->chat, calculation);
        link_hold_reading(link);
        link_touch(link);
}
