/* SPDX-License-Identifier: MIT */
/*
 * Folders of a mailbox: which there are (LIST, RFC 9051 section 6.3.9), opening one, and waiting for what
 * comes into it: IDLE (RFC 2177) and NOOP. The session keeps no clock: who owns it renews IDLE by wake() and
 * idle().
 */
#pragma once

#include "daemon/imap/state.h"

void imap_folders(struct engine *engine, const char *pattern);
/* An untagged LIST, behind the word. */
void imap_folder_heard(struct imap_session *session, struct imap_cursor *cursor);

void imap_open(struct engine *engine, const char *folder, bool read_only);
void imap_idle(struct engine *engine);
void imap_wake(struct engine *engine);
void imap_refresh(struct engine *engine);

/* Rows of the table of steps. */
void imap_say_folders(struct engine *engine);
void imap_say_select(struct engine *engine);
void imap_say_idle(struct engine *engine);
void imap_say_idling(struct engine *engine);
void imap_say_done(struct engine *engine);
int imap_folders_heard(struct engine *engine, const void *reply);
int imap_select_heard(struct engine *engine, const void *reply);
int imap_idle_heard(struct engine *engine, const void *reply);
int imap_idling_heard(struct engine *engine, const void *reply);
int imap_done_heard(struct engine *engine, const void *reply);
int imap_refresh_heard(struct engine *engine, const void *reply);
