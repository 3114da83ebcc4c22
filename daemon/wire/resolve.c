/* SPDX-License-Identifier: MIT */
/* Name lookups on worker threads, shared and cancellable; see resolve.h. */
#include "daemon/wire/resolve.h"

#include "common/hash.h"
#include "daemon/loop.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>

/* ---- addresses that a lookup has found: their order and their words ---- */

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
        if (getnameinfo((const struct sockaddr *)address, address_length(address), out, (socklen_t)size, NULL,
                        0, NI_NUMERICHOST))
                (void)snprintf(out, size, "?");
}

/* ---- looking up ---- */

/* A name holds one thread at most, however often it is asked for and for whichever port, and however long the
 * resolver hangs over it. One that hangs gives its place up to others and keeps its thread, of which there
 * are more than places; the last of them are for names that have had an answer before. */
enum {
        LOOKUP_PLACES = 64,
        LOOKUP_THREADS = 256,
        LOOKUP_RESERVE = 64,
        LOOKUP_HANGS_MS = 5000,
        LOOKUP_LOOK_MS = 1000, /* how often it is seen which have come to hang, while others wait */
        ANSWERED = 512         /* names that are remembered */
};

enum lookup_state { LOOKUP_WAITS, LOOKUP_RUNS, LOOKUP_KNOWN /* a literal: there is nothing to ask */ };

/* One lookup, with everybody who waits for it. The worker touches `job`, `host`, `port`, `ask`, `found` and
 * `cause`; the rest is the loop's. */
struct lookup {
        struct job job;
        enum lookup_state state;
        int64_t began;
        char *host;
        uint16_t port; /* of the first question */
        resolve_function ask;
        struct addresses found;
        struct cause cause;
        struct question *questions;
        struct lookup *next, **link;
};

struct question {
        void (*done)(void *ctx, const struct addresses *found, const struct cause *why);
        void *ctx;
        uint16_t port;
        struct lookup *lookup;
        struct question *next, **link;
};

static struct workers *pool;   /* made by the first lookup, gone with the loop */
static struct lookup *lookups; /* the last one first */
static struct timer *look_again;
static uint64_t answered_names[ANSWERED];
static struct lookup *over;    /* are being answered */
static struct lookup *orphans; /* hung when their loop ended: their threads may still write there */

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
                cause_remedy(cause,
                             "check the property hostname for a slip of the pen, and the resolver: "
                             "getent ahosts %s",
                             host);
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
        int count =
                lookup->ask(lookup->host, lookup->port, lookup->found.items, LIMIT_ADDRESSES, &lookup->cause);

        lookup->found.count = count < 0 ? 0 : (size_t)count;
}

static void look_up(struct job *job)
{
        struct lookup *lookup = container_of(job, struct lookup, job);

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

static void free_lookup(struct lookup *lookup)
{
        lookup_unlink(lookup);
        free(lookup->host);
        free(lookup);
}

static void set_port(struct addresses *addresses, uint16_t port)
{
        for (size_t i = 0; i < addresses->count; i++) {
                struct sockaddr_storage *one = &addresses->items[i];
                if (one->ss_family == AF_INET6)
                        ((struct sockaddr_in6 *)one)->sin6_port = htons(port);
                else
                        ((struct sockaddr_in *)one)->sin_port = htons(port);
        }
}

/* Whoever asks from inside `done` begins a new lookup: this one is over. */
static void answer(struct lookup *lookup)
{
        lookup_unlink(lookup);
        lookup_link(&over, lookup);
        while (lookup->questions) {
                struct question *question = lookup->questions;
                unlink_question(question);
                if (!lookup->ask)
                        set_port(&lookup->found, question->port);
                question->done(question->ctx, &lookup->found, &lookup->cause);
                free(question);
        }
        free_lookup(lookup);
}

/* ---- places ---- */

static uint64_t *answered_name(const char *host)
{
        return &answered_names[hash_bytes(host, strlen(host)) % ANSWERED];
}

static bool has_answered(const char *host)
{
        return *answered_name(host) == hash_bytes(host, strlen(host));
}

static void look_up_waiting(void *ctx); /* begins one that looked_up() ends, which lets others begin */

static void looked_up(struct job *job)
{
        struct lookup *lookup = container_of(job, struct lookup, job);

        if (!lookup->found.count && !cause_happened(&lookup->cause)) /* not begun */
                cause_set(&lookup->cause, CAUSE_CANCELLED, "the daemon is ending");
        if (lookup->found.count)
                *answered_name(lookup->host) = hash_bytes(lookup->host, strlen(lookup->host));
        answer(lookup);
        if (pool)
                look_up_waiting(NULL);
}

static void begin(struct lookup *lookup)
{
        lookup->state = LOOKUP_RUNS;
        lookup->began = loop_now();
        lookup->job.work = look_up;
        lookup->job.done = looked_up;
        workers_run(pool, &lookup->job);
}

/* The one that has waited longest of those that may begin; NULL: none may. *waits: one does. */
static struct lookup *next_to_begin(bool *waits)
{
        size_t young = 0, running = 0;
        struct lookup *next = NULL;

        *waits = false;
        for (const struct lookup *one = lookups; one; one = one->next) {
                running += one->state == LOOKUP_RUNS;
                young += one->state == LOOKUP_RUNS && loop_now() - one->began < LOOKUP_HANGS_MS;
        }
        for (struct lookup *one = lookups; one; one = one->next) {
                size_t threads = has_answered(one->host) ? LOOKUP_THREADS : LOOKUP_THREADS - LOOKUP_RESERVE;
                *waits |= one->state == LOOKUP_WAITS;
                if (one->state == LOOKUP_WAITS && young < LOOKUP_PLACES && running < threads)
                        next = one;
        }
        return next;
}

static void look_up_waiting(unused_arg void *ctx)
{
        struct lookup *next;
        bool waits;

        while ((next = next_to_begin(&waits)))
                begin(next);
        if (waits && !timer_is_set(look_again))
                timer_set(look_again, LOOKUP_LOOK_MS);
}

static void literal_answer(void *ctx)
{
        answer(ctx);
}

static void end_waiting(struct lookup *lookup)
{
        cause_set(&lookup->cause, CAUSE_CANCELLED, "the daemon is ending");
        answer(lookup);
}

static void forget_pool(unused_arg void *ctx)
{
        timer_free(take(look_again));
        workers_abandon(take(pool));
        for (struct lookup *one = lookups, *next; one; one = next) {
                next = one->next;
                if (one->state == LOOKUP_WAITS) {
                        end_waiting(one);
                        next = lookups; /* who was told may have cancelled others */
                }
        }
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
                lookup->state = LOOKUP_KNOWN;
                loop_later(literal_answer, lookup);
                return lookup;
        }
        lookup->found.count = 0;
        lookup->ask = hook;
        if (!pool) {
                pool = workers_new("lookup", LOOKUP_THREADS);
                look_again = timer_new(look_up_waiting, NULL);
                loop_on_close(forget_pool, NULL);
        }
        look_up_waiting(NULL);
        return lookup;
}

struct question *resolve(const char *host, uint16_t port,
                         void (*done)(void *ctx, const struct addresses *found, const struct cause *why),
                         void *ctx)
{
        struct question *question = new_object(struct question);
        struct lookup *lookup = lookups;

        /* what stands in for the resolver may answer by port */
        while (lookup && !(same_text(lookup->host, host) && (!lookup->ask || lookup->port == port)))
                lookup = lookup->next;
        if (!lookup)
                lookup = lookup_start(host, port);
        question->done = done;
        question->ctx = ctx;
        question->port = port;
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
        if (!question->lookup->questions && question->lookup->state == LOOKUP_WAITS)
                free_lookup(question->lookup);
        free(question);
}
