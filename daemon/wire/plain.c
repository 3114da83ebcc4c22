/* SPDX-License-Identifier: MIT */
/* Bytes straight over the socket, and the words for what goes wrong there. */
#include "daemon/wire/plain.h"

#include <errno.h>

static struct plain *plain_of(struct transport *transport)
{
        return container_of(transport, struct plain, transport);
}

/* No remedy is named: who owns the connection knows what it was for. */
static enum transport_result failed(int error, struct cause *cause)
{
        if (error == ETIMEDOUT)
                cause_set(cause, CAUSE_TIMEOUT,
                          "the server has fallen silent: what was sent is not acknowledged");
        else if (error == ECONNRESET)
                cause_set(cause, CAUSE_CLOSED, "the server cut the connection off (reset)");
        else if (error == EPIPE)
                cause_set(cause, CAUSE_CLOSED,
                          "the server closed the connection while something was being sent");
        else
                cause_set(cause, CAUSE_CLOSED, "the connection was lost: %s", strerror(error));
        return TRANSPORT_FAILED;
}

/* EINTR too: the next turn of the loop tries again. */
static bool would_block(int error)
{
        return error == EAGAIN || error == EINTR;
}

static enum transport_result plain_handshake(unused_arg struct transport *transport,
                                             unused_arg struct cause *cause)
{
        return TRANSPORT_DONE;
}

/* An end without TLS is only a FIN; whether it was in order is for the engine to say. */
static enum transport_result plain_read(struct transport *transport, uint8_t *to, size_t size, size_t *moved,
                                        struct cause *cause)
{
        ssize_t got = recv(plain_of(transport)->fd, to, size, 0);

        if (got < 0)
                return would_block(errno) ? TRANSPORT_WANT_READ : failed(errno, cause);
        *moved = (size_t)got;
        return got > 0 ? TRANSPORT_DONE : TRANSPORT_END;
}

/* A peer that has gone is an error here and no signal. */
static enum transport_result plain_write(struct transport *transport, const uint8_t *from, size_t len,
                                         size_t *moved, struct cause *cause)
{
        ssize_t sent = send(plain_of(transport)->fd, from, len, MSG_NOSIGNAL);

        if (sent < 0)
                return would_block(errno) ? TRANSPORT_WANT_WRITE : failed(errno, cause);
        *moved = (size_t)sent;
        return TRANSPORT_DONE;
}

static void plain_nothing(unused_arg struct transport *transport)
{
}

void plain_init(struct plain *plain, int fd)
{
        *plain = (struct plain){
                .transport = {
                        .handshake = plain_handshake,
                        .read = plain_read,
                        .write = plain_write,
                        .finish = plain_nothing, /* closing the socket says it all */
                        .free = plain_nothing,   /* part of its connection */
                },
                .fd = fd,
        };
}
