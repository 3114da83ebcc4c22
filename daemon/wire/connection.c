/* SPDX-License-Identifier: MIT */
/*
 * The life of a connection: lookup, connect, perhaps a handshake, open, closed; one
 * deadline at a time. The bytes are moved in pump.c.
 *
 * Whatever ends, frees or starts something is done by run(), which the loop calls
 * after the present callback: so a user may call anything from anywhere.
 */
#include "daemon/wire/connection.h"

#include "daemon/wire/connection_parts.h"
#include "daemon/wire/dial.h"
#include "daemon/wire/route.h"

#include <errno.h>
#include <stdio.h>
#include <sys/un.h>
#include <unistd.h>

enum {
        UNSENT_MAX = 64 * MIB, /* users look at connection_unsent() long before */
        LINGER_MS = 2000,
        ROOM_MS = 20, /* a Unix socket is asked again whether it has room */
        ADDRESS_TEXT = 80,
        GATHER = 64 * KIB,      /* four full records of TLS in one wake, */
        GATHER_OF = 4 * GATHER, /* while so much is still to come, */
        GATHER_MS = 20,         /* and it does come */
};

/* ---- the end ---- */

/* After this nothing but run() comes back to the connection. */
static void stop_everything(struct connection *c)
{
        resolve_cancel(take(c->question));
        dial_free(take(c->dial));
        timer_free(take(c->again));
        timer_stop(c->deadline);
        pump_watch(c);
}

/* Only by run(), with no other one on its way. */
static void connection_free(struct connection *c)
{
        pump_stop(c);
        stop_everything(c);
        watch_free(c->watch);
        if (c->transport)
                c->transport->free(c->transport);
        close_fd(&c->fd);
        timer_free(c->deadline);
        /* What was not sent may hold a password. */
        buf_wipe(&c->out);
        free(c->failure);
        free(c->choice);
        free(c->host);
        free(c->address);
        free(c);
}

/* The cause is taken out first: a run that follows finds nothing to tell. The connection then stays dead
 * until its owner closes it. */
static void tell_end(struct connection *c)
{
        struct cause *why = take(c->failure);

        if (why)
                c->user->ended(c->ctx, why);
        free(why);
}

/* True when nothing is left to be sent. */
static bool linger(struct connection *c)
{
        pump_write(c);
        if (c->phase == PHASE_LINGER && c->out.len == 0) {
                c->transport->finish(c->transport);
                c->phase = PHASE_CLOSED;
        }
        return c->phase == PHASE_CLOSED;
}

/* The descriptor is the connection's from here on. */
static void take_socket(struct connection *c, int fd)
{
        c->fd = fd;
        c->watch = watch_new(fd, pump_ready, c);
        plain_init(&c->plain, fd);
        c->transport = &c->plain.transport;
        c->phase = PHASE_OPEN;
}

/* The deadline of lookup and connect ends here; the owner sets the next one by connection_expect(). */
static void begin_talking(struct connection *c, int fd)
{
        take_socket(c, fd);
        c->times.connect = loop_now() - c->since;
        timer_stop(c->deadline);
        timer_free(take(c->again));
        c->user->connected(c->ctx);
        pump_watch(c);
}

static void on_again(void *ctx)
{
        connection_schedule(ctx);
}

/* A connection to a Unix socket stands at once or not at all, or there is no room yet among those that its
 * program has not taken: that tells nobody when there is. */
static void connect_local(struct connection *c)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        struct cause why;
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", c->host);
        if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) == 0) {
                c->address = copy_text(c->host);
                begin_talking(c, fd);
                return;
        }
        if (fd >= 0 && errno == EAGAIN) {
                close_fd(&fd);
                if (!c->again)
                        c->again = timer_new(on_again, c);
                timer_set(c->again, ROOM_MS);
                return;
        }
        cause_set(&why, CAUSE_CONNECT, "could not connect to the socket %s: %s", c->host, strerror(errno));
        cause_remedy(
                &why,
                "its program must run, and the user of this daemon have the right to write to the socket and "
                "to search the folders above it");
        close_fd(&fd);
        connection_fail(c, &why);
}

static void run(void *ctx)
{
        struct connection *c = ctx;

        c->scheduled = false;
        switch (c->phase) {
        /* The resolver calls when it is done. */
        case PHASE_LOOKUP:
                break;
        case PHASE_CONNECT:
                if (!c->dial)
                        connect_local(c);
                break;
        case PHASE_HANDSHAKE:
                pump_handshake(c);
                break;
        case PHASE_OPEN:
                pump_write(c);
                if (c->phase == PHASE_OPEN && c->read_again)
                        pump_read(c);
                break;
        case PHASE_LINGER:
                /* A write that failed has scheduled another run, which frees it. */
                if (linger(c) && !c->scheduled) {
                        connection_free(c);
                        return;
                }
                break;
        case PHASE_DEAD:
                tell_end(c);
                break;
        case PHASE_CLOSED:
                connection_free(c);
                return;
        }
        pump_watch(c);
}

void connection_schedule(struct connection *c)
{
        if (c->scheduled)
                return;
        c->scheduled = true;
        loop_later(run, c);
}

void connection_fail(struct connection *c, const struct cause *why)
{
        if (c->phase == PHASE_DEAD || c->phase == PHASE_CLOSED)
                return;
        /* Who has closed it hears nothing more. */
        bool told = c->phase != PHASE_LINGER;
        c->phase = told ? PHASE_DEAD : PHASE_CLOSED;
        if (told) {
                c->failure = new_object(struct cause);
                if (why)
                        *c->failure = *why;
        }
        stop_everything(c);
        connection_schedule(c);
}

void connection_abort(struct connection *c)
{
        if (!c || c->phase == PHASE_CLOSED)
                return;
        c->phase = PHASE_CLOSED;
        stop_everything(c);
        connection_schedule(c);
}

/* Only an open connection lingers: in a handshake nothing can be sent yet, and a dead one has nobody to
 * send to. */
void connection_close(struct connection *c)
{
        if (!c || c->phase == PHASE_LINGER)
                return;
        if (c->phase != PHASE_OPEN) {
                connection_abort(c);
                return;
        }
        c->phase = PHASE_LINGER;
        timer_set(c->deadline, LINGER_MS);
        connection_schedule(c);
}

/* ---- deadlines ---- */

/* The phase tells what took too long, and so what helps. */
static void explain_time_out(struct connection *c, struct cause *why)
{
        if (c->phase == PHASE_LOOKUP) {
                cause_set(why, CAUSE_TIMEOUT, "timed out after %u s while looking up the name %s", c->seconds,
                          c->host);
                cause_remedy(why, "check the network and the resolver: getent ahosts %s", c->host);
        } else if (c->phase == PHASE_CONNECT && !c->dial) {
                cause_set(why, CAUSE_TIMEOUT,
                          "timed out after %u s while connecting to the socket %s: its program takes no more "
                          "connections",
                          c->seconds, c->host);
                cause_remedy(why, "see whether the program at the socket hangs, or is too slow for so many");
        } else if (c->phase == PHASE_CONNECT) {
                char *reasons = dial_reasons(c->dial);
                cause_set(why, CAUSE_TIMEOUT, "timed out after %u s while connecting to %s port %u: %s",
                          c->seconds, c->host, c->port, reasons);
                cause_remedy(why, "%s", cause_kind(CAUSE_CONNECT)->remedy);
                free(reasons);
        } else {
                cause_set(why, CAUSE_TIMEOUT, "timed out after %u s while %s", c->seconds, c->phrase);
        }
}

static void on_deadline(void *ctx)
{
        struct connection *c = ctx;
        struct cause why;

        if (c->phase == PHASE_LINGER) {
                connection_abort(c);
                return;
        }
        explain_time_out(c, &why);
        connection_fail(c, &why);
}

/* `phrase` is borrowed; NULL for lookup and connect, which are explained by their phase. */
static void set_deadline(struct connection *c, unsigned seconds, const char *phrase)
{
        c->seconds = seconds;
        c->phrase = phrase;
        if (seconds)
                timer_set(c->deadline, (int64_t)seconds * 1000);
        else
                timer_stop(c->deadline);
}

void connection_expect(struct connection *c, unsigned seconds, const char *phrase)
{
        if (c->phase == PHASE_OPEN) /* the other phases have their own */
                set_deadline(c, seconds, phrase);
}

/* ---- the beginning ---- */

static void explain_failure(struct connection *c, struct cause *why)
{
        char *reasons = dial_reasons(c->dial);

        cause_set(why, CAUSE_CONNECT, "could not connect to %s port %u: %s", c->host, c->port, reasons);
        if (dial_was_refused(c->dial))
                cause_remedy(why,
                             "nothing listens on port %u there: the port may be wrong (check it against "
                             "useSsl and useStartTls), or the server is not running",
                             c->port);
        free(reasons);
}

/* A host with a single address keeps nothing, so that an idle connection stays small. */
static void keep_choice(struct connection *c, const struct sockaddr_storage *peer)
{
        if (dial_count(c->dial) < 2 && !c->choice)
                return;
        if (!c->choice)
                c->choice = new_object(struct choice);
        c->choice->peer = *peer;
        dial_others(c->dial, peer, &c->choice->others);
}

static void on_dialled(void *ctx, int fd, const struct sockaddr_storage *peer)
{
        struct connection *c = ctx;
        struct cause why;
        char address[ADDRESS_TEXT];

        if (fd < 0) {
                explain_failure(c, &why);
                connection_fail(c, &why);
                return;
        }
        address_text(peer, address, sizeof address);
        keep_choice(c, peer);
        dial_free(take(c->dial)); /* and `peer` with it */
        c->address = copy_text(address);
        begin_talking(c, fd);
}

/* Addresses of which trouble is known come last, and are still tried. */
static void begin_dialling(struct connection *c, struct addresses *found)
{
        trouble_last(found);
        c->phase = PHASE_CONNECT;
        c->since = loop_now();
        c->dial = dial_start(found, on_dialled, c);
}

static void on_resolved(void *ctx, const struct addresses *found, const struct cause *why)
{
        struct connection *c = ctx;

        /* The question ends with its answer; there is nothing to cancel any more. */
        c->question = NULL;
        c->times.lookup = loop_now() - c->since;
        if (found->count == 0) {
                connection_fail(c, why);
                return;
        }
        struct addresses tried = *found; /* which others wait for as well, in their own order */
        begin_dialling(c, &tried);
}

static struct connection *connection_new(const struct connection_user *user, void *ctx)
{
        struct connection *c = new_object(struct connection);

        c->user = user;
        c->ctx = ctx;
        c->fd = -1;
        c->read_needs = WATCH_READ;
        /* Milliseconds; -1: that step did not happen. */
        c->times = (struct connection_times){ -1, -1, -1 };
        c->since = loop_now();
        buf_init(&c->out, UNSENT_MAX);
        c->deadline = timer_new(on_deadline, c);
        return c;
}

struct connection *connection_accepted(int fd, const struct sockaddr_storage *peer,
                                       const struct connection_user *user, void *ctx)
{
        struct connection *c = connection_new(user, ctx);
        char address[ADDRESS_TEXT];

        address_text(peer, address, sizeof address);
        c->address = copy_text(address);
        /* A client: no lookup, no dialling, and no deadline before the owner sets one. */
        c->accepted = true;
        take_socket(c, fd);
        pump_watch(c);
        return c;
}

struct connection *connection_open(const struct connection_request *request,
                                   const struct connection_user *user, void *ctx)
{
        struct connection *c = connection_new(user, ctx);

        c->phase = PHASE_LOOKUP;
        c->host = copy_text(request->host);
        c->port = request->port;
        /* One deadline for lookup and connect together. */
        set_deadline(c, request->timeout_seconds, NULL);
        if (c->host[0] == '/') {
                c->phase = PHASE_CONNECT;
                connection_schedule(c);
                /* The time of the lookup is that of the first connection, which found these addresses. */
        } else if (request->after && request->after->choice) {
                c->choice = new_object(struct choice);
                *c->choice = *request->after->choice;
                c->times.lookup = request->after->times.lookup;
                begin_dialling(c, &c->choice->others);
        } else {
                c->question = resolve(c->host, c->port, on_resolved, c);
        }
        return c;
}

/* ---- open ---- */

/* Bytes for a connection that has ended are dropped: `ended` tells its owner. Those written during a
 * handshake wait for its end. */
static bool takes_bytes(const struct connection *c)
{
        return c->phase == PHASE_OPEN || c->phase == PHASE_HANDSHAKE;
}

static void is_to_send(struct connection *c)
{
        c->drained_owed = true;
        /* Else the socket is watched already, and pump_ready() sends them with the rest. */
        if (c->write_needs == 0)
                connection_schedule(c);
}

void connection_write(struct connection *c, const void *bytes, size_t len)
{
        if (!takes_bytes(c))
                return;
        if (buf_append(&c->out, bytes, len)) {
                struct cause why;
                cause_set(&why, CAUSE_INTERNAL, "more than %d MiB wait to be sent", UNSENT_MAX / MIB);
                connection_fail(c, &why);
                return;
        }
        is_to_send(c);
}

void connection_write_all(struct connection *c, struct buf *bytes)
{
        if (c->out.len || !takes_bytes(c)) {
                connection_write(c, buf_bytes(bytes), bytes->len);
                buf_clear(bytes);
                return;
        }
        buf_hand_over(bytes, &c->out);
        is_to_send(c);
}

size_t connection_unsent(const struct connection *c)
{
        return c->out.len;
}

void connection_secure(struct connection *c, struct transport *transport, unsigned timeout_seconds)
{
        struct cause why;

        if (c->transport)
                c->transport->free(c->transport);
        c->transport = transport; /* also of a dead one: it lives until connection_close() */
        if (c->phase != PHASE_OPEN)
                return;
        if (c->out.len) {
                /* These bytes were meant for the open line, so the go-ahead was not an
                 * answer to them: and inside TLS they must not appear. */
                cause_set(&why, CAUSE_INJECTION, "the server answered before its command was sent");
                connection_fail(c, &why);
                return;
        }
        c->phase = PHASE_HANDSHAKE;
        c->since = loop_now();
        c->drained_owed = false;
        c->read_needs = WATCH_READ;
        set_deadline(c, timeout_seconds, "waiting for the TLS handshake to finish");
        connection_schedule(c);
}

/* Peeks: the byte stays in the socket. */
bool connection_has_unread(struct connection *c)
{
        uint8_t byte;

        return c->fd >= 0 && (c->transport->holds || recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0);
}

static void gather(struct connection *c, bool gathers)
{
        int least = gathers ? GATHER : 1;

        if (c->gathers != gathers)
                (void)setsockopt(c->fd, SOL_SOCKET, SO_RCVLOWAT, &least, sizeof least);
        c->gathers = gathers;
}

/* The peer has stopped, or is slow: what is there is read, and whatever follows at once. */
static void on_gathered(void *ctx)
{
        struct connection *c = ctx;

        gather(c, false);
        c->read_again = true;
        connection_schedule(c);
}

void connection_coming(struct connection *c, uint64_t bytes)
{
        bool gathers = bytes >= GATHER_OF;

        if (c->phase != PHASE_OPEN || (!gathers && !c->gathers))
                return;
        gather(c, gathers);
        if (!gathers) {
                timer_free(take(c->again));
                return;
        }
        if (!c->again)
                c->again = timer_new(on_gathered, c);
        timer_set(c->again, GATHER_MS);
}

void connection_pause(struct connection *c, bool paused)
{
        if (c->paused == paused)
                return;
        c->paused = paused;
        if (c->phase != PHASE_OPEN)
                return;
        /* TLS may hold bytes of which the socket does not tell: one read is due in any case. */
        if (!paused) {
                c->read_again = true;
                connection_schedule(c);
        }
        pump_watch(c);
}

size_t connection_others(const struct connection *c)
{
        return c->choice ? c->choice->others.count : 0;
}

void connection_blame(const struct connection *c)
{
        if (c->choice)
                trouble_note(&c->choice->peer);
}

/* From here on no other address is wanted, so the memory of them is given back. */
void connection_served(struct connection *c)
{
        if (c->choice)
                trouble_forget(&c->choice->peer);
        free(take(c->choice));
}

int connection_fd(const struct connection *c)
{
        return c->fd;
}

struct transport *connection_transport(struct connection *c)
{
        return c->transport == &c->plain.transport ? NULL : c->transport;
}

const char *connection_address(const struct connection *c)
{
        return c->address ? c->address : "";
}

void connection_local(const struct connection *c, char *out, size_t size)
{
        route_here(c->fd, out, size);
}

struct connection_times connection_times(const struct connection *c)
{
        return c->times;
}
