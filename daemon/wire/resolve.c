/* SPDX-License-Identifier: MIT */
/* Name lookups on worker threads, shared and cancellable; see resolve.h. */
#include "daemon/wire/resolve.h"

#include "daemon/loop.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

/* Threads are started as names turn out to be slow. A name holds one at most, however often it is asked for, and however
 * long the resolver hangs over it: so many names must hang at once to make others wait. */
enum { LOOKUP_THREADS = 64 };

/* One lookup under way, with everybody who waits for it. The worker touches `job`,
 * `wanted`, `host`, `port`, `ask`, `found` and `cause`; the rest is the loop's. */
struct lookup {
        struct job job;
        char *host;
        uint16_t port;
        resolve_function ask;
        atomic_bool wanted;       /* somebody waits: else a job not begun need not begin */
        bool asked;
        struct addresses found;
        struct cause cause;
        struct question *questions;
        struct lookup *next, **link;
};

struct question {
        void (*done)(void *ctx, const struct addresses *found, const struct cause *why);
        void *ctx;
        struct lookup *lookup;
        struct question *next, **link;
};

static struct workers *pool;      /* made by the first lookup, gone with the loop */
static struct lookup *lookups;
static struct lookup *orphans;    /* hung when their loop ended: their threads may still write there */

/* ---- addresses ---- */

void addresses_interleave(struct addresses *addresses)
{
        struct addresses in = *addresses;
        bool used[LIMIT_ADDRESSES] = { false };

        for (size_t i = 0; i < in.count; i++) {
                size_t pick = in.count, other = in.count;
                for (size_t j = in.count; j-- > 0;) {
                        if (used[j])
                                continue;
                        other = j;
                        if (i == 0 || in.items[j].ss_family != addresses->items[i - 1].ss_family)
                                pick = j;
                }
                if (pick == in.count) /* one family is used up */
                        pick = other;
                used[pick] = true;
                addresses->items[i] = in.items[pick];
        }
}

socklen_t address_length(const struct sockaddr_storage *address)
{
        return address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

void address_text(const struct sockaddr_storage *address, char *out, size_t size)
{
        if (getnameinfo((const struct sockaddr *)address, address_length(address), out, (socklen_t)size,
                        NULL, 0, NI_NUMERICHOST))
                (void)snprintf(out, size, "?");
}

/* ---- asking the system ---- */

static bool has_address(const struct addresses *addresses, const struct addrinfo *one)
{
        for (size_t i = 0; i < addresses->count; i++)
                if (memcmp(&addresses->items[i], one->ai_addr, one->ai_addrlen) == 0)
                        return true;
        return false;
}

/* Each address once, though a hosts file may have it twice: one that does not serve is not tried again. */
static void take_list(const struct addrinfo *list, struct addresses *out)
{
        for (; list && out->count < LIMIT_ADDRESSES; list = list->ai_next)
                if (list->ai_addrlen <= sizeof out->items[0] &&
                    (list->ai_family == AF_INET || list->ai_family == AF_INET6) && !has_address(out, list))
                        memcpy(&out->items[out->count++], list->ai_addr, list->ai_addrlen);
}

static int ask_system(const char *host, uint16_t port, int flags, struct addresses *out)
{
        char service[8];
        struct addrinfo *list = NULL;
        const struct addrinfo hints = {
                .ai_family = AF_UNSPEC,
                .ai_socktype = SOCK_STREAM,
                .ai_flags = flags | AI_NUMERICSERV,
        };

        (void)snprintf(service, sizeof service, "%u", port);
        int error = getaddrinfo(host, service, &hints, &list);
        if (error == 0) {
                take_list(list, out);
                freeaddrinfo(list);
        }
        return error;
}

static void explain(int error, int system_error, const char *host, struct cause *cause)
{
        if (error == EAI_NONAME || error == EAI_NODATA) {
                cause_set(cause, CAUSE_RESOLVE, "the name %s has no address", host);
                cause_remedy(cause, "check the property hostname for a slip of the pen, and the resolver: "
                             "getent ahosts %s", host);
        } else if (error == EAI_AGAIN) {
                cause_set(cause, CAUSE_RESOLVE, "the name %s cannot be looked up: no name server answers",
                          host);
                cause_remedy(cause, "check the network and the resolver: getent ahosts %s", host);
        } else {
                cause_set(cause, CAUSE_RESOLVE, "the name %s cannot be looked up: %s", host,
                          error == EAI_SYSTEM ? strerror(system_error) : gai_strerror(error));
        }
}

static void ask_hook(struct lookup *lookup)
{
        int count = lookup->ask(lookup->host, lookup->port, lookup->found.items, LIMIT_ADDRESSES,
                                &lookup->cause);

        lookup->found.count = count < 0 ? 0 : (size_t)count;
}

static void look_up(struct job *job)
{
        struct lookup *lookup = container_of(job, struct lookup, job);

        if (!atomic_load(&lookup->wanted))
                return;
        lookup->asked = true;
        if (lookup->ask) {
                ask_hook(lookup);
        } else {
                int error = ask_system(lookup->host, lookup->port, 0, &lookup->found);
                if (error)
                        explain(error, errno, lookup->host, &lookup->cause);
        }
        if (lookup->found.count)
                addresses_interleave(&lookup->found);
        else if (lookup->cause.code == CAUSE_NONE)
                explain(EAI_NONAME, 0, lookup->host, &lookup->cause);
}

/* ---- lookups and who waits for them ---- */

static void lookup_link(struct lookup **list, struct lookup *lookup)
{
        lookup->next = *list;
        lookup->link = list;
        if (lookup->next)
                lookup->next->link = &lookup->next;
        *list = lookup;
}

static void lookup_unlink(struct lookup *lookup)
{
        *lookup->link = lookup->next;
        if (lookup->next)
                lookup->next->link = lookup->link;
}

static void unlink_question(struct question *question)
{
        *question->link = question->next;
        if (question->next)
                question->next->link = question->link;
}

/* Whoever asks from inside `done` begins a new lookup: this one is over. */
static void answer(struct lookup *lookup)
{
        lookup_unlink(lookup);
        while (lookup->questions) {
                struct question *question = lookup->questions;
                unlink_question(question);
                question->done(question->ctx, &lookup->found, &lookup->cause);
                free(question);
        }
        free(lookup->host);
        free(lookup);
}

static void looked_up(struct job *job)
{
        struct lookup *lookup = container_of(job, struct lookup, job);

        /* Nobody wanted it when its turn came, but somebody does now: once more. Not at
         * the end of the loop, where the pool has gone. */
        if (!lookup->asked && lookup->questions && pool) {
                workers_run(pool, job);
                return;
        }
        if (!lookup->asked && lookup->questions)
                cause_set(&lookup->cause, CAUSE_CANCELLED, "the daemon is ending");
        answer(lookup);
}

static void numeric_answer(void *ctx)
{
        answer(ctx);
}

static void forget_pool(unused_arg void *ctx)
{
        workers_abandon(take(pool));
        while (lookups) {
                struct lookup *lookup = lookups;
                lookup_unlink(lookup);
                lookup_link(&orphans, lookup);
        }
}

static struct lookup *lookup_new(const char *host, uint16_t port)
{
        struct lookup *lookup = new_object(struct lookup);

        lookup->host = copy_text(host);
        lookup->port = port;
        atomic_init(&lookup->wanted, true);
        lookup_link(&lookups, lookup);
        return lookup;
}

static resolve_function hook;

void connection_use_resolver(resolve_function function)
{
        hook = function;
}

static struct lookup *lookup_start(const char *host, uint16_t port)
{
        struct lookup *lookup = lookup_new(host, port);

        if (ask_system(host, port, AI_NUMERICHOST, &lookup->found) == 0) {
                loop_later(numeric_answer, lookup); /* a literal: nothing to wait for */
                return lookup;
        }
        lookup->found.count = 0;
        lookup->ask = hook;
        lookup->job.work = look_up;
        lookup->job.done = looked_up;
        if (!pool) {
                pool = workers_new("lookup", LOOKUP_THREADS);
                loop_on_close(forget_pool, NULL);
        }
        workers_run(pool, &lookup->job);
        return lookup;
}

struct question *resolve(const char *host, uint16_t port,
                         void (*done)(void *ctx, const struct addresses *found, const struct cause *why),
                         void *ctx)
{
        struct question *question = new_object(struct question);
        struct lookup *lookup = lookups;

        while (lookup && !(lookup->port == port && same_text(lookup->host, host)))
                lookup = lookup->next;
        if (!lookup)
                lookup = lookup_start(host, port);
        atomic_store(&lookup->wanted, true);
        question->done = done;
        question->ctx = ctx;
        question->lookup = lookup;
        question->next = lookup->questions;
        question->link = &lookup->questions;
        if (question->next)
                question->next->link = &question->next;
        lookup->questions = question;
        return question;
}

void resolve_cancel(struct question *question)
{
        if (!question)
                return;
        unlink_question(question);
        if (!question->lookup->questions)
                atomic_store(&question->lookup->wanted, false);
        free(question);
}
