/* SPDX-License-Identifier: MIT */
/* The control socket and its accept loop; see listener.h. */
#include "daemon/control/listener.h"

#include "common/frame.h"
#include "common/json_fields.h"
#include "common/times.h"
#include "daemon/control/budget.h"
#include "daemon/control/client.h"
#include "daemon/journal.h"
#include "daemon/loop.h"
#include "daemon/manager.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
        BACKLOG = 1024, /* as the unit has it: who comes waits for those ahead */
        PAUSE_MS = 500,
        ACCEPTING_MICROS = 10 * 1000, /* of one turn of the loop */
        REFUSED = 32, /* connections that are kept for a moment after they were refused, to be read */
        REFUSED_MS = 500,
};

static struct {
        int fd;
        char *path;  /* made here; NULL: passed on */
        int reserve; /* an open descriptor to give up when there are no others */
        struct watch *watch;
        struct timer *pause;
        int refused[REFUSED]; /* the oldest at `oldest`; 0: none */
        size_t oldest;
        struct timer *over; /* of the refused ones */
        struct buf instead; /* of any service: told to each */
        struct buf refusal; /* said last, */
        bool refusal_to_all;
        uid_t refusal_to; /* to this one, or to all */
} listener = { .fd = -1, .reserve = -1 };

/* ---- refused ones ---- */

static void end_refused(void *ctx unused_arg)
{
        for (size_t i = 0; i < REFUSED; i++) {
                if (listener.refused[i])
                        (void)close(listener.refused[i]);
                listener.refused[i] = 0;
        }
}

/* As a reply to the call that the peer is about to send. */
static void put_error(struct buf *out, const char *error, const struct cause *cause)
{
        json_t *object = json_object(), *parameters = json_object();

        json_put_text(object, "error", error);
        json_put(parameters, "cause", cause_json(cause));
        json_put(object, "parameters", parameters);
        if (frame_append(out, object) < 0)
                buf_free(out); /* longer than can be: nothing is said */
        json_decref(object);
}

/* What is said to those of this user, or of all: made once, since who storms comes thousands of times. */
static const struct buf *refusal(bool all, uid_t uid)
{
        struct cause cause;

        if (!listener.refusal.len || listener.refusal_to_all != all || listener.refusal_to != uid) {
                listener.refusal_to_all = all;
                listener.refusal_to = uid;
                buf_free(&listener.refusal);
                buf_init(&listener.refusal, 4 * KIB);
                cause_set(&cause, CAUSE_BUSY,
                          all ? "there are too many control connections"
                              : "there are too many control connections of uid %u",
                          uid);
                put_error(&listener.refusal, "io.emailsec.EmailService.Busy", &cause);
        }
        return &listener.refusal;
}

/* False: it could not be told. */
static bool turn_off(int fd, const struct buf *words)
{
        if (send(fd, buf_bytes(words), words->len, MSG_NOSIGNAL) != (ssize_t)words->len) {
                (void)close(fd);
                return false;
        }
        (void)shutdown(fd, SHUT_WR);
        if (listener.refused[listener.oldest])
                (void)close(listener.refused[listener.oldest]);
        listener.refused[listener.oldest] = fd;
        listener.oldest = (listener.oldest + 1) % REFUSED;
        timer_set(listener.over, REFUSED_MS);
        return true;
}

static void refuse(int fd, struct share *share, uid_t uid)
{
        bool all = share_whole_is_out(share, BUDGET_CONNECTIONS, 1);
        bool told = turn_off(fd, refusal(all, uid));

        share_notice(share, "there are too many control connections%s: one of uid %u was refused%s",
                     all ? "" : " of one user", uid, told ? "" : " and could not be told");
}

/* ---- accepting ---- */

/* Without having said anything: that costs as little as can be, for the sake of those behind. */
static bool has_left(int fd)
{
        char byte;

        return recv(fd, &byte, 1, MSG_PEEK) == 0;
}

static void take_in(int fd)
{
        struct cause cause = { 0 };
        struct peer peer;

        if (listener.instead.len) {
                (void)turn_off(fd, &listener.instead);
                return;
        }
        if (has_left(fd) || peer_of_socket(fd, &peer, &cause) < 0) {
                (void)close(fd);
                return;
        }
        struct share *share = share_hold(&peer);
        bool full = share_is_out(share, BUDGET_CONNECTIONS, 1);
        if (full && !clients_end_idle(share_whole_is_out(share, BUDGET_CONNECTIONS, 1) ? NULL : share)) {
                refuse(fd, share, peer.uid);
        } else {
                peer_find_login(fd, &peer);
                client_new(fd, &peer);
        }
        share_drop(share);
}

static void resume(void *ctx)
{
        (void)ctx;
        watch_for(listener.watch, WATCH_READ);
}

/* No descriptor is left: one is accepted with the reserve and closed, so that the peer hears of it; then a
 * pause. */
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
        int64_t until = time_monotonic_us() + ACCEPTING_MICROS;

        do {
                int fd = accept4(listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
                if (fd >= 0) {
                        take_in(fd);
                } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) {
                        out_of_descriptors();
                        return;
                } else if (errno != EINTR && errno != ECONNABORTED) {
                        return;
                }
        } while (time_monotonic_us() < until);
}

static bool someone_answers(const struct sockaddr_un *address)
{
        scoped(scoped_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        return fd >= 0 &&
               (connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 || errno == EAGAIN);
}

/* A socket that nobody answers at is left over; anything else of that name is somebody's. */
static int make_room(const char *path, struct cause *cause)
{
        struct stat there;

        if (lstat(path, &there) < 0)
                return 0; /* or bind() says why not */
        if (!S_ISSOCK(there.st_mode)) {
                cause_set(cause, CAUSE_EXISTS, "%s is there already and is no socket", path);
                cause_remedy(cause, "use another --socket, or move it out of the way");
                return -1;
        }
        return unlink(path) < 0 ? cause_errno(cause, errno, "cannot remove the old socket %s", path) : 0;
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
        if (make_room(path, cause) < 0)
                return -1;
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

/* A socket passed on by the service manager; false: there is none. */
static bool take_passed_socket(void)
{
        listener.fd = listen_fds_take(LISTEN_FDS_UNIX, NULL);
        return listener.fd >= 0;
}

static int listen_there(const char *path, struct cause *cause)
{
        if (listener.fd >= 0)
                return 0;
        if (!take_passed_socket() && make_socket(path, cause) < 0)
                return -1;
        listener.reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
        listener.pause = timer_new(resume, NULL);
        listener.over = timer_new(end_refused, NULL);
        listener.watch = watch_new(listener.fd, ready, NULL);
        watch_for(listener.watch, WATCH_READ);
        return 0;
}

int listener_open(const char *path, struct cause *cause)
{
        buf_free(&listener.instead);
        return listen_there(path, cause);
}

int listener_stand_in(const char *path, const struct cause *why, struct cause *cause)
{
        if (listen_there(path, cause) < 0)
                return -1;
        buf_free(&listener.instead);
        buf_init(&listener.instead, 4 * KIB);
        put_error(&listener.instead, "io.emailsec.EmailService.Storage", why);
        return 0;
}

/* The words are for anybody: why it does not start stands in the journal. */
static void tell_not_started(int fd)
{
        struct cause cause;
        struct buf out = BUF_WITH_MAX(4 * KIB);
        char heard[4 * KIB];

        cause_set(&cause, CAUSE_NO_DAEMON, "emailsecd does not start");
        cause_remedy(&cause, "journalctl -u emailsecd -n 20");
        put_error(&out, "io.emailsec.EmailService.NoDaemon", &cause);
        bool told = frame_send(fd, &out, NULL, NULL, NULL) > 0;
        buf_free(&out);
        (void)shutdown(fd, SHUT_WR);
        while (told && recv(fd, heard, sizeof heard, MSG_DONTWAIT) > 0) {
                /* what is left unread would take the answer from the peer */
        }
        (void)close(fd);
}

void listener_turn_away(void)
{
        if (listener.fd < 0 && !take_passed_socket())
                return;
        for (int i = 0; i < BACKLOG; i++) {
                int fd = accept4(listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
                if (fd < 0)
                        return;
                tell_not_started(fd);
        }
}

void listener_wind_down(void)
{
        if (listener.watch)
                watch_for(listener.watch, 0);
        timer_stop(listener.pause);
        clients_wind_down();
}

void listener_stop(void)
{
        clients_stop();
        watch_free(take(listener.watch));
        timer_free(take(listener.pause));
        close_fd(&listener.fd);
        if (listener.path)
                (void)unlink(listener.path);
        free(take(listener.path));
}

void listener_close(void)
{
        listener_stop();
        clients_close();
        timer_free(take(listener.over));
        end_refused(NULL);
        buf_free(&listener.instead);
        buf_free(&listener.refusal);
        close_fd(&listener.reserve);
}
