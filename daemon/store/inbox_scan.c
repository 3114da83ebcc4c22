/* SPDX-License-Identifier: MIT */
/*
 * A scan of a Maildir; see inbox_scan.h. The reader thread compares, the writer takes the differences, step
 * by step. A row ends only when its file was nowhere during a scan in which no folder changed.
 */
#include "daemon/store/inbox_scan.h"

#include "common/limits.h"
#include "daemon/store/inbox_rows.h"
#include "daemon/store/jobs.h"
#include "daemon/store/owner_rows.h"
#include "daemon/store/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

enum {
        STEP = 1000,               /* differences in one write */
        DIFFERENCES_MOST = 100000, /* of one scan: more: another scan */
        TICK_MS = 20,              /* changes this near to each other may get the same time */
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

/* ---- comparing; reader thread ---- */

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
        bool anew, more;
        struct scanned_box *boxes;
        size_t box_count;
        struct difference *differences;
        size_t count, written, writing;
        void (*done)(void *ctx);
        void *ctx;
        struct store_read read;
        struct store_write write;
};

static void close_directory(DIR **directory)
{
        if (*directory)
                (void)closedir(*directory);
}

struct comparing {
        struct scan *scan;
        struct scanned_box *box;
        struct maildir maildir;
        struct maildir_listing listing;
        bool *matched; /* files that have a row */
        int64_t last;  /* number of the last row before the folders were read */
};

static struct difference *add_difference(struct scan *scan)
{
        if (scan->count == DIFFERENCES_MOST) {
                scan->more = true;
                return NULL;
        }
        if ((scan->count & (scan->count - 1)) == 0)
                scan->differences =
                        new_resized(scan->differences, 2 * scan->count + 1, sizeof *scan->differences);
        scan->differences[scan->count] = (struct difference){ 0 };
        return &scan->differences[scan->count++];
}

static void differences_free(struct scan *scan)
{
        for (size_t i = 0; i < scan->count; i++)
                inbox_row_done(&scan->differences[i].row);
        free(take(scan->differences));
        scan->count = scan->written = 0;
}

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

static int read_folders(struct comparing *comparing, struct cause *cause)
{
        int error = 0;

        if (comparing->maildir.new < 0)
                return 0; /* there is no Maildir: no file */
        if (maildir_list(comparing->maildir.new, true, &comparing->listing) < 0 ||
            maildir_list(comparing->maildir.cur, false, &comparing->listing) < 0)
                error = errno;
        return error ? cause_errno(cause, error, "cannot read the Maildir of %s", comparing->box->place) : 0;
}

static void compare_row(struct comparing *comparing, sqlite3_stmt *rows, bool still)
{
        int64_t seq = sqlite3_column_int64(rows, 0);
        const char *name = (const char *)sqlite3_column_text(rows, 1),
                   *suffix = (const char *)sqlite3_column_text(rows, 2);
        const struct maildir_file *file = maildir_find(&comparing->listing, name);
        struct difference *difference;

        if (file) {
                comparing->matched[file - comparing->listing.files] = true;
                if (file->in_new == (sqlite3_column_int(rows, 3) != 0) &&
                    strcmp(file->name + file->base, suffix) == 0)
                        return;
        } else if (!still || seq > comparing->last) {
                return;
        }
        difference = add_difference(comparing->scan);
        if (!difference)
                return;
        difference->kind = file ? FILE_MOVED : FILE_GONE;
        difference->row.seq = seq;
        if (file) {
                difference->row.in_new = file->in_new;
                difference->row.suffix = copy_text(file->name + file->base);
        }
}

static int compare_rows(struct comparing *comparing, struct database *db, bool still, struct cause *cause)
{
        int more;
        scoped(db_end) sqlite3_stmt *rows = db_query(
                db, cause, "SELECT seq, file, suffix, in_new FROM inbox WHERE account = ? AND box = ?",
                VALUES(v_text(comparing->scan->account), v_text(comparing->box->name)));

        while ((more = rows ? db_next(db, rows, cause) : -1) > 0)
                compare_row(comparing, rows, still);
        return more;
}

static void add_file(struct comparing *comparing, const struct maildir_file *file)
{
        struct stat st;
        int folder = file->in_new ? comparing->maildir.new : comparing->maildir.cur;

        if (fstatat(folder, file->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return;
        struct difference *difference = add_difference(comparing->scan);
        if (!difference)
                return;
        difference->kind = FILE_NEW;
        difference->row = (struct inbox_row){ .file = copy_bytes(file->name, file->base),
                                              .suffix = copy_text(file->name + file->base),
                                              .in_new = file->in_new,
                                              .box = copy_text(comparing->box->name),
                                              .received = st.st_mtime,
                                              .size = st.st_size };
}

static int compare(struct comparing *comparing, struct database *db, struct cause *cause)
{
        struct scanned_box *box = comparing->box;

        await_tick(&box->times);
        box->times = inbox_change_begin(&comparing->maildir);
        if (db_number(db, cause, &comparing->last, 0, "SELECT max(seq) FROM inbox", NULL, 0) < 0 ||
            read_folders(comparing, cause) < 0)
                return -1;
        comparing->matched = new_zeroed(comparing->listing.count + 1, sizeof *comparing->matched);
        struct inbox_change after = inbox_change_begin(&comparing->maildir);
        bool still = same_times(&box->times, &after);
        if (compare_rows(comparing, db, still, cause) < 0)
                return -1;
        for (size_t i = 0; i < comparing->listing.count; i++)
                if (!comparing->matched[i])
                        add_file(comparing, &comparing->listing.files[i]);
        if (!still)
                box->times = (struct inbox_change){ 0 };
        return 0;
}

static int scan_box(struct scan *scan, struct scanned_box *box, struct database *db, struct cause *cause)
{
        struct comparing comparing = { .scan = scan, .box = box, .maildir = MAILDIR_CLOSED };
        int result = maildir_open(box->place, false, &comparing.maildir, cause);

        if (result < 0)
                return -1;
        box->times = inbox_change_begin(&comparing.maildir);
        box->needed = scan->anew || !is_noted(box->place, &box->times);
        result = box->needed ? compare(&comparing, db, cause) : 0;
        maildir_listing_free(&comparing.listing);
        maildir_close(&comparing.maildir);
        free(comparing.matched);
        return result;
}

/* ---- which folders there are; reader thread ---- */

static void boxes_free(struct scan *scan)
{
        for (size_t i = 0; i < scan->box_count; i++) {
                free(scan->boxes[i].name);
                free(scan->boxes[i].place);
        }
        free(take(scan->boxes));
        scan->box_count = 0;
}

static void add_box(struct scan *scan, const char *name)
{
        for (size_t i = 0; i < scan->box_count; i++)
                if (strcmp(scan->boxes[i].name, name) == 0)
                        return;
        scan->boxes = new_resized(scan->boxes, scan->box_count + 1, sizeof *scan->boxes);
        scan->boxes[scan->box_count++] =
                (struct scanned_box){ .name = copy_text(name), .place = maildir_place(scan->account, name) };
}

/* In the Maildir, whoever made them; links lead elsewhere. */
static void find_boxes(struct scan *scan)
{
        scoped(scoped_free) char *path = text_of("%s/mail/%s", store_directory(), scan->account);
        scoped(close_directory) DIR *directory = opendir(path);
        const struct dirent *entry;

        while (directory && scan->box_count < LIMIT_BOXES && (entry = readdir(directory)))
                if (entry->d_name[0] == '.' && entry->d_name[1] && strcmp(entry->d_name, "..") != 0 &&
                    entry->d_type != DT_REG && entry->d_type != DT_LNK)
                        add_box(scan, entry->d_name);
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

static int scan_work(struct store_read *read, struct database *db, struct cause *cause)
{
        struct scan *scan = container_of(read, struct scan, read);

        scan->more = false;
        boxes_free(scan);
        add_box(scan, "");
        find_boxes(scan);
        if (find_known_boxes(scan, db, cause) < 0)
                return -1;
        for (size_t i = 0; i < scan->box_count; i++) {
                struct scanned_box *box = &scan->boxes[i];
                if (scan_box(scan, box, db, cause) == 0)
                        continue;
                if (!box->name[0])
                        return -1;
                box->needed = false; /* a folder that somebody else has made, and that cannot be read: its
                                        rows stay */
        }
        cause_clear(cause);
        return 0;
}

/* ---- writing the differences ---- */

static void scan_end(struct scan *scan)
{
        scan->done(scan->ctx);
        differences_free(scan);
        boxes_free(scan);
        free(scan->account);
        free(scan);
}

/* The rows are as the files were then. */
static void note_boxes(const struct scan *scan)
{
        for (size_t i = 0; i < scan->box_count; i++)
                if (scan->boxes[i].needed && scan->boxes[i].times.new.tv_sec)
                        note(scan->boxes[i].place, &scan->boxes[i].times);
}

static int write_work(struct store_write *write, struct database *db, struct cause *cause)
{
        struct scan *scan = container_of(write, struct scan, write);
        int result = owner_holds(db, &scan->owner, cause);

        for (size_t i = scan->written; i < scan->writing && result == 0; i++) {
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

static void write_some(struct scan *scan)
{
        scan->writing = scan->written + STEP < scan->count ? scan->written + STEP : scan->count;
        store_write(&scan->write);
}

static void wrote(struct store_write *write, const struct cause *cause)
{
        struct scan *scan = container_of(write, struct scan, write);

        scan->written = scan->writing;
        if (cause || store_closing()) {
                scan_end(scan);
        } else if (scan->written < scan->count) {
                write_some(scan);
        } else if (scan->more) {
                differences_free(scan);
                store_read(&scan->read);
        } else {
                note_boxes(scan);
                scan_end(scan);
        }
}

static void scanned(struct store_read *read, const struct cause *cause)
{
        struct scan *scan = container_of(read, struct scan, read);

        if (!cause && !scan->count)
                note_boxes(scan);
        if (cause || !scan->count)
                scan_end(scan);
        else
                write_some(scan);
}

void inbox_scan(const char *account, bool anew, void (*done)(void *ctx), void *ctx)
{
        struct scan *scan = new_object(struct scan);

        *scan = (struct scan){ .account = copy_text(account),
                               .owner = owner_of(account),
                               .anew = anew,
                               .done = done,
                               .ctx = ctx,
                               .read = { .read = scan_work, .done = scanned },
                               .write = { .write = write_work, .done = wrote } };
        store_read(&scan->read);
}
