/* SPDX-License-Identifier: MIT */
/*
 * Timers: a heap of our own, by due time and then by the order of setting. The loop needs one alarm for the
 * first of them, however many there are, and tests can move time without waiting.
 */
#include "daemon/heap.h"
#include "daemon/loop_parts.h"

struct timer {
        void (*fire)(void *ctx);
        void *ctx;
        struct heap_item set; /* key: when it is due */
};

static struct heap timers;
static uint64_t setting; /* order of the next one */

struct timer *timer_new(void (*fire)(void *ctx), void *ctx)
{
        struct timer *timer = new_object(struct timer);

        timer->fire = fire;
        timer->ctx = ctx;
        return timer;
}

void timer_set(struct timer *timer, int64_t ms)
{
        timer->set.key = loop_now() + (ms > 0 ? ms : 0);
        timer->set.order = setting++;
        heap_put(&timers, &timer->set);
}

/* Due a moment later, and not at once: loop_advance() fires what is due as long as there is any. */
void timer_set_next_turn(struct timer *timer)
{
        enum { NEXT_TURN_MS = 1 };

        timer_set(timer, NEXT_TURN_MS);
}

void timer_stop(struct timer *timer)
{
        if (timer)
                heap_take(&timers, &timer->set);
}

bool timer_is_set(const struct timer *timer)
{
        return timer->set.place != 0;
}

int64_t timer_left(const struct timer *timer)
{
        int64_t left = timer->set.key - loop_now();

        return !timer_is_set(timer) ? -1 : left > 0 ? left : 0;
}

void timer_free(struct timer *timer)
{
        timer_stop(timer);
        free(timer);
}

int64_t timers_next_due(void)
{
        const struct heap_item *first = heap_first(&timers);

        return first ? first->key : INT64_MAX;
}

uint64_t timers_next_order(void)
{
        return setting;
}

/* What was set in this turn is due in it at the earliest, and so stands behind all that was set before. */
bool timers_fire_one(int64_t now, uint64_t before)
{
        struct heap_item *first = heap_first(&timers);

        if (!first || first->key > now || first->order >= before)
                return false;
        struct timer *timer = container_of(first, struct timer, set);
        timer_stop(timer);
        timer->fire(timer->ctx); /* may free the timer */
        return true;
}

void timers_stop_all(void)
{
        heap_clear(&timers);
}
