/* SPDX-License-Identifier: MIT */
/*
 * Preloaded into a daemon: the n-th call of one kind fails, or the process is killed before or after it. What
 * is wanted stands in a file that the daemon shares with torture.py (struct plan, by $NTH_CALL). Counted are
 * calls that touch files below $NTH_BELOW, sockets, threads and memory; loading of libraries is left alone.
 */
#undef _FORTIFY_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* In the order of torture.py. */
enum kind {
        KIND_DISK, /* any of the next eight: for kills */
        KIND_OPEN,
        KIND_WRITE,
        KIND_PWRITE,
        KIND_SYNC,
        KIND_RENAME,
        KIND_UNLINK,
        KIND_TRUNCATE,
        KIND_MKDIR,
        KIND_READ,
        KIND_MMAP,
        KIND_CONNECT,
        KIND_ACCEPT,
        KIND_THREAD,
        KIND_MALLOC,
        KINDS
};
#define ON_DISK KIND_MKDIR
enum action { ACT_FAIL, ACT_KILL_BEFORE, ACT_KILL_AFTER };
enum outcome { GO_ON, REFUSED, LAST };

struct plan {
        _Atomic int32_t armed, kind, nth, action, error, sticky;
        _Atomic int32_t struck;
        _Atomic int32_t counts[KINDS];
};

static struct plan idle, *plan = &idle;
static const char *below = "/nowhere/";

/* Where it crashed, on stderr: the daemon leaves no core. */
static void crashed(int number)
{
        void *frames[40];

        atomic_store(&plan->armed, 0);
        backtrace_symbols_fd(frames, backtrace(frames, 40), STDERR_FILENO);
        (void)raise(number);
}

__attribute__((constructor)) static void begin(void)
{
        const struct sigaction action = { .sa_handler = crashed, .sa_flags = SA_RESETHAND | SA_NODEFER };

        (void)sigaction(SIGSEGV, &action, NULL);
        (void)sigaction(SIGBUS, &action, NULL);
        const char *path = getenv("NTH_CALL"), *folder = getenv("NTH_BELOW");
        int fd = path && folder ? open(path, O_RDWR | O_CLOEXEC) : -1;

        if (fd < 0)
                return;
        void *memory = mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        (void)close(fd);
        if (memory == MAP_FAILED)
                return;
        below = folder;
        plan = memory;
}

static void die(void)
{
        (void)kill(getpid(), SIGKILL);
        for (;;)
                (void)pause();
}

static bool due(enum kind kind)
{
        int32_t at = atomic_fetch_add(&plan->counts[kind], 1);

        return plan->kind == (int32_t)kind && (at == plan->nth || (plan->sticky && at > plan->nth));
}

static enum outcome strike(enum kind kind)
{
        if (!atomic_load(&plan->armed))
                return GO_ON;
        bool hit = due(kind);
        if (kind <= ON_DISK)
                hit |= due(KIND_DISK);
        if (!hit)
                return GO_ON;
        (void)atomic_fetch_add(&plan->struck, 1);
        if (plan->action == ACT_KILL_BEFORE)
                die();
        if (plan->action == ACT_KILL_AFTER)
                return LAST;
        errno = plan->error;
        return REFUSED;
}

static bool path_counts(const char *path)
{
        return path[0] != '/' || strncmp(path, below, strlen(below)) == 0;
}

static bool fd_counts(int fd)
{
        char link[40], path[PATH_MAX];

        if (!atomic_load(&plan->armed))
                return false;
        (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t len = readlink(link, path, sizeof path - 1);
        path[len > 0 ? len : 0] = '\0';
        return strncmp(path, below, strlen(below)) == 0;
}

/* Defines a function before libc's of the same name. */
#define WRAP(type, name, failure, kind, counts, parameters, arguments) \
        type name parameters \
        { \
                static type(*_Atomic next) parameters; \
                type(*call) parameters = next; \
                if (!call) \
                        next = call = (__typeof__(call))dlsym(RTLD_NEXT, #name); \
                enum outcome outcome = (counts) ? strike(kind) : GO_ON; \
                if (outcome == REFUSED) \
                        return failure; \
                type result = call arguments; \
                if (outcome == LAST) \
                        die(); \
                return result; \
        }

WRAP(ssize_t, write, -1, KIND_WRITE, fd_counts(fd), (int fd, const void *bytes, size_t len), (fd, bytes, len))
WRAP(ssize_t, pwrite, -1, KIND_PWRITE, fd_counts(fd), (int fd, const void *bytes, size_t len, off_t at),
     (fd, bytes, len, at))
WRAP(ssize_t, pwrite64, -1, KIND_PWRITE, fd_counts(fd), (int fd, const void *bytes, size_t len, off64_t at),
     (fd, bytes, len, at))
WRAP(int, fsync, -1, KIND_SYNC, fd_counts(fd), (int fd), (fd))
WRAP(int, fdatasync, -1, KIND_SYNC, fd_counts(fd), (int fd), (fd))
WRAP(int, syncfs, -1, KIND_SYNC, fd_counts(fd), (int fd), (fd))
WRAP(int, rename, -1, KIND_RENAME, path_counts(to), (const char *from, const char *to), (from, to))
WRAP(int, renameat, -1, KIND_RENAME, path_counts(to), (int d, const char *from, int e, const char *to),
     (d, from, e, to))
WRAP(int, renameat2, -1, KIND_RENAME, path_counts(to),
     (int d, const char *from, int e, const char *to, unsigned flags), (d, from, e, to, flags))
WRAP(int, linkat, -1, KIND_RENAME, path_counts(to),
     (int d, const char *from, int e, const char *to, int flags), (d, from, e, to, flags))
WRAP(int, unlink, -1, KIND_UNLINK, path_counts(path), (const char *path), (path))
WRAP(int, unlinkat, -1, KIND_UNLINK, path_counts(path), (int folder, const char *path, int flags),
     (folder, path, flags))
WRAP(int, ftruncate, -1, KIND_TRUNCATE, fd_counts(fd), (int fd, off_t size), (fd, size))
WRAP(int, ftruncate64, -1, KIND_TRUNCATE, fd_counts(fd), (int fd, off64_t size), (fd, size))
WRAP(int, mkdir, -1, KIND_MKDIR, path_counts(path), (const char *path, mode_t mode), (path, mode))
WRAP(int, mkdirat, -1, KIND_MKDIR, path_counts(path), (int folder, const char *path, mode_t mode),
     (folder, path, mode))
WRAP(ssize_t, read, -1, KIND_READ, fd_counts(fd), (int fd, void *bytes, size_t len), (fd, bytes, len))
WRAP(ssize_t, pread, -1, KIND_READ, fd_counts(fd), (int fd, void *bytes, size_t len, off_t at),
     (fd, bytes, len, at))
WRAP(ssize_t, pread64, -1, KIND_READ, fd_counts(fd), (int fd, void *bytes, size_t len, off64_t at),
     (fd, bytes, len, at))
WRAP(void *, mmap, MAP_FAILED, KIND_MMAP, fd >= 0 && fd_counts(fd),
     (void *at, size_t len, int how, int flags, int fd, off_t from), (at, len, how, flags, fd, from))
WRAP(int, connect, -1, KIND_CONNECT, true, (int fd, const struct sockaddr *to, socklen_t len), (fd, to, len))
WRAP(int, accept4, -1, KIND_ACCEPT, true, (int fd, struct sockaddr *from, socklen_t *len, int flags),
     (fd, from, len, flags))
WRAP(int, pthread_create, plan->error, KIND_THREAD, true,
     (pthread_t * thread, const pthread_attr_t *how, void *(*run)(void *), void *ctx),
     (thread, how, run, ctx))

static int open_counted(int folder, const char *path, int flags, mode_t mode)
{
        int (*next)(int, const char *, int, ...) = (__typeof__(next))dlsym(RTLD_NEXT, "openat");
        enum outcome outcome = path_counts(path) ? strike(KIND_OPEN) : GO_ON;

        if (outcome == REFUSED)
                return -1;
        int fd = next(folder, path, flags, mode);
        if (outcome == LAST)
                die();
        return fd;
}

#define OPEN_MODE \
        va_list rest; \
        va_start(rest, flags); \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
        va_end(rest);

int open(const char *path, int flags, ...)
{
        OPEN_MODE
        return open_counted(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
        OPEN_MODE
        return open_counted(AT_FDCWD, path, flags, mode);
}

int openat(int folder, const char *path, int flags, ...)
{
        OPEN_MODE
        return open_counted(folder, path, flags, mode);
}

int openat64(int folder, const char *path, int flags, ...)
{
        OPEN_MODE
        return open_counted(folder, path, flags, mode);
}

/* ---- memory: glibc's own names, since dlsym() itself allocates ---- */

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

void *malloc(size_t size)
{
        return strike(KIND_MALLOC) == REFUSED ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
        return strike(KIND_MALLOC) == REFUSED ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
        return strike(KIND_MALLOC) == REFUSED ? NULL : __libc_realloc(old, size);
}
