/* SPDX-License-Identifier: MIT */
/* Rows of `inbox`: the files of a Maildir and what is shown of them, found by id and by time; reader or
 * writer thread. */
#pragma once

#include "common/line_ends.h"

#include "daemon/store/database.h"
#include "daemon/store/inbox_id.h"

struct inbox_row {
        int64_t seq;
        char *file, *suffix; /* name without flags; flags, or NULL for none */
        bool in_new;
        char *box; /* of the Maildir; NULL or "": the Maildir itself */
        int64_t received, size;
        char *folder; /* "" where nobody fetched it */
        int64_t uid;
        enum line_ends line_ends;                 /* of the file */
        char *from, *subject, *date, *message_id; /* or NULL */
};
/* Frees the texts. */
void inbox_row_done(struct inbox_row *row);

/* The number of a file's row; 0: there is none. */
int inbox_row_number(struct database *db, const char *account, const char *file, int64_t *seq,
                     struct cause *cause) must_use;
/* Files that were delivered, and the numbers of their rows; where a scan has found one already, its row gets
 * what is known of the message. */
int inbox_rows_put(struct database *db, const char *account, const struct inbox_row *rows, size_t count,
                   int64_t *seqs, struct cause *cause) must_use;
/* A file that a scan has found; nothing where it has a row. */
int inbox_row_add(struct database *db, const char *account, const struct inbox_row *row, struct cause *cause)
        must_use;
int inbox_row_move(struct database *db, const struct inbox_row *row, struct cause *cause) must_use;
/* With what is known only for the sake of the file's name. */
int inbox_row_end(struct database *db, int64_t seq, struct cause *cause) must_use;

/* Up to two of those whose ids are from `first` to `last`: the first of them, and how many (0 to 2). */
int inbox_row_of_id(struct database *db, const char *account, int64_t first, int64_t last,
                    struct inbox_row *row, struct cause *cause) must_use;
/* The one that a unique beginning of an id names: 0, or -1 where there is none, or several. */
int inbox_row_find(struct database *db, const char *account, const char *id, struct inbox_row *row,
                   struct cause *cause) must_use;
/* How many the account has. */
int inbox_row_count(struct database *db, const char *account, int64_t *count, struct cause *cause) must_use;

/* The columns of `inbox` that inbox_row_take() reads, in its order. */
#define INBOX_COLUMNS \
        "seq, file, suffix, in_new, received, size, folder, uid, sender, subject, date, message_id, " \
        "line_ends, box"
void inbox_row_take(struct inbox_row *row, sqlite3_stmt *rows);
