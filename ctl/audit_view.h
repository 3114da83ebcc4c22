/* SPDX-License-Identifier: MIT */
/* The findings of an audit, of one station or of several. */
#pragma once

#include "ctl/tool.h"

/* Worst first; `stations`: each finding says by `station` where it is. How many alerts there are. */
size_t audit_show(const struct tool *tool, const json_t *findings, bool stations);
