/* SPDX-License-Identifier: MIT */
/*
 * The steps of inbox_lf.h: the reader chooses rows in the order of their numbers, the file pool makes their
 * files LF, the writer records how far that has come. What a step did that was not recorded is seen by the
 * size of the file: the row has that of the message as it came.
 */
#include "daemon/store/inbox_lf.h"

#include "common/limits.h"
#include "daemon/journal.h"
#include "daemon/store/disk.h"
#include "daemon/store/inbox_rows.h"
#include "daemon/store/inbox_scan.h"
#include "daemon/store/jobs.h"
#include "daemon/store/maildir_folder.h"
#include "daemon/store/reserve.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
        STEP = 100, /* rows */
        STEP_BYTES = 16 * MIB,
        PIECE = 64 * KIB,
        AGAIN_MS = 10 * 60 * 1000, /* after a fault */
};

struct chosen {
        int64_t seq;
        char *account;
        struct inbox_row row;
        enum line_ends is; /* of the file, once it has been looked at */
};

static struct {
        int64_t at, to; /* numbers of rows: done up to `at`; 0: nothing to do */
        struct chosen chosen[STEP];
        size_t count;
        struct cause failure;
        bool told; /* of it */
        struct timer *again;
        struct store_read read;
        struct store_write write;
        struct job job;
} lf;

/* ---- one file; file pool ---- */

/* What is in the folders, read when the first file is not where its row says, and anew when one has moved
 * since. */
struct folders {
        bool listed;
        struct maildir_listing of[2]; /* cur, new */
};

static void folders_forget(struct folders *folders)
{
        for (size_t i = 0; i < count_of(folders->of); i++)
                maildir_listing_free(&folders->of[i]);
        *folders = (struct folders){ 0 };
}

static void folders_list(struct folders *folders, const struct maildir *maildir)
{
        if (folders->listed)
                return;
        folders->listed = true;
        for (int in_new = 1; in_new >= 0; in_new--)
                if (maildir_list(in_new ? maildir->new : maildir->cur, in_new, &folders->of[in_new]) < 0)
                        maildir_listing_free(&folders->of[in_new]);
}

enum { MOVED = -2 };

/* Where the folders had it when they were listed: -1 nowhere, MOVED not there any more. */
static int find_listed(const struct maildir *maildir, const struct folders *folders, const char *wanted,
                       char **name, struct stat *st)
{
        for (int in_new = 1; in_new >= 0; in_new--) {
                int folder = in_new ? maildir->new : maildir->cur;
                const struct maildir_file *file = maildir_find(&folders->of[in_new], wanted);
                if (!file)
                        continue;
                free(*name);
                *name = copy_text(file->name);
                return fstatat(folder, *name, st, AT_SYMLINK_NOFOLLOW) == 0 ? folder : MOVED;
        }
        return -1;
}

/* Its place and name now: a mail reader may have moved it since. The folder, or -1. */
static int find_file(const struct maildir *maildir, struct folders *folders, const struct inbox_row *row,
                     char **name, struct stat *st)
{
        int claimed = row->in_new ? maildir->new : maildir->cur;
        bool fresh = !folders->listed;

        *name = text_of("%s%s", row->file, row->suffix);
        if (fstatat(claimed, *name, st, AT_SYMLINK_NOFOLLOW) == 0)
                return claimed;
        folders_list(folders, maildir);
        int folder = find_listed(maildir, folders, row->file, name, st);
        if (folder == MOVED && !fresh) {
                folders_forget(folders);
                folders_list(folders, maildir);
                folder = find_listed(maildir, folders, row->file, name, st);
        }
        return folder >= 0 ? folder : -1;
}

/* 1: `to` is the same message with LF; 0: it has a LF without CR; -1 with errno. */
static int copy_as_lf(int from, int to)
{
        scoped(scoped_free) uint8_t *bytes = new_memory(PIECE);
        bool cr = false;
        ssize_t got;

        while ((got = read(from, bytes, PIECE)) > 0) {
                size_t taken;
                if (cr && bytes[0] != '\n') {
                        cr = false;
                        if (disk_write(to, "\r", 1) < 0)
                                return -1;
                }
                size_t len = line_ends_shorten(bytes, (size_t)got, &cr, &taken);
                if (taken < (size_t)got)
                        return 0;
                if (disk_write(to, bytes, len) < 0)
                        return -1;
        }
        return got < 0 || (cr && disk_write(to, "\r", 1) < 0) ? -1 : 1;
}

/* In one call; the old one is in tmp/ then. ENOENT: a mail reader has just moved it. */
static int swap(const struct maildir *maildir, const char *temporary, int folder, const char *name)
{
        if (disk_exchange(maildir->tmp, temporary, folder, name) == 0)
                return 0;
        if (errno != EINVAL && errno != ENOSYS)
                return -1;
        if (faccessat(folder, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
                return -1;
        return disk_rename(maildir->tmp, temporary, folder, name);
}

static int write_anew(const struct maildir *maildir, int folder, const char *name, const struct stat *st,
                      enum line_ends *is)
{
        char temporary[MAILDIR_NAME_SIZE];
        const struct timespec times[2] = { st->st_atim, st->st_mtim };
        scoped(scoped_close) int from = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

        if (from < 0)
                return -1;
        maildir_temporary_name(st->st_mtime, temporary);
        scoped(scoped_close) int to = maildir_create(maildir->tmp, temporary);
        if (to < 0)
                return -1;
        int result = copy_as_lf(from, to);
        if (result > 0 &&
            (futimens(to, times) < 0 || disk_sync_data(to) < 0 || swap(maildir, temporary, folder, name) < 0))
                result = -1;
        int error = errno;
        (void)disk_unlink(maildir->tmp, temporary); /* maildir_sweep finds it later */
        errno = error;
        if (result >= 0)
                *is = result ? LINE_ENDS_LF : LINE_ENDS_AS_CAME;
        return result < 0 ? -1 : 0;
}

/* -1 with errno: the disk fails. */
static int make_lf(const struct maildir *maildir, struct folders *folders, struct chosen *one)
{
        for (int tries = 0; tries < 3; tries++) {
                scoped(scoped_free) char *name = NULL;
                struct stat st;
                int folder = find_file(maildir, folders, &one->row, &name, &st);
                if (folder < 0 || !S_ISREG(st.st_mode))
                        return 0; /* it has gone */
                one->is = LINE_ENDS_LF;
                if (st.st_size != one->row.size)
                        return 0; /* done by a step that was not recorded */
                if (write_anew(maildir, folder, name, &st, &one->is) == 0)
                        return 0;
                if (errno != ENOENT)
                        return -1;
                folders_forget(folders);
        }
        one->is = LINE_ENDS_UNKNOWN; /* somebody moves it all the time */
        return 0;
}

static int make_all_lf(const char *account, struct chosen *chosen, size_t count, struct cause *cause)
{
        scoped(maildir_close) struct maildir maildir = MAILDIR_CLOSED;
        int there = maildir_open(account, false, &maildir, cause);

        if (there <= 0)
                return there;
        struct inbox_change change = inbox_change_begin(&maildir);
        scoped(folders_forget) struct folders folders = { 0 };
        int result = 0;
        for (size_t i = 0; i < count && result == 0; i++)
                if (maildir_is_ours(chosen[i].row.file))
                        result = make_lf(&maildir, &folders, &chosen[i]);
        int error = errno;
        inbox_change_end(account, &maildir, &change);
        if (result == 0 && (disk_sync(maildir.new) < 0 || disk_sync(maildir.cur) < 0)) {
                result = -1;
                error = errno;
        }
        return result < 0 ? cause_errno(cause, error,
                                        "received mail of %s cannot be written with LF line ends", account)
                          : 0;
}

static void step_work(unused_arg struct job *job)
{
        for (size_t first = 0, next; first < lf.count; first = next) {
                for (next = first + 1;
                     next < lf.count && strcmp(lf.chosen[next].account, lf.chosen[first].account) == 0;
                     next++)
                        ;
                if (make_all_lf(lf.chosen[first].account, &lf.chosen[first], next - first, &lf.failure) < 0)
                        return;
        }
}

/* ---- the rows ---- */

static void next_step(void);

static void chosen_free(void)
{
        for (size_t i = 0; i < lf.count; i++) {
                free(lf.chosen[i].account);
                inbox_row_done(&lf.chosen[i].row);
        }
        lf.count = 0;
}

static int choose_work(unused_arg struct store_read *read, struct database *db, struct cause *cause)
{
        int64_t bytes = 0;
        int more = 0;
        scoped(db_end) sqlite3_stmt *rows =
                db_query(db, cause,
                         "SELECT " INBOX_COLUMNS
                         ", account FROM inbox WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
                         VALUES(v_int(lf.at), v_int(lf.to), v_int(STEP)));

        while (bytes < STEP_BYTES && (more = rows ? db_next(db, rows, cause) : -1) > 0) {
                struct chosen *one = &lf.chosen[lf.count++];
                *one = (struct chosen){ .seq = sqlite3_column_int64(rows, 0), .account = db_text(rows, 14) };
                inbox_row_take(&one->row, rows);
                bytes += one->row.size;
        }
        return more < 0 ? -1 : 0;
}

static int record_work(unused_arg struct store_write *write, struct database *db, struct cause *cause)
{
        for (size_t i = 0; i < lf.count; i++)
                if (lf.chosen[i].is && db_run(db, cause, "UPDATE inbox SET line_ends = ? WHERE seq = ?",
                                              VALUES(v_int(lf.chosen[i].is), v_int(lf.chosen[i].seq))) < 0)
                        return -1;
        if (!lf.count)
                return db_run(db, cause, "DELETE FROM meta WHERE name IN ('crlfTo', 'crlfAt')", NULL, 0);
        return db_run(db, cause, "INSERT OR REPLACE INTO meta (name, value) VALUES ('crlfAt', ?)",
                      VALUES(v_int(lf.chosen[lf.count - 1].seq)));
}

static void later(unused_arg void *ctx)
{
        next_step();
}

static void put_off(const struct cause *cause)
{
        struct subject subject = { .cause = cause };

        if (!lf.told)
                log_about(&subject, LOG_WARNING, NULL, "%s; it is tried again, and stays readable as it is",
                          cause->text);
        lf.told = true;
        chosen_free();
        if (store_closing())
                return;
        if (!lf.again)
                lf.again = timer_new(later, NULL);
        timer_set(lf.again, AGAIN_MS);
}

static void recorded(unused_arg struct store_write *write, const struct cause *cause)
{
        if (cause) {
                put_off(cause);
                return;
        }
        bool over = !lf.count;
        if (!over)
                lf.at = lf.chosen[lf.count - 1].seq;
        chosen_free();
        if (!over) {
                next_step();
                return;
        }
        lf.to = 0;
        log_about(NULL, LOG_NOTICE, NULL, "received mail of an earlier version has LF line ends now");
}

static void record(void)
{
        lf.write = (struct store_write){ .write = record_work, .done = recorded };
        store_write(&lf.write);
}

static void step_done(unused_arg struct job *job)
{
        if (cause_happened(&lf.failure))
                put_off(&lf.failure);
        else
                record();
}

static void chose(unused_arg struct store_read *read, const struct cause *cause)
{
        if (cause) {
                put_off(cause);
        } else if (lf.count) {
                lf.job = (struct job){ .work = step_work, .done = step_done };
                store_run_files(&lf.job);
        } else {
                record();
        }
}

static void next_step(void)
{
        const struct cause *full = reserve_fault();

        if (store_closing() || !lf.to)
                return;
        if (full) {
                put_off(full);
                return;
        }
        lf.failure = (struct cause){ 0 };
        lf.read = (struct store_read){ .read = choose_work, .done = chose };
        store_read(&lf.read);
}

/* ---- beginning and end ---- */

int inbox_lf_load(struct database *db, struct cause *cause)
{
        if (db_number(db, cause, &lf.to, 0, "SELECT value FROM meta WHERE name = 'crlfTo'", NULL, 0) < 0)
                return -1;
        return db_number(db, cause, &lf.at, 0, "SELECT value FROM meta WHERE name = 'crlfAt'", NULL, 0);
}

void inbox_lf_begin(void)
{
        lf.told = false;
        if (!lf.to)
                return;
        log_about(NULL, LOG_NOTICE, NULL,
                  "received mail of an earlier version is given LF line ends, while the station works");
        next_step();
}

void inbox_lf_end(void)
{
        timer_free(take(lf.again));
}
