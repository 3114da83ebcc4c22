/* SPDX-License-Identifier: MIT */
/* Lists of addresses as people and programs write them (RFC 5322 section 3.4, and less): what stands where.
 */
#pragma once

#include "common/cause.h"

#include <jansson.h>

/* Length of one item of a list: up to a comma, semicolon or group colon outside quotes, comments and angle
 * brackets. */
size_t mailbox_item(const char *list);
/* Where the address stands in an item, without name, comments, blanks, brackets and a route; false when there
 * is none. */
bool mailbox_find(const char *item, size_t len, size_t *at, size_t *address_len);
/* A bare local name: no domain, nothing that would need quoting. */
bool mailbox_is_local(const char *address);

/* Adds the addresses of a list ("A <a@b>, c@d, Group: e@f;") to `into`, an array of texts; local names as
 * they stand, doubles go. What is no address is told of in `bad`, one cause each; the others are taken all
 * the same. */
void mailboxes_add(const char *list, json_t *into, struct causes *bad);
/* There were more than a message may have (LIMIT_RECIPIENTS), as the first of these causes says: not all are
 * in the array. */
bool mailboxes_too_many(const struct causes *bad);

/* Whether a field of that name holds addresses by RFC 5322 section 3.6. */
bool field_has_addresses(const char *name, size_t len);
/* The value of such a field, on one line, with other addresses in the places of those for which `other` gives
 * some (one, or several parted by commas, the first of which gets the name; its result is freed): NULL when
 * there are none, or when all of it would be larger than LIMIT_HEADER. The caller frees. */
char *mailboxes_replace(const char *value, char *(*other)(void *ctx, const char *address), void *ctx)
        must_use;

/* ---- lists of senders: addresses and domains ("example.com" or "@example.com"), parted by commas ---- */

/* The items without blanks around them and each once, domains as host_normal() gives them. NULL with the
 * first that is neither. The caller frees. */
char *sender_list_normal(const char *text, struct cause *cause) must_use;
/* How an address with its domain in A-labels stands in such a list: 2 by itself, 1 by its domain, 0 not at
 * all. */
int sender_list_has(const char *list, const char *address);
