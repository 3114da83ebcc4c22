/* SPDX-License-Identifier: MIT */
/* What a descriptor is, without asking whoever serves it, and its end; see client_file.h. */
#include "daemon/store/client_file.h"

#include "common/limits.h"
#include "common/times.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum kind {
        KIND_SAFE,    /* of the kernel's own file systems, or what is closed at once */
        KIND_SERVED,  /* by a program */
        KIND_UNKNOWN, /* mounted where we do not see it, or no file */
};

enum {
        PATIENCE_MS = 2,   /* so long the kernel may let the loop wait for what a client has sent */
        CLOSER_MS = 1000,  /* and a closer; what can be ended then is */
        HIGHEST = 1 << 20, /* descriptors that the guard looks at, at most */
};

/* The table of mounts tells the type of the file system with that device: the same in each mount namespace.
 */
static enum kind kind_of_device(unsigned major, unsigned minor)
{
        FILE *mounts = fopen("/proc/self/mountinfo", "re");
        enum kind kind = KIND_UNKNOWN;
        char *line = NULL;
        size_t size = 0;

        while (mounts && kind == KIND_UNKNOWN && getline(&line, &size, mounts) > 0) {
                unsigned one, other;
                const char *type = strstr(line, " - ");
                if (type && sscanf(line, "%*d %*d %u:%u ", &one, &other) == 2 && one == major &&
                    other == minor)
                        kind = strncmp(type + 3, "fuse", 4) == 0 ? KIND_SERVED : KIND_SAFE;
        }
        free(line);
        if (mounts)
                (void)fclose(mounts);
        return kind;
}

/* Reading without waiting is what the large file systems of disks can, and FUSE cannot: its file systems are
 * refused before their program is asked. */
static bool reads_without_waiting(int fd)
{
        char byte;
        struct iovec iov = { .iov_base = &byte, .iov_len = 1 };

        return preadv2(fd, &iov, 1, 0, RWF_NOWAIT) >= 0 || errno == EAGAIN;
}

static bool type_of(int fd, struct statx *st)
{
        return statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, st) == 0;
}

/* The end of a socket may wait for its peer (SO_LINGER), also of one that lies unread in another socket; that
 * of a device for the device. */
static enum kind kind_of(int fd, bool *regular)
{
        struct statx st;

        *regular = true;
        if (fcntl(fd, F_GET_SEALS) >= 0)
                return KIND_SAFE; /* a memfd, or a file in memory */
        bool told = type_of(fd, &st);
        *regular = told && S_ISREG(st.stx_mode);
        if (told && (S_ISFIFO(st.stx_mode) || S_ISDIR(st.stx_mode)))
                return KIND_SAFE;
        if (!*regular)
                return KIND_UNKNOWN;
        enum kind kind = kind_of_device(st.stx_dev_major, st.stx_dev_minor);
        return kind == KIND_UNKNOWN && reads_without_waiting(fd) ? KIND_SAFE : kind;
}

int client_file_check(int fd, struct cause *cause)
{
        bool regular;
        enum kind kind = kind_of(fd, &regular);

        if (!regular)
                return cause_about(cause, CAUSE_INVALID, "descriptor",
                                   "the descriptor is not a regular file or memfd");
        if (kind == KIND_SAFE)
                return 0;
        (void)cause_about(cause, CAUSE_INVALID, "descriptor",
                          kind == KIND_SERVED
                                  ? "the descriptor is of a file system that a program serves (FUSE)"
                                  : "the descriptor is of a file system that is not mounted here, and may be "
                                    "one that a program serves (FUSE)");
        cause_remedy(cause, "read the file, and hand in a memfd of it; emailsecctl send does");
        return -1;
}

/* ---- closing ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct closer {
        pid_t pid; /* 0: none */
        int64_t since;
} closers[LIMIT_CLOSERS];
static int waiting[LIMIT_WAITING_FILES]; /* for a closer */
static size_t waiting_count;

/* A place in the table; NULL: each closer hangs. */
static struct closer *find_place(void)
{
        struct closer *place = NULL;

        for (size_t i = 0; i < count_of(closers); i++) {
                struct closer *closer = &closers[i];
                if (closer->pid && waitpid(closer->pid, NULL, WNOHANG) != 0)
                        closer->pid = 0;
                else if (closer->pid && time_monotonic_ms() - closer->since > CLOSER_MS)
                        (void)kill(closer->pid, SIGKILL); /* a socket is let go then, a FUSE file is not */
                if (!closer->pid)
                        place = closer;
        }
        return place;
}

/* ---- on processes of their own: calls of the kernel, nothing else ---- */

static int self = -1;        /* stands for this process in poll() */
static dev_t own_device;     /* of the state folder */
static unsigned descriptors; /* there can be so many */

static bool is_socket(int fd)
{
        struct statx st;
        return type_of(fd, &st) && S_ISSOCK(st.stx_mode);
}

static bool is_own(int fd)
{
        struct statx st;

        if (!type_of(fd, &st) || S_ISSOCK(st.stx_mode))
                return false;
        return !S_ISREG(st.stx_mode) || makedev(st.stx_dev_major, st.stx_dev_minor) == own_device;
}

/* While a closer hangs, the table of descriptors lives on without the daemon, if that is killed: locks, files
 * and connections would stay, and nothing could begin anew in the state folder. */
static void guard(void)
{
        struct pollfd daemon = { .fd = self, .events = POLLIN };
        const struct linger none = { 0 };

        while (syscall(SYS_ppoll, &daemon, 1, NULL, NULL, 0) <= 0)
                ;
        for (unsigned fd = 0; fd < descriptors; fd++)
                if (is_own((int)fd))
                        (void)syscall(SYS_close, fd);
        for (unsigned fd = 0; fd < descriptors; fd++) {
                if (!is_socket((int)fd))
                        continue;
                (void)syscall(SYS_setsockopt, fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
                (void)syscall(SYS_close, fd);
        }
}

/* As fork(), but the descriptors are common: in there the number is free at once, whatever becomes of the
 * closer. */
static long fork_with_files(void)
{
        return syscall(SYS_clone, (unsigned long)(CLONE_FILES | SIGCHLD), NULL, NULL, NULL, 0UL);
}

static _Noreturn void close_and_end(int fd)
{
        pid_t closer = (pid_t)syscall(SYS_getpid);
        long pid = self >= 0 ? fork_with_files() : -1;

        if (pid == 0) {
                (void)syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
                if ((pid_t)syscall(SYS_getppid) == closer)
                        guard();
                (void)syscall(SYS_exit_group, 0);
        }
        (void)syscall(SYS_close, fd);
        if (pid > 0) {
                (void)syscall(SYS_kill, pid, SIGKILL);
                (void)syscall(SYS_wait4, pid, NULL, 0, NULL);
        }
        for (;;)
                (void)syscall(SYS_exit_group, 0);
}

/* No signal is for them: what the service manager sends to all of the unit's processes comes through the
 * daemon's handlers otherwise, and would end the guard. */
static void close_apart(int fd, struct closer *closer)
{
        sigset_t all, before;

        sigfillset(&all);
        (void)pthread_sigmask(SIG_SETMASK, &all, &before);
        long pid = fork_with_files();
        if (pid == 0)
                close_and_end(fd);
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (pid > 0)
                *closer = (struct closer){ .pid = (pid_t)pid, .since = time_monotonic_ms() };
}

/* Gives closers what waits for one. True when all have one, and a further file would. */
static bool close_waiting(void)
{
        struct closer *closer = find_place();

        while (closer && waiting_count) {
                close_apart(waiting[--waiting_count], closer);
                closer = find_place();
        }
        return closer != NULL;
}

void client_file_close(int fd)
{
        bool regular;

        if (fd < 0)
                return;
        if (kind_of(fd, &regular) == KIND_SAFE) {
                (void)close(fd);
                return;
        }
        pthread_mutex_lock(&lock);
        if (waiting_count < count_of(waiting)) /* else it stays open: that hurts less */
                waiting[waiting_count++] = fd;
        (void)close_waiting();
        pthread_mutex_unlock(&lock);
}

bool client_files_hang(void)
{
        pthread_mutex_lock(&lock);
        bool hang = !close_waiting();
        pthread_mutex_unlock(&lock);
        return hang;
}

/* ---- what the kernel closes ---- */

static void on_patience_over(int number unused_arg)
{
}

/* Where a signal is there, the end of a socket does not wait. */
void client_files_patience(bool on)
{
        static timer_t timer;
        static bool made;
        const struct itimerspec soon = { .it_value.tv_nsec = PATIENCE_MS * 1000000L,
                                         .it_interval.tv_nsec = PATIENCE_MS * 1000000L },
                                never = { 0 };

        if (!made) {
                struct sigaction action = { .sa_handler = on_patience_over };
                struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGURG };
                event._sigev_un._tid = gettid();
                made = sigaction(SIGURG, &action, NULL) == 0 &&
                       timer_create(CLOCK_MONOTONIC, &event, &timer) == 0;
        }
        if (made)
                (void)timer_settime(timer, 0, on ? &soon : &never, NULL);
}

void client_files_open(const char *state_directory)
{
        struct stat st;
        struct rlimit limit = { .rlim_cur = HIGHEST };

        (void)getrlimit(RLIMIT_NOFILE, &limit);
        descriptors = limit.rlim_cur < HIGHEST ? (unsigned)limit.rlim_cur : HIGHEST;
        own_device = stat(state_directory, &st) == 0 ? st.st_dev : 0;
        if (self < 0)
                self = (int)syscall(SYS_pidfd_open, getpid(), 0);
}
