/* SPDX-License-Identifier: MIT */
/* Sockets of the machine itself: the control socket with the clients of the world at it, and the service
 * manager's, which hears READY=1 and its like. */
#include "tests/simulator/kernel.h"

#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { WINDOW = 208 * 1024, SOON_US = 500 };

/* What a caller has sent: one piece, maybe with a file. */
struct sent {
        struct inode *file;
        size_t len, at;
        struct sent *next;
        uint8_t bytes[];
};

struct received_file {
        char *bytes;
        size_t len;
        struct received_file *next;
};

struct caller {
        const struct caller_ops *ops;
        void *ctx;
        uid_t uid;
        unsigned life, references;
        struct local *local; /* NULL: the daemon has closed its end */
        bool closed;         /* by the world, or ended() was called */
        char *in;            /* what has come of a message */
        size_t in_len, in_room;
        struct received_file *files;
        int64_t to_daemon, to_client;
        struct caller *next, **link;
};

/* The daemon's end; also one that listens. */
struct local {
        enum { LOCAL_NEW, LOCAL_LISTENS, LOCAL_CONNECTED, LOCAL_MANAGER } state;
        struct caller *caller;
        struct sent *in, **in_end;
        bool in_over, gone;
        size_t in_flight;
        struct inode *inode;        /* of one that listens */
        struct caller *waiting[64]; /* to be accepted */
        size_t waiting_count;
};

struct parcel {
        struct caller *caller;
        bool over; /* the daemon has closed */
        size_t len;
        char bytes[];
};

static struct {
        struct caller *clients;
        struct local *listener; /* of the life */
} *me;

static void caller_drop(struct caller *caller)
{
        if (--caller->references)
                return;
        while (caller->files) {
                struct received_file *file = caller->files;
                caller->files = file->next;
                world_free(file->bytes);
                world_free(file);
        }
        world_free(caller->in);
        world_free(caller);
}

static void caller_ended(struct caller *caller, bool tell)
{
        if (caller->closed)
                return;
        caller->closed = true;
        *caller->link = caller->next;
        if (caller->next)
                caller->next->link = caller->link;
        if (tell)
                caller->ops->ended(caller);
        caller_drop(caller);
}

/* ---- the world's end ---- */

static void hear(struct caller *caller, const char *bytes, size_t len)
{
        if (caller->in_len + len > caller->in_room) {
                caller->in_room = 2 * (caller->in_len + len);
                caller->in = world_realloc(caller->in, caller->in_room);
        }
        memcpy(caller->in + caller->in_len, bytes, len);
        caller->in_len += len;
        for (const char *end; !caller->closed && (end = memchr(caller->in, '\0', caller->in_len)) != NULL;) {
                size_t one = (size_t)(end - caller->in);
                char *message = world_copy(caller->in, one);
                caller->in_len -= one + 1;
                memmove(caller->in, caller->in + one + 1, caller->in_len);
                caller->ops->heard(caller, message, one);
                world_free(message);
        }
}

static void on_parcel(void *ctx)
{
        struct parcel *parcel = ctx;
        struct caller *caller = parcel->caller;

        if (caller->local)
                caller->local->in_flight -= parcel->len;
        if (!caller->closed && caller->life == shared->life) {
                if (parcel->over)
                        caller_ended(caller, true);
                else
                        hear(caller, parcel->bytes, parcel->len);
        }
        caller_drop(caller);
        world_free(parcel);
}

static void carry(struct caller *caller, const char *bytes, size_t len, bool over)
{
        struct parcel *parcel = world_alloc(sizeof *parcel + len);
        int64_t when = shared->now_us + chance_about("local", SOON_US);

        *parcel = (struct parcel){ .caller = caller, .over = over, .len = len };
        if (len)
                memcpy(parcel->bytes, bytes, len);
        caller->references++;
        caller->to_client = when > caller->to_client ? when : caller->to_client + 1;
        (void)world_at_us(caller->to_client, on_parcel, parcel);
}

struct caller *caller_open(uid_t uid, const struct caller_ops *ops, void *ctx)
{
        const struct inode *inode = path_find(-100 /* AT_FDCWD */, SIM_SOCKET, true);
        struct local *listener = me->listener;

        if (!inode || !listener || listener->inode != inode ||
            listener->waiting_count == lengthof(listener->waiting))
                return NULL;
        struct caller *caller = world_alloc(sizeof *caller);
        struct local *local = world_alloc(sizeof *local);
        *caller = (struct caller){ .ops = ops,
                                   .ctx = ctx,
                                   .uid = uid,
                                   .life = shared->life,
                                   .references = 2,
                                   .local = local,
                                   .next = me->clients };
        caller->link = &me->clients;
        if (caller->next)
                caller->next->link = &caller->next;
        me->clients = caller;
        local->state = LOCAL_CONNECTED;
        local->caller = caller;
        local->in_end = &local->in;
        listener->waiting[listener->waiting_count++] = caller;
        return caller;
}

void *caller_ctx(const struct caller *caller)
{
        return caller->ctx;
}

void caller_send(struct caller *caller, const char *json, size_t len, const void *file, size_t file_len)
{
        struct local *local = caller->local;

        if (!local || caller->closed)
                return;
        struct sent *sent = world_alloc(sizeof *sent + len + 1);
        sent->len = len + 1;
        memcpy(sent->bytes, json, len);
        if (file) {
                sent->file = inode_new(S_IFREG | 0600);
                if (file_len)
                        (void)inode_write(sent->file, file, file_len, 0);
                (void)inode_sync(sent->file);
                sent->file->links = 1; /* this holds it */
        }
        *local->in_end = sent;
        local->in_end = &sent->next;
}

char *caller_file(struct caller *caller, size_t *len)
{
        struct received_file *file = caller->files;

        if (!file)
                return NULL;
        char *bytes = file->bytes;
        *len = file->len;
        caller->files = file->next;
        world_free(file);
        return bytes;
}

void caller_close(struct caller *caller)
{
        if (caller->local)
                caller->local->gone = caller->local->in_over = true;
        caller_ended(caller, false);
}

/* ---- the daemon's end ---- */

static ssize_t local_receive(struct file *file, void *bytes, size_t len, bool peek, int *passed)
{
        struct local *local = file->object;
        struct sent *sent = local->in;

        if (!sent) {
                errno = EAGAIN;
                return local->in_over ? 0 : -1;
        }
        len = len < sent->len - sent->at ? len : sent->len - sent->at;
        memcpy(bytes, sent->bytes + sent->at, len);
        if (peek)
                return (ssize_t)len;
        if (sent->file) {
                *passed = inode_fd(sent->file, 0);
                sent->file->links = 0; /* the descriptor holds it now */
                sent->file = NULL;
        }
        sent->at += len;
        if (sent->at == sent->len) {
                local->in = sent->next;
                if (!local->in)
                        local->in_end = &local->in;
                world_free(sent);
        }
        return (ssize_t)len;
}

static void receive_file(struct caller *caller, int fd)
{
        struct file *file = fd_file(fd);
        struct inode *inode = file ? file_inode(file) : NULL;
        struct received_file *received = world_alloc(sizeof *received), **end = &caller->files;

        received->bytes = world_alloc(inode ? (size_t)inode->size + 1 : 1);
        received->len = inode ? (size_t)inode_read(inode, received->bytes, (size_t)inode->size, 0) : 0;
        while (*end)
                end = &(*end)->next;
        *end = received;
}

static ssize_t local_send(struct file *file, const void *bytes, size_t len, const int *fds, size_t fd_count)
{
        struct local *local = file->object;

        if (local->state == LOCAL_MANAGER) {
                machine_notified(bytes, len);
                return (ssize_t)len;
        }
        if (local->state != LOCAL_CONNECTED || local->gone) {
                errno = local->state == LOCAL_CONNECTED ? EPIPE : ENOTCONN;
                return -1;
        }
        if (local->in_flight >= WINDOW) {
                errno = EAGAIN;
                return -1;
        }
        len = len < WINDOW - local->in_flight ? len : WINDOW - local->in_flight;
        for (size_t i = 0; i < fd_count; i++)
                receive_file(local->caller, fds[i]);
        local->in_flight += len;
        carry(local->caller, bytes, len, false);
        return (ssize_t)len;
}

static ssize_t local_read(struct file *file, void *bytes, size_t len)
{
        int passed = -1;

        return local_receive(file, bytes, len, false, &passed);
}

static ssize_t local_write(struct file *file, const void *bytes, size_t len)
{
        return local_send(file, bytes, len, NULL, 0);
}

static unsigned local_ready(struct file *file)
{
        const struct local *local = file->object;

        switch (local->state) {
        case LOCAL_LISTENS:
                return local->waiting_count ? POLLIN : 0;
        case LOCAL_CONNECTED:
                return (local->in || local->in_over ? POLLIN : 0U) |
                       (local->in_flight < WINDOW ? POLLOUT : 0U) | (local->gone ? POLLHUP : 0U);
        case LOCAL_NEW:
        case LOCAL_MANAGER:
                break;
        }
        return POLLOUT;
}

static void drop_in(struct local *local)
{
        while (local->in) {
                struct sent *sent = local->in;
                local->in = sent->next;
                if (sent->file) {
                        sent->file->links = 0;
                        inode_release(sent->file);
                }
                world_free(sent);
        }
}

static void close_end(struct local *local)
{
        struct caller *caller = local->caller;

        caller->local = NULL;
        if (!caller->closed)
                carry(caller, NULL, 0, true);
        caller_drop(caller);
        drop_in(local);
        world_free(local);
}

static void local_close(struct file *file)
{
        struct local *local = file->object;

        if (local->state == LOCAL_CONNECTED) {
                close_end(local);
                return;
        }
        for (size_t i = 0; i < local->waiting_count; i++)
                close_end(local->waiting[i]->local);
        if (me->listener == local)
                me->listener = NULL;
        world_free(local);
}

static int local_shutdown(struct file *file, int how)
{
        struct local *local = file->object;

        if (local->state == LOCAL_CONNECTED && how != SHUT_RD)
                carry(local->caller, NULL, 0, true);
        return 0;
}

static int local_connect_(struct file *file, const void *address, size_t len)
{
        struct local *local = file->object;
        const struct sockaddr_un *to = address;

        (void)len;
        if (strcmp(to->sun_path, "/run/systemd/notify") == 0) {
                local->state = LOCAL_MANAGER;
                return 0;
        }
        int error = 0;
        if (tcp_takes_over(file, to->sun_path, &error)) {
                errno = error;
                return error ? -1 : 0;
        }
        errno = path_find(-100, to->sun_path, true) ? ECONNREFUSED : ENOENT;
        return -1;
}

static int local_bind(struct file *file, const void *address, size_t len)
{
        struct local *local = file->object;
        char *path = world_text("%s", ((const struct sockaddr_un *)address)->sun_path),
             *slash = strrchr(path, '/');

        (void)len;
        if (path_find(-100, path, true)) {
                world_free(path);
                errno = EADDRINUSE;
                return -1;
        }
        *slash = '\0';
        struct inode *folder = path_find(-100, path, true);
        if (folder) {
                local->inode = inode_new(S_IFSOCK | 0666);
                (void)folder_add(folder, slash + 1, local->inode);
                local->state = LOCAL_LISTENS;
                me->listener = local;
        }
        world_free(path);
        return folder ? 0 : -1;
}

static const struct socket_kind local_kind;

static int local_accept(struct file *file)
{
        struct local *local = file->object;

        if (!local->waiting_count) {
                errno = EAGAIN;
                return -1;
        }
        struct caller *caller = local->waiting[0];
        memmove(local->waiting, local->waiting + 1, --local->waiting_count * sizeof local->waiting[0]);
        return fd_new(&local_kind.file, caller->local, 0);
}

static int local_option(struct file *file, int level, int name, void *value, size_t *len)
{
        const struct local *local = file->object;

        if (level == SOL_SOCKET && name == SO_PEERCRED && local->caller && *len >= sizeof(struct ucred)) {
                *(struct ucred *)value =
                        (struct ucred){ .uid = local->caller->uid, .gid = local->caller->uid };
                return 0;
        }
        errno = ENOPROTOOPT;
        return -1;
}

static void local_names(struct file *file, bool peer, void *address, size_t *len)
{
        const struct sockaddr_un none = { .sun_family = AF_UNIX };

        (void)file;
        (void)peer;
        memcpy(address, &none, sizeof none < *len ? sizeof none : *len);
        *len = offsetof(struct sockaddr_un, sun_path);
}

static const struct socket_kind local_kind = {
        .file = { "socket: local", local_read, local_write, local_ready, local_close },
        .connect = local_connect_,
        .bind = local_bind,
        .accept = local_accept,
        .receive = local_receive,
        .send = local_send,
        .shutdown = local_shutdown,
        .option = local_option,
        .names = local_names,
};

int local_new(int type, int flags)
{
        struct local *local = world_alloc(sizeof *local);

        (void)type;
        return fd_new(&local_kind.file, local, flags);
}

/* ---- beginning; the end of a life ---- */

void clients_open(void)
{
        me = world_alloc(sizeof *me);
}

void clients_life_over(void)
{
        me->listener = NULL;
        while (me->clients) {
                me->clients->local = NULL;
                caller_ended(me->clients, true);
        }
}
