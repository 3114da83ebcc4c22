/* SPDX-License-Identifier: MIT */
/*
 * Sessions without sockets: what daemon/session/session.h declares, between an engine and a server that the test plays,
 * line by line. It stands in for the session*.c files, which are then not linked. What a session otherwise learns of
 * the network and of trust is set by the test, in `net` for all, or in one `struct link`.
 */
#pragma once

#include "common/buf.h"
#include "common/limits.h"
#include "daemon/loop.h"
#include "daemon/session/session.h"
#include "daemon/session/session_limits.h"

#include "virtual_time.h"

#include <stdio.h>

/* The world around. */
static struct {
        enum cause_code fails;          /* CAUSE_NONE: sessions come about; else each ends by this before its first word */
        const char *challenge_id;       /* of CAUSE_CHALLENGE */
        bool contended;                 /* others wait for a place */
        bool silent;                    /* servers say nothing any more */
        unsigned opened, open, open_most; /* sessions: ever; now; at once, at most */
        struct link *first;
} net;

struct link {
        handle_id self;
        struct link_plan plan;
        struct chat *chat;
        const struct link_user *user;
        void *ctx;
        struct buf heard, said;         /* by the server: not yet a line; on its way to the engine */
        bool touched, talking, was_ready, over, paused;
        bool unrouted, untrusted, trust_moved; /* what link_still_*() tell */
        struct cause why;
        char challenge_id[13];
        struct timer *deadline;
        unsigned waits;                 /* of the engine, for which it is set */
        int state;                      /* the test's: what its server is at */
        struct link *next;
};

/* The server, by the test: a session has begun (it may greet); a line has come, without its end. */
static void server_begins(struct link *link);
static void server_hears(struct link *link, char *line);

static void script_touch(struct link *link);

/* The server says this, line ends included. */
static inline void server_says(struct link *link, const char *format, ...)
{
        char text[4096];
        va_list args;

        va_start(args, format);
        int len = vsnprintf(text, sizeof text, format, args);
        va_end(args);
        must(len < (int)sizeof text);
        must(buf_append(&link->said, text, (size_t)len) == 0);
        script_touch(link);
}

static void script_tell_end(void *object)
{
        struct link *link = object;

        link->user->ended(link->ctx, &link->why, link->challenge_id);
}

static inline void script_end(struct link *link, const struct cause *why, const char *challenge_id)
{
        if (link->over)
                return;
        link->over = true;
        net.open--;
        link->why = *why;
        (void)snprintf(link->challenge_id, sizeof link->challenge_id, "%s", challenge_id);
        if (why->code != CAUSE_NONE && !chat_is_over(link->chat))
                (void)chat_fail_with(link->chat, why);
        timer_stop(link->deadline);
        loop_later_to(link->self, script_tell_end);
}

/* The server closes the connection. */
static inline void server_closes(struct link *link)
{
        if (link->over)
                return;
        struct cause why = { 0 };
        if (!chat_is_over(link->chat))
                link->chat->class->closed(link->chat);
        if (link->chat->state == CHAT_FAILED)
                why = *link->chat->cause;
        else if (link->chat->state != CHAT_ENDED)
                cause_set(&why, CAUSE_CLOSED, "%s closed the connection", link->plan.host);
        script_end(link, &why, "");
}

/* Others wait for a place: those who sit on one are told. */
static inline void net_contends(void)
{
        net.contended = true;
        for (struct link *one = net.first; one; one = one->next)
                if (!one->over && one->user->wanted)
                        one->user->wanted(one->ctx);
        settle();
}

/* The connection breaks: all sessions lose it at once where `link` is NULL. */
static inline void net_breaks(struct link *link, enum cause_code code)
{
        struct cause why;

        cause_set(&why, code, "the connection broke");
        for (struct link *one = net.first; one; one = one->next)
                if (!link || one == link)
                        script_end(one, &why, "");
}

static void script_late(void *ctx)
{
        struct link *link = ctx;
        struct cause why;

        cause_set(&why, CAUSE_TIMEOUT, "no answer: %s", link->chat->phrase ? link->chat->phrase : "");
        script_end(link, &why, "");
}

static inline void script_arm(struct link *link)
{
        const struct chat *chat = link->chat;
        unsigned seconds = chat->wait ? chat->wait : link->plan.timeout_seconds;

        if (chat->idle || link->paused)
                timer_stop(link->deadline);
        else if (!timer_is_set(link->deadline) || link->waits != chat->waits)
                timer_set(link->deadline, (int64_t)seconds * 1000);
        link->waits = chat->waits;
}

/* What the engine has said goes to the server, line by line. */
static inline void script_hand_over(struct link *link)
{
        struct buf *out = &link->chat->out;

        must(!out->len || buf_append(&link->heard, buf_bytes(out), out->len) == 0);
        buf_clear(out);
        for (;;) {
                const char *bytes = link->heard.len ? (const char *)buf_bytes(&link->heard) : "";
                const char *end = link->heard.len ? memchr(bytes, '\n', link->heard.len) : NULL;
                if (!end || net.silent)
                        return;
                size_t len = (size_t)(end - bytes);
                scoped(scoped_free) char *line = copy_bytes(bytes, len && end[-1] == '\r' ? len - 1 : len);
                buf_consume(&link->heard, len + 1);
                server_hears(link, line);
        }
}

static void script_calculate(struct link *link)
{
        struct calculation *calculation = take(link->chat->calculation);

        calculation->work(calculation);
        chat_calculated(link->chat, calculation);
        calculation->free(calculation);
        script_touch(link);
}

static void script_flush(void *object)
{
        struct link *link = object;
        struct chat *chat = link->chat;
        const struct cause none = { 0 };
        bool moved = false;

        link->touched = false;
        if (link->over || !link->talking)
                return;
        if (chat->out.len || link->heard.len)
                script_hand_over(link);
        if (chat->calculation) {
                script_calculate(link);
        } else if (link->said.len && !link->paused && !chat_is_over(chat) && !link->over) {
                struct buf said = link->said;
                link->said = BUF_WITH_MAX(64 * MIB);
                moved = true;
                chat->class->received(chat, buf_bytes(&said), said.len);
                if (chat->class->drained && !chat->out.len && !chat_is_over(chat))
                        chat->class->drained(chat);
                buf_free(&said);
                script_touch(link);
        }
        if (link->over)
                return;
        if (chat->state == CHAT_FAILED || chat->state == CHAT_ENDED) {
                script_end(link, chat->state == CHAT_FAILED ? chat->cause : &none, "");
                return;
        }
        script_arm(link);
        if (chat->state == CHAT_READY && !link->was_ready) {
                link->was_ready = true;
                if (link->user->reached)
                        link->user->reached(link->ctx, LINK_READY, NULL);
                link->user->ready(link->ctx);
        } else if (moved && link->was_ready && link->user->progress) {
                link->user->progress(link->ctx);
        }
}

static void script_touch(struct link *link)
{
        if (link->touched)
                return;
        link->touched = true;
        loop_later_to(link->self, script_flush);
}

static void script_due(void *owner)
{
        script_touch(owner);
}

static void script_begin(void *object)
{
        struct link *link = object;
        struct chat_channel channel = { .tls = true };
        struct cause why = { 0 };

        if (net.fails != CAUSE_NONE) {
                cause_set(&why, net.fails, "it did not come about");
                script_end(link, &why, net.fails == CAUSE_CHALLENGE ? net.challenge_id : "");
                return;
        }
        if (link->user->reached)
                link->user->reached(link->ctx, LINK_CONNECTED, NULL);
        link->talking = true;
        link->chat->class->start(link->chat, &channel);
        if (!net.silent)
                server_begins(link);
        script_touch(link);
}

/* ---- what session.h declares ---- */

void link_plan_of(const struct property_values *values, struct link_plan *plan)
{
        *plan = (struct link_plan){
                .account = prop_text(values, PROP_NAME),
                .direction = values->kind == KIND_OUTGOING ? "outgoing" : "incoming",
                .host = prop_text(values, PROP_HOSTNAME),
                .timeout_seconds = (unsigned)prop_number(values, PROP_CONNECTION_TIMEOUT),
                .record = true,
        };
}

struct link *link_open(const struct link_plan *plan, struct chat *chat, const struct link_user *user, void *ctx)
{
        struct link *link = new_object(struct link);

        link->self = handle_new(link);
        link->plan = *plan;
        link->chat = chat;
        link->user = user;
        link->ctx = ctx;
        link->heard = link->said = BUF_WITH_MAX(64 * MIB);
        link->deadline = timer_new(script_late, link);
        chat->due = script_due;
        chat->owner = link;
        link->next = net.first;
        net.first = link;
        net.opened++;
        if (++net.open > net.open_most)
                net.open_most = net.open;
        loop_later_to(link->self, script_begin);
        return link;
}

static void script_free_chat(void *ctx)
{
        struct chat *chat = ctx;

        chat->class->free(chat);
}

void link_close(struct link *link)
{
        if (!link || !link->self)
                return;
        struct link **at = &net.first;
        while (*at != link)
                at = &(*at)->next;
        *at = link->next;
        net.open -= !link->over;
        handle_drop(&link->self);
        timer_free(link->deadline);
        link->chat->due = NULL;
        loop_later(script_free_chat, link->chat);
        buf_free(&link->heard);
        buf_free(&link->said);
        loop_later(free, link);
}

struct chat *link_chat(struct link *link)
{
        return link->chat;
}

handle_id link_handle(const struct link *link)
{
        return link->self;
}

void link_pause(struct link *link, bool paused)
{
        link->paused = paused;
        script_touch(link);
}

void link_quit(struct link *link)
{
        const struct cause none = { 0 };

        if (link->chat->state == CHAT_READY && !link->over)
                link->chat->class->quit(link->chat);
        else
                script_end(link, &none, "");
}

struct connection_times link_times(unused_arg const struct link *link)
{
        return (struct connection_times){ -1, -1, -1 };
}

const char *link_address(unused_arg const struct link *link)
{
        return "";
}

const char *link_before(unused_arg const struct link *link)
{
        return NULL;
}

bool link_tls_info(unused_arg const struct link *link, unused_arg struct channel_info *out)
{
        return false;
}

const struct tls_facts *link_facts(unused_arg const struct link *link)
{
        return NULL;
}

bool link_contended(unused_arg const struct link *link)
{
        return net.contended;
}

bool link_still_routed(const struct link *link)
{
        return !link->unrouted;
}

bool link_still_trusted(const struct link *link)
{
        return !link->untrusted;
}

bool link_trust_moved(const struct link *link)
{
        return link->trust_moved;
}

void link_tell_account(unused_arg const struct link *link, unused_arg enum link_mark mark, unused_arg struct account *account)
{
}

int64_t link_waits_ms(unused_arg const struct link *link)
{
        return -1;
}

char *link_waits_words(unused_arg const struct link *link)
{
        return NULL;
}

void links_start_waiting(void)
{
}
