/* SPDX-License-Identifier: MIT */
/*
 * Pieces and arrays of items that are used again while anything arrives, so that their memory is not the
 * system's in between: a page that the system has just cleared costs more than what is done with it. Loop.
 */
#include "daemon/store/delivery.h"

enum {
        PIECES = 16,       /* as many as a message of one account has that comes faster than it is written */
        ARRAYS = 3,        /* an account has so many batches at once, */
        ITEMS_MOST = 1024, /* of about as many messages each */
};

static struct {
        struct piece *first;
        unsigned pieces;
        struct {
                struct item *items;
                size_t size;
        } arrays[ARRAYS];
        unsigned array_count;
        size_t deliveries;
} spares;

struct piece *delivery_piece_take(void)
{
        struct piece *piece = spares.first;

        if (!piece) {
                piece = new_object(struct piece);
                buf_init(&piece->bytes, DELIVERY_PIECE_MAX);
                return piece;
        }
        spares.first = take(piece->next);
        spares.pieces--;
        return piece;
}

static void piece_free(struct piece *piece)
{
        buf_free(&piece->bytes);
        free(piece->steps);
        free(piece);
}

void delivery_piece_done(struct piece *piece)
{
        if (spares.pieces == PIECES) {
                piece_free(piece);
                return;
        }
        buf_clear(&piece->bytes);
        piece->step_count = 0;
        piece->next = spares.first;
        spares.first = piece;
        spares.pieces++;
}

void delivery_spares_hold(struct arrival *arrival)
{
        spares.deliveries++;
        if (!spares.array_count)
                return;
        spares.array_count--;
        arrival->items = spares.arrays[spares.array_count].items;
        arrival->size = spares.arrays[spares.array_count].size;
}

static void give_all_back(void)
{
        while (spares.first)
                piece_free(delivery_piece_take());
        while (spares.array_count)
                free(spares.arrays[--spares.array_count].items);
}

void delivery_spares_let_go(struct arrival *arrival)
{
        if (spares.array_count == ARRAYS || arrival->size > ITEMS_MOST) {
                free(take(arrival->items));
        } else if (arrival->items) {
                spares.arrays[spares.array_count].size = arrival->size;
                spares.arrays[spares.array_count++].items = take(arrival->items);
        }
        arrival->count = arrival->size = 0;
        if (--spares.deliveries == 0)
                give_all_back();
}
