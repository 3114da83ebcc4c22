/* SPDX-License-Identifier: MIT */
/*
 * One connection of the control socket and the calls that come over it, one at a time in order. A handler
 * gets a struct call and ends it exactly once by call_reply or call_fail*, now or later; a client that goes
 * away meanwhile has the call's work cancelled. That never happens within a function from here: a client that
 * is dropped while it is told something ends on the loop's next turn. What a client does not read is bounded.
 * One that has only ended its own side of the connection gets its answers.
 */
#pragma once

#include "common/json_fields.h"
#include "daemon/control/permit.h"

struct client;
struct call;
struct share;
struct parameters;

/* Takes the socket over and lives until the peer goes. */
void client_new(int fd, const struct peer *peer);
/* Ends the connection that has said nothing for the longest time, of those that have said nothing for a
 * minute, wait for nothing and are not of the people in charge; of one user, or (NULL) of all. False when
 * there is none. */
bool clients_end_idle(const struct share *of);
/* Ends every connection at once (the daemon ends). */
void clients_close(void);
/* Stops reading new calls; those under way are answered. */
void clients_wind_down(void);

/* Who asks; also when the client has gone. */
const struct peer *call_peer(const struct call *call);
/* "alice (uid 1000)", "uid 1000" where the name is not told in time: for the record of who did something. Who
 * is the same is told by the uid. */
const char *call_who(const struct call *call);
/* What the call says, checked; lives as long as the call. */
const struct parameters *call_parameters(const struct call *call);
bool call_wants_more(const struct call *call);
/* True when nobody waits for an answer. */
bool call_is_oneway(const struct call *call);
/* Descriptor `index` of those sent along; the caller closes. -1: none. */
int call_take_fd(struct call *call, size_t index);

/* What to do when the client goes away before the end; only for calls that wait. */
void call_on_cancel(struct call *call, void (*cancel)(void *work), void *work);

/* The end. Parameters are taken over (NULL = {}). */
void call_reply(struct call *call, json_t *parameters);
/* The end, with a descriptor (taken over) beside. */
void call_reply_fd(struct call *call, json_t *parameters, int fd);
/* One of several replies of a `more` call. */
void call_reply_part(struct call *call, json_t *parameters);
void call_fail(struct call *call, const struct cause *cause);
/* As call_fail for the problems of a request: InvalidProperty, or the only problem's own error. */
void call_fail_problems(struct call *call, const struct causes *problems);
/* org.varlink.service errors: "InvalidParameter" with the parameter's name, and the like. */
void call_fail_varlink(struct call *call, const char *error, const char *field, const char *value);

/* Reads what the call's method takes, for call_parameters(); false after the call was ended with what is
 * wrong. */
bool call_read(struct call *call);
