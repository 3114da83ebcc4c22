/* SPDX-License-Identifier: MIT */
/* Folder names as IMAP has them, quoted: modified UTF-7 (RFC 3501 section 5.1.3), or UTF-8 (RFC 6855, RFC
 * 9051). */
#pragma once

#include "common/cleanup.h"

/* "Entwürfe" gives "\"Entw&APw-rfe\"": printable ASCII only, so never a literal. NULL when `name` is not
 * UTF-8. With `utf8` letters stay as they are. The caller frees. */
char *imap_folder_quoted(const char *name, bool utf8) must_use;
/* The way back, of a name without its quotes: UTF-8. One that is not of that form stays as it is, as far as
 * it is UTF-8; NULL when it is not. The caller frees. */
char *imap_folder_plain(const char *bytes, size_t len, bool utf8) must_use;
