/* SPDX-License-Identifier: MIT */
/*
 * Giving out what is due: a claim marks recipients `sending` on disk before anything is sent. Messages
 * that cannot be read are set aside as failed, and the others go on.
 *
 * All on the writer's thread, in the transaction that the claim shares with other writes: either the
 * recipients are `sending` on disk and the messages are handed to the loop, or neither. Column `was`
 * keeps the state before, for a message that is given back untouched; by `claimed` the next start knows
 * those that this run was at (queue_recover).
 *
 * Bytes are looked at here because of what cannot be taken back later: the first chunk always, all of
 * them from the second attempt on. A message whose record or body is not what was written fails, with a
 * notice to its sender, and is kept for a person.
 */
#include "daemon/journal.h"
#include "daemon/messages.h"
#include "daemon/store/queue_body.h"
#include "daemon/store/queue_flood.h"
#include "daemon/store/queue_notice.h"

#include <stdio.h>

/* Of at most 4 * max rows: two priorities, fresh and ripe. */
struct candidate {
        uint64_t seq;
        int priority;
};
/* Told on the loop after the commit: a log line from the writer would come before the fact is on disk. */
struct damaged {
        uint64_t seq;
        char id[QUEUE_ID_SIZE], notice_id[QUEUE_ID_SIZE];
        char text[256];
};
struct claim {
        struct notice_rules notice;
        struct flood flood;
        char *account;
        time_t now, next_due;
        size_t max, max_bytes;
        struct candidate *candidates;
        size_t candidate_count;
        struct queued_message **messages;
        size_t count, bytes;
        struct damaged *damaged;
        size_t damaged_count;
        void (*done)(void *ctx, struct queued_message **messages, size_t count, time_t next_due,
                     const struct cause *cause);
        void *ctx;
        struct store_write write;
};

void queued_message_free(struct queued_message *message)
{
        if (!message)
                return;
        for (size_t i = 0; i < message->recipient_count; i++) {
                free(message->recipients[i].address);
                free(message->recipients[i].notify);
                free(message->recipients[i].original);
        }
        free(message->recipients);
        free(message->from);
        free(message->message_id);
        free(message->ret);
        free(message->envelope_id);
        chunk_memory_free(message->first);
        free(message);
}

static void free_message(struct queued_message **message)
{
        queued_message_free(*message);
}

/* ---- which ones ---- */

/* `given` is ended here, also after an error; NULL is an error of the query, with its cause set. */
static int gather(struct claim *claim, struct database *db, sqlite3_stmt *given, int priority,
                  struct cause *cause)
{
        scoped(db_end) sqlite3_stmt *rows = given;
        int more = rows ? 0 : -1;

        while (rows && (more = db_next(db, rows, cause)) > 0)
                claim->candidates[claim->candidate_count++] =
                        (struct candidate){ (uint64_t)sqlite3_column_int64(rows, 0), priority };
        return more;
}

static int by_priority_and_age(const void *a, const void *b)
{
        const struct candidate *one = a, *two = b;

        if (one->priority != two->priority)
                return one->priority > two->priority ? -1 : 1;
        return one->seq < two->seq ? -1 : one->seq > two->seq;
}

#define SQL_FRESH "SELECT seq FROM message WHERE account = ? AND priority = ? AND due <= 0"
#define SQL_RIPE  "SELECT seq FROM message WHERE account = ? AND priority = ? AND due > 0 AND due <= ?"
#define SQL_FIRST " ORDER BY due, seq LIMIT ?"

/* Two ranges of one index for each priority: what never waited, and what has waited long enough. */
static int find_due(struct claim *claim, struct database *db, struct cause *cause)
{
        bool missing = body_files_missing();
        struct value account = v_text(claim->account), limit = v_int((int64_t)claim->max);
        int64_t next;

        claim->candidates = new_zeroed(4 * claim->max, sizeof *claim->candidates);
        for (int priority = 1; priority >= 0; priority--) {
                sqlite3_stmt *fresh = db_query(db, cause,
                                               missing ? SQL_FRESH SQL_BODY_IS_THERE("message") SQL_FIRST
                                                       : SQL_FRESH SQL_FIRST,
                                               VALUES(account, v_int(priority), limit));
                if (gather(claim, db, fresh, priority, cause) < 0)
                        return -1;
                sqlite3_stmt *ripe = db_query(db, cause,
                                              missing ? SQL_RIPE SQL_BODY_IS_THERE("message") SQL_FIRST
                                                      : SQL_RIPE SQL_FIRST,
                                              VALUES(account, v_int(priority), v_int(claim->now), limit));
                if (gather(claim, db, ripe, priority, cause) < 0)
                        return -1;
                if (db_number(db, cause, &next, 0,
                              "SELECT min(due) FROM message WHERE account = ? AND priority = ? AND due > ?",
                              VALUES(account, v_int(priority), v_int(claim->now > 0 ? claim->now : 0))) < 0)
                        return -1;
                if (next && (claim->next_due == 0 || next < claim->next_due))
                        claim->next_due = (time_t)next;
        }
        qsort(claim->candidates, claim->candidate_count, sizeof *claim->candidates, by_priority_and_age);
        return 0;
}

/* ---- one message ---- */

/* -1 with CAUSE_INVALID is a fault of this message alone, with any other cause one of the disk, which ends
 * the whole claim (claim_one). */
static int load_row(struct queued_message *message, struct database *db, bool *all_recipients, bool *due,
                    enum queue_state *state, struct cause *cause)
{
        scoped(db_end) sqlite3_stmt *rows = db_query(
                db, cause,
                "SELECT sender, message_id, size, eight_bit, header_utf8, priority, submitted,"
                " expires_clock, maybe_sent, due, state, ret, envelope_id FROM message WHERE seq = ?",
                VALUES(v_int((int64_t)message->seq)));
        int more = rows ? db_next(db, rows, cause) : -1;

        if (more <= 0)
                return more < 0 ? -1 : cause_set(cause, CAUSE_INVALID, "its record is missing");
        int64_t expires = sqlite3_column_int64(rows, 7);
        message->from = db_text(rows, 0);
        message->message_id = db_text(rows, 1);
        message->size = (uint64_t)sqlite3_column_int64(rows, 2);
        message->eight_bit = sqlite3_column_int(rows, 3) != 0;
        message->header_utf8 = sqlite3_column_int(rows, 4) != 0;
        message->priority = sqlite3_column_int(rows, 5);
        message->submitted = (time_t)sqlite3_column_int64(rows, 6);
        message->expires_clock = expires == CLOCK_FRESH ? CLOCK_NEVER : expires;
        message->maybe_sent = sqlite3_column_int(rows, 8) != 0;
        *all_recipients = sqlite3_column_int64(rows, 9) < 0;
        *due = sqlite3_column_type(rows, 9) != SQLITE_NULL;
        *state = (enum queue_state)sqlite3_column_int(rows, 10);
        message->ret = db_text(rows, 11);
        message->envelope_id = db_text(rows, 12);
        queue_id_of(message->seq, message->id);
        return 0;
}

/* Only those whose turn it is: others of the same message keep waiting for theirs. AMBIGUOUS ones were
 * perhaps taken by a server; the message carries that word so that the reply is told with it. */
static int load_recipients(struct queued_message *message, struct database *db, time_t until,
                           struct cause *cause)
{
        int more;
        scoped(db_end) sqlite3_stmt *rows = db_query(
                db, cause,
                "SELECT number, address, attempts, state, notify, original FROM recipient WHERE seq = ?"
                " AND (state = " SQL_QUEUED " OR (state IN " SQL_WAITS_FOR_TIME
                " AND next_attempt <= ?)) ORDER BY number",
                VALUES(v_int((int64_t)message->seq), v_int(until)));

        if (!rows)
                return -1;
        while ((more = db_next(db, rows, cause)) > 0) {
                size_t count = message->recipient_count++;
                message->recipients =
                        new_resized(message->recipients, count + 1, sizeof *message->recipients);
                message->recipients[count] = (struct queued_recipient){
                        .index = (uint32_t)sqlite3_column_int64(rows, 0),
                        .address = db_text(rows, 1),
                        .attempts = (unsigned)sqlite3_column_int(rows, 2),
                        .notify = db_text(rows, 4),
                        .original = db_text(rows, 5),
                };
                message->maybe_sent = message->maybe_sent || sqlite3_column_int(rows, 3) == QUEUE_AMBIGUOUS;
        }
        if (more == 0 && message->recipient_count == 0)
                return cause_set(cause, CAUSE_INVALID, "its recipients are missing");
        return more;
}

/* The first chunk, and that all of them are there. The others are checked as they are sent, which ends the
 * attempt; before the next, all of them. */
static int load_body(struct queued_message *message, struct database *db, struct cause *cause)
{
        scoped(queue_body_close) struct queue_body body;
        bool tried = message->maybe_sent;

        for (size_t i = 0; i < message->recipient_count; i++)
                tried = tried || message->recipients[i].attempts;
        if (queue_body_open(&body, db, message->seq, message->size, cause) < 0 ||
            queue_body_chunk(&body, db, 0, &message->first, &message->first_len, cause) < 0)
                return -1;
        return message->size <= BODY_CHUNK ? 0 : queue_body_check(&body, db, tried, cause);
}

/* next_attempt is no later than now: what a person made due ahead of its time is due still when it is given
 * back (`state = was`). */
static int mark_recipients(const struct claim *claim, const struct queued_message *message,
                           struct database *db, struct cause *cause)
{
        for (size_t i = 0; i < message->recipient_count; i++)
                if (db_run(db, cause,
                           "UPDATE recipient SET was = state, state = " SQL_SENDING
                           ", next_attempt = min(next_attempt, ?)"
                           " WHERE seq = ? AND number = ?",
                           VALUES(v_int(claim->now), v_int((int64_t)message->seq),
                                  v_int(message->recipients[i].index))) < 0)
                        return -1;
        return 0;
}

/* due = NULL takes the row out of the index of due messages: no other claim finds it. */
static int mark_sending(const struct claim *claim, const struct queued_message *message, enum queue_state was,
                        struct database *db, struct cause *cause)
{
        struct value seq = v_int((int64_t)message->seq);

        if (mark_recipients(claim, message, db, cause) < 0 ||
            db_run(db, cause,
                   "UPDATE message SET state = " SQL_SENDING ", due = NULL, claimed = 1 WHERE seq = ?",
                   VALUES(seq)) < 0)
                return -1;
        queue_counts_add(claim->account, was, -1, -(int64_t)message->size);
        queue_counts_add(claim->account, QUEUE_SENDING, 1, (int64_t)message->size);
        return 0;
}

/* Sets a message aside that cannot be sent as it is on disk. */
static int set_aside(struct claim *claim, uint64_t seq, struct database *db, const struct cause *why,
                     struct cause *cause)
{
        struct message_row row;
        char notice_id[QUEUE_ID_SIZE];

        if (queue_row_read(db, seq, &row, cause) <= 0)
                return -1;
        if (db_run(db, cause,
                   "UPDATE recipient SET state = " SQL_FAILED
                   ", reply = 'damaged: ' || ?, enhanced = NULL, cause = ?, "
                   "time = ?"
                   " WHERE seq = ? AND state <> " SQL_SENT,
                   VALUES(v_text(why->text), v_text(cause_kind(CAUSE_STORAGE)->name), v_int(claim->now),
                          v_int((int64_t)seq))) < 0 ||
            db_run(db, cause, "UPDATE message SET expires_clock = ? WHERE seq = ?",
                   VALUES(v_int(CLOCK_NEVER), v_int((int64_t)seq))) < 0 ||
            queue_history_add(db, seq, claim->now, NULL, NULL, "set aside as damaged", cause) < 0 ||
            queue_notice_add(db, seq, &claim->notice, claim->now, notice_id, cause) < 0 ||
            queue_row_follow(db, &row, claim->now, cause) < 0)
                return -1;
        claim->damaged = new_resized(claim->damaged, claim->damaged_count + 1, sizeof *claim->damaged);
        struct damaged *damaged = &claim->damaged[claim->damaged_count++];
        damaged->seq = seq;
        queue_id_of(seq, damaged->id);
        memcpy(damaged->notice_id, notice_id, sizeof notice_id);
        if (notice_id[0])
                claim->next_due = claim->now; /* it came too late for this claim */
        (void)snprintf(damaged->text, sizeof damaged->text, "%.*s", (int)sizeof damaged->text - 1, why->text);
        return 0;
}

/* All of its recipients wait, or have it in a digest. */
static int nobody_now(struct claim *claim, uint64_t seq, struct database *db, struct cause *cause)
{
        struct message_row row;

        claim->flood.again = true; /* others stand behind it */
        return queue_row_read(db, seq, &row, cause) <= 0 || queue_row_follow(db, &row, claim->now, cause) < 0
                       ? -1
                       : 1;
}

/* To those recipients that may have it now; takes the message over where there are any. maxPerRecipient is
 * enforced at this gate and nowhere else. */
static int hand_out(struct claim *claim, struct queued_message **message, enum queue_state was,
                    struct database *db, struct cause *cause)
{
        if (queue_flood_gate(&claim->flood, db, claim->account, *message, claim->now, cause) < 0)
                return -1;
        if (!(*message)->recipient_count)
                return nobody_now(claim, (*message)->seq, db, cause);
        if (mark_sending(claim, *message, was, db, cause) < 0)
                return -1;
        claim->bytes += (*message)->first_len;
        claim->messages[claim->count++] = take(*message);
        return 1;
}

/* 1 = taken, set aside or put off, 0 = no room for it, -1 = the disk is in trouble. */
static int claim_one(struct claim *claim, uint64_t seq, struct database *db, struct cause *cause)
{
        scoped(free_message) struct queued_message *message = new_object(struct queued_message);
        enum queue_state was = QUEUE_QUEUED;
        struct cause why = { 0 };
        bool all = false, due = true;

        message->seq = seq;
        int result = load_row(message, db, &all, &due, &was, &why);
        if (result == 0 && !due)
                return 1; /* a digest has it meanwhile */
        time_t until = all ? INT64_MAX : claim->now;
        size_t room = claim->max_bytes > claim->bytes ? claim->max_bytes - claim->bytes : 0;
        if (result == 0 && claim->count && (message->size < BODY_CHUNK ? message->size : BODY_CHUNK) > room)
                return 0;
        if (result == 0)
                result = load_recipients(message, db, until, &why);
        if (result == 0)
                result = load_body(message, db, &why);
        if (result < 0) {
                /* What is incomplete was found here; SQLite tells of damage, or of a disk in trouble. */
                if (why.code == CAUSE_STORAGE && !database_damaged(db)) {
                        *cause = why;
                        return -1;
                }
                return set_aside(claim, seq, db, &why, cause) < 0 ? -1 : 1;
        }
        return hand_out(claim, &message, was, db, cause);
}

static void forget_claimed(struct store_write *write)
{
        struct claim *claim = container_of(write, struct claim, write);

        for (size_t i = 0; i < claim->count; i++)
                queued_message_free(claim->messages[i]);
        free(take(claim->messages));
        free(take(claim->candidates));
        free(take(claim->damaged));
        claim->count = claim->bytes = claim->candidate_count = claim->damaged_count = 0;
        claim->next_due = 0;
        queue_flood_restart(&claim->flood);
}

static int claim_write(struct store_write *write, struct database *db, struct cause *cause)
{
        struct claim *claim = container_of(write, struct claim, write);
        int more = 1;

        if (find_due(claim, db, cause) < 0)
                return -1;
        claim->messages = new_zeroed(claim->max + 1, sizeof(struct queued_message *));
        for (size_t i = 0; i < claim->candidate_count && claim->count < claim->max && more > 0; i++)
                more = claim_one(claim, claim->candidates[i].seq, db, cause);
        if (claim->flood.again)
                claim->next_due = claim->now;
        return more < 0 ? -1 : 0;
}

static void claim_done(struct store_write *write, const struct cause *cause)
{
        struct claim *claim = container_of(write, struct claim, write);

        for (size_t i = 0; i < claim->damaged_count && !cause; i++) {
                struct cause why;
                struct subject subject = { .account = claim->account,
                                           .direction = "outgoing",
                                           .queue_id = claim->damaged[i].id,
                                           .cause = &why };
                cause_set(&why, CAUSE_STORAGE, "%s", claim->damaged[i].text);
                cause_remedy(
                        &why,
                        "look at the disk below the state folder (the kernel's log, smartctl, fsck); see who "
                        "sent it: emailsecctl queue show %s; have it sent anew, then: emailsecctl queue "
                        "delete %s",
                        claim->damaged[i].id, claim->damaged[i].id);
                log_about(&subject, LOG_ERR, MSG_QUEUE_DAMAGED, "message %s is damaged and was set aside: %s",
                          claim->damaged[i].id, claim->damaged[i].text);
                queue_notice_tell(claim->account, claim->damaged[i].notice_id, &claim->notice,
                                  claim->damaged[i].seq);
        }
        for (size_t i = 0; i < claim->count && cause; i++)
                queued_message_free(claim->messages[i]);
        if (!cause)
                queue_flood_tell(&claim->flood, claim->account);
        claim->done(claim->ctx, claim->messages, cause ? 0 : claim->count, claim->next_due, cause);
        free(claim->messages);
        free(claim->candidates);
        free(claim->damaged);
        notice_rules_done(&claim->notice);
        queue_flood_done(&claim->flood);
        free(claim->account);
        free(claim);
}

void queue_claim(const char *account, time_t now, size_t max, size_t max_bytes,
                 const struct notice_rules *notice, const struct flood_rules *flood,
                 void (*done)(void *ctx, struct queued_message **messages, size_t count, time_t next_due,
                              const struct cause *cause),
                 void *ctx)
{
        struct claim *claim = new_object(struct claim);

        *claim = (struct claim){
                .account = copy_text(account),
                .now = now,
                .max = max,
                .max_bytes = max_bytes,
                .notice = notice_rules_copy(notice),
                .done = done,
                .ctx = ctx,
                .write = { .write = claim_write, .forget = forget_claimed, .done = claim_done }
        };
        queue_flood_begin(&claim->flood, flood);
        store_write(&claim->write);
}
