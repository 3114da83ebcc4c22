/* SPDX-License-Identifier: MIT */
/* Ordering by number, in a time that does not depend on the order before: who lists a hundred thousand rows
 * downwards holds the loop no longer than who lists them upwards. */
#pragma once

#include <stddef.h>

/* Each item of `size` bytes begins with its number, a uint32_t. Ascending; equal ones stay as they were. */
void order_by_number(void *items, size_t count, size_t size);
