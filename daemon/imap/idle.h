/* SPDX-License-Identifier: MIT */
/*
 * Opening a folder, and waiting for what comes into it: IDLE (RFC 2177) and NOOP. The session
 * keeps no clock: who owns it renews IDLE by wake() and idle().
 */
#pragma once

#include "daemon/imap/state.h"

void imap_open(struct chat *chat, const char *folder, bool read_only);
void imap_idle(struct chat *chat);
void imap_wake(struct chat *chat);
void imap_refresh(struct chat *chat);

/* Rows of the table of steps. */
void imap_say_select(struct chat *chat);
void imap_say_idle(struct chat *chat);
void imap_say_idling(struct chat *chat);
void imap_say_done(struct chat *chat);
void imap_say_refresh(struct chat *chat);
int imap_select_heard(struct chat *chat, const void *reply);
int imap_idle_heard(struct chat *chat, const void *reply);
int imap_idling_heard(struct chat *chat, const void *reply);
int imap_done_heard(struct chat *chat, const void *reply);
int imap_refresh_heard(struct chat *chat, const void *reply);
