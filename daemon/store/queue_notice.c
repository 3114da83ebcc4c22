/* SPDX-License-Identifier: MIT */
/* Notices of failed recipients; see queue_notice.h. */
#include "daemon/store/queue_notice.h"

#include "daemon/journal.h"
#include "daemon/messages.h"
#include "daemon/random.h"
#include "daemon/store/notice.h"
#include "daemon/store/queue_body.h"

#include <stdio.h>

#define NOTICE_MOST (2 * MIB) /* a thousand recipients with long replies, and the header */
enum { TOKEN = 16 };

struct notice_source {
        char account[LIMIT_ACCOUNT_NAME + 1], id[QUEUE_ID_SIZE];
        char *sender, *message_id, *envelope_id;
        struct notice_recipient *recipients;
        size_t recipient_count;
        uint8_t *first;
        size_t first_len;
        int64_t submitted, last_attempt;
        uint64_t size;
};

static void source_done(struct notice_source *source)
{
        for (size_t i = 0; i < source->recipient_count; i++) {
                free((char *)(uintptr_t)source->recipients[i].address);
                free((char *)(uintptr_t)source->recipients[i].reply);
                free((char *)(uintptr_t)source->recipients[i].enhanced);
                free((char *)(uintptr_t)source->recipients[i].original);
        }
        free(source->recipients);
        free(source->sender);
        free(source->message_id);
        free(source->envelope_id);
        free(source->first);
}

struct notice_rules notice_rules_copy(const struct notice_rules *rules)
{
        if (!rules || !rules->to || !rules->to[0])
                return (struct notice_rules){ 0 };
        return (struct notice_rules){ .to = copy_text(rules->to),
                                      .from = copy_text(rules->from),
                                      .hostname = copy_text(rules->hostname),
                                      .server = copy_text(rules->server),
                                      .lifetime = rules->lifetime };
}

void notice_rules_done(struct notice_rules *rules)
{
        free((char *)(uintptr_t)rules->to);
        free((char *)(uintptr_t)rules->from);
        free((char *)(uintptr_t)rules->hostname);
        free((char *)(uintptr_t)rules->server);
        *rules = (struct notice_rules){ 0 };
}

/* ---- what failed ---- */

/* 1 = read, 0 = there is no such message, -1 cause. */
static int read_message(struct database *db, uint64_t seq, struct notice_source *source, struct cause *cause)
{
        scoped(db_end) sqlite3_stmt *rows = db_query(
                db, cause,
                "SELECT account, sender, message_id, envelope_id, submitted,"
                " (SELECT max(time) FROM history WHERE history.seq = message.seq AND host IS NOT NULL), size"
                " FROM message WHERE seq = ?",
                VALUES(v_int((int64_t)seq)));
        int more = rows ? db_next(db, rows, cause) : -1;

        if (more <= 0)
                return more;
        (void)snprintf(source->account, sizeof source->account, "%s",
                       (const char *)sqlite3_column_text(rows, 0));
        source->sender = db_text(rows, 1);
        source->message_id = db_text(rows, 2);
        source->envelope_id = db_text(rows, 3);
        source->submitted = sqlite3_column_int64(rows, 4);
        source->last_attempt = sqlite3_column_int64(rows, 5);
        source->size = (uint64_t)sqlite3_column_int64(rows, 6);
        queue_id_of(seq, source->id);
        return 1;
}

static int read_recipients(struct database *db, uint64_t seq, struct notice_source *source,
                           struct cause *cause)
{
        int more;
        scoped(db_end) sqlite3_stmt *rows =
                db_query(db, cause,
                         "SELECT address, reply, enhanced, cause, original FROM recipient"
                         " WHERE seq = ? AND state = " SQL_FAILED " AND told = 0 ORDER BY number",
                         VALUES(v_int((int64_t)seq)));

        while ((more = rows ? db_next(db, rows, cause) : -1) > 0) {
                const char *code = (const char *)sqlite3_column_text(rows, 3);
                size_t count = source->recipient_count++;
                source->recipients = new_resized(source->recipients, count + 1, sizeof *source->recipients);
                source->recipients[count] = (struct notice_recipient){
                        .address = db_text(rows, 0),
                        .reply = db_text(rows, 1),
                        .enhanced = db_text(rows, 2),
                        .cause = code ? cause_named(code) : CAUSE_NONE,
                        .original = db_text(rows, 4),
                };
        }
        return more;
}

/* The chunk with the header. A body that cannot be read is no reason for silence: the notice goes without. */
static int read_header(struct database *db, uint64_t seq, struct notice_source *source, struct cause *cause)
{
        scoped(queue_body_close) struct queue_body body;
        int result = queue_body_open(&body, db, seq, source->size, cause);

        body.unchecked = true;
        if (result == 0 && queue_body_chunk(&body, db, 0, &source->first, &source->first_len, cause) == 0)
                return 0;
        if (cause->code == CAUSE_STORAGE && !body.in_file && !database_damaged(db))
                return -1;
        cause_clear(cause);
        return 0;
}

/* ---- the notice as a message ---- */

static int write_notice(struct database *db, const struct notice_source *source,
                        const struct notice_rules *rules, time_t now, char id[QUEUE_ID_SIZE],
                        struct cause *cause)
{
        scoped(buf_free) struct buf text = BUF_WITH_MAX(NOTICE_MOST);
        scoped(scoped_free) char *message_id = NULL;
        scoped(scoped_free) char *own = text_of("MAILER-DAEMON@%s", rules->hostname);
        char token[TOKEN + 1];
        uint64_t seq;

        random_token(token, TOKEN);
        struct notice notice = { .to = rules->to,
                                 .from = rules->from && rules->from[0] ? rules->from : own,
                                 .hostname = rules->hostname,
                                 .server = rules->server,
                                 .account = source->account,
                                 .id = source->id,
                                 .token = token,
                                 .sender = source->sender,
                                 .message_id = source->message_id,
                                 .envelope_id = source->envelope_id,
                                 .submitted = source->submitted,
                                 .last_attempt = source->last_attempt,
                                 .now = now,
                                 .recipients = source->recipients,
                                 .recipient_count = source->recipient_count,
                                 .header = source->first,
                                 .header_len = source->first_len };
        if (notice_write(&notice, &text, &message_id) < 0)
                return cause_set(cause, CAUSE_INTERNAL, "the notice about message %s is too large",
                                 source->id);
        struct queue_own message = { .account = source->account,
                                     .from = "",
                                     .to = rules->to,
                                     .message_id = message_id,
                                     .lifetime = rules->lifetime,
                                     .now = now,
                                     .text = &text };
        if (queue_row_insert_own(db, &message, &seq, cause) < 0)
                return -1;
        queue_id_of(seq, id);
        return 0;
}

int queue_notice_add(struct database *db, uint64_t seq, const struct notice_rules *rules, time_t now,
                     char id[QUEUE_ID_SIZE], struct cause *cause)
{
        scoped(source_done) struct notice_source source = { 0 };
        bool wanted = rules->to && rules->to[0];

        id[0] = '\0';
        int found = wanted ? read_message(db, seq, &source, cause) : 0;
        if (found > 0 && source.sender[0] &&
            (read_recipients(db, seq, &source, cause) < 0 || read_header(db, seq, &source, cause) < 0))
                return -1;
        if (found < 0 || (source.recipient_count && write_notice(db, &source, rules, now, id, cause) < 0))
                return -1;
        return db_run(db, cause,
                      "UPDATE recipient SET told = 1 WHERE seq = ? AND state = " SQL_FAILED " AND told = 0",
                      VALUES(v_int((int64_t)seq)));
}

void queue_notice_tell(const char *account, const char *id, const struct notice_rules *rules, uint64_t seq)
{
        char about[QUEUE_ID_SIZE];
        struct subject subject = { .account = account, .direction = "outgoing", .queue_id = id };

        if (!id[0])
                return;
        queue_id_of(seq, about);
        log_about(&subject, LOG_INFO, MSG_QUEUED, "%s: notice to %s that %s failed", id, rules->to, about);
}
