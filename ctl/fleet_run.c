/* SPDX-License-Identifier: MIT */
/* Children side by side; see fleet_run.h. A child has ended when its process has: what it started may hold
 * its output open for ever (a shared connection of ssh does). */
#include "ctl/fleet_run.h"

#include "common/times.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* TICK_MS between two lines of progress; MOST_ERRORS bytes of standard error, of which the last
 * line counts; FDS that are polled for each child. */
enum { TICK_MS = 1000, MOST_ERRORS = 64 * 1024, PIECE = 64 * 1024, FDS = 3 };
enum { PIECES = 16 }; /* in one turn: one that never ceases to print holds up nobody */

/* The handler sets it and no more: the loop looks at it between two waits. */
static volatile sig_atomic_t signalled;

static void heard_signal(int number)
{
        signalled = number;
}

/* ---- a child ---- */

/* Between fork and exec: system calls only. Why there is no exec is written to `fault`, which one closes. */
static void become(const struct fleet_task *task, const int out[2], const int err[2], int fault, int null)
{
        sigset_t none;
        (void)setsid(); /* no terminal to ask at, and a group of its own */
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        (void)sigemptyset(&none);
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
        (void)signal(SIGPIPE, SIG_DFL);
        if (dup2(task->input >= 0 ? task->input : null, STDIN_FILENO) >= 0 &&
            dup2(out[1], STDOUT_FILENO) >= 0 && dup2(err[1], STDERR_FILENO) >= 0)
                (void)execvp(task->words[0], (char *const *)(uintptr_t)task->words);
        int why = errno;
        ssize_t told = write(fault, &why, sizeof why);
        _exit(told < 0 ? 2 : 1);
}

/* 0 once the child is the program, or why it is not. */
static int exec_fault(int fault)
{
        int why = 0;
        ssize_t got;
        do
                got = read(fault, &why, sizeof why);
        while (got < 0 && errno == EINTR);
        return got == (ssize_t)sizeof why ? why : 0;
}

static void close_pair(int pair[2])
{
        close_fd(&pair[0]);
        close_fd(&pair[1]);
}

static int start(struct fleet_task *task, const struct fleet_order *order)
{
        /* `fault` closes at exec (O_CLOEXEC): a reader that gets nothing knows that the program
         * runs. */
        int out[2] = { -1, -1 }, err[2] = { -1, -1 }, fault[2] = { -1, -1 };
        scoped(scoped_close) int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        pid_t pid = -1;
        if (null >= 0 && pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0 &&
            pipe2(fault, O_CLOEXEC) == 0)
                pid = fork();
        if (pid == 0)
                become(task, out, err, fault[1], null);
        task->exit_fd = pid > 0 ? pidfd_open(pid, 0) : -1;
        task->status = task->exit_fd < 0 ? errno : 0;
        close_fd(&fault[1]);
        if (task->exit_fd >= 0)
                task->status = exec_fault(fault[0]);
        close_fd(&fault[0]);
        if (task->status) {
                task->end = FLEET_FAILED;
                if (pid > 0) {
                        (void)kill(pid, SIGKILL);
                        (void)waitpid(pid, NULL, 0);
                }
                close_fd(&task->exit_fd);
                close_pair(out);
                close_pair(err);
                return -1;
        }
        close_fd(&out[1]);
        close_fd(&err[1]);
        /* Only this side: the flag of the other would be the child's. */
        (void)fcntl(out[0], F_SETFL, O_NONBLOCK);
        (void)fcntl(err[0], F_SETFL, O_NONBLOCK);
        task->pid = pid;
        task->out_fd = out[0];
        task->err_fd = err[0];
        task->out = BUF_WITH_MAX(order->most_bytes);
        task->err = BUF_WITH_MAX(MOST_ERRORS);
        task->deadline = time_monotonic_ms() + order->timeout_ms;
        return 0;
}

/* What can be read now, or a part of it: more than a pipe holds. False: there is more than may be. */
static bool take_output(int *fd, struct buf *to, bool rest_is_dropped)
{
        uint8_t piece[PIECE];
        for (int turn = 0; turn < PIECES && *fd >= 0; turn++) {
                ssize_t got = read(*fd, piece, sizeof piece);
                if (got < 0 && errno == EINTR)
                        continue;
                if (got < 0 && errno == EAGAIN)
                        return true;
                if (got <= 0) {
                        close_fd(fd);
                        return true;
                }
                size_t room = to->max - to->len, len = (size_t)got < room ? (size_t)got : room;
                if (buf_append(to, piece, len) < 0 || (len < (size_t)got && !rest_is_dropped))
                        return false;
        }
        return true;
}

/* Ends a task: what is left in its pipes, its process and its descriptors. The group is killed, as
 * ssh may have started helpers; output that is not to be used is given back at once. */
static void finish(struct fleet_task *task, enum fleet_end end)
{
        int status = 0;
        if (end == FLEET_ENDED && !take_output(&task->out_fd, &task->out, false))
                end = FLEET_TOO_LONG;
        (void)take_output(&task->err_fd, &task->err, true);
        if (end != FLEET_ENDED) {
                (void)kill(-task->pid, SIGKILL);
                (void)kill(task->pid, SIGKILL);
        }
        /* One that was killed and does not go (its disk hangs) is left to itself. */
        struct pollfd exited = { .fd = task->exit_fd, .events = POLLIN };
        if (poll(&exited, 1, end == FLEET_ENDED ? 0 : 200) == 1 &&
            waitpid(task->pid, &status, 0) == task->pid)
                task->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        close_fd(&task->exit_fd);
        close_fd(&task->out_fd);
        close_fd(&task->err_fd);
        task->pid = 0;
        task->end = end;
        if (end != FLEET_ENDED)
                buf_free(&task->out);
}

void fleet_task_done(struct fleet_task *task)
{
        buf_free(&task->out);
        buf_free(&task->err);
}

/* ---- all of them ---- */

struct fleet_state {
        const struct fleet_order *order;
        struct fleet_task *tasks;
        size_t count, next, ended, held;
        size_t *running; /* places in tasks */
        size_t running_count;
        struct pollfd *fds;
};

static void tick(const struct fleet_state *run)
{
        const struct fleet_progress now = {
                .ended = run->ended,
                .running = run->running_count,
                .first = run->running_count ? run->running[0] : 0,
        };
        if (run->order->tick)
                run->order->tick(run->order->ctx, &now);
}

/* As many side by side as were asked for; one that cannot be started has ended. */
static void start_more(struct fleet_state *run)
{
        while (run->next < run->count && run->running_count < run->order->parallel) {
                if (start(&run->tasks[run->next], run->order) == 0)
                        run->running[run->running_count++] = run->next;
                else
                        run->ended++;
                run->next++;
        }
}

/* The output is read before the end is looked at: a child that has ended may have written more. */
/* Whether it goes on, after a wait. */
static enum fleet_end look_at(struct fleet_task *task, const struct pollfd *fds, int64_t now)
{
        bool fits = true;
        if (fds[0].revents)
                fits = take_output(&task->out_fd, &task->out, false);
        if (fds[1].revents)
                (void)take_output(&task->err_fd, &task->err, true);
        return !fits                   ? FLEET_TOO_LONG
               : fds[2].revents        ? FLEET_ENDED
               : now >= task->deadline ? FLEET_TOO_SLOW
                                       : FLEET_WAITS;
}

static size_t held_by(const struct fleet_task *task)
{
        return task->out.size + task->err.size;
}

/* Where all of it is too much, what those hold that printed most is dropped: none that is brief suffers by
 * one that is not. One that still runs ends at its next turn. */
static void make_room(struct fleet_state *run)
{
        while (run->held > run->order->most_held) {
                struct fleet_task *most = run->tasks;
                for (size_t i = 1; i < run->next; i++)
                        if (held_by(&run->tasks[i]) > held_by(most))
                                most = &run->tasks[i];
                run->held -= held_by(most);
                fleet_task_done(most);
                most->end = FLEET_CROWDED;
        }
}

/* Takes what is there of one; true: it goes on. */
static bool turn(struct fleet_state *run, struct fleet_task *task, const struct pollfd *fds, int64_t now)
{
        size_t before = held_by(task);
        enum fleet_end end = task->end == FLEET_CROWDED ? FLEET_CROWDED : look_at(task, fds, now);
        if (end != FLEET_WAITS)
                finish(task, end);
        run->held = run->held - before + held_by(task);
        make_room(run);
        return end == FLEET_WAITS;
}

static void wait_once(struct fleet_state *run)
{
        int64_t now = time_monotonic_ms(), until = now + TICK_MS;
        for (size_t i = 0; i < run->running_count; i++) {
                const struct fleet_task *task = &run->tasks[run->running[i]];
                run->fds[FDS * i] = (struct pollfd){ .fd = task->out_fd, .events = POLLIN };
                run->fds[FDS * i + 1] = (struct pollfd){ .fd = task->err_fd, .events = POLLIN };
                run->fds[FDS * i + 2] = (struct pollfd){ .fd = task->exit_fd, .events = POLLIN };
                until = task->deadline < until ? task->deadline : until;
        }
        int ready = poll(run->fds, (nfds_t)(FDS * run->running_count), until > now ? (int)(until - now) : 0);
        size_t kept = 0;
        now = time_monotonic_ms();
        if (ready < 0)
                return;
        for (size_t i = 0; i < run->running_count; i++) {
                struct fleet_task *task = &run->tasks[run->running[i]];
                if (turn(run, task, &run->fds[FDS * i], now))
                        run->running[kept++] = run->running[i];
                else
                        run->ended++;
        }
        run->running_count = kept;
}

/* All are killed before any is waited for: the wait is that of the slowest, not the sum. */
static void stop_all(struct fleet_state *run)
{
        for (size_t i = 0; i < run->running_count; i++)
                (void)kill(-run->tasks[run->running[i]].pid, SIGKILL);
        for (size_t i = 0; i < run->running_count; i++)
                finish(&run->tasks[run->running[i]], FLEET_STOPPED);
        for (; run->next < run->count; run->next++)
                run->tasks[run->next].end = FLEET_STOPPED;
}

int fleet_run(const struct fleet_order *order, struct fleet_task *tasks, size_t count)
{
        /* SIGHUP as well: where the terminal goes, so do the children. */
        static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
        struct sigaction before[count_of(numbers)], action = { .sa_handler = heard_signal };
        struct fleet_state run = { .order = order, .tasks = tasks, .count = count };
        run.running = new_zeroed(order->parallel, sizeof(*run.running));
        run.fds = new_zeroed(order->parallel * FDS, sizeof(*run.fds));
        signalled = 0;
        for (size_t i = 0; i < count_of(numbers); i++)
                (void)sigaction(numbers[i], &action, &before[i]);
        for (size_t i = 0; i < count; i++)
                tasks[i].exit_fd = tasks[i].out_fd = tasks[i].err_fd = -1;
        tick(&run);
        while (run.ended < count && !signalled) {
                start_more(&run);
                if (run.running_count)
                        wait_once(&run);
                tick(&run);
        }
        if (signalled)
                stop_all(&run);
        for (size_t i = 0; i < count_of(numbers); i++)
                (void)sigaction(numbers[i], &before[i], NULL);
        free(run.running);
        free(run.fds);
        return signalled;
}
