/* SPDX-License-Identifier: MIT */
/*
 * Names to addresses through the system's own resolver (getaddrinfo, so nsswitch,
 * /etc/hosts and resolved rule), on worker threads; in the order in which RFC 8305
 * tries them. For wire/ alone.
 *
 * Questions for the same host that are asked while one is under way share its answer: a
 * name whose servers do not answer holds one thread, however many accounts, ports and
 * retries ask for it, and makes nobody else wait for longer than a few seconds.
 */
#pragma once

#include "common/cause.h"
#include "common/limits.h"
#include "daemon/wire/connection.h"

struct addresses {
        struct sockaddr_storage items[LIMIT_ADDRESSES];
        size_t count;
};

struct question;

/* Asks; never answers before it returns. `done` is called once, on the loop, with
 * the addresses (valid during the call), or with none and the cause. */
struct question *resolve(const char *host, uint16_t port,
                         void (*done)(void *ctx, const struct addresses *found, const struct cause *why),
                         void *ctx) must_use;
/* No `done` any more; needed only before it was called. NULL is fine. */
void resolve_cancel(struct question *question);

/* RFC 8305 section 4: the families take turns, beginning with the first address's;
 * within a family the order stays. */
void addresses_interleave(struct addresses *addresses);
/* The numeric address, with the scope of a link-local one; `out` is never empty. */
void address_text(const struct sockaddr_storage *address, char *out, size_t size);
socklen_t address_length(const struct sockaddr_storage *address);
