/* SPDX-License-Identifier: MIT */
/*
 * One call over the control socket. A handler gets a struct call and ends it exactly once by call_reply or
 * call_fail*, now or later; a client that goes away meanwhile has the call's work cancelled. That never
 * happens within a function from here: a client that is dropped while it is told something ends on the loop's
 * next turn.
 */
#pragma once

#include "common/json_fields.h"
#include "daemon/control/permit.h"
#include "daemon/service/audit_trail.h"

struct call;
struct parameters;

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

/* ---- its part in the audit trail (service/audit_trail.h) ---- */

/* Every method that changes something is METHOD_CHANGES in the table, and its handler says what it changed by
 * one of these before it answers. A call of such a method that is answered with success without is recorded
 * all the same, by its method's name: what a handler forgets costs words, never the record. */
void audit(struct call *call, const struct trail *trail);
/* It changed nothing (nothing was there to delete, a value was what it is): nothing is recorded. */
void audit_nothing(struct call *call);

/* Who is at it, for who records later. */
const struct actor *call_doer(const struct call *call);
/* "root (uid 0), logged in as alice (uid 1000)": for records that show who, and are not compared. */
const char *call_actor(const struct call *call);

/* ---- a reply that is too long for one turn of the loop ---- */

/* Such as a list of ten thousand accounts: written in pieces, for some milliseconds of a turn, and no further
 * ahead than the client reads. What others do in the meantime is done between two pieces. */
struct long_reply_user {
        /* Writes the next piece of the parameters, an object's JSON text; false: it was the last one. */
        bool (*next)(void *work, struct json_writer *out);
        /* Frees it: all was written, or the client has gone. */
        void (*end)(void *work);
};

/* The end of the call, as call_reply(). `work` is the user's from here on; `user` is borrowed for good. */
void call_reply_long(struct call *call, const struct long_reply_user *user, void *work);
