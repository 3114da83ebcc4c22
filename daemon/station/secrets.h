/* SPDX-License-Identifier: MIT */
/*
 * Passwords and other secrets of the accounts: stored in secrets/NAME (mode 0600) or named as a systemd
 * credential. They go to a sign-in and nowhere else.
 */
#pragma once

#include "common/cause.h"

/* The secret kinds: "password", "oauthClientSecret", "oauthRefreshToken". */
bool secret_kind_valid(const char *kind);

/* Reads the file of an account (start, or when it was added). Blocks shortly. */
void secrets_load(const char *account);
/* Reads credentials again. */
void secrets_reload(void);
/* Wipes everything from memory. */
void secrets_close(void);

/* The secret's text, for a sign-in; valid until the next change. NULL with a cause: none stored, or a file or
 * credential that cannot be read. */
const char *secret_get(const char *account, const char *kind, struct cause *cause);
/* "none", "stored" or "credential:ID"; the caller frees. */
char *secret_source(const char *account, const char *kind) must_use;

/* Sets one (value, or the ID of a credential, or clears when both are NULL); on disk before `done`. */
void secret_set(const char *account, const char *kind, const char *value, const char *credential,
                void (*done)(void *ctx, const struct cause *cause), void *ctx);
/* All secrets of a deleted account. */
void secrets_forget(const char *account);
