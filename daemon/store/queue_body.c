/* SPDX-License-Identifier: MIT */
/* The chunks of a body after the first, for messages that are larger; on the reader thread. */
#include "daemon/store/queue_rows.h"

struct body_read {
        uint64_t seq, offset;
        uint8_t *bytes;
        size_t len;
        void (*done)(void *ctx, const uint8_t *bytes, size_t len, const struct cause *cause);
        void *ctx;
        struct store_read read;
};

static int body_work(struct store_read *read, struct database *db, struct cause *cause)
{
        struct body_read *body = container_of(read, struct body_read, read);
        size_t skip = (size_t)(body->offset % BODY_CHUNK);
        scoped(db_end) sqlite3_stmt *rows =
                db_query(db, cause, "SELECT data, digest FROM body WHERE place = ?",
                         VALUES(v_int(body_place(body->seq) + (int64_t)(body->offset / BODY_CHUNK))));
        int more = rows ? db_next(db, rows, cause) : -1;

        if (more < 0)
                return -1;
        size_t len = more ? (size_t)sqlite3_column_bytes(rows, 0) : 0;
        if (len <= skip)
                return cause_set(cause, CAUSE_STORAGE, "the message is damaged: its body is not complete");
        if (!queue_chunk_sound(rows))
                return cause_set(cause, CAUSE_STORAGE,
                                 "the message is damaged: bytes of its body have changed");
        body->len = len - skip;
        body->bytes = (uint8_t *)copy_bytes((const char *)sqlite3_column_blob(rows, 0) + skip, body->len);
        return 0;
}

static void body_done(struct store_read *read, const struct cause *cause)
{
        struct body_read *body = container_of(read, struct body_read, read);

        body->done(body->ctx, body->bytes, body->len, cause);
        free(body->bytes);
        free(body);
}

void queue_read_body(uint64_t seq, uint64_t offset,
                     void (*done)(void *ctx, const uint8_t *bytes, size_t len, const struct cause *cause),
                     void *ctx)
{
        struct body_read *body = new_object(struct body_read);

        *body = (struct body_read){ .seq = seq, .offset = offset, .done = done, .ctx = ctx,
                                    .read = { .read = body_work, .done = body_done } };
        store_read(&body->read);
}
