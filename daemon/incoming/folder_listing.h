/* SPDX-License-Identifier: MIT */
/* Which folders an account's mailbox has, asked in a session of its own; changes nothing there. */
#pragma once

#include "daemon/accounts/account.h"

struct folder_listing;

/* `done` once, later than this returns; then it frees itself. folders: array of {name, selectable, fetched},
 * borrowed; NULL with a cause. */
struct folder_listing *folder_listing_new(struct account *account,
                                          void (*done)(void *ctx, json_t *folders, const struct cause *cause),
                                          void *ctx);
/* Nobody waits any more: no callback. */
void folder_listing_cancel(struct folder_listing *listing);
