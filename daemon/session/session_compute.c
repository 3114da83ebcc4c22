/* SPDX-License-Identifier: MIT */
/* What a chat must have worked out before it goes on, done by threads: a server that asks for a million rounds of hashing
 * holds up nobody but itself. */
#include "common/limits.h"
#include "daemon/loop.h"
#include "daemon/session/session_parts.h"

#include <stdatomic.h>

enum { CALCULATING_THREADS = 2 };

struct calculating {
        struct job job;
        struct calculation *calculation;
        handle_id session;
        void (*done)(struct session *session, const struct calculation *calculation);
        atomic_bool wanted;             /* for the thread: the session waits for it */
};

static struct workers *pool;

static void forget_pool(unused_arg void *ctx)
{
        workers_free(take(pool)); /* those not begun are not wanted any more */
}

static void calculate(struct job *job)
{
        struct calculating *calculating = container_of(job, struct calculating, job);

        if (atomic_load(&calculating->wanted))
                calculating->calculation->work(calculating->calculation);
}

static void calculated(struct job *job)
{
        struct calculating *calculating = container_of(job, struct calculating, job);
        struct session *session = handle_object(calculating->session);

        if (session && session->calculating == calculating) {
                session->calculating = NULL;
                calculating->done(session, calculating->calculation);
        }
        calculating->calculation->free(calculating->calculation);
        free(calculating);
}

void session_calculate(struct session *session, void (*done)(struct session *session, const struct calculation *calculation))
{
        struct calculating *calculating = new_object(struct calculating);

        calculating->job = (struct job){ .work = calculate, .done = calculated };
        calculating->calculation = take(session->chat->calculation);
        calculating->done = done;
        calculating->session = session->self;
        atomic_init(&calculating->wanted, true);
        session->calculating = calculating;
        if (!pool) {
                pool = workers_new("calculate", CALCULATING_THREADS);
                loop_on_close(forget_pool, NULL);
        }
        workers_run(pool, &calculating->job);
}

void session_forget_calculation(struct session *session)
{
        struct calculating *calculating = take(session->calculating);

        if (calculating)
                atomic_store(&calculating->wanted, false);
}
