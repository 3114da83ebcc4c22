/* SPDX-License-Identifier: MIT */
/*
 * One connection to a mail server: the name is looked up on a worker thread, the
 * addresses tried as RFC 8305 says, then bytes go both ways under one deadline.
 * What moves the bytes is a transport: plain at first, TLS when tls/channel has
 * put itself in. A connection knows no protocol and takes no trust decision.
 *
 * All callbacks run on the loop. A callback may call anything here, also
 * connection_close(): the object is freed after the callback has returned.
 */
#pragma once

#include "common/buf.h"
#include "common/cause.h"

#include <sys/socket.h>

struct connection;

enum transport_result {
        TRANSPORT_DONE, /* handshake: finished. read/write: *moved bytes were moved */
        TRANSPORT_WANT_READ,
        TRANSPORT_WANT_WRITE,
        TRANSPORT_END,    /* the peer ended in order (TLS: close_notify; plain: FIN) */
        TRANSPORT_FAILED, /* cause says why */
};

/* Moves bytes over the socket. tls/ implements one; wire/ has the plain one. One whose records may bring
 * nothing takes at most WIRE_PER_WAKE bytes off the wire before the loop turns, then says
 * TRANSPORT_WANT_READ. */
struct transport {
        enum transport_result (*handshake)(struct transport *, struct cause *);
        enum transport_result (*read)(struct transport *, uint8_t *to, size_t size, size_t *moved,
                                      struct cause *);
        enum transport_result (*write)(struct transport *, const uint8_t *from, size_t len, size_t *moved,
                                       struct cause *);
        void (*finish)(struct transport *); /* close_notify once, without waiting */
        void (*free)(struct transport *);
        size_t taken; /* off the wire in this wake; the connection sets it to 0 */
        bool holds;   /* bytes that were taken off the socket and wait for the next wake */
};

struct connection_user {
        /* TCP stands; nothing has been read yet. */
        void (*connected)(void *ctx);
        /* The handshake of the transport put in has finished; nothing read after it yet. */
        void (*secured)(void *ctx);
        /* Bytes arrived; all of them are the callee's now. */
        void (*received)(void *ctx, const uint8_t *bytes, size_t len);
        /* Everything written has left for the kernel. */
        void (*drained)(void *ctx);
        /* The end, once: CAUSE_NONE when the peer closed in order, else why (lookup,
         * connect, handshake, reset, deadline). After it the connection is dead and
         * only connection_close() may be called. */
        void (*ended)(void *ctx, const struct cause *why);
};

struct connection_request {
        const char *host; /* name (A-label), IP literal, or the absolute path of a Unix socket */
        uint16_t port;
        unsigned timeout_seconds;       /* lookup + connect together */
        const struct connection *after; /* to the same host: the addresses that this one left over, without a
                                           lookup; or NULL */
};

/* Starts; never calls back before it returns. The request is copied. */
struct connection *connection_open(const struct connection_request *request,
                                   const struct connection_user *user, void *ctx) must_use;

/* One that somebody else made to this machine, and that was accepted: the descriptor, which does not block,
 * is taken over; it is open at once, without `connected`. Words of causes call the peer the server all the
 * same. */
struct connection *connection_accepted(int fd, const struct sockaddr_storage *peer,
                                       const struct connection_user *user, void *ctx) must_use;

/* Queues bytes; all that was written in one callback leaves in one piece right after
 * it. `drained` follows, never from inside this call. The owner bounds what it queues
 * by connection_unsent(); past 64 MiB the connection fails. */
void connection_write(struct connection *connection, const void *bytes, size_t len);
/* The same with all that the buffer holds, which is empty then: what nothing waits before is not copied, and
 * the buffer has the memory of what was sent last. */
void connection_write_all(struct connection *connection, struct buf *bytes);
/* Bytes written and not yet taken by the kernel. */
size_t connection_unsent(const struct connection *connection);

/* Puts a transport in (owned from here on, freed after connection_close), switches
 * reading on and runs its handshake under `timeout_seconds`; `secured` or `ended`
 * follows. Once a connection. Bytes written before and still unsent fail it: the
 * go-ahead came before its command. */
void connection_secure(struct connection *connection, struct transport *transport, unsigned timeout_seconds);
/* True when bytes are waiting unread in the socket: with an empty engine->in the test
 * of "bytes beyond the go-ahead" (security rule 3); nothing is held back here. */
bool connection_has_unread(struct connection *connection);

/* Deadline for what is awaited now (lookup, connect and handshake have their own, and
 * ending those ends it); `phrase` ("waiting for the greeting", a string
 * that outlives the wait) goes into the cause: "timed out after 30 s while waiting
 * for the greeting". 0 seconds: none. Calling again replaces. */
void connection_expect(struct connection *connection, unsigned seconds, const char *phrase);

/* So many bytes more will come, as far as the peer is to be believed. Of many the socket tells when some have
 * gathered, or when nothing has come for a moment. */
void connection_coming(struct connection *connection, uint64_t bytes);

/* Back-pressure: no `received` while paused. */
void connection_pause(struct connection *connection, bool paused);

/* Sends what is queued for a short while (bounded, 2 s), says an orderly end, closes.
 * No callback after this call. NULL is fine. */
void connection_close(struct connection *connection);
/* Closes at once without another byte. */
void connection_abort(struct connection *connection);

/* How many addresses of the host were found besides this one, and are not known to fail. */
size_t connection_others(const struct connection *connection);
/* The peer's address does not serve: the next connections, to whatever name, try it last for some minutes. */
void connection_blame(const struct connection *connection);
/* It does serve: the other addresses are forgotten, and what was held against this one. */
void connection_served(struct connection *connection);

int connection_fd(const struct connection *connection);
struct transport *connection_transport(struct connection *connection); /* NULL: plain */
/* "192.0.2.7" of the peer; "" before connected. */
const char *connection_address(const struct connection *connection);

/* Which address of this machine it leaves by, as SMTP writes one (RFC 5321 section 4.1.3): "[192.0.2.1]",
 * "[IPv6:2001:db8::1]"; "" where there is none. */
void connection_local(const struct connection *connection, char *out, size_t size);

/* How long each part took, in ms; -1 = did not happen. For `account test`. */
struct connection_times {
        int64_t lookup, connect, handshake;
};
struct connection_times connection_times(const struct connection *connection);

/* Tests: answers for names (not for literals) in place of the resolver, on a worker
 * thread; NULL puts the resolver back. Fills at most `max` addresses, returns how many or -1 with a cause. */
typedef int (*resolve_function)(const char *host, uint16_t port, struct sockaddr_storage *out, int max,
                                struct cause *cause);
void connection_use_resolver(resolve_function function);
