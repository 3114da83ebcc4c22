/* SPDX-License-Identifier: MIT */
/* The sendmail form: its two requests about the queue, and the one that speaks SMTP. */
#pragma once

#include "ctl/tool.h"

/* -bp: everything that is not sent, in the form of Postfix's mailq, on standard output. 0, or -1 with
 * failures. */
int sendmail_list(struct tool *tool, struct causes *failures) must_use;

/* -bs: SMTP on standard input and output. Exit status. */
int sendmail_smtp(struct tool *tool) must_use;

/* -q: everything that waits, of every outgoing account, is tried now. 0, or -1 with failures. */
int sendmail_flush(struct tool *tool, struct causes *failures) must_use;
