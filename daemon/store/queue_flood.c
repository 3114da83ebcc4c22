/* SPDX-License-Identifier: MIT */
/* Who may have a message now, and digests of the others; see queue_flood.h. */
#include "daemon/store/queue_flood.h"

#include "common/json_fields.h"
#include "daemon/events.h"
#include "daemon/journal.h"
#include "daemon/loop.h"
#include "daemon/messages.h"
#include "daemon/random.h"
#include "daemon/store/digest.h"
#include "daemon/store/kept.h"
#include "daemon/store/queue_body.h"

#include <ctype.h>
#include <stdio.h>

enum {
        HOUR = 3600,
        FIRST_AFTER = 60,    /* seconds from the first message that waits to the first digest */
        MESSAGES_MOST = 500, /* of one digest */
        TOKEN = 16,
};
#define BYTES_MOST (8 * MIB) /* of the messages in one digest */

/* A message on its way into a digest. */
struct flood_message {
        uint64_t seq;
        int64_t number; /* of the recipient in it */
        char id[QUEUE_ID_SIZE];
        char *submitted_by;
        int64_t submitted, size;
        struct buf bytes;
        bool damaged;
};
struct gathering {
        const char *account, *key; /* key: the address in small letters */
        const char *address;
        time_t now;
        struct flood_message *of;
        size_t count;
        bool eight_bit, header_utf8;
};

void queue_flood_begin(struct flood *flood, const struct flood_rules *rules)
{
        *flood = (struct flood){ 0 };
        if (!rules || rules->most <= 0)
                return;
        flood->rules = *rules;
        flood->rules.from = copy_text(rules->from);
        flood->rules.hostname = copy_text(rules->hostname);
}

void queue_flood_restart(struct flood *flood)
{
        for (size_t i = 0; i < flood->told_count; i++)
                free(flood->told[i].address);
        free(flood->told);
        *flood = (struct flood){ .rules = flood->rules };
}

void queue_flood_done(struct flood *flood)
{
        queue_flood_restart(flood);
        free((char *)(uintptr_t)flood->rules.from);
        free((char *)(uintptr_t)flood->rules.hostname);
        *flood = (struct flood){ 0 };
}

static void tell(struct flood *flood, uint64_t seq, uint64_t digest, const char *address)
{
        flood->told = new_resized(flood->told, flood->told_count + 1, sizeof *flood->told);
        struct flood_told *told = &flood->told[flood->told_count++];
        *told = (struct flood_told){ .address = copy_text(address) };
        queue_id_of(seq, told->id);
        if (digest)
                queue_id_of(digest, told->digest);
}

/* ---- slots ---- */

/* 1 = the message has one, 0 = it has none. */
static int has_slot(const struct gathering *g, struct database *db, uint64_t seq, struct cause *cause)
{
        int64_t there;

        if (db_number(db, cause, &there, 0,
                      "SELECT count(*) FROM slot WHERE account = ? AND address = ? AND seq = ?",
                      VALUES(v_text(g->account), v_text(g->key), v_int((int64_t)seq))) < 0)
                return -1;
        return there > 0;
}

static int take_slot(const struct gathering *g, struct database *db, uint64_t seq, bool single,
                     struct cause *cause)
{
        return db_run(
                db, cause,
                "INSERT OR REPLACE INTO slot (account, address, seq, time, single) VALUES (?, ?, ?, ?, ?)",
                VALUES(v_text(g->account), v_text(g->key), v_int((int64_t)seq), v_int(g->now),
                       v_int(single)));
}

/* That of a digest is its own until it has gone: else, deferred for an hour, it would go into the next one.
 */
static int count_slots(const struct gathering *g, struct database *db, int64_t *out, struct cause *cause)
{
        if (db_run(db, cause,
                   "DELETE FROM slot WHERE account = ? AND address = ? AND (time <= ? OR time > ?)"
                   " AND (single = 1 OR NOT EXISTS (SELECT 1 FROM message m WHERE m.seq = slot.seq AND "
                   "m.finished IS NULL))",
                   VALUES(v_text(g->account), v_text(g->key), v_int(g->now - HOUR), v_int(g->now + HOUR))) <
            0)
                return -1;
        return db_number(db, cause, out, 0,
                         "SELECT count(*) FROM slot WHERE account = ? AND address = ? AND single = 1",
                         VALUES(v_text(g->account), v_text(g->key)));
}

/* ---- when the next digest leaves ---- */

static int read_next(const struct gathering *g, struct database *db, int64_t *out, struct cause *cause)
{
        return db_number(db, cause, out, 0, "SELECT next FROM flood WHERE account = ? AND address = ?",
                         VALUES(v_text(g->account), v_text(g->key)));
}

static int write_next(const struct gathering *g, struct database *db, int64_t next, struct cause *cause)
{
        return db_run(db, cause, "INSERT OR REPLACE INTO flood (account, address, next) VALUES (?, ?, ?)",
                      VALUES(v_text(g->account), v_text(g->key), v_int(next)));
}

/* ---- what goes into it ---- */

#define SQL_GATHERED \
        "SELECT m.seq, r.number, m.size, m.submitted, m.submitted_by FROM message m JOIN recipient r ON " \
        "r.seq = m.seq" \
        " WHERE m.account = ?1 AND m.finished IS NULL AND m.priority = 0 AND m.claimed = 0 AND m.eight_bit " \
        "= ?2" \
        " AND m.header_utf8 = ?3 AND r.state IN (" SQL_QUEUED ", " SQL_DEFERRED \
        ") AND lower(r.address) = ?4" \
        " AND NOT EXISTS (SELECT 1 FROM slot s WHERE s.account = m.account AND s.address = ?4 AND s.seq = " \
        "m.seq)"
#define SQL_OLDEST " ORDER BY m.seq LIMIT ?5"

static int find_waiting(struct gathering *g, struct database *db, struct cause *cause)
{
        int64_t bytes = 0;
        int more;
        scoped(db_end) sqlite3_stmt *rows =
                db_query(db, cause,
                         body_files_missing() ? SQL_GATHERED SQL_BODY_IS_THERE("m") SQL_OLDEST
                                              : SQL_GATHERED SQL_OLDEST,
                         VALUES(v_text(g->account), v_int(g->eight_bit), v_int(g->header_utf8),
                                v_text(g->key), v_int(MESSAGES_MOST)));

        while ((more = rows ? db_next(db, rows, cause) : -1) > 0) {
                int64_t size = sqlite3_column_int64(rows, 2);
                if (g->count && bytes + size > (int64_t)BYTES_MOST)
                        break;
                bytes += size;
                struct flood_message *one = &g->of[g->count++];
                *one = (struct flood_message){ .seq = (uint64_t)sqlite3_column_int64(rows, 0),
                                               .number = sqlite3_column_int64(rows, 1),
                                               .size = size,
                                               .submitted = sqlite3_column_int64(rows, 3),
                                               .submitted_by = db_text(rows, 4) };
                queue_id_of(one->seq, one->id);
        }
        return more < 0 ? -1 : 0;
}

static int append_chunks(struct flood_message *one, struct database *db, struct cause *cause)
{
        scoped(queue_body_close) struct queue_body body;

        if (queue_body_open(&body, db, one->seq, (uint64_t)one->size, cause) < 0)
                return -1;
        for (uint64_t number = 0; number * BODY_CHUNK < (uint64_t)one->size; number++) {
                scoped(chunk_memory_done) uint8_t *chunk = NULL;
                size_t len;
                if (queue_body_chunk(&body, db, number, &chunk, &len, cause) < 0)
                        return -1;
                if (buf_append(&one->bytes, chunk, len) < 0)
                        return cause_set(cause, CAUSE_INVALID, "its body is too large");
        }
        return 0;
}

/* All of its body; `damaged` where that is not what was accepted. */
static int read_body(struct flood_message *one, struct database *db, struct cause *cause)
{
        buf_init(&one->bytes, (size_t)one->size);
        if (append_chunks(one, db, cause) == 0)
                return 0;
        one->damaged = cause->code == CAUSE_INVALID || database_damaged(db);
        if (!one->damaged)
                return -1;
        cause_clear(cause);
        return 0;
}

/* What is damaged goes its own way, and is found there. */
static int read_bodies(struct gathering *g, struct database *db, struct cause *cause)
{
        size_t kept = 0;

        for (size_t i = 0; i < g->count; i++) {
                struct flood_message one = g->of[i];
                if (read_body(&one, db, cause) < 0 ||
                    (one.damaged && take_slot(g, db, one.seq, true, cause) < 0)) {
                        g->of[i] = one;
                        return -1;
                }
                if (one.damaged) {
                        buf_free(&one.bytes);
                        free(one.submitted_by);
                        g->of[i] = (struct flood_message){ 0 };
                        continue;
                }
                g->of[i] = (struct flood_message){ 0 };
                g->of[kept++] = one;
        }
        g->count = kept;
        return 0;
}

/* ---- the digest as a message ---- */

static int write_text(const struct flood *flood, const struct gathering *g, struct buf *out,
                      char **message_id, struct cause *cause)
{
        scoped(scoped_free) struct digest_item *items = new_zeroed(g->count, sizeof *items);
        char token[TOKEN + 1];

        random_token(token, TOKEN);
        for (size_t i = 0; i < g->count; i++)
                items[i] = (struct digest_item){ .id = g->of[i].id,
                                                 .submitted_by = g->of[i].submitted_by,
                                                 .submitted = (time_t)g->of[i].submitted,
                                                 .bytes = buf_bytes(&g->of[i].bytes),
                                                 .len = g->of[i].bytes.len };
        scoped(scoped_free) char *own = text_of("MAILER-DAEMON@%s", flood->rules.hostname);
        struct digest digest = { .to = g->address,
                                 .from = flood->rules.from[0] ? flood->rules.from : own,
                                 .hostname = flood->rules.hostname,
                                 .account = g->account,
                                 .token = token,
                                 .most = flood->rules.most,
                                 .now = g->now,
                                 .items = items,
                                 .count = g->count,
                                 .eight_bit = g->eight_bit };
        return digest_write(&digest, out, message_id) < 0
                       ? cause_set(cause, CAUSE_INTERNAL, "a digest of %zu messages is too large", g->count)
                       : 0;
}

static int insert_digest(const struct flood *flood, const struct gathering *g, struct database *db,
                         uint64_t *seq, struct cause *cause)
{
        scoped(buf_free) struct buf text = BUF_WITH_MAX(BYTES_MOST + 256 * MIB);
        scoped(scoped_free) char *message_id = NULL;

        if (write_text(flood, g, &text, &message_id, cause) < 0)
                return -1;
        struct queue_own own = { .account = g->account,
                                 .from = flood->rules.from,
                                 .to = g->address,
                                 .message_id = message_id,
                                 .lifetime = flood->rules.lifetime,
                                 .now = g->now,
                                 .eight_bit = g->eight_bit,
                                 .header_utf8 = g->header_utf8,
                                 .text = &text };
        return queue_row_insert_own(db, &own, seq, cause);
}

/* The recipient of one message is done with: it has it in the digest. */
static int end_one(const struct flood_message *one, const struct gathering *g, struct database *db,
                   uint64_t digest, struct cause *cause)
{
        struct message_row row;
        char id[QUEUE_ID_SIZE];

        queue_id_of(digest, id);
        scoped(scoped_free) char *reply = text_of("gathered into the digest %s (maxPerRecipient)", id);
        scoped(scoped_free) char *line = text_of("%s: %s", g->address, reply);
        if (db_run(db, cause,
                   "UPDATE recipient SET state = " SQL_SENT
                   ", reply = ?, enhanced = NULL, cause = NULL, time = ?, next_attempt = 0"
                   " WHERE seq = ? AND number = ?",
                   VALUES(v_text(reply), v_int(g->now), v_int((int64_t)one->seq), v_int(one->number))) < 0 ||
            queue_history_add(db, one->seq, g->now, NULL, NULL, line, cause) < 0 ||
            queue_row_read(db, one->seq, &row, cause) <= 0)
                return -1;
        return queue_row_follow(db, &row, g->now, cause);
}

static int make_digest(struct flood *flood, struct gathering *g, struct database *db, struct cause *cause)
{
        uint64_t seq = 0;

        if (insert_digest(flood, g, db, &seq, cause) < 0 || take_slot(g, db, seq, false, cause) < 0)
                return -1;
        for (size_t i = 0; i < g->count; i++) {
                if (end_one(&g->of[i], g, db, seq, cause) < 0)
                        return -1;
                tell(flood, g->of[i].seq, seq, g->address);
        }
        flood->gathered += g->count;
        flood->again = true;
        return 0;
}

static void gathering_done(struct gathering *g)
{
        for (size_t i = 0; i < g->count; i++) {
                buf_free(&g->of[i].bytes);
                free(g->of[i].submitted_by);
        }
        free(g->of);
        g->of = NULL;
        g->count = 0;
}

/* It is time for a digest. One message alone, or one that is too large for any, goes by itself. */
static int gather(struct flood *flood, struct gathering *g, struct database *db, struct cause *cause)
{
        g->of = new_zeroed(MESSAGES_MOST, sizeof *g->of);
        int result = find_waiting(g, db, cause) < 0 || read_bodies(g, db, cause) < 0 ? -1 : 0;

        if (result == 0)
                result = write_next(g, db, g->now + HOUR, cause);
        if (result == 0 && g->count == 1)
                result = take_slot(g, db, g->of[0].seq, true, cause);
        else if (result == 0 && g->count > 1)
                result = make_digest(flood, g, db, cause);
        gathering_done(g);
        return result;
}

/* ---- one recipient ---- */

static int put_off(struct flood *flood, const struct gathering *g, struct database *db,
                   const struct queued_message *message, uint32_t number, int64_t next, struct cause *cause)
{
        scoped(scoped_free) char *reply =
                text_of("waits for a digest: more than %lld messages an hour to %s (maxPerRecipient)",
                        (long long)flood->rules.most, g->address);

        tell(flood, message->seq, 0, g->address);
        return db_run(db, cause,
                      "UPDATE recipient SET state = " SQL_DEFERRED
                      ", next_attempt = ?, reply = ?, enhanced = NULL"
                      " WHERE seq = ? AND number = ?",
                      VALUES(v_int(next), v_text(reply), v_int((int64_t)message->seq), v_int(number)));
}

/* When the digest for it leaves: begun now, where none was to. */
static int next_digest(const struct gathering *g, struct database *db, int64_t *next, struct cause *cause)
{
        if (read_next(g, db, next, cause) < 0)
                return -1;
        if (*next && *next <= g->now + HOUR)
                return 0;
        *next = g->now + FIRST_AFTER;
        return write_next(g, db, *next, cause);
}

/* Whether it was let go by itself (1), is in the digest (0), or had no room in it (and waits: 0). */
static int after_digest(struct flood *flood, const struct gathering *g, struct database *db,
                        const struct queued_message *message, uint32_t number, struct cause *cause)
{
        int there = has_slot(g, db, message->seq, cause);
        int64_t state;

        if (there)
                return there;
        if (db_number(db, cause, &state, QUEUE_SENT,
                      "SELECT state FROM recipient WHERE seq = ? AND number = ?",
                      VALUES(v_int((int64_t)message->seq), v_int(number))) < 0)
                return -1;
        return state == QUEUE_SENT ? 0 : put_off(flood, g, db, message, number, g->now + HOUR, cause);
}

/* 1 = it may go now, 0 = it waits, or has gone into a digest. */
static int may_go(struct flood *flood, struct gathering *g, struct database *db,
                  const struct queued_message *message, uint32_t number, struct cause *cause)
{
        int64_t used, next = 0;
        int there = has_slot(g, db, message->seq, cause);

        if (there || count_slots(g, db, &used, cause) < 0)
                return there > 0 ? 1 : -1;
        if (used < flood->rules.most)
                return take_slot(g, db, message->seq, true, cause) < 0 ? -1 : 1;
        if (next_digest(g, db, &next, cause) < 0)
                return -1;
        if (next > g->now)
                return put_off(flood, g, db, message, number, next, cause);
        return gather(flood, g, db, cause) < 0 ? -1 : after_digest(flood, g, db, message, number, cause);
}

int queue_flood_gate(struct flood *flood, struct database *db, const char *account,
                     struct queued_message *message, time_t now, struct cause *cause)
{
        size_t kept = 0;
        int result = 1;

        if (flood->rules.most <= 0 || message->priority > 0)
                return 0;
        for (size_t i = 0; i < message->recipient_count; i++) {
                struct queued_recipient *recipient = &message->recipients[i];
                scoped(scoped_free) char *key = copy_text(recipient->address);
                for (char *c = key; *c; c++)
                        *c = (char)tolower((unsigned char)*c);
                struct gathering g = { .account = account,
                                       .key = key,
                                       .address = recipient->address,
                                       .now = now,
                                       .eight_bit = message->eight_bit,
                                       .header_utf8 = message->header_utf8 };
                result = result < 0 ? -1 : may_go(flood, &g, db, message, recipient->index, cause);
                if (result == 0) {
                        free(take(recipient->address));
                        free(take(recipient->notify));
                        free(take(recipient->original));
                        continue;
                }
                message->recipients[kept++] = *recipient;
        }
        message->recipient_count = kept;
        return result < 0 ? -1 : 0;
}

/* ---- on the loop ---- */

/* One event for each digest: who is in it. */
static void emit(const struct flood *flood, const char *account)
{
        for (size_t i = 0, to; i < flood->told_count; i = to) {
                const struct flood_told *first = &flood->told[i];
                json_t *ids = json_array(), *data;
                for (to = i; to < flood->told_count && strcmp(flood->told[to].digest, first->digest) == 0;
                     to++)
                        (void)json_array_append_new(ids, json_string(flood->told[to].id));
                if (!first->digest[0]) {
                        json_decref(ids);
                        continue;
                }
                data = json_object();
                json_put_text(data, "id", first->digest);
                json_put_text(data, "recipient", first->address);
                json_put(data, "ids", ids);
                event_emit(EVENT_MAIL_GATHERED, account, data,
                           "%s: %zu messages to %s are gathered in this digest", first->digest, to - i,
                           first->address);
        }
}

void queue_flood_tell(const struct flood *flood, const char *account)
{
        for (size_t i = 0; i < flood->told_count; i++) {
                const struct flood_told *told = &flood->told[i];
                struct subject subject = { .account = account,
                                           .direction = "outgoing",
                                           .queue_id = told->id };
                if (told->digest[0])
                        log_about(&subject, LOG_INFO, MSG_GATHERED, "%s: gathered into the digest %s to %s",
                                  told->id, told->digest, told->address);
                else
                        log_about(&subject, LOG_NOTICE, MSG_GATHERED,
                                  "%s: more than %lld messages an hour to %s (maxPerRecipient): it waits "
                                  "for a digest",
                                  told->id, (long long)flood->rules.most, told->address);
        }
        emit(flood, account);
        if (flood->told_count) {
                kept_set_text(account, KEPT_FLOOD_RECIPIENT, flood->told[flood->told_count - 1].address);
                kept_set_number(account, KEPT_LAST_FLOOD, (int64_t)loop_wall());
        }
        if (flood->gathered) {
                kept_add(account, KEPT_NUMBER_GATHERED, (int64_t)flood->gathered);
                kept_set_number(account, KEPT_LAST_GATHERED, (int64_t)loop_wall());
        }
}
