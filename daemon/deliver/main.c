/* SPDX-License-Identifier: MIT */
/*
 * emailsec-deliver: one received message to one command (deliverTo=exec:COMMAND). Started by the service
 * manager for each connection to its socket (emailsec-deliver@.service), which is its standard input; it
 * reads one call, runs the command in a process group of its own, tells what became of it (common/deliver.h),
 * and ends. What the command writes goes to the journal, so much of it as is worth reading.
 */
#include "common/buf.h"
#include "common/deliver.h"
#include "common/printable.h"
#include "common/times.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
        CONNECTION = STDIN_FILENO,
        CALL_SECONDS = 10,        /* for the call to come */
        LISTEN_FDS_ON = 64 * KIB, /* of what the command writes */
};

struct run {
        int message; /* its standard input */
        json_t *call;
        int output, child; /* pipe of what it writes; pidfd */
        pid_t pid;
        struct buf line; /* the one that is coming; else the last one */
        bool line_ended;
        size_t passed_on;
        bool timed_out;
};

/* "<3>" is the journal's level for an error (sd-daemon(3)). Without an answer the daemon takes the delivery
 * as failed and tries again. */
static int refuse(const char *why)
{
        fprintf(stderr, "<3>emailsec-deliver: %s\n", why);
        return EXIT_FAILURE;
}

/* ---- the call ---- */

/* The first one is the message; whatever else comes along is closed. */
static void take_descriptor(struct msghdr *header, int *descriptor)
{
        for (struct cmsghdr *part = CMSG_FIRSTHDR(header); part; part = CMSG_NXTHDR(header, part)) {
                size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
                        continue;
                for (size_t i = 0; i < count; i++) {
                        int fd;
                        memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
                        if (*descriptor < 0)
                                *descriptor = fd;
                        else
                                (void)close(fd);
                }
        }
}

/* The text up to its NUL byte; NULL: none came. The caller frees. */
static char *receive_call(int *descriptor)
{
        struct buf text = BUF_WITH_MAX(LIMIT_DELIVER_CALL);
        const struct timeval patience = { .tv_sec = CALL_SECONDS };

        (void)setsockopt(CONNECTION, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        for (;;) {
                union {
                        char bytes[CMSG_SPACE(4 * sizeof(int))];
                        struct cmsghdr align;
                } control;
                char piece[4096];
                struct iovec place = { piece, sizeof piece };
                struct msghdr header = { .msg_iov = &place,
                                         .msg_iovlen = 1,
                                         .msg_control = control.bytes,
                                         .msg_controllen = sizeof control.bytes };
                ssize_t got = recvmsg(CONNECTION, &header, MSG_CMSG_CLOEXEC);
                if (got < 0 && errno == EINTR)
                        continue;
                if (got > 0)
                        take_descriptor(&header, descriptor);
                if (got <= 0 || buf_append(&text, piece, (size_t)got) < 0)
                        break;
                if (memchr(piece, '\0', (size_t)got))
                        return buf_take_text(&text);
        }
        buf_free(&text);
        return NULL;
}

/* ---- the command; after the fork ---- */

/* After the fork; a command that lacks a variable is not run at all (126). */
static void set_environment(const json_t *environment)
{
        const char *name;
        const json_t *value;

        json_object_foreach((json_t *)(uintptr_t)environment, name, value)
                if (json_is_string(value) && setenv(name, json_string_value(value), 1) < 0)
                        _exit(126);
}

/* In the child. A group of its own, so that everything the command starts can be ended with it; no
 * descriptor but the three is passed on. 126 and 127 as a shell has them. */
static void become_command(const struct run *run, int output)
{
        const char *command = json_string_value(json_object_get(run->call, "command"));
        sigset_t none;

        (void)setpgid(0, 0);
        (void)sigemptyset(&none);
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
        (void)signal(SIGPIPE, SIG_DFL);
        set_environment(json_object_get(run->call, "environment"));
        if (dup2(run->message, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 ||
            dup2(output, STDERR_FILENO) < 0)
                _exit(126);
        (void)close_range(STDERR_FILENO + 1, ~0U, 0);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
}

/* The pipe's end that we read does not block; the command's end does, as programs expect. With -1 the
 * process ends soon, and its unit with what was started. */
static int start(struct run *run)
{
        int ends[2];

        if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
                return -1;
        run->pid = fork();
        if (run->pid == 0) {
                (void)fcntl(ends[1], F_SETFL, 0);
                become_command(run, ends[1]);
        }
        (void)close(ends[1]);
        run->output = ends[0];
        if (run->pid < 0)
                return -1;
        (void)setpgid(run->pid, run->pid); /* whichever of the two is first */
        run->child = pidfd_open(run->pid, 0);
        return run->child < 0 ? -1 : 0;
}

/* ---- while it runs ---- */

/* Keeps the beginning of the last line that is not empty. */
static void keep_line(struct run *run, const char *bytes, size_t len)
{
        for (size_t i = 0; i < len; i++) {
                bool end = bytes[i] == '\n' || bytes[i] == '\r';
                if (!end && run->line_ended) {
                        buf_clear(&run->line);
                        run->line_ended = false;
                }
                if (end)
                        run->line_ended = true;
                else if (run->line.len < run->line.max && buf_append(&run->line, &bytes[i], 1) < 0)
                        abort(); /* within its bound */
        }
}

/* False at its end. */
static bool hear_output(struct run *run)
{
        char piece[4096];
        ssize_t got = read(run->output, piece, sizeof piece);

        if (got <= 0)
                return got < 0 && (errno == EAGAIN || errno == EINTR);
        keep_line(run, piece, (size_t)got);
        size_t room = LISTEN_FDS_ON - run->passed_on, pass = (size_t)got < room ? (size_t)got : room;
        if (pass && write(STDERR_FILENO, piece, pass) > 0)
                run->passed_on += pass;
        return true;
}

/* The group is the child's as long as it has not been waited for: its number cannot be given to others
 * before. */
static void end_group(const struct run *run, int number)
{
        (void)kill(-run->pid, number);
}

/* What is in the pipe; not what others who hold it may still write. */
static void hear_rest(struct run *run)
{
        struct pollfd rest = { .fd = run->output, .events = POLLIN };

        for (int i = 0; i < 1024 && poll(&rest, 1, 0) > 0; i++)
                if (!hear_output(run))
                        return;
}

/* Until the command has ended. 0; -1: who asked has gone, and hears of nothing. */
static int attend(struct run *run, int64_t deadline)
{
        bool asked_to_end = false, gone = false, heard = true;

        for (;;) {
                struct pollfd what[] = { { .fd = run->child, .events = POLLIN },
                                         { .fd = gone ? -1 : CONNECTION, .events = POLLRDHUP },
                                         { .fd = heard ? run->output : -1, .events = POLLIN } };
                int64_t left = deadline - time_monotonic_ms();
                if (poll(what, 3, left > 0 ? (int)left : 0) < 0 && errno != EINTR)
                        return -1;
                if (what[2].revents)
                        heard = hear_output(run);
                if (what[0].revents)
                        break;
                bool hung_up = what[1].revents != 0;
                if (time_monotonic_ms() < deadline && !hung_up)
                        continue;
                gone = gone || hung_up;
                run->timed_out = run->timed_out || !gone;
                end_group(run, asked_to_end ? SIGKILL : SIGTERM);
                asked_to_end = true;
                deadline = time_monotonic_ms() + DELIVER_GRACE * 1000;
        }
        if (heard)
                hear_rest(run);
        return gone ? -1 : 0;
}

/* ---- the answer ---- */

/* With the NUL byte that ends it. What the command said last is shown to persons and escaped. */
static int answer(const struct run *run, int ended)
{
        char line[LIMIT_DELIVER_LINE + 1];
        json_t *said = json_object();

        (void)json_object_set_new(said, WIFSIGNALED(ended) ? "signal" : "status",
                                  json_integer(WIFSIGNALED(ended) ? WTERMSIG(ended) : WEXITSTATUS(ended)));
        if (run->timed_out)
                (void)json_object_set_new(said, "timedOut", json_true());
        (void)printable_copy(line, sizeof line, (const char *)buf_bytes(&run->line), run->line.len);
        (void)json_object_set_new(said, "lastLine", json_string(line));
        scoped(scoped_free) char *text = json_dumps(said, JSON_COMPACT);
        json_decref(said);
        if (!text)
                return refuse("no memory");
        size_t len = strlen(text) + 1;
        return send(CONNECTION, text, len, MSG_NOSIGNAL) == (ssize_t)len ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* WNOWAIT leaves the child as it is until its group has been killed. */
static int run_command(struct run *run)
{
        int64_t seconds = json_integer_value(json_object_get(run->call, "timeout"));
        int ended = 0;

        if (start(run) < 0)
                return refuse("the command cannot be started");
        int heard = attend(run, time_monotonic_ms() + seconds * 1000);
        siginfo_t info;
        while (waitid(P_PID, (id_t)run->pid, &info, WEXITED | WNOWAIT) < 0 && errno == EINTR)
                ;
        end_group(run, SIGKILL); /* what it has left behind; its number is still this group's */
        while (waitpid(run->pid, &ended, 0) < 0 && errno == EINTR)
                ;
        return heard < 0 ? EXIT_FAILURE : answer(run, ended);
}

/* A delivery is never repeated from here: whether it is tried again is the daemon's to decide by the
 * answer, or by its absence. */
int main(void)
{
        struct run run = {
                .message = -1, .output = -1, .child = -1, .line = BUF_WITH_MAX(LIMIT_DELIVER_LINE)
        };

        (void)signal(SIGPIPE, SIG_IGN);
        scoped(scoped_free) char *text = receive_call(&run.message);
        if (!text)
                return refuse("no call came on standard input, which is to be a connection to its socket");
        run.call = json_loads(text, 0, NULL);
        if (!json_string_value(json_object_get(run.call, "command")) || run.message < 0 ||
            json_integer_value(json_object_get(run.call, "timeout")) <= 0)
                return refuse("the call is none");
        int status = run_command(&run);
        json_decref(run.call);
        buf_free(&run.line);
        return status;
}
