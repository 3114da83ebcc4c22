/* SPDX-License-Identifier: MIT */
/* From the addresses of a host to one connected socket. For wire/ alone. */
#pragma once

#include "daemon/wire/resolve.h"

/*
 * Addresses that took a connection and then did not serve: remembered for some minutes, so that the other
 * addresses of their host are tried before them (RFC 5321 section 5.1 has a client go on to the next).
 */
void trouble_note(const struct sockaddr_storage *address);
void trouble_forget(const struct sockaddr_storage *address);
/* Puts those of which trouble is known behind the others; else the order stays. */
void trouble_last(struct addresses *addresses);

/*
 * As RFC 8305 (Happy Eyeballs) says: a new attempt every 250 ms or as soon as one has failed, the first to
 * connect wins. The time for all of it is the caller's.
 */
struct dial;

/* Starts; never calls back before it returns. `done` comes once: with the socket
 * (non-blocking, the callee's) and the peer (the dial's), or -1 when every address has failed.
 * dial_free may be called in it and must be called some time. */
struct dial *dial_start(const struct addresses *addresses,
                        void (*done)(void *ctx, int fd, const struct sockaddr_storage *peer), void *ctx)
        must_use;
/* Ends all attempts. NULL is fine. */
void dial_free(struct dial *dial);

/* "192.0.2.1: Connection refused; 2001:db8::1: no answer" of the attempts begun; the
 * caller frees. */
char *dial_reasons(const struct dial *dial) must_use;
/* How many addresses there are in all. */
size_t dial_count(const struct dial *dial);
/* Those that are left when `peer`, as given to `done`, turns out not to serve: begun and not failed, or not
 * begun. */
void dial_others(const struct dial *dial, const struct sockaddr_storage *peer, struct addresses *out);
/* True when a server's machine said that nobody listens on the port. */
bool dial_was_refused(const struct dial *dial);
