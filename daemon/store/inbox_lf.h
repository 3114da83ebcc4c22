/* SPDX-License-Identifier: MIT */
/*
 * Received mail of an earlier version, whose files have CRLF, is made LF (line_ends.h) while the station
 * works: in steps, each of which is on disk before it is recorded, so that a kill or a full disk costs one
 * step at most. A file is read, written beside and put in place of the old one in one call, under the same
 * name and with the same time; whoever has it open reads on, and flags that a mail reader sets meanwhile are
 * kept.
 */
#pragma once

#include "daemon/store/database.h"

/* Before the loop: how far it has come. */
int inbox_lf_load(struct database *db, struct cause *cause) must_use;
/* Loop; nothing where there is nothing to do. */
void inbox_lf_begin(void);
void inbox_lf_end(void);
