/* SPDX-License-Identifier: MIT */
/*
 * Listing, fetching and marking messages: the operations of wire/mailbox.h. Bodies go from the
 * bytes received to the user in pieces; BODY.PEEK leaves \Seen alone; what is expunged are
 * exactly the messages marked, by UID EXPUNGE (RFC 4315), or none.
 */
#pragma once

#include "daemon/imap/state.h"

/* The operations; the engine is READY. */
void imap_list(struct engine *engine, uint32_t after, bool unseen_only);
void imap_list_these(struct engine *engine, const struct mailbox_entry *entries, size_t count);
void imap_fetch(struct engine *engine, const struct mailbox_entry *entries, size_t count);
void imap_fetch_marking(struct engine *engine, const struct mailbox_entry *entries, size_t count,
                        const struct mailbox_entry *seen, size_t seen_count);
void imap_heads(struct engine *engine, const struct mailbox_entry *entries, size_t count);
void imap_mark(struct engine *engine, const struct mailbox_entry *entries, size_t count,
               enum mailbox_mark mark);

/* Untagged data: behind "SEARCH ", behind "ESEARCH " (RFC 9051 section 7.3.4), behind "12 FETCH ". */
void imap_found(struct imap_session *session, struct imap_cursor *cursor);
void imap_found_sets(struct imap_session *session, struct imap_cursor *cursor);
void imap_fetch_heard(struct imap_session *session, struct imap_cursor *cursor);
/* A FETCH response whose body follows, its pieces, and what comes behind it. */
void imap_body_begun(struct imap_session *session, const struct imap_item *item);
void imap_body_piece(struct imap_session *session, const struct imap_item *item);
void imap_body_ended(struct imap_session *session, const struct imap_item *item);

/* Rows of the table of steps. */
void imap_say_search(struct engine *engine);
void imap_say_list(struct engine *engine);
void imap_say_fetch(struct engine *engine);
void imap_say_heads(struct engine *engine);
void imap_say_store(struct engine *engine);
void imap_say_expunge(struct engine *engine);
int imap_search_heard(struct engine *engine, const void *reply);
int imap_list_heard(struct engine *engine, const void *reply);
int imap_bodies_heard(struct engine *engine, const void *reply);
int imap_heads_heard(struct engine *engine, const void *reply);
int imap_store_heard(struct engine *engine, const void *reply);
int imap_expunge_heard(struct engine *engine, const void *reply);
int imap_nothing_heard(struct engine *engine, const void *reply);
