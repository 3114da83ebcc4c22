/* SPDX-License-Identifier: MIT */
/* Commands that take several names or ids: each in turn, one answer in JSON, one exit status. */
#pragma once

#include "ctl/tool.h"

/* Does it for one word; what it shows as JSON goes to *out (owned by the caller) where the tool has --json.
 */
typedef int each_run(struct tool *tool, const char *word, json_t **out);

/* Does it for every word of the command line, also behind one that failed, but not behind a daemon that is
 * gone. JSON is that of the only word, or an array of all. Exit status: the first that is not 0. */
int each_word(struct tool *tool, each_run *run) must_use;
