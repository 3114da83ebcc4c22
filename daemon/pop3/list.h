/* SPDX-License-Identifier: MIT */
/*
 * What is in the mailbox: STAT, LIST and UIDL (RFC 1939 sections 5 and 7); operations of wire/mailbox.h. A
 * line that cannot be read costs itself only. A unique id that is not one of RFC 1939 (over 70 characters,
 * blanks, 8-bit) is told as "#" and 64 hexadecimal digits of its SHA-256.
 */
#pragma once

#include "daemon/pop3/state.h"

/* The operations; the engine is READY. */
void pop3_open(struct engine *engine, const char *folder, bool read_only);
void pop3_list(struct engine *engine, uint32_t after, bool unseen_only);
/* Frees what a listing holds. */
void pop3_list_clear(struct pop3_session *session);

/* Rows of the table of steps. */
void pop3_say_stat(struct engine *engine);
void pop3_say_list(struct engine *engine);
void pop3_say_uidl(struct engine *engine);
int pop3_stat_heard(struct engine *engine, const void *reply);
int pop3_list_heard(struct engine *engine, const void *reply);
int pop3_uidl_heard(struct engine *engine, const void *reply);
