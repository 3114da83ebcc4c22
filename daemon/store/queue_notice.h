/* SPDX-License-Identifier: MIT */
/*
 * The notice to the postmaster that recipients of a message have failed: queued by the transaction that makes
 * them fail, so that a crash neither loses nor doubles it. The text is store/notice's.
 */
#pragma once

#include "daemon/store/queue_rows.h"

/* Copies to be freed by notice_rules_done; NULL gives empty ones. */
struct notice_rules notice_rules_copy(const struct notice_rules *rules);
void notice_rules_done(struct notice_rules *rules);

/* After recipients of a message became failed: one notice for those that were not told yet. None where the
 * rules name no address, or the message has the null sender (it may be a notice itself). `id`: the notice's,
 * or "". */
int queue_notice_add(struct database *db, uint64_t seq, const struct notice_rules *rules, time_t now,
                     char id[QUEUE_ID_SIZE], struct cause *cause) must_use;
/* On the loop, once that is on disk: the journal hears of it. An empty id: nothing. */
void queue_notice_tell(const char *account, const char *id, const struct notice_rules *rules, uint64_t seq);
