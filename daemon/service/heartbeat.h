/* SPDX-License-Identifier: MIT */
/*
 * Proof before the alarm: an outgoing account with the property heartbeat sends a small message to that
 * address every heartbeatRate seconds. Where an incoming account of this station receives it (one signs in by
 * that address, or one has received an earlier heartbeat to it), its round trip is measured, and one that has
 * not arrived in time is missing: a warning in the status and the audit, an event, a journal message, a
 * metric. What is known of the last one is kept across restarts.
 */
#pragma once

#include "daemon/accounts/account.h"

void heartbeats_open(void);
void heartbeats_close(void);
/* Each minute, at each account: sends what is due, tells what is missing. */
void heartbeat_look(struct account *account);
/* The wall clock was set, or time went by while the machine slept: nothing is late by it. */
void heartbeats_clock_was_set(int64_t seconds);
/* The account is there: its last heartbeat is known when it comes back. The account has gone. */
void heartbeat_account_added(const struct account *account);
void heartbeat_forget(const char *account);

/* The first by name of the accounts with a heartbeat that is behind `name`; NULL: there is none. */
const struct account *heartbeat_next(const char *name);
/* Property heartbeatState: "none", "queued", "sent", "arrived", "missing". */
const char *heartbeat_state(const struct account *account);
bool heartbeat_is_missing(const struct account *account);
/* A sentence about one that is missing, for the caller to free; NULL: none is. */
char *heartbeat_warning(const struct account *account) must_use;

/* Sends one now and follows it. */
struct heartbeat_user {
        void (*step)(void *ctx,
                     json_t *step); /* borrowed: step, result, milliseconds, text, cause, details */
        void (*done)(void *ctx, json_t *last); /* the last step; nothing comes after it */
};
struct heartbeat_watch;
/* -1 with a cause: nothing was begun. */
int heartbeat_ask(struct account *account, const struct heartbeat_user *user, void *ctx,
                  struct heartbeat_watch **out, struct cause *cause) must_use;
/* Nobody waits any more; the message goes its way. Not after done. */
void heartbeat_cancel(struct heartbeat_watch *watch);
