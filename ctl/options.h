/* SPDX-License-Identifier: MIT */
/* The command line into a struct tool, by the tables of options; and the same line again for another host. */
#pragma once

#include "ctl/tool.h"

/* Options every command has; ended by one without name. */
extern const struct option_rule general_options[];

/* Fills a zeroed tool. 0, or EXIT_USAGE with the reason told. Nothing of the command's own words is checked
 * when
 * --help or --version is there. The words of --host become NULL in argv. */
int options_parse(struct tool *tool, int argc, char **argv) must_use;

/* Runs the same command line on tool->host over ssh, without --host, and gives its exit status;
 * EXIT_NO_DAEMON where ssh did not get there or there is no tool, which is told with what to do. */
int options_run_remote(struct tool *tool, int argc, char **argv) must_use;
/* `word` so that a POSIX shell reads it back as one word; the caller frees. */
char *shell_quoted(const char *word) must_use;
