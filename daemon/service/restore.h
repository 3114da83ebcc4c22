/* SPDX-License-Identifier: MIT */
/*
 * A backup put back into the state folder of a station that does not run: unpacked beside, proven, looked at,
 * and only then moved to its place. What was there is set aside, never deleted, unless it was the empty state
 * of a new station.
 */
#pragma once

#include "common/cause.h"

/* Reads the archive from `fd` and tells on standard output what was restored, what is not in it, and what
 * comes next. `force`: also in place of a station that is not empty. Blocks; without a loop. */
int restore_station(int fd, const char *directory, bool force, struct cause *cause) must_use;
