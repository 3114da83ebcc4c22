/* SPDX-License-Identifier: MIT */
/*
 * What comes first of many: a binary heap of items that lie within the objects they stand for, and know
 * their place. To put one in, to move it and to take it out from anywhere costs the logarithm of their
 * number.
 */
#pragma once

#include "common/cleanup.h"

#include <stdint.h>

struct heap_item {
        int64_t key;    /* the smallest comes first, */
        uint64_t order; /* and among the same the one with the smallest of these */
        size_t place;   /* the heap's: index plus 1; 0 = it is in none */
};

struct heap {
        struct heap_item **items;
        size_t count, size;
};

/* Puts it in, or where its key and order, changed or not, belong. Until it is taken out the object stays. */
void heap_put(struct heap *heap, struct heap_item *item);
/* Nothing happens where it is not in. */
void heap_take(struct heap *heap, struct heap_item *item);
/* NULL: there is none. */
struct heap_item *heap_first(const struct heap *heap);
/* Takes all out. */
void heap_clear(struct heap *heap);
