/* SPDX-License-Identifier: MIT */
/*
 * Whose the rows are. Queue, received mail, cursors and facts are kept by the name of an account; which
 * account that is, its identity (a random word, given when it is added) says. This table binds a name to one
 * identity at a time: what is written for an account is refused once its name is bound to another, or to
 * none, and a name gets a new identity in the very transaction that finds nothing under it. So an account
 * added anew inherits nothing, and what was under way for the old one cannot reach it, wherever the daemon is
 * killed.
 *
 * An account is deleted by one commit, owner_going(): from then on it is one that goes, after a start too,
 * and the rest is clearing up. Accounts of before there were identities have the empty one.
 */
#pragma once

#include "common/cause.h"
#include "common/limits.h"

#include <assert.h>

#define OWNER_ID_SIZE 33

/* Kept in the database, so the numbers never change. */
enum owner_state {
        OWNER_COMING = 0, /* bound, and its file is not yet there for certain */
        OWNER_THERE = 1,
        OWNER_GOING = 2, /* deleted: nothing is written for it any more */
};
static_assert(OWNER_COMING == 0 && OWNER_THERE == 1 && OWNER_GOING == 2, "states of owners are on disk");

/* ---- loop ---- */

/* A fresh identity. */
void owner_id_new(char id[OWNER_ID_SIZE]);
/* The identity that the name is bound to; NULL: none. */
const char *owner_id(const char *name);
bool owner_is_going(const char *name);
bool owner_is_there(const char *name);
/* Calls for each name that is bound, in no order. Nothing may be bound or let go meanwhile. */
void owners_each(void (*each)(void *ctx, const char *name, enum owner_state state), void *ctx);

/* Binds a name that has no identity, or tells where its account stands. Holds at once for what is asked after
 * it; tried until the disk takes it. */
void owner_bind(const char *name, const char *id, enum owner_state state);
/* The commit that deletes an account. On a cause all is as before. */
void owner_going(const char *name, void (*done)(void *ctx, const struct cause *cause), void *ctx);

/* What was found under a name and removed. */
struct owner_rows {
        uint64_t messages, unsent; /* of the queue */
        uint64_t received;
};
/* Removes everything under the name, in steps, and in the last of them binds it to `id`, as OWNER_COMING;
 * NULL: to none. `stubborn`: tried until the disk takes it, so that it fails only when the store closes. */
void owner_renew(const char *name, const char *id, bool stubborn,
                 void (*done)(void *ctx, const struct owner_rows *rows, const struct cause *cause),
                 void *ctx);

/* The same for a name that goes. `unseen`, ahead of `done`, where there is much: nothing is left that anybody
 * could see, and records of received mail are still being removed. */
void owner_remove(const char *name, void (*unseen)(void *ctx, const struct owner_rows *rows),
                  void (*done)(void *ctx, const struct owner_rows *rows, const struct cause *cause),
                  void *ctx);

/* Whether that is under way. */
bool owner_is_renewed(const char *name);

/* The name as it stands in file names: with the identity, where there is one. The caller frees. */
char *owner_key(const char *name) must_use;
