/* SPDX-License-Identifier: MIT */
/* See closers.h. */
#include "daemon/store/closers.h"

#include "common/limits.h"
#include "daemon/loop.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
        SLOW_MS = 20,    /* at one close: it hangs, or likely does */
        HANGS_MS = 1000, /* it does: it is killed, which ends what can be ended */
        IDLE_S = 1,      /* then it ends */
        LOOK_MS = 1000,  /* between two looks at them */
        LOOK_MOST_MS = 60000,
        HIGHEST = 1 << 20, /* descriptors that the guard looks at, at most */
};

enum closer_state { CLOSER_GONE, CLOSER_IDLE, CLOSER_BUSY };

/* In memory that the daemon and its closers have in common. Descriptors lie in a ring: `asked` counts those
 * that were put there, by the daemon under its lock, `taken` those that a closer has taken out. */
struct closers_shared {
        _Atomic uint32_t asked, taken;
        _Atomic int files[LIMIT_WAITING_FILES];
        struct {
                _Atomic uint32_t state; /* enum closer_state */
                _Atomic int64_t since;  /* BUSY: when its present close began */
        } closers[LIMIT_CLOSERS];
};

static_assert(!(LIMIT_WAITING_FILES & (LIMIT_WAITING_FILES - 1)), "the counters go round, and the ring too");

static struct closers_shared *shared;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of what follows */
static pid_t pids[LIMIT_CLOSERS];                        /* 0: none */
static int self = -1;                                    /* a pidfd: stands for this process in poll() */
static dev_t own_device;                                 /* of the state folder */
static unsigned descriptors;                             /* there can be so many */
static bool is_looked_at;                                /* `look` is set, or will be */
static bool ends;                                        /* the loop */
static struct timer *look;                               /* the loop's alone, as its pause */
static int64_t pause_ms;

/* ---- in processes of their own: calls of the kernel, nothing else ---- */

static int64_t now_ms(void)
{
        struct timespec now = { 0 };

        (void)syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
        return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool type_of(int fd, struct statx *st)
{
        return statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, st) == 0;
}

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

/* While a closer lives, the table of descriptors does, without the daemon if that is killed: locks, files
 * and connections would stay, and nothing could begin anew in the state folder. A closer that does not hang
 * is ended then, and its guard with it; the table of one that hangs is emptied. */
static void guard(pid_t closer)
{
        struct pollfd daemon = { .fd = self, .events = POLLIN };
        const struct linger none = { 0 };

        while (syscall(SYS_ppoll, &daemon, 1, NULL, NULL, 0) <= 0)
                ;
        (void)syscall(SYS_kill, closer, SIGKILL);
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

/* As fork(), but the descriptors are common. */
static long fork_with_files(void)
{
        return syscall(SYS_clone, (unsigned long)(CLONE_FILES | SIGCHLD), NULL, NULL, NULL, 0UL);
}

static long guard_begin(void)
{
        pid_t closer = (pid_t)syscall(SYS_getpid);
        long pid = self >= 0 ? fork_with_files() : -1;

        if (pid != 0)
                return pid;
        (void)syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        if ((pid_t)syscall(SYS_getppid) == closer)
                guard(closer);
        for (;;)
                (void)syscall(SYS_exit_group, 0);
}

static bool is_empty(void)
{
        return atomic_load(&shared->asked) == atomic_load(&shared->taken);
}

/* False: there is none. */
static bool close_next(size_t place)
{
        uint32_t taken = atomic_load(&shared->taken);

        if (is_empty())
                return false;
        int fd = atomic_load(&shared->files[taken % LIMIT_WAITING_FILES]);
        atomic_store(&shared->closers[place].since, now_ms());
        if (atomic_compare_exchange_strong(&shared->taken, &taken, taken + 1))
                (void)syscall(SYS_close, fd);
        return true;
}

/* False when nothing has come for so many seconds. Who gives something afterwards sees GONE, or else it is
 * seen here. */
static bool wait_for_more(size_t place, long seconds)
{
        const struct timespec most = { .tv_sec = seconds };
        bool over = false;

        while (!over && is_empty()) {
                uint32_t asked = atomic_load(&shared->asked);
                atomic_store(&shared->closers[place].state, CLOSER_IDLE);
                over = is_empty() && (!seconds || (syscall(SYS_futex, &shared->asked, FUTEX_WAIT, asked,
                                                           &most, NULL, 0) < 0 &&
                                                   errno == ETIMEDOUT));
        }
        if (over)
                atomic_store(&shared->closers[place].state, CLOSER_GONE);
        if (is_empty())
                return false;
        atomic_store(&shared->closers[place].since, now_ms());
        atomic_store(&shared->closers[place].state, CLOSER_BUSY);
        return true;
}

static _Noreturn void closer_run(size_t place)
{
        long pid = guard_begin();

        do {
                while (close_next(place))
                        ;
        } while (wait_for_more(place, pid > 0 ? IDLE_S : 0));
        if (pid > 0) {
                (void)syscall(SYS_kill, pid, SIGKILL);
                (void)syscall(SYS_wait4, pid, NULL, 0, NULL);
        }
        for (;;)
                (void)syscall(SYS_exit_group, 0);
}

/* ---- in the daemon, under the lock ---- */

/* No signal is for them: what the service manager sends to all of the unit's processes comes through the
 * daemon's handlers otherwise, and would end the guard. */
static void begin(size_t place)
{
        sigset_t all, before;

        sigfillset(&all);
        atomic_store(&shared->closers[place].since, now_ms());
        atomic_store(&shared->closers[place].state, CLOSER_BUSY);
        (void)pthread_sigmask(SIG_SETMASK, &all, &before);
        long pid = fork_with_files();
        if (pid == 0)
                closer_run(place);
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
        pids[place] = pid > 0 ? (pid_t)pid : 0;
}

static int64_t at_one_close_for(size_t place)
{
        if (atomic_load(&shared->closers[place].state) != CLOSER_BUSY)
                return 0;
        return now_ms() - atomic_load(&shared->closers[place].since);
}

/* Those that may take something now, and a place for one more (LIMIT_CLOSERS: none). */
static size_t idle_closers(size_t *place)
{
        size_t idle = 0;

        *place = LIMIT_CLOSERS;
        for (size_t i = 0; i < LIMIT_CLOSERS; i++) {
                if (pids[i] && waitpid(pids[i], NULL, WNOHANG) != 0)
                        pids[i] = 0;
                else if (pids[i] && at_one_close_for(i) > HANGS_MS)
                        (void)kill(pids[i], SIGKILL); /* a socket is let go then, a FUSE file is not */
                if (!pids[i])
                        *place = i;
                else
                        idle += atomic_load(&shared->closers[i].state) == CLOSER_IDLE;
        }
        return idle;
}

static uint32_t files_waiting(void)
{
        return atomic_load(&shared->asked) - atomic_load(&shared->taken);
}

/* Each file has a closer that may take it; one that is at work may hang in what it has. One more at a time:
 * to begin one costs the caller more than anything else here. */
static void look_after(void)
{
        size_t place, idle = idle_closers(&place);
        uint32_t files = files_waiting();

        if (files && idle)
                (void)syscall(SYS_futex, &shared->asked, FUTEX_WAKE, (int)files, NULL, NULL, 0);
        if (files > idle && place < LIMIT_CLOSERS)
                begin(place);
}

/* Nobody else may ever give something or ask again: until all is closed and each closer has ended, somebody
 * must end those that hang, begin others, and begin one where that was not possible before. */
static void look_again(unused_arg void *ctx)
{
        bool closers = false, more;

        pthread_mutex_lock(&lock);
        look_after();
        for (size_t i = 0; i < LIMIT_CLOSERS; i++)
                closers = closers || pids[i];
        is_looked_at = more = closers || files_waiting();
        pthread_mutex_unlock(&lock);
        pause_ms = closers ? LOOK_MS : pause_ms * 2 < LOOK_MOST_MS ? pause_ms * 2 : LOOK_MOST_MS;
        if (more)
                timer_set(look, pause_ms);
}

static void look_begin(unused_arg void *ctx)
{
        if (ends)
                return;
        if (!look)
                look = timer_new(look_again, NULL);
        pause_ms = LOOK_MS;
        timer_set(look, pause_ms);
}

static void look_end(unused_arg void *ctx)
{
        ends = true;
        timer_free(take(look));
}

void closers_take(int fd)
{
        bool first = false;

        pthread_mutex_lock(&lock);
        if (shared && files_waiting() < LIMIT_WAITING_FILES) { /* else it stays open: that hurts less */
                uint32_t asked = atomic_load(&shared->asked);
                atomic_store(&shared->files[asked % LIMIT_WAITING_FILES], fd);
                atomic_store(&shared->asked, asked + 1);
                look_after();
                first = !is_looked_at;
                is_looked_at = true;
        }
        pthread_mutex_unlock(&lock);
        if (first)
                loop_post(look_begin, NULL);
}

bool closers_hang(void)
{
        size_t slow = 0;

        pthread_mutex_lock(&lock);
        if (shared) {
                look_after();
                for (size_t i = 0; i < LIMIT_CLOSERS; i++)
                        slow += pids[i] && at_one_close_for(i) > SLOW_MS;
                if (files_waiting() > LIMIT_WAITING_FILES / 2)
                        slow = LIMIT_CLOSERS;
        }
        pthread_mutex_unlock(&lock);
        return slow == LIMIT_CLOSERS;
}

void closers_open(const char *state_directory)
{
        struct stat st;
        struct rlimit limit = { .rlim_cur = HIGHEST };

        (void)getrlimit(RLIMIT_NOFILE, &limit);
        descriptors = limit.rlim_cur < HIGHEST ? (unsigned)limit.rlim_cur : HIGHEST;
        own_device = stat(state_directory, &st) == 0 ? st.st_dev : 0;
        is_looked_at = ends = false;
        loop_on_close(look_end, NULL);
        if (self < 0)
                self = (int)syscall(SYS_pidfd_open, getpid(), 0);
        if (!shared) {
                void *memory =
                        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
                shared = memory == MAP_FAILED ? NULL : memory;
        }
}
