/* SPDX-License-Identifier: MIT */
/*
 * A message as programs hand it in, made into one by RFC 5322: what stands before its header goes (a byte
 * order mark, the line of an mbox), the blank line behind it comes, a From that names nobody goes. Local
 * names become addresses in the daemon.
 */
#pragma once

#include "common/buf.h"
#include "common/cause.h"

/* -1 when the text is full. */
int draft_mend(struct buf *text, struct cause *cause) must_use;
/* Only what stands before the header, and the line ends of a text that has CR for them. */
void draft_mend_front(struct buf *text);
