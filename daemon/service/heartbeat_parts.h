/* SPDX-License-Identifier: MIT */
/* The inside of heartbeats: heartbeat.c sends them and knows what came of them, heartbeat_watch.c those who
 * wait. */
#pragma once

#include "daemon/service/heartbeat.h"

enum heartbeat_number {
        HEARTBEAT_NONE,
        HEARTBEAT_QUEUED,
        HEARTBEAT_SENT,
        HEARTBEAT_ARRIVED,
        HEARTBEAT_MISSING
};
enum heartbeat_number heartbeat_number(const struct account *account);

/* Sends one now. -1 with a cause. */
int heartbeat_send(struct account *account, struct cause *cause) must_use;
/* True when an incoming account here is known to receive it; *anybody: there is one at all. */
bool heartbeat_is_expected(const struct account *account, bool *anybody);

/* ---- heartbeat_watch.c: what came of the account's last one ---- */
void heartbeat_watches_queued(const char *account, const char *id);
void heartbeat_watches_sent(const char *account);
void heartbeat_watches_arrived(const char *account, const char *incoming);
void heartbeat_watches_missed(const char *account, const struct cause *cause);
