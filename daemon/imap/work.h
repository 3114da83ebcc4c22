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
/* The same where the reply is OK; else the engine fails for a server that refused `what`. */
int imap_operation_ends(struct engine *engine, const struct imap_reply *reply, const char *what,
                        void (*finished)(struct imap_session *));
/* A command that does nothing but have the server answer. */
void imap_say_noop(struct engine *engine);

/* ---- a large message in parts (RFC 9051 section 6.4.5, BODY.PEEK[]<from.count>) ---- */

/* Mostly one, and a session that is cut is gone on with where it was. The server's word for the size decides
 * how much is asked for at first and nothing else: a message has ended when a part came back short at or
 * behind that size, or empty. */
bool imap_in_parts(const struct imap_wanted *item);
/* Says the next command for a part when the next message is one in parts. */
bool imap_say_next_part(struct imap_session *session);

/* Which message a part is of whose UID comes behind it: the one that the oldest command asks for. 0: none. */
uint32_t imap_part_awaited(const struct imap_session *session);
/* A part of items[item] that begins at `origin`: true when it is the next one of the message that is open, or
 * opens this one (*begins). */
bool imap_part_fits(struct imap_session *session, size_t item, uint64_t origin, bool *begins);
/* All of it went to the user: true when that was the end of the message. */
bool imap_part_ends(struct imap_session *session, uint64_t size);
/* The message is whole, or given up: no more parts are asked for. */
void imap_parts_end(struct imap_session *session, size_t item);
/* True while more of items[item] is to come: it is asked for, or will be. */
bool imap_part_awaits(const struct imap_session *session, size_t item);
/* A command was answered: what should have come and did not is asked for again. */
void imap_parts_settle(struct imap_session *session);
