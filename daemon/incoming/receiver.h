/* SPDX-License-Identifier: MIT */
/*
 * Fetches the mail of one incoming account: polls or waits in IDLE, brings new messages to the Maildir in the
 * crash-safe order of mail.md, and tells the server afterwards what the delivery policy says.
 */
#pragma once

#include "daemon/runner/runner.h"

#include <jansson.h>

/* `spread_ms`: it connects within that time; 0: at once. */
struct receiver *receiver_new(struct account *account, uint32_t spread_ms) must_use;
/* Properties, secret or trust changed: the session ends, the next begins within `spread_ms`. */
void receiver_start_over(struct receiver *receiver, uint32_t spread_ms);
void receiver_check_trust(struct receiver *receiver);
/* Milliseconds until it looks again by itself; -1: it is at work, or waits for the server to tell of mail. */
int64_t receiver_rests_ms(const struct receiver *receiver);
/* Its session, where that waits for a place; else NULL. */
const struct session *receiver_waits_for_place(const struct receiver *receiver);
/* The network has changed: after `delay` ms an account that is down is tried, and an idle session is opened
 * again whose route has gone (with `stale`: any). */
void receiver_network_changed(struct receiver *receiver, bool stale, int64_t delay);
/* `account test` has found that the account works (CAUSE_NONE), or why not: where it is thought to be
 * otherwise, it begins anew and sees for itself. */
void receiver_tested(struct receiver *receiver, const struct cause *why);
/* Looks now; `done` when that is over. */
void receiver_poll(struct receiver *receiver, runner_polled *done, void *ctx);
/* Ends after what is being committed; receiver_busy tells when that is over. */
void receiver_wind_down(struct receiver *receiver);
bool receiver_busy(const struct receiver *receiver);
/* Sentences about what is amiss although the account works; added to the array. */
void receiver_warnings(const struct receiver *receiver, json_t *warnings);
void receiver_free(struct receiver *receiver);
