/* SPDX-License-Identifier: MIT */
/*
 * The bytes of a connection: transport to user, queue to transport, and the handshake between; and the
 * transport without TLS. TLS may need to write in order to read and the reverse, and may hold bytes that the
 * socket no longer tells of; both are looked after here.
 */
#include "common/limits.h"
#include "common/times.h"
#include "daemon/wire/connection_parts.h"

#include <errno.h>

/* ---- bytes straight over the socket, and the words for what goes wrong there ---- */

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

/* ---- whatever the transport ---- */

enum {
        READ_SIZE = 32 * KIB,
        READ_PER_WAKE =
                32 * KIB, /* then the other connections have their turn: lines of three bytes are many */
        BUSY_USEC = 1000, /* of a turn of the loop, for all that have more to read than that */
};

/* Those wait here, in order, and share a part of each turn, however many they are: whoever has little to say,
 * and waits for it in many turns, is not to feel them. */
static struct {
        struct connection *first, **end;
        struct timer *turn; /* once a turn; gone with the loop */
} busy;

/* One for all connections: whoever is called with its bytes takes them before the
 * next read, which never happens from inside a callback. */
static uint8_t read_buffer[READ_SIZE];

void pump_watch(struct connection *c)
{
        int what = 0;

        if (c->phase == PHASE_HANDSHAKE || (c->phase == PHASE_OPEN && !c->paused && !c->busy_link))
                what |= c->read_needs;
        if (c->phase == PHASE_OPEN || c->phase == PHASE_LINGER)
                what |= c->write_needs;
        if (c->watch)
                watch_for(c->watch, what);
}

/* Who was accepted may close its sending half behind its last command: the answers to what it has said leave
 * all the same, as far as the kernel takes them. To a server nothing more is said: it would not tell what
 * became of it. */
static void answer_last(struct connection *c)
{
        struct cause why = { 0 };
        size_t moved = 0;

        while (c->accepted && c->out.len &&
               c->transport->write(c->transport, buf_bytes(&c->out), c->out.len, &moved, &why) ==
                       TRANSPORT_DONE)
                buf_consume(&c->out, moved);
}

void pump_stop(struct connection *c)
{
        if (!c->busy_link)
                return;
        *c->busy_link = c->busy_next;
        if (c->busy_next)
                c->busy_next->busy_link = c->busy_link;
        else
                busy.end = c->busy_link;
        c->busy_next = NULL;
        c->busy_link = NULL;
}

/* One after the other, until the time of this turn is over. */
static void read_busy(unused_arg void *ctx)
{
        int64_t end = time_monotonic_us() + BUSY_USEC;

        do {
                struct connection *c = busy.first;
                if (!c)
                        return;
                pump_stop(c);
                if (c->phase == PHASE_OPEN)
                        pump_read(c);
                pump_watch(c);
        } while (time_monotonic_us() < end);
        if (busy.first)
                timer_set(busy.turn, 0);
}

static void forget_busy(unused_arg void *ctx)
{
        while (busy.first)
                pump_stop(busy.first);
        timer_free(take(busy.turn));
}

static void wait_for_a_turn(struct connection *c)
{
        if (!busy.turn) {
                busy.turn = timer_new(read_busy, NULL);
                loop_on_close(forget_busy, NULL);
        }
        if (!busy.first) {
                busy.end = &busy.first;
                timer_set(busy.turn, 0);
        }
        c->busy_link = busy.end;
        *busy.end = c;
        busy.end = &c->busy_next;
}

/* One read. False when the reading has to stop. */
static bool read_piece(struct connection *c, size_t *budget)
{
        struct transport *transport = c->transport;
        struct cause why = { 0 };
        size_t moved = 0;

        switch (transport->read(transport, read_buffer, sizeof read_buffer, &moved, &why)) {
        case TRANSPORT_DONE:
                c->read_needs = WATCH_READ;
                *budget -= moved < *budget ? moved : *budget;
                c->user->received(c->ctx, read_buffer, moved);
                return moved > 0;
        case TRANSPORT_WANT_READ:
                c->read_needs = WATCH_READ;
                if (transport->holds || transport->taken >= WIRE_PER_WAKE)
                        wait_for_a_turn(c); /* the share is over, not what there is to read */
                return false;
        case TRANSPORT_WANT_WRITE:
                c->read_needs = WATCH_WRITE;
                return false;
        case TRANSPORT_END:
                answer_last(c);
                transport->finish(transport); /* good-bye to you too */
                connection_fail(c, NULL);
                return false;
        case TRANSPORT_FAILED:
                connection_fail(c, &why);
                return false;
        }
        return false;
}

void pump_read(struct connection *c)
{
        struct transport *transport = c->transport;
        size_t budget = READ_PER_WAKE;

        if (c->busy_link)
                return;

        c->read_again = false;
        transport->taken = 0;
        /* A callback may have paused, secured or closed it. */
        while (c->phase == PHASE_OPEN && !c->paused && c->transport == transport) {
                if (budget == 0) {
                        wait_for_a_turn(c);
                        return;
                }
                if (!read_piece(c, &budget))
                        return;
        }
}

/* The server may have said why before it closed: hear that first. */
static void write_broke(struct connection *c, const struct cause *why)
{
        buf_wipe(&c->out);
        c->write_needs = 0;
        pump_stop(c);
        pump_read(c);
        connection_fail(c, why);
}

/* What was sent may have been a password; and who idles holds no memory. Not before the turn of whoever was
 * told that it is sent: who has more to say says it in the same memory (connection_write_all). */
static void rest(struct connection *c)
{
        if (c->out.memory && !c->out.len && !c->drained_owed)
                buf_wipe(&c->out);
}

void pump_write(struct connection *c)
{
        rest(c);
        while (c->out.len && (c->phase == PHASE_OPEN || c->phase == PHASE_LINGER)) {
                struct cause why = { 0 };
                size_t moved = 0;
                c->write_needs = 0;
                switch (c->transport->write(c->transport, buf_bytes(&c->out), c->out.len, &moved, &why)) {
                case TRANSPORT_DONE:
                        buf_consume(&c->out, moved);
                        break;
                case TRANSPORT_WANT_READ:
                        c->write_needs = WATCH_READ;
                        return;
                case TRANSPORT_WANT_WRITE:
                        c->write_needs = WATCH_WRITE;
                        return;
                case TRANSPORT_END:
                        cause_set(&why, CAUSE_CLOSED,
                                  "the server closed the connection while something was being sent");
                        write_broke(c, &why);
                        return;
                case TRANSPORT_FAILED:
                        write_broke(c, &why);
                        return;
                }
        }
        if (c->phase == PHASE_OPEN && c->drained_owed) {
                c->drained_owed = false;
                c->user->drained(c->ctx);
                connection_schedule(c); /* to rest, behind what the user does this turn */
        }
}

static void handshake_done(struct connection *c)
{
        c->phase = PHASE_OPEN;
        c->times.handshake = loop_now() - c->since;
        c->read_needs = WATCH_READ;
        timer_stop(c->deadline);
        c->user->secured(c->ctx);
        /* The transport may have read more than the handshake; and what the user has
         * written before is due now. */
        c->read_again = true;
        connection_schedule(c);
}

void pump_handshake(struct connection *c)
{
        struct cause why = { 0 };

        c->transport->taken = 0;
        switch (c->transport->handshake(c->transport, &why)) {
        case TRANSPORT_DONE:
                handshake_done(c);
                break;
        case TRANSPORT_WANT_READ:
                c->read_needs = WATCH_READ;
                break;
        case TRANSPORT_WANT_WRITE:
                c->read_needs = WATCH_WRITE;
                break;
        case TRANSPORT_END:
                cause_set(&why, CAUSE_CLOSED, "the server closed the connection during the TLS handshake");
                connection_fail(c, &why);
                break;
        case TRANSPORT_FAILED:
                connection_fail(c, &why);
                break;
        }
}

void pump_ready(void *ctx, int what)
{
        struct connection *c = ctx;

        if (c->phase == PHASE_HANDSHAKE)
                pump_handshake(c);
        else if (c->phase == PHASE_OPEN && !c->paused && (what & c->read_needs))
                pump_read(c);
        if (what & c->write_needs)
                pump_write(c);
        if (c->phase == PHASE_LINGER)
                connection_schedule(c); /* done when nothing is left */
        pump_watch(c);
}
