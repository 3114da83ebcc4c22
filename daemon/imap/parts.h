/* SPDX-License-Identifier: MIT */
/*
 * A large message in parts (RFC 9051 section 6.4.5, BODY.PEEK[]<from.count>): several are in flight, and a
 * session that is cut is gone on with where it was. The server's word for the size decides how many are asked
 * for at first and nothing else: a message has ended when a part came back short at or behind that size, or
 * empty.
 */
#pragma once

#include "daemon/imap/state.h"

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
