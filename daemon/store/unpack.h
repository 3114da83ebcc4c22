/* SPDX-License-Identifier: MIT */
/* The archive of a backup unpacked into a folder, and proven against its list of digests. Blocks. */
#pragma once

#include "common/cause.h"

#include <jansson.h>

struct unpacked {
        json_t *about;         /* emailsec-backup.json; the caller decrefs */
        uint64_t files, bytes; /* of the station, without those two that tell of the archive */
};
/* `folder` is there and empty. On a cause what is in it is of no use; about is NULL then. */
int unpack_archive(int fd, const char *folder, struct unpacked *out, struct cause *cause) must_use;
/* Removes the folder with all that is in it; none is fine. */
int remove_tree(const char *folder, struct cause *cause) must_use;
