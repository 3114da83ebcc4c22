/* SPDX-License-Identifier: MIT */
/* Lists of senders as people write them: addresses and domains ("example.com" or "@example.com"), parted by
 * commas. */
#pragma once

#include "common/cause.h"

/* The items without blanks around them and each once, domains as host_normal() gives them. NULL with the
 * first that is neither. The caller frees. */
char *sender_list_normal(const char *text, struct cause *cause) must_use;
/* How an address with its domain in A-labels stands in such a list: 2 by itself, 1 by its domain, 0 not at
 * all. */
int sender_list_has(const char *list, const char *address);
