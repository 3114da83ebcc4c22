/* SPDX-License-Identifier: MIT */
/*
 * The body of a queued message, wherever it is: in chunks in the database, or large in a file beside it
 * (body_file.h). A message has the one or the other; those that earlier versions took in have chunks whatever
 * their size, and so has what the writer itself makes (digests), and what is restored from a backup.
 */
#pragma once

#include "daemon/store/body_file.h"
#include "daemon/store/chunk_memory.h"
#include "daemon/store/queue_rows.h"

/* The first chunk's place in the table `body`. */
static inline int64_t body_place(uint64_t seq)
{
        return (int64_t)(seq << 20);
}

/* Open for reading, on the thread of the connection; within its transaction. */
struct queue_body {
        uint64_t seq, size;
        bool in_file;   /* its row says so */
        bool unchecked; /* to be set by who takes what is there, whole or not */
        int fd;
        struct buf digests; /* of its chunks, of so many bytes each */
        size_t digest_size;
};
/* -1: with CAUSE_INVALID it is not what was accepted, with any other cause the disk is in trouble. To be
 * closed in any case. */
int queue_body_open(struct queue_body *body, struct database *db, uint64_t seq, uint64_t size,
                    struct cause *cause) must_use;
/* For `scoped`. */
void queue_body_close(struct queue_body *body);
/* The chunk of that number, checked, for the caller to free by chunk_memory_free(); -1 as above. */
int queue_body_chunk(const struct queue_body *body, struct database *db, uint64_t number, uint8_t **bytes,
                     size_t *len, struct cause *cause) must_use;
/* That all of it is there; `bytes`: and what it was. -1 as above. */
int queue_body_check(const struct queue_body *body, struct database *db, bool bytes, struct cause *cause)
        must_use;

/* SQL, ahead of what follows the conditions on messages, while the folder of bodies is missing: the body of
 * this one, a row of the table or alias `message`, can be read. */
#define SQL_BODY_IS_THERE(message) \
        " AND (" message ".size < 262144 OR NOT EXISTS (SELECT 1 FROM body_file f WHERE f.seq = " message \
        ".seq))"
static_assert(BODY_FILE_FROM == 262144, "SQL_BODY_IS_THERE has the number");

/* The loop's: looks whether the folder that is missing is there again; `found` once it is. */
void queue_bodies_find(void (*found)(void));

/* ---- the writer, inside a transaction ---- */
int queue_body_insert(struct database *db, uint64_t seq, const uint8_t *bytes, uint64_t size,
                      struct cause *cause) must_use;
/* Names the file; what cannot be named is put into the database. */
int queue_body_insert_file(struct database *db, uint64_t seq, const struct body_file *file, uint64_t size,
                           struct cause *cause) must_use;
int queue_body_delete(struct database *db, const struct message_row *row, struct cause *cause) must_use;
