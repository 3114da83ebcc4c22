/* SPDX-License-Identifier: MIT */
/*
 * The names of local users, for the record of who did something. The system's directory may be a server that
 * does not answer: nobody is kept waiting for a name longer than a moment, and what a user may do never
 * depends on it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct username;

/* Looks the user's name up. `told` is called once from the loop: with the name, or with NULL where there is
 * none or the directory is slow; the lookup is over then. NULL: none is begun, since every thread hangs. */
struct username *username_look_up(uid_t uid, void (*told)(void *ctx, const char *name), void *ctx);
/* The same with the groups that the user is in. */
struct username *username_and_groups(uid_t uid, void (*told)(void *ctx, const char *name), void *ctx);
/* Those, the primary one first; how many. From inside `told` with a name only. */
size_t username_groups(const struct username *username, const gid_t **out);
/* True where the system told within the last second: *name, or NULL where there is none; until the next call
 * from here. */
bool username_recent(uid_t uid, const char **name);
/* Nobody waits for it any more; not after `told`. NULL is fine. */
void username_cancel(struct username *username);
/* Lookups that hang are left behind (the daemon ends). */
void usernames_close(void);

/* True when a record ("alice (uid 1000)", "uid 1000") is of this user: the name may have been told or not. */
bool username_is_of(const char *record, uid_t uid);
