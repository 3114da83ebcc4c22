/* SPDX-License-Identifier: MIT */
/*
 * A fuzz target gives one function that takes any bytes and must come back: libFuzzer calls it (make fuzz),
 * and so does replay.c with the files of its corpus (make check-fuzz). What must not be is told by fuzz_must.
 */
#pragma once

#include "common/buf.h"
#include "common/limits.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Not assert(): it must not vanish with NDEBUG. */
#define fuzz_must(condition) \
        do { \
                if (!(condition)) { \
                        (void)fprintf(stderr, "not so: %s\n", #condition); \
                        abort(); \
                } \
        } while (0)

/* The same bytes. */
static inline bool fuzz_same(const struct buf *a, const struct buf *b)
{
        return a->len == b->len && (a->len == 0 || memcmp(buf_bytes(a), buf_bytes(b), a->len) == 0);
}

/* Appends to what is compared at the end. */
static inline void fuzz_append(struct buf *to, const void *bytes, size_t len)
{
        if (buf_append(to, bytes, len) < 0)
                abort();
}
