/* SPDX-License-Identifier: MIT */
/*
 * Group commit. What one turn of the loop asks for is handed over together, but for mail, which the writer
 * thread may insert while the loop still reads the next (`early`); it commits when the turn is over. The
 * thread takes all that has gathered since its last commit, runs it in one transaction (once more with a
 * savepoint for each where one fails, so that it spoils none), commits once, and the answers come back
 * together. While a commit fails nothing is promised: everything in it is answered with the cause,
 * but what cannot be had again (`stubborn`), which is kept and tried until the disk is well.
 *
 * Who runs what: store_write() and every `done` on the loop; `write` and `forget` on the writer thread, which
 * alone has the connection that writes. A struct store_write is the asker's memory, and the writer's from
 * store_write() to its `done`. Under the lock is one list and one flag; both threads hold it for a few
 * pointers, never over a call.
 *
 * A `write` may run more than once for one answer (savepoints, a full disk, the rehearsal in sanitizer
 * builds): `forget` takes back what the run before has gathered. The counts of the queue follow the same
 * way: each run notes its differences, a rollback undoes them to its mark, and what was committed is applied
 * to the loop's copy when the answers come.
 */
#include "daemon/journal.h"
#include "daemon/messages.h"
#include "daemon/store/body_file.h"
#include "daemon/store/jobs.h"
#include "daemon/store/owner_rows.h"
#include "daemon/store/queue_counts.h"
#include "daemon/store/reserve.h"
#include "daemon/store/rest.h"
#include "daemon/store/store.h"

#include <pthread.h>

enum {
        BATCH_MAX = 1024,   /* jobs in one commit: answers keep flowing under load */
        BATCH_TIGHT = 16,   /* on a disk that was full: they must fit into little room */
        RETRY_AFTER = 1000, /* ms after a failed commit */
        GATHER_MS = 5       /* so long a commit waits for the end of a turn, at most */
};

#if defined __SANITIZE_ADDRESS__
enum { REHEARSES = true };
#elif defined __has_feature
#if __has_feature(address_sanitizer)
enum { REHEARSES = true };
#else
enum { REHEARSES = false };
#endif
#else
enum { REHEARSES = false };
#endif

struct writes {
        struct store_write *first, **end;
};

struct batch {
        struct job job;
        struct writes writes;
        unsigned room;                /* for so many more */
        struct count_changes *counts; /* to be applied on the loop */
        struct cause cause;           /* why the commit failed, or the disk is in trouble nevertheless */
};

static struct {
        struct workers *thread; /* NULL once closed */
        struct database *db;
        struct store_write *(*changed)(void); /* values that have changed (kept.h), as a write; NULL: none */
        struct writes asked;                  /* this turn's; loop */
        bool handing_over;                    /* hand_over() will run at the end of the turn */
        struct writes kept;                   /* stubborn ones of failed commits; loop */
        struct timer *retry;
        struct cause fault; /* of the last commit; loop */
} writer;

/* Between the loop and the writer thread. */
static struct {
        pthread_mutex_t lock;
        pthread_cond_t turned; /* a turn that had some early is over */
        struct writes writes;
        bool scheduled; /* a batch that still takes jobs is on its way */
        bool gathering; /* more may come in this turn of the loop */
} waiting = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void list_init(struct writes *list)
{
        list->first = NULL;
        list->end = &list->first;
}

static void list_add(struct writes *list, struct store_write *write)
{
        write->next = NULL;
        *list->end = write;
        list->end = &write->next;
}

static struct store_write *list_take(struct writes *list)
{
        struct store_write *write = list->first;

        if (write) {
                list->first = write->next;
                if (!list->first)
                        list_init(list);
        }
        return write;
}

static void list_move(struct writes *to, struct writes *from)
{
        if (!from->first)
                return;
        *to->end = from->first;
        to->end = from->end;
        list_init(from);
}

/* ---- the writer thread ---- */

/* The cause of one job; a second one takes the place of the first. */
static void blame(struct store_write *write, const struct cause *cause)
{
        if (!write->cause)
                write->cause = new_object(struct cause);
        *write->cause = *cause;
}

/* `forget` first, also before the first run: then it has nothing to forget. */
static int run_once(struct database *db, struct store_write *write, struct cause *cause)
{
        if (write->forget)
                write->forget(write);
        if (write->owner && owner_holds(db, write->owner, cause) < 0)
                return -1;
        return write->write(write, db, cause);
}

/* Takes back what has run since the savepoint. */
static int take_back(struct database *db, size_t mark, struct cause *cause)
{
        queue_counts_undo(mark);
        if (!database_in_transaction(db) || db_run(db, cause, "ROLLBACK TO one", NULL, 0) < 0)
                return -1;
        return 0;
}

/* As when the transaction is lost and run once more. */
static int rehearse(struct database *db, struct store_write *write, size_t mark, struct cause *cause)
{
        struct cause of_first = { 0 };

        if (!REHEARSES)
                return 0;
        (void)run_once(db, write, &of_first);
        if (take_back(db, mark, cause) == 0)
                return 0;
        if (!cause_happened(cause))
                *cause = of_first;
        return -1;
}

/* One job in its savepoint. -1: the whole transaction is lost. */
static int run_write(struct database *db, struct store_write *write, struct cause *cause)
{
        size_t mark = queue_counts_mark();
        struct cause own = { 0 };

        if (db_run(db, cause, "SAVEPOINT one", NULL, 0) < 0 || rehearse(db, write, mark, cause) < 0)
                return -1;
        if (run_once(db, write, &own) < 0) {
                if (take_back(db, mark, cause) < 0) {
                        if (!cause_happened(cause))
                                *cause = own;
                        return -1;
                }
                blame(write, &own);
        }
        return db_run(db, cause, "RELEASE one", NULL, 0);
}

/* Moves what waits into the batch, as long as there is room. Returns the first of them. With the lock held.
 */
static struct store_write *take_waiting(struct batch *batch)
{
        struct store_write *first = waiting.writes.first;

        if (!first || !batch->room)
                return NULL;
        for (; batch->room && waiting.writes.first; batch->room--)
                list_add(&batch->writes, list_take(&waiting.writes));
        return first;
}

/* What has come since, to be run in the same transaction; NULL: the batch is closed, and is to be committed.
 */
static struct store_write *take_more(struct batch *batch)
{
        struct timespec until;
        int error = 0;

        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += GATHER_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        pthread_mutex_lock(&waiting.lock);
        while (batch->room && waiting.gathering && !waiting.writes.first && error == 0)
                error = pthread_cond_timedwait(&waiting.turned, &waiting.lock, &until);
        struct store_write *more = take_waiting(batch);
        if (!more)
                waiting.scheduled = false;
        pthread_mutex_unlock(&waiting.lock);
        return more;
}

/* What comes from now on is for the next one. */
static void close_batch(void)
{
        pthread_mutex_lock(&waiting.lock);
        waiting.scheduled = false;
        pthread_mutex_unlock(&waiting.lock);
}

/* All jobs without savepoints, for each of which SQLite would keep a copy of every page that changes. False:
 * one has failed, and nothing stands. */
static bool run_together(struct database *db, struct batch *batch, bool bring)
{
        struct cause ignored = { 0 };
        struct store_write *write = batch->writes.first;

        do {
                for (; write; write = write->next)
                        if ((bring || !write->brings) && run_once(db, write, &ignored) < 0) {
                                queue_counts_undo(0);
                                database_roll_back(db);
                                return false;
                        }
        } while (bring && (write = take_more(batch)));
        return true;
}

static int run_apart(struct database *db, const struct batch *batch, bool bring, struct cause *cause)
{
        for (struct store_write *write = batch->writes.first; write; write = write->next)
                if ((bring || !write->brings) && run_write(db, write, cause) < 0)
                        return -1;
        return 0;
}

/* That one fails is the exception: it is then found out which one. */
static int run_batch(struct database *db, struct batch *batch, bool bring)
{
        struct cause *cause = &batch->cause;

        if (db_run(db, cause, "BEGIN IMMEDIATE", NULL, 0) < 0)
                return -1;
        if ((REHEARSES || !run_together(db, batch, bring)) &&
            ((!database_in_transaction(db) && db_run(db, cause, "BEGIN IMMEDIATE", NULL, 0) < 0) ||
             run_apart(db, batch, bring, cause) < 0))
                return -1;
        close_batch();
        if (queue_counts_save(db, cause) < 0 || body_files_settle(db, cause) < 0)
                return -1;
        return db_run(db, cause, "COMMIT", NULL, 0);
}

/* On a disk that was full a small transaction may fit where a large one does not. */
static void take_jobs(struct batch *batch)
{
        list_init(&batch->writes);
        batch->room = reserve_is_let_go() ? BATCH_TIGHT : BATCH_MAX;
        pthread_mutex_lock(&waiting.lock);
        (void)take_waiting(batch);
        pthread_mutex_unlock(&waiting.lock);
}

/* Any thread. A hint alone: it may be otherwise a moment later. */
bool store_others_write(void)
{
        pthread_mutex_lock(&waiting.lock);
        bool others = waiting.writes.first;
        pthread_mutex_unlock(&waiting.lock);
        return others;
}

static int write_probe(struct database *db, struct cause *cause)
{
        return db_run(db, cause, "INSERT OR REPLACE INTO meta (name, value) VALUES ('probe', ?)",
                      VALUES(v_int(time(NULL))));
}

/* A commit whose sync failed stands in the log all the same, and would count after a kill, though it is told
 * to have failed: the next one is written over it. */
static void overwrite_failed(struct database *db)
{
        struct cause ignored;

        if (db_run(db, &ignored, "BEGIN IMMEDIATE", NULL, 0) < 0 || write_probe(db, &ignored) < 0 ||
            db_run(db, &ignored, "COMMIT", NULL, 0) < 0)
                database_roll_back(db);
}

/* Once more on a disk that is full, with the place that was held for it, and without new mail. */
static int run_in_reserve(struct database *db, struct batch *batch)
{
        struct cause full = batch->cause;
        const struct store_write *own = batch->writes.first;

        while (own && own->brings)
                own = own->next;
        if (!own || !database_full(db))
                return -1;
        (void)reserve_let_go(); /* it may have gone before: without what is new there may still be room enough
                                 */
        queue_counts_undo(0);
        database_roll_back(db);
        cause_clear(&batch->cause);
        if (run_batch(db, batch, false) < 0)
                return -1;
        for (struct store_write *write = batch->writes.first; write; write = write->next)
                if (write->brings)
                        blame(write, &full);
        return 0;
}

/* To open the database takes room for the log's index. */
static bool is_sound(struct cause *cause)
{
        if (store_make_sound(cause) < 0 && !(reserve_lacks_room(store_directory(), cause) &&
                                             reserve_let_go() && store_make_sound(cause) == 0))
                return false;
        return database_in_place(writer.db, cause) == 0;
}

/* Until COMMIT has returned nothing of the batch is promised. `behind`: it is committed, and a checkpoint
 * failed; the answers are good and the disk is in trouble all the same. */
static void batch_work(struct job *job)
{
        struct batch *batch = container_of(job, struct batch, job);

        take_jobs(batch);
        if (!batch->writes.first) {
                close_batch();
                return;
        }
        reserve_begin_commit();
        bool sound = is_sound(&batch->cause);
        if (sound && (run_batch(writer.db, batch, true) == 0 || run_in_reserve(writer.db, batch) == 0)) {
                batch->counts = queue_counts_take();
                body_files_committed();
                const struct cause *behind = database_behind(writer.db);
                if (behind)
                        batch->cause = *behind;
                if (behind && database_full(writer.db))
                        (void)reserve_let_go(); /* the next try has room */
                return;
        }
        close_batch();
        if (batch->cause.code == CAUSE_NONE)
                (void)cause_set(&batch->cause, CAUSE_STORAGE, "the transaction was lost");
        queue_counts_undo(0);
        if (sound) {
                database_roll_back(writer.db);
                overwrite_failed(writer.db);
        }
        for (struct store_write *write = batch->writes.first; write; write = write->next)
                blame(write, &batch->cause);
}

/* ---- the loop ---- */

/* Told once when it begins and once when it ends; retried each second, since nobody else may write. */
static void note_fault(const struct cause *cause)
{
        bool was = writer.fault.code != CAUSE_NONE;
        struct subject subject = { .cause = cause };

        if (cause->code != CAUSE_NONE && !was)
                log_about(&subject, LOG_CRIT, MSG_DISK_FAULT, "cannot write to disk: %s", cause->text);
        else if (cause->code == CAUSE_NONE && was)
                log_about(NULL, LOG_NOTICE, MSG_DISK_WELL, "the disk takes writes again");
        writer.fault = *cause;
        if (cause->code != CAUSE_NONE && writer.thread)
                timer_set(writer.retry, RETRY_AFTER);
}

/* Kept ones are asked again behind a probe (retry): they do not spoil the commits of others meanwhile. */
static void answer(struct store_write *write)
{
        scoped(scoped_free) struct cause *cause = take(write->cause);

        if (cause && cause->code == CAUSE_STORAGE && write->stubborn && writer.thread) {
                list_add(&writer.kept, write);
                return;
        }
        write->done(write, cause);
}

/* Counts first: whoever is answered and looks at the queue sees his own message in it. */
static void batch_done(struct job *job)
{
        struct batch *batch = container_of(job, struct batch, job);
        struct store_write *write;

        if (batch->writes.first)
                note_fault(&batch->cause);
        queue_counts_apply(batch->counts);
        while ((write = list_take(&batch->writes)))
                answer(write);
        free(batch);
        if (store_others_write()) /* what was too many for one commit */
                store_wake();
}

/* One batch is on its way at a time and takes all that has gathered when it begins: this is where the
 * grouping comes from, without any delay. */
static void schedule(void)
{
        pthread_mutex_lock(&waiting.lock);
        bool needed = waiting.writes.first && !waiting.scheduled;
        waiting.scheduled = waiting.scheduled || needed;
        pthread_mutex_unlock(&waiting.lock);
        if (!needed)
                return;
        struct batch *batch = new_object(struct batch);
        batch->job = (struct job){ .work = batch_work, .done = batch_done };
        if (writer.thread) {
                workers_run(writer.thread, &batch->job);
        } else { /* closing */
                batch_work(&batch->job);
                batch_done(&batch->job);
        }
}

/* Once a turn of the loop. Values that changed (kept.h) ride along, so that they cost no commit of their own
 * and are on disk with what they tell of. */
static void hand_over(unused_arg void *ctx)
{
        writer.handing_over = false;
        if (!writer.db)
                return;
        struct store_write *values = writer.changed ? writer.changed() : NULL;
        if (values)
                list_add(&writer.asked, values);
        pthread_mutex_lock(&waiting.lock);
        list_move(&waiting.writes, &writer.asked);
        waiting.gathering = false;
        pthread_mutex_unlock(&waiting.lock);
        pthread_cond_signal(&waiting.turned);
        schedule();
}

void store_wake(void)
{
        if (writer.handing_over || !writer.db)
                return;
        writer.handing_over = true;
        loop_later(hand_over, NULL);
}

static void hand_over_early(struct store_write *write)
{
        pthread_mutex_lock(&waiting.lock);
        list_add(&waiting.writes, write);
        waiting.gathering = true; /* until hand_over(), which is on its way */
        pthread_mutex_unlock(&waiting.lock);
        schedule();
}

/* Order is kept: a job runs after those that were asked for before it, whatever their batches. */
void store_write(struct store_write *write)
{
        rest_put_off();
        if (!writer.db) {
                struct cause closed;
                (void)cause_set(&closed, CAUSE_STATE, "the state folder is closed");
                write->done(write, &closed);
                return;
        }
        store_wake();
        if (write->early && writer.thread && !writer.asked.first)
                hand_over_early(write);
        else
                list_add(&writer.asked, write);
}

/* ---- whether the disk takes writes ---- */

static int probe_write(unused_arg struct store_write *write, struct database *db, struct cause *cause)
{
        return write_probe(db, cause);
}

struct settle {
        void (*done)(void *ctx, const struct cause *cause);
        void *ctx;
        struct store_write write;
};

static void settle_done(struct store_write *write, const struct cause *cause)
{
        struct settle *settle = container_of(write, struct settle, write);

        settle->done(settle->ctx, cause);
        free(settle);
}

void store_settle(void (*done)(void *ctx, const struct cause *cause), void *ctx)
{
        struct settle *settle = new_object(struct settle);

        /* A row of its own: a commit of nothing would succeed on a disk that takes no writes. */
        *settle = (struct settle){ .done = done,
                                   .ctx = ctx,
                                   .write = { .write = probe_write, .done = settle_done } };
        store_write(&settle->write);
}

static void tried(unused_arg void *ctx, unused_arg const struct cause *cause)
{
}

/* While the disk is in trouble and nothing else is to be written, this finds out when it is well. */
static void retry(unused_arg void *ctx)
{
        list_move(&writer.asked, &writer.kept);
        store_settle(tried, NULL);
}

const struct cause *store_fault(void)
{
        return writer.fault.code == CAUSE_NONE ? NULL : &writer.fault;
}

/* ---- beginning and end ---- */

void writer_open(struct database *db, struct store_write *(*changed)(void))
{
        pthread_condattr_t monotonic;

        memset(&writer, 0, sizeof writer);
        (void)pthread_condattr_init(&monotonic);
        (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
        (void)pthread_cond_init(&waiting.turned, &monotonic);
        (void)pthread_condattr_destroy(&monotonic);
        writer.db = db;
        writer.changed = changed;
        writer.thread = workers_new("store-writer", 1);
        writer.retry = timer_new(retry, NULL);
        list_init(&writer.asked);
        list_init(&writer.kept);
        list_init(&waiting.writes);
        waiting.scheduled = waiting.gathering = false;
}

void writer_close(void)
{
        if (!writer.db)
                return;
        list_move(&writer.asked, &writer.kept);
        hand_over(NULL);
        workers_free(take(writer.thread)); /* what its answers ask for is run below, by this thread */
        do {
                hand_over(NULL);
        } while (writer.asked.first || waiting.writes.first);
        timer_free(take(writer.retry));
        (void)pthread_cond_destroy(&waiting.turned);
        writer.db = NULL;
}

void writer_run(struct job *job)
{
        workers_run(writer.thread, job);
}

int64_t writer_stuck_for(void)
{
        return writer.thread ? workers_stuck_for(writer.thread) : 0;
}
