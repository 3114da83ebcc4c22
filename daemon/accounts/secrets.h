/* SPDX-License-Identifier: MIT */
/*
 * Passwords and other secrets of the accounts: stored in secrets/NAME (mode 0600) or named as a systemd
 * credential. They go to a sign-in and nowhere else.
 */
#pragma once

#include "common/properties.h"

/* By their names in property_secrets. */
bool secret_kind_valid(const char *kind);

/* Reads the file of an account of this identity (start, reload). What it holds for another one is removed.
 * Blocks shortly. */
void secrets_load(const char *account, const char *id);
/* An account that was just added has none. */
void secrets_new(const char *account, const char *id);
/* Reads credentials again. */
void secrets_reload(void);
/* Reads files again that could not be read; `healed` is called for each account whose file now can. How many
 * still cannot. */
size_t secrets_try_again(void (*healed)(const char *account));
/* Wipes everything from memory. */
void secrets_close(void);

/* The secret's text, for a sign-in; valid until the next change. NULL with a cause: none stored, or a file or
 * credential that cannot be read. */
const char *secret_get(const char *account, const char *kind, struct cause *cause);
/* Makes the remedy one for this account: as cause_for_account(), and where the account's password is a
 * credential, that is what is to be corrected. */
void cause_of_account(struct cause *cause, const char *account);
/* It needs a password or a refresh token, and none was given yet. */
bool secret_is_missing(const struct property_values *values) must_use;
/* "none", "stored" or "credential:ID"; the caller frees. */
char *secret_source(const char *account, const char *kind) must_use;

/* Sets one (value, or the ID of a credential, or clears when both are NULL): on disk and in use when `done`
 * comes without a cause; else all is as before. Several take effect in the order they were asked. */
void secret_set(const char *account, const char *kind, const char *value, const char *credential,
                void (*done)(void *ctx, const struct cause *cause), void *ctx);
/* Wipes those of a deleted account from memory; its file is the caller's. */
void secrets_forget(const char *account);
/* secrets/NAME; the caller frees. */
char *secrets_file_path(const char *account) must_use;
