/* SPDX-License-Identifier: MIT */
/* The heap; see heap.h. An empty one holds no memory. */
#include "daemon/heap.h"

enum { ROOM_FIRST = 16 };

static bool comes_before(const struct heap_item *a, const struct heap_item *b)
{
        return a->key != b->key ? a->key < b->key : a->order < b->order;
}

static void put_at(struct heap *heap, size_t index, struct heap_item *item)
{
        heap->items[index] = item;
        item->place = index + 1;
}

/* Finds the place for the item, from the free place `index` on. */
static void settle(struct heap *heap, size_t index, struct heap_item *item)
{
        for (; index && comes_before(item, heap->items[(index - 1) / 2]); index = (index - 1) / 2)
                put_at(heap, index, heap->items[(index - 1) / 2]);
        for (;;) {
                size_t child = 2 * index + 1;
                if (child + 1 < heap->count && comes_before(heap->items[child + 1], heap->items[child]))
                        child++;
                if (child >= heap->count || comes_before(item, heap->items[child]))
                        break;
                put_at(heap, index, heap->items[child]);
                index = child;
        }
        put_at(heap, index, item);
}

void heap_put(struct heap *heap, struct heap_item *item)
{
        size_t index = item->place - 1;

        if (!item->place) {
                if (heap->count == heap->size) {
                        heap->size = heap->size ? 2 * heap->size : ROOM_FIRST;
                        heap->items = new_resized(heap->items, heap->size, sizeof *heap->items);
                }
                index = heap->count++;
        }
        settle(heap, index, item);
}

void heap_take(struct heap *heap, struct heap_item *item)
{
        if (!item->place)
                return;
        size_t index = item->place - 1;
        struct heap_item *last = heap->items[--heap->count];

        item->place = 0;
        if (last != item)
                settle(heap, index, last);
        if (!heap->count)
                heap_clear(heap);
}

struct heap_item *heap_first(const struct heap *heap)
{
        return heap->count ? heap->items[0] : NULL;
}

void heap_clear(struct heap *heap)
{
        while (heap->count)
                heap->items[--heap->count]->place = 0;
        free(take(heap->items));
        heap->size = 0;
}
