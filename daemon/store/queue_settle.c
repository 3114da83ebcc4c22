/* SPDX-License-Identifier: MIT */
/*
 * What came of an attempt: states, replies and history of the recipients that were being sent; or that there
 * was none.
 *
 * One transaction has it all: recipients, the row of the message that follows from them, its history and the
 * notice to its sender; so a crash leaves either the claim, which the next start takes up as "may arrive
 * twice", or the whole result. These writes are stubborn (jobs.h): a full disk delays them, since a message
 * that a server took must not be sent again for want of a few bytes.
 */
#include "daemon/store/queue_notice.h"

struct settle {
        uint64_t seq;
        time_t time;
        char *host, *tls, *result;
        struct settled_recipient *recipients; /* with copies of the texts */
        size_t recipient_count;
        struct notice_rules notice;
        bool partly;
        char account[LIMIT_ACCOUNT_NAME + 1],
                notice_id[QUEUE_ID_SIZE]; /* of the notice that was added, or "" */
        void (*done)(void *ctx, const struct cause *cause);
        void *ctx;
        struct store_write write;
};

/* attempts counts what was said to servers and failures to reach them alike: back-off follows it. */
static int settle_one(const struct settle *settle, const struct settled_recipient *recipient,
                      struct database *db, struct cause *cause)
{
        bool waits = recipient->state == QUEUE_DEFERRED || recipient->state == QUEUE_AMBIGUOUS;
        const char *code = recipient->cause == CAUSE_NONE ? NULL : cause_kind(recipient->cause)->name;
        const char *enhanced = recipient->enhanced && *recipient->enhanced ? recipient->enhanced : NULL;

        return db_run(db, cause,
                      "UPDATE recipient SET state = ?, attempts = attempts + 1, next_attempt = ?, reply = ?,"
                      " enhanced = ?, cause = ?, time = ? WHERE seq = ? AND number = ?",
                      VALUES(v_int(recipient->state), v_int(waits ? recipient->next_attempt : 0),
                             v_text(recipient->reply), v_text(enhanced), v_text(code), v_int(settle->time),
                             v_int((int64_t)settle->seq), v_int(recipient->index)));
}

/* What became of the recipients of one settlement. */
struct settled {
        size_t count;
        bool ambiguous, failed;
};

static int settle_all(const struct settle *settle, struct settled *out, struct database *db,
                      struct cause *cause)
{
        for (size_t i = 0; i < settle->recipient_count; i++) {
                const struct settled_recipient *recipient = &settle->recipients[i];
                if (recipient->state == QUEUE_QUEUED)
                        continue;
                if (settle_one(settle, recipient, db, cause) < 0)
                        return -1;
                out->ambiguous = out->ambiguous || recipient->state == QUEUE_AMBIGUOUS;
                out->failed = out->failed || recipient->state == QUEUE_FAILED;
                out->count++;
        }
        return 0;
}

/* The transaction was rolled back and runs again: what it had given out is taken back. */
static void forget_notice(struct store_write *write)
{
        struct settle *settle = container_of(write, struct settle, write);

        settle->account[0] = settle->notice_id[0] = '\0';
}

/* A message of a deleted account is not there any more, which is no fault. One that failed is kept for a
 * person, without an end to its lifetime. */
static int settle_write(struct store_write *write, struct database *db, struct cause *cause)
{
        struct settle *settle = container_of(write, struct settle, write);
        struct message_row row;
        struct settled settled = { 0 };
        int found = queue_row_read(db, settle->seq, &row, cause);

        if (found <= 0)
                return found; /* its account was deleted meanwhile */
        if (settle_all(settle, &settled, db, cause) < 0)
                return -1;
        row.claimed = settle->partly;
        row.attempts += !settle->partly && settled.count != 0;
        if (settle->result && queue_history_add(db, settle->seq, settle->time, settle->host, settle->tls,
                                                settle->result, cause) < 0)
                return -1;
        if (settled.ambiguous && db_run(db, cause, "UPDATE message SET maybe_sent = 1 WHERE seq = ?",
                                        VALUES(v_int((int64_t)settle->seq))) < 0)
                return -1;
        (void)snprintf(settle->account, sizeof settle->account, "%s", row.account);
        if (settled.failed &&
            queue_notice_add(db, settle->seq, &settle->notice, settle->time, settle->notice_id, cause) < 0)
                return -1;
        if (queue_row_follow(db, &row, settle->time, cause) < 0)
                return -1;
        if (row.state != QUEUE_FAILED)
                return 0;
        return db_run(db, cause, "UPDATE message SET expires_clock = ? WHERE seq = ?",
                      VALUES(v_int(CLOCK_NEVER), v_int((int64_t)settle->seq)));
}

static void settle_done(struct store_write *write, const struct cause *cause)
{
        struct settle *settle = container_of(write, struct settle, write);

        if (!cause)
                queue_notice_tell(settle->account, settle->notice_id, &settle->notice, settle->seq);
        if (settle->done)
                settle->done(settle->ctx, cause);
        for (size_t i = 0; i < settle->recipient_count; i++) {
                free((char *)(uintptr_t)settle->recipients[i].reply);
                free((char *)(uintptr_t)settle->recipients[i].enhanced);
        }
        free(settle->recipients);
        free(settle->host);
        free(settle->tls);
        free(settle->result);
        notice_rules_done(&settle->notice);
        free(settle);
}

/* All is copied: the caller may free what it gave before the write has begun. */
void queue_settle(const struct settlement *given, void (*done)(void *ctx, const struct cause *cause),
                  void *ctx)
{
        struct settle *settle = new_object(struct settle);

        *settle = (struct settle){ .seq = given->seq,
                                   .time = given->time,
                                   .host = copy_text(given->host),
                                   .tls = copy_text(given->tls),
                                   .result = copy_text(given->result),
                                   .recipient_count = given->recipient_count,
                                   .partly = given->partly,
                                   .notice = notice_rules_copy(given->notice),
                                   .done = done,
                                   .ctx = ctx,
                                   .write = { .write = settle_write,
                                              .forget = forget_notice,
                                              .done = settle_done,
                                              .stubborn = true } };
        settle->recipients = new_zeroed(given->recipient_count + 1, sizeof *settle->recipients);
        for (size_t i = 0; i < given->recipient_count; i++) {
                settle->recipients[i] = given->recipients[i];
                settle->recipients[i].reply = copy_text(given->recipients[i].reply);
                settle->recipients[i].enhanced = copy_text(given->recipients[i].enhanced);
        }
        store_write(&settle->write);
}

/* ---- giving back ---- */

struct unclaim {
        uint64_t seq;
        struct store_write write;
};

/* As it was before the claim, to the last attempt's reply. */
static int unclaim_write(struct store_write *write, struct database *db, struct cause *cause)
{
        struct unclaim *unclaim = container_of(write, struct unclaim, write);
        struct message_row row;
        int found = queue_row_read(db, unclaim->seq, &row, cause);

        if (found <= 0)
                return found;
        row.claimed = false;
        return queue_row_follow(db, &row, 0, cause);
}

static void unclaim_done(struct store_write *write, unused_arg const struct cause *cause)
{
        free(container_of(write, struct unclaim, write));
}

void queue_unclaim(uint64_t seq)
{
        struct unclaim *unclaim = new_object(struct unclaim);

        *unclaim = (struct unclaim){
                .seq = seq, .write = { .write = unclaim_write, .done = unclaim_done, .stubborn = true }
        };
        store_write(&unclaim->write);
}
