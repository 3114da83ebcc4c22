/* SPDX-License-Identifier: MIT */
/* The two copies of the queue's counts and how changes get from one to the other; and how long the oldest
 * message that waits has done so. See queue_counts.h. */
#include "daemon/store/queue_counts.h"

#include "common/limits.h"
#include "daemon/loop.h"
#include "daemon/store/queue_rows.h"

#include <search.h>
#include <stdio.h>

struct tally {
        char account[LIMIT_ACCOUNT_NAME + 1]; /* "" = the station */
        int64_t messages[QUEUE_STATES];
        int64_t bytes[QUEUE_STATES];
        unsigned changed; /* states whose row is not written yet: bit set */
        time_t oldest;    /* loop: when the oldest that waits was handed in, as last looked at; 0: none */
        bool waits;       /* loop: of an account, in the list of those that have messages to send */
        struct tally *next_waiting, *previous_waiting;
};
struct change {
        char account[LIMIT_ACCOUNT_NAME + 1];
        enum queue_state state;
        int64_t messages, bytes;
};
struct count_changes {
        size_t count, size;
        struct change *items;
};

/* Sorted trees of struct tally (tsearch). */
static void *inside, *committed;
static struct tally *first_waiting;  /* in `committed` */
static struct count_changes changes; /* of the open transaction; writer thread */

static void set_account(char to[LIMIT_ACCOUNT_NAME + 1], const char *account)
{
        size_t len = strnlen(account, LIMIT_ACCOUNT_NAME);

        memcpy(to, account, len);
        to[len] = '\0';
}

static int compare(const void *a, const void *b)
{
        return strcmp(((const struct tally *)a)->account, ((const struct tally *)b)->account);
}

static struct tally *find(void *const *tree, const char *account)
{
        struct tally key = { 0 };

        set_account(key.account, account);
        struct tally **found = tfind(&key, tree, compare);
        return found ? *found : NULL;
}

static struct tally *find_or_make(void **tree, const char *account)
{
        struct tally *tally = find(tree, account);

        if (tally)
                return tally;
        tally = new_object(struct tally);
        set_account(tally->account, account);
        if (!tsearch(tally, tree, compare))
                abort(); /* as new_object: a small allocation */
        return tally;
}

/* Also to those of the station; returns the account's. */
static struct tally *add(void **tree, const struct change *change, int sign)
{
        const char *const accounts[] = { "", change->account };
        struct tally *tally = NULL;

        for (size_t i = 0; i < count_of(accounts); i++) {
                tally = find_or_make(tree, accounts[i]);
                tally->messages[change->state] += sign * change->messages;
                tally->bytes[change->state] += sign * change->bytes;
                tally->changed |= 1u << change->state;
        }
        return tally;
}

static uint64_t not_negative(int64_t number)
{
        return number > 0 ? (uint64_t)number : 0;
}

static struct queue_counts counts_in(void *const *tree, const char *account)
{
        struct queue_counts counts = { 0 };
        const struct tally *tally = find(tree, account ? account : "");

        for (int state = 0; tally && state < QUEUE_STATES; state++) {
                counts.messages[state] = not_negative(tally->messages[state]);
                if (state != QUEUE_SENT)
                        counts.bytes += not_negative(tally->bytes[state]);
        }
        return counts;
}

/* ---- writer thread ---- */

void queue_counts_add(const char *account, enum queue_state state, int64_t messages, int64_t bytes)
{
        if (changes.count == changes.size) {
                changes.size = changes.size ? 2 * changes.size : 64;
                changes.items = new_resized(changes.items, changes.size, sizeof *changes.items);
        }
        struct change *change = &changes.items[changes.count++];
        *change = (struct change){ .state = state, .messages = messages, .bytes = bytes };
        set_account(change->account, account);
        (void)add(&inside, change, 1);
}

struct queue_counts queue_counts_inside(const char *account)
{
        return counts_in(&inside, account);
}

static uint64_t waiting_of(const struct queue_counts *counts)
{
        uint64_t waiting = 0;

        for (int state = QUEUE_QUEUED; state < QUEUE_FAILED; state++)
                waiting += counts->messages[state];
        return waiting;
}

uint64_t queue_waiting_inside(const char *account)
{
        struct queue_counts own = queue_counts_inside(account);

        return waiting_of(&own);
}

size_t queue_counts_mark(void)
{
        return changes.count;
}

void queue_counts_undo(size_t mark)
{
        while (changes.count > mark)
                (void)add(&inside, &changes.items[--changes.count], -1);
}

static int save_tally(struct database *db, struct tally *tally, struct cause *cause)
{
        for (int state = 0; state < QUEUE_STATES; state++) {
                if ((tally->changed & 1u << state) == 0)
                        continue;
                if (db_run(db, cause,
                           "INSERT OR REPLACE INTO counts (account, state, messages, bytes) VALUES (?, ?, ?, "
                           "?)",
                           VALUES(v_text(tally->account), v_int(state), v_int(tally->messages[state]),
                                  v_int(tally->bytes[state]))) < 0)
                        return -1;
        }
        tally->changed = 0;
        return 0;
}

/* A row written in a transaction that is then lost has the old value again; undo marks it as
 * changed once more, so that the next commit writes what memory says. */
int queue_counts_save(struct database *db, struct cause *cause)
{
        for (size_t i = 0; i < changes.count; i++) {
                struct tally *tally = find(&inside, changes.items[i].account);
                if (tally && tally->changed && save_tally(db, tally, cause) < 0)
                        return -1;
        }
        return 0;
}

struct count_changes *queue_counts_take(void)
{
        if (changes.count == 0)
                return NULL;
        struct count_changes *taken = new_object(struct count_changes);
        *taken = changes;
        changes = (struct count_changes){ 0 };
        return taken;
}

/* ---- loop ---- */

static int64_t to_send(const struct tally *tally)
{
        return tally->messages[QUEUE_QUEUED] + tally->messages[QUEUE_SENDING] +
               tally->messages[QUEUE_DEFERRED] + tally->messages[QUEUE_AMBIGUOUS];
}

static void follow_waiting(struct tally *tally)
{
        bool waits = to_send(tally) > 0 && tally->account[0];

        if (waits && !tally->waits) {
                tally->previous_waiting = NULL;
                tally->next_waiting = first_waiting;
                if (first_waiting)
                        first_waiting->previous_waiting = tally;
                first_waiting = tally;
        } else if (!waits && tally->waits) {
                *(tally->previous_waiting ? &tally->previous_waiting->next_waiting : &first_waiting) =
                        tally->next_waiting;
                if (tally->next_waiting)
                        tally->next_waiting->previous_waiting = tally->previous_waiting;
        }
        tally->waits = waits;
}

void queue_each_waiting(void (*each)(void *ctx, const char *account, uint64_t messages), void *ctx)
{
        for (const struct tally *tally = first_waiting; tally; tally = tally->next_waiting)
                each(ctx, tally->account, not_negative(to_send(tally) - tally->messages[QUEUE_SENDING]));
}

/* The first one that waits is the oldest; which is when it has gone needs a look. */
static void follow_oldest(const char *account)
{
        struct tally *tally = find(&committed, account);

        if (!tally)
                return;
        follow_waiting(tally);
        if (to_send(tally) <= 0)
                tally->oldest = 0;
        else if (!tally->oldest)
                tally->oldest = loop_wall();
}

int64_t queue_oldest_age(const char *account)
{
        const struct tally *tally = find(&committed, account);
        int64_t age = tally && tally->oldest ? (int64_t)loop_wall() - (int64_t)tally->oldest : 0;

        return age > 0 ? age : 0;
}

void queue_oldest_set(const char *account, time_t oldest)
{
        struct tally *tally = find(&committed, account);

        if (tally && to_send(tally) > 0)
                tally->oldest = oldest;
}

void queue_counts_apply(struct count_changes *applied)
{
        if (!applied)
                return;
        for (size_t i = 0; i < applied->count; i++)
                (void)add(&committed, &applied->items[i], 1);
        for (size_t i = 0; i < applied->count; i++)
                follow_oldest(applied->items[i].account);
        free(applied->items);
        free(applied);
}

struct queue_counts queue_counts(const char *account)
{
        return counts_in(&committed, account);
}

uint64_t queue_waiting(const char *account)
{
        struct queue_counts counts = queue_counts(account);

        return waiting_of(&counts);
}

int queue_counts_load(struct database *db, struct cause *cause)
{
        int more;
        scoped(db_end) sqlite3_stmt *rows =
                db_query(db, cause, "SELECT account, state, messages, bytes FROM counts", NULL, 0);

        if (!rows)
                return -1;
        while ((more = db_next(db, rows, cause)) > 0) {
                struct change change = { .messages = sqlite3_column_int64(rows, 2),
                                         .bytes = sqlite3_column_int64(rows, 3) };
                int state = sqlite3_column_int(rows, 1);
                if (state < 0 || state >= QUEUE_STATES)
                        continue;
                change.state = (enum queue_state)state;
                set_account(change.account, (const char *)sqlite3_column_text(rows, 0));
                (void)add(&inside, &change, 1);
                follow_waiting(add(&committed, &change, 1));
        }
        return more;
}

void queue_counts_free(void)
{
        tdestroy(inside, free);
        tdestroy(committed, free);
        inside = committed = NULL;
        first_waiting = NULL;
        free(changes.items);
        changes = (struct count_changes){ 0 };
}

/* ---- when the oldest message that waits was handed in ---- */

enum { LOOK_EVERY_MS = 30 * 1000 };

struct oldest {
        char account[LIMIT_ACCOUNT_NAME + 1];
        time_t submitted;
};

struct look {
        struct oldest *found;
        size_t count;
        struct store_read read;
};

static struct {
        bool under_way, looked;
        int64_t last; /* loop_now() */
} state;

/* The first that waits of each account, by the index of those that are open: a million in the queue are not
 * looked at for it. */
static int look_work(struct store_read *read, struct database *db, struct cause *cause)
{
        struct look *look = container_of(read, struct look, read);
        int more;
        scoped(db_end) sqlite3_stmt *rows = db_query(
                db, cause,
                "SELECT account, (SELECT submitted FROM message WHERE message.account = "
                "waiting.account AND finished IS NULL AND state IN " SQL_IS_UNDER_WAY " ORDER BY seq LIMIT 1)"
                " FROM (SELECT DISTINCT account FROM counts WHERE messages > 0 AND account <> ''"
                " AND state IN " SQL_IS_UNDER_WAY ") AS waiting",
                NULL, 0);

        while ((more = rows ? db_next(db, rows, cause) : -1) > 0) {
                look->found = new_resized(look->found, look->count + 1, sizeof *look->found);
                struct oldest *one = &look->found[look->count++];
                (void)snprintf(one->account, sizeof one->account, "%s",
                               (const char *)sqlite3_column_text(rows, 0));
                one->submitted = (time_t)sqlite3_column_int64(rows, 1);
        }
        return more;
}

static void look_done(struct store_read *read, const struct cause *cause)
{
        struct look *look = container_of(read, struct look, read);

        state.under_way = false;
        for (size_t i = 0; i < look->count && !cause; i++)
                queue_oldest_set(look->found[i].account, look->found[i].submitted);
        free(look->found);
        free(look);
}

void queue_oldest_look(void)
{
        if (state.under_way || (state.looked && loop_now() < state.last + LOOK_EVERY_MS))
                return;
        struct look *look = new_object(struct look);
        state.under_way = state.looked = true;
        state.last = loop_now();
        look->read = (struct store_read){ .read = look_work, .done = look_done };
        store_read(&look->read);
}
