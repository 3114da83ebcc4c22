/* SPDX-License-Identifier: MIT */
/* When the station is at rest; see rest.h. No timer runs while nothing happens. One list of a large queue, or
 * a few large messages, leave more than a thousand small ones: so once nothing more is asked, what there was
 * does not matter. */
#include "daemon/store/rest.h"

#include "daemon/store/chunk_memory.h"

#include <malloc.h>

enum {
        LOOK_AFTER = 2000, /* ms */
        FEW = 4,           /* jobs within that: what others ask now and then, */
        MANY = 32,         /* and no end of it: then, after so many */
};

static struct {
        void (*run)(struct job *job);
        bool (*give_back)(void);
        struct timer *look;
        unsigned lately, since; /* jobs since the last look; since the last rest */
        bool resting;
        bool reads; /* a read went on, whose cache stays */
} rest;

/* The writer's thread: its connection is free between two batches. */
static void rest_work(unused_arg struct job *job)
{
        rest.reads = !rest.give_back();
        chunk_memory_give_back();
        (void)malloc_trim(0);
}

static void rest_done(struct job *job)
{
        rest.resting = false;
        free(job);
        if (rest.reads || rest.since)
                rest_put_off(); /* again, when that is done */
}

static void look(unused_arg void *ctx)
{
        bool over = rest.since && !rest.lately, quiet = rest.since >= MANY && rest.lately <= FEW;

        if (rest.lately)
                timer_set(rest.look, LOOK_AFTER);
        rest.lately = 0;
        if ((!over && !quiet) || rest.resting)
                return;
        struct job *job = new_object(struct job);
        *job = (struct job){ .work = rest_work, .done = rest_done };
        rest.since = 0;
        rest.resting = true;
        rest.run(job);
}

void rest_put_off(void)
{
        if (!rest.look)
                return;
        rest.lately++;
        rest.since++;
        if (!timer_is_set(rest.look))
                timer_set(rest.look, LOOK_AFTER);
}

void rest_open(void (*run)(struct job *job), bool (*give_back)(void))
{
        rest.run = run;
        rest.give_back = give_back;
        rest.look = timer_new(look, NULL);
        rest_put_off(); /* the start was work */
}

void rest_close(void)
{
        timer_free(take(rest.look));
        rest.lately = rest.since = 0;
        rest.resting = false;
}
