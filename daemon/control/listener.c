/* SPDX-License-Identifier: MIT */
/* The control socket and its accept loop; see listener.h. */
#include "daemon/control/listener.h"

#include "common/limits.h"
#include "daemon/control/client.h"
#include "daemon/journal.h"
#include "daemon/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

enum { BACKLOG = 128, PAUSE_MS = 500, MOST_UIDS = 256 };

static struct {
        int fd;
        char *path;           /* made here; NULL: passed on */
        int reserve;          /* an open descriptor to give up when there are no others */
        struct watch *watch;
        struct timer *pause;
        unsigned total;
        struct { uid_t uid; unsigned count; } by_uid[MOST_UIDS];
} listener = { .fd = -1, .reserve = -1 };

static unsigned *count_of_uid(uid_t uid)
{
        unsigned *free_place = NULL;

        for (size_t i = 0; i < MOST_UIDS; i++) {
                if (listener.by_uid[i].count && listener.by_uid[i].uid == uid)
                        return &listener.by_uid[i].count;
                if (!listener.by_uid[i].count && !free_place) {
                        listener.by_uid[i].uid = uid;
                        free_place = &listener.by_uid[i].count;
                }
        }
        return free_place;
}

static void client_gone(void *ctx, const struct peer *peer)
{
        unsigned *count = count_of_uid(peer->uid);

        (void)ctx;
        listener.total--;
        if (count && *count)
                (*count)--;
}

static void take_in(int fd)
{
        struct cause cause = { 0 };
        struct peer peer;

        if (peer_of_socket(fd, &peer, &cause) < 0) {
                (void)close(fd);
                return;
        }
        unsigned *count = count_of_uid(peer.uid);
        /* the administrator always finds a place */
        bool full = listener.total >= LIMIT_CLIENTS || !count || *count >= LIMIT_CLIENTS_PER_UID;
        if (full && !(peer.uid == 0 && count && listener.total < LIMIT_CLIENTS + 16)) {
                log_about(NULL, LOG_NOTICE, NULL, "too many control connections (%u, of uid %u: %u): one was refused",
                          listener.total, peer.uid, count ? *count : 0);
                (void)close(fd);
                return;
        }
        listener.total++;
        (*count)++;
        client_new(fd, &peer, client_gone, NULL);
}

static void resume(void *ctx)
{
        (void)ctx;
        watch_for(listener.watch, WATCH_READ);
}

/* No descriptor is left: one is accepted with the reserve and closed, so that the peer hears of it; then a pause. */
static void out_of_descriptors(void)
{
        close_fd(&listener.reserve);
        int fd = accept4(listener.fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
                (void)close(fd);
        listener.reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
        watch_for(listener.watch, 0);
        timer_set(listener.pause, PAUSE_MS);
        log_about(NULL, LOG_WARNING, NULL, "no file descriptor is left for control connections: pausing");
}

static void ready(void *ctx, int what)
{
        (void)ctx;
        (void)what;
        for (;;) {
                int fd = accept4(listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
                if (fd >= 0) {
                        take_in(fd);
                } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) {
                        out_of_descriptors();
                        return;
                } else if (errno != EINTR && errno != ECONNABORTED) {
                        return;
                }
        }
}

static bool someone_answers(const struct sockaddr_un *address)
{
        scoped(scoped_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        return fd >= 0 && (connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 || errno == EAGAIN);
}

static int make_socket(const char *path, struct cause *cause)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        if (strlen(path) >= sizeof address.sun_path)
                return cause_set(cause, CAUSE_INVALID, "the socket path %s is longer than %zu bytes", path,
                                 sizeof address.sun_path - 1);
        memcpy(address.sun_path, path, strlen(path) + 1);
        if (someone_answers(&address)) {
                cause_set(cause, CAUSE_STATE, "another emailsecd answers at %s", path);
                cause_remedy(cause, "stop it first, or use another --socket");
                return -1;
        }
        (void)unlink(path);
        listener.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (listener.fd < 0)
                return cause_errno(cause, errno, "cannot make the control socket");
        mode_t before = umask(0111);
        int bound = bind(listener.fd, (const struct sockaddr *)&address, sizeof address);
        int error = errno;
        (void)umask(before);
        if (bound < 0)
                return cause_errno(cause, error, "cannot make the control socket %s", path);
        listener.path = copy_text(path);
        if (listen(listener.fd, BACKLOG) < 0)
                return cause_errno(cause, errno, "cannot listen at %s", path);
        return 0;
}

/* A socket passed on by the service manager; 1 taken, 0 none, -1 cause. */
static int take_passed_socket(struct cause *cause)
{
        int count = sd_listen_fds(1);

        if (count <= 0)
                return 0;
        for (int fd = SD_LISTEN_FDS_START; fd < SD_LISTEN_FDS_START + count; fd++) {
                if (listener.fd < 0 && sd_is_socket_unix(fd, SOCK_STREAM, 1, NULL, 0) > 0)
                        listener.fd = fd;
                else
                        (void)close(fd);
        }
        if (listener.fd < 0)
                return cause_set(cause, CAUSE_INVALID, "none of the %d sockets passed on is a listening Unix stream socket",
                                 count);
        (void)fcntl(listener.fd, F_SETFL, fcntl(listener.fd, F_GETFL) | O_NONBLOCK);
        return 1;
}

int listener_open(const char *path, struct cause *cause)
{
        int passed = take_passed_socket(cause);

        if (passed < 0 || (passed == 0 && make_socket(path, cause) < 0))
                return -1;
        listener.reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
        listener.pause = timer_new(resume, NULL);
        listener.watch = watch_new(listener.fd, ready, NULL);
        watch_for(listener.watch, WATCH_READ);
        return 0;
}

void listener_wind_down(void)
{
        if (listener.watch)
                watch_for(listener.watch, 0);
        timer_stop(listener.pause);
        clients_wind_down();
}

void listener_close(void)
{
        clients_close();
        watch_free(take(listener.watch));
        timer_free(take(listener.pause));
        close_fd(&listener.fd);
        close_fd(&listener.reserve);
        if (listener.path)
                (void)unlink(listener.path);
        free(take(listener.path));
}
