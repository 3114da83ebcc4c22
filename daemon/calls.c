/* SPDX-License-Identifier: MIT */
/*
 * Calls that run on the loop a little later: put off by the loop's own thread, or
 * posted by another one, which wakes the loop.
 */
#include "daemon/loop_parts.h"

#include <pthread.h>
#include <sys/eventfd.h>

enum {
        CALLS_KEPT = 4096,     /* a longer list gives its memory back */
        CLOSING_ROUNDS = 1000, /* calls that call again end some time */
};

struct later_call {
        void (*fn)(void *ctx);
        void *ctx;
        handle_id to; /* in place of ctx; HANDLE_NONE: ctx counts */
};
struct calls {
        struct later_call *items;
        size_t count, size;
};

static struct calls later, closing;

/* The eventfd is written when the list stops being empty: one wake-up for however
 * many calls arrive before the loop looks. */
static struct {
        pthread_mutex_t lock;
        struct calls calls;
        int fd;
} inbox = { .lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1 };

static void add(struct calls *calls, struct later_call call)
{
        if (calls->count == calls->size) {
                calls->size = calls->size ? 2 * calls->size : 16;
                calls->items = new_resized(calls->items, calls->size, sizeof *calls->items);
        }
        calls->items[calls->count++] = call;
}

static struct calls take_all(struct calls *calls)
{
        struct calls taken = *calls;

        *calls = (struct calls){ 0 };
        return taken;
}

static void run(struct calls *taken)
{
        for (size_t i = 0; i < taken->count; i++) {
                const struct later_call *call = &taken->items[i];
                void *ctx = call->to ? handle_object(call->to) : call->ctx;
                if (ctx || !call->to)
                        call->fn(ctx);
        }
        taken->count = 0;
}

/* Puts the memory back unless a new list has begun to grow there. */
static void give_back(struct calls *calls, struct calls *taken)
{
        if (calls->items || taken->size > CALLS_KEPT)
                free(taken->items);
        else
                *calls = *taken;
}

static void forget(struct calls *calls)
{
        struct calls all = take_all(calls);

        free(all.items);
}

void loop_later(void (*fn)(void *ctx), void *ctx)
{
        add(&later, (struct later_call){ .fn = fn, .ctx = ctx });
}

void loop_later_to(handle_id to, void (*fn)(void *object))
{
        if (to)
                add(&later, (struct later_call){ .fn = fn, .to = to });
}

void loop_on_close(void (*fn)(void *ctx), void *ctx)
{
        add(&closing, (struct later_call){ .fn = fn, .ctx = ctx });
}

void loop_post(void (*fn)(void *ctx), void *ctx)
{
        pthread_mutex_lock(&inbox.lock);
        bool first = inbox.calls.count == 0;
        add(&inbox.calls, (struct later_call){ .fn = fn, .ctx = ctx });
        /* Cannot fail: the counter of an eventfd never gets near its maximum here. */
        if (first && inbox.fd >= 0)
                (void)eventfd_write(inbox.fd, 1);
        pthread_mutex_unlock(&inbox.lock);
}

bool calls_put_off(void)
{
        return later.count != 0;
}

void calls_run_later(void)
{
        if (later.count == 0)
                return;
        struct calls taken = take_all(&later);
        run(&taken);
        give_back(&later, &taken);
}

void calls_run_posted(void)
{
        eventfd_t count;

        pthread_mutex_lock(&inbox.lock);
        if (inbox.fd >= 0)
                (void)eventfd_read(inbox.fd, &count); /* empty is fine */
        struct calls taken = take_all(&inbox.calls);
        pthread_mutex_unlock(&inbox.lock);
        run(&taken);
        pthread_mutex_lock(&inbox.lock);
        give_back(&inbox.calls, &taken);
        pthread_mutex_unlock(&inbox.lock);
}

int calls_open(void)
{
        inbox.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        return inbox.fd;
}

void calls_run_closing(void)
{
        struct calls taken = take_all(&closing);

        run(&taken);
        free(taken.items);
}

void calls_run_rest(void)
{
        for (int i = 0; i < CLOSING_ROUNDS && (later.count || inbox.calls.count); i++) {
                calls_run_posted();
                calls_run_later();
        }
}

void calls_close(void)
{
        forget(&later);
        forget(&closing);
        pthread_mutex_lock(&inbox.lock);
        forget(&inbox.calls);
        close_fd(&inbox.fd);
        pthread_mutex_unlock(&inbox.lock);
}
