/* SPDX-License-Identifier: MIT */
/* Files that no row tells of, by their content; see delivery_unrecorded.h. */
#include "daemon/store/delivery_unrecorded.h"

#include "common/line_ends.h"
#include "common/times.h"
#include "daemon/store/jobs.h"
#include "daemon/store/maildir_set.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum {
        ROWS_AT_ONCE = 1 << 12,
        READ_MS = 50, /* files are read for so long, and one more */
};

struct look {
        char *account;
        struct unrecorded *out;
        struct maildir maildir;
        struct maildir_set files;
        int64_t *places; /* numbers, as rows of `seen` have them */
        size_t place_count, place;
        struct { /* the last row of that place that was looked at */
                int64_t uidvalidity, uid, generation;
                char *uidl;
        } last;
        size_t unmatched; /* read up to this one */
        bool more;        /* of what is done in portions */
        struct cause failure;
        bool failed;
        void (*done)(void *ctx, const struct cause *cause);
        void *ctx;
        struct store_read read;
        struct job job;
};

/* ---- content ---- */

/* False: it cannot be read, or is gone; then the message comes again, which loses nothing. */
static bool read_content(int folder, const char *name, struct unrecorded_file *file)
{
        enum { PIECE = 32 * 1024 };
        scoped(scoped_close) int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        scoped(content_tag_free) EVP_CIPHER_CTX *as_is = NULL;
        scoped(content_tag_free) EVP_CIPHER_CTX *canonical = NULL;
        scoped(scoped_free) uint8_t *bytes = new_zeroed(3, PIECE);
        uint8_t *longer = bytes + PIECE;
        ssize_t len = -1;

        content_tag_begin(&as_is);
        content_tag_begin(&canonical);
        while (fd >= 0 && (len = read(fd, bytes, PIECE)) > 0) {
                content_tag_add(as_is, bytes, (size_t)len);
                content_tag_add(canonical, longer, line_ends_lengthen(bytes, (size_t)len, longer));
        }
        content_tag_end(as_is, file->as_is);
        content_tag_end(canonical, file->canonical);
        return fd >= 0 && len == 0;
}

struct unrecorded *unrecorded_new(void)
{
        return new_object(struct unrecorded);
}

static void unrecorded_clear(struct unrecorded *of)
{
        for (size_t i = 0; i < of->count; i++)
                free(of->files[i].file);
        free(take(of->files));
        of->count = 0;
}

void unrecorded_free(struct unrecorded *of)
{
        if (of)
                unrecorded_clear(of);
        free(of);
}

/* ---- a look ---- */

static void look_end(struct look *look, const struct cause *cause)
{
        if (cause)
                unrecorded_clear(look->out);
        look->out->read = !cause;
        look->done(look->ctx, cause);
        maildir_close(&look->maildir);
        maildir_set_clear(&look->files);
        free(look->places);
        free(look->last.uidl);
        free(look->account);
        free(look);
}

/* Between two portions; false: it is over. */
static bool goes_on(struct look *look, const struct cause *cause)
{
        struct cause closed;

        if (!cause)
                cause = store_closed(&closed);
        if (cause)
                look_end(look, cause);
        return !cause;
}

static void run_on_files(struct look *look, void (*work)(struct job *job), void (*done)(struct job *job))
{
        look->job = (struct job){ .work = work, .done = done };
        store_run_files(&look->job);
}

/* ---- their content; file pool ---- */

static void add_content(struct look *look, const struct maildir_file *file)
{
        struct unrecorded *out = look->out;
        struct unrecorded_file found = { 0 };

        if (!maildir_is_ours(file->name) ||
            !read_content(file->in_new ? look->maildir.new : look->maildir.cur, file->name, &found))
                return;
        found.file = copy_bytes(file->name, file->base);
        if ((out->count & (out->count - 1)) == 0)
                out->files = new_resized(out->files, 2 * out->count + 1, sizeof *out->files);
        out->files[out->count++] = found;
}

static void content_work(struct job *job)
{
        struct look *look = container_of(job, struct look, job);
        const struct maildir_listing *unmatched = &look->files.listing;
        int64_t until = time_monotonic_ms() + READ_MS;

        if (look->unmatched == 0)
                maildir_set_keep_unmatched(&look->files);
        while (look->unmatched < unmatched->count && time_monotonic_ms() < until)
                add_content(look, &unmatched->files[look->unmatched++]);
        look->more = look->unmatched < unmatched->count;
}

static void content_done(struct job *job)
{
        struct look *look = container_of(job, struct look, job);

        if (!goes_on(look, NULL))
                return;
        if (look->more)
                run_on_files(look, content_work, content_done);
        else
                look_end(look, NULL);
}

/* ---- files with a row; reader thread ---- */

/* A file that only a scan has found has a row in `inbox`, and none in `seen`. */
static int match_rows(struct look *look, struct database *db, struct cause *cause)
{
        int more, count = 0;
        scoped(db_end) sqlite3_stmt *rows = db_query(
                db, cause,
                "SELECT s.uidvalidity, s.uid, s.uidl, s.generation, i.file FROM seen s"
                " LEFT JOIN inbox i ON i.seq = s.inbox WHERE s.place = ?"
                " AND (s.uidvalidity, s.uid, s.uidl, s.generation) > (?, ?, ?, ?)"
                " ORDER BY s.uidvalidity, s.uid, s.uidl, s.generation",
                VALUES(v_int(look->places[look->place]), v_int(look->last.uidvalidity), v_int(look->last.uid),
                       v_text(look->last.uidl ? look->last.uidl : ""), v_int(look->last.generation)));

        while ((more = rows ? db_next(db, rows, cause) : -1) > 0 && count++ < ROWS_AT_ONCE) {
                const char *file = (const char *)sqlite3_column_text(rows, 4);
                if (file)
                        (void)maildir_set_match(&look->files, file);
                look->last.uidvalidity = sqlite3_column_int64(rows, 0);
                look->last.uid = sqlite3_column_int64(rows, 1);
                look->last.generation = sqlite3_column_int64(rows, 3);
                free(look->last.uidl);
                look->last.uidl = db_text(rows, 2);
        }
        return more;
}

static int read_places(struct look *look, struct database *db, struct cause *cause)
{
        int more;
        scoped(db_end) sqlite3_stmt *rows = db_query(db, cause, "SELECT number FROM place WHERE account = ?",
                                                     VALUES(v_text(look->account)));

        look->places = new_zeroed(1, sizeof *look->places);
        while ((more = rows ? db_next(db, rows, cause) : -1) > 0) {
                look->places = new_resized(look->places, look->place_count + 1, sizeof *look->places);
                look->places[look->place_count++] = sqlite3_column_int64(rows, 0);
        }
        return more;
}

static int rows_work(struct store_read *read, struct database *db, struct cause *cause)
{
        struct look *look = container_of(read, struct look, read);
        int more = 0;

        if (!look->places && read_places(look, db, cause) < 0)
                return -1;
        if (look->place < look->place_count && (more = match_rows(look, db, cause)) < 0)
                return -1;
        if (!more) {
                look->place++;
                free(take(look->last.uidl));
                memset(&look->last, 0, sizeof look->last);
        }
        look->more = look->place < look->place_count;
        return 0;
}

static void rows_done(struct store_read *read, const struct cause *cause)
{
        struct look *look = container_of(read, struct look, read);

        if (!goes_on(look, cause))
                return;
        if (look->more)
                store_read(&look->read);
        else
                run_on_files(look, content_work, content_done);
}

/* ---- the files; file pool ---- */

static int read_names(struct look *look)
{
        int there = look->more ? 1 : maildir_open(look->account, false, &look->maildir, &look->failure);

        if (there <= 0)
                return there;
        int more = maildir_set_read(&look->files, &look->maildir);
        return more < 0 ? cause_errno(&look->failure, errno, "cannot read the Maildir of %s", look->account)
                        : more;
}

static void names_work(struct job *job)
{
        struct look *look = container_of(job, struct look, job);
        int more = read_names(look);

        look->more = more > 0;
        look->failed = more < 0;
}

static void names_done(struct job *job)
{
        struct look *look = container_of(job, struct look, job);

        if (!goes_on(look, look->failed ? &look->failure : NULL))
                return;
        if (look->more) {
                run_on_files(look, names_work, names_done);
        } else if (!look->files.listing.count) {
                look_end(look, NULL);
        } else {
                look->read = (struct store_read){ .read = rows_work, .done = rows_done };
                store_read(&look->read);
        }
}

void unrecorded_look(const char *account, struct unrecorded *out,
                     void (*done)(void *ctx, const struct cause *cause), void *ctx)
{
        struct look *look = new_object(struct look);

        look->account = copy_text(account);
        look->maildir = MAILDIR_CLOSED;
        look->out = out;
        look->done = done;
        look->ctx = ctx;
        run_on_files(look, names_work, names_done);
}

const char *unrecorded_take(struct unrecorded *of, const uint8_t tag[CONTENT_TAG_SIZE])
{
        for (size_t i = 0; i < of->count; i++) {
                struct unrecorded_file *file = &of->files[i];
                if (file->taken || (memcmp(file->as_is, tag, CONTENT_TAG_SIZE) != 0 &&
                                    memcmp(file->canonical, tag, CONTENT_TAG_SIZE) != 0))
                        continue;
                file->taken = true;
                return file->file;
        }
        return NULL;
}
