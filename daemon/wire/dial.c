/* SPDX-License-Identifier: MIT */
/* Which addresses come first, and Happy Eyeballs over them; see dial.h. */
#include "daemon/wire/dial.h"

#include "common/buf.h"
#include "daemon/loop.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

/* ---- trouble: a small ring, by address and port; the oldest entry gives way ---- */

enum { ENTRIES = 128, KEPT_MS = 10 * 60 * 1000 };

static struct trouble_row {
        struct sockaddr_storage address;
        int64_t since, until; /* loop_now(); until 0: free */
} entries[ENTRIES];
static size_t next;

static bool stands(const struct trouble_row *entry)
{
        int64_t now = loop_now();

        return entry->until > now && entry->since <= now;
}

static struct trouble_row *entry_of(const struct sockaddr_storage *address)
{
        for (size_t i = 0; i < ENTRIES; i++)
                if (stands(&entries[i]) && memcmp(&entries[i].address, address, address_length(address)) == 0)
                        return &entries[i];
        return NULL;
}

void trouble_note(const struct sockaddr_storage *address)
{
        struct trouble_row *entry = entry_of(address);

        if (!entry) {
                entry = &entries[next];
                next = (next + 1) % ENTRIES;
        }
        *entry = (struct trouble_row){ .address = *address,
                                       .since = loop_now(),
                                       .until = loop_now() + KEPT_MS };
}

void trouble_forget(const struct sockaddr_storage *address)
{
        struct trouble_row *entry = entry_of(address);

        if (entry)
                entry->until = 0;
}

void trouble_last(struct addresses *addresses)
{
        struct addresses in = *addresses;
        size_t count = 0;

        for (int troubled = 0; troubled <= 1; troubled++)
                for (size_t i = 0; i < in.count; i++)
                        if ((entry_of(&in.items[i]) != NULL) == troubled)
                                addresses->items[count++] = in.items[i];
}

/* ---- attempts, as RFC 8305 says ---- */

enum {
        ATTEMPT_DELAY = 250,  /* ms; RFC 8305 section 5 */
        KEEPALIVE_IDLE = 120, /* s of silence before the first probe */
        KEEPALIVE_EVERY = 20, /* s between probes */
        KEEPALIVE_PROBES = 4, /* unanswered: the peer is dead */
        UNACKED = 120 * 1000, /* ms that bytes sent may stay unacknowledged */
        REASONS_MAX = 4096,
        ADDRESS_TEXT = 80,
};

struct attempt {
        struct dial *dial;
        struct sockaddr_storage address;
        int fd;    /* -1: not begun, or over */
        int error; /* why it failed */
        struct watch *watch;
};

struct dial {
        void (*done)(void *ctx, int fd, const struct sockaddr_storage *peer);
        void *ctx;
        struct timer *next_try;
        size_t count, begun, under_way;
        struct attempt attempts[];
};

static int set_option(int fd, int level, int name, int value)
{
        return setsockopt(fd, level, name, &value, sizeof value);
}

static int open_socket(int family)
{
        int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        if (fd < 0)
                return -1;
        /* None of these is needed to work, so none may stop it. A line is sent in one
         * piece: Nagle would only wait for the peer's delayed ACK. */
        (void)set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
        (void)set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
        (void)set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE);
        (void)set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_EVERY);
        (void)set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES);
        (void)set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, UNACKED);
        return fd;
}

static void end_attempt(struct attempt *attempt, int error)
{
        attempt->error = error;
        watch_free(take(attempt->watch));
        close_fd(&attempt->fd);
        attempt->dial->under_way--;
}

/* The winner's socket goes to the owner, who ends the others by dial_free. A loser
 * lets the next one try at once. */
static void on_connected(void *ctx, unused_arg int what)
{
        struct attempt *attempt = ctx;
        struct dial *dial = attempt->dial;
        int error = 0;
        socklen_t len = sizeof error;

        if (getsockopt(attempt->fd, SOL_SOCKET, SO_ERROR, &error, &len))
                error = errno;
        if (error) {
                end_attempt(attempt, error);
                timer_set(dial->next_try, 0);
                return;
        }
        int fd = attempt->fd;
        attempt->fd = -1;
        watch_free(take(attempt->watch));
        timer_stop(dial->next_try);
        dial->done(dial->ctx, fd, &attempt->address); /* may free the dial */
}

/* False when it has failed already. Even a connect() that is done at once is told of
 * by the loop: nobody is called back from inside dial_start. */
static bool begin(struct attempt *attempt)
{
        const struct sockaddr *address = (const struct sockaddr *)&attempt->address;

        attempt->dial->begun++;
        attempt->dial->under_way++;
        attempt->fd = open_socket(attempt->address.ss_family);
        if (attempt->fd < 0 ||
            (connect(attempt->fd, address, address_length(&attempt->address)) && errno != EINPROGRESS)) {
                end_attempt(attempt, errno);
                return false;
        }
        attempt->watch = watch_new(attempt->fd, on_connected, attempt);
        watch_for(attempt->watch, WATCH_WRITE);
        return true;
}

static void try_next(void *ctx)
{
        struct dial *dial = ctx;

        while (dial->begun < dial->count) {
                if (begin(&dial->attempts[dial->begun])) {
                        timer_set(dial->next_try, ATTEMPT_DELAY);
                        return;
                }
        }
        if (dial->under_way == 0)
                dial->done(dial->ctx, -1, NULL); /* may free the dial */
}

struct dial *dial_start(const struct addresses *addresses,
                        void (*done)(void *ctx, int fd, const struct sockaddr_storage *peer), void *ctx)
{
        struct dial *dial = new_zeroed(1, sizeof *dial + addresses->count * sizeof dial->attempts[0]);

        dial->done = done;
        dial->ctx = ctx;
        dial->count = addresses->count;
        for (size_t i = 0; i < dial->count; i++)
                dial->attempts[i] = (struct attempt){
                        .dial = dial,
                        .address = addresses->items[i],
                        .fd = -1,
                };
        dial->next_try = timer_new(try_next, dial);
        timer_set(dial->next_try, 0);
        return dial;
}

void dial_free(struct dial *dial)
{
        if (!dial)
                return;
        for (size_t i = 0; i < dial->begun; i++) {
                watch_free(dial->attempts[i].watch);
                close_fd(&dial->attempts[i].fd);
        }
        timer_free(dial->next_try);
        free(dial);
}

char *dial_reasons(const struct dial *dial)
{
        struct buf out = BUF_WITH_MAX(REASONS_MAX);

        for (size_t i = 0; i < dial->begun; i++) {
                const struct attempt *attempt = &dial->attempts[i];
                char address[ADDRESS_TEXT];
                address_text(&attempt->address, address, sizeof address);
                if (buf_appendf(&out, "%s%s: %s", i ? "; " : "", address,
                                attempt->error ? strerror(attempt->error) : "no answer"))
                        break; /* enough has been said */
        }
        return buf_take_text(&out);
}

size_t dial_count(const struct dial *dial)
{
        return dial->count;
}

void dial_others(const struct dial *dial, const struct sockaddr_storage *peer, struct addresses *out)
{
        out->count = 0;
        for (size_t i = 0; i < dial->count; i++)
                if (&dial->attempts[i].address != peer && !dial->attempts[i].error)
                        out->items[out->count++] = dial->attempts[i].address;
}

bool dial_was_refused(const struct dial *dial)
{
        for (size_t i = 0; i < dial->begun; i++)
                if (dial->attempts[i].error == ECONNREFUSED)
                        return true;
        return false;
}
