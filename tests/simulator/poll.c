/* SPDX-License-Identifier: MIT */
/*
 * Where the daemon waits, and so where the world goes on: epoll_wait. Time passes only here, and by what the
 * daemon's own calls take. Which of the ready descriptors are told of, and in which order, the seed decides.
 */
#include "tests/simulator/kernel.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <utime.h>

enum { EVENTS_AT_ONCE = 100000, WATCHED = 1024, PIPE_ROOM = 4096 };

/* ---- clocks ---- */

static int64_t clock_us(clockid_t clock)
{
        static const int64_t booted = INT64_C(1000) * 1000000; /* the machine runs for a while already */

        switch (clock) {
        case CLOCK_REALTIME:
        case CLOCK_REALTIME_COARSE:
                return shared->now_us + (shared->wall_start + shared->clock_error) * 1000000;
        case CLOCK_BOOTTIME:
                return shared->now_us + booted;
        default:
                return shared->now_us + booted - shared->slept_us;
        }
}

int clock_gettime(clockid_t clock, struct timespec *out)
{
        if (!shared)
                return (int)real(SYS_clock_gettime, (long)clock, out);
        shared->now_us += in_daemon;
        int64_t us = clock_us(clock);
        *out = (struct timespec){ .tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000 };
        return 0;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
        struct timespec time;

        (void)zone;
        (void)clock_gettime(CLOCK_REALTIME, &time);
        *out = (struct timeval){ .tv_sec = time.tv_sec, .tv_usec = time.tv_nsec / 1000 };
        return 0;
}

time_t time(time_t *out)
{
        struct timespec now;

        (void)clock_gettime(CLOCK_REALTIME, &now);
        if (out)
                *out = now.tv_sec;
        return now.tv_sec;
}

void block_us(int64_t us)
{
        while (threads_work_one())
                ;
        shared->now_us += us;
}

int nanosleep(const struct timespec *wanted, struct timespec *left)
{
        (void)left;
        block_us((int64_t)wanted->tv_sec * 1000000 + wanted->tv_nsec / 1000);
        return 0;
}

int usleep(useconds_t us)
{
        block_us(us);
        return 0;
}

unsigned sleep(unsigned seconds)
{
        block_us((int64_t)seconds * 1000000);
        return 0;
}

/* ---- timerfd ---- */

struct alarm {
        clockid_t clock;
        int64_t due; /* on its clock, us; INT64_MAX: not set */
        bool tells_of_set, was_set;
        struct alarm *next;
};
static struct alarm *alarms;

static int64_t alarm_left(const struct alarm *alarm)
{
        if (alarm->was_set)
                return 0;
        return alarm->due == INT64_MAX ? INT64_MAX : alarm->due - clock_us(alarm->clock);
}

static ssize_t alarm_read(struct file *file, void *bytes, size_t len)
{
        struct alarm *alarm = file->object;

        if (alarm->was_set) {
                alarm->was_set = false;
                errno = ECANCELED;
                return -1;
        }
        if (len < sizeof(uint64_t) || alarm_left(alarm) > 0) {
                errno = EAGAIN;
                return -1;
        }
        alarm->due = INT64_MAX;
        *(uint64_t *)bytes = 1;
        return sizeof(uint64_t);
}

static ssize_t no_write(struct file *file, const void *bytes, size_t len)
{
        (void)file;
        (void)bytes;
        (void)len;
        errno = EINVAL;
        return -1;
}

static unsigned alarm_ready(struct file *file)
{
        return alarm_left(file->object) <= 0 ? POLLIN : 0;
}

static void alarm_close(struct file *file)
{
        struct alarm **place = &alarms;

        while (*place != file->object)
                place = &(*place)->next;
        *place = (*place)->next;
        free(file->object);
}

static const struct file_kind alarm_kind = {
        .name = "timer", .read = alarm_read, .write = no_write, .ready = alarm_ready, .close = alarm_close
};

int timerfd_create(clockid_t clock, int flags)
{
        struct alarm *alarm = calloc(1, sizeof *alarm);

        *alarm = (struct alarm){ .clock = clock, .due = INT64_MAX, .next = alarms };
        alarms = alarm;
        return fd_new(&alarm_kind, alarm, flags);
}

int timerfd_settime(int fd, int flags, const struct itimerspec *new, struct itimerspec *old)
{
        struct file *file = fd_file(fd);
        struct alarm *alarm = file && file->kind == &alarm_kind ? file->object : NULL;

        (void)old;
        if (!alarm)
                return -1;
        int64_t us = (int64_t)new->it_value.tv_sec * 1000000 + new->it_value.tv_nsec / 1000;
        alarm->due = us == 0 ? INT64_MAX : flags & TFD_TIMER_ABSTIME ? us : clock_us(alarm->clock) + us;
        alarm->tells_of_set = flags & TFD_TIMER_CANCEL_ON_SET;
        alarm->was_set = false;
        return 0;
}

void clock_was_set(void)
{
        for (struct alarm *alarm = alarms; alarm; alarm = alarm->next)
                alarm->was_set = alarm->tells_of_set;
}

static int64_t alarms_due(void)
{
        int64_t due = INT64_MAX;

        for (const struct alarm *alarm = alarms; alarm; alarm = alarm->next) {
                int64_t left = alarm_left(alarm);
                if (left != INT64_MAX && shared->now_us + left < due)
                        due = shared->now_us + left;
        }
        return due;
}

/* ---- eventfd, pipe ---- */

static ssize_t count_read(struct file *file, void *bytes, size_t len)
{
        uint64_t *count = file->object;

        if (!*count || len < sizeof *count) {
                errno = EAGAIN;
                return -1;
        }
        memcpy(bytes, count, sizeof *count);
        *count = 0;
        return sizeof *count;
}

static ssize_t count_write(struct file *file, const void *bytes, size_t len)
{
        uint64_t more;

        memcpy(&more, bytes, sizeof more);
        *(uint64_t *)file->object += more;
        return (ssize_t)len;
}

static unsigned count_ready(struct file *file)
{
        return POLLOUT | (*(uint64_t *)file->object ? POLLIN : 0);
}

static void free_object(struct file *file)
{
        free(file->object);
}

static const struct file_kind count_kind = { .name = "eventfd",
                                             .read = count_read,
                                             .write = count_write,
                                             .ready = count_ready,
                                             .close = free_object };

int eventfd(unsigned first, int flags)
{
        uint64_t *count = calloc(1, sizeof *count);

        *count = first;
        return fd_new(&count_kind, count, flags);
}

int eventfd_read(int fd, eventfd_t *value)
{
        return read(fd, value, sizeof *value) == sizeof *value ? 0 : -1;
}

int eventfd_write(int fd, eventfd_t value)
{
        return write(fd, &value, sizeof value) == sizeof value ? 0 : -1;
}

struct pipe {
        unsigned ends;
        size_t len;
        uint8_t bytes[PIPE_ROOM];
};

static ssize_t pipe_read(struct file *file, void *bytes, size_t len)
{
        struct pipe *pipe = file->object;

        if (!pipe->len) {
                errno = EAGAIN;
                return pipe->ends == 2 ? -1 : 0;
        }
        len = len < pipe->len ? len : pipe->len;
        memcpy(bytes, pipe->bytes, len);
        memmove(pipe->bytes, pipe->bytes + len, pipe->len -= len);
        return (ssize_t)len;
}

static ssize_t pipe_write(struct file *file, const void *bytes, size_t len)
{
        struct pipe *pipe = file->object;

        if (len > PIPE_ROOM - pipe->len) {
                errno = EAGAIN;
                return -1;
        }
        memcpy(pipe->bytes + pipe->len, bytes, len);
        pipe->len += len;
        return (ssize_t)len;
}

static unsigned pipe_ready(struct file *file)
{
        const struct pipe *pipe = file->object;

        return (pipe->len ? POLLIN : 0U) | (pipe->len < PIPE_ROOM ? POLLOUT : 0U);
}

static void pipe_close(struct file *file)
{
        struct pipe *pipe = file->object;

        if (--pipe->ends == 0)
                free(pipe);
}

static const struct file_kind pipe_kind = {
        .name = "pipe", .read = pipe_read, .write = pipe_write, .ready = pipe_ready, .close = pipe_close
};

int pipe2(int fds[2], int flags)
{
        struct pipe *pipe = calloc(1, sizeof *pipe);

        pipe->ends = 2;
        fds[0] = fd_new(&pipe_kind, pipe, flags);
        fds[1] = fd_new(&pipe_kind, pipe, flags);
        return 0;
}

int pipe(int fds[2])
{
        return pipe2(fds, 0);
}

/* ---- epoll ---- */

struct watched {
        int fd;
        struct epoll_event event;
};
struct watchers {
        size_t count;
        struct watched watched[WATCHED];
};

static ssize_t no_read(struct file *file, void *bytes, size_t len)
{
        (void)bytes;
        return no_write(file, NULL, len);
}

static unsigned never_ready(struct file *file)
{
        (void)file;
        return 0;
}

static const struct file_kind epoll_kind = {
        .name = "epoll", .read = no_read, .write = no_write, .ready = never_ready, .close = free_object
};

int epoll_create1(int flags)
{
        struct watchers *watchers = calloc(1, sizeof *watchers);

        return fd_new(&epoll_kind, watchers, flags);
}

int epoll_create(int size)
{
        (void)size;
        return epoll_create1(0);
}

int epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
        struct file *file = fd_file(epoll);
        struct watchers *watchers = file && file->kind == &epoll_kind ? file->object : NULL;
        size_t at = 0;

        if (!watchers || !fd_file(fd))
                return -1;
        while (at < watchers->count && watchers->watched[at].fd != fd)
                at++;
        if ((operation == EPOLL_CTL_ADD) != (at == watchers->count)) {
                errno = operation == EPOLL_CTL_ADD ? EEXIST : ENOENT;
                return -1;
        }
        if (operation == EPOLL_CTL_DEL) {
                watchers->count--;
                memmove(&watchers->watched[at], &watchers->watched[at + 1],
                        (watchers->count - at) * sizeof watchers->watched[0]);
                return 0;
        }
        if (at == WATCHED)
                abort();
        watchers->watched[at] = (struct watched){ .fd = fd, .event = *event };
        watchers->count += operation == EPOLL_CTL_ADD;
        return 0;
}

/* A closed descriptor leaves by itself. */
static size_t collect(struct watchers *watchers, struct epoll_event *out, size_t most)
{
        size_t found = 0;

        for (size_t i = 0; i < watchers->count && found < most; i++) {
                struct file *file = fd_file(watchers->watched[i].fd);
                if (!file) {
                        watchers->count--;
                        memmove(&watchers->watched[i], &watchers->watched[i + 1],
                                (watchers->count - i) * sizeof watchers->watched[0]);
                        i--;
                        continue;
                }
                unsigned ready =
                        file->kind->ready(file) & (watchers->watched[i].event.events | POLLERR | POLLHUP);
                if (ready) {
                        out[found] = watchers->watched[i].event;
                        out[found++].events = ready;
                }
        }
        return found;
}

static size_t shuffle(struct epoll_event *events, size_t count)
{
        for (size_t i = count; i > 1; i--) {
                size_t other = (size_t)(chance("ready") % i);
                struct epoll_event event = events[i - 1];
                events[i - 1] = events[other];
                events[other] = event;
        }
        if (count > 1 && chance_permille("ready", 200))
                count = (size_t)chance_between("ready", 1, (int64_t)count);
        return count;
}

/* False: time stands still and so does everything. */
static bool time_goes_on(int64_t deadline)
{
        int64_t next = events_due(), alarms_next = alarms_due();

        if (alarms_next < next)
                next = alarms_next;
        if (deadline < next)
                next = deadline;
        if (shared->asleep_until_us > shared->now_us &&
            (next <= shared->now_us || next > shared->asleep_until_us))
                next = shared->asleep_until_us;
        if (next == INT64_MAX)
                return false;
        if (next > shared->now_us)
                shared->now_us = next;
        return true;
}

static void run_events(void)
{
        for (int i = 0; events_run_one(); i++)
                if (i == EVENTS_AT_ONCE)
                        violated("kernel", "%d events at one moment", EVENTS_AT_ONCE);
}

int epoll_wait(int epoll, struct epoll_event *out, int most, int timeout)
{
        struct file *file = fd_file(epoll);
        int64_t deadline = timeout < 0 ? INT64_MAX : shared->now_us + (int64_t)timeout * 1000;

        if (!file || file->kind != &epoll_kind)
                return -1;
        in_daemon = false;
        machine_turn();
        for (;;) {
                run_events();
                machine_between();
                if (shared->now_us >= shared->asleep_until_us) {
                        size_t count = collect(file->object, out, (size_t)most);
                        if (count) {
                                machine_gives_time();
                                in_daemon = true;
                                return (int)shuffle(out, count);
                        }
                        if (shared->now_us >= deadline)
                                break;
                }
                if (!time_goes_on(deadline))
                        violated("kernel", "nothing will ever happen");
        }
        in_daemon = true;
        return 0;
}

int poll(struct pollfd *fds, nfds_t count, int timeout)
{
        int found = 0;

        for (int again = 0; again < 2 && !found; again++) {
                for (nfds_t i = 0; i < count; i++) {
                        struct file *file = fds[i].fd < 0 ? NULL : fd_file(fds[i].fd);
                        fds[i].revents = fds[i].fd < 0 ? 0
                                         : file        ? (short)(file->kind->ready(file) &
                                                          ((unsigned)fds[i].events | POLLERR | POLLHUP))
                                                       : POLLNVAL;
                        found += fds[i].revents != 0;
                }
                if (!found && timeout > 0 && !again)
                        block_us((int64_t)timeout * 1000);
        }
        return found;
}

int __poll_chk(struct pollfd *fds, nfds_t count, int timeout, size_t size);
int __poll_chk(struct pollfd *fds, nfds_t count, int timeout, size_t size)
{
        (void)size;
        return poll(fds, count, timeout);
}
