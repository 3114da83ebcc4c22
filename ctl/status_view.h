/* SPDX-License-Identifier: MIT */
/* A station's status (the Status of the socket) as a screen, as a sheet, as numbers. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/cleanup.h"

/* The station at a glance; `problems`: without what is well. */
void status_show_station(const json_t *status, bool problems);
/* The sheet of one account of it. */
void status_show_account(const json_t *account);

/* "42 accounts: 38 work, 2 down, ..."; the caller frees. */
char *status_totals(const json_t *status) must_use;
/* How many accounts have this status. */
size_t status_count(const json_t *status, const char *word);
/* Messages in the counts of a queue that are not sent and have not failed. */
int64_t status_waiting(const json_t *queue);
