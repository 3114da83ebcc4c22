/* SPDX-License-Identifier: MIT */
/* The threads of the state folder but the writer's, and the two connections to its database; see jobs.h. */
#include "daemon/store/jobs.h"

#include "daemon/store/database_copy.h"
#include "daemon/store/rest.h"
#include "daemon/store/store.h"

#include <pthread.h>

enum {
        FILE_THREADS = 2,
        CACHE_LEFT = 64 * 1024, /* bytes of a connection's cache that stay at rest, for the next message */
};

static struct {
        char *directory;
        struct database *writing, *reading;
        pthread_mutex_t connections;           /* held by a read, and while the writer opens both anew */
        pthread_mutex_t copying;               /* held while a copy is made */
        atomic_bool no_copy;                   /* one that is being made is given up */
        struct workers *reader, *files, *sync; /* NULL once closing: jobs run at once */
        bool closing;
} jobs = { .connections = PTHREAD_MUTEX_INITIALIZER, .copying = PTHREAD_MUTEX_INITIALIZER };

const char *store_directory(void)
{
        return jobs.directory;
}

bool store_closing(void)
{
        return jobs.closing;
}

const struct cause *store_closed(struct cause *closed)
{
        if (!jobs.closing)
                return NULL;
        (void)cause_set(closed, CAUSE_STATE, "the state folder is being closed");
        return closed;
}

struct workers *store_file_workers(void)
{
        return jobs.files;
}

static void run(struct workers *workers, struct job *job)
{
        if (workers) {
                workers_run(workers, job);
                return;
        }
        job->work(job);
        job->done(job);
}

void store_run_files(struct job *job)
{
        run(jobs.files, job);
}

void store_run_sync(struct job *job)
{
        run(jobs.sync, job);
}

int64_t jobs_stuck_for(void)
{
        const struct workers *const pools[] = { jobs.reader, jobs.files, jobs.sync };
        int64_t longest = 0;

        for (size_t i = 0; i < count_of(pools); i++) {
                int64_t stuck = pools[i] ? workers_stuck_for(pools[i]) : 0;
                longest = stuck > longest ? stuck : longest;
        }
        return longest;
}

/* ---- reads ---- */

static int read_in_snapshot(struct store_read *read, struct cause *cause)
{
        if (database_doubtful(jobs.reading))
                return cause_set(cause, CAUSE_STORAGE,
                                 "the database could not be opened again after a fault");
        int result = db_run(jobs.reading, cause, "BEGIN", NULL, 0);
        if (result == 0)
                result = read->read(read, jobs.reading, cause);
        database_roll_back(jobs.reading); /* nothing was written */
        return result;
}

static void read_work(struct job *job)
{
        struct store_read *read = container_of(job, struct store_read, job);
        struct cause cause = { 0 };

        pthread_mutex_lock(&jobs.connections);
        int result = read_in_snapshot(read, &cause);
        pthread_mutex_unlock(&jobs.connections);
        if (result < 0) {
                read->cause = new_object(struct cause);
                *read->cause = cause;
        }
}

static void read_done(struct job *job)
{
        struct store_read *read = container_of(job, struct store_read, job);
        scoped(scoped_free) struct cause *cause = take(read->cause);

        read->done(read, cause);
}

void store_read(struct store_read *read)
{
        struct cause closed;

        rest_put_off();
        read->job = (struct job){ .work = read_work, .done = read_done };
        if (jobs.reading) {
                run(jobs.reader, &read->job);
                return;
        }
        (void)cause_set(&closed, CAUSE_STATE, "the state folder is closed");
        read->done(read, &closed);
}

/* A copy has a connection of its own: it gives way. */
int store_make_sound(struct cause *cause)
{
        if (!database_doubtful(jobs.writing))
                return 0;
        if (database_in_place(jobs.writing, cause) < 0) /* another one is not what memory knows of */
                return -1;
        atomic_store(&jobs.no_copy, true);
        pthread_mutex_lock(&jobs.copying);
        pthread_mutex_lock(&jobs.connections);
        int result = database_reopen(jobs.writing, jobs.reading, cause);
        pthread_mutex_unlock(&jobs.connections);
        pthread_mutex_unlock(&jobs.copying);
        atomic_store(&jobs.no_copy, false);
        return result;
}

int store_copy_database(const char *target, uint64_t leave, const atomic_bool *cancelled, struct cause *cause)
{
        scoped(scoped_free) char *path = text_of("%s/station.db", jobs.directory);

        pthread_mutex_lock(&jobs.copying);
        int result = database_copy(path, target, leave, cancelled, &jobs.no_copy, cause);
        pthread_mutex_unlock(&jobs.copying);
        return result;
}

/* ---- beginning and end ---- */

void jobs_place(const char *directory)
{
        free(jobs.directory);
        jobs.directory = copy_text(directory);
}

int jobs_connect(const char *path, bool writing, struct cause *cause)
{
        struct database *db = database_open(path, writing, cause);

        *(writing ? &jobs.writing : &jobs.reading) = db;
        return db ? 0 : -1;
}

struct database *jobs_database(void)
{
        return jobs.writing;
}

bool jobs_give_back(void)
{
        database_give_back(jobs.writing, CACHE_LEFT);
        if (pthread_mutex_trylock(&jobs.connections) != 0)
                return false; /* a read may take seconds, and commits come first */
        database_give_back(jobs.reading, CACHE_LEFT);
        pthread_mutex_unlock(&jobs.connections);
        return true;
}

void jobs_disconnect(void)
{
        database_close(take(jobs.reading));
        database_close(take(jobs.writing)); /* the last one: checkpoints */
}

void jobs_begin(void)
{
        jobs.reader = workers_new("store-reader", 1);
        jobs.files = workers_new("store-files", FILE_THREADS);
        jobs.sync = workers_new("store-sync", STORE_SYNC_THREADS);
}

void jobs_set_closing(bool closing)
{
        jobs.closing = closing;
}

void jobs_end_files(void)
{
        workers_free(take(jobs.files));
}

void jobs_end(void)
{
        workers_free(take(jobs.sync));
        workers_free(take(jobs.reader));
}
