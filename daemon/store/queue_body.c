/* SPDX-License-Identifier: MIT */
/* Bodies of queued messages: read, checked, put in, taken out; see queue_body.h. */
#include "daemon/store/queue_body.h"

#include "daemon/sha256.h"
#include "daemon/store/content_tag.h"

/* ---- reading ---- */

static uint64_t chunk_count(uint64_t size)
{
        return size / BODY_CHUNK + (size % BODY_CHUNK != 0);
}

/* What the chunk of that number has; 0: there is none. */
static size_t chunk_length(uint64_t size, uint64_t number)
{
        if (number >= chunk_count(size))
                return 0;
        uint64_t left = size - number * BODY_CHUNK;
        return left < BODY_CHUNK ? (size_t)left : BODY_CHUNK;
}

static int not_complete(struct cause *cause)
{
        return cause_set(cause, CAUSE_INVALID, "its body is not complete");
}

static int has_changed(struct cause *cause)
{
        return cause_set(cause, CAUSE_INVALID, "bytes of its body have changed");
}

int queue_body_open(struct queue_body *body, struct database *db, uint64_t seq, uint64_t size,
                    struct cause *cause)
{
        *body = (struct queue_body){ .seq = seq, .size = size, .fd = -1 };
        if (size < BODY_FILE_FROM)
                return 0;
        scoped(db_end) sqlite3_stmt *rows = db_query(
                db, cause, "SELECT name, digests FROM body_file WHERE seq = ?", VALUES(v_int((int64_t)seq)));
        int more = rows ? db_next(db, rows, cause) : -1;
        if (more <= 0)
                return more;
        size_t len = (size_t)sqlite3_column_bytes(rows, 1);
        body->in_file = true;
        body->digest_size = len == chunk_count(size) * SHA256_SIZE ? SHA256_SIZE : CONTENT_TAG_SIZE;
        if (len != chunk_count(size) * body->digest_size)
                return not_complete(cause);
        buf_init(&body->digests, len);
        if (buf_append(&body->digests, sqlite3_column_blob(rows, 1), len) < 0)
                return not_complete(cause);
        body->fd = body_file_open((const char *)sqlite3_column_text(rows, 0), size, cause);
        return body->fd < 0 ? -1 : 0;
}

void queue_body_close(struct queue_body *body)
{
        close_fd(&body->fd);
        buf_free(&body->digests);
}

static int chunk_of_file(const struct queue_body *body, uint64_t number, uint8_t **bytes, size_t *len,
                         struct cause *cause)
{
        scoped(chunk_memory_done) uint8_t *chunk = NULL;

        *len = chunk_length(body->size, number);
        if (!*len)
                return not_complete(cause);
        chunk = chunk_memory_new(*len);
        if (body_file_read(body->fd, chunk, *len, number * BODY_CHUNK, cause) < 0)
                return -1;
        if (!body->unchecked &&
            !content_tag_fits(chunk, *len, buf_bytes(&body->digests) + number * body->digest_size,
                              body->digest_size))
                return has_changed(cause);
        *bytes = take(chunk);
        return 0;
}

/* Columns 0 (data) and 1 (digest). Bodies of before the digests have none, and pass. */
static bool is_sound(sqlite3_stmt *rows)
{
        const void *data = sqlite3_column_blob(rows, 0), *told = sqlite3_column_blob(rows, 1);
        size_t len = (size_t)sqlite3_column_bytes(rows, 0);

        return sqlite3_column_type(rows, 1) == SQLITE_NULL ||
               content_tag_fits(len ? data : "", len, told, (size_t)sqlite3_column_bytes(rows, 1));
}

int queue_body_chunk(const struct queue_body *body, struct database *db, uint64_t number, uint8_t **bytes,
                     size_t *len, struct cause *cause)
{
        if (body->in_file)
                return chunk_of_file(body, number, bytes, len, cause);
        scoped(db_end) sqlite3_stmt *rows =
                db_query(db, cause, "SELECT data, digest FROM body WHERE place = ?",
                         VALUES(v_int(body_place(body->seq) + (int64_t)number)));
        int more = rows ? db_next(db, rows, cause) : -1;
        if (more < 0)
                return -1;
        *len = more ? (size_t)sqlite3_column_bytes(rows, 0) : 0;
        if (!*len || (!body->unchecked && *len != chunk_length(body->size, number)))
                return not_complete(cause);
        if (!body->unchecked && !is_sound(rows))
                return has_changed(cause);
        *bytes = chunk_memory_new(*len);
        memcpy(*bytes, sqlite3_column_blob(rows, 0), *len);
        return 0;
}

/* The places without a gap, too: the last one follows from the size. */
static int check_places(const struct queue_body *body, struct database *db, struct cause *cause)
{
        int64_t there, from = body_place(body->seq);

        if (db_number(db, cause, &there, 0,
                      "SELECT CASE max(place) WHEN ? THEN sum(length(data)) END FROM body"
                      " WHERE place >= ? AND place < ?",
                      VALUES(v_int(from + (int64_t)chunk_count(body->size) - 1), v_int(from),
                             v_int(body_place(body->seq + 1)))) < 0)
                return -1;
        return (uint64_t)there == body->size ? 0 : not_complete(cause);
}

/* A file that is open has its size. */
int queue_body_check(const struct queue_body *body, struct database *db, bool bytes, struct cause *cause)
{
        if (!body->in_file && check_places(body, db, cause) < 0)
                return -1;
        for (uint64_t number = 0; bytes && number < chunk_count(body->size); number++) {
                scoped(chunk_memory_done) uint8_t *chunk = NULL;
                size_t len;
                if (queue_body_chunk(body, db, number, &chunk, &len, cause) < 0)
                        return -1;
        }
        return 0;
}

/* ---- a folder that is missing ---- */

struct finding {
        void (*found)(void);
        struct store_read read;
};

static int find_work(unused_arg struct store_read *read, struct database *db, struct cause *cause)
{
        return body_files_find(db, cause);
}

static void find_done(struct store_read *read, const struct cause *cause)
{
        struct finding *finding = container_of(read, struct finding, read);

        if (!cause) {
                body_files_found();
                finding->found();
        }
        free(finding);
}

void queue_bodies_find(void (*found)(void))
{
        struct finding *finding = new_object(struct finding);

        *finding = (struct finding){ .found = found, .read = { .read = find_work, .done = find_done } };
        store_read(&finding->read);
}

/* ---- coming and going ---- */

static int insert_chunk(struct database *db, uint64_t seq, uint64_t number, const uint8_t *bytes, size_t len,
                        struct cause *cause)
{
        uint8_t tag[CONTENT_TAG_SIZE];

        content_tag_of(bytes, len, tag);
        return db_run(db, cause, "INSERT INTO body (place, data, digest) VALUES (?, ?, ?)",
                      VALUES(v_int(body_place(seq) + (int64_t)number), v_bytes(bytes, len),
                             v_bytes(tag, sizeof tag)));
}

int queue_body_insert(struct database *db, uint64_t seq, const uint8_t *bytes, uint64_t size,
                      struct cause *cause)
{
        for (uint64_t number = 0; number < chunk_count(size); number++)
                if (insert_chunk(db, seq, number, bytes + number * BODY_CHUNK, chunk_length(size, number),
                                 cause) < 0)
                        return -1;
        return 0;
}

static int insert_from_file(struct database *db, uint64_t seq, int fd, uint64_t size, struct cause *cause)
{
        scoped(scoped_free) uint8_t *chunk = new_zeroed(1, BODY_CHUNK);

        for (uint64_t number = 0; number < chunk_count(size); number++) {
                size_t len = chunk_length(size, number);
                if (body_file_read(fd, chunk, len, number * BODY_CHUNK, cause) < 0 ||
                    insert_chunk(db, seq, number, chunk, len, cause) < 0)
                        return -1;
        }
        return 0;
}

int queue_body_insert_file(struct database *db, uint64_t seq, const struct body_file *file, uint64_t size,
                           struct cause *cause)
{
        int unnamed = body_file_comes(file, cause);

        if (unnamed)
                return unnamed < 0 ? -1 : insert_from_file(db, seq, file->fd, size, cause);
        return db_run(db, cause, "INSERT INTO body_file (seq, name, digests) VALUES (?, ?, ?)",
                      VALUES(v_int((int64_t)seq), v_text(file->name),
                             v_bytes(buf_bytes(&file->digests), file->digests.len)));
}

/* Only what is large can have one. */
static int delete_file(struct database *db, uint64_t seq, struct cause *cause)
{
        scoped(scoped_free) char *name = NULL;
        {
                scoped(db_end) sqlite3_stmt *rows = db_query(
                        db, cause, "SELECT name FROM body_file WHERE seq = ?", VALUES(v_int((int64_t)seq)));
                int more = rows ? db_next(db, rows, cause) : -1;
                if (more <= 0)
                        return more;
                name = db_text(rows, 0);
        }
        if (name)
                body_file_goes(name);
        return db_run(db, cause, "DELETE FROM body_file WHERE seq = ?", VALUES(v_int((int64_t)seq)));
}

/* By the range of its places: chunks need no index of their own. */
int queue_body_delete(struct database *db, const struct message_row *row, struct cause *cause)
{
        if ((uint64_t)row->size >= BODY_FILE_FROM && delete_file(db, row->seq, cause) < 0)
                return -1;
        return db_run(db, cause, "DELETE FROM body WHERE place >= ? AND place < ?",
                      VALUES(v_int(body_place(row->seq)), v_int(body_place(row->seq + 1))));
}
