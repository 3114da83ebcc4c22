/* SPDX-License-Identifier: MIT */
/*
 * A backup of the station while it runs: one tar archive, written to a descriptor by a thread of its own. In
 * it, in this order: emailsec-backup.json (what it is of), the small files of the state folder, station.db as
 * of one moment, received mail, and SHA256SUMS with a line for each of the others. The accounts, decisions,
 * keys and secrets in it are those of that moment too: where one was changed meanwhile, all of it is read
 * again. What is received or renamed later may be in it or not; what was accepted before is.
 */
#pragma once

#include "common/cause.h"

struct backup_order {
        int fd;       /* taken over */
        bool secrets; /* passwords and keys too; else the names of credentials only */
        bool mail;    /* received mail too */
};
struct backup_result {
        uint64_t files, bytes;
};
/* `done` once, on the loop, unless the store closes first: with the result, or with a cause. One at a time:
 * -1 with CAUSE_BUSY while another is being made, nothing taken over. */
int backup_begin(const struct backup_order *order,
                 void (*done)(void *ctx, const struct backup_result *result, const struct cause *cause),
                 void *ctx, struct cause *cause) must_use;
/* The present one is given up; `done` comes with CAUSE_CANCELLED, or with what it was about. */
void backup_cancel(void);
void backup_close(void);
