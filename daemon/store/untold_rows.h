/* SPDX-License-Identifier: MIT */
/*
 * Messages of IMAP folders that are safe here, and of which the server was not told yet (flagged, deleted):
 * rows of `untold`, each of UIDs that follow each other. Every UID in them has a row in `seen`. Of POP3 that
 * row itself says it. Writer thread.
 */
#pragma once

#include "daemon/store/database.h"

/* These, of which none is in there. */
int untold_add(struct database *db, int64_t place, uint64_t uidvalidity, uint32_t first, uint32_t last,
               struct cause *cause) must_use;
/* None of these is to be told any more; whichever of them were. */
int untold_end(struct database *db, int64_t place, uint64_t uidvalidity, uint32_t first, uint32_t last,
               struct cause *cause) must_use;
