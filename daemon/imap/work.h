/* SPDX-License-Identifier: MIT */
/*
 * One operation over many messages, said as a few commands with UID sets of which several
 * are in flight at once, so that a slow link stays full. Sets are ranges where UIDs follow
 * each other and short enough for any server (RFC 7162 section 4, RFC 2683 section 3.2.1.5).
 */
#pragma once

#include "daemon/imap/state.h"

/* Takes a copy of the entries, by ascending UID, none twice. */
void imap_work_take(struct imap_session *session, const struct mailbox_entry *entries, size_t count);
/* Adds one UID; imap_work_sort follows when all are there. -1: LIMIT_LISTED passed. */
int imap_work_add(struct imap_session *session, uint32_t uid) must_use;
void imap_work_sort(struct imap_session *session);
void imap_work_clear(struct imap_session *session);

/* Says "UID VERB SET REST" until the window is full or nothing is left to ask for. */
void imap_work_say(struct imap_session *session, const char *verb, const char *rest);

/* Says the next commands of what is marked beside, of which few are in flight. */
void imap_beside_say(struct imap_session *session);

/* Says "UID FETCH SET REST" for the next of those refused; false: there are no more. */
bool imap_work_say_refused(struct imap_session *session, const char *rest);

/* The place of a UID in items; -1 when it is none of them. */
ssize_t imap_work_find(struct imap_session *session, uint32_t uid);

/* Nothing is asked for any more, and what it held is freed. */
void imap_operation_clear(struct imap_session *session);
/* An operation is through: the user is told by `finished` when the engine is READY again. Returns STEP_READY.
 */
int imap_operation_done(struct imap_session *session, void (*finished)(struct imap_session *));
