/* SPDX-License-Identifier: MIT */
/*
 * The Allowed Hosts: one list of challenges (pending), approvals and rejections, on disk in
 * allowed-hosts.json. Every change is on disk before it is answered; each decision bumps
 * the trust generation so that sessions and tickets that rested on the old answer end.
 */
#pragma once

#include "daemon/tls/judge.h"

#include <jansson.h>

/* Reads the file; a missing one is an empty list; an unreadable or damaged one poisons every
 * verdict (S40) and is kept as it is: -1 with the cause, the daemon goes on. */
int allowed_open(const char *state_directory, struct cause *cause);
void allowed_close(void);
/* Where the file could not be read: reads it again. 1: healed, and the trust generation is new; 0: there was
 * nothing to heal; -1: not yet. */
int allowed_try_again(void) must_use;

/* Called on the loop after any change of the list: `id`, the entry (borrowed) and what happened ("challenge",
 * "approved", "rejected", "unapproved", "deleted", "needless", "expired", "flood": older challenges of that
 * host and port were dropped to keep this one). Never from inside allowed_record(): the loop calls later. One
 * subscriber: the station, which marks accounts, writes the journal, emits the event. A deleted entry says by
 * whom (deletedBy), where a person did it. */
void allowed_on_change(void (*changed)(void *ctx, const char *id, const char *what, json_t *entry),
                       void *ctx);

/* Entries as the JSON of interface.md; `state` NULL = all. */
json_t *allowed_list(const char *state) must_use;
/* `id`: a unique beginning of an id, or "HOST:PORT" (then the pending entry). NULL with
 * CAUSE_NOT_FOUND / CAUSE_AMBIGUOUS. */
json_t *allowed_get(const char *id, struct cause *cause) must_use;
size_t allowed_count(const char *state, bool needless_only);
/* Challenges that a person has to decide: pending, and not needless. What allowed_prune() would delete. */
size_t allowed_waiting(void);
size_t allowed_needless(void);

struct allowed_decision {
        const char *id; /* as allowed_get */
        enum { DECIDE_APPROVE, DECIDE_REJECT, DECIDE_UNAPPROVE, DECIDE_DELETE } what;
        const char *fingerprint; /* APPROVE: 16 or more hex digits of the SHA-256 of the certificate (or
                                    of the key with PINS_KEY), colons allowed: rule 14b; compulsory */
        const json_t *seen; /* APPROVE: words of the errors that the person was shown, borrowed; the entry
                               having another refuses it (CAUSE_STATE). NULL: not said */
        enum allowed_pins pins;
        time_t until;       /* 0: none */
        const char *reason; /* or NULL */
        const char *who;    /* "root (uid 0)" */
};
/* `done` on the loop when it is on disk: cause->code CAUSE_NONE on success (never NULL), with the entry
 * (borrowed for the call; as it was, when deleted). A decision that is refused is answered before the
 * function returns. */
void allowed_decide(const struct allowed_decision *decision,
                    void (*done)(void *ctx, const struct cause *cause, json_t *entry), void *ctx);
/* Deletes entries that are needless (approved and pending ones): their server has verified without help, or
 * nobody uses it; `ids` the deleted ones. */
void allowed_prune(const char *who, void (*done)(void *ctx, const struct cause *cause, json_t *ids),
                   void *ctx);

/* For channel.c: the evidence of one host and port; the caller frees. */
size_t allowed_rulings(const char *host, uint16_t port, struct allowed_ruling **out);
/* For channel.c: outcome of a judged session. CHALLENGE records or refreshes the pending entry
 * (its id goes to verdict->allowed_id); good without help marks entries needless; ALLOWED sets lastSeen. */
void allowed_record(const struct tls_evidence *evidence, const char *account, struct verdict *verdict);
/* Who uses which server may be otherwise now: `in_use` says it for each entry that is not rejected. What has
 * become needless by that, or a challenge again, is told unless `tell` is false (at the start). */
void allowed_look_at_users(bool (*in_use)(const char *host, uint16_t port), bool tell);
/* Ends `approved` entries whose time is over, by their own date or with the certificate (they are `pending`
 * again); next such time or 0. The station calls it by timer. */
time_t allowed_expire(time_t now);
/* An approval that ends on a date of its own, before its certificate does. */
struct allowed_end {
        const char *id, *host, *fingerprint;
        uint16_t port;
        time_t time;
        int *warned; /* the caller's, 0 at first: how many days before its end that was told */
};
/* Calls `tell` for each that somebody uses. */
void allowed_ends(void (*tell)(void *ctx, const struct allowed_end *end), void *ctx);
/* The fault that poisons, or NULL. */
const struct cause *allowed_fault(void);
