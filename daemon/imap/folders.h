/* SPDX-License-Identifier: MIT */
/* LIST (RFC 9051 section 6.3.9): which folders a mailbox has. */
#pragma once

#include "daemon/imap/state.h"

void imap_folders(struct engine *engine, const char *pattern);
/* An untagged LIST, behind the word. */
void imap_folder_heard(struct imap_session *session, struct imap_cursor *cursor);

/* Row of the table of steps. */
void imap_say_folders(struct engine *engine);
int imap_folders_heard(struct engine *engine, const void *reply);
