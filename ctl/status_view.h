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

/* "42 accounts: 38 work, 2 down, ..." of an array of accounts that have their status at `path`; the caller
 * frees. */
char *status_totals(const json_t *accounts, const char *path) must_use;
/* The same of all accounts of the station, listed or not, and their number. */
char *status_words_of_all(const json_t *status) must_use;
size_t status_all(const json_t *status);
/* Of such an array the accounts, worst first; those of one status as they came. The caller decrefs. */
json_t *status_sorted(const json_t *accounts, const char *path) must_use;
/* How many accounts of the station have this status. */
size_t status_count(const json_t *status, const char *word);
/* Its place from the worst on; one that is not known here is behind all others. */
size_t status_rank(const char *status);
/* A person, or time, must mend it. */
bool status_is_ill(const char *status);
/* Messages in the counts of a queue that are not sent and have not failed. */
int64_t status_waiting(const json_t *queue);
