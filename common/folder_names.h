/* SPDX-License-Identifier: MIT */
/* Names of IMAP folders as people write them: UTF-8, several parted by commas. */
#pragma once

#include "common/cleanup.h"

/* INBOX in any case is one mailbox (RFC 9051 section 5.1): its one name, or `name`. */
const char *folder_name_normal(const char *name);
/* The names of a list, without blanks around them and each once, parted by commas again; how many in
 * *out_count. The caller frees. */
char *folder_names_normal(const char *text, size_t *out_count) must_use;
