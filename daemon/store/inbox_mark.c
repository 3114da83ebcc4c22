/* SPDX-License-Identifier: MIT */
/*
 * Messages marked as seen or not, as mail readers do it: by the flag S at the end of the file's name, in
 * cur/; see inbox.h. In steps like deleting (inbox_delete.c): the reader finds the rows, the file pool
 * renames and syncs, the writer follows. A kill in between leaves rows that the next scan mends.
 */
#include "daemon/store/inbox.h"

#include "daemon/store/box.h"
#include "daemon/store/disk.h"
#include "daemon/store/inbox_rows.h"
#include "daemon/store/inbox_scan.h"
#include "daemon/store/jobs.h"
#include "daemon/store/owner_rows.h"

#include <errno.h>
#include <stdio.h>

struct marked {
        char *id;
        struct inbox_row row; /* as it is, then as it will be */
        bool changed;         /* its file is */
};

struct marking {
        char *account;
        struct owner owner;
        bool seen, scanned;
        struct marked *marked;
        size_t count, changed;
        struct cause failure;
        void (*done)(void *ctx, size_t count, const struct cause *cause);
        void *ctx;
        struct store_read read;
        struct store_write write;
        struct job job;
};

static void marking_end(struct marking *marking, const struct cause *cause)
{
        marking->done(marking->ctx, marking->changed, cause);
        for (size_t i = 0; i < marking->count; i++) {
                free(marking->marked[i].id);
                inbox_row_done(&marking->marked[i].row);
        }
        free(marking->marked);
        free(marking->account);
        free(marking);
}

/* ---- flags ---- */

enum { SUFFIX_SIZE = 64 }; /* ":2," and more flags than there are letters */

/* The flags in the order of their letters (the Maildir custom), with or without S; what others say there
 * stays. -1: they are of a kind that is not known here. */
static int suffix_marked(const char *suffix, bool seen, char out[SUFFIX_SIZE])
{
        size_t len = 3;

        if (suffix[0] && strncmp(suffix, ":2,", 3) != 0)
                return -1;
        memcpy(out, ":2,", 3);
        bool put = !seen;
        for (const char *flag = suffix[0] ? suffix + 3 : ""; *flag; flag++) {
                if (len + 2 >= SUFFIX_SIZE)
                        return -1;
                if (!put && *flag > 'S') {
                        out[len++] = 'S';
                        put = true;
                }
                if (*flag != 'S')
                        out[len++] = *flag;
        }
        if (!put)
                out[len++] = 'S';
        out[len] = '\0';
        return 0;
}

bool inbox_is_seen(const char *file, bool in_cur)
{
        const char *flags = strstr(file, ":2,");

        return in_cur && flags && strchr(flags + 3, 'S');
}

/* ---- the files; file pool ---- */

static int mark_one(const struct maildir *maildir, bool seen, struct marked *one)
{
        struct inbox_row *row = &one->row;
        char suffix[SUFFIX_SIZE];

        if (suffix_marked(row->suffix, seen, suffix) < 0)
                return 0;
        if (seen ? !row->in_new && strcmp(row->suffix, suffix) == 0
                 : row->in_new || strcmp(row->suffix, suffix) == 0)
                return 0; /* it is so already; what is in new/ is not seen */
        scoped(scoped_free) char *from = text_of("%s%s", row->file, row->suffix),
                                 *to = text_of("%s%s", row->file, suffix);
        if (disk_rename_new(row->in_new ? maildir->new : maildir->cur, from, maildir->cur, to) < 0)
                return errno == ENOENT ? 0 : -1; /* a mail reader was faster */
        free(row->suffix);
        row->suffix = copy_text(suffix);
        row->in_new = false;
        one->changed = true;
        return 0;
}

static int mark_all(struct marking *marking, struct box_entered *at)
{
        for (size_t i = 0; i < marking->count; i++) {
                struct marked *one = &marking->marked[i];
                int there = box_enter(at, marking->account, one->row.box, false, &marking->failure);
                if (there < 0)
                        return -1;
                if (there && mark_one(&at->maildir, marking->seen, one) < 0)
                        return cause_errno(&marking->failure, errno, "cannot mark received mail of %s",
                                           marking->account);
        }
        return box_leave(at, &marking->failure);
}

static void mark_work(struct job *job)
{
        struct marking *marking = container_of(job, struct marking, job);
        scoped(box_drop) struct box_entered at = BOX_NONE;

        (void)mark_all(marking, &at);
}

/* ---- the rows ---- */

static int follow_work(struct store_write *write, struct database *db, struct cause *cause)
{
        struct marking *marking = container_of(write, struct marking, write);

        for (size_t i = 0; i < marking->count; i++)
                if (marking->marked[i].changed && inbox_row_move(db, &marking->marked[i].row, cause) < 0)
                        return -1;
        return 0;
}

static void followed(struct store_write *write, const struct cause *cause)
{
        struct marking *marking = container_of(write, struct marking, write);

        for (size_t i = 0; i < marking->count; i++)
                marking->changed += marking->marked[i].changed;
        if (cause || cause_happened(&marking->failure))
                inbox_doubt(marking->account);
        marking_end(marking, cause ? cause : cause_happened(&marking->failure) ? &marking->failure : NULL);
}

static void mark_done(struct job *job)
{
        struct marking *marking = container_of(job, struct marking, job);

        marking->write =
                (struct store_write){ .owner = &marking->owner, .write = follow_work, .done = followed };
        store_write(&marking->write);
}

static int find_work(struct store_read *read, struct database *db, struct cause *cause)
{
        struct marking *marking = container_of(read, struct marking, read);

        for (size_t i = 0; i < marking->count; i++)
                if (inbox_row_find(db, marking->account, marking->marked[i].id, &marking->marked[i].row,
                                   cause) < 0)
                        return -1;
        return 0;
}

static void found(struct store_read *read, const struct cause *cause)
{
        struct marking *marking = container_of(read, struct marking, read);

        if (cause) {
                marking_end(marking, cause);
                return;
        }
        marking->job = (struct job){ .work = mark_work, .done = mark_done };
        store_run_files(&marking->job);
}

static void scanned(void *ctx)
{
        struct marking *marking = ctx;

        marking->read = (struct store_read){ .read = find_work, .done = found };
        store_read(&marking->read);
}

void inbox_mark(const char *account, const char *const *ids, size_t id_count, bool seen,
                void (*done)(void *ctx, size_t count, const struct cause *cause), void *ctx)
{
        struct marking *marking = new_object(struct marking);

        *marking = (struct marking){ .account = copy_text(account),
                                     .owner = owner_of(account),
                                     .seen = seen,
                                     .count = id_count,
                                     .marked = new_zeroed(id_count + 1, sizeof *marking->marked),
                                     .done = done,
                                     .ctx = ctx };
        for (size_t i = 0; i < id_count; i++)
                marking->marked[i].id = copy_text(ids[i]);
        inbox_scan(account, false, scanned, marking);
}
