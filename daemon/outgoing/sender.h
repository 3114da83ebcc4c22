/* SPDX-License-Identifier: MIT */
/*
 * Sends the queue of one outgoing account: claims due messages, runs up to maxConnections sessions, gives
 * each message to one with room, and writes each recipient's result. When the account cannot go on
 * (unreachable, fault, challenge) the mail stays, and it is tried again by time or the moment the cause is
 * gone.
 */
#pragma once

#include "daemon/runner/runner.h"

struct session;

/* `spread_ms`: its first steps come within that time; 0: at once. */
struct sender *sender_new(struct account *account, uint32_t spread_ms) must_use;
/* There may be something to do: a submission, a release, a day that began. */
void sender_kick(struct sender *sender);
/* A message is about to be in the queue: it is claimed by the commit that takes it. */
void sender_expect(struct sender *sender);
/* As sender_kick for a person who wants it tried: a pause after a failure is over. */
void sender_try_now(struct sender *sender);
/* The account's properties, secret or trust changed: old sessions end after what is in flight; waiting is
 * over. `spread_ms`: as above, for the check. */
void sender_start_over(struct sender *sender, uint32_t spread_ms);
/* Trust is another: sessions that rest on what has gone end at once, and the account is checked anew. */
void sender_check_trust(struct sender *sender);

/* The network has changed: an account that is down is tried at once; sessions whose route has gone (with
 * `stale`: all) end after what is in flight. */
void sender_network_changed(struct sender *sender, bool stale);
/* Mail that waits for its time is due now. */
void sender_due_now(struct sender *sender);

/* True when nothing but the server can hold up what is due: no pause, no fault that is waited out, not
 * disabled. */
bool sender_may_try(const struct sender *sender);
/* Whether a period of pollRate has to begin before it takes mail. */
bool sender_waits_for_period(const struct sender *sender);
/* Milliseconds until it tries again after a failure or a server's wish for less mail; -1: it need not wait.
 * The latter is still being met: is_throttled. Milliseconds until the next period of pollRate begins; -1: it
 * has begun, or there is none. */
int64_t sender_rests_ms(const struct sender *sender);
bool sender_is_throttled(const struct sender *sender);
int64_t sender_period_ms(const struct sender *sender);
/* The session that waits for a place while no other is there, so that nothing is being sent; NULL: nothing
 * waits for one. */
const struct session *sender_waits_for_place(const struct sender *sender);
/* A session has mail of it. */
bool sender_is_sending(const struct sender *sender);
/* The account is checked soon, with all the others: at a start, after a change of trust, when the clock was
 * set. */
void sender_check_soon(struct sender *sender);
/* `account test` has found that the account works (CAUSE_NONE), or why not. */
void sender_tested(struct sender *sender, const struct cause *why, const char *challenge_id);
/* Sends what waits, now; `done` when nothing is left to do or it cannot go on. */
void sender_poll(struct sender *sender, runner_polled *done, void *ctx);

/* No new mail; sessions say good-bye after what is in flight. sender_busy tells when that is over. */
void sender_wind_down(struct sender *sender);
bool sender_busy(const struct sender *sender);
/* A sentence while the server's wish for less mail is being met, else NULL; freed by the caller. */
char *sender_pace(const struct sender *sender) must_use;
/* Ends everything at once; mail in flight goes back to the queue (after its final dot: ambiguous). */
void sender_free(struct sender *sender);
