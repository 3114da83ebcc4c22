/* SPDX-License-Identifier: MIT */
/*
 * Headers of a tar archive: POSIX ustar, with a pax header before a member whose name or size does not fit
 * (pax(1), IEEE Std 1003.1). Pure: bytes in, bytes out. Only regular files are known; a reader refuses all
 * else.
 */
#pragma once

#include "common/buf.h"
#include "common/cause.h"

enum {
        TAR_BLOCK = 512,
        TAR_NAME_MAX = 1024,
        TAR_PAX_MAX = 4096, /* bytes of a pax header's records */
};

struct tar_member {
        char name[TAR_NAME_MAX]; /* relative, with slashes */
        uint64_t size;
        int64_t time; /* of the last change, seconds */
};

/* Appends what stands before the member's bytes. -1: the name is too long, or out is full. */
int tar_header(const struct tar_member *member, struct buf *out) must_use;
/* Zero bytes that follow a member of this size, up to a whole block. */
size_t tar_padding(uint64_t size);

/* What a block of TAR_BLOCK bytes means at the beginning of a member. */
enum tar_kind {
        TAR_BAD = -1, /* no header of a regular file: *cause */
        TAR_FILE,     /* `member` is filled in, but for what a pax header before it said */
        TAR_PAX,      /* member->size bytes of records follow, for tar_pax() */
        TAR_END,      /* a block of zeros */
};
enum tar_kind tar_read(const uint8_t *block, struct tar_member *member, struct cause *cause) must_use;
/* Takes path and size from the records of a pax header into the member that the next block told of. */
int tar_pax(const char *records, size_t len, struct tar_member *member, struct cause *cause) must_use;
