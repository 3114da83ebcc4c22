/* SPDX-License-Identifier: MIT */
/* A hash to find things by (FNV-1a, 64 bits); whoever chooses the bytes can make two that are equal. */
#pragma once

#include <stddef.h>
#include <stdint.h>

static inline uint64_t hash_bytes(const void *bytes, size_t len)
{
        const uint8_t *at = bytes;
        uint64_t hash = UINT64_C(14695981039346656037);

        for (size_t i = 0; i < len; i++)
                hash = (hash ^ at[i]) * UINT64_C(1099511628211);
        return hash;
}
