/* SPDX-License-Identifier: MIT */
/* Files that a person names, read whole into memory within a bound. What would never end is refused. */
#pragma once

#include "common/buf.h"
#include "common/cause.h"

/* Opened to be read, by who reads it within a bound. -1 with a cause. */
int read_file_open(const char *path, struct cause *cause) must_use;
/* All that is left of a descriptor; CAUSE_TOO_LARGE beyond the maximum of `into`. `dot_ends`: a line with
 * only a dot ends it as well, and is left out. */
int read_file_rest(int fd, struct buf *into, bool dot_ends, struct cause *cause) must_use;
/* All of a file; "-" or NULL: of standard input. */
int read_file_whole(const char *path, struct buf *into, struct cause *cause) must_use;
