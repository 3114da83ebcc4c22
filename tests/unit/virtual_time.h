/* SPDX-License-Identifier: MIT */
/*
 * Time that passes when a test says so. The loop's clocks are frozen and moved from timer to timer; what
 * threads do is done by the loop itself, in the order it was asked: this stands in for daemon/workers.c,
 * which is then not linked. So days of back-off take milliseconds, and every run is the same.
 */
#pragma once

#include "daemon/loop_parts.h"

#include <stdio.h>
#include <stdlib.h>

/* An assertion that writes nothing while it holds: Check notes each of its own in a file, which a test of a
 * full disk must not. */
#define must(condition) \
        do { \
                if (!(condition)) { \
                        (void)fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
                        abort(); \
                } \
        } while (0)

enum { VIRTUAL_CALLS_MOST = 100000 }; /* calls put off in a row: more are a circle */

/* ---- workers without threads ---- */

struct workers {
        struct job *first, **end;
        bool called; /* virtual_run_jobs() is on its way */
        struct workers *next;
};
static struct workers *virtual_pools;

static struct job *virtual_take(struct workers *pool)
{
        struct job *job = pool->first;

        pool->first = job->next;
        if (!pool->first)
                pool->end = &pool->first;
        return job;
}

static bool virtual_is_there(const struct workers *pool)
{
        const struct workers *one = virtual_pools;

        while (one && one != pool)
                one = one->next;
        return one != NULL;
}

/* Those that are there now; a `done` may ask for more, or free the pool. */
static void virtual_run_jobs(void *ctx)
{
        struct workers *pool = ctx;

        if (!virtual_is_there(pool))
                return;
        pool->called = false;
        while (virtual_is_there(pool) && pool->first) {
                struct job *job = virtual_take(pool);
                job->work(job);
                job->done(job);
        }
}

struct workers *workers_new(unused_arg const char *name, unused_arg unsigned threads)
{
        struct workers *pool = new_object(struct workers);

        pool->end = &pool->first;
        pool->next = virtual_pools;
        virtual_pools = pool;
        return pool;
}

void workers_run(struct workers *pool, struct job *job)
{
        job->next = NULL;
        *pool->end = job;
        pool->end = &job->next;
        if (!pool->called)
                loop_later(virtual_run_jobs, pool);
        pool->called = true;
}

static void virtual_end(struct workers *pool, bool work)
{
        struct workers **at = &virtual_pools;

        while (pool->first) {
                struct job *job = virtual_take(pool);
                if (work)
                        job->work(job);
                job->done(job);
        }
        while (*at != pool)
                at = &(*at)->next;
        *at = pool->next;
        free(pool);
}

void workers_free(struct workers *pool)
{
        if (pool)
                virtual_end(pool, true);
}

void workers_abandon(struct workers *pool)
{
        if (pool)
                virtual_end(pool, false);
}

void workers_free_all(void)
{
        while (virtual_pools)
                workers_free(virtual_pools);
}

void workers_outside(unused_arg bool outside)
{
}

int64_t workers_busy_for(unused_arg const struct workers *pool)
{
        return 0;
}

int64_t workers_stuck_for(unused_arg const struct workers *pool)
{
        return 0;
}

/* ---- time ---- */

/* All that is to be done at this moment. */
static inline void settle(void)
{
        for (int i = 0; calls_put_off(); i++) {
                must(i < VIRTUAL_CALLS_MOST);
                calls_run_later();
        }
}

/* Lets so much time pass: each timer fires when it is due, and what follows from it is done at that moment.
 */
static inline void pass_ms(int64_t ms)
{
        int64_t until = loop_now() + ms;

        settle();
        while (timers_next_due() <= until) {
                loop_advance(timers_next_due() > loop_now() ? timers_next_due() - loop_now() : 0);
                settle();
        }
        loop_advance(until - loop_now());
}

static inline void pass(int64_t seconds)
{
        pass_ms(seconds * 1000);
}

/* Somebody sets the wall clock: nothing else moves. */
static inline void step_clock(int64_t seconds)
{
        loop_freeze(loop_now(), loop_wall() + (time_t)seconds);
}
