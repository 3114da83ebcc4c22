/* SPDX-License-Identifier: MIT */
/*
 * Timers: a binary heap of our own, ordered by due time and then by the order of
 * setting. The loop needs one alarm for the first of them, however many there are,
 * and tests can move time without waiting.
 */
#include "daemon/loop_parts.h"

struct timer {
        void (*fire)(void *ctx);
        void *ctx;
        int64_t due;
        uint64_t order; /* equal due times fire in the order of setting */
        size_t place;   /* index in the heap plus 1; 0 = not set */
};

static struct {
        struct timer **items;
        size_t count, size;
        uint64_t order;
} heap;

static bool comes_before(const struct timer *a, const struct timer *b)
{
        return a->due != b->due ? a->due < b->due : a->order < b->order;
}

static void put_at(size_t index, struct timer *timer)
{
        heap.items[index] = timer;
        timer->place = index + 1;
}

/* Finds the place for `timer`, starting from the free place `index`. */
static void settle(size_t index, struct timer *timer)
{
        while (index > 0 && comes_before(timer, heap.items[(index - 1) / 2])) {
                put_at(index, heap.items[(index - 1) / 2]);
                index = (index - 1) / 2;
        }
        for (;;) {
                size_t child = 2 * index + 1;
                if (child + 1 < heap.count && comes_before(heap.items[child + 1], heap.items[child]))
                        child++;
                if (child >= heap.count || comes_before(timer, heap.items[child]))
                        break;
                put_at(index, heap.items[child]);
                index = child;
        }
        put_at(index, timer);
}

struct timer *timer_new(void (*fire)(void *ctx), void *ctx)
{
        struct timer *timer = new_object(struct timer);

        timer->fire = fire;
        timer->ctx = ctx;
        return timer;
}

void timer_set(struct timer *timer, int64_t ms)
{
        size_t index = timer->place - 1;

        if (timer->place == 0) {
                if (heap.count == heap.size) {
                        heap.size = heap.size ? 2 * heap.size : 16;
                        heap.items = new_resized(heap.items, heap.size, sizeof *heap.items);
                }
                index = heap.count++;
                heap.items[index] = timer;
        }
        timer->due = loop_now() + (ms > 0 ? ms : 0);
        timer->order = heap.order++;
        settle(index, timer);
}

/* Due a moment later, and not at once: loop_advance() fires what is due as long as there is any. */
void timer_set_next_turn(struct timer *timer)
{
        enum { NEXT_TURN_MS = 1 };

        timer_set(timer, NEXT_TURN_MS);
}

void timer_stop(struct timer *timer)
{
        if (!timer || timer->place == 0)
                return;
        size_t index = timer->place - 1;
        struct timer *last = heap.items[--heap.count];
        timer->place = 0;
        if (last != timer)
                settle(index, last);
}

bool timer_is_set(const struct timer *timer)
{
        return timer->place != 0;
}

int64_t timer_left(const struct timer *timer)
{
        int64_t left = timer->due - loop_now();

        return timer->place == 0 ? -1 : left > 0 ? left : 0;
}

void timer_free(struct timer *timer)
{
        timer_stop(timer);
        free(timer);
}

int64_t timers_next_due(void)
{
        return heap.count ? heap.items[0]->due : INT64_MAX;
}

uint64_t timers_next_order(void)
{
        return heap.order;
}

/* What was set in this turn is due in it at the earliest, and so stands behind all that was set before. */
bool timers_fire_one(int64_t now, uint64_t before)
{
        if (timers_next_due() > now || heap.items[0]->order >= before)
                return false;
        struct timer *timer = heap.items[0];
        timer_stop(timer);
        timer->fire(timer->ctx); /* may free the timer */
        return true;
}

void timers_stop_all(void)
{
        while (heap.count)
                heap.items[--heap.count]->place = 0;
        free(heap.items);
        heap.items = NULL;
        heap.size = 0;
}
