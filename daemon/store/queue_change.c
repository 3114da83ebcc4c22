/* SPDX-License-Identifier: MIT */
/*
 * What a person does to queued messages: retry, hold, release, delete, reroute; all of the ids or none.
 *
 * One transaction by the writer, answered after its commit. A message that is claimed belongs to its sender:
 * it can be retried (which concerns its other recipients) but not held, deleted or moved under the sender's
 * hands; whoever asks is told to wait.
 */
#include "common/json_fields.h"
#include "daemon/store/owner_rows.h"
#include "daemon/store/queue_rows.h"

#include <stdio.h>

struct change {
        enum queue_change what;
        char **ids;
        size_t count;
        char *account;      /* REROUTE: the new one */
        struct owner owner; /* of it */
        size_t max_queue;   /* that may wait there */
        time_t now;
        json_t *changed;
        void (*done)(void *ctx, json_t *changed, const struct cause *cause);
        void *ctx;
        struct store_write write;
};

/* Sets of states as bits. */
#define BIT(state) (1u << (state))
#define WAITING    (BIT(QUEUE_QUEUED) | BIT(QUEUE_DEFERRED) | BIT(QUEUE_AMBIGUOUS))

/* One row a change: which states of a message allow it, why not else, and what happens to recipients. */
static const struct {
        const char *verb;
        unsigned allowed; /* states of the message */
        bool while_sending;
        unsigned from;       /* recipients in these states ... */
        enum queue_state to; /* ... get this one */
        bool fresh;          /* a full lifetime from now on */
} rules[] = {
        [QUEUE_RETRY] = { "retried", WAITING | BIT(QUEUE_SENDING) | BIT(QUEUE_FAILED), true,
                          BIT(QUEUE_DEFERRED) | BIT(QUEUE_AMBIGUOUS) | BIT(QUEUE_FAILED), QUEUE_QUEUED,
                          false },
        [QUEUE_HOLD] = { "held", WAITING | BIT(QUEUE_HELD), false, WAITING, QUEUE_HELD, false },
        [QUEUE_RELEASE] = { "released", BIT(QUEUE_HELD), false, BIT(QUEUE_HELD), QUEUE_QUEUED, true },
        [QUEUE_DELETE] = { "deleted", ~BIT(QUEUE_SENDING), false, 0, QUEUE_QUEUED, false },
        [QUEUE_REROUTE] = { "rerouted", WAITING | BIT(QUEUE_HELD) | BIT(QUEUE_FAILED), false,
                            BIT(QUEUE_DEFERRED) | BIT(QUEUE_AMBIGUOUS) | BIT(QUEUE_FAILED), QUEUE_QUEUED,
                            true },
};

/* By state and claim as they are in the transaction: what the caller saw on its screen may be old. */
static int check(enum queue_change what, const struct message_row *row, struct cause *cause)
{
        char id[QUEUE_ID_SIZE];

        queue_id_of(row->seq, id);
        if (row->claimed && !rules[what].while_sending) {
                cause_set(cause, CAUSE_STATE, "message %s is being sent just now and cannot be %s", id,
                          rules[what].verb);
                cause_remedy(cause, "see when that is over: emailsecctl queue show %s", id);
                return -1;
        }
        if ((rules[what].allowed & BIT(row->state)) == 0) {
                cause_set(cause, CAUSE_STATE, "message %s is %s and cannot be %s", id,
                          queue_state_name(row->state), rules[what].verb);
                cause_remedy(cause,
                             row->state == QUEUE_HELD ? "emailsecctl queue release %s"
                                                      : "emailsecctl queue show %s",
                             id);
                return -1;
        }
        return 0;
}

/* Moves the message's row and counts to another account. */
static int move_account(struct database *db, struct message_row *row, const char *account,
                        struct cause *cause)
{
        if (db_run(db, cause, "UPDATE message SET account = ? WHERE seq = ?",
                   VALUES(v_text(account), v_int((int64_t)row->seq))) < 0)
                return -1;
        queue_counts_add(row->account, row->state, -1, -row->size);
        queue_counts_add(account, row->state, 1, row->size);
        (void)snprintf(row->account, sizeof row->account, "%s", account);
        return 0;
}

/* The message's row follows from its recipients (queue_row_follow), never the other way. HOLD stops the
 * lifetime, RELEASE and REROUTE begin a full one, RETRY does so for what had failed: it would expire at
 * once. */
static int change_recipients(struct database *db, const struct change *change, struct message_row *row,
                             struct cause *cause)
{
        struct value seq = v_int((int64_t)row->seq);
        bool held = change->what == QUEUE_HOLD;
        enum queue_state before = row->state;

        /* An ambiguous one that is held or queued anew may still arrive twice. */
        if (db_run(db, cause,
                   "UPDATE message SET maybe_sent = 1 WHERE seq = ? AND EXISTS"
                   " (SELECT 1 FROM recipient WHERE recipient.seq = message.seq AND state = " SQL_AMBIGUOUS
                   ")",
                   VALUES(seq)) < 0 ||
            db_run(db, cause,
                   "UPDATE recipient SET state = ?, next_attempt = 0, told = 0 WHERE seq = ? AND (1 << "
                   "state) & ? <> 0",
                   VALUES(v_int(rules[change->what].to), seq, v_int(rules[change->what].from))) < 0)
                return -1;
        if (queue_row_follow(db, row, 0, cause) < 0)
                return -1;
        if (!held && !rules[change->what].fresh && before != QUEUE_FAILED)
                return 0;
        return db_run(db, cause, "UPDATE message SET expires_clock = ?, expires = ? + lifetime WHERE seq = ?",
                      VALUES(v_int(held ? CLOCK_NEVER : CLOCK_FRESH), v_int(change->now), seq));
}

static int change_one(struct change *change, struct database *db, const char *given, struct cause *cause)
{
        struct message_row row;
        uint64_t seq;
        char id[QUEUE_ID_SIZE];

        if (queue_id_find(db, given, &seq, cause) < 0)
                return -1;
        int found = queue_row_read(db, seq, &row, cause);
        if (found <= 0)
                return found < 0 ? -1 : cause_missing(cause, MISSING_MESSAGE, "", given);
        if (check(change->what, &row, cause) < 0)
                return -1;
        json_t *item = json_object();
        queue_id_of(seq, id);
        json_put_text(item, "id", id);
        json_put_text(item, "account", change->what == QUEUE_REROUTE ? change->account : row.account);
        if (change->what == QUEUE_REROUTE)
                json_put_text(item, "previousAccount", row.account);
        if (json_array_append_new(change->changed, item) < 0)
                return cause_set(cause, CAUSE_INTERNAL, "out of memory");
        if (change->what == QUEUE_DELETE)
                return queue_row_delete(db, &row, cause);
        if (change->what == QUEUE_REROUTE && move_account(db, &row, change->account, cause) < 0)
                return -1;
        return change_recipients(db, change, &row, cause);
}

static void forget_changed(struct store_write *write)
{
        (void)json_array_clear(container_of(write, struct change, write)->changed);
}

/* The room in the new account's queue is counted after the moves, inside the transaction; a move that would
 * overfill it rolls all of them back. */
static int change_write(struct store_write *write, struct database *db, struct cause *cause)
{
        struct change *change = container_of(write, struct change, write);

        uint64_t before = change->account ? queue_waiting_inside(change->account) : 0;

        for (size_t i = 0; i < change->count; i++)
                if (change_one(change, db, change->ids[i], cause) < 0)
                        return -1;
        uint64_t after = change->account ? queue_waiting_inside(change->account) : 0;
        if (after <= before || after <= change->max_queue)
                return 0;
        return cause_about(
                cause, CAUSE_QUEUE_FULL, "maxQueueSize",
                "the queue of %s has no room for them: %llu messages would wait, maxQueueSize is %zu",
                change->account, (unsigned long long)after, change->max_queue);
}

static void change_done(struct store_write *write, const struct cause *cause)
{
        struct change *change = container_of(write, struct change, write);

        change->done(change->ctx, cause ? NULL : change->changed, cause);
        json_decref(change->changed);
        for (size_t i = 0; i < change->count; i++)
                free(change->ids[i]);
        free(change->ids);
        free(change->account);
        free(change);
}

void queue_change(enum queue_change what, const char *const *ids, size_t count, const char *account,
                  size_t max_queue, void (*done)(void *ctx, json_t *changed, const struct cause *cause),
                  void *ctx)
{
        struct change *change = new_object(struct change);

        *change = (struct change){ .what = what,
                                   .count = count,
                                   .account = copy_text(account),
                                   .owner = account ? owner_of(account) : (struct owner){ 0 },
                                   .max_queue = max_queue,
                                   .now = loop_wall(),
                                   .done = done,
                                   .ctx = ctx,
                                   .write = { .owner = &change->owner,
                                              .write = change_write,
                                              .forget = forget_changed,
                                              .done = change_done } };
        change->changed = json_array();
        change->ids = new_zeroed(count + 1, sizeof *change->ids);
        for (size_t i = 0; i < count; i++)
                change->ids[i] = copy_text(ids[i]);
        store_write(&change->write);
}
