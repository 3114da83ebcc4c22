/* SPDX-License-Identifier: MIT */
/* A table of slots, each with a count of the objects that it has stood for; see handle.h. */
#include "daemon/handle.h"

#include <stdio.h>

/* A handle is the slot's number plus one in the low bits, and above them which of the slot's objects it
 * means: at ten thousand a second in one slot the count lasts for three years, and a slot that has used it up
 * is left out. */
enum { SLOT_BITS = 24, SLOTS_MOST = (1 << SLOT_BITS) - 1 };
#define TURN_MOST (UINT64_MAX >> SLOT_BITS)

struct slot {
        void *object;       /* NULL: free */
        uint64_t turn;      /* how many objects it had before this one */
        uint32_t next_free; /* slot number plus one; 0: the last */
};

/* Kept with the process: no number of an earlier loop comes again. */
static struct {
        struct slot *slots;
        uint32_t count, size;
        uint32_t first_free; /* slot number plus one; 0: none */
} table;

static uint32_t new_slot(void)
{
        if (table.count == SLOTS_MOST) {
                /* As with memory: sixteen million objects are none of ours. */
                (void)fprintf(stderr, "<2>out of handles\n");
                abort();
        }
        if (table.count == table.size) {
                table.size = table.size ? 2 * table.size : 64;
                table.slots = new_resized(table.slots, table.size, sizeof *table.slots);
        }
        table.slots[table.count] = (struct slot){ 0 };
        return ++table.count;
}

handle_id handle_new(void *object)
{
        uint32_t number = table.first_free;

        if (number)
                table.first_free = table.slots[number - 1].next_free;
        else
                number = new_slot();
        struct slot *slot = &table.slots[number - 1];
        slot->object = object;
        return slot->turn << SLOT_BITS | number;
}

static struct slot *slot_of(handle_id handle)
{
        uint32_t number = (uint32_t)(handle & SLOTS_MOST);

        if (number == 0 || number > table.count)
                return NULL;
        struct slot *slot = &table.slots[number - 1];
        return slot->object && slot->turn == handle >> SLOT_BITS ? slot : NULL;
}

void *handle_object(handle_id handle)
{
        const struct slot *slot = slot_of(handle);

        return slot ? slot->object : NULL;
}

void handle_drop(handle_id *handle)
{
        struct slot *slot = slot_of(*handle);

        if (slot) {
                slot->object = NULL;
                if (slot->turn++ < TURN_MOST) {
                        slot->next_free = table.first_free;
                        table.first_free = (uint32_t)(*handle & SLOTS_MOST);
                }
        }
        *handle = HANDLE_NONE;
}
