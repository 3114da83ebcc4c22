/* SPDX-License-Identifier: MIT */
/*
 * The event loop: libevent watches descriptors and signals; time is kept here,
 * timers in timers.c, calls put off or posted in calls.c, threads in workers.c.
 *
 * One turn: calls put off, timers due, one look at the descriptors, calls put off
 * again. A single timerfd on CLOCK_BOOTTIME wakes the loop for its first timer, so
 * that timers which came due during a suspend fire on waking up.
 */
#include "daemon/loop.h"

#include "daemon/loop_parts.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { SIGNALS = 65, MINUTE_MS = 60 * 1000 };

struct watch {
        struct event read, *write; /* write: NULL until it is asked for, which is seldom */
        void (*ready)(void *ctx, int what);
        void *ctx;
        int what;                   /* asked for now */
        struct watch *next, **link; /* in loop.watches */
};

static struct {
        struct event_base *base;
        int64_t now;
        bool now_is_read; /* `now` is this turn's */
        bool frozen;
        int64_t frozen_at;
        time_t frozen_wall;  /* 0: the wall clock is the real one */
        bool wall_watched;   /* a step of the wall clock counts when it has been told of */
        int64_t wall_offset; /* ms: wall clock minus boot time, as last told */
        bool ending;
        int alarm_fd;
        int64_t lag, lag_before; /* longest turn of this minute and of the one before */
        int64_t lag_since;       /* when this minute began */
        int64_t alarm_due;       /* what the timerfd is set to; INT64_MAX = nothing */
        struct event alarm, inbox;
        struct watch *watches;
        struct {
                struct event event;
                void (*handler)(void *ctx, int number);
                void *ctx;
        } signals[SIGNALS];
} loop = { .alarm_fd = -1 };

/* ---- time ---- */

static int64_t clock_ms(clockid_t clock)
{
        struct timespec time;

        (void)clock_gettime(clock, &time);
        return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

int64_t loop_now(void)
{
        if (!loop.now_is_read && !loop.frozen) {
                loop.now = clock_ms(CLOCK_BOOTTIME);
                loop.now_is_read = true;
        }
        return loop.now;
}

time_t loop_wall(void)
{
        if (loop.frozen && loop.frozen_wall)
                return loop.frozen_wall + (time_t)((loop.now - loop.frozen_at) / 1000);
        int64_t wall = clock_ms(CLOCK_REALTIME), boot = clock_ms(CLOCK_BOOTTIME),
                step = wall - boot - loop.wall_offset;
        bool adjusted = step > -LOOP_WALL_STEP_MS && step < LOOP_WALL_STEP_MS;

        if (adjusted || !loop.wall_watched)
                loop.wall_offset = wall - boot;
        return (time_t)((boot + loop.wall_offset) / 1000);
}

void loop_wall_watched(bool watched)
{
        loop.wall_watched = watched;
        loop_wall_told();
}

void loop_wall_told(void)
{
        loop.wall_offset = clock_ms(CLOCK_REALTIME) - clock_ms(CLOCK_BOOTTIME);
}

void loop_freeze(int64_t now_ms, time_t wall)
{
        loop.frozen = true;
        loop.now = loop.frozen_at = now_ms;
        loop.frozen_wall = wall;
}

void loop_advance(int64_t ms)
{
        int64_t until = loop.now + ms;

        calls_run_later();
        while (timers_next_due() <= until) {
                if (timers_next_due() > loop.now)
                        loop.now = timers_next_due();
                (void)timers_fire_one(loop.now, UINT64_MAX);
                calls_run_later();
        }
        loop.now = until;
}

static void on_alarm(evutil_socket_t fd, unused_arg short what, unused_arg void *ctx)
{
        uint64_t count;

        /* Nothing to read means that it was set anew meanwhile. The turn fires the timers. */
        if (read(fd, &count, sizeof count) == (ssize_t)sizeof count)
                loop.alarm_due = INT64_MAX;
}

/* The alarm may be too early (its timer was stopped): then one turn finds nothing
 * to do. It is never too late. This saves a system call for most deadlines. No turn waits for one that is due
 * already. */
static void set_alarm(void)
{
        int64_t due = timers_next_due();

        if (loop.frozen || due >= loop.alarm_due || due <= loop_now())
                return;
        struct itimerspec when = {
                .it_value = { .tv_sec = (time_t)(due / 1000), .tv_nsec = (long)(due % 1000) * 1000000 },
        };
        if (timerfd_settime(loop.alarm_fd, TFD_TIMER_ABSTIME, &when, NULL) == 0)
                loop.alarm_due = due;
}

/* Each once, as they were set at the beginning: a timer that sets itself to "now" again is one of the next
 * turn. */
static void fire_timers(void)
{
        uint64_t before = timers_next_order();

        while (timers_fire_one(loop_now(), before))
                calls_run_later();
}

/* ---- running ---- */

static void on_inbox(unused_arg evutil_socket_t fd, unused_arg short what, unused_arg void *ctx)
{
        calls_run_posted();
}

/* The turn before ends here: what it did took from the first look at the clock after waiting until now. */
static void end_turn(void)
{
        bool worked = loop.now_is_read;
        int64_t began = loop.now;

        loop.now_is_read = false;
        int64_t now = loop_now();
        if (now - loop.lag_since >= MINUTE_MS) {
                loop.lag_before = now - loop.lag_since < 2 * MINUTE_MS ? loop.lag : 0;
                loop.lag = 0;
                loop.lag_since = now;
        }
        if (worked && now - began > loop.lag)
                loop.lag = now - began;
}

int64_t loop_lag(void)
{
        return loop.lag > loop.lag_before ? loop.lag : loop.lag_before;
}

static void turn(bool may_wait)
{
        end_turn();
        calls_run_later();
        fire_timers();
        if (calls_put_off() || timers_next_due() <= loop_now() || loop.ending)
                may_wait = false;
        set_alarm();
        loop.now_is_read = false;
        (void)event_base_loop(loop.base, may_wait ? EVLOOP_ONCE : EVLOOP_ONCE | EVLOOP_NONBLOCK);
        calls_run_later();
}

void loop_run(void)
{
        while (!loop.ending)
                turn(true);
        loop.ending = false;
}

void loop_end(void)
{
        loop.ending = true;
}

void loop_turn(void)
{
        turn(false);
}

struct event_base *loop_base(void)
{
        return loop.base;
}

/* ---- descriptors and signals ---- */

static void on_ready(unused_arg evutil_socket_t fd, short what, void *ctx)
{
        struct watch *watch = ctx;

        watch->ready(watch->ctx, what & EV_READ ? WATCH_READ : WATCH_WRITE); /* may free the watch */
}

struct watch *watch_new(int fd, void (*ready)(void *ctx, int what), void *ctx)
{
        struct watch *watch = new_object(struct watch);

        watch->ready = ready;
        watch->ctx = ctx;
        (void)event_assign(&watch->read, loop.base, fd, EV_READ | EV_PERSIST, on_ready, watch);
        watch->next = loop.watches;
        watch->link = &loop.watches;
        if (watch->next)
                watch->next->link = &watch->next;
        loop.watches = watch;
        return watch;
}

static void switch_event(struct event *event, bool on)
{
        if ((on ? event_add(event, NULL) : event_del(event)) == 0)
                return;
        /* Only for want of kernel memory, or by a closed descriptor of ours. */
        (void)fprintf(stderr, "<2>cannot watch a descriptor: %s\n", strerror(errno));
        abort();
}

void watch_for(struct watch *watch, int what)
{
        int change = watch->what ^ what;

        watch->what = what;
        if (change & WATCH_READ)
                switch_event(&watch->read, what & WATCH_READ);
        if (!(change & WATCH_WRITE))
                return;
        if (!watch->write) {
                watch->write = new_object(struct event);
                (void)event_assign(watch->write, loop.base, event_get_fd(&watch->read), EV_WRITE | EV_PERSIST,
                                   on_ready, watch);
        }
        switch_event(watch->write, what & WATCH_WRITE);
}

/* Leaves the watch with its owner, dead. */
static void watch_detach(struct watch *watch)
{
        if (!watch->link)
                return;
        (void)event_del(&watch->read);
        if (watch->write)
                (void)event_del(watch->write);
        free(take(watch->write));
        *watch->link = watch->next;
        if (watch->next)
                watch->next->link = watch->link;
        watch->next = NULL;
        watch->link = NULL;
}

void watch_free(struct watch *watch)
{
        if (watch)
                watch_detach(watch);
        free(watch);
}

static void on_signal(evutil_socket_t number, unused_arg short what, unused_arg void *ctx)
{
        loop.signals[number].handler(loop.signals[number].ctx, (int)number);
}

void loop_on_signal(int number, void (*handler)(void *ctx, int number), void *ctx)
{
        if (number <= 0 || number >= SIGNALS)
                return;
        bool had = loop.signals[number].handler != NULL;
        struct event *event = &loop.signals[number].event;
        loop.signals[number].handler = handler;
        loop.signals[number].ctx = ctx;
        if (handler && !had) {
                (void)evsignal_assign(event, loop.base, number, on_signal, NULL);
                switch_event(event, true);
        } else if (!handler && had) {
                switch_event(event, false);
        }
}

/* ---- beginning and end ---- */

static int open_base(void)
{
        struct event_config *config = event_config_new();

        if (!config)
                return -1;
        /* One thread alone uses the base: no locks. The environment has no say. */
        (void)event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV);
        loop.base = event_base_new_with_config(config);
        event_config_free(config);
        return loop.base ? 0 : -1;
}

static int watch_own(struct event *event, int fd, event_callback_fn on_event)
{
        return event_assign(event, loop.base, fd, EV_READ | EV_PERSIST, on_event, NULL) == 0 &&
                               event_add(event, NULL) == 0
                       ? 0
                       : -1;
}

int loop_open(struct cause *cause)
{
        memset(&loop, 0, sizeof loop);
        loop.alarm_due = INT64_MAX;
        int inbox_fd = calls_open();
        loop.alarm_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
        if (inbox_fd >= 0 && loop.alarm_fd >= 0 && open_base() == 0 &&
            watch_own(&loop.inbox, inbox_fd, on_inbox) == 0 &&
            watch_own(&loop.alarm, loop.alarm_fd, on_alarm) == 0)
                return 0;
        cause_set(cause, CAUSE_INTERNAL, "cannot make the event loop: %s", strerror(errno));
        loop_close();
        return -1;
}

static void free_base(void)
{
        while (loop.watches)
                watch_detach(loop.watches);
        for (int i = 0; i < SIGNALS; i++)
                if (loop.signals[i].handler)
                        loop_on_signal(i, NULL, NULL);
        if (loop.base) {
                if (event_initialized(&loop.inbox))
                        (void)event_del(&loop.inbox);
                if (event_initialized(&loop.alarm))
                        (void)event_del(&loop.alarm);
                event_base_free(loop.base);
        }
        loop.base = NULL;
}

void loop_close(void)
{
        calls_run_closing();
        workers_free_all();
        calls_run_rest();
        timers_stop_all();
        free_base();
        calls_close();
        close_fd(&loop.alarm_fd);
        memset(&loop, 0, sizeof loop);
        loop.alarm_fd = -1;
}
