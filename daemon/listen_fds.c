/* SPDX-License-Identifier: MIT */
/* Sockets passed on by the service manager; see listen_fds.h. */
#include "daemon/listen_fds.h"

#include "common/cleanup.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

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
