/* SPDX-License-Identifier: MIT */
/*
 * The stations that a command is run at, in the order they were named: by --host, with commas between them,
 * and by --hosts, a file with one in a line. Each is a destination of ssh(1), once.
 */
#pragma once

#include "common/cause.h"

#include <jansson.h>

enum { STATIONS_MOST = 10000 };

struct stations {
        char **names;
        size_t count;
        json_t *set; /* the same names, to find one; NULL: none yet */
};
void stations_free(struct stations *stations);
bool stations_have(const struct stations *stations, const char *name);

/* "A,B,C". -1 with a cause when one of them is no host, or there are too many. */
int stations_add_list(struct stations *stations, const char *list, struct cause *cause) must_use;
/* The hosts of a file ("-": standard input); `groups`: of these groups ("a,b") only, NULL: all; those of
 * other groups are added to `others`, those of its lines that are hosts. Lines of "[NAME]" begin a group, "#"
 * a comment. -1 with a cause that has file and line. */
int stations_add_file(struct stations *stations, const char *path, const char *groups,
                      struct stations *others, struct cause *cause) must_use;
/* The host alone: without "ssh://", user and port. The caller frees. */
char *station_host(const char *name) must_use;
