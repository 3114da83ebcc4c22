/* SPDX-License-Identifier: MIT */
/*
 * In the place of daemon/workers.c: jobs run on the one thread, between its turns. When one begins, when it
 * is over and in which order those of a pool come back, the seed decides; a pool of one thread stays a strict
 * queue.
 */
#include "daemon/loop_parts.h"

#include "tests/simulator/kernel.h"

#include <pthread.h>
#include <string.h>

enum { USUAL_US = 300, LATE_MS = 4000 };

struct task {
        struct job *job;
        struct workers *pool;
        uint64_t number; /* events know it by this: it may have gone */
        int64_t began;   /* ms; 0: not yet */
        int64_t more;    /* ms that it takes longer, by job_takes() */
        bool worked, over, outside;
        struct task *next;
};

struct workers {
        unsigned threads, busy;
        struct task *tasks, **end; /* in the order of coming */
        bool posted, freed;
        bool prompt; /* none of its jobs is late */
        int64_t moved;
        struct workers *next_pool;
};

static struct workers *pools;
static struct task *at_work;
static uint64_t last_number;

static struct task *find(void *number)
{
        for (struct workers *pool = pools; pool; pool = pool->next_pool)
                for (struct task *task = pool->tasks; task; task = task->next)
                        if (task->number == (uintptr_t)number)
                                return task;
        return NULL;
}

static void take_out(struct task **place)
{
        struct workers *pool = (*place)->pool;

        if (pool->end == &(*place)->next)
                pool->end = place;
        *place = (*place)->next;
}

/* ---- the steps of a job ---- */

static void deliver(void *ctx)
{
        struct workers *pool = ctx;
        struct job *jobs = NULL, **end = &jobs;

        pool->posted = false;
        for (struct task **place = &pool->tasks; *place;) {
                struct task *task = *place;
                if (!task->over) {
                        place = &task->next;
                        continue;
                }
                take_out(place);
                *end = task->job;
                end = &task->job->next;
                free(task);
        }
        *end = NULL;
        if (pool->freed)
                free(pool);
        while (jobs) {
                struct job *job = jobs;
                jobs = job->next;
                job->done(job);
        }
}

static void work(struct task *task)
{
        bool was = in_daemon;
        int64_t loops = shared->turn_work;

        at_work = task;
        in_daemon = true;
        task->job->work(task->job);
        in_daemon = was;
        shared->turn_work = loops;
        at_work = NULL;
        task->worked = true;
        task->pool->moved = shared->now_us / 1000;
}

static void begin_some(struct workers *pool);

static void finish(struct task *task)
{
        struct workers *pool = task->pool;

        task->over = true;
        pool->busy--;
        if (!pool->posted) {
                pool->posted = true;
                loop_post(deliver, pool);
        }
        begin_some(pool);
}

static void on_finish(void *number)
{
        struct task *task = find(number);

        if (task && !task->over)
                finish(task);
}

static int64_t some_time(const struct workers *pool)
{
        if (!shared->honest && !pool->prompt && feature("jobs.late", 50) && chance_permille("jobs", 10))
                return chance_about("jobs", LATE_MS) * 1000;
        return chance_about("jobs", USUAL_US);
}

static void on_work(void *number)
{
        struct task *task = find(number);

        if (!task || task->worked)
                return;
        work(task);
        (void)life_in_us(task->more * 1000 + some_time(task->pool), on_finish, number);
}

static void begin_some(struct workers *pool)
{
        for (struct task *task = pool->tasks; task && pool->busy < pool->threads; task = task->next) {
                if (task->began)
                        continue;
                task->began = pool->moved = shared->now_us / 1000 + 1;
                pool->busy++;
                (void)life_in_us(some_time(task->pool), on_work, (void *)(uintptr_t)task->number);
        }
}

/* Who waits on the loop's thread for what a job does: everything that can be done is done. */
bool threads_work_one(void)
{
        if (at_work)
                return false;
        for (struct workers *pool = pools; pool; pool = pool->next_pool)
                for (struct task *task = pool->tasks; task; task = task->next)
                        if (task->began && !task->worked) {
                                work(task);
                                finish(task);
                                return true;
                        }
        return false;
}

void job_takes(int64_t ms)
{
        if (at_work)
                at_work->more += ms;
}

/* ---- as in loop.h ---- */

struct workers *workers_new(const char *name, unsigned threads)
{
        struct workers *pool = new_object(struct workers);

        /* The service manager listens: where it does not, the daemon is right to go on without a word to it.
         */
        *pool = (struct workers){ .threads = threads,
                                  .prompt = strcmp(name, "notify") == 0,
                                  .next_pool = pools };
        pool->end = &pool->tasks;
        pools = pool;
        return pool;
}

void workers_run(struct workers *pool, struct job *job)
{
        struct task *task = new_object(struct task);

        *task = (struct task){ .job = job, .pool = pool, .number = ++last_number };
        *pool->end = task;
        pool->end = &task->next;
        begin_some(pool);
}

static void unlist(struct workers *pool)
{
        struct workers **link = &pools;

        while (*link && *link != pool)
                link = &(*link)->next_pool;
        if (*link)
                *link = pool->next_pool;
}

static void end_pool(struct workers *pool, bool works)
{
        struct task *tasks = pool->tasks;

        unlist(pool);
        pool->tasks = NULL;
        pool->end = &pool->tasks;
        pool->threads = 0;
        for (struct task *task = tasks; works && task; task = task->next)
                if (!task->worked)
                        work(task);
        if (pool->posted)
                pool->freed = true; /* deliver() is on its way and frees it */
        while (tasks) {
                struct task *task = tasks;
                tasks = task->next;
                if (works || !task->began || task->over)
                        task->job->done(task->job);
                free(task);
        }
        if (!pool->posted)
                free(pool);
}

void workers_free(struct workers *pool)
{
        if (pool)
                end_pool(pool, true);
}

void workers_abandon(struct workers *pool)
{
        if (pool)
                end_pool(pool, false);
}

void workers_free_all(void)
{
        while (pools)
                workers_free(pools);
}

void workers_outside(bool outside)
{
        if (at_work)
                at_work->outside = outside;
}

int64_t workers_busy_for(const struct workers *pool)
{
        int64_t now = shared->now_us / 1000 + 1, longest = 0;

        for (const struct task *task = pool->tasks; task; task = task->next)
                if (task->began && !task->over && now - task->began + 1 > longest)
                        longest = now - task->began + 1;
        return longest;
}

int64_t workers_stuck_for(const struct workers *pool)
{
        return workers_busy_for(pool);
}

/* ---- waiting for a job on the loop's thread ---- */

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until)
{
        (void)condition;
        (void)until;
        pthread_mutex_unlock(mutex);
        bool worked = threads_work_one();
        pthread_mutex_lock(mutex);
        return worked ? 0 : ETIMEDOUT;
}
