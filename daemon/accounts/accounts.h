/* SPDX-License-Identifier: MIT */
/*
 * The set of accounts: loaded from accounts/NAME.json, changed whole or not at all, on disk before it is
 * answered. Changes of one account take effect in the order they were asked.
 */
#pragma once

#include "common/limits.h"
#include "daemon/accounts/account.h"

/* Reads the files; one that cannot be read is an account in fault, never a missing one. May block. */
int accounts_open(struct cause *cause) must_use;
void accounts_close(void);
/* On reload: accounts whose file could not be read are tried again. May block shortly. */
void accounts_read_again(void);
/* The same for those whose file can be read by now; how many there are whose file cannot. */
size_t accounts_try_again(void);

struct account *accounts_first(void);          /* in order of name, by ->next */
struct account *accounts_first_outgoing(void); /* NULL: there is none */
/* The first one whose name is behind this one; NULL: none is. */
struct account *accounts_after(const char *name);
/* A walk over all of them that takes several turns of the loop, in which some may come and go: by the name of
 * the one looked at last. Zero bytes: at the beginning. */
struct accounts_walk {
        char at[LIMIT_ACCOUNT_NAME + 1];
};
/* The one to go on with; NULL: there are no more. By ->next from there; the last one that was done is told.
 */
struct account *accounts_walk_on(const struct accounts_walk *walk);
void accounts_walk_did(struct accounts_walk *walk, const struct account *account);
struct account *account_named(const char *name);
size_t accounts_count(void);
/* The account for submissions without one: DefaultAccount, else the only outgoing one. NULL with a cause. */
struct account *accounts_default(struct cause *cause);
/* There are outgoing accounts and none of them is the default: what that means, and what to do. NULL: that is
 * not so. The caller frees. */
char *accounts_default_missing(void) must_use;

/* What a change came to. */
struct account_changed {
        const json_t *differences; /* added, set: of properties_differences(); borrowed */
        uint64_t messages, unsent; /* deleted: of the queue, that went with it */
};
typedef void (*account_done)(void *ctx, struct account *account, const struct account_changed *what,
                             const struct causes *problems);

/* `done` exactly once: problems->count 0, the account and what changed, or the problems and nothing has
 * changed. Who asked, and the journal's line about it, are the caller's; events are told here. */
void accounts_add(const char *name, const char *kind, const json_t *properties, account_done done, void *ctx);
void accounts_set(const char *name, const json_t *properties, account_done done, void *ctx);
void accounts_delete(const char *name, bool force, account_done done, void *ctx);

struct apply_user {
        /* This account was added, or is another one now; `differences` of properties_differences(), borrowed.
         * Some of them in a turn of the loop. Not in a dry run. */
        void (*changed)(void *ctx, const char *name, bool is_new, const json_t *differences);
        /* Once: [{account, change: "add"|"set"|"none", properties, differences, text}], borrowed, which may
         * be taken apart; or the problems, and nothing has changed. */
        void (*done)(void *ctx, json_t *changes, const struct causes *problems);
};
/* What `apply` would do or does: makes the station match these account objects ({name, kind, properties}, or
 * flat property objects), which are taken out of the array on the way. Thousands take several turns of the
 * loop. */
void accounts_apply(json_t *accounts, bool dry_run, const struct apply_user *user, void *ctx);
