/* SPDX-License-Identifier: MIT */
/*
 * Work for thousands, some of it in each turn of the loop: the first at once, the rest in the turns that
 * follow.
 */
#pragma once

#include <stdbool.h>

struct timer;

struct turns {
        /* Does some of the work. True: there is more. Else it is over, and may have been freed by then, or
         * have begun anew. */
        bool (*some)(void *ctx);
        void *ctx;
        struct timer *timer; /* NULL: none was taken, or it was stopped */
};

void turns_begin(struct turns *turns);
/* Also within one. */
void turns_stop(struct turns *turns);
