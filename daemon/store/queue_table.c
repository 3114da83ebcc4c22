/* SPDX-License-Identifier: MIT */
/* Rows of queued messages: reading, following from recipients, history, recovery after a crash; and their
 * ids. */
#include "daemon/store/queue_table.h"

#include "daemon/random.h"
#include "daemon/store/queue_body.h"

#include <ctype.h>
#include <stdio.h>

enum { HISTORY_KEPT = 200 };

const char *queue_state_name(enum queue_state state)
{
        static const char *const names[QUEUE_STATES] = {
                [QUEUE_QUEUED] = "queued", [QUEUE_SENDING] = "sending",     [QUEUE_DEFERRED] = "deferred",
                [QUEUE_HELD] = "held",     [QUEUE_AMBIGUOUS] = "ambiguous", [QUEUE_FAILED] = "failed",
                [QUEUE_SENT] = "sent",
        };

        return (unsigned)state < QUEUE_STATES ? names[state] : "damaged";
}

/* 1 = found, 0 = none (its account was deleted), -1 with a cause. */
int queue_row_read(struct database *db, uint64_t seq, struct message_row *row, struct cause *cause)
{
        scoped(db_end) sqlite3_stmt *rows = db_query(
                db, cause, "SELECT account, state, claimed, size, attempts FROM message WHERE seq = ?",
                VALUES(v_int((int64_t)seq)));
        int more = rows ? db_next(db, rows, cause) : -1;

        if (more <= 0)
                return more;
        int state = sqlite3_column_int(rows, 1);
        if (state < 0 || state >= QUEUE_STATES)
                return cause_set(cause, CAUSE_STORAGE, "station.db: a message has the unknown state %d",
                                 state);
        *row = (struct message_row){ .seq = seq,
                                     .state = (enum queue_state)state,
                                     .claimed = sqlite3_column_int(rows, 2) != 0,
                                     .size = sqlite3_column_int64(rows, 3),
                                     .attempts = sqlite3_column_int64(rows, 4) };
        (void)snprintf(row->account, sizeof row->account, "%s", (const char *)sqlite3_column_text(rows, 0));
        return 1;
}

/* The state and due time that the recipients give, and whether one of them is being sent; a message without
 * any is damaged: failed. */
static int summary(struct database *db, const struct message_row *row, enum queue_state *state,
                   struct value *due, bool *sending, struct cause *cause)
{
        scoped(db_end) sqlite3_stmt *rows =
                db_query(db, cause,
                         "SELECT min(state), min(CASE state WHEN " SQL_QUEUED " THEN 0 WHEN " SQL_DEFERRED
                         " THEN next_attempt WHEN " SQL_AMBIGUOUS
                         " THEN next_attempt END), max(state = " SQL_SENDING ") FROM recipient WHERE seq = ?",
                         VALUES(v_int((int64_t)row->seq)));

        if (!rows || db_next(db, rows, cause) < 0)
                return -1;
        bool none = sqlite3_column_type(rows, 0) == SQLITE_NULL;
        int least = none ? QUEUE_FAILED : sqlite3_column_int(rows, 0);
        *state = least >= 0 && least < QUEUE_STATES ? (enum queue_state)least : QUEUE_FAILED;
        bool waits = sqlite3_column_type(rows, 1) != SQLITE_NULL && !row->claimed;
        *due = waits ? v_int(sqlite3_column_int64(rows, 1)) : v_null();
        *sending = sqlite3_column_int(rows, 2) != 0;
        return 0;
}

/* Of a message that nobody has any more: those that were not settled, or as untouched, are again what they
 * were before the claim. */
static int give_back(struct database *db, const struct message_row *row, enum queue_state *state,
                     struct value *due, struct cause *cause)
{
        bool sending;

        if (db_run(db, cause, "UPDATE recipient SET state = was WHERE seq = ? AND state = " SQL_SENDING,
                   VALUES(v_int((int64_t)row->seq))) < 0)
                return -1;
        return summary(db, row, state, due, &sending, cause);
}

/* THE place where a message's state comes from: the least of its recipients' (the order of enum queue_state
 * is a priority). Whoever changes recipients calls it in the same transaction. A message that is sent to all
 * gives its body back. */
int queue_row_follow(struct database *db, struct message_row *row, int64_t finished, struct cause *cause)
{
        enum queue_state state;
        struct value due;
        bool sending;

        if (summary(db, row, &state, &due, &sending, cause) < 0 ||
            (sending && !row->claimed && give_back(db, row, &state, &due, cause) < 0))
                return -1;
        bool sent = state == QUEUE_SENT;
        if (db_run(db, cause,
                   "UPDATE message SET state = ?, due = ?, claimed = ?, finished = ?, attempts = ? WHERE seq "
                   "= ?",
                   VALUES(v_int(state), due, v_int(row->claimed), sent ? v_int(finished) : v_null(),
                          v_int(row->attempts), v_int((int64_t)row->seq))) < 0)
                return -1;
        if (sent && queue_body_delete(db, row, cause) < 0)
                return -1;
        if (state != row->state) {
                queue_counts_add(row->account, row->state, -1, -row->size);
                queue_counts_add(row->account, state, 1, row->size);
                row->state = state;
        }
        return 0;
}

int queue_row_insert_own(struct database *db, const struct queue_own *own, uint64_t *seq, struct cause *cause)
{
        const struct buf *text = own->text;

        if (db_run(db, cause,
                   "INSERT INTO message (account, state, priority, due, expires_clock, lifetime, expires, "
                   "size,"
                   " eight_bit, header_utf8, submitted, sender, message_id, submitted_by)"
                   " VALUES (?, " SQL_QUEUED ", 0, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'emailsecd')",
                   VALUES(v_text(own->account), v_int(CLOCK_FRESH), v_int(own->lifetime),
                          v_int(own->now + own->lifetime), v_int((int64_t)text->len), v_int(own->eight_bit),
                          v_int(own->header_utf8), v_int(own->now), v_text(own->from),
                          v_text(own->message_id))) < 0)
                return -1;
        *seq = (uint64_t)db_last_id(db);
        if (db_run(db, cause,
                   "INSERT INTO recipient (seq, number, address, state) VALUES (?, 0, ?, " SQL_QUEUED ")",
                   VALUES(v_int((int64_t)*seq), v_text(own->to))) < 0 ||
            queue_body_insert(db, *seq, buf_bytes(text), text->len, cause) < 0)
                return -1;
        queue_counts_add(own->account, QUEUE_QUEUED, 1, (int64_t)text->len);
        return 0;
}

/* Recipients and history go by foreign keys. */
int queue_row_delete(struct database *db, const struct message_row *row, struct cause *cause)
{
        if (queue_body_delete(db, row, cause) < 0 ||
            db_run(db, cause, "DELETE FROM message WHERE seq = ?", VALUES(v_int((int64_t)row->seq))) < 0)
                return -1;
        queue_counts_add(row->account, row->state, -1, -row->size);
        return 0;
}

int queue_history_add(struct database *db, uint64_t seq, int64_t time, const char *host, const char *tls,
                      const char *result, struct cause *cause)
{
        int64_t number;

        if (db_number(db, cause, &number, 0, "SELECT max(number) FROM history WHERE seq = ?",
                      VALUES(v_int((int64_t)seq))) < 0 ||
            db_run(db, cause,
                   "INSERT INTO history (seq, number, time, host, tls, result) VALUES (?, ?, ?, ?, ?, ?)",
                   VALUES(v_int((int64_t)seq), v_int(number + 1), v_int(time), v_text(host), v_text(tls),
                          v_text(result ? result : ""))) < 0)
                return -1;
        if (number < HISTORY_KEPT)
                return 0;
        return db_run(db, cause, "DELETE FROM history WHERE seq = ? AND number <= ?",
                      VALUES(v_int((int64_t)seq), v_int(number + 1 - HISTORY_KEPT)));
}

/* ---- recovery ---- */

static int recover_one(struct database *db, uint64_t seq, struct cause *cause)
{
        struct message_row row;
        int found = queue_row_read(db, seq, &row, cause);
        time_t now = loop_wall();

        if (found <= 0)
                return found;
        row.claimed = false;
        if (db_run(db, cause,
                   "UPDATE recipient SET state = " SQL_QUEUED
                   ", next_attempt = 0 WHERE seq = ? AND state = " SQL_SENDING,
                   VALUES(v_int((int64_t)seq))) < 0 ||
            db_run(db, cause, "UPDATE message SET maybe_sent = 1 WHERE seq = ?",
                   VALUES(v_int((int64_t)seq))) < 0 ||
            queue_history_add(db, seq, now, NULL, NULL,
                              "interrupted by a restart while being sent: it may arrive twice", cause) < 0)
                return -1;
        return queue_row_follow(db, &row, now, cause);
}

/* The numbers are gathered first: recovering one changes the index that is being read. */
int queue_recover(struct database *db, struct cause *cause)
{
        uint64_t some[64];
        size_t count;

        do {
                count = 0;
                scoped(db_end) sqlite3_stmt *rows =
                        db_query(db, cause, "SELECT seq FROM message WHERE claimed = 1 LIMIT 64", NULL, 0);
                int more = rows ? 0 : -1;
                while (rows && (more = db_next(db, rows, cause)) > 0)
                        some[count++] = (uint64_t)sqlite3_column_int64(rows, 0);
                if (more < 0)
                        return -1;
                for (size_t i = 0; i < count; i++)
                        if (recover_one(db, some[i], cause) < 0)
                                return -1;
        } while (count);
        return 0;
}

/* ---- ids ---- */

#define ID_MASK    ((UINT64_C(1) << (5 * QUEUE_ID_DIGITS)) - 1)
#define SCATTER    UINT64_C(0x5bd1e9955) /* odd, so that it has an inverse */
#define PROBES_MAX 4096                  /* numbers looked up one by one before a scan is cheaper */

static char suffix[QUEUE_ID_SUFFIX + 1];

static int digit_value(char c)
{
        const char *at = c ? strchr(token_digits, tolower((unsigned char)c)) : NULL;

        return at ? (int)(at - token_digits) : -1;
}

/* The inverse of SCATTER modulo 2^64 (Newton: each round doubles the bits that are right). */
static uint64_t gather(void)
{
        uint64_t inverse = SCATTER;

        for (int i = 0; i < 6; i++)
                inverse *= 2 - SCATTER * inverse;
        return inverse;
}

void queue_id_of(uint64_t seq, char id[QUEUE_ID_SIZE])
{
        uint64_t number = seq * SCATTER & ID_MASK;

        for (int i = 0; i < QUEUE_ID_DIGITS; i++, number >>= 5)
                id[i] = token_digits[number & 31];
        (void)snprintf(id + QUEUE_ID_DIGITS, QUEUE_ID_SIZE - QUEUE_ID_DIGITS, "%s", suffix);
}

/* The lowest bits of the sequence numbers that a beginning of an id allows; how many bits, or -1
 * when no message can have that id. */
static int id_bits(const char *id, uint64_t *out)
{
        size_t len = strlen(id);
        uint64_t number = 0;

        if (len == 0 || len > QUEUE_ID_DIGITS + QUEUE_ID_SUFFIX)
                return -1;
        int known = len < QUEUE_ID_DIGITS ? (int)len : QUEUE_ID_DIGITS;
        for (int i = 0; i < known; i++) {
                int value = digit_value(id[i]);
                if (value < 0)
                        return -1;
                number |= (uint64_t)value << (5 * i);
        }
        for (size_t i = QUEUE_ID_DIGITS; i < len; i++)
                if (tolower((unsigned char)id[i]) != suffix[i - QUEUE_ID_DIGITS])
                        return -1;
        *out = number * gather() & ((UINT64_C(1) << (5 * known)) - 1);
        return 5 * known;
}

/* Up to two of the messages whose number has these lowest bits. */
static int find_by_probes(struct database *db, uint64_t low, uint64_t step, uint64_t last, uint64_t found[2],
                          struct cause *cause)
{
        int count = 0;

        for (uint64_t seq = low; seq <= last && count < 2; seq += step) {
                int64_t there;
                if (db_number(db, cause, &there, 0, "SELECT 1 FROM message WHERE seq = ?",
                              VALUES(v_int((int64_t)seq))) < 0)
                        return -1;
                if (there)
                        found[count++] = seq;
        }
        return count;
}

static int find_by_scan(struct database *db, uint64_t low, uint64_t step, uint64_t found[2],
                        struct cause *cause)
{
        int count = 0, more;
        scoped(db_end) sqlite3_stmt *rows =
                db_query(db, cause, "SELECT seq FROM message WHERE seq & ? = ? LIMIT 2",
                         VALUES(v_int((int64_t)(step - 1)), v_int((int64_t)low)));

        if (!rows)
                return -1;
        while ((more = db_next(db, rows, cause)) > 0 && count < 2)
                found[count++] = (uint64_t)sqlite3_column_int64(rows, 0);
        return more < 0 ? -1 : count;
}

int queue_id_find(struct database *db, const char *id, uint64_t *out_seq, struct cause *cause)
{
        uint64_t low, found[2] = { 0 };
        int64_t last;
        int bits = id_bits(id, &low);

        if (bits < 0)
                return cause_missing(cause, MISSING_MESSAGE, "", id);
        if (db_number(db, cause, &last, 0, "SELECT max(seq) FROM message", NULL, 0) < 0)
                return -1;
        uint64_t step = UINT64_C(1) << bits;
        int count = (uint64_t)last / step <= PROBES_MAX
                            ? find_by_probes(db, low, step, (uint64_t)last, found, cause)
                            : find_by_scan(db, low, step, found, cause);
        if (count < 0)
                return -1;
        if (count == 0)
                return cause_missing(cause, MISSING_MESSAGE, "", id);
        if (count > 1)
                return cause_set(cause, CAUSE_AMBIGUOUS, "several messages have ids that begin with %s", id);
        *out_seq = found[0];
        return 0;
}

int queue_ids_load(struct database *db, struct cause *cause)
{
        char fresh[QUEUE_ID_SUFFIX + 1];

        random_token(fresh, QUEUE_ID_SUFFIX);
        if (db_run(db, cause, "INSERT OR IGNORE INTO meta (name, value) VALUES ('idSuffix', ?)",
                   VALUES(v_text(fresh))) < 0)
                return -1;
        scoped(db_end) sqlite3_stmt *rows =
                db_query(db, cause, "SELECT value FROM meta WHERE name = 'idSuffix'", NULL, 0);
        if (!rows || db_next(db, rows, cause) < 0)
                return -1;
        const char *text = (const char *)sqlite3_column_text(rows, 0);
        if (!text || strlen(text) != QUEUE_ID_SUFFIX)
                return cause_set(cause, CAUSE_STORAGE, "station.db: the suffix of its ids is damaged");
        memcpy(suffix, text, sizeof suffix);
        return 0;
}
