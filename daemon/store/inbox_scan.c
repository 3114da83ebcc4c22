/* SPDX-License-Identifier: MIT */
/*
 * A scan of a Maildir; see inbox_scan.h. Folder by folder its files are read by the file pool, their names
 * are compared with the rows by the reader, and the writer takes the differences: all in portions, so that
 * others have their turn between them. A row ends only when its file was nowhere while the folder was read
 * and nobody changed it.
 */
#include "daemon/store/inbox_scan.h"

#include "common/limits.h"
#include "daemon/store/inbox_rows.h"
#include "daemon/store/jobs.h"
#include "daemon/store/maildir_set.h"
#include "daemon/store/owner_rows.h"
#include "daemon/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

enum {
        ROWS_AT_ONCE = 1 << 12, /* by the reader */
        DIFFERENCES = 1000,     /* in one write */
        TICK_MS = 20,           /* changes this near to each other may get the same time */
};

/* ---- times of folders ---- */

struct noted {
        char *account;
        struct inbox_change times;
        struct noted *next;
};
static struct noted *noted;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static bool same_time(struct timespec one, struct timespec other)
{
        return one.tv_sec == other.tv_sec && one.tv_nsec == other.tv_nsec;
}

static struct timespec time_of(int folder)
{
        struct stat st;

        return folder >= 0 && fstat(folder, &st) == 0 ? st.st_mtim : (struct timespec){ 0 };
}

/* With the lock held. */
static struct noted **place_of(const char *account)
{
        struct noted **place = &noted;

        while (*place && strcmp((*place)->account, account) != 0)
                place = &(*place)->next;
        return place;
}

static void forget(struct noted **place)
{
        struct noted *one = *place;

        if (!one)
                return;
        *place = one->next;
        free(one->account);
        free(one);
}

struct inbox_change inbox_change_begin(const struct maildir *maildir)
{
        return (struct inbox_change){ .new = time_of(maildir->new), .cur = time_of(maildir->cur) };
}

static bool same_times(const struct inbox_change *one, const struct inbox_change *other)
{
        return same_time(one->new, other->new) && same_time(one->cur, other->cur);
}

void inbox_change_end(const char *account, const struct maildir *maildir, const struct inbox_change *change)
{
        struct inbox_change after = inbox_change_begin(maildir);

        pthread_mutex_lock(&lock);
        struct noted *one = *place_of(account);
        if (one && same_times(&one->times, change))
                one->times = after;
        pthread_mutex_unlock(&lock);
}

static void note(const char *account, const struct inbox_change *times)
{
        pthread_mutex_lock(&lock);
        struct noted **place = place_of(account);
        if (!*place) {
                *place = new_object(struct noted);
                (*place)->account = copy_text(account);
        }
        (*place)->times = *times;
        pthread_mutex_unlock(&lock);
}

static bool is_noted(const char *account, const struct inbox_change *times)
{
        pthread_mutex_lock(&lock);
        const struct noted *one = *place_of(account);
        bool same = one && same_times(&one->times, times);
        pthread_mutex_unlock(&lock);
        return same;
}

void inbox_doubt(const char *account)
{
        size_t len = strlen(account);

        pthread_mutex_lock(&lock);
        for (struct noted **place = &noted; *place;) {
                char after = strncmp((*place)->account, account, len) == 0 ? (*place)->account[len] : 'x';
                if (after == '\0' || after == '/') /* the Maildir, or a folder of it */
                        forget(place);
                else
                        place = &(*place)->next;
        }
        pthread_mutex_unlock(&lock);
}

void inbox_scans_end(void)
{
        pthread_mutex_lock(&lock);
        while (noted)
                forget(&noted);
        pthread_mutex_unlock(&lock);
}

/* ---- a scan ---- */

struct difference {
        enum { FILE_NEW, FILE_MOVED, FILE_GONE } kind;
        struct inbox_row row; /* of FILE_MOVED and FILE_GONE not all of it */
};

/* One folder of the Maildir. */
struct scanned_box {
        char *name, *place;
        struct inbox_change times; /* all zero: it changed meanwhile, or is not there */
        bool needed;
};

struct scan {
        char *account;
        struct owner owner;
        bool anew;
        struct scanned_box *boxes;
        size_t box_count, box; /* the one that is compared */
        int64_t last;          /* number of the last row before the folders were read */
        struct {               /* of that folder */
                struct maildir maildir;
                struct maildir_set files;
                bool still;   /* nothing changed while it was read */
                int64_t seq;  /* compared up to this row */
                size_t fresh; /* files without a row, up to this one */
                bool more;    /* of what is done in portions */
                struct cause failure;
                bool failed;
        } at;
        struct difference *differences; /* room for so many as are written at once; NULL: none yet */
        size_t count;
        void (*written)(struct scan *scan);
        void (*done)(void *ctx);
        void *ctx;
        struct store_read read;
        struct store_write write;
        struct job job;
};

static struct difference *add_difference(struct scan *scan)
{
        if (!scan->differences)
                scan->differences = new_zeroed(DIFFERENCES, sizeof *scan->differences);
        struct difference *difference = &scan->differences[scan->count++];
        *difference = (struct difference){ 0 };
        return difference;
}

static void differences_done(struct scan *scan)
{
        for (size_t i = 0; i < scan->count; i++)
                inbox_row_done(&scan->differences[i].row);
        scan->count = 0;
}

static void scan_end(struct scan *scan)
{
        scan->done(scan->ctx);
        differences_done(scan);
        free(scan->differences);
        for (size_t i = 0; i < scan->box_count; i++) {
                free(scan->boxes[i].name);
                free(scan->boxes[i].place);
        }
        free(scan->boxes);
        maildir_set_clear(&scan->at.files);
        maildir_close(&scan->at.maildir);
        free(scan->account);
        free(scan);
}

/* ---- writing the differences ---- */

static int write_work(struct store_write *write, struct database *db, struct cause *cause)
{
        struct scan *scan = container_of(write, struct scan, write);
        int result = 0;

        for (size_t i = 0; i < scan->count && result == 0; i++) {
                const struct difference *difference = &scan->differences[i];
                switch (difference->kind) {
                case FILE_NEW:
                        result = inbox_row_add(db, scan->account, &difference->row, cause);
                        break;
                case FILE_MOVED:
                        result = inbox_row_move(db, &difference->row, cause);
                        break;
                case FILE_GONE:
                        result = inbox_row_end(db, difference->row.seq, cause);
                        break;
                }
        }
        return result;
}

static void wrote(struct store_write *write, const struct cause *cause)
{
        struct scan *scan = container_of(write, struct scan, write);

        differences_done(scan);
        if (cause)
                scan_end(scan);
        else
                scan->written(scan);
}

static void write_differences(struct scan *scan, void (*then)(struct scan *scan))
{
        if (!scan->count) {
                then(scan);
                return;
        }
        scan->written = then;
        scan->write = (struct store_write){ .owner = &scan->owner, .write = write_work, .done = wrote };
        store_write(&scan->write);
}

/* ---- from folder to folder ---- */

static void read_some(struct scan *scan);

/* The rows are as the files were then. */
static void all_compared(struct scan *scan)
{
        for (size_t i = 0; i < scan->box_count; i++)
                if (scan->boxes[i].needed && scan->boxes[i].times.new.tv_sec)
                        note(scan->boxes[i].place, &scan->boxes[i].times);
        scan_end(scan);
}

static void next_box(struct scan *scan)
{
        while (scan->box < scan->box_count && !scan->boxes[scan->box].needed)
                scan->box++;
        if (store_closing())
                scan_end(scan);
        else if (scan->box == scan->box_count)
                all_compared(scan);
        else
                read_some(scan);
}

static void leave_box(struct scan *scan)
{
        maildir_close(&scan->at.maildir);
        maildir_set_clear(&scan->at.files);
        memset(&scan->at, 0, sizeof scan->at);
        scan->at.maildir = MAILDIR_CLOSED;
        scan->box++;
        next_box(scan);
}

static void box_compared(struct scan *scan)
{
        if (!scan->at.still)
                scan->boxes[scan->box].times = (struct inbox_change){ 0 };
        leave_box(scan);
}

/* A folder that somebody else has made, and that cannot be read: its rows stay. */
static void box_failed(struct scan *scan)
{
        if (!scan->boxes[scan->box].name[0]) {
                scan_end(scan);
                return;
        }
        scan->boxes[scan->box].needed = false;
        leave_box(scan);
}

/* ---- files without a row; file pool ---- */

static void fresh_some(struct scan *scan);

static void add_file(struct scan *scan, const struct maildir_file *file)
{
        struct stat st;
        int folder = file->in_new ? scan->at.maildir.new : scan->at.maildir.cur;

        if (fstatat(folder, file->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return;
        struct difference *difference = add_difference(scan);
        difference->kind = FILE_NEW;
        difference->row = (struct inbox_row){ .file = copy_bytes(file->name, file->base),
                                              .suffix = copy_text(file->name + file->base),
                                              .in_new = file->in_new,
                                              .box = copy_text(scan->boxes[scan->box].name),
                                              .received = st.st_mtime,
                                              .size = st.st_size };
}

static void fresh_work(struct job *job)
{
        struct scan *scan = container_of(job, struct scan, job);
        const struct maildir_listing *fresh = &scan->at.files.listing;

        if (scan->at.fresh == 0)
                maildir_set_keep_unmatched(&scan->at.files);
        for (int i = 0; i < DIFFERENCES && scan->at.fresh < fresh->count; i++)
                add_file(scan, &fresh->files[scan->at.fresh++]);
        scan->at.more = scan->at.fresh < fresh->count;
}

static void fresh_done(struct job *job)
{
        struct scan *scan = container_of(job, struct scan, job);

        write_differences(scan, scan->at.more ? fresh_some : box_compared);
}

static void fresh_some(struct scan *scan)
{
        if (store_closing()) {
                scan_end(scan);
                return;
        }
        if (scan->at.files.matched_count == scan->at.files.listing.count) {
                box_compared(scan);
                return;
        }
        scan->job = (struct job){ .work = fresh_work, .done = fresh_done };
        store_run_files(&scan->job);
}

/* ---- the rows; reader thread ---- */

static void compare_row(struct scan *scan, sqlite3_stmt *rows)
{
        int64_t seq = sqlite3_column_int64(rows, 0);
        const char *name = (const char *)sqlite3_column_text(rows, 1),
                   *suffix = (const char *)sqlite3_column_text(rows, 2);
        const struct maildir_file *file = maildir_set_match(&scan->at.files, name);

        scan->at.seq = seq;
        if (file ? file->in_new == (sqlite3_column_int(rows, 3) != 0) &&
                            strcmp(file->name + file->base, suffix) == 0
                 : !scan->at.still || seq > scan->last)
                return;
        struct difference *difference = add_difference(scan);
        difference->kind = file ? FILE_MOVED : FILE_GONE;
        difference->row.seq = seq;
        if (file) {
                difference->row.in_new = file->in_new;
                difference->row.suffix = copy_text(file->name + file->base);
        }
}

static int compare_work(struct store_read *read, struct database *db, struct cause *cause)
{
        struct scan *scan = container_of(read, struct scan, read);
        int more, count = 0;
        scoped(db_end) sqlite3_stmt *rows = db_query(
                db, cause,
                "SELECT seq, file, suffix, in_new FROM inbox WHERE account = ? AND box = ? AND seq > ?"
                " ORDER BY seq",
                VALUES(v_text(scan->account), v_text(scan->boxes[scan->box].name), v_int(scan->at.seq)));

        while ((more = rows ? db_next(db, rows, cause) : -1) > 0 && count++ < ROWS_AT_ONCE &&
               scan->count < DIFFERENCES)
                compare_row(scan, rows);
        scan->at.more = more > 0;
        return more < 0 ? -1 : 0;
}

static void compare_some(struct scan *scan);

static void compared(struct store_read *read, const struct cause *cause)
{
        struct scan *scan = container_of(read, struct scan, read);

        if (cause)
                box_failed(scan);
        else
                write_differences(scan, scan->at.more ? compare_some : fresh_some);
}

static void compare_some(struct scan *scan)
{
        if (store_closing()) {
                scan_end(scan);
                return;
        }
        scan->read = (struct store_read){ .read = compare_work, .done = compared };
        store_read(&scan->read);
}

/* ---- the files; file pool ---- */

/* Until a change from now on must get a later time than the last one had. */
static void await_tick(const struct inbox_change *times)
{
        struct timespec now, last = times->new;

        if (times->cur.tv_sec > last.tv_sec ||
            (times->cur.tv_sec == last.tv_sec && times->cur.tv_nsec > last.tv_nsec))
                last = times->cur;
        (void)clock_gettime(CLOCK_REALTIME, &now);
        int64_t age = (now.tv_sec - last.tv_sec) * 1000 + (now.tv_nsec - last.tv_nsec) / 1000000;
        if (age >= 0 && age < TICK_MS)
                (void)nanosleep(&(struct timespec){ .tv_nsec = (TICK_MS - age) * 1000000 }, NULL);
}

/* -1: not readable; 0: all is read; 1: there is more. */
static int read_files(struct scan *scan)
{
        struct scanned_box *box = &scan->boxes[scan->box];
        int there = scan->at.more ? 1 : maildir_open(box->place, false, &scan->at.maildir, &scan->at.failure);

        if (there < 0)
                return -1;
        if (!scan->at.more) {
                box->times = inbox_change_begin(&scan->at.maildir);
                await_tick(&box->times);
                box->times = inbox_change_begin(&scan->at.maildir);
        }
        /* There is no Maildir: no file. */
        int more = there ? maildir_set_read(&scan->at.files, &scan->at.maildir) : 0;
        if (more == 0) {
                struct inbox_change after = inbox_change_begin(&scan->at.maildir);
                scan->at.still = same_times(&box->times, &after);
        }
        return more;
}

static void read_work(struct job *job)
{
        struct scan *scan = container_of(job, struct scan, job);
        int more = read_files(scan);

        scan->at.more = more > 0;
        scan->at.failed = more < 0;
}

static void read_done(struct job *job)
{
        struct scan *scan = container_of(job, struct scan, job);

        if (scan->at.failed)
                box_failed(scan);
        else if (store_closing())
                scan_end(scan);
        else if (scan->at.more)
                read_some(scan);
        else
                compare_some(scan);
}

static void read_some(struct scan *scan)
{
        scan->job = (struct job){ .work = read_work, .done = read_done };
        store_run_files(&scan->job);
}

/* ---- which folders there are; reader thread ---- */

static void add_box(void *ctx, const char *name)
{
        struct scan *scan = ctx;

        for (size_t i = 0; i < scan->box_count; i++)
                if (strcmp(scan->boxes[i].name, name) == 0)
                        return;
        scan->boxes = new_resized(scan->boxes, scan->box_count + 1, sizeof *scan->boxes);
        scan->boxes[scan->box_count++] =
                (struct scanned_box){ .name = copy_text(name), .place = maildir_place(scan->account, name) };
}

/* With rows, though they may be gone. */
static int find_known_boxes(struct scan *scan, struct database *db, struct cause *cause)
{
        scoped(scoped_free) char *last = copy_text("");

        for (;;) {
                scoped(db_end) sqlite3_stmt *rows = db_query(
                        db, cause, "SELECT box FROM inbox WHERE account = ? AND box > ? ORDER BY box LIMIT 1",
                        VALUES(v_text(scan->account), v_text(last)));
                int more = rows ? db_next(db, rows, cause) : -1;
                if (more <= 0)
                        return more;
                free(last);
                last = db_text(rows, 0);
                add_box(scan, last);
        }
}

/* One of which a look at its times says enough need not be read. */
static void look_at_times(const struct scan *scan, struct scanned_box *box)
{
        struct maildir maildir = MAILDIR_CLOSED;

        box->needed = true;
        if (!scan->anew && maildir_open(box->place, false, &maildir, NULL) >= 0) {
                box->times = inbox_change_begin(&maildir);
                box->needed = !is_noted(box->place, &box->times);
        }
        maildir_close(&maildir);
}

static int boxes_work(struct store_read *read, struct database *db, struct cause *cause)
{
        struct scan *scan = container_of(read, struct scan, read);

        maildir_each_box(scan->account, add_box, scan);
        if (find_known_boxes(scan, db, cause) < 0 ||
            db_number(db, cause, &scan->last, 0, "SELECT max(seq) FROM inbox", NULL, 0) < 0)
                return -1;
        for (size_t i = 0; i < scan->box_count; i++)
                look_at_times(scan, &scan->boxes[i]);
        return 0;
}

static void boxes_found(struct store_read *read, const struct cause *cause)
{
        struct scan *scan = container_of(read, struct scan, read);

        if (cause)
                scan_end(scan);
        else
                next_box(scan);
}

void inbox_scan(const char *account, bool anew, void (*done)(void *ctx), void *ctx)
{
        struct scan *scan = new_object(struct scan);

        *scan = (struct scan){ .account = copy_text(account),
                               .owner = owner_of(account),
                               .anew = anew,
                               .at.maildir = MAILDIR_CLOSED,
                               .done = done,
                               .ctx = ctx,
                               .read = { .read = boxes_work, .done = boxes_found } };
        store_read(&scan->read);
}
