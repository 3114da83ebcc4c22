/* SPDX-License-Identifier: MIT */
/* Queued messages as JSON (interface.md, "A queued message"), and the chunks of their bodies, read in a
 * snapshot on the reader thread. */
#include "common/json_fields.h"
#include "daemon/loop.h"
#include "daemon/store/kept.h"
#include "daemon/store/owner.h"
#include "daemon/store/queue_body.h"

enum { LIST_MOST = 1000 }; /* in one answer: the caller pages */

struct look {
        char *account, *id;
        unsigned states;
        uint64_t after, next;
        size_t max;
        json_t *result;
        void (*listed)(void *ctx, json_t *messages, uint64_t next, const struct cause *cause);
        void (*got)(void *ctx, json_t *message, const struct cause *cause);
        void *ctx;
        struct store_read read;
};

static const char *column(sqlite3_stmt *rows, int number)
{
        return (const char *)sqlite3_column_text(rows, number);
}

static json_t *recipients_of(struct database *db, uint64_t seq, struct cause *cause)
{
        json_t *list = json_array();
        int more;
        scoped(db_end) sqlite3_stmt *rows = db_query(
                db, cause,
                "SELECT address, state, reply, enhanced, cause, time, notify, original FROM recipient"
                " WHERE seq = ? ORDER BY number",
                VALUES(v_int((int64_t)seq)));

        while ((more = rows ? db_next(db, rows, cause) : -1) > 0) {
                json_t *item = json_object();
                json_put_text(item, "address", column(rows, 0));
                json_put_text(item, "state", queue_state_name((enum queue_state)sqlite3_column_int(rows, 1)));
                json_put_text(item, "reply", column(rows, 2));
                json_put_text(item, "enhancedCode", column(rows, 3));
                json_put_text(item, "cause", column(rows, 4));
                json_put_time(item, "time", sqlite3_column_int64(rows, 5));
                json_put_text(item, "notify", column(rows, 6));
                json_put_text(item, "original", column(rows, 7));
                (void)json_array_append_new(list, item);
        }
        if (more == 0)
                return list;
        json_decref(list);
        return NULL;
}

static json_t *history_of(struct database *db, uint64_t seq, struct cause *cause)
{
        json_t *list = json_array();
        int more;
        scoped(db_end) sqlite3_stmt *rows = db_query(
                db, cause, "SELECT time, host, tls, result FROM history WHERE seq = ? ORDER BY number",
                VALUES(v_int((int64_t)seq)));

        while ((more = rows ? db_next(db, rows, cause) : -1) > 0) {
                json_t *item = json_object();
                json_put_time(item, "time", sqlite3_column_int64(rows, 0));
                json_put_text(item, "host", column(rows, 1));
                json_put_text(item, "tls", column(rows, 2));
                json_put_text(item, "result", column(rows, 3));
                (void)json_array_append_new(list, item);
        }
        if (more == 0)
                return list;
        json_decref(list);
        return NULL;
}

/* The cause of the first recipient that has the message's state. */
static const char *cause_of(const json_t *recipients, const char *state)
{
        size_t i;
        json_t *recipient;

        json_array_foreach(recipients, i, recipient)
                if (same_text(json_string_value(json_object_get(recipient, "state")), state))
                        return json_string_value(json_object_get(recipient, "cause"));
        return NULL;
}

#define MESSAGE_COLUMNS \
        "seq, account, state, priority, sender, size, message_id, submitted, submitted_by, " \
        "iif(finished IS NULL, expires_clock, NULL), due, attempts, lifetime, ret, envelope_id"

/* `rows` stands on MESSAGE_COLUMNS; taken into the object before anything else is asked. `expires` is a
 * number here: of the account's clock, or, where a fresh lifetime is to begin, of seconds from now on with a
 * minus. */
static json_t *message_json(struct database *db, sqlite3_stmt *rows, bool with_history, struct cause *cause)
{
        uint64_t seq = (uint64_t)sqlite3_column_int64(rows, 0);
        const char *state = queue_state_name((enum queue_state)sqlite3_column_int(rows, 2));
        int64_t due = sqlite3_column_int64(rows, 10);
        int64_t expires = sqlite3_column_int64(rows, 9), lifetime = sqlite3_column_int64(rows, 12);
        char id[QUEUE_ID_SIZE];
        json_t *recipients = recipients_of(db, seq, cause);
        json_t *history = recipients && with_history ? history_of(db, seq, cause) : NULL;

        if (!recipients || (with_history && !history)) {
                json_decref(recipients);
                return NULL;
        }
        json_t *message = json_object();
        queue_id_of(seq, id);
        json_put_text(message, "id", id);
        json_put_text(message, "account", column(rows, 1));
        json_put_text(message, "state", state);
        json_put_text(message, "priority", sqlite3_column_int(rows, 3) ? "urgent" : "normal");
        json_put_text(message, "from", column(rows, 4));
        json_put(message, "size", json_integer(sqlite3_column_int64(rows, 5)));
        json_put_text(message, "messageId", column(rows, 6));
        json_put_time(message, "submitted", sqlite3_column_int64(rows, 7));
        json_put_text(message, "submittedBy", column(rows, 8));
        json_put(message, "expires",
                 sqlite3_column_type(rows, 9) == SQLITE_NULL || expires == CLOCK_NEVER
                         ? json_null()
                         : json_integer(expires == CLOCK_FRESH ? -lifetime : expires));
        json_put_time(message, "nextAttempt", due > 0 ? due : 0);
        json_put(message, "attempts", json_integer(sqlite3_column_int64(rows, 11)));
        json_put_text(message, "ret", column(rows, 13));
        json_put_text(message, "envelopeId", column(rows, 14));
        json_put_text(message, "cause", cause_of(recipients, state));
        json_put(message, "recipients", recipients);
        if (history)
                json_put(message, "history", history);
        return message;
}

/* With an account its index gives the order; without, the table itself. */
static sqlite3_stmt *list_query(const struct look *look, struct database *db, unsigned states,
                                struct cause *cause)
{
        bool open = (states & 1u << QUEUE_SENT) == 0;
        struct value after = v_int((int64_t)look->after), bits = v_int(states),
                     max = v_int((int64_t)look->max + 1);

        if (look->account && open)
                return db_query(db, cause,
                                "SELECT " MESSAGE_COLUMNS " FROM message WHERE account = ? AND seq > ?"
                                " AND finished IS NULL AND (1 << state) & ? <> 0 ORDER BY seq LIMIT ?",
                                VALUES(v_text(look->account), after, bits, max));
        return db_query(db, cause,
                        "SELECT " MESSAGE_COLUMNS " FROM message WHERE seq > ?"
                        " AND (1 << state) & ? <> 0 AND (? IS NULL OR account = ?) ORDER BY seq LIMIT ?",
                        VALUES(after, bits, v_text(look->account), v_text(look->account), max));
}

static int list_work(struct store_read *read, struct database *db, struct cause *cause)
{
        struct look *look = container_of(read, struct look, read);
        unsigned states = look->states ? look->states : (1u << QUEUE_SENT) - 1;
        scoped(db_end) sqlite3_stmt *rows = list_query(look, db, states, cause);
        uint64_t last = look->after;
        int more = rows ? 0 : -1;

        look->result = json_array();
        while (rows && (more = db_next(db, rows, cause)) > 0) {
                if (json_array_size(look->result) == look->max) {
                        look->next = last;
                        return 0;
                }
                last = (uint64_t)sqlite3_column_int64(rows, 0);
                json_t *message = message_json(db, rows, false, cause);
                if (!message || json_array_append_new(look->result, message) < 0)
                        return -1;
        }
        return more;
}

static int get_work(struct store_read *read, struct database *db, struct cause *cause)
{
        struct look *look = container_of(read, struct look, read);
        uint64_t seq;

        if (queue_id_find(db, look->id, &seq, cause) < 0)
                return -1;
        scoped(db_end) sqlite3_stmt *rows =
                db_query(db, cause, "SELECT " MESSAGE_COLUMNS " FROM message WHERE seq = ?",
                         VALUES(v_int((int64_t)seq)));
        int more = rows ? db_next(db, rows, cause) : -1;
        if (more <= 0)
                return more < 0 ? -1 : cause_missing(cause, MISSING_MESSAGE, "", look->id);
        look->result = message_json(db, rows, true, cause);
        return look->result ? 0 : -1;
}

/* What is left of a deleted account while it is being removed. */
static void leave_out_going(json_t *messages)
{
        for (size_t i = json_array_size(messages); i > 0; i--) {
                const char *account =
                        json_string_value(json_object_get(json_array_get(messages, i - 1), "account"));
                if (owner_is_going(account) && owner_is_renewed(account))
                        (void)json_array_remove(messages, i - 1);
        }
}

/* By the wall clock, as it is now: the account's may have stood still since, and the wall clock been set. */
static void show_expiry(json_t *message)
{
        int64_t then = json_integer_value(json_object_get(message, "expires"));
        int64_t left =
                then < 0 ? -then : then - kept_clock(json_string_value(json_object_get(message, "account")));

        json_put_time(message, "expires", then ? (int64_t)loop_wall() + left : 0);
}

static void show_all_expiries(const struct look *look)
{
        size_t i;
        json_t *message;

        if (!look->listed && look->result)
                show_expiry(look->result);
        if (look->listed)
                json_array_foreach(look->result, i, message)
                        show_expiry(message);
}

static void look_done(struct store_read *read, const struct cause *cause)
{
        struct look *look = container_of(read, struct look, read);

        if (look->listed)
                leave_out_going(look->result);
        show_all_expiries(look);
        if (look->listed)
                look->listed(look->ctx, cause ? NULL : look->result, look->next, cause);
        else
                look->got(look->ctx, cause ? NULL : look->result, cause);
        json_decref(look->result);
        free(look->account);
        free(look->id);
        free(look);
}

void queue_list(const char *account, unsigned states, uint64_t after, size_t max,
                void (*done)(void *ctx, json_t *messages, uint64_t next, const struct cause *cause),
                void *ctx)
{
        struct look *look = new_object(struct look);

        *look = (struct look){ .account = copy_text(account),
                               .states = states,
                               .after = after,
                               .max = max && max < LIST_MOST ? max : LIST_MOST,
                               .listed = done,
                               .ctx = ctx,
                               .read = { .read = list_work, .done = look_done } };
        store_read(&look->read);
}

void queue_get(const char *id, void (*done)(void *ctx, json_t *message, const struct cause *cause), void *ctx)
{
        struct look *look = new_object(struct look);

        *look = (struct look){
                .id = copy_text(id), .got = done, .ctx = ctx, .read = { .read = get_work, .done = look_done }
        };
        store_read(&look->read);
}

/* ---- bodies: the chunks after the first, for messages that are larger ---- */

struct body_read {
        uint64_t seq, offset;
        uint8_t *bytes;
        size_t len;
        void (*done)(void *ctx, uint8_t *bytes, size_t len, const struct cause *cause);
        void *ctx;
        struct store_read read;
};

static int read_chunk(struct body_read *body, struct database *db, struct cause *cause)
{
        scoped(queue_body_close) struct queue_body open = { .fd = -1 };
        scoped(chunk_memory_done) uint8_t *chunk = NULL;
        size_t skip = (size_t)(body->offset % BODY_CHUNK), len = 0;
        int64_t size;

        if (db_number(db, cause, &size, 0, "SELECT size FROM message WHERE seq = ?",
                      VALUES(v_int((int64_t)body->seq))) < 0 ||
            queue_body_open(&open, db, body->seq, (uint64_t)size, cause) < 0 ||
            queue_body_chunk(&open, db, body->offset / BODY_CHUNK, &chunk, &len, cause) < 0)
                return -1;
        if (len <= skip)
                return cause_set(cause, CAUSE_INVALID, "its body is not complete");
        body->len = len - skip;
        memmove(chunk, chunk + skip, body->len);
        body->bytes = take(chunk);
        return 0;
}

/* In a snapshot that may be older than the row's end: a file that has gone since is one that is not there. */
static int body_work(struct store_read *read, struct database *db, struct cause *cause)
{
        struct cause why = { 0 };

        if (read_chunk(container_of(read, struct body_read, read), db, &why) == 0)
                return 0;
        if (why.code == CAUSE_INVALID)
                return cause_set(cause, CAUSE_STORAGE, "the message is damaged: %s", why.text);
        *cause = why;
        return -1;
}

static void body_done(struct store_read *read, const struct cause *cause)
{
        struct body_read *body = container_of(read, struct body_read, read);

        body->done(body->ctx, body->bytes, body->len, cause);
        free(body);
}

void queue_read_body(uint64_t seq, uint64_t offset,
                     void (*done)(void *ctx, uint8_t *bytes, size_t len, const struct cause *cause),
                     void *ctx)
{
        struct body_read *body = new_object(struct body_read);

        *body = (struct body_read){ .seq = seq,
                                    .offset = offset,
                                    .done = done,
                                    .ctx = ctx,
                                    .read = { .read = body_work, .done = body_done } };
        store_read(&body->read);
}
