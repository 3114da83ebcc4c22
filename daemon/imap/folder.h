/* SPDX-License-Identifier: MIT */
/* Folder names as IMAP has them: modified UTF-7 (RFC 3501 section 5.1.3), quoted. */
#pragma once

#include "common/cleanup.h"

/* "Entwürfe" gives "\"Entw&APw-rfe\"": printable ASCII only, so never a literal. NULL when `name` is not UTF-8.
 * The caller frees. */
char *imap_folder_quoted(const char *name) must_use;
