/* SPDX-License-Identifier: MIT */
/* Steps of a look at a server, shown as they happen. */
#pragma once

#include "ctl/tool.h"

/* Calls a method that tells steps; *out: every step that came, also where it ended early (the caller
 * decrefs). Exit status: EXIT_FAILED where a step failed. */
int steps_hear(struct tool *tool, const char *method, json_t *parameters, json_t **out) must_use;
