/* SPDX-License-Identifier: MIT */
/* Work in turns of the loop; see turns.h. */
#include "daemon/turns.h"

#include "daemon/loop.h"

static void take_turn(void *ctx)
{
        struct turns *turns = ctx;

        if (turns->some(turns->ctx))
                timer_set_next_turn(turns->timer);
}

void turns_begin(struct turns *turns)
{
        if (!turns->timer)
                turns->timer = timer_new(take_turn, turns);
        take_turn(turns);
}

void turns_stop(struct turns *turns)
{
        timer_free(turns->timer);
        turns->timer = NULL;
}
