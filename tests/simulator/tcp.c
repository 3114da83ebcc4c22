/* SPDX-License-Identifier: MIT */
/*
 * The network: connections of the daemon to simulated servers. Each carries what is sent after a delay of its
 * own, in order; features make it slow, split, stall, be reset, or never come to be.
 */
#include "tests/simulator/kernel.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

enum {
        WINDOW = 256 * 1024,
        SYN_LOST_MS = 127000, /* how long Linux tries */
        UNREACHABLE_MS = 3000,
        DEAD_MS = 180000, /* keepalives and TCP_USER_TIMEOUT give up a peer that is not heard of */
        FOR_EVER = -1,
        LOCAL_US = 100, /* on the machine itself */
};

struct listening {
        char *name;
        char *path; /* of a Unix socket; NULL: it has an address */
        struct sockaddr_storage address;
        uint16_t port;
        const struct server_ops *ops;
        void *ctx;
        enum listening_state state;
        int64_t distance_us; /* one way */
        struct listening *next;
};

/* The daemon's end. */
struct end {
        enum { END_NEW, END_CONNECTING, END_CONNECTED, END_FAILED } state;
        int family, error;
        struct sockaddr_storage remote;
        struct peer *peer;
        uint8_t *in;
        size_t in_len, in_room, in_at;
        bool in_over;  /* FIN has come */
        bool out_over; /* shutdown() */
        size_t in_flight;
};

struct peer {
        struct listening *listening;
        void *ctx;
        char *name;
        uint64_t number;
        unsigned life, references;
        struct end *end;              /* NULL: the daemon has closed it, or its life is over */
        bool accepted, over;          /* over: ended() for good was called */
        bool closing;                 /* by the server */
        int64_t to_server, to_daemon; /* us: what is sent next comes not before */
        int64_t until_reset;          /* bytes; -1: none will be */
        bool dead;
        char *file; /* passed by the daemon */
        size_t file_len;
        struct peer *next, **link;
};

struct segment {
        struct peer *peer;
        enum segment_kind { SEGMENT_DATA, SEGMENT_FIN, SEGMENT_CLOSE, SEGMENT_RESET } kind;
        bool to_server;
        size_t len;
        uint8_t bytes[];
};

static struct {
        struct listening *listenings;
        struct peer *peers;
        uint64_t number;
        bool resets, splits, stalls, slow, unsteady;
} *me;

/* ---- peers ---- */

static void peer_drop(struct peer *peer)
{
        if (--peer->references)
                return;
        world_free(peer->name);
        world_free(peer->file);
        world_free(peer);
}

/* The server hears no more of it. */
static void peer_ended(struct peer *peer, enum peer_end how)
{
        if (peer->over || !peer->accepted) {
                peer->over = true;
                return;
        }
        if (how != PEER_HALF) {
                peer->over = true;
                *peer->link = peer->next;
                if (peer->next)
                        peer->next->link = peer->link;
        }
        peer->listening->ops->ended(peer, how);
        if (how != PEER_HALF)
                peer_drop(peer);
}

static void reset_end(struct peer *peer, int error)
{
        struct end *end = peer->end;

        if (!end)
                return;
        end->error = error;
        end->state = END_FAILED;
        end->peer = NULL;
        peer->end = NULL;
        peer_drop(peer);
}

static void cut(struct peer *peer, int error)
{
        peer->references++;
        reset_end(peer, error);
        peer_ended(peer, PEER_GONE);
        peer_drop(peer);
}

/* ---- segments ---- */

static void put_in(struct end *end, const uint8_t *bytes, size_t len)
{
        if (end->in_at == end->in_len)
                end->in_at = end->in_len = 0;
        if (end->in_len + len > end->in_room) {
                end->in_room = 2 * (end->in_len + len);
                end->in = world_realloc(end->in, end->in_room);
        }
        memcpy(end->in + end->in_len, bytes, len);
        end->in_len += len;
}

static void come_to_server(struct segment *segment)
{
        struct peer *peer = segment->peer;

        if (peer->end)
                peer->end->in_flight -= segment->len;
        if (peer->over)
                return;
        switch (segment->kind) {
        case SEGMENT_DATA:
                if (!peer->closing)
                        peer->listening->ops->heard(peer, segment->bytes, segment->len);
                break;
        case SEGMENT_FIN:
                if (!peer->closing)
                        peer_ended(peer, PEER_HALF);
                break;
        case SEGMENT_CLOSE:
        case SEGMENT_RESET:
                peer_ended(peer, PEER_GONE);
                break;
        }
}

static void come_to_daemon(const struct segment *segment)
{
        struct peer *peer = segment->peer;
        struct end *end = peer->end;

        if (!end)
                return;
        switch (segment->kind) {
        case SEGMENT_DATA:
                put_in(end, segment->bytes, segment->len);
                break;
        case SEGMENT_FIN:
                end->in_over = true;
                break;
        case SEGMENT_CLOSE:
        case SEGMENT_RESET:
                cut(peer, ECONNRESET);
                break;
        }
}

static void on_segment(void *ctx)
{
        struct segment *segment = ctx;

        if (segment->peer->life == shared->life) {
                if (segment->to_server)
                        come_to_server(segment);
                else
                        come_to_daemon(segment);
        }
        peer_drop(segment->peer);
        world_free(segment);
}

static void on_give_up(void *ctx)
{
        struct peer *peer = ctx;

        if (peer->life == shared->life)
                cut(peer, ETIMEDOUT);
        peer_drop(peer);
}

static void die(struct peer *peer)
{
        if (peer->dead)
                return;
        peer->dead = true;
        peer->references++;
        (void)world_in(DEAD_MS, on_give_up, peer);
}

/* Faults of the line, drawn for each thing that is sent. */
static void maybe_break(struct peer *peer, size_t len)
{
        if (shared->honest || peer->listening->path)
                return;
        if (peer->until_reset >= 0 && (peer->until_reset -= (int64_t)len) < 0) {
                history("net", "%s is reset", peer->name);
                peer->until_reset = FOR_EVER;
                peer->references++;
                struct segment *reset = world_alloc(sizeof *reset);
                *reset = (struct segment){ .peer = peer, .kind = SEGMENT_RESET };
                (void)world_at_us(shared->now_us, on_segment, reset);
        }
        if (me->stalls && chance_permille("net", 2)) {
                bool long_one = chance_permille("net", 300);
                int64_t ms = chance_about("net", long_one ? 10 * MINUTE_MS : 20 * SECOND_MS);
                history("net", "%s stalls for %lld ms", peer->name, (long long)ms);
                peer_stall(peer, ms);
        }
}

static int64_t delay_us(const struct peer *peer)
{
        int64_t us = peer->listening->distance_us;

        return us + (me->unsteady ? chance_about("net", us / 4 + 1) : 0);
}

static void carry(struct peer *peer, bool to_server, enum segment_kind kind, const uint8_t *bytes, size_t len)
{
        int64_t *last = to_server ? &peer->to_server : &peer->to_daemon,
                when = shared->now_us + delay_us(peer);

        if (peer->dead)
                return;
        *last = when > *last ? when : *last + 1;
        struct segment *segment = world_alloc(sizeof *segment + len);
        *segment = (struct segment){ .peer = peer, .kind = kind, .to_server = to_server, .len = len };
        if (len)
                memcpy(segment->bytes, bytes, len);
        peer->references++;
        (void)world_at_us(*last, on_segment, segment);
}

/* ---- what servers do ---- */

struct listening *server_listen(const char *name, const char *address, uint16_t port,
                                const struct server_ops *ops, void *ctx)
{
        struct listening *listening = world_alloc(sizeof *listening);
        struct sockaddr_in *four = (struct sockaddr_in *)&listening->address;
        struct sockaddr_in6 *six = (struct sockaddr_in6 *)&listening->address;

        if (inet_pton(AF_INET, address, &four->sin_addr) == 1)
                four->sin_family = AF_INET;
        else if (inet_pton(AF_INET6, address, &six->sin6_addr) == 1)
                six->sin6_family = AF_INET6;
        else
                abort();
        listening->name = world_text("%s", name);
        listening->port = port;
        listening->ops = ops;
        listening->ctx = ctx;
        listening->distance_us =
                me->slow ? chance_between("net", 1, 900) * 1000 : chance_between("net", 1, 60) * 1000;
        struct listening **end = &me->listenings;
        while (*end)
                end = &(*end)->next;
        return *end = listening;
}

struct listening *server_listen_local(const char *name, const char *path, const struct server_ops *ops,
                                      void *ctx)
{
        struct listening *listening = world_alloc(sizeof *listening), **end = &me->listenings;

        listening->name = world_text("%s", name);
        listening->path = world_text("%s", path);
        listening->ops = ops;
        listening->ctx = ctx;
        listening->distance_us = LOCAL_US;
        while (*end)
                end = &(*end)->next;
        return *end = listening;
}

void server_state(struct listening *listening, enum listening_state state)
{
        listening->state = state;
}

void *peer_server(const struct peer *peer)
{
        return peer->listening->ctx;
}

bool peer_was_left(const struct peer *peer)
{
        return !peer->end;
}

void *peer_ctx(const struct peer *peer)
{
        return peer->ctx;
}

void peer_set_ctx(struct peer *peer, void *ctx)
{
        peer->ctx = ctx;
}

const char *peer_name(const struct peer *peer)
{
        return peer->name;
}

uint16_t peer_port(const struct peer *peer)
{
        return peer->listening->port;
}

void peer_send(struct peer *peer, const void *bytes, size_t len)
{
        const uint8_t *at = bytes;

        if (peer->over || peer->closing || !peer->end)
                return;
        maybe_break(peer, len);
        while (len) {
                size_t piece = me->splits && chance_permille("net", 200)
                                       ? (size_t)chance_between("net", 1, (int64_t)len)
                                       : len;
                carry(peer, false, SEGMENT_DATA, at, piece);
                at += piece;
                len -= piece;
        }
}

void peer_close(struct peer *peer)
{
        if (peer->over || peer->closing)
                return;
        peer->closing = true;
        carry(peer, false, SEGMENT_FIN, NULL, 0);
        if (!peer->end) /* the daemon has closed already */
                carry(peer, true, SEGMENT_CLOSE, NULL, 0);
}

void peer_reset(struct peer *peer)
{
        if (peer->over)
                return;
        peer->closing = true;
        peer->references++;
        reset_end(peer, ECONNRESET);
        carry(peer, true, SEGMENT_RESET, NULL, 0);
        peer_drop(peer);
}

void peer_stall(struct peer *peer, int64_t ms)
{
        int64_t until = shared->now_us + ms * 1000;

        if (ms < 0) {
                die(peer);
                return;
        }
        peer->to_server = peer->to_server > until ? peer->to_server : until;
        peer->to_daemon = peer->to_daemon > until ? peer->to_daemon : until;
}

/* ---- the daemon's end ---- */

static struct listening *listening_at(const struct sockaddr_storage *address, bool *host_known)
{
        bool four = address->ss_family == AF_INET;
        uint16_t port = ntohs(four ? ((const struct sockaddr_in *)address)->sin_port
                                   : ((const struct sockaddr_in6 *)address)->sin6_port);

        *host_known = false;
        for (struct listening *one = me->listenings; one; one = one->next) {
                if (one->address.ss_family != address->ss_family ||
                    (four ? memcmp(&((const struct sockaddr_in *)address)->sin_addr,
                                   &((const struct sockaddr_in *)&one->address)->sin_addr, 4)
                          : memcmp(&((const struct sockaddr_in6 *)address)->sin6_addr,
                                   &((const struct sockaddr_in6 *)&one->address)->sin6_addr, 16)) != 0)
                        continue;
                *host_known = true;
                if (one->port == port)
                        return one;
        }
        return NULL;
}

/* The handshake has come to its end; ctx is the peer. */
static void on_connected(void *ctx)
{
        struct peer *peer = ctx;

        if (peer->life == shared->life && peer->end) {
                peer->end->state = END_CONNECTED;
                peer->accepted = true;
                peer->next = me->peers;
                peer->link = &me->peers;
                if (peer->next)
                        peer->next->link = &peer->next;
                me->peers = peer;
                peer->references++;
                peer->listening->ops->accepted(peer);
        }
        peer_drop(peer);
}

static void on_refused(void *ctx)
{
        struct peer *peer = ctx;

        if (peer->life == shared->life && peer->end)
                reset_end(peer, peer->closing ? ECONNREFUSED : peer->dead ? ETIMEDOUT : EHOSTUNREACH);
        peer_drop(peer);
}

static struct peer *new_peer(struct listening *listening, struct end *end)
{
        struct peer *peer = world_alloc(sizeof *peer);

        *peer = (struct peer){ .listening = listening,
                               .number = ++me->number,
                               .life = shared->life,
                               .references = 2, /* the end's, the event's */
                               .end = end,
                               .until_reset = FOR_EVER };
        peer->name = world_text("%s#%llu", listening ? listening->name : "nowhere",
                                (unsigned long long)peer->number);
        if (me->resets && !(listening && listening->path) && chance_permille("net", 30))
                peer->until_reset = chance_about("net", 3000);
        return peer;
}

static int tcp_connect(struct file *file, const void *address, size_t len)
{
        struct end *end = file->object;
        bool host_known;

        if (end->state != END_NEW) {
                errno = end->state == END_CONNECTED ? EISCONN : EALREADY;
                return -1;
        }
        memcpy(&end->remote, address, len < sizeof end->remote ? len : sizeof end->remote);
        struct listening *listening = listening_at(&end->remote, &host_known);
        enum listening_state state = listening    ? listening->state
                                     : host_known ? LISTEN_REFUSES
                                                  : LISTEN_UNREACHABLE;
        if (state == LISTEN_TAKES && me->unsteady && !shared->honest && chance_permille("net", 10))
                state = (enum listening_state)chance_between("net", LISTEN_REFUSES, LISTEN_UNREACHABLE);
        end->state = END_CONNECTING;
        end->peer = new_peer(listening, end);
        end->peer->closing = state == LISTEN_REFUSES;
        end->peer->dead = state == LISTEN_SILENT;
        int64_t distance = listening ? 2 * delay_us(end->peer) : 20000;
        (void)world_at_us(shared->now_us + (state == LISTEN_SILENT        ? SYN_LOST_MS * INT64_C(1000)
                                            : state == LISTEN_UNREACHABLE ? UNREACHABLE_MS * INT64_C(1000)
                                                                          : distance),
                          state == LISTEN_TAKES ? on_connected : on_refused, end->peer);
        errno = EINPROGRESS;
        return -1;
}

static int failed(struct end *end)
{
        errno = end->error ? end->error : end->state == END_FAILED ? EPIPE : ENOTCONN;
        end->error = 0;
        return -1;
}

static ssize_t tcp_receive(struct file *file, void *bytes, size_t len, bool peek, int *passed)
{
        struct end *end = file->object;
        size_t there = end->in_len - end->in_at;

        (void)passed;
        if (!there && end->state == END_FAILED && !end->error)
                return 0;
        if (!there && end->state != END_CONNECTED)
                return failed(end);
        if (!there) {
                errno = EAGAIN;
                return end->in_over ? 0 : -1;
        }
        len = len < there ? len : there;
        if (me->splits && !peek && len > 1 && chance_permille("net", 50))
                len = (size_t)chance_between("net", 1, (int64_t)len);
        memcpy(bytes, end->in + end->in_at, len);
        end->in_at += peek ? 0 : len;
        return (ssize_t)len;
}

static void receive_file(struct peer *peer, int fd)
{
        struct file *file = fd_file(fd);
        struct inode *inode = file ? file_inode(file) : NULL;

        if (!inode)
                return;
        world_free(peer->file);
        peer->file = world_alloc((size_t)inode->size + 1);
        peer->file_len = (size_t)inode_read(inode, peer->file, (size_t)inode->size, 0);
}

char *peer_file(struct peer *peer, size_t *len)
{
        char *file = peer->file;

        *len = peer->file_len;
        peer->file = NULL;
        return file;
}

static ssize_t tcp_send(struct file *file, const void *bytes, size_t len, const int *fds, size_t fd_count)
{
        struct end *end = file->object;

        if (end->state != END_CONNECTED || end->out_over)
                return failed(end);
        if (end->in_flight >= WINDOW) {
                errno = EAGAIN;
                return -1;
        }
        len = len < WINDOW - end->in_flight ? len : WINDOW - end->in_flight;
        struct peer *peer = end->peer;
        if (me->splits && len > 1 && !peer->listening->path && chance_permille("net", 50))
                len = (size_t)chance_between("net", 1, (int64_t)len);
        if (fd_count)
                receive_file(peer, fds[0]);
        end->in_flight += len;
        carry(peer, true, SEGMENT_DATA, bytes, len);
        maybe_break(peer, len);
        return (ssize_t)len;
}

static int tcp_shutdown(struct file *file, int how)
{
        struct end *end = file->object;

        if (end->state != END_CONNECTED)
                return failed(end);
        if (how != SHUT_RD && !end->out_over) {
                end->out_over = true;
                carry(end->peer, true, SEGMENT_FIN, NULL, 0);
        }
        return 0;
}

static ssize_t tcp_read(struct file *file, void *bytes, size_t len)
{
        int passed;

        return tcp_receive(file, bytes, len, false, &passed);
}

static ssize_t tcp_write(struct file *file, const void *bytes, size_t len)
{
        return tcp_send(file, bytes, len, NULL, 0);
}

static unsigned tcp_ready(struct file *file)
{
        const struct end *end = file->object;

        if (end->state == END_FAILED)
                return POLLIN | POLLOUT | POLLERR | POLLHUP;
        if (end->state != END_CONNECTED)
                return 0;
        return (end->in_len > end->in_at || end->in_over ? POLLIN : 0U) |
               (end->in_flight < WINDOW ? POLLOUT : 0U);
}

static void tcp_close(struct file *file)
{
        struct end *end = file->object;
        struct peer *peer = end->peer;

        if (peer) {
                peer->end = NULL;
                if (peer->accepted)
                        carry(peer, true, end->in_len > end->in_at ? SEGMENT_RESET : SEGMENT_CLOSE, NULL, 0);
                peer_drop(peer);
        }
        world_free(end->in);
        world_free(end);
}

static int tcp_option(struct file *file, int level, int name, void *value, size_t *len)
{
        struct end *end = file->object;

        if (level == SOL_SOCKET && name == SO_ERROR && *len >= sizeof(int)) {
                *(int *)value = end->error;
                end->error = 0;
                return 0;
        }
        errno = ENOPROTOOPT;
        return -1;
}

static void tcp_names(struct file *file, bool peer, void *address, size_t *len)
{
        const struct end *end = file->object;
        struct sockaddr_storage own = { .ss_family = (sa_family_t)end->family };
        size_t size = end->family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);

        if (end->family == AF_INET)
                ((struct sockaddr_in *)&own)->sin_addr.s_addr = shared->network;
        memcpy(address, peer ? &end->remote : &own, size < *len ? size : *len);
        *len = size;
}

static int no_bind(struct file *file, const void *address, size_t len)
{
        (void)file;
        (void)address;
        (void)len;
        errno = EADDRNOTAVAIL;
        return -1;
}

static int no_accept(struct file *file)
{
        return no_bind(file, NULL, 0);
}

static const struct socket_kind tcp_kind = {
        .file = { "socket: tcp", tcp_read, tcp_write, tcp_ready, tcp_close },
        .connect = tcp_connect,
        .bind = no_bind,
        .accept = no_accept,
        .receive = tcp_receive,
        .send = tcp_send,
        .shutdown = tcp_shutdown,
        .option = tcp_option,
        .names = tcp_names,
};

bool tcp_takes_over(struct file *file, const char *path, int *error)
{
        struct listening *listening = me->listenings;

        while (listening && !(listening->path && strcmp(listening->path, path) == 0))
                listening = listening->next;
        if (!listening)
                return false;
        *error = listening->state == LISTEN_TAKES         ? 0
                 : listening->state == LISTEN_UNREACHABLE ? ENOENT
                 : listening->state == LISTEN_SILENT      ? EAGAIN
                                                          : ECONNREFUSED;
        if (*error)
                return true;
        file->kind->close(file);
        struct end *end = world_alloc(sizeof *end);
        end->family = AF_UNIX;
        end->state = END_CONNECTED;
        end->peer = new_peer(listening, end);
        file->kind = &tcp_kind.file;
        file->object = end;
        (void)world_at_us(shared->now_us, on_connected, end->peer);
        return true;
}

int tcp_new(int family, int flags)
{
        struct end *end = world_alloc(sizeof *end);

        end->family = family;
        return fd_new(&tcp_kind.file, end, flags);
}

/* ---- beginning; the end of a life ---- */

void network_open(void)
{
        me = world_alloc(sizeof *me);
        me->resets = feature("net.reset", 50);
        me->splits = feature("net.split", 50);
        me->stalls = feature("net.stall", 30);
        me->slow = feature("net.slow", 20);
        me->unsteady = feature("net.unsteady", 50);
}

void network_life_over(void)
{
        while (me->peers) {
                me->peers->end = NULL;
                peer_ended(me->peers, PEER_KILLED);
        }
}
