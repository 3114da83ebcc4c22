/* SPDX-License-Identifier: MIT */
/*
 * Named subscribers and their offers, asked for from the loop; see subscriber_table.h.
 *
 * An offer is written in the transaction that records the received message, so that none is missing after a
 * crash; it is deleted when it was acknowledged, in a commit of its own, so that one may come a second time
 * but none is lost unless it was dropped and told as missed. `pending` of a subscriber is the number of its
 * offers, kept beside them because thousands are not to be counted at each message.
 */
#include "daemon/store/subscriber_table.h"

#include "common/json_fields.h"
#include "common/limits.h"
#include "daemon/store/jobs.h"
#include "daemon/store/subscriber_rows.h"

/* One object for all that is asked here. */
struct asked {
        char *name, *accounts;
        struct subscriber_asker asker;
        int64_t seq;
        size_t limit;
        time_t now;
        json_t *result;
        void (*on_done)(void *ctx, const struct cause *cause);
        void (*on_result)(void *ctx, json_t *result, const struct cause *cause);
        void *ctx;
        struct store_read read;
        struct store_write write;
};

static struct asked *asked_new(const char *name, const struct subscriber_asker *asker)
{
        struct asked *asked = new_object(struct asked);

        asked->name = copy_text(name);
        if (asker)
                asked->asker = *asker;
        asked->now = loop_wall();
        return asked;
}

static void asked_free(struct asked *asked)
{
        free(asked->name);
        free(asked->accounts);
        json_decref(asked->result);
        free(asked);
}

static void write_done(struct store_write *write, const struct cause *cause)
{
        struct asked *asked = container_of(write, struct asked, write);

        asked->on_done(asked->ctx, cause);
        asked_free(asked);
}

static void write_it(struct asked *asked,
                     int (*work)(struct store_write *, struct database *, struct cause *),
                     void (*done)(void *ctx, const struct cause *cause), void *ctx)
{
        asked->on_done = done;
        asked->ctx = ctx;
        asked->write = (struct store_write){ .write = work, .done = write_done };
        store_write(&asked->write);
}

static void read_done(struct store_read *read, const struct cause *cause)
{
        struct asked *asked = container_of(read, struct asked, read);

        asked->on_result(asked->ctx, cause ? NULL : asked->result, cause);
        asked_free(asked);
}

static void read_it(struct asked *asked, int (*work)(struct store_read *, struct database *, struct cause *),
                    void (*done)(void *ctx, json_t *result, const struct cause *cause), void *ctx)
{
        asked->result = json_array();
        asked->on_result = done;
        asked->ctx = ctx;
        asked->read = (struct store_read){ .read = work, .done = read_done };
        store_read(&asked->read);
}

/* ---- writer thread ---- */

/* 1 = it is there and the asker's, 0 = there is none of that name. */
static int find(const struct asked *asked, struct database *db, struct cause *cause)
{
        int64_t uid = -1;

        if (db_number(db, cause, &uid, -1, "SELECT uid FROM subscriber WHERE name = ?",
                      VALUES(v_text(asked->name))) < 0)
                return -1;
        if (uid < 0)
                return 0;
        if (asked->asker.admin || uid == (int64_t)asked->asker.uid)
                return 1;
        return cause_set(cause, CAUSE_PERMISSION, "the subscriber %s is that of uid %lld", asked->name,
                         (long long)uid);
}

static int find_known(const struct asked *asked, struct database *db, struct cause *cause)
{
        int found = find(asked, db, cause);

        if (found)
                return found < 0 ? -1 : 0;
        return cause_missing(cause, MISSING_SUBSCRIBER, "subscriber", asked->name);
}

static int refuse_place(const char *whose, int64_t count, struct cause *cause)
{
        (void)cause_set(cause, CAUSE_STATE, "there are %lld subscribers%s already", (long long)count, whose);
        cause_remedy(cause, "emailsecctl subscriber list, and forget one that is not used: emailsecctl "
                            "subscriber forget NAME");
        return -1;
}

/* A place for one more: users have a share of them, and all users together leave some to the people in
 * charge. */
static int check_places(const struct asked *asked, struct database *db, struct cause *cause)
{
        int64_t count = 0, own = 0;

        if (db_number(db, cause, &count, 0, "SELECT count(*) FROM subscriber", NULL, 0) < 0 ||
            db_number(db, cause, &own, 0, "SELECT count(*) FROM subscriber WHERE uid = ?",
                      VALUES(v_int(asked->asker.uid))) < 0)
                return -1;
        if (!asked->asker.admin && own >= LIMIT_SUBSCRIBERS_OF_UID)
                return refuse_place(" of this user", own, cause);
        if (count >= (asked->asker.admin ? LIMIT_SUBSCRIBERS : LIMIT_SUBSCRIBERS_OF_USERS))
                return refuse_place("", count, cause);
        return 0;
}

static int make(const struct asked *asked, struct database *db, struct cause *cause)
{
        if (check_places(asked, db, cause) < 0)
                return -1;
        return db_run(db, cause,
                      "INSERT INTO subscriber (name, uid, accounts, made, seen) VALUES (?, ?, ?, ?, ?)",
                      VALUES(v_text(asked->name), v_int(asked->asker.uid), v_text(asked->accounts),
                             v_int(asked->now), v_int(asked->now)));
}

/* Made by its first use; the uid that made it owns it for good. */
static int open_work(struct store_write *write, struct database *db, struct cause *cause)
{
        const struct asked *asked = container_of(write, struct asked, write);
        int found = find(asked, db, cause);

        if (found <= 0)
                return found < 0 ? -1 : make(asked, db, cause);
        return db_run(db, cause,
                      "UPDATE subscriber SET seen = ?, accounts = coalesce(?, accounts) WHERE name = ?",
                      VALUES(v_int(asked->now), v_text(asked->accounts), v_text(asked->name)));
}

/* Up to and including the cursor. A cursor of the future is refused: it would acknowledge what nobody has
 * seen. Only who has heard of the last dropped ones has missed none. */
static int acknowledge_work(struct store_write *write, struct database *db, struct cause *cause)
{
        const struct asked *asked = container_of(write, struct asked, write);
        struct value name = v_text(asked->name), seq = v_int(asked->seq);
        int64_t last = 0;

        if (find_known(asked, db, cause) < 0 ||
            db_number(db, cause, &last, 0, "SELECT value FROM meta WHERE name = 'offerSeq'", NULL, 0) < 0)
                return -1;
        if (asked->seq > last)
                return cause_about(cause, CAUSE_INVALID, "cursor", "no event has the cursor %lld yet",
                                   (long long)asked->seq);
        if (db_run(db, cause, "DELETE FROM offer WHERE subscriber = ? AND seq <= ?", VALUES(name, seq)) < 0)
                return -1;
        return db_run(db, cause,
                      "UPDATE subscriber SET pending = pending - ?, seen = ?,"
                      " missed = CASE WHEN missed_to <= ? THEN 0 ELSE missed END WHERE name = ?",
                      VALUES(v_int(db_changes(db)), v_int(asked->now), seq, name));
}

static int forget_work(struct store_write *write, struct database *db, struct cause *cause)
{
        const struct asked *asked = container_of(write, struct asked, write);

        if (find_known(asked, db, cause) < 0)
                return -1;
        return db_run(db, cause, "DELETE FROM subscriber WHERE name = ?", VALUES(v_text(asked->name)));
}

/* The names are gathered first: trimming changes what is being read. */
static int sweep_work(struct store_write *write, struct database *db, struct cause *cause)
{
        const struct asked *asked = container_of(write, struct asked, write);
        struct wanting all = { 0 };
        int more;
        scoped(db_end) sqlite3_stmt *rows =
                db_query(db, cause, "SELECT name FROM subscriber WHERE pending > 0", NULL, 0);

        while ((more = rows ? db_next(db, rows, cause) : -1) > 0) {
                all.names = new_resized(all.names, all.count + 1, sizeof *all.names);
                all.names[all.count++] = db_text(rows, 0);
        }
        for (size_t i = 0; i < all.count && more == 0; i++)
                more = subscriber_offers_trim(db, all.names[i], asked->now - LIMIT_OFFERED_DAYS * 86400,
                                              asked->now, cause);
        subscriber_wanting_free(&all);
        return more;
}

/* ---- reader thread ---- */

static int list_work(struct store_read *read, struct database *db, struct cause *cause)
{
        struct asked *asked = container_of(read, struct asked, read);
        int more;
        scoped(db_end) sqlite3_stmt *rows = db_query(
                db, cause,
                "SELECT name, uid, accounts, made, seen, pending, missed, missed_since FROM subscriber"
                " ORDER BY name",
                NULL, 0);

        while ((more = rows ? db_next(db, rows, cause) : -1) > 0) {
                json_t *one = json_object();
                const char *accounts = (const char *)sqlite3_column_text(rows, 2);
                json_put_text(one, "name", (const char *)sqlite3_column_text(rows, 0));
                json_put(one, "uid", json_integer(sqlite3_column_int64(rows, 1)));
                json_put(one, "accounts", accounts ? json_loads(accounts, 0, NULL) : json_null());
                json_put_time(one, "made", sqlite3_column_int64(rows, 3));
                json_put_time(one, "seen", sqlite3_column_int64(rows, 4));
                json_put(one, "pending", json_integer(sqlite3_column_int64(rows, 5)));
                json_put(one, "missed", json_integer(sqlite3_column_int64(rows, 6)));
                json_put_time(one, "missedSince",
                              sqlite3_column_int64(rows, 6) ? sqlite3_column_int64(rows, 7) : 0);
                (void)json_array_append_new(asked->result, one);
        }
        return more;
}

static void add_offer(struct asked *asked, int64_t seq, int64_t time, const char *account, json_t *data)
{
        json_t *one = json_object();

        json_put(one, "seq", json_integer(seq));
        json_put(one, "time", json_integer(time));
        json_put_text(one, "account", account);
        json_put(one, "data", data);
        (void)json_array_append_new(asked->result, one);
}

static int add_missed(struct asked *asked, struct database *db, struct cause *cause)
{
        scoped(db_end) sqlite3_stmt *rows = db_query(db, cause,
                                                     "SELECT missed_to, missed_since, missed FROM subscriber"
                                                     " WHERE name = ? AND missed > 0 AND missed_to > ?",
                                                     VALUES(v_text(asked->name), v_int(asked->seq)));
        int more = rows ? db_next(db, rows, cause) : -1;

        if (more <= 0)
                return more;
        json_t *data = json_object();
        json_put(data, "missed", json_integer(sqlite3_column_int64(rows, 2)));
        json_put_time(data, "since", sqlite3_column_int64(rows, 1));
        add_offer(asked, sqlite3_column_int64(rows, 0), asked->now, NULL, data);
        return 0;
}

static int offers_work(struct store_read *read, struct database *db, struct cause *cause)
{
        struct asked *asked = container_of(read, struct asked, read);
        int more;

        if (add_missed(asked, db, cause) < 0)
                return -1;
        size_t left = asked->limit - json_array_size(asked->result);
        scoped(db_end) sqlite3_stmt *rows =
                db_query(db, cause,
                         "SELECT seq, time, account, data FROM offer WHERE subscriber = ? AND seq > ?"
                         " ORDER BY seq LIMIT ?",
                         VALUES(v_text(asked->name), v_int(asked->seq), v_int((int64_t)left)));
        while ((more = rows ? db_next(db, rows, cause) : -1) > 0) {
                json_t *data = json_loads((const char *)sqlite3_column_text(rows, 3), 0, NULL);
                add_offer(asked, sqlite3_column_int64(rows, 0), sqlite3_column_int64(rows, 1),
                          (const char *)sqlite3_column_text(rows, 2), data ? data : json_object());
        }
        return more;
}

/* ---- loop ---- */

void subscriber_open(const char *name, const struct subscriber_asker *asker, const json_t *accounts,
                     void (*done)(void *ctx, const struct cause *cause), void *ctx)
{
        struct asked *asked = asked_new(name, asker);

        if (accounts)
                asked->accounts = json_dumps(accounts, JSON_COMPACT);
        write_it(asked, open_work, done, ctx);
}

void subscriber_acknowledge(const char *name, const struct subscriber_asker *asker, int64_t seq,
                            void (*done)(void *ctx, const struct cause *cause), void *ctx)
{
        struct asked *asked = asked_new(name, asker);

        asked->seq = seq;
        write_it(asked, acknowledge_work, done, ctx);
}

void subscriber_forget(const char *name, const struct subscriber_asker *asker,
                       void (*done)(void *ctx, const struct cause *cause), void *ctx)
{
        write_it(asked_new(name, asker), forget_work, done, ctx);
}

void subscribers_sweep(void (*done)(void *ctx, const struct cause *cause), void *ctx)
{
        write_it(asked_new("", NULL), sweep_work, done, ctx);
}

void subscribers_list(void (*done)(void *ctx, json_t *subscribers, const struct cause *cause), void *ctx)
{
        read_it(asked_new("", NULL), list_work, done, ctx);
}

void subscriber_offers(const char *name, int64_t seq, size_t limit,
                       void (*done)(void *ctx, json_t *offers, const struct cause *cause), void *ctx)
{
        struct asked *asked = asked_new(name, NULL);

        asked->seq = seq;
        asked->limit = limit;
        read_it(asked, offers_work, done, ctx);
}
