/* SPDX-License-Identifier: MIT */
/* What a descriptor is, without asking whoever serves it, and who closes it; see client_file.h. */
#include "daemon/store/client_file.h"

#include "daemon/store/closers.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum kind {
        KIND_SAFE,    /* of the kernel's own file systems, or what is closed at once */
        KIND_SERVED,  /* by a program */
        KIND_UNKNOWN, /* mounted where we do not see it, or no file */
};

enum { PATIENCE_MS = 2 }; /* so long the kernel may let the loop wait for what a client has sent */

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

void client_file_close(int fd)
{
        bool regular;

        if (fd < 0)
                return;
        if (kind_of(fd, &regular) == KIND_SAFE)
                (void)close(fd);
        else
                closers_take(fd);
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
