/* SPDX-License-Identifier: MIT */
/* Digests of UIDLs; see uidl_set.h. */
#include "daemon/store/uidl_set.h"

#include "common/cleanup.h"
#include "common/hash.h"

enum { FIRST = 256 };

void uidl_set_add(struct uidl_set *set, const char *uidl)
{
        if (set->count == set->size) {
                set->size = set->size ? 2 * set->size : FIRST;
                set->digests = new_resized(set->digests, set->size, sizeof *set->digests);
        }
        set->digests[set->count++] = hash_bytes(uidl, strlen(uidl));
}

static void sift(uint64_t *heap, size_t at, size_t count)
{
        uint64_t value = heap[at];

        for (size_t child; (child = 2 * at + 1) < count; at = child) {
                child += child + 1 < count && heap[child + 1] > heap[child];
                if (heap[child] <= value)
                        break;
                heap[at] = heap[child];
        }
        heap[at] = value;
}

/* Heapsort: qsort() takes as much memory again. */
void uidl_set_sort(struct uidl_set *set)
{
        uint64_t *heap = set->digests;

        if (set->known)
                return;
        for (size_t i = set->count / 2; i-- > 0;)
                sift(heap, i, set->count);
        for (size_t last = set->count; last-- > 1;) {
                uint64_t highest = heap[0];
                heap[0] = heap[last];
                heap[last] = highest;
                sift(heap, 0, last);
        }
        set->known = new_zeroed(set->count / 8 + 1, 1);
}

/* The first one that is not below. */
static size_t place_of(const struct uidl_set *set, uint64_t digest)
{
        size_t from = 0, until = set->count;

        while (from < until) {
                size_t middle = from + (until - from) / 2;
                if (set->digests[middle] < digest)
                        from = middle + 1;
                else
                        until = middle;
        }
        return from;
}

size_t uidl_set_has(const struct uidl_set *set, const char *uidl)
{
        uint64_t digest = hash_bytes(uidl, strlen(uidl));
        size_t at = place_of(set, digest), behind = at;

        if (at < set->count && set->digests[at] == digest)
                behind = digest < UINT64_MAX ? place_of(set, digest + 1) : set->count;
        return behind - at;
}

void uidl_set_note_known(struct uidl_set *set, const char *uidl)
{
        size_t at = place_of(set, hash_bytes(uidl, strlen(uidl)));

        if (uidl_set_has(set, uidl) == 1)
                set->known[at / 8] |= (uint8_t)(1u << at % 8);
}

bool uidl_set_knows(const struct uidl_set *set, const char *uidl)
{
        size_t at = place_of(set, hash_bytes(uidl, strlen(uidl)));

        return uidl_set_has(set, uidl) == 1 && (set->known[at / 8] >> at % 8 & 1);
}

void uidl_set_clear(struct uidl_set *set)
{
        free(set->digests);
        free(set->known);
        *set = (struct uidl_set){ 0 };
}
