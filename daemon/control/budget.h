/* SPDX-License-Identifier: MIT */
/*
 * What the users of this machine may have of the control socket: connections, memory, calls that wait, lines
 * of the journal and the loop's time. Each user has a share of the whole, and of the whole there is a part
 * that only the people in charge get: root, the daemon's own user, the members of AdminGroup=. So nobody, by
 * however many connections, can keep the others from the station, and all of them together cannot keep those
 * who would set it right.
 */
#pragma once

#include "daemon/control/permit.h"

enum budget_kind {
        BUDGET_CONNECTIONS,
        BUDGET_INPUT,       /* bytes of calls that have not come whole */
        BUDGET_OUTPUT,      /* bytes of replies that were not read */
        BUDGET_DESCRIPTORS, /* that came along and were not taken */
        BUDGET_WAITING,     /* calls that wait for something to happen, not for the station */
        BUDGET_KINDS
};

/* What one user has. Somebody who is in charge by a group is another one than the same user without it. */
struct share;

/* The share of this user: the caller holds it until share_drop(). */
struct share *share_hold(const struct peer *peer) must_use;
/* One more holder of it. */
struct share *share_keep(struct share *share);
void share_drop(struct share *share);

/* True when one more connection, or that much of the kind, would be too much for this user or for all. */
bool share_is_out(const struct share *share, enum budget_kind kind, size_t amount);
/* True when all of them together are the reason, not this user. */
bool share_whole_is_out(const struct share *share, enum budget_kind kind, size_t amount);
/* What a holder has of the kind changes from `*has` to `now`: counted whatever it is. False when that is too
 * much. */
bool share_count(struct share *share, enum budget_kind kind, size_t *has, size_t now);
/* True for the people in charge. */
bool share_in_charge(const struct share *share);

/* The loop's time: false when this user has had enough of this turn, or all of them have; its work then waits
 * for the next turn. The people in charge are not kept waiting. */
bool share_has_time(const struct share *share);
/* What is done from here on until share_stop() is for this user. */
void share_start(struct share *share);
void share_stop(struct share *share);

/* A notice to the journal about what this user did at the socket: a few a minute, the others are counted and
 * told once. */
void share_notice(struct share *share, const char *format, ...) printf_like(2, 3);
