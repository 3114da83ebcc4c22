/* SPDX-License-Identifier: MIT */
/* What a descriptor is, without asking whoever serves it, and its end; see client_file.h. */
#include "daemon/store/client_file.h"

#include "common/limits.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum kind {
        KIND_SAFE,    /* of the kernel's own file systems, or no file */
        KIND_SERVED,  /* by a program */
        KIND_UNKNOWN, /* mounted where we do not see it */
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

static enum kind kind_of(int fd, bool *regular)
{
        struct statx st;

        *regular = true;
        if (fcntl(fd, F_GET_SEALS) >= 0)
                return KIND_SAFE; /* a memfd, or a file in memory */
        bool told = statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &st) == 0;
        *regular = told && S_ISREG(st.stx_mode);
        if (!told)
                return KIND_UNKNOWN;
        return *regular ? kind_of_device(st.stx_dev_major, st.stx_dev_minor) : KIND_SAFE;
}

int client_file_check(int fd, struct cause *cause)
{
        bool regular;
        enum kind kind = kind_of(fd, &regular);

        if (!regular)
                return cause_about(cause, CAUSE_INVALID, "descriptor",
                                   "the descriptor is not a regular file or memfd");
        if (kind != KIND_SERVED)
                return 0;
        (void)cause_about(cause, CAUSE_INVALID, "descriptor",
                          "the descriptor is of a file system that a program serves (FUSE)");
        cause_remedy(cause, "read the file, and hand in a memfd of it; emailsecctl send does");
        return -1;
}

/* ---- closing ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pid_t closers[LIMIT_CLOSERS]; /* 0: none */

/* A place in the table; NULL: each closer hangs. */
static pid_t *find_place(void)
{
        pid_t *place = NULL;

        for (size_t i = 0; i < count_of(closers); i++) {
                if (closers[i] && waitpid(closers[i], NULL, WNOHANG) != 0)
                        closers[i] = 0;
                if (!closers[i])
                        place = &closers[i];
        }
        return place;
}

/* As fork(), but the descriptors are common: in there the number is free at once, whatever becomes of the
 * closer. */
static void close_apart(int fd, pid_t *place)
{
        long pid = syscall(SYS_clone, (unsigned long)(CLONE_FILES | SIGCHLD), NULL, NULL, NULL, 0UL);

        if (pid == 0) {
                (void)syscall(SYS_close, fd);
                (void)syscall(SYS_exit_group, 0);
        }
        if (pid > 0)
                *place = (pid_t)pid;
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
        pid_t *place = find_place();
        if (place)
                close_apart(fd, place); /* else it stays open: that hurts less */
        pthread_mutex_unlock(&lock);
}

bool client_files_hang(void)
{
        pthread_mutex_lock(&lock);
        bool hang = find_place() == NULL;
        pthread_mutex_unlock(&lock);
        return hang;
}
