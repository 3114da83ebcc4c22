/* SPDX-License-Identifier: MIT */
/* Ordering by number, a few digits at a time; see order.h. */
#include "common/order.h"

#include "common/cleanup.h"

#include <stdint.h>
#include <string.h>

enum { DIGIT_BITS = 11, DIGITS = 1 << DIGIT_BITS, NUMBER_BITS = 32 };

static uint32_t number_of(const uint8_t *item)
{
        uint32_t number;

        memcpy(&number, item, sizeof number);
        return number;
}

static bool is_ascending(const uint8_t *items, size_t count, size_t size)
{
        for (size_t i = 1; i < count; i++)
                if (number_of(items + (i - 1) * size) > number_of(items + i * size))
                        return false;
        return true;
}

/* By the digit from this bit on. */
static void distribute(const uint8_t *from, uint8_t *to, size_t count, size_t size, unsigned shift)
{
        size_t places[DIGITS] = { 0 }, place = 0;

        for (size_t i = 0; i < count; i++)
                places[number_of(from + i * size) >> shift & (DIGITS - 1)]++;
        for (size_t digit = 0; digit < DIGITS; digit++) {
                size_t those = places[digit];
                places[digit] = place;
                place += those;
        }
        for (size_t i = 0; i < count; i++)
                memcpy(to + places[number_of(from + i * size) >> shift & (DIGITS - 1)]++ * size,
                       from + i * size, size);
}

void order_by_number(void *items, size_t count, size_t size)
{
        uint8_t *from = items;

        if (is_ascending(from, count, size))
                return;
        scoped(scoped_free) uint8_t *room = new_zeroed(count, size);
        uint8_t *to = room;
        for (unsigned shift = 0; shift < NUMBER_BITS; shift += DIGIT_BITS) {
                distribute(from, to, count, size, shift);
                uint8_t *was = from;
                from = to;
                to = was;
        }
        if (from != items)
                memcpy(items, from, count * size);
}
