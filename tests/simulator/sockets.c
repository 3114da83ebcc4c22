/* SPDX-License-Identifier: MIT */
/* Socket calls; what each does is of the kind: tcp.c, local.c, netlink here. */
#include "tests/simulator/kernel.h"

#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

/* Each kind of socket begins with its file_kind; the others have none of these calls. */
static struct file *socket_file(int fd, const struct socket_kind **kind)
{
        struct file *file = fd_file(fd);

        if (!file)
                return NULL;
        if (strncmp(file->kind->name, "socket", 6) != 0) {
                errno = ENOTSOCK;
                return NULL;
        }
        *kind = (const struct socket_kind *)(const void *)file->kind;
        return file;
}

int socket(int family, int type, int protocol)
{
        (void)protocol;
        if (family == AF_UNIX)
                return local_new(type & 0xf, type & SOCK_NONBLOCK);
        if (family == AF_NETLINK && protocol == NETLINK_ROUTE)
                return netlink_new(type & SOCK_NONBLOCK);
        if ((family == AF_INET || family == AF_INET6) && (type & 0xf) == SOCK_STREAM)
                return tcp_new(family, type & SOCK_NONBLOCK);
        errno = EAFNOSUPPORT;
        return -1;
}

int connect(int fd, const struct sockaddr *address, socklen_t len)
{
        const struct socket_kind *kind;
        struct file *file = socket_file(fd, &kind);

        return file ? kind->connect(file, address, len) : -1;
}

int bind(int fd, const struct sockaddr *address, socklen_t len)
{
        const struct socket_kind *kind;
        struct file *file = socket_file(fd, &kind);

        return file ? kind->bind(file, address, len) : -1;
}

int listen(int fd, int backlog)
{
        (void)backlog;
        return fd_file(fd) ? 0 : -1;
}

int accept4(int fd, struct sockaddr *restrict address, socklen_t *restrict len, int flags)
{
        const struct socket_kind *kind;
        struct file *file = socket_file(fd, &kind);

        (void)address;
        (void)flags;
        if (len)
                *len = 0;
        return file ? kind->accept(file) : -1;
}

ssize_t recv(int fd, void *bytes, size_t len, int flags)
{
        const struct socket_kind *kind;
        struct file *file = socket_file(fd, &kind);
        int passed = -1;

        return file ? kind->receive(file, bytes, len, flags & MSG_PEEK, &passed) : -1;
}

ssize_t __recv_chk(int fd, void *bytes, size_t len, size_t room, int flags);
ssize_t __recv_chk(int fd, void *bytes, size_t len, size_t room, int flags)
{
        if (len > room)
                abort();
        return recv(fd, bytes, len, flags);
}

ssize_t recvfrom(int fd, void *restrict bytes, size_t len, int flags, struct sockaddr *restrict from,
                 socklen_t *restrict from_len)
{
        (void)from;
        (void)from_len;
        return recv(fd, bytes, len, flags);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
        const struct socket_kind *kind;
        struct file *file = socket_file(fd, &kind);
        int passed = -1;

        if (!file)
                return -1;
        ssize_t got = kind->receive(file, message->msg_iov[0].iov_base, message->msg_iov[0].iov_len,
                                    flags & MSG_PEEK, &passed);
        message->msg_flags = 0;
        if (passed >= 0 && message->msg_controllen >= CMSG_SPACE(sizeof passed)) {
                struct cmsghdr *control = CMSG_FIRSTHDR(message);
                *control = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof passed),
                                             .cmsg_level = SOL_SOCKET,
                                             .cmsg_type = SCM_RIGHTS };
                memcpy(CMSG_DATA(control), &passed, sizeof passed);
                message->msg_controllen = CMSG_SPACE(sizeof passed);
        } else {
                message->msg_controllen = 0;
        }
        return got;
}

ssize_t send(int fd, const void *bytes, size_t len, int flags)
{
        const struct socket_kind *kind;
        struct file *file = socket_file(fd, &kind);

        (void)flags;
        return file ? kind->send(file, bytes, len, NULL, 0) : -1;
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
        const struct socket_kind *kind;
        struct file *file = socket_file(fd, &kind);
        const struct cmsghdr *control = message->msg_controllen ? CMSG_FIRSTHDR(message) : NULL;
        ssize_t all = 0;

        (void)flags;
        if (!file)
                return -1;
        for (size_t i = 0; i < (size_t)message->msg_iovlen; i++) {
                int fds[16];
                size_t count = 0;
                if (i == 0 && control && control->cmsg_type == SCM_RIGHTS) {
                        count = (control->cmsg_len - CMSG_LEN(0)) / sizeof fds[0];
                        count = count < lengthof(fds) ? count : lengthof(fds);
                        memcpy(fds, CMSG_DATA(control), count * sizeof fds[0]);
                }
                ssize_t put = kind->send(file, message->msg_iov[i].iov_base, message->msg_iov[i].iov_len, fds,
                                         count);
                if (put < 0)
                        return all ? all : -1;
                all += put;
                if ((size_t)put < message->msg_iov[i].iov_len)
                        break;
        }
        return all;
}

int shutdown(int fd, int how)
{
        const struct socket_kind *kind;
        struct file *file = socket_file(fd, &kind);

        return file ? kind->shutdown(file, how) : -1;
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
        (void)level;
        (void)name;
        (void)value;
        (void)len;
        return fd_file(fd) ? 0 : -1;
}

int getsockopt(int fd, int level, int name, void *restrict value, socklen_t *restrict len)
{
        const struct socket_kind *kind;
        struct file *file = socket_file(fd, &kind);
        size_t size = *len;
        int result = file ? kind->option(file, level, name, value, &size) : -1;

        *len = (socklen_t)size;
        return result;
}

int getpeername(int fd, struct sockaddr *restrict address, socklen_t *restrict len)
{
        const struct socket_kind *kind;
        struct file *file = socket_file(fd, &kind);
        size_t size = *len;

        if (!file)
                return -1;
        kind->names(file, true, address, &size);
        *len = (socklen_t)size;
        return 0;
}

int getsockname(int fd, struct sockaddr *restrict address, socklen_t *restrict len)
{
        const struct socket_kind *kind;
        struct file *file = socket_file(fd, &kind);
        size_t size = *len;

        if (!file)
                return -1;
        kind->names(file, false, address, &size);
        *len = (socklen_t)size;
        return 0;
}

/* ---- netlink: one address, which changes when the network does ---- */

struct netlink {
        uint8_t bytes[512];
        size_t len[4], count; /* datagrams */
        struct netlink *next;
};
static struct netlink *links;

static void put_message(struct netlink *link, uint16_t type, uint32_t sequence, bool address)
{
        struct {
                struct nlmsghdr header;
                struct ifaddrmsg of;
                struct rtattr attribute;
                uint32_t address;
        } message = { .header = { .nlmsg_len = address ? sizeof message : sizeof message.header,
                                  .nlmsg_type = type,
                                  .nlmsg_seq = sequence },
                      .of = { .ifa_prefixlen = 24, .ifa_index = 2 },
                      .attribute = { .rta_len = RTA_LENGTH(4), .rta_type = IFA_ADDRESS },
                      .address = shared->network };
        size_t at = 0;

        for (size_t i = 0; i < link->count; i++)
                at += link->len[i];
        if (link->count == lengthof(link->len) || at + message.header.nlmsg_len > sizeof link->bytes)
                return;
        memcpy(link->bytes + at, &message, message.header.nlmsg_len);
        link->len[link->count++] = message.header.nlmsg_len;
}

static ssize_t netlink_receive(struct file *file, void *bytes, size_t len, bool peek, int *passed)
{
        struct netlink *link = file->object;

        (void)peek;
        (void)passed;
        if (!link->count) {
                errno = EAGAIN;
                return -1;
        }
        size_t first = link->len[0];
        memcpy(bytes, link->bytes, first < len ? first : len);
        memmove(link->bytes, link->bytes + first, sizeof link->bytes - first);
        memmove(link->len, link->len + 1, (--link->count) * sizeof link->len[0]);
        return (ssize_t)first;
}

static ssize_t netlink_send(struct file *file, const void *bytes, size_t len, const int *fds, size_t fd_count)
{
        const struct nlmsghdr *request = bytes;

        (void)fds;
        (void)fd_count;
        if (request->nlmsg_type == RTM_GETADDR)
                put_message(file->object, RTM_NEWADDR, request->nlmsg_seq, true);
        put_message(file->object, NLMSG_DONE, request->nlmsg_seq, false);
        return (ssize_t)len;
}

void netlink_tell(void)
{
        for (struct netlink *link = links; link; link = link->next)
                put_message(link, RTM_NEWADDR, 0, true);
}

static ssize_t netlink_read(struct file *file, void *bytes, size_t len)
{
        return netlink_receive(file, bytes, len, false, NULL);
}

static ssize_t netlink_write(struct file *file, const void *bytes, size_t len)
{
        return netlink_send(file, bytes, len, NULL, 0);
}

static unsigned netlink_ready(struct file *file)
{
        return POLLOUT | (((struct netlink *)file->object)->count ? POLLIN : 0);
}

static void netlink_close(struct file *file)
{
        struct netlink **place = &links;

        while (*place != file->object)
                place = &(*place)->next;
        *place = (*place)->next;
        free(file->object);
}

static int accepts_address(struct file *file, const void *address, size_t len)
{
        (void)file;
        (void)address;
        (void)len;
        return 0;
}

static const struct socket_kind netlink_kind = {
        .file = { "socket: netlink", netlink_read, netlink_write, netlink_ready, netlink_close },
        .connect = accepts_address,
        .bind = accepts_address,
        .receive = netlink_receive,
        .send = netlink_send,
};

int netlink_new(int flags)
{
        struct netlink *link = calloc(1, sizeof *link);

        link->next = links;
        links = link;
        return fd_new(&netlink_kind.file, link, flags);
}
