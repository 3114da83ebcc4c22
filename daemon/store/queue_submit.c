/* SPDX-License-Identifier: MIT */
/*
 * Submission: what was taken in (taking.h) is inserted by the writer.
 *
 * First a thread of taking.c reads the message, checks and completes its header and writes what is large to
 * a file (body_file.h), which another one syncs; then one transaction has key, room, row, recipients and
 * body, or the file's name. The submitter is answered after its commit: from the answer on the message is
 * kept, whatever happens to the machine; without an answer it is not there, or the key (idempotency) finds it
 * when it is submitted again.
 *
 * Room is counted inside the transaction, so that two submissions in one commit do not both get the last
 * place.
 */
#include "daemon/store/client_file.h"
#include "daemon/store/owner_rows.h"
#include "daemon/store/queue_body.h"
#include "daemon/store/reserve.h"
#include "daemon/store/taking.h"

struct submit {
        struct submission s; /* with copies of its own */
        struct owner owner;
        struct taking *taking;
        char id[QUEUE_ID_SIZE];
        bool duplicate;
        void (*done)(void *ctx, const char *id, bool duplicate, const struct cause *cause);
        void *ctx;
        struct job sync; /* of its file */
        bool unsynced;
        struct cause cause;
        struct store_write write;
};

static void free_texts(const char **texts, size_t count)
{
        for (size_t i = 0; texts && i < count; i++)
                free((char *)(uintptr_t)texts[i]);
        free(texts);
}

static void submit_free(struct submit *submit)
{
        struct submission *s = &submit->s;

        free_texts(s->recipients, s->recipient_count);
        free_texts(s->notify, s->recipient_count);
        free_texts(s->originals, s->recipient_count);
        const char *texts[] = { s->account, s->from, s->key, s->submitted_by, s->ret, s->envelope_id };
        for (size_t i = 0; i < count_of(texts); i++)
                free((char *)(uintptr_t)texts[i]);
        taking_free(submit->taking);
        free(submit);
}

/* ---- writer thread ---- */

/* The submitter's other name: who it is is told by the uid, and its name was told in time or was not. */
static char *bare_name(const struct submission *s)
{
        return text_of("uid %u", s->owner);
}

/* One submitter's keys are his own. While the user data base did not answer he was "uid N" alone: keys under
 * either name are his. */
static int known_key(struct submit *submit, struct database *db, uint64_t *seq, struct cause *cause)
{
        const struct submission *s = &submit->s;
        scoped(scoped_free) char *bare = bare_name(s), *named = text_of("%% (uid %u)", s->owner);
        int64_t number = 0;

        if (s->key && db_number(db, cause, &number, 0,
                                "SELECT seq FROM message WHERE submitted_by IN (?, ?) AND key = ?",
                                VALUES(v_text(s->submitted_by), v_text(bare), v_text(s->key))) < 0)
                return -1;
        if (s->key && !number && same_text(s->submitted_by, bare) &&
            db_number(db, cause, &number, 0, "SELECT seq FROM message WHERE submitted_by LIKE ? AND key = ?",
                      VALUES(v_text(named), v_text(s->key))) < 0)
                return -1;
        *seq = (uint64_t)number;
        return 0;
}

/* ---- room ---- */

/* Of the queue: what all may fill who are not in charge, what one of them may, and what they may fill with
 * held mail. */
enum { USERS = 15, USER = 12, HELD = 4, OF = 16 };

/* Rounded up: of very small queues, all. */
static uint64_t part(uint64_t whole, unsigned parts)
{
        return whole - whole * (OF - parts) / OF;
}

static int refuse_count(const struct submission *s, const char *words, uint64_t count, struct cause *cause)
{
        return cause_about(cause, CAUSE_QUEUE_FULL, "maxQueueSize",
                           "the queue of %s is full%s: %llu wait, maxQueueSize is %zu", s->account, words,
                           (unsigned long long)count, s->max_queue);
}

static int refuse_bytes(const struct submission *s, const char *words, uint64_t bytes, struct cause *cause)
{
        (void)cause_set(cause, CAUSE_QUEUE_FULL,
                        "the queue of the station is full%s: %llu bytes wait, QueueSizeLimit is %llu", words,
                        (unsigned long long)bytes, (unsigned long long)s->max_disk);
        cause_remedy(cause, "see why mail waits: emailsecctl status; then raise QueueSizeLimit or delete "
                            "what is not needed");
        return -1;
}

/* What the user has in the queue is counted only where it is nearly full: it takes a look at each message. A
 * share, so that one program that runs wild leaves room for others; who administers the station may fill it.
 */
static int check_share(const struct submission *s, uint64_t size, struct database *db, struct cause *cause)
{
        scoped(scoped_free) char *bare = bare_name(s);
        int64_t count = 0, bytes = 0;

        if (db_number(db, cause, &count, 0,
                      "SELECT count(*) FROM message WHERE finished IS NULL AND account = ? AND state < ?"
                      " AND submitted_by IN (?, ?)",
                      VALUES(v_text(s->account), v_int(QUEUE_FAILED), v_text(s->submitted_by),
                             v_text(bare))) < 0 ||
            db_number(db, cause, &bytes, 0,
                      "SELECT sum(size) FROM message WHERE finished IS NULL AND submitted_by IN (?, ?)",
                      VALUES(v_text(s->submitted_by), v_text(bare))) < 0)
                return -1;
        if ((uint64_t)count >= part(s->max_queue, USER))
                return refuse_count(s, " for one user", (uint64_t)count, cause);
        if (s->max_disk && (uint64_t)bytes + size > part(s->max_disk, USER))
                return refuse_bytes(s, " for one user", (uint64_t)bytes, cause);
        return 0;
}

static int check_room(const struct submission *s, uint64_t size, struct database *db, struct cause *cause)
{
        struct queue_counts all = queue_counts_inside(NULL), own = queue_counts_inside(s->account);
        uint64_t waiting = queue_waiting_inside(s->account);
        unsigned parts = s->in_charge ? OF : USERS;

        if (waiting >= part(s->max_queue, parts))
                return refuse_count(s, s->in_charge ? "" : " but for a reserve", waiting, cause);
        if (s->max_disk && all.bytes + size > part(s->max_disk, parts))
                return refuse_bytes(s, s->in_charge ? "" : " but for a reserve", all.bytes, cause);
        if (s->in_charge)
                return 0;
        if (s->held && own.messages[QUEUE_HELD] >= part(s->max_queue, HELD))
                return refuse_count(s, " of held mail", own.messages[QUEUE_HELD], cause);
        if (waiting >= part(s->max_queue, USER) ||
            (s->max_disk && all.bytes + size > part(s->max_disk, USER)))
                return check_share(s, size, db, cause);
        return 0;
}

static int insert_body(const struct submit *submit, struct database *db, uint64_t seq, struct cause *cause)
{
        const struct taking *taking = submit->taking;

        if (taking->file.fd >= 0)
                return queue_body_insert_file(db, seq, &taking->file, intake_facts(taking->intake)->size,
                                              cause);
        return queue_body_insert(db, seq, buf_bytes(&taking->out), taking->out.len, cause);
}

static int insert_recipients(const struct submission *s, struct database *db, uint64_t seq,
                             struct cause *cause)
{
        for (size_t i = 0; i < s->recipient_count; i++)
                if (db_run(db, cause,
                           "INSERT INTO recipient (seq, number, address, state, notify, original)"
                           " VALUES (?, ?, ?, ?, ?, ?)",
                           VALUES(v_int((int64_t)seq), v_int((int64_t)i), v_text(s->recipients[i]),
                                  v_int(s->held ? QUEUE_HELD : QUEUE_QUEUED),
                                  v_text(s->notify ? s->notify[i] : NULL),
                                  v_text(s->originals ? s->originals[i] : NULL))) < 0)
                        return -1;
        return 0;
}

static int insert_message(struct submit *submit, struct database *db, uint64_t *seq, struct cause *cause)
{
        const struct submission *s = &submit->s;
        const struct intake_facts *facts = intake_facts(submit->taking->intake);

        if (db_run(db, cause,
                   "INSERT INTO message (account, state, priority, due, expires_clock, lifetime, expires, "
                   "size,"
                   " eight_bit, header_utf8, submitted, sender, message_id, submitted_by, key,"
                   " ret, envelope_id)"
                   " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                   VALUES(v_text(s->account), v_int(s->held ? QUEUE_HELD : QUEUE_QUEUED),
                          v_int(s->priority > 0), s->held ? v_null() : v_int(0),
                          v_int(s->held && s->in_charge ? CLOCK_NEVER : s->account_clock + s->lifetime),
                          v_int(s->lifetime), v_int(s->rules.now + s->lifetime), v_int((int64_t)facts->size),
                          v_int(facts->eight_bit), v_int(facts->header_utf8), v_int(s->rules.now),
                          v_text(s->from), v_text(facts->message_id), v_text(s->submitted_by), v_text(s->key),
                          v_text(s->ret), v_text(s->envelope_id))) < 0)
                return -1;
        *seq = (uint64_t)db_last_id(db);
        queue_counts_add(s->account, s->held ? QUEUE_HELD : QUEUE_QUEUED, 1, (int64_t)facts->size);
        return 0;
}

static int insert(struct store_write *write, struct database *db, struct cause *cause)
{
        struct submit *submit = container_of(write, struct submit, write);
        uint64_t seq;

        if (known_key(submit, db, &seq, cause) < 0)
                return -1;
        submit->duplicate = seq != 0;
        if (!submit->duplicate &&
            reserve_allows(submit->s.priority > 0, intake_facts(submit->taking->intake)->size,
                           submit->taking->file.fd >= 0, cause) < 0)
                return -1;
        if (!submit->duplicate &&
            (owner_holds(db, &submit->owner, cause) < 0 ||
             check_room(&submit->s, intake_facts(submit->taking->intake)->size, db, cause) < 0 ||
             insert_message(submit, db, &seq, cause) < 0 ||
             insert_recipients(&submit->s, db, seq, cause) < 0 || insert_body(submit, db, seq, cause) < 0))
                return -1;
        queue_id_of(seq, submit->id);
        return 0;
}

/* ---- loop ---- */

static void finish(struct submit *submit, const struct cause *cause)
{
        submit->done(submit->ctx, cause ? NULL : submit->id, !cause && submit->duplicate, cause);
        submit_free(submit);
}

static void inserted(struct store_write *write, const struct cause *cause)
{
        finish(container_of(write, struct submit, write), cause);
}

static void write_it(struct submit *submit)
{
        submit->write =
                (struct store_write){ .write = insert, .done = inserted, .brings = true, .early = true };
        store_write(&submit->write);
        if (submit->s.coming)
                submit->s.coming(submit->s.account);
}

static void sync_work(struct job *job)
{
        struct submit *submit = container_of(job, struct submit, sync);

        submit->unsynced = body_file_sync(&submit->taking->file, &submit->cause) < 0;
}

static void sync_done(struct job *job)
{
        struct submit *submit = container_of(job, struct submit, sync);

        if (submit->unsynced)
                finish(submit, &submit->cause);
        else
                write_it(submit);
}

/* A file is synced beside others, while the thread that wrote it reads the next one of that user. */
static void taken_in(void *ctx, struct taking *taking, const struct cause *cause)
{
        struct submit *submit = ctx;

        if (cause) {
                finish(submit, cause);
                return;
        }
        submit->taking = taking;
        if (taking->file.fd < 0) {
                write_it(submit);
                return;
        }
        submit->sync = (struct job){ .work = sync_work, .done = sync_done };
        store_run_sync(&submit->sync);
}

static const char **copy_texts(const char **texts, size_t count)
{
        const char **copies = texts ? new_zeroed(count + 1, sizeof *copies) : NULL;

        for (size_t i = 0; copies && i < count; i++)
                copies[i] = copy_text(texts[i]);
        return copies;
}

static struct submit *submit_copy(const struct submission *given)
{
        struct submit *submit = new_object(struct submit);
        struct submission *s = &submit->s;

        *s = *given;
        s->account = copy_text(given->account);
        submit->owner = owner_of(given->account);
        s->from = copy_text(given->from ? given->from : "");
        s->key = copy_text(given->key);
        s->ret = copy_text(given->ret);
        s->envelope_id = copy_text(given->envelope_id);
        s->notify = copy_texts(given->notify, given->recipient_count);
        s->originals = copy_texts(given->originals, given->recipient_count);
        s->submitted_by = copy_text(given->submitted_by ? given->submitted_by : "");
        s->recipients = copy_texts(given->recipients, given->recipient_count);
        s->bytes = NULL;
        s->fd = -1;
        return submit;
}

/* Answers by itself, in a later turn, as the others do. */
static int refuse(struct store_write *write, unused_arg struct database *db, struct cause *cause)
{
        (void)write;
        return cause_about(cause, CAUSE_INVALID, "recipients", "a message has 1 to %d recipients",
                           LIMIT_RECIPIENTS);
}

uint64_t queue_submit(const struct submission *submission,
                      void (*done)(void *ctx, const char *id, bool duplicate, const struct cause *cause),
                      void *ctx)
{
        struct submit *submit = submit_copy(submission);
        struct taking_order order = { .rules = submission->rules,
                                      .fd = submission->fd,
                                      .bytes = submission->bytes,
                                      .len = submission->len,
                                      .owner = submission->owner,
                                      .in_charge = submission->in_charge };

        submit->done = done;
        submit->ctx = ctx;
        if (submission->recipient_count && submission->recipient_count <= LIMIT_RECIPIENTS)
                return taking_begin(&order, taken_in, submit);
        client_file_close(order.fd);
        submit->write = (struct store_write){ .write = refuse, .done = inserted };
        store_write(&submit->write);
        return 0;
}
