/* SPDX-License-Identifier: MIT */
/*
 * Named subscribers of received mail, and what each of them has not acknowledged. An offer is written by the
 * commit that makes the message known (never one without the other) and stays until it is acknowledged, so a
 * program that was down misses nothing, whatever ended it or the daemon. Bounded: past LIMIT_OFFERED, or
 * older than LIMIT_OFFERED_DAYS, the oldest are dropped and counted; the subscriber is told of it in their
 * place.
 */
#pragma once

#include "daemon/store/store.h"

#include <jansson.h>
#include <sys/types.h>

/* Who asks: only who made a subscriber, or an administrator, has to do with it. */
struct subscriber_asker {
        uid_t uid;
        bool admin;
};

/* Makes the subscriber where there is none (it begins with what comes from now on). `accounts`: names,
 * borrowed; NULL leaves a known one's as they are, and gives a new one every account. */
void subscriber_open(const char *name, const struct subscriber_asker *asker, const json_t *accounts,
                     void (*done)(void *ctx, const struct cause *cause), void *ctx);
/* Everything up to and including `seq` is done with. Repeating it is fine. */
void subscriber_acknowledge(const char *name, const struct subscriber_asker *asker, int64_t seq,
                            void (*done)(void *ctx, const struct cause *cause), void *ctx);
void subscriber_forget(const char *name, const struct subscriber_asker *asker,
                       void (*done)(void *ctx, const struct cause *cause), void *ctx);

/* [{name, uid, accounts, made, seen, pending, missed, missedSince}], by name. */
void subscribers_list(void (*done)(void *ctx, json_t *subscribers, const struct cause *cause), void *ctx);

/* Up to `limit` events after `seq`: [{seq, time, account, data}], in order. What was dropped comes first, as
 * one without account: data {missed, since}; it is acknowledged like the others. */
void subscriber_offers(const char *name, int64_t seq, size_t limit,
                       void (*done)(void *ctx, json_t *offers, const struct cause *cause), void *ctx);

/* Hourly: drops what is too old. */
void subscribers_sweep(void (*done)(void *ctx, const struct cause *cause), void *ctx);
