/* SPDX-License-Identifier: MIT */
/*
 * OAuth access tokens of the accounts that sign in by oauthbearer or xoauth2 with an oauthProvider: fetched
 * before a session needs one, kept in memory until shortly before their end, shared by all sessions of the
 * account. A refresh token that the provider replaces is on disk before the access token is used; an error
 * never deletes one.
 */
#pragma once

#include "common/properties.h"

/* True when one must be fetched before a session can begin. */
bool token_due(const struct property_values *values);
/* The access token, valid until the next turn of the loop; NULL: there is none. */
const char *token_access(const char *account);

struct token_wait;
typedef void token_came(void *ctx, const struct cause *cause, const char *challenge_id);
/* Fetches one, or joins those who wait for it already. `record` as in token_exchange_begin(). Never calls
 * back before it returns; CAUSE_NONE: it is there. */
struct token_wait *token_await(const struct property_values *values, bool record, token_came *done, void *ctx)
        must_use;
/* No call any more. NULL is fine. */
void token_wait_cancel(struct token_wait *wait);

/* The mail server took it. */
void token_proved(const char *account);
/* The mail server refused it. True when it had been taken before: it was withdrawn before its time, and the
 * next session fetches another; false: a new one would fare no better. */
bool token_refused(const char *account);

/* The account's properties or secrets are others now, or it has gone. */
void token_forget(const char *account);
void tokens_close(void);
