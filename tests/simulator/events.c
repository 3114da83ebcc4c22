/* SPDX-License-Identifier: MIT */
/* What is to happen, by its time; of one moment in an order that the seed decides. */
#include "tests/simulator/kernel.h"

struct event {
        int64_t when; /* us */
        uint64_t order, id;
        unsigned life; /* 0: of the world; else it ends with that life */
        void (*fn)(void *ctx);
        void *ctx;
};

static struct {
        struct event *heap;
        size_t count, room;
        uint64_t last_id;
} *me;

void schedule_open(void)
{
        me = world_alloc(sizeof *me);
        me->room = 1024;
        me->heap = world_alloc(me->room * sizeof me->heap[0]);
}

static bool before(const struct event *a, const struct event *b)
{
        if (a->when != b->when)
                return a->when < b->when;
        return a->order != b->order ? a->order < b->order : a->id < b->id;
}

static void swap(size_t a, size_t b)
{
        struct event event = me->heap[a];

        me->heap[a] = me->heap[b];
        me->heap[b] = event;
}

static uint64_t add(int64_t when_us, unsigned life, void (*fn)(void *ctx), void *ctx)
{
        if (me->count == me->room) {
                me->room *= 2;
                me->heap = world_realloc(me->heap, me->room * sizeof me->heap[0]);
        }
        size_t at = me->count++;
        me->heap[at] = (struct event){ .when = when_us < shared->now_us ? shared->now_us : when_us,
                                       .order = chance("order"),
                                       .id = ++me->last_id,
                                       .life = life,
                                       .fn = fn,
                                       .ctx = ctx };
        for (; at && before(&me->heap[at], &me->heap[(at - 1) / 2]); at = (at - 1) / 2)
                swap(at, (at - 1) / 2);
        return me->last_id;
}

static void remove_first(void)
{
        me->heap[0] = me->heap[--me->count];
        for (size_t at = 0;;) {
                size_t least = at, child = 2 * at + 1;
                for (size_t i = child; i < child + 2 && i < me->count; i++)
                        if (before(&me->heap[i], &me->heap[least]))
                                least = i;
                if (least == at)
                        return;
                swap(at, least);
                at = least;
        }
}

uint64_t world_at_us(int64_t when_us, void (*fn)(void *ctx), void *ctx)
{
        return add(when_us, 0, fn, ctx);
}

uint64_t world_at(int64_t when, void (*fn)(void *ctx), void *ctx)
{
        return add(when * 1000, 0, fn, ctx);
}

uint64_t world_in(int64_t ms, void (*fn)(void *ctx), void *ctx)
{
        return add(shared->now_us + ms * 1000, 0, fn, ctx);
}

uint64_t life_in_us(int64_t us, void (*fn)(void *ctx), void *ctx)
{
        return add(shared->now_us + us, shared->life, fn, ctx);
}

void world_cancel(uint64_t id)
{
        for (size_t i = 0; id && i < me->count; i++)
                if (me->heap[i].id == id) {
                        me->heap[i].fn = NULL;
                        return;
                }
}

static void drop_dead(void)
{
        while (me->count && (!me->heap[0].fn || (me->heap[0].life && me->heap[0].life != shared->life)))
                remove_first();
}

int64_t events_due(void)
{
        drop_dead();
        return me->count ? me->heap[0].when : INT64_MAX;
}

bool events_run_one(void)
{
        drop_dead();
        if (!me->count || me->heap[0].when > shared->now_us)
                return false;
        struct event event = me->heap[0];
        remove_first();
        event.fn(event.ctx);
        return true;
}

int64_t world_now(void)
{
        return shared->now_us / 1000;
}

time_t world_time(void)
{
        return (time_t)(shared->wall_start + shared->now_us / 1000000);
}
