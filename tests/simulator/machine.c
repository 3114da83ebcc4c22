/* SPDX-License-Identifier: MIT */
/*
 * The machine and the lives of the daemon on it: starts, ends, kills, power cuts; its clock, its sleep; and
 * the course of a history: a time of trouble, an honest time, the end.
 */
#include "tests/simulator/kernel.h"

#include <getopt.h>
#include <signal.h>
#include <sys/time.h>
#include <systemd/sd-daemon.h>

enum {
        HONEST_MOST = 36 * HOUR_MS, /* by then all must have settled */
        HONEST_LEAST = 2 * HOUR_MS,
        LOOK_EVERY = 5 * MINUTE_MS,
        READY_WITHIN = 60 * SECOND_MS, /* as systemd waits */
        END_WITHIN = 15 * SECOND_MS,
        AGAIN_AFTER = 10 * SECOND_MS,
        WATCHDOG_MS = 60 * SECOND_MS,
        SPINS = 20000,                   /* turns in one millisecond */
        TURN_WORK = 1500,                /* calls of the loop's thread in one turn; 300 are seen at most */
        DESCRIPTORS = 400,               /* open at once; 80 are seen at most */
        NOTICES_WITHIN = 90 * SECOND_MS, /* the daemon that the clock was set */
        HANGS_SECONDS = 30,
        INVARIANTS = 64,
        EXIT_HANGS = 97,
};

int daemon_main(int argc, char **argv); /* main() of daemon/main.c */
void __lsan_do_leak_check(void) __attribute__((weak));
void __lsan_register_root_region(const void *from, size_t len) __attribute__((weak));

struct shared *shared;
bool in_daemon;

static struct {
        const struct invariant *invariants[INVARIANTS];
        size_t invariant_count;
        enum life_end death; /* wanted; LIFE_RUNS: none */
        int64_t down_ms;
        int signals;                /* a bit each, to be raised */
        int64_t deaf_until;         /* ms: it must have ended */
        int64_t started_at, fed_at; /* ms; the watchdog */
        int64_t calls_to_death;     /* of those that change the disk; -1: none */
        unsigned refusals;          /* starts in a row that came to nothing */
        int64_t spin_ms, spin_turns;
        int64_t set_at; /* ms: the clock; 0: it never was */
        unsigned unseen;
        bool last; /* the end that comes is the history's */
        bool busy, kills, powers, cuts, sleeps, steps, moves, restarts, reloads;
} *me;

/* ---- lives ---- */

void machine_end_life(enum life_end how)
{
        if (how != LIFE_LAST && me->set_at && world_now() - me->set_at < NOTICES_WITHIN)
                me->unseen++;
        shared->how = how;
        shared->ready = false;
        shared->start_at = world_now() + me->down_ms;
        history_flush();
        (void)real(SYS_exit_group, 0L);
        __builtin_unreachable();
}

void daemon_kill(enum death how, int64_t down_ms)
{
        if (me->last)
                return;
        me->death = how == DEATH_KILL ? LIFE_KILLED : LIFE_POWER;
        me->down_ms = down_ms;
}

void daemon_restart(int64_t down_ms)
{
        if (!shared->ready)
                return;
        me->signals |= 1 << SIGTERM;
        me->down_ms = down_ms;
}

void daemon_reload(void)
{
        if (shared->ready)
                me->signals |= 1 << SIGHUP;
}

bool daemon_is_ready(void)
{
        return shared->ready;
}

unsigned daemon_life(void)
{
        return shared->life;
}

static void die(enum life_end how, const char *where)
{
        history("machine", "%s%s%s", how == LIFE_KILLED ? "kill -9" : "the power fails", where ? " at " : "",
                where ? where : "");
        machine_end_life(how);
}

void machine_may_die(const char *where)
{
        if (!in_daemon)
                return;
        shared->calls++;
        if (me->calls_to_death < 0 || --me->calls_to_death >= 0)
                return;
        me->calls_to_death = -1;
        me->down_ms = chance_about("machine", MINUTE_MS);
        die(chance_permille("machine", 600) ? LIFE_POWER : LIFE_KILLED, where);
}

void machine_notified(const char *text, size_t len)
{
        static char status[256];
        static const char watchdog[] = "WATCHDOG=1";

        if (len == sizeof watchdog - 1 && memcmp(text, watchdog, len) == 0) {
                me->fed_at = world_now();
                return;
        }
        if (len < sizeof status && memcmp(text, "STATUS=", 7) == 0) {
                if (strncmp(status, text, len) == 0 && !status[len])
                        return;
                memcpy(status, text, len);
                status[len] = '\0';
        }
        history_lines("systemd", text, len);
        if (len >= 7 && memcmp(text, "READY=1", 7) == 0) {
                shared->ready = true;
                me->fed_at = world_now();
                me->refusals = 0;
        }
}

void machine_turn(void)
{
        shared->turns++;
        if (me->spin_ms != world_now()) {
                me->spin_ms = world_now();
                me->spin_turns = 0;
        }
        if (shared->ready && shared->turn_work > TURN_WORK)
                violated("turn.work", "the loop has made %lld calls within one turn",
                         (long long)shared->turn_work);
        if (fds_open() > DESCRIPTORS) {
                fds_tell();
                violated("descriptors", "%u are open", fds_open());
        }
        if (++me->spin_turns > SPINS)
                violated("turns", "the loop has turned %d times within a millisecond", SPINS);
        if (me->deaf_until && world_now() > me->deaf_until)
                violated("ends", "the daemon has not ended %d s after SIGTERM", END_WITHIN / SECOND_MS);
        if (!shared->ready && !me->deaf_until && world_now() > me->started_at + READY_WITHIN)
                violated("starts", "the daemon is not ready %d s after its start", READY_WITHIN / SECOND_MS);
        if (shared->ready && world_now() > me->fed_at + WATCHDOG_MS)
                violated("watchdog", "it was not fed for %d s", WATCHDOG_MS / SECOND_MS);
        for (size_t i = 0; i < me->invariant_count; i++)
                if (me->invariants[i]->step)
                        me->invariants[i]->step();
}

void machine_between(void)
{
        if (me->death != LIFE_RUNS)
                die(me->death, NULL);
        if (me->signals & (1 << SIGTERM)) {
                history("machine", "SIGTERM");
                me->signals = 0;
                me->deaf_until = world_now() + END_WITHIN;
                shared->ready = false;
                (void)raise(SIGTERM);
        }
        if (me->signals & (1 << SIGHUP)) {
                history("machine", "SIGHUP");
                me->signals = 0;
                (void)raise(SIGHUP);
        }
}

/* Other programs have the processor. */
void machine_gives_time(void)
{
        if (me->busy && !shared->honest && chance_permille("busy", 10))
                shared->now_us += chance_about("busy", 300) * 1000;
        shared->turn_work = 0;
}

static void while_down(void)
{
        for (;;) {
                while (events_run_one())
                        ;
                me->death = LIFE_RUNS;
                me->signals = 0;
                if (world_now() >= shared->start_at)
                        return;
                int64_t next = events_due();
                if (next > shared->start_at * 1000)
                        next = shared->start_at * 1000;
                if (next > shared->now_us)
                        shared->now_us = next;
        }
}

static int64_t turns_seen;

static void on_cpu_time(int number)
{
        static const char words[] = "VIOLATED: a turn of the loop has taken half a minute of the processor\n";

        (void)number;
        if (turns_seen == shared->turns && in_daemon) {
                history_flush();
                (void)real(SYS_write, 2L, words, sizeof words - 1);
                abort(); /* a debugger, or a sanitizer's handler, shows where */
        }
        turns_seen = shared->turns;
}

static void watch_turns(void)
{
        const struct itimerval every = { .it_interval = { .tv_sec = HANGS_SECONDS },
                                         .it_value = { .tv_sec = HANGS_SECONDS } };

        (void)signal(SIGVTALRM, on_cpu_time);
        (void)real(SYS_setitimer, (long)ITIMER_VIRTUAL, &every, NULL);
}

static ssize_t to_history(void *cookie, const char *bytes, size_t len)
{
        (void)cookie;
        history_lines("daemon", bytes, len);
        return (ssize_t)len;
}

/* After a clean end: what it had, it has given back. */
static void look_at_rest(void)
{
        if (fds_open()) {
                fds_tell();
                violated("rest", "%u descriptors are open after the end", fds_open());
        }
        if (__lsan_do_leak_check) {
                size_t len;
                const void *arena = arena_range(&len); /* the world's TLS objects hang from there */
                __lsan_register_root_region(arena, len);
                __lsan_do_leak_check();
        }
}

static int run_daemon(void)
{
        static char *argv[] = { (char *)"emailsecd",      (char *)"--config",
                                (char *)SIM_CONFIG,       (char *)"--state-directory",
                                (char *)SIM_STATE,        (char *)"--socket",
                                (char *)SIM_SOCKET,       (char *)"--system-trust",
                                (char *)SIM_SYSTEM_TRUST, NULL };
        FILE *own = stderr, *told = fopencookie(NULL, "w", (cookie_io_functions_t){ .write = to_history });

        setvbuf(told, NULL, _IOLBF, 0);
        me->started_at = world_now();
        watch_turns();
        history("machine", "starts the daemon, life %u", shared->life);
        stderr = told;
        optind = 0; /* getopt begins anew */
        in_daemon = true;
        int status = daemon_main((int)lengthof(argv) - 1, argv);
        in_daemon = false;
        (void)fclose(told);
        stderr = own;
        return status;
}

/* In a process of its own. The life before is cleared away first. */
void machine_run_life(void)
{
        enum life_end before = shared->how;

        shared->life++;
        shared->how = LIFE_RUNS;
        me->death = LIFE_RUNS;
        me->signals = 0;
        me->deaf_until = 0;
        me->calls_to_death = -1;
        disk_life_over();
        if (before == LIFE_POWER)
                disk_power_cut();
        network_life_over();
        clients_life_over();
        while_down();
        me->down_ms = AGAIN_AFTER;
        if (me->cuts && !shared->honest && chance_permille("machine", 300))
                me->calls_to_death = chance_about("machine", 400);
        shared->exit_status = run_daemon();
        history("machine", "the daemon has ended with %d", shared->exit_status);
        if (disk_ill_at() >= me->started_at)
                me->refusals = 0; /* it may: a full disk lasts as long as it lasts */
        if (shared->exit_status && ++me->refusals > 100)
                violated("starts", "the daemon has refused to start %u times in a row", me->refusals);
        if (shared->exit_status == 0)
                look_at_rest();
        machine_end_life(me->last ? LIFE_LAST : LIFE_ENDED);
}

/* ---- clock, sleep, network ---- */

void machine_step_clock(int64_t seconds)
{
        history("machine", "the clock is set by %lld s", (long long)seconds);
        shared->clock_error += seconds;
        me->set_at = world_now();
        if (!shared->ready)
                me->unseen++;
        clock_was_set();
}

int64_t machine_clock_set_at(void)
{
        return me->set_at;
}

unsigned machine_clock_unseen(void)
{
        return me->unseen;
}

int64_t machine_clock_error(void)
{
        return shared->clock_error;
}

static void wake(void *ctx)
{
        (void)ctx;
        history("machine", "wakes up");
        clock_was_set();
}

void machine_sleep(int64_t ms)
{
        if (shared->asleep_until_us > shared->now_us)
                return;
        history("machine", "sleeps for %lld s", (long long)ms / 1000);
        shared->asleep_until_us = shared->now_us + ms * 1000;
        shared->slept_us += ms * 1000;
        (void)world_in(ms, wake, NULL);
        if (me->deaf_until)
                me->deaf_until += ms;
        me->started_at += ms;
        me->fed_at += ms;
}

int64_t machine_woke_at(void)
{
        return shared->asleep_until_us / 1000;
}

int64_t machine_awake(void)
{
        int64_t to_sleep = shared->asleep_until_us - shared->now_us; /* counted as slept already */

        return (shared->now_us - shared->slept_us + (to_sleep > 0 ? to_sleep : 0)) / 1000;
}

void machine_network_changed(void)
{
        history("machine", "has other addresses");
        shared->network += 0x01000000;
        netlink_tell();
}

static void next_happening(void *ctx)
{
        int64_t what = chance_between("machine", 0, 7), down = chance_about("machine", 2 * MINUTE_MS);

        (void)ctx;
        if (shared->honest)
                return;
        if (what == 0 && me->kills)
                daemon_kill(DEATH_KILL, down);
        else if (what == 1 && me->powers)
                daemon_kill(DEATH_POWER, down);
        else if (what == 2 && me->sleeps)
                machine_sleep(chance_about("machine", 2 * HOUR_MS));
        else if (what == 3 && me->steps)
                machine_step_clock(chance_permille("machine", 300)
                                           ? -shared->clock_error
                                           : chance_between("machine", -2000000, 2000000));
        else if (what == 4 && me->moves)
                machine_network_changed();
        else if (what == 5 && me->restarts)
                daemon_restart(chance_about("machine", MINUTE_MS));
        else if (what == 6 && me->reloads)
                daemon_reload();
        else if (what == 7 && me->cuts)
                me->calls_to_death = chance_about("machine", 300);
        (void)world_in(chance_about("machine", 3 * HOUR_MS), next_happening, NULL);
}

/* ---- the course of a history ---- */

void invariant_add(const struct invariant *invariant)
{
        if (me->invariant_count == INVARIANTS)
                abort();
        me->invariants[me->invariant_count++] = invariant;
}

static void look_for_end(void *ctx)
{
        int64_t honest_for = world_now() - shared->length_ms;

        (void)ctx;
        if (!shared->ready && honest_for > HONEST_LEAST && honest_for > HONEST_MOST)
                violated("starts", "the daemon does not run though all is well");
        if (!shared->ready || honest_for < HONEST_LEAST || (honest_for < HONEST_MOST && !world_settled())) {
                (void)world_in(LOOK_EVERY, look_for_end, NULL);
                return;
        }
        for (size_t i = 0; i < me->invariant_count; i++)
                if (me->invariants[i]->end)
                        me->invariants[i]->end();
        history("machine", "the history ends");
        daemon_restart(0);
        me->last = true;
}

static void turn_honest(void *ctx)
{
        (void)ctx;
        history("machine", "the world turns honest");
        shared->honest = true;
        me->calls_to_death = -1;
        disk_room(-1);
        if (shared->clock_error)
                machine_step_clock(-shared->clock_error);
        world_turn_honest();
        (void)world_in(LOOK_EVERY, look_for_end, NULL);
}

void machine_init(void)
{
        me = world_alloc(sizeof *me);
        me->calls_to_death = -1;
        shared->network = 0x0a0200c0; /* 192.0.2.10 */
        me->busy = feature("machine.busy", 30);
        me->kills = feature("machine.kill", 60);
        me->powers = feature("machine.power", 60);
        me->cuts = feature("machine.cut", 50);
        me->sleeps = feature("machine.sleep", 30);
        me->steps = feature("machine.clock", 30);
        me->moves = feature("machine.network", 50);
        me->restarts = feature("machine.restart", 70);
        me->reloads = feature("machine.reload", 70);
        (void)world_in(chance_about("machine", 2 * HOUR_MS), next_happening, NULL);
        (void)world_at(shared->length_ms, turn_honest, NULL);
}
