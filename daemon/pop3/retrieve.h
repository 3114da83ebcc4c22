/* SPDX-License-Identifier: MIT */
/*
 * Fetching and deleting over POP3: operations of wire/mailbox.h. Where the server
 * has PIPELINING many commands are in flight. A message passes from the bytes received to the
 * user without a copy; deletions become real with the +OK to QUIT only.
 */
#pragma once

#include "daemon/pop3/state.h"

/* The operations; the engine is READY. */
void pop3_fetch(struct engine *engine, const struct mailbox_entry *entries, size_t count);
/* Without TOP no header is told. */
void pop3_heads(struct engine *engine, const struct mailbox_entry *entries, size_t count);
void pop3_mark(struct engine *engine, const struct mailbox_entry *entries, size_t count,
               enum mailbox_mark mark);

/* Bytes while a message passes: takes what belongs to it from the front. */
void pop3_body_heard(struct pop3_session *session, struct pop3_input *input);
/* How much of the message that arrives is still to come, by the size that LIST gave. */
uint64_t pop3_body_left(const struct pop3_session *session);
/* Frees what an operation holds. */
void pop3_retrieve_clear(struct pop3_session *session);

/* Rows of the table of steps. */
void pop3_say_retr(struct engine *engine);
void pop3_say_top(struct engine *engine);
void pop3_say_dele(struct engine *engine);
void pop3_say_nothing(struct engine *engine);
int pop3_retr_heard(struct engine *engine, const void *reply);
int pop3_top_heard(struct engine *engine, const void *reply);
int pop3_dele_heard(struct engine *engine, const void *reply);
int pop3_nothing_heard(struct engine *engine, const void *reply);
