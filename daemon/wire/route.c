/* SPDX-License-Identifier: MIT */
/* A datagram socket that is connected to the peer shows the address the kernel would choose today; see
 * route.h. */
#include "daemon/wire/route.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static bool same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
        if (a->ss_family != b->ss_family)
                return false;
        if (a->ss_family == AF_INET)
                return ((const struct sockaddr_in *)a)->sin_addr.s_addr ==
                       ((const struct sockaddr_in *)b)->sin_addr.s_addr;
        return a->ss_family == AF_INET6 &&
               memcmp(&((const struct sockaddr_in6 *)a)->sin6_addr,
                      &((const struct sockaddr_in6 *)b)->sin6_addr, sizeof(struct in6_addr)) == 0;
}

bool route_is_the_same(int fd)
{
        struct sockaddr_storage peer, here, now;
        socklen_t peer_len = sizeof peer, here_len = sizeof here, now_len = sizeof now;

        if (getpeername(fd, (struct sockaddr *)&peer, &peer_len) < 0 ||
            getsockname(fd, (struct sockaddr *)&here, &here_len) < 0)
                return false;
        int probe = socket(peer.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        bool same = probe >= 0 && connect(probe, (struct sockaddr *)&peer, peer_len) == 0 &&
                    getsockname(probe, (struct sockaddr *)&now, &now_len) == 0 && same_address(&here, &now);
        close_fd(&probe);
        return same;
}

void route_here(int fd, char *out, size_t size)
{
        struct sockaddr_storage here;
        socklen_t len = sizeof here;
        char text[INET6_ADDRSTRLEN] = "";

        out[0] = '\0';
        if (fd < 0 || getsockname(fd, (struct sockaddr *)&here, &len) < 0)
                return;
        const struct in6_addr *six = &((const struct sockaddr_in6 *)&here)->sin6_addr;
        if (here.ss_family == AF_INET &&
            inet_ntop(AF_INET, &((const struct sockaddr_in *)&here)->sin_addr, text, sizeof text))
                (void)snprintf(out, size, "[%s]", text);
        else if (here.ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(six) &&
                 inet_ntop(AF_INET, &six->s6_addr[12], text, sizeof text))
                (void)snprintf(out, size, "[%s]", text);
        else if (here.ss_family == AF_INET6 && inet_ntop(AF_INET6, six, text, sizeof text))
                (void)snprintf(out, size, "[IPv6:%s]", text);
}
