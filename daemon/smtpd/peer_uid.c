/* SPDX-License-Identifier: MIT */
/* The owner of a socket, asked of the kernel; see peer_uid.h. */
#include "daemon/smtpd/peer_uid.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <unistd.h>

/* An answer is one message of a few hundred bytes. */
enum { ANSWER_SIZE = 4096, ANSWERS = 8 };

int peer_uid_open(struct cause *cause)
{
        int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);

        return fd < 0 ? cause_errno(cause, errno, "the kernel does not tell whose connections are") : fd;
}

/* ::ffff:a.b.c.d (RFC 4291, 2.5.5.2) becomes the IPv4 address that it stands for: one peer has one form. */
void address_unmap(struct sockaddr_storage *address)
{
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)address;

        if (address->ss_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&six->sin6_addr))
                return;
        struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = six->sin6_port };
        memcpy(&four.sin_addr, &six->sin6_addr.s6_addr[12], 4);
        memset(address, 0, sizeof *address);
        memcpy(address, &four, sizeof four);
}

/* 127.0.0.0/8 and ::1. */
bool address_is_loopback(const struct sockaddr_storage *address)
{
        struct sockaddr_storage plain = *address;

        address_unmap(&plain);
        if (plain.ss_family == AF_INET)
                return ntohl(((const struct sockaddr_in *)&plain)->sin_addr.s_addr) >> 24 == 127;
        return plain.ss_family == AF_INET6 &&
               IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)&plain)->sin6_addr);
}

static void put_address(const struct sockaddr_storage *address, __be32 out[4], __be16 *port)
{
        const struct sockaddr_in *four = (const struct sockaddr_in *)address;
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)address;

        memset(out, 0, 16);
        if (address->ss_family == AF_INET) {
                memcpy(out, &four->sin_addr, 4);
                *port = four->sin_port;
        } else {
                memcpy(out, &six->sin6_addr, 16);
                *port = six->sin6_port;
        }
}

struct request {
        struct nlmsghdr head;
        struct inet_diag_req_v2 body;
};

/* The peer's socket is meant, for which its own address is the source. */
static struct request request_for(const struct sockaddr_storage *peer, const struct sockaddr_storage *here,
                                  uint32_t number)
{
        struct request request = {
                .head = { .nlmsg_len = sizeof request,
                          .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                          .nlmsg_flags = NLM_F_REQUEST,
                          .nlmsg_seq = number },
                .body = { .sdiag_family = (uint8_t)peer->ss_family,
                          .sdiag_protocol = IPPROTO_TCP,
                          .idiag_states = UINT32_MAX },
        };

        put_address(peer, request.body.id.idiag_src, &request.body.id.idiag_sport);
        put_address(here, request.body.id.idiag_dst, &request.body.id.idiag_dport);
        request.body.id.idiag_cookie[0] = request.body.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
        return request;
}

/* A program may use a socket of IPv6 for IPv4: its addresses are then told as those of IPv6. */
static bool same_address(uint8_t told_family, const __be32 told[4], uint8_t family, const __be32 asked[4])
{
        if (told_family == AF_INET6 && family == AF_INET)
                return told[0] == 0 && told[1] == 0 && told[2] == htonl(0xffff) && told[3] == asked[0];
        return told_family == family && memcmp(told, asked, family == AF_INET ? 4 : 16) == 0;
}

static bool same_ends(const struct inet_diag_msg *told, const struct inet_diag_req_v2 *asked)
{
        return told->id.idiag_sport == asked->id.idiag_sport &&
               told->id.idiag_dport == asked->id.idiag_dport &&
               same_address(told->idiag_family, told->id.idiag_src, asked->sdiag_family,
                            asked->id.idiag_src) &&
               same_address(told->idiag_family, told->id.idiag_dst, asked->sdiag_family, asked->id.idiag_dst);
}

/* It is connected, perhaps with its sending half closed, and held open by somebody. */
static bool is_held(const struct inet_diag_msg *told)
{
        return told->idiag_inode != 0 &&
               (told->idiag_state == TCP_ESTABLISHED || told->idiag_state == TCP_FIN_WAIT1 ||
                told->idiag_state == TCP_FIN_WAIT2);
}

/* 1: the answer; 0: of another question. */
static int read_answer(const void *bytes, size_t len, const struct request *request, uid_t *uid,
                       struct cause *cause)
{
        const struct nlmsghdr *head = bytes;

        if (len < sizeof *head || head->nlmsg_len > len || head->nlmsg_seq != request->head.nlmsg_seq)
                return 0;
        if (head->nlmsg_type != SOCK_DIAG_BY_FAMILY ||
            head->nlmsg_len < NLMSG_LENGTH(sizeof(struct inet_diag_msg)))
                return cause_set(cause, CAUSE_PERMISSION, "the kernel knows no such connection");
        const struct inet_diag_msg *told = NLMSG_DATA(head);
        if (!same_ends(told, &request->body) || !is_held(told))
                return cause_set(cause, CAUSE_PERMISSION, "the connection is closed already");
        *uid = told->idiag_uid;
        return 1;
}

/* An answer counts only if number, addresses and ports are those of the question and the socket is still
 * open: a port that is used anew by another user must not be taken for the first one's. Any doubt is -1:
 * the peer is nobody then. */
int peer_uid(int diag, const struct sockaddr_storage *given_peer, const struct sockaddr_storage *given_here,
             uid_t *uid, struct cause *cause)
{
        static uint32_t number;
        struct sockaddr_storage peer = *given_peer, here = *given_here;
        _Alignas(struct nlmsghdr) uint8_t answer[ANSWER_SIZE];

        address_unmap(&peer);
        address_unmap(&here);
        if (diag < 0 || peer.ss_family != here.ss_family)
                return cause_set(cause, CAUSE_PERMISSION, "the kernel does not tell whose connections are");
        struct request request = request_for(&peer, &here, ++number);
        if (send(diag, &request, sizeof request, MSG_DONTWAIT) != (ssize_t)sizeof request)
                return cause_errno(cause, errno, "the kernel does not tell whose connections are");
        for (int i = 0; i < ANSWERS; i++) { /* it answers within send(); older answers were not waited for */
                struct sockaddr_nl from = { 0 };
                socklen_t from_len = sizeof from;
                ssize_t got = recvfrom(diag, answer, sizeof answer, MSG_DONTWAIT, (struct sockaddr *)&from,
                                       &from_len);
                if (got <= 0)
                        return cause_errno(cause, errno, "the kernel does not tell whose connections are");
                if (from.nl_pid != 0) /* not the kernel */
                        continue;
                int result = read_answer(answer, (size_t)got, &request, uid, cause);
                if (result)
                        return result > 0 ? 0 : -1;
        }
        return cause_set(cause, CAUSE_INTERNAL, "the kernel does not tell whose connections are");
}
