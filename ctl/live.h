/* SPDX-License-Identifier: MIT */
/* A screen that stays and is drawn anew with every event of the station: what --watch does. */
#pragma once

#include "ctl/tool.h"

/* Prints the screen to standard output by calls of its own; -1 with failures, which are then shown in its
 * place. */
typedef int live_draw(struct tool *tool, void *arg, struct causes *failures);

/* Runs until q, Ctrl-C or the end of the terminal, across restarts of the daemon too; leaves the terminal as
 * it was. Exit status. */
int live_run(struct tool *tool, live_draw *draw, void *arg) must_use;
