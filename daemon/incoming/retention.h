/* SPDX-License-Identifier: MIT */
/* How long received mail is kept: the property keepReceived, and deleting on demand. How much has gone is
 * told as the event mail.deleted, and to the journal, where nobody asked for it. Loop. */
#pragma once

#include "daemon/accounts/account.h"

/* Deletes what keepReceived no longer keeps; nothing where it is empty or this is under way already. `look`:
 * finds also files that others put into the Maildir. */
void retention_look(const struct account *account, bool look);

/* `done` may hear of some that have gone beside a cause. */
void retention_delete(const char *account, const char *const *ids, size_t id_count,
                      void (*done)(void *ctx, size_t count, const struct cause *cause), void *ctx);
/* Those received before. */
void retention_delete_old(const char *account, int64_t before,
                          void (*done)(void *ctx, size_t count, const struct cause *cause), void *ctx);
