/* SPDX-License-Identifier: MIT */
/*
 * Words to the service manager, and the sockets that it passed on. A datagram to one that does not read
 * waits: the loop hands each to a thread, in order. The watchdog is fed from a timer of the loop, by that
 * thread: a loop that hangs does not feed it.
 */
#include "daemon/manager.h"

#include "common/cleanup.h"
#include "common/times.h"
#include "daemon/journal.h"
#include "daemon/loop.h"
#include "daemon/messages.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

enum {
        ENDING_MS = 1000, /* what is not told by then is not told any more */
        POLL_MS = 50,
        STATUS_MS = 200,        /* changes of the status line are gathered this long */
        NOTIFY_STUCK_MS = 2000, /* a service manager that takes no word for so long is not waited for */
        STUCK_PERIODS = 2       /* watchdog times without progress of the disk after which it is not fed */
};

static struct {
        struct manager_user user;
        struct timer *watchdog, *status;
        struct workers *notifier;
        atomic_bool ending;  /* manager_close() waits for the thread, */
        unsigned polls_left; /* which waits so often then, for all that it has to tell */
        uint64_t watchdog_usec;
        bool told;  /* that the watchdog is not fed any more */
        char *line; /* the status that was told last; NULL: none, or it did not get there */
} me;

struct manager_notice {
        struct job job;
        char *text;
};

/* sd_notify(3) with an end: its own call waits for as long as the service manager does not read. */
static int manager_connect(void)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        const char *path = getenv("NOTIFY_SOCKET");
        size_t len = path ? strlen(path) : 0;

        if ((path && *path != '/' && *path != '@') || len < 2 || len >= sizeof address.sun_path)
                return -1;
        memcpy(address.sun_path, path, len);
        if (*path == '@')
                address.sun_path[0] = '\0';
        socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (*path == '/'));
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, size) < 0)
                close_fd(&fd);
        return fd;
}

static void notice_send(struct job *job)
{
        const char *text = container_of(job, struct manager_notice, job)->text;
        scoped(scoped_close) int fd = manager_connect();
        struct pollfd room = { .fd = fd, .events = POLLOUT };

        while (fd >= 0 && send(fd, text, strlen(text), MSG_NOSIGNAL) < 0 &&
               (errno == EAGAIN || errno == EINTR) && me.polls_left) {
                (void)poll(&room, 1, POLL_MS);
                me.polls_left -= atomic_load(&me.ending);
        }
}

static void notice_done(struct job *job)
{
        struct manager_notice *notice = container_of(job, struct manager_notice, job);

        free(notice->text);
        free(notice);
}

/* Takes the text over. False: nobody is told. */
static bool notify(char *text)
{
        struct manager_notice *notice = new_object(struct manager_notice);

        *notice =
                (struct manager_notice){ .job = { .work = notice_send, .done = notice_done }, .text = text };
        bool listens = getenv("NOTIFY_SOCKET") && workers_busy_for(me.notifier) < NOTIFY_STUCK_MS;
        if (listens)
                workers_run(me.notifier, &notice->job);
        else
                notice_done(&notice->job); /* nobody to tell, or nobody who listens */
        return listens;
}

static void tell_stuck(int64_t ms)
{
        struct cause cause = { 0 };
        struct subject subject = { .cause = &cause };

        (void)cause_set(&cause, CAUSE_STORAGE, "the disk of the state folder has not answered for %lld s",
                        (long long)((ms + 999) / 1000));
        cause_remedy(&cause, "look for a disk or network file system that hangs: dmesg, and findmnt -T of "
                             "the state folder");
        log_about(&subject, LOG_CRIT, MSG_DISK_STUCK,
                  "%s; the watchdog is no longer fed, so that the service manager "
                  "starts this anew",
                  cause.text);
}

static void feed_watchdog(unused_arg void *ctx)
{
        int64_t stuck = me.user.stuck_for();
        bool well = stuck < (int64_t)(STUCK_PERIODS * me.watchdog_usec / 1000);

        if (well)
                (void)notify(copy_text("WATCHDOG=1"));
        else if (!me.told)
                tell_stuck(stuck);
        me.told = !well;
        timer_set(me.watchdog, (int64_t)(me.watchdog_usec / 2000));
}

/* `before`: what goes ahead of it. */
static void tell_line(const char *before)
{
        scoped(scoped_free) char *line = me.user.line();
        bool told = notify(text_of("%sSTATUS=%s", before, line));

        free(take(me.line));
        me.line = told ? take(line) : NULL;
}

/* Much that may change it does not. */
static void tell_status(unused_arg void *ctx)
{
        scoped(scoped_free) char *line = me.user.line();

        if (!me.line || strcmp(line, me.line) != 0)
                tell_line("");
}

void manager_status_changed(void)
{
        if (me.status && !timer_is_set(me.status))
                timer_set(me.status, STATUS_MS);
}

void manager_tell_ready(void)
{
        tell_line("READY=1\n");
}

void manager_tell_reloading(void)
{
        (void)notify(text_of("RELOADING=1\nMONOTONIC_USEC=%lld", (long long)time_monotonic_us()));
}

void manager_tell_ending(void)
{
        (void)notify(copy_text("STOPPING=1\nSTATUS=ending: sessions finish what is on its way"));
}

void manager_tell_refused(const char *why)
{
        scoped(scoped_free) char *text = text_of("STATUS=does not start: %s", why);

        (void)sd_notify(0, text);
}

void manager_tell_waiting(const char *why)
{
        scoped(scoped_free) char *text = text_of("READY=1\nWATCHDOG=1\nSTATUS=waits for room: %s", why);

        (void)sd_notify(0, text);
}

void manager_open(const struct manager_user *user)
{
        me.user = *user;
        atomic_store(&me.ending, false);
        me.polls_left = ENDING_MS / POLL_MS;
        me.notifier = workers_new("notify", 1);
        me.status = timer_new(tell_status, NULL);
        if (sd_watchdog_enabled(0, &me.watchdog_usec) > 0) {
                me.watchdog = timer_new(feed_watchdog, NULL);
                timer_set(me.watchdog, 0);
        }
}

void manager_close(void)
{
        timer_free(take(me.status));
        timer_free(take(me.watchdog));
        atomic_store(&me.ending, true);
        workers_free(take(me.notifier));
        free(take(me.line));
}

/* ---- sockets that it passed on ---- */

static struct {
        bool looked;
        int first, count;
        char **names; /* of each; NULL: they have none */
        bool *taken;
} passed;

/* Once: sd_listen_fds_with_names() takes the variables out of the environment, so that no child believes
 * that the sockets are its own. */
static void look(void)
{
        if (passed.looked)
                return;
        passed.looked = true;
        passed.first = SD_LISTEN_FDS_START;
        passed.count = sd_listen_fds_with_names(1, &passed.names);
        if (passed.count < 0)
                passed.count = 0;
        passed.taken = new_zeroed((size_t)passed.count + 1, sizeof *passed.taken);
}

/* Only stream sockets that listen: what a unit passes on by mistake is left, and closed by
 * listen_fds_close(). */
static bool is_of(int fd, enum listen_fds_kind kind)
{
        if (kind == LISTEN_FDS_UNIX)
                return sd_is_socket_unix(fd, SOCK_STREAM, 1, NULL, 0) > 0;
        return sd_is_socket_inet(fd, AF_INET, SOCK_STREAM, 1, 0) > 0 ||
               sd_is_socket_inet(fd, AF_INET6, SOCK_STREAM, 1, 0) > 0;
}

/* The descriptor is the caller's from here on; the name is valid until listen_fds_close(). -1: there is no
 * further one of this kind. */
int listen_fds_take(enum listen_fds_kind kind, const char **name)
{
        look();
        for (int i = 0; i < passed.count; i++) {
                int fd = passed.first + i;
                if (passed.taken[i] || !is_of(fd, kind))
                        continue;
                passed.taken[i] = true;
                if (name)
                        *name = passed.names && passed.names[i] ? passed.names[i] : "";
                (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
                return fd;
        }
        return -1;
}

/* How many nobody took. Afterwards there is none: a second call finds nothing. */
unsigned listen_fds_close(void)
{
        unsigned left = 0;

        look();
        for (int i = 0; i < passed.count; i++) {
                if (!passed.taken[i]) {
                        (void)close(passed.first + i);
                        left++;
                }
                if (passed.names)
                        free(passed.names[i]);
        }
        free(take(passed.names));
        free(take(passed.taken));
        passed.count = 0;
        return left;
}
