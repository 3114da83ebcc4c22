/* SPDX-License-Identifier: MIT */
/*
 * Preloaded into a daemon under test: durable system calls that fail when the test says so, a disk that can
 * be cut off, a clock that can be set, time that passes, names that are not found. What is wanted stands in a
 * file that test and daemon share (struct wanted, by $INTERPOSE_CONTROL); only files below $INTERPOSE_BELOW
 * are touched.
 *
 * The disk: station.db and its log have a copy beside them, NAME.disk, that holds what a power cut would
 * leave: pages get there when a sync succeeds. A sync that fails loses them, as Linux does: they are no
 * longer dirty, so a later sync that succeeds does not write them.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
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
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum call {
        CALL_OPEN,
        CALL_WRITE,
        CALL_PWRITE,
        CALL_FSYNC,
        CALL_FDATASYNC,
        CALL_RENAME,
        CALL_FTRUNCATE,
        CALL_UNLINK,
        CALL_READ,
        CALL_SYNCFS,
        CALLS
};

/* As tests/system/interpose.py packs it. */
struct fault {
        _Atomic int32_t skip;  /* so many go well first */
        _Atomic int32_t fail;  /* then so many fail; -1: all */
        _Atomic int32_t error; /* with this errno; KILL: the daemon is killed at it; HOLD: they wait */
        _Atomic int32_t seen;  /* calls on files below the folder */
        char match[32];        /* only those whose path ends so; empty: all */
};
struct wanted {
        _Atomic int64_t clock;          /* seconds by which the wall clock is wrong */
        _Atomic int32_t disk;           /* 1: keep what a power cut would leave */
        _Atomic int32_t asleep;         /* seconds that the machine has slept */
        _Atomic int64_t passed;         /* seconds that went by for the daemon alone, on every clock */
        _Atomic int32_t port, connects; /* TCP connections to this port are counted */
        _Atomic int32_t nameless,
                nameless_lookups; /* 1: no host name is found, and such lookups are counted */
        struct fault faults[CALLS];
};

enum { PAGE = 4096, FILES = 8, KILL = -1, HOLD = -2, LOOK_USEC = 2000 };

/* A file whose state on disk is followed. */
struct followed {
        dev_t device;
        ino_t inode;
        int disk;       /* NAME.disk */
        uint8_t *dirty; /* a byte for each page */
        size_t pages;
};

static struct wanted none, *wanted = &none;
static const char *below = "/nowhere/";
static struct followed files[FILES];
static size_t file_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void begin(void)
{
        const char *control = getenv("INTERPOSE_CONTROL"), *folder = getenv("INTERPOSE_BELOW");
        int fd = control ? open(control, O_RDWR | O_CLOEXEC) : -1;

        if (fd < 0 || !folder)
                return;
        void *memory = mmap(NULL, sizeof *wanted, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        (void)close(fd);
        if (memory == MAP_FAILED)
                return;
        below = folder;
        wanted = memory;
}

/* Looked up once: a signal's handler writes as well, and may look nothing up. */
#define REAL(name) \
        (__typeof__(name) *)__extension__({ \
                static _Atomic(void *) found; \
                real(&found, #name); \
        })

static void *real(_Atomic(void *) *found, const char *name)
{
        void *function = atomic_load(found);

        if (!function) {
                function = dlsym(RTLD_NEXT, name);
                if (!function)
                        abort();
                atomic_store(found, function);
        }
        return function;
}

/* ---- faults ---- */

static bool path_of(int fd, char path[PATH_MAX])
{
        char link[40];

        (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t len = readlink(link, path, PATH_MAX - 1);
        path[len > 0 ? len : 0] = '\0';
        return strncmp(path, below, strlen(below)) == 0;
}

static bool ends_with(const char *path, const char *end)
{
        size_t path_len = strlen(path), end_len = strlen(end);

        return path_len >= end_len && strcmp(path + path_len - end_len, end) == 0;
}

/* A disk that does not answer: until the test heals it. */
static bool holds(const struct fault *fault)
{
        if (atomic_load(&fault->error) != HOLD)
                return false;
        while (atomic_load(&fault->fail) != 0)
                (void)usleep(LOOK_USEC);
        return true;
}

/* True, with errno, when this call is one that shall fail. */
static bool fails(enum call call, const char *path)
{
        struct fault *fault = &wanted->faults[call];

        if (!ends_with(path, fault->match))
                return false;
        (void)atomic_fetch_add(&fault->seen, 1);
        if (atomic_load(&fault->fail) == 0)
                return false;
        if (atomic_load(&fault->skip) > 0) {
                (void)atomic_fetch_sub(&fault->skip, 1);
                return false;
        }
        if (holds(fault))
                return false;
        if (atomic_load(&fault->fail) > 0)
                (void)atomic_fetch_sub(&fault->fail, 1);
        if (atomic_load(&fault->error) == KILL)
                (void)kill(getpid(), SIGKILL);
        errno = atomic_load(&fault->error);
        return true;
}

static bool fd_fails(enum call call, int fd)
{
        char path[PATH_MAX];
        int error = errno;
        bool failed = path_of(fd, path) && fails(call, path);

        if (!failed)
                errno = error;
        return failed;
}

/* ---- the disk ---- */

static int copy_page(int from, int to, size_t page)
{
        uint8_t bytes[PAGE];
        off_t at = (off_t)page * PAGE;
        ssize_t (*real_pwrite)(int, const void *, size_t, off_t) = REAL(pwrite);
        ssize_t got = pread(from, bytes, PAGE, at);

        return got <= 0 || real_pwrite(to, bytes, (size_t)got, at) == got ? 0 : -1;
}

static void mark(struct followed *file, off_t from, off_t to)
{
        size_t pages = (size_t)((to + PAGE - 1) / PAGE);

        if (pages > file->pages) {
                file->dirty = realloc(file->dirty, pages);
                if (!file->dirty)
                        abort();
                memset(file->dirty + file->pages, 0, pages - file->pages);
                file->pages = pages;
        }
        for (size_t page = (size_t)(from / PAGE); page < pages; page++)
                file->dirty[page] = 1;
}

/* The record of that file, made at its first sight: what is there then counts as safe. NULL: not followed. */
static struct followed *follow(int fd)
{
        char path[PATH_MAX], copy[PATH_MAX + 8];
        struct stat st;
        int (*real_open)(const char *, int, ...) = REAL(open);

        if (atomic_load(&wanted->disk) == 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return NULL;
        for (size_t i = 0; i < file_count; i++)
                if (files[i].inode == st.st_ino && files[i].device == st.st_dev)
                        return &files[i];
        if (file_count == FILES || !path_of(fd, path) ||
            (!ends_with(path, "/station.db") && !ends_with(path, "/station.db-wal")))
                return NULL;
        (void)snprintf(copy, sizeof copy, "%s.disk", path);
        struct followed *file = &files[file_count];
        *file = (struct followed){ .device = st.st_dev,
                                   .inode = st.st_ino,
                                   .disk = real_open(copy, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) };
        if (file->disk < 0)
                abort();
        for (size_t page = 0; page < (size_t)((st.st_size + PAGE - 1) / PAGE); page++)
                if (copy_page(fd, file->disk, page) < 0)
                        abort();
        file_count++;
        return file;
}

static void wrote(int fd, off_t from, size_t len)
{
        int error = errno;

        pthread_mutex_lock(&lock);
        struct followed *file = follow(fd);
        if (file)
                mark(file, from, from + (off_t)len);
        pthread_mutex_unlock(&lock);
        errno = error;
}

/* What was dirty is on disk now, or, after a failure, neither there nor dirty. */
static void synced(int fd, bool well)
{
        pthread_mutex_lock(&lock);
        struct followed *file = follow(fd);
        for (size_t page = 0; file && page < file->pages; page++) {
                if (file->dirty[page] && well && copy_page(fd, file->disk, page) < 0)
                        abort();
                file->dirty[page] = 0;
        }
        pthread_mutex_unlock(&lock);
}

/* ---- the calls ---- */

static int open_at(int folder, const char *path, int flags, mode_t mode)
{
        int (*real_openat)(int, const char *, int, ...) = REAL(openat);
        bool relative = path[0] != '/' && folder != AT_FDCWD;

        if ((flags & (O_CREAT | O_TMPFILE)) &&
            (relative ? fd_fails(CALL_OPEN, folder)
                      : strncmp(path, below, strlen(below)) == 0 && fails(CALL_OPEN, path)))
                return -1;
        /* "read" is counted where a file is opened for it. */
        if (!(flags & (O_ACCMODE | O_CREAT | O_DIRECTORY)) && strncmp(path, below, strlen(below)) == 0 &&
            fails(CALL_READ, path))
                return -1;
        int fd = real_openat(folder, path, flags, mode);
        if (fd >= 0 && (flags & O_ACCMODE) != O_RDONLY)
                wrote(fd, 0, 0);
        return fd;
}

static mode_t mode_in(int flags, va_list rest)
{
        return flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
}

#define OPEN(name) \
        int name(const char *path, int flags, ...) \
        { \
                va_list rest; \
                va_start(rest, flags); \
                mode_t mode = mode_in(flags, rest); \
                va_end(rest); \
                return open_at(AT_FDCWD, path, flags, mode); \
        }
OPEN(open)
OPEN(open64)

int openat(int folder, const char *path, int flags, ...)
{
        va_list rest;

        va_start(rest, flags);
        mode_t mode = mode_in(flags, rest);
        va_end(rest);
        return open_at(folder, path, flags, mode);
}

ssize_t write(int fd, const void *bytes, size_t len)
{
        ssize_t (*real_write)(int, const void *, size_t) = REAL(write);

        return fd_fails(CALL_WRITE, fd) ? -1 : real_write(fd, bytes, len);
}

#define PWRITE(name) \
        ssize_t name(int fd, const void *bytes, size_t len, off_t at) \
        { \
                ssize_t (*real_pwrite)(int, const void *, size_t, off_t) = REAL(pwrite); \
                if (fd_fails(CALL_PWRITE, fd)) \
                        return -1; \
                ssize_t put = real_pwrite(fd, bytes, len, at); \
                if (put > 0) \
                        wrote(fd, at, (size_t)put); \
                return put; \
        }
PWRITE(pwrite)
PWRITE(pwrite64)

#define SYNC(name, call) \
        int name(int fd) \
        { \
                int (*real_sync)(int) = REAL(name); \
                bool failed = fd_fails(call, fd); \
                int error = errno; \
                int result = failed ? -1 : real_sync(fd); \
                synced(fd, result == 0); \
                if (failed) \
                        errno = error; \
                return result; \
        }
SYNC(fsync, CALL_FSYNC)
SYNC(fdatasync, CALL_FDATASYNC)

/* A power cut leaves less than this promises. */
int syncfs(int fd)
{
        int (*real_syncfs)(int) = REAL(syncfs);

        return fd_fails(CALL_SYNCFS, fd) ? -1 : real_syncfs(fd);
}

/* The log is cut only when all of it is in the database: the copy is cut at once. */
#define FTRUNCATE(name) \
        int name(int fd, off_t size) \
        { \
                int (*real_ftruncate)(int, off_t) = REAL(ftruncate); \
                if (fd_fails(CALL_FTRUNCATE, fd)) \
                        return -1; \
                int result = real_ftruncate(fd, size); \
                pthread_mutex_lock(&lock); \
                struct followed *file = result == 0 ? follow(fd) : NULL; \
                if (file && real_ftruncate(file->disk, size) < 0) \
                        abort(); \
                pthread_mutex_unlock(&lock); \
                return result; \
        }
FTRUNCATE(ftruncate)
FTRUNCATE(ftruncate64)

int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags)
{
        int (*real_rename)(int, const char *, int, const char *, unsigned) = REAL(renameat2);

        return fd_fails(CALL_RENAME, to_folder) ? -1 : real_rename(from_folder, from, to_folder, to, flags);
}

int unlinkat(int folder, const char *path, int flags)
{
        int (*real_unlinkat)(int, const char *, int) = REAL(unlinkat);

        return fd_fails(CALL_UNLINK, folder) ? -1 : real_unlinkat(folder, path, flags);
}

/* ---- the clock ---- */

/* The loop's alarm, set by a clock that is ahead of the kernel's; it is set again when that changes. */
static int alarm_fd = -1;
static struct timespec alarm_due;
static _Atomic int64_t alarm_ahead;
static pthread_mutex_t alarm_lock =
        PTHREAD_MUTEX_INITIALIZER; /* any thread may be the first that sees time pass */

static int64_t ahead(void)
{
        return wanted->asleep + wanted->passed;
}

/* With the lock held. */
static int set_alarm(void)
{
        int (*real_settime)(int, int, const struct itimerspec *, struct itimerspec *) = REAL(timerfd_settime);
        struct itimerspec when = { .it_value = alarm_due };

        atomic_store(&alarm_ahead, ahead());
        if (alarm_due.tv_sec || alarm_due.tv_nsec) {
                when.it_value.tv_sec -= (time_t)ahead();
                if (when.it_value.tv_sec < 0)
                        when.it_value = (struct timespec){ .tv_nsec = 1 };
        }
        return real_settime(alarm_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
        int (*real_gettime)(clockid_t, struct timespec *) = REAL(clock_gettime);
        int result = real_gettime(clock, now);

        if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
                now->tv_sec += atomic_load(&wanted->clock);
        if (result == 0 && clock == CLOCK_BOOTTIME)
                now->tv_sec += atomic_load(&wanted->asleep);
        if (clock == CLOCK_BOOTTIME && alarm_ahead != ahead()) {
                pthread_mutex_lock(&alarm_lock);
                if (alarm_fd >= 0)
                        (void)set_alarm();
                pthread_mutex_unlock(&alarm_lock);
        }
        if (result == 0 &&
            (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_BOOTTIME ||
             clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_COARSE))
                now->tv_sec += atomic_load(&wanted->passed);
        return result;
}

time_t time(time_t *out)
{
        struct timespec now;

        (void)clock_gettime(CLOCK_REALTIME, &now);
        if (out)
                *out = now.tv_sec;
        return now.tv_sec;
}

/* The timer that tells when the clock is set is a FIFO to which the test writes eight bytes. */
static int set_notice = -1;

int timerfd_create(int clock, int flags)
{
        int (*real_create)(int, int) = REAL(timerfd_create);
        const char *fifo = getenv("INTERPOSE_CLOCK");
        int (*real_open)(const char *, int, ...) = REAL(open);

        if (clock != CLOCK_REALTIME || !fifo)
                return real_create(clock, flags);
        set_notice = real_open(fifo, O_RDWR | O_NONBLOCK | O_CLOEXEC);
        return set_notice;
}

int timerfd_settime(int fd, int flags, const struct itimerspec *when, struct itimerspec *old)
{
        int (*real_settime)(int, int, const struct itimerspec *, struct itimerspec *) = REAL(timerfd_settime);

        if (fd == set_notice)
                return 0;
        if (flags != TFD_TIMER_ABSTIME)
                return real_settime(fd, flags, when, old);
        pthread_mutex_lock(&alarm_lock);
        alarm_fd = fd;
        alarm_due = when->it_value;
        int result = set_alarm();
        pthread_mutex_unlock(&alarm_lock);
        return result;
}

/* ---- the network ---- */

int connect(int fd, const struct sockaddr *to, socklen_t len)
{
        int (*real_connect)(int, const struct sockaddr *, socklen_t) = REAL(connect);
        struct sockaddr_in peer = { 0 };

        memcpy(&peer, to, len < sizeof peer ? len : sizeof peer);
        /* IPv6 has its port at the same place */
        if ((peer.sin_family == AF_INET || peer.sin_family == AF_INET6) &&
            ntohs(peer.sin_port) == wanted->port)
                atomic_fetch_add(&wanted->connects, 1);
        return real_connect(fd, to, len);
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
        int (*real_getaddrinfo)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
                REAL(getaddrinfo);

        if (!name || !wanted->nameless || (hints && (hints->ai_flags & AI_NUMERICHOST)))
                return real_getaddrinfo(name, service, hints, out);
        atomic_fetch_add(&wanted->nameless_lookups, 1);
        return EAI_AGAIN;
}
