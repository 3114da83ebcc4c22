/* SPDX-License-Identifier: MIT */
/*
 * Worker threads: a pool takes jobs in order and starts threads as they are
 * needed, up to its maximum. Finished jobs go back to the loop in batches.
 */
#include "common/times.h"
#include "daemon/loop_parts.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>

struct job_list {
        struct job *first, **end; /* end: where the next one is hung in */
};

struct worker {
        struct workers *pool;
        pthread_t thread;
        int64_t busy_since;   /* CLOCK_MONOTONIC in ms; 0 = waits for a job */
        int64_t inside_since; /* when the job began, or last came back from outside */
        bool outside;         /* the job waits for somebody else: workers_outside() */
};

struct workers {
        char name[16];
        pthread_mutex_t lock; /* guards everything below but `threads` and `next_pool` */
        pthread_cond_t given;
        struct job_list waiting, finished;
        int64_t moved;  /* when a job was last begun, or came to an empty line */
        bool posted;    /* deliver() is on its way to the loop */
        bool ending;    /* no more jobs come: threads end when none is left */
        bool abandoned; /* the loop has turned its back: the last one out frees, or leaves it behind */
        unsigned idle, started, threads;
        struct workers *next_pool;
        struct worker worker[];
};

/* All pools, for loop_close(); loop thread only. */
static struct workers *pools;

/* On a worker's thread: itself. */
static _Thread_local struct worker *own;

static void list_init(struct job_list *list)
{
        list->first = NULL;
        list->end = &list->first;
}

static void list_add(struct job_list *list, struct job *job)
{
        job->next = NULL;
        *list->end = job;
        list->end = &job->next;
}

static struct job *list_take(struct job_list *list)
{
        struct job *job = list->first;

        if (job) {
                list->first = job->next;
                if (!list->first)
                        list_init(list);
        }
        return job;
}

static struct job *list_take_all(struct job_list *list)
{
        struct job *first = list->first;

        list_init(list);
        return first;
}

/* Not the clock of the loop: a job does not get stuck by a suspend. Never 0, which means that it waits. */
static int64_t monotonic_ms(void)
{
        return time_monotonic_ms() + 1;
}

static void run_done(struct job *jobs)
{
        while (jobs) {
                struct job *job = jobs;
                jobs = job->next;
                job->done(job);
        }
}

static void pool_destroy(struct workers *pool)
{
        pthread_cond_destroy(&pool->given);
        pthread_mutex_destroy(&pool->lock);
        free(pool);
}

/* On the loop. Takes everything at once; a `done` may free the pool, so it is not
 * looked at again. */
static void deliver(void *ctx)
{
        struct workers *pool = ctx;

        pthread_mutex_lock(&pool->lock);
        struct job *jobs = list_take_all(&pool->finished);
        pool->posted = false;
        bool freed = pool->ending && (!pool->abandoned || pool->started == 0);
        pthread_mutex_unlock(&pool->lock);
        if (freed)
                pool_destroy(pool);
        run_done(jobs);
}

/* With the lock held. */
static void finish_job(struct workers *pool, struct job *job)
{
        list_add(&pool->finished, job);
        if (pool->posted || pool->ending)
                return;
        pool->posted = true;
        loop_post(deliver, pool);
}

/* Jobs that ended when nobody was there any more to be told: with what they hold they end with the process.
 */
static struct {
        pthread_mutex_t lock;
        struct workers *first;
} left_behind = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void leave_behind(struct workers *pool)
{
        pthread_mutex_lock(&left_behind.lock);
        pool->next_pool = left_behind.first;
        left_behind.first = pool;
        pthread_mutex_unlock(&left_behind.lock);
}

static void *work(void *ctx)
{
        struct worker *self = ctx;
        struct workers *pool = self->pool;

        own = self;
        pthread_mutex_lock(&pool->lock);
        for (;;) {
                struct job *job = list_take(&pool->waiting);
                if (job) {
                        self->busy_since = self->inside_since = pool->moved = monotonic_ms();
                        pthread_mutex_unlock(&pool->lock);
                        job->work(job);
                        pthread_mutex_lock(&pool->lock);
                        self->busy_since = 0;
                        finish_job(pool, job);
                } else if (pool->ending) {
                        break;
                } else {
                        pool->idle++;
                        pthread_cond_wait(&pool->given, &pool->lock);
                        pool->idle--;
                }
        }
        bool last = --pool->started == 0 && pool->abandoned && !pool->posted, holds = pool->finished.first;
        pthread_mutex_unlock(&pool->lock);
        if (last && holds)
                leave_behind(pool);
        else if (last)
                pool_destroy(pool);
        return NULL;
}

struct workers *workers_new(const char *name, unsigned threads)
{
        struct workers *pool = new_zeroed(1, sizeof *pool + threads * sizeof pool->worker[0]);

        (void)snprintf(pool->name, sizeof pool->name, "%s", name);
        pthread_mutex_init(&pool->lock, NULL);
        pthread_cond_init(&pool->given, NULL);
        list_init(&pool->waiting);
        list_init(&pool->finished);
        pool->threads = threads;
        pool->next_pool = pools;
        pools = pool;
        return pool;
}

/* With the lock held. Signals are the loop's: the thread inherits a full mask. */
static void start_thread(struct workers *pool)
{
        struct worker *worker = &pool->worker[pool->started];
        sigset_t all, before;

        worker->pool = pool;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        int error = pthread_create(&worker->thread, NULL, work, worker);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (error == 0) {
                (void)pthread_setname_np(worker->thread, pool->name);
                pool->started++;
        } else if (pool->started == 0) {
                /* As with memory: without one thread nothing here can work. */
                (void)fprintf(stderr, "<2>cannot start the thread %s: %s\n", pool->name, strerror(error));
                abort();
        }
}

void workers_run(struct workers *pool, struct job *job)
{
        pthread_mutex_lock(&pool->lock);
        bool had = pool->waiting.first != NULL;
        if (!had)
                pool->moved = monotonic_ms();
        list_add(&pool->waiting, job);
        if ((pool->idle == 0 || had) && pool->started < pool->threads)
                start_thread(pool);
        pthread_mutex_unlock(&pool->lock);
        pthread_cond_signal(&pool->given); /* behind it: who wakes does not wait for the lock again */
}

static void unlist(struct workers *pool)
{
        struct workers **link = &pools;

        while (*link && *link != pool)
                link = &(*link)->next_pool;
        if (*link)
                *link = pool->next_pool;
}

void workers_free(struct workers *pool)
{
        if (!pool)
                return;
        unlist(pool);
        pthread_mutex_lock(&pool->lock);
        pool->ending = true;
        unsigned started = pool->started;
        pthread_cond_broadcast(&pool->given);
        pthread_mutex_unlock(&pool->lock);
        for (unsigned i = 0; i < started; i++)
                (void)pthread_join(pool->worker[i].thread, NULL);
        struct job *jobs = list_take_all(&pool->finished);
        if (!pool->posted) /* else the deliver() on its way frees it */
                pool_destroy(pool);
        run_done(jobs);
}

void workers_abandon(struct workers *pool)
{
        if (!pool)
                return;
        unlist(pool);
        pthread_mutex_lock(&pool->lock);
        pool->ending = true;
        pool->abandoned = true;
        struct job *finished = list_take_all(&pool->finished);
        struct job *waiting = list_take_all(&pool->waiting);
        bool frees = pool->started == 0 && !pool->posted;
        for (unsigned i = 0; i < pool->started; i++)
                (void)pthread_detach(pool->worker[i].thread);
        pthread_cond_broadcast(&pool->given);
        pthread_mutex_unlock(&pool->lock);
        if (frees)
                pool_destroy(pool);
        run_done(finished);
        run_done(waiting);
}

void workers_free_all(void)
{
        while (pools)
                workers_free(pools);
}

void workers_outside(bool outside)
{
        if (!own)
                return;
        pthread_mutex_lock(&own->pool->lock);
        own->outside = outside;
        own->inside_since = own->pool->moved = monotonic_ms();
        pthread_mutex_unlock(&own->pool->lock);
}

/* Taking the lock does not change the pool for anybody. */
static struct workers *writable(const struct workers *workers)
{
        return (struct workers *)(uintptr_t)workers;
}

static int64_t since(int64_t oldest)
{
        return oldest ? monotonic_ms() - oldest + 1 : 0;
}

int64_t workers_busy_for(const struct workers *workers)
{
        struct workers *pool = writable(workers);
        int64_t oldest = 0;

        pthread_mutex_lock(&pool->lock);
        for (unsigned i = 0; i < pool->started; i++) {
                int64_t began = pool->worker[i].busy_since;
                if (began && (oldest == 0 || began < oldest))
                        oldest = began;
        }
        pthread_mutex_unlock(&pool->lock);
        return since(oldest);
}

int64_t workers_stuck_for(const struct workers *workers)
{
        struct workers *pool = writable(workers);
        int64_t oldest = 0;
        unsigned outside = 0;

        pthread_mutex_lock(&pool->lock);
        for (unsigned i = 0; i < pool->started; i++) {
                int64_t began = pool->worker[i].busy_since ? pool->worker[i].inside_since : 0;
                outside += pool->worker[i].outside;
                if (began && !pool->worker[i].outside && (oldest == 0 || began < oldest))
                        oldest = began;
        }
        /* Jobs are queued, a thread is free, and none starts: stuck. */
        if (pool->waiting.first && outside < pool->started && (oldest == 0 || pool->moved < oldest))
                oldest = pool->moved;
        pthread_mutex_unlock(&pool->lock);
        return since(oldest);
}
