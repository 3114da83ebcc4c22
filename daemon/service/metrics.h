/* SPDX-License-Identifier: MIT */
/* The station's numbers as OpenMetrics text, in pieces: those of ten thousand accounts are not made in one
 * turn of the loop. */
#pragma once

#include "common/buf.h"

struct metrics_work;
struct metrics_work *metrics_begin(void) must_use;
/* Appends the next piece; false: it was the last one. */
bool metrics_next(struct metrics_work *work, struct buf *out);
void metrics_end(void *work);
