/* SPDX-License-Identifier: MIT */
/* Files that no row tells of, by their content; see delivery_unrecorded.h. */
#include "daemon/store/delivery_unrecorded.h"

#include "common/line_ends.h"
#include "daemon/sha256.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- files with a row ---- */

struct ids { /* sorted */
        int64_t *at;
        size_t count;
};

static void ids_free(struct ids *ids)
{
        free(take(ids->at));
}

static int by_number(const void *a, const void *b)
{
        int64_t one = *(const int64_t *)a, other = *(const int64_t *)b;

        return (one > other) - (one < other);
}

/* A file that only a look has found has a row in `inbox`, and none in `seen`. */
static int read_recorded(struct database *db, const char *account, struct ids *ids, struct cause *cause)
{
        scoped(db_end) sqlite3_stmt *rows = db_query(
                db, cause,
                "SELECT inbox.id FROM seen JOIN inbox ON inbox.seq = seen.inbox WHERE inbox.account = ?",
                VALUES(v_text(account)));
        int more = rows ? 0 : -1;

        while (rows && (more = db_next(db, rows, cause)) > 0) {
                if ((ids->count & (ids->count - 1)) == 0)
                        ids->at = new_resized(ids->at, 2 * ids->count + 1, sizeof *ids->at);
                ids->at[ids->count++] = sqlite3_column_int64(rows, 0);
        }
        if (ids->count)
                qsort(ids->at, ids->count, sizeof *ids->at, by_number);
        return more;
}

static bool is_recorded(const struct ids *ids, const char *file)
{
        int64_t id = inbox_id(file);

        return ids->count && bsearch(&id, ids->at, ids->count, sizeof id, by_number);
}

/* ---- content ---- */

/* False: it cannot be read, or is gone; then the message comes again, which loses nothing. */
static bool read_content(int folder, const char *name, struct unrecorded_file *file)
{
        enum { PIECE = 32 * 1024 };
        scoped(scoped_close) int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        scoped(sha256_free) EVP_MD_CTX *as_is = NULL;
        scoped(sha256_free) EVP_MD_CTX *canonical = NULL;
        scoped(scoped_free) uint8_t *bytes = new_zeroed(3, PIECE);
        uint8_t *longer = bytes + PIECE;
        ssize_t len = -1;

        sha256_begin(&as_is);
        sha256_begin(&canonical);
        while (fd >= 0 && (len = read(fd, bytes, PIECE)) > 0) {
                sha256_add(as_is, bytes, (size_t)len);
                sha256_add(canonical, longer, line_ends_lengthen(bytes, (size_t)len, longer));
        }
        sha256_end(as_is, file->as_is);
        sha256_end(canonical, file->canonical);
        return fd >= 0 && len == 0;
}

static int read_folder(int folder, bool in_new, const struct ids *recorded, struct unrecorded *out)
{
        scoped(maildir_listing_free) struct maildir_listing listing = { 0 };

        if (maildir_list(folder, in_new, &listing) < 0)
                return -1;
        for (size_t i = 0; i < listing.count; i++) {
                const struct maildir_file *file = &listing.files[i];
                struct unrecorded_file found = { 0 };
                if (!maildir_is_ours(file->name) || is_recorded(recorded, file->name) ||
                    !read_content(folder, file->name, &found))
                        continue;
                found.file = copy_bytes(file->name, file->base);
                out->files = new_resized(out->files, out->count + 1, sizeof *out->files);
                out->files[out->count++] = found;
        }
        return 0;
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

int unrecorded_read(const char *account, struct database *db, struct unrecorded *out, struct cause *cause)
{
        scoped(ids_free) struct ids recorded = { 0 };
        struct maildir maildir;
        int there = out->read ? 0 : maildir_open(account, false, &maildir, cause);

        if (there <= 0) {
                out->read = there == 0;
                return there;
        }
        int done = read_recorded(db, account, &recorded, cause);
        if (done == 0 && (read_folder(maildir.new, true, &recorded, out) < 0 ||
                          read_folder(maildir.cur, false, &recorded, out) < 0))
                done = cause_errno(cause, errno, "cannot read the Maildir of %s", account);
        maildir_close(&maildir);
        if (done < 0)
                unrecorded_clear(out);
        out->read = done == 0;
        return done;
}

const char *unrecorded_take(struct unrecorded *of, const uint8_t digest[32])
{
        for (size_t i = 0; i < of->count; i++) {
                struct unrecorded_file *file = &of->files[i];
                if (file->taken ||
                    (memcmp(file->as_is, digest, 32) != 0 && memcmp(file->canonical, digest, 32) != 0))
                        continue;
                file->taken = true;
                return file->file;
        }
        return NULL;
}
