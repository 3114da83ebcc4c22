/* SPDX-License-Identifier: MIT */
/* Random numbers and words from the kernel. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* For spreading times; 0 should the kernel have none yet. */
uint32_t random_number(void);
/* A part of such a time, less than `spread`, in its unit; 0 of none. */
static inline int64_t random_within(uint32_t spread)
{
        return spread ? (int64_t)(random_number() % spread) : 0;
}
/* `count` random characters (at most 64) of Crockford's base32 alphabet in lower case, and a NUL. */
void random_token(char *out, size_t count);
/* The alphabet: 32 characters. */
extern const char token_digits[];
