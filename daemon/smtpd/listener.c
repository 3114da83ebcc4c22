/* SPDX-License-Identifier: MIT */
/* The sockets of the submission listener; see listener.h. */
#include "daemon/smtpd/listener.h"

#include "daemon/journal.h"
#include "daemon/loop.h"
#include "daemon/manager.h"
#include "daemon/smtpd/client.h"
#include "daemon/smtpd/peer_uid.h"
#include "daemon/smtpd/slots.h"
#include "daemon/smtpd/spool.h"
#include "daemon/tls/keys.h"
#include "daemon/work_counts.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <unistd.h>

enum {
        SOCKETS_MOST = 32,
        /* Then the loop turns: a flood of connections must not keep those who are here from being served. */
        ACCEPTED_A_TURN = 64,
        /* Without a descriptor the sockets stay readable: no pause would be a busy loop. */
        PAUSE_MS = 500,
        /* About what a backlog holds (net.core.somaxconn); so turning away ends while others keep coming. */
        TURNED_AWAY = 4096,
        PORT_TLS = 465, /* RFC 8314 section 7.3 */
};

struct listening {
        int fd;
        bool tls; /* from the first byte */
        struct watch *watch;
};

static struct {
        const struct settings *settings;
        struct listening sockets[SOCKETS_MOST];
        size_t count;
        int diag, reserve; /* the latter is given up when no descriptor is left */
        struct timer *pause, *ending;
        void (*over)(void);
        char *allow_from, *allow_submit;
} listener = { .diag = -1, .reserve = -1 };

/* ---- accepting ---- */

static void watch_all(int what)
{
        for (size_t i = 0; i < listener.count; i++)
                watch_for(listener.sockets[i].watch, what);
}

static void on_pause_over(unused_arg void *ctx)
{
        watch_all(WATCH_READ);
}

/* One is accepted with the reserve and closed, so that the peer hears of it; then a pause. */
static void out_of_descriptors(const struct listening *socket)
{
        close_fd(&listener.reserve);
        int fd = accept4(socket->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
                (void)close(fd);
        listener.reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
        watch_all(0);
        timer_set(listener.pause, PAUSE_MS);
        notices_tell("no file descriptor is left for SMTP clients: pausing");
}

/* The socket is level-triggered: what is left after a turn is reported again. ECONNABORTED is a peer that
 * has gone while it waited. */
static void ready(void *ctx, unused_arg int what)
{
        const struct listening *socket = ctx;

        for (int i = 0; i < ACCEPTED_A_TURN; i++) {
                struct sockaddr_storage peer = { 0 };
                socklen_t len = sizeof peer;
                int fd = accept4(socket->fd, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
                if (fd >= 0) {
                        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
                        smtpd_client_new(fd, &peer, socket->tls);
                } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) {
                        out_of_descriptors(socket);
                        return;
                } else if (errno != EINTR && errno != ECONNABORTED) {
                        return;
                }
        }
}

/* ---- beginning and end ---- */

static uint16_t port_of(int fd)
{
        struct sockaddr_storage here;
        socklen_t len = sizeof here;

        if (getsockname(fd, (struct sockaddr *)&here, &len) < 0)
                return 0;
        return ntohs(here.ss_family == AF_INET ? ((const struct sockaddr_in *)&here)->sin_port
                                               : ((const struct sockaddr_in6 *)&here)->sin6_port);
}

/* `name` is the FileDescriptorName= of the socket unit. It decides about TLS, or the port does, so that a
 * unit without names works on 465. */
static void open_door(int fd, const char *name)
{
        struct listening *socket = &listener.sockets[listener.count++];

        *socket =
                (struct listening){ .fd = fd, .tls = strcmp(name, "smtps") == 0 || port_of(fd) == PORT_TLS };
        socket->watch = watch_new(fd, ready, socket);
        watch_for(socket->watch, WATCH_READ);
        if (socket->tls && !listener.settings->certificate)
                log_about(NULL, LOG_WARNING, NULL,
                          "port %u is for TLS from the first byte, and there is no certificate to show: "
                          "set Certificate= in [Submission] of emailsecd.conf",
                          port_of(fd));
}

/* By which those who are here were let in. */
static void note_rules(const struct settings *settings)
{
        free(listener.allow_from);
        free(listener.allow_submit);
        listener.allow_from = copy_text(settings ? settings->allow_from : NULL);
        listener.allow_submit = copy_text(settings ? settings->allow_submit : NULL);
}

/* Sockets come from the service manager alone: this process has no right to bind a low port. Without any
 * the listener is off, and nothing below it is opened. */
void smtpd_listener_open(const struct settings *settings)
{
        const char *name = "";
        struct cause cause = { 0 };
        struct subject subject = { .cause = &cause };

        listener.settings = settings;
        for (int fd;
             listener.count < SOCKETS_MOST && (fd = listen_fds_take(LISTEN_FDS_INTERNET, &name)) >= 0;)
                open_door(fd, name);
        unsigned left = listen_fds_close();
        if (left)
                log_about(NULL, LOG_WARNING, NULL, "%u of the sockets passed on are of no use here", left);
        submission_counts = (struct submission_counts){ .sockets = (unsigned)listener.count };
        if (!listener.count)
                return;
        note_rules(settings);
        keys_credential(settings->certificate);
        spools_open(settings->state_directory);
        notices_open();
        listener.pause = timer_new(on_pause_over, NULL);
        listener.reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
        listener.diag = peer_uid_open(&cause);
        smtpd_clients_ask(listener.diag);
        if (listener.diag < 0)
                log_about(&subject, LOG_WARNING, NULL, "%s: users of this machine may not submit by SMTP",
                          cause.text);
}

/* In place of a daemon that could not start. Peers that wait in the backlog hear a reason at once rather
 * than a timeout; nothing here may block. */
static void turn_away(int fd)
{
        static const char words[] = "421 4.3.0 the service does not start: try again later\r\n";

        for (int i = 0; i < TURNED_AWAY; i++) {
                int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
                if (client < 0)
                        return;
                (void)send(client, words, sizeof words - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
                (void)close(client);
        }
}

void smtpd_listener_turn_away(void)
{
        for (int fd; (fd = listen_fds_take(LISTEN_FDS_INTERNET, NULL)) >= 0;) {
                turn_away(fd);
                (void)close(fd);
        }
}

/* New rules about who may come also hold for those who are here already: each is judged anew. */
void smtpd_listener_reload(const struct settings *settings)
{
        listener.settings = settings;
        if (!listener.count)
                return;
        keys_credential(settings->certificate);
        if (!same_text(listener.allow_from, settings->allow_from) ||
            !same_text(listener.allow_submit, settings->allow_submit))
                smtpd_clients_renew();
        note_rules(settings);
}

/* By the last client's leaving or by the time limit, whichever is first; once. */
static void wound_down(unused_arg void *ctx)
{
        void (*over)(void) = take(listener.over);

        if (over)
                over();
}

static void all_have_left(void)
{
        timer_set(listener.ending, 0);
}

/* The sockets stay open and unread: peers that come now wait in the backlog for the next process, which
 * gets the same sockets. */
void smtpd_listener_wind_down(int64_t ms, void (*over)(void))
{
        listener.over = over;
        listener.ending = timer_new(wound_down, NULL);
        timer_set(listener.ending, ms);
        watch_all(0);
        if (listener.pause)
                timer_stop(listener.pause);
        smtpd_clients_wind_down(all_have_left);
}

void smtpd_listener_stop(void)
{
        smtpd_clients_stop();
}

/* Also after an open that found no sockets: each step bears with what was not made. */
void smtpd_listener_close(void)
{
        smtpd_clients_close();
        for (size_t i = 0; i < listener.count; i++) {
                watch_free(listener.sockets[i].watch);
                close_fd(&listener.sockets[i].fd);
        }
        if (listener.count) {
                notices_close();
                spools_close();
                keys_credential(NULL);
        }
        note_rules(NULL);
        timer_free(take(listener.ending));
        timer_free(take(listener.pause));
        close_fd(&listener.reserve);
        close_fd(&listener.diag);
        listener.count = 0;
}
