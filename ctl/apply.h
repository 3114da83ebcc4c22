/* SPDX-License-Identifier: MIT */
/*
 * The accounts of a station as a document. One for many stations: {"accounts": [...], "hosts": {"HOST":
 * {"accounts": [...]}}}. A station gets the accounts of all, those of the same name with the properties of
 * its own part in place of the common ones, and the accounts that only its part has.
 */
#pragma once

#include "ctl/stations.h"

#include <jansson.h>

/* {name, kind, the properties that may be written} of an Account of the socket: read-only ones are the
 * daemon's own. The caller decrefs. */
json_t *apply_document_account(const json_t *account) must_use;
/* A document of `account apply` at `path` ("-": standard input). NULL with a cause. The caller decrefs. */
json_t *apply_document_read(const char *path, struct cause *cause) must_use;
/* It has parts for stations. */
bool apply_document_has_hosts(const json_t *document);
/* The accounts in it, each flat; of those that are for all. NULL: it holds no list. The caller decrefs. */
json_t *apply_document_accounts(const json_t *document) must_use;
/* The parts of its hosts by their names in lower case, for apply_document_for(). The caller decrefs. */
json_t *apply_document_parts(const json_t *document) must_use;
/* What a station gets: its part goes by its host alone, then by the name it was given here. NULL with a
 * cause.
 */
json_t *apply_document_for(const json_t *document, const json_t *parts, const char *station,
                           struct cause *cause) must_use;
/* The parts that would go nowhere: keys of its hosts that fit none of these stations. The caller decrefs. */
json_t *apply_document_others(const json_t *document, const struct stations *stations,
                              const struct stations *more) must_use;
