/* SPDX-License-Identifier: MIT */
/*
 * The one event loop of the process: time, timers, watched file descriptors,
 * signals, work posted back from other threads, and worker threads for what may
 * block. All state belongs to the loop's thread; a worker gets a job, works on
 * the job alone, and the job's `done` runs on the loop.
 *
 * Only loop.c, wire/ and control/ include libevent. Time comes from here alone,
 * so that tests can move it.
 */
#pragma once

#include "common/cause.h"
#include "daemon/handle.h"

#include <time.h>

struct event_base;

/* Once per process (tests: once per case). Returns -1 with a cause. */
int loop_open(struct cause *cause) must_use;
/* Frees everything; workers are joined, their jobs' `done` is run or dropped. */
void loop_close(void);
/* Runs until loop_end(). */
void loop_run(void);
void loop_end(void);
/* Runs what is ready now without waiting; for tests. */
void loop_turn(void);
/* For wire/ and control/ only. */
struct event_base *loop_base(void);

/* Milliseconds on CLOCK_BOOTTIME, cached per loop turn; never goes back. */
int64_t loop_now(void);
/* The longest turn, in ms, of the last minute or two: how late the loop can be. */
int64_t loop_lag(void);
/* Seconds of the wall clock. While it is watched, a step of it counts only once it has been told of: nobody
 * acts by a date whose setting the others do not know yet. Smaller adjustments count at once. */
time_t loop_wall(void);
enum { LOOP_WALL_STEP_MS = 2000 };
/* By whoever watches the clock (netmon.c): that it does; a step was seen, and is told of next. */
void loop_wall_watched(bool watched);
void loop_wall_told(void);
/* Tests: stop the clocks at these values (wall may be 0 to keep the real one);
 * loop_advance() moves both and runs the timers that came due. */
void loop_freeze(int64_t now_ms, time_t wall);
void loop_advance(int64_t ms);

/* Timers: one shot; setting again replaces. Free of NULL is fine. `ms` from now. */
struct timer;
struct timer *timer_new(void (*fire)(void *ctx), void *ctx) must_use;
void timer_set(struct timer *timer, int64_t ms);
/* In the loop's next turn: for work that is too long for one, and lets others go on in between. */
void timer_set_next_turn(struct timer *timer);
void timer_stop(struct timer *timer);
bool timer_is_set(const struct timer *timer);
/* Milliseconds until it fires; -1: it is not set. */
int64_t timer_left(const struct timer *timer);
void timer_free(struct timer *timer);

/* Watching a file descriptor that the caller owns. */
enum { WATCH_READ = 1, WATCH_WRITE = 2 };
struct watch;
struct watch *watch_new(int fd, void (*ready)(void *ctx, int what), void *ctx) must_use;
void watch_for(struct watch *watch, int what); /* 0: nothing */
void watch_free(struct watch *watch);

/* A signal number handled on the loop; at most one handler each, NULL ends that. */
void loop_on_signal(int number, void (*handler)(void *ctx, int number), void *ctx);

/* Runs fn(ctx) after the present callback has returned: the way to free an
 * object from inside its own callback. Loop thread only. */
void loop_later(void (*fn)(void *ctx), void *ctx);
/* The same with the object that the handle stands for, unless it has gone by then: the way to end one, or to
 * tell one of something, from inside a call that it or its user made. Nothing for HANDLE_NONE. */
void loop_later_to(handle_id to, void (*fn)(void *object));
/* The same from any thread; wakes the loop. */
void loop_post(void (*fn)(void *ctx), void *ctx);
/* Runs fn(ctx) at the beginning of loop_close(): for what a module keeps per loop. */
void loop_on_close(void (*fn)(void *ctx), void *ctx);

/* Worker threads, started as they are needed up to `threads`. Jobs of one pool
 * start in order; a pool of one thread is a strict queue. What a job answers to is named in it by a handle:
 * it may have gone by the time of `done`. */
struct workers;
struct job {
        void (*work)(struct job *job); /* on a worker thread */
        void (*done)(struct job *job); /* on the loop; frees the job's object */
        struct job *next;              /* the pool's own */
};
struct workers *workers_new(const char *name, unsigned threads) must_use;
void workers_run(struct workers *workers, struct job *job);
/* Finishes every job given so far (their `done` runs), then ends the threads. */
void workers_free(struct workers *workers);
/* As workers_free for jobs that may hang (name lookups): those not begun are done()
 * without having worked, those in progress are neither waited for nor told of: what they hold
 * stays until the process ends. */
void workers_abandon(struct workers *workers);
/* From `work` of a job: what follows waits for somebody else (a client's file), or no longer does. */
void workers_outside(bool outside);
/* How long, in ms, the oldest job has been worked on that has not finished; 0 when idle. */
int64_t workers_busy_for(const struct workers *workers);
/* How long, in ms, the pool has made no progress by its own fault: the oldest job in progress that does not
 * wait for somebody else, or jobs waiting while no thread begins one. 0 when all is well. For the watchdog.
 */
int64_t workers_stuck_for(const struct workers *workers);
