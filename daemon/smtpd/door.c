/* SPDX-License-Identifier: MIT */
/* The sockets of the submission listener; see door.h. */
#include "daemon/smtpd/door.h"

#include "daemon/journal.h"
#include "daemon/loop.h"
#include "daemon/passed.h"
#include "daemon/smtpd/notices.h"
#include "daemon/smtpd/peer_uid.h"
#include "daemon/smtpd/spool.h"
#include "daemon/smtpd/visitor.h"
#include "daemon/submission_counts.h"
#include "daemon/tls/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <unistd.h>

enum {
        DOORS = 32,
        ACCEPTED_A_TURN = 64,
        PAUSE_MS = 500,
        TURNED_AWAY = 4096,
        PORT_TLS = 465, /* RFC 8314 section 7.3 */
};

struct door {
        int fd;
        bool tls; /* from the first byte */
        struct watch *watch;
};

static struct {
        const struct settings *settings;
        struct door doors[DOORS];
        size_t count;
        int diag, reserve; /* the latter is given up when no descriptor is left */
        struct timer *pause, *ending;
        void (*over)(void);
        char *allow_from, *allow_submit;
} hall = { .diag = -1, .reserve = -1 };

/* ---- accepting ---- */

static void watch_all(int what)
{
        for (size_t i = 0; i < hall.count; i++)
                watch_for(hall.doors[i].watch, what);
}

static void on_pause_over(unused_arg void *ctx)
{
        watch_all(WATCH_READ);
}

/* One is accepted with the reserve and closed, so that the peer hears of it; then a pause. */
static void out_of_descriptors(const struct door *door)
{
        close_fd(&hall.reserve);
        int fd = accept4(door->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
                (void)close(fd);
        hall.reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
        watch_all(0);
        timer_set(hall.pause, PAUSE_MS);
        notices_tell("no file descriptor is left for SMTP clients: pausing");
}

static void ready(void *ctx, unused_arg int what)
{
        const struct door *door = ctx;

        for (int i = 0; i < ACCEPTED_A_TURN; i++) {
                struct sockaddr_storage peer = { 0 };
                socklen_t len = sizeof peer;
                int fd = accept4(door->fd, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
                if (fd >= 0) {
                        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
                        visitor_new(fd, &peer, door->tls);
                } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) {
                        out_of_descriptors(door);
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

static void open_door(int fd, const char *name)
{
        struct door *door = &hall.doors[hall.count++];

        *door = (struct door){ .fd = fd, .tls = strcmp(name, "smtps") == 0 || port_of(fd) == PORT_TLS };
        door->watch = watch_new(fd, ready, door);
        watch_for(door->watch, WATCH_READ);
        if (door->tls && !hall.settings->certificate)
                log_about(NULL, LOG_WARNING, NULL,
                          "port %u is for TLS from the first byte, and there is no certificate to show: "
                          "set Certificate= in [Submission] of emailsecd.conf",
                          port_of(fd));
}

/* By which those who are here were let in. */
static void note_rules(const struct settings *settings)
{
        free(hall.allow_from);
        free(hall.allow_submit);
        hall.allow_from = copy_text(settings ? settings->allow_from : NULL);
        hall.allow_submit = copy_text(settings ? settings->allow_submit : NULL);
}

void doors_open(const struct settings *settings)
{
        const char *name = "";
        struct cause cause = { 0 };
        struct subject subject = { .cause = &cause };

        hall.settings = settings;
        for (int fd; hall.count < DOORS && (fd = passed_take(PASSED_INTERNET, &name)) >= 0;)
                open_door(fd, name);
        unsigned left = passed_close();
        if (left)
                log_about(NULL, LOG_WARNING, NULL, "%u of the sockets passed on are of no use here", left);
        submission_counts = (struct submission_counts){ .doors = (unsigned)hall.count };
        if (!hall.count)
                return;
        note_rules(settings);
        keys_credential(settings->certificate);
        spools_open(settings->state_directory);
        notices_open();
        hall.pause = timer_new(on_pause_over, NULL);
        hall.reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
        hall.diag = peer_uid_open(&cause);
        visitors_ask(hall.diag);
        if (hall.diag < 0)
                log_about(&subject, LOG_WARNING, NULL, "%s: users of this machine may not submit by SMTP",
                          cause.text);
}

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

void doors_turn_away(void)
{
        for (int fd; (fd = passed_take(PASSED_INTERNET, NULL)) >= 0;) {
                turn_away(fd);
                (void)close(fd);
        }
}

void doors_reload(const struct settings *settings)
{
        hall.settings = settings;
        if (!hall.count)
                return;
        keys_credential(settings->certificate);
        if (!same_text(hall.allow_from, settings->allow_from) ||
            !same_text(hall.allow_submit, settings->allow_submit))
                visitors_renew();
        note_rules(settings);
}

static void wound_down(unused_arg void *ctx)
{
        void (*over)(void) = take(hall.over);

        if (over)
                over();
}

static void all_have_left(void)
{
        timer_set(hall.ending, 0);
}

void doors_wind_down(int64_t ms, void (*over)(void))
{
        hall.over = over;
        hall.ending = timer_new(wound_down, NULL);
        timer_set(hall.ending, ms);
        watch_all(0);
        if (hall.pause)
                timer_stop(hall.pause);
        visitors_wind_down(all_have_left);
}

void doors_close(void)
{
        visitors_close();
        for (size_t i = 0; i < hall.count; i++) {
                watch_free(hall.doors[i].watch);
                close_fd(&hall.doors[i].fd);
        }
        if (hall.count) {
                notices_close();
                spools_close();
                keys_credential(NULL);
        }
        note_rules(NULL);
        timer_free(take(hall.ending));
        timer_free(take(hall.pause));
        close_fd(&hall.reserve);
        close_fd(&hall.diag);
        hall.count = 0;
}
