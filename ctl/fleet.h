/* SPDX-License-Identifier: MIT */
/* One command at many stations side by side, over ssh: by -H A,B,C or --hosts FILE. */
#pragma once

#include "ctl/tool.h"

/* True when the command line names several stations, or a file of them. */
bool fleet_is_meant(const struct tool *tool);
/* Runs what is left of the command line at each of them and shows what came, worst first. Exit status: that
 * of all. */
int fleet_do(struct tool *tool, int argc, char **argv) must_use;
