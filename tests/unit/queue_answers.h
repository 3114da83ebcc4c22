/* SPDX-License-Identifier: MIT */
/* The queue asked by a test: each call waits for its answer. */
#pragma once

#include "daemon/store/fetched_table.h"
#include "daemon/store/queue_body.h"

#include "store_folder.h"

#define NOW 1795459860

static const char *const one_recipient[] = { "to@example.com" };

static inline struct submission plain(const char *account)
{
        return (struct submission){
                .account = account,
                .from = "from@example.com",
                .recipients = (const char **)(uintptr_t)one_recipient,
                .recipient_count = 1,
                .submitted_by = "test (uid 0)",
                .rules = { .hostname = "h", .from = "from@example.com", .now = NOW, .max_size = 64 * MIB },
                .lifetime = 1000,
                .account_clock = 50,
                .max_queue = 100000,
                .fd = -1,
                .bytes = "Subject: x\n\nbody\n",
                .len = 17
        };
}

/* ---- answers ---- */

struct submitted {
        struct answer answer;
        char id[QUEUE_ID_SIZE];
        bool duplicate;
};

static inline void on_submitted(void *ctx, const char *id, bool duplicate, const struct cause *cause)
{
        struct submitted *submitted = ctx;

        (void)snprintf(submitted->id, sizeof submitted->id, "%s", id ? id : "");
        submitted->duplicate = duplicate;
        answered(&submitted->answer, cause);
}

static inline struct submitted submit(const struct submission *submission)
{
        struct submitted submitted = { 0 };

        queue_submit(submission, on_submitted, &submitted);
        wait_for(&submitted.answer);
        return submitted;
}

static inline struct submitted submit_well(const struct submission *submission)
{
        struct submitted submitted = submit(submission);

        ck_assert_msg(!submitted.answer.failed, "%s", submitted.answer.cause.text);
        return submitted;
}

struct claimed {
        struct answer answer;
        struct queued_message *messages[64];
        size_t count;
        time_t next_due;
};

static void on_claimed(void *ctx, struct queued_message **messages, size_t count, time_t next_due,
                       const struct cause *cause)
{
        struct claimed *claimed = ctx;

        ck_assert_uint_le(count, count_of(claimed->messages));
        memcpy(claimed->messages, messages, count * sizeof *messages);
        claimed->count = count;
        claimed->next_due = next_due;
        answered(&claimed->answer, cause);
}

static inline struct claimed claim(const char *account, time_t now, size_t max)
{
        struct claimed claimed = { 0 };

        queue_claim(account, now, max, 16 * MIB, NULL, NULL, on_claimed, &claimed);
        wait_well(&claimed.answer);
        return claimed;
}

static inline void free_claimed(struct claimed *claimed)
{
        for (size_t i = 0; i < claimed->count; i++)
                queued_message_free(claimed->messages[i]);
        claimed->count = 0;
}

static inline void settle(uint64_t seq, enum queue_state state, time_t next)
{
        struct settled_recipient recipient = { .state = state,
                                               .next_attempt = next,
                                               .reply = "250 done",
                                               .enhanced = "2.0.0",
                                               .cause = state == QUEUE_SENT ? CAUSE_NONE : CAUSE_DEFERRED };
        struct settlement settlement = { .seq = seq,
                                         .time = NOW,
                                         .host = "mail.example:465",
                                         .tls = "TLSv1.3 system",
                                         .result = "tried",
                                         .recipients = &recipient,
                                         .recipient_count = 1 };
        struct answer answer = { 0 };

        queue_settle(&settlement, answered, &answer);
        wait_well(&answer);
}

struct json_answer {
        struct answer answer;
        json_t *json;
        uint64_t next;
};

static inline void on_json(void *ctx, json_t *json, const struct cause *cause)
{
        struct json_answer *answer = ctx;

        answer->json = json_incref(json);
        answered(&answer->answer, cause);
}

static inline void on_listed(void *ctx, json_t *json, uint64_t next, const struct cause *cause)
{
        ((struct json_answer *)ctx)->next = next;
        on_json(ctx, json, cause);
}

static inline json_t *get(const char *id)
{
        struct json_answer answer = { 0 };

        queue_get(id, on_json, &answer);
        wait_well(&answer.answer);
        return answer.json;
}

static inline void check_text(const json_t *object, const char *name, const char *want)
{
        const char *text = json_string_value(json_object_get(object, name));

        ck_assert_msg(same_text(text, want), "%s is %s, not %s", name, text ? text : "null",
                      want ? want : "null");
}

static inline void check_state(const char *id, const char *state)
{
        json_t *message = get(id);

        check_text(message, "state", state);
        json_decref(message);
}

static inline struct json_answer change(enum queue_change what, const char *id, const char *account)
{
        struct json_answer answer = { 0 };

        queue_change(what, &id, 1, account, 100, on_json, &answer);
        wait_for(&answer.answer);
        return answer;
}

static inline void change_well(enum queue_change what, const char *id, const char *account)
{
        struct json_answer answer = change(what, id, account);

        ck_assert_msg(!answer.answer.failed, "%s", answer.answer.cause.text);
        check_text(json_array_get(answer.json, 0), "id", id);
        json_decref(answer.json);
}

static inline void check_counts(const char *account, enum queue_state state, uint64_t want)
{
        ck_assert_uint_eq(queue_counts(account).messages[state], want);
}

static inline void with_database(const char *sql)
{
        char *path = text_of("%s/station.db", folder);
        sqlite3 *handle;

        ck_assert_int_eq(sqlite3_open(path, &handle), SQLITE_OK);
        sqlite3_busy_timeout(handle, 5000);
        ck_assert_msg(sqlite3_exec(handle, sql, NULL, NULL, NULL) == SQLITE_OK, "%s", sqlite3_errmsg(handle));
        sqlite3_close(handle);
        free(path);
}

/* Everything asked of the writer so far is on disk. */
static inline void written(void)
{
        struct answer answer = { 0 };

        fetched_told("x", "", 0, NULL, 0, answered, &answer);
        wait_well(&answer);
}

struct body {
        struct answer answer;
        struct buf bytes;
};

static inline void on_body(void *ctx, uint8_t *bytes, size_t len, const struct cause *cause)
{
        struct body *body = ctx;

        if (!cause)
                ck_assert_int_eq(buf_append(&body->bytes, bytes, len), 0);
        chunk_memory_free(bytes);
        answered(&body->answer, cause);
}
