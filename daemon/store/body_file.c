/* SPDX-License-Identifier: MIT */
/*
 * Files of bodies: written, named, removed, swept; see body_file.h.
 *
 * The writer decides what becomes of a file in one place, whatever happened before: each name that a
 * transaction has touched is noted, and looked for in the table ahead of COMMIT. What has no row then goes
 * once that is committed. So a write that was undone, or run twice, or whose transaction was lost, needs no
 * care of its own; what a lost one has named stays noted until a commit stands, since a commit that failed
 * may count after all (writer.c, overwrite_failed).
 *
 * A name that cannot be removed is forgotten, and swept at the next start.
 *
 * Where the folder itself is missing while rows name files in it, nothing is made in its place: they wait for
 * it to come back.
 */
#include "daemon/store/body_file.h"

#include "daemon/journal.h"
#include "daemon/messages.h"
#include "daemon/random.h"
#include "daemon/store/content_tag.h"
#include "daemon/store/disk.h"
#include "daemon/store/replace_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DIGESTS_MOST ((size_t)CONTENT_TAG_SIZE << 20) /* as many chunks as `body` has places for */
enum { CAME_MOST = 4096 /* names that wait for a commit that stands: while none does, nothing comes */ };

struct body_names {
        char (*of)[BODY_FILE_NAME + 1];
        size_t count, room;
};

/* The writer's, but for `path` and `directory`, which are not changed while there are threads, and `held`. */
static struct {
        atomic_int folder;        /* bodies/; -1: it is missing, until it is found */
        char *path, *directory;   /* of it, and the one it is in */
        struct cause fault;       /* the loop's: why it is missing; CAUSE_NONE: it is not */
        struct body_names noted;  /* touched since the last commit that stands */
        struct body_names doomed; /* those of them without a row in this transaction */
        struct body_names gone;   /* they have no row on disk, and are still there */
        bool linked;              /* names were made since the folder was synced */
        size_t came;              /* names that were made since the last commit that stands */
        atomic_bool held;
} bodies = { .folder = -1 };

static int by_name(const void *a, const void *b)
{
        return strcmp(a, b);
}

static void names_once(struct body_names *names)
{
        size_t kept = 0;

        qsort(names->of, names->count, sizeof *names->of, by_name);
        for (size_t i = 0; i < names->count; i++)
                if (!kept || strcmp(names->of[kept - 1], names->of[i]) != 0)
                        memmove(names->of[kept++], names->of[i], sizeof *names->of);
        names->count = kept;
}

/* Those of a deletion that is tried again and again, on a disk that takes none, stand there once. */
static void names_add(struct body_names *names, const char *name)
{
        bool full = names->count == names->room;

        if (full && names->count)
                names_once(names);
        if (full && 2 * names->count >= names->room) {
                names->room = names->room ? 2 * names->room : 16;
                names->of = new_resized(names->of, names->room, sizeof *names->of);
        }
        (void)snprintf(names->of[names->count++], sizeof *names->of, "%s", name);
}

static void names_free(struct body_names *names)
{
        free(names->of);
        *names = (struct body_names){ 0 };
}

/* What stands in the table may be anybody's, in a database that was restored: it is no path. */
static bool is_name(const char *name)
{
        return name && strlen(name) == BODY_FILE_NAME && strspn(name, token_digits) == BODY_FILE_NAME;
}

/* ---- writing one ---- */

void body_file_init(struct body_file *file)
{
        *file = (struct body_file){ .fd = -1, .digests = BUF_WITH_MAX(DIGESTS_MOST) };
}

void body_file_done(struct body_file *file)
{
        close_fd(&file->fd);
        buf_free(&file->digests);
}

int body_file_add(struct body_file *file, const char *folder, const void *bytes, size_t len,
                  struct cause *cause)
{
        uint8_t tag[CONTENT_TAG_SIZE];

        if (file->fd < 0) {
                random_token(file->name, BODY_FILE_NAME);
                file->fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        }
        if (file->fd < 0)
                return cause_errno(cause, errno, "cannot make a file in %s", folder);
        content_tag_of(bytes, len, tag);
        if (buf_append(&file->digests, tag, sizeof tag) < 0)
                return cause_set(cause, CAUSE_TOO_LARGE, "the message is too large");
        if (disk_write(file->fd, bytes, len) < 0)
                return cause_errno(cause, errno, "cannot write the message to %s", folder);
        return 0;
}

int body_file_sync(const struct body_file *file, struct cause *cause)
{
        return disk_sync_data(file->fd) < 0 ? cause_errno(cause, errno, "cannot write the message to disk")
                                            : 0;
}

/* ---- coming and going ---- */

/* Else what is named in it is not found at the next start. */
static bool folder_in_place(void)
{
        struct stat held, named;

        return fstat(bodies.folder, &held) == 0 && lstat(bodies.path, &named) == 0 &&
               held.st_dev == named.st_dev && held.st_ino == named.st_ino;
}

int body_file_comes(const struct body_file *file, struct cause *cause)
{
        if (bodies.came >= CAME_MOST)
                return cause_set(cause, CAUSE_STORAGE,
                                 "large messages wait for the disk to take writes again");
        if (!folder_in_place())
                return 1;
        /* There already: this write runs for the second time. */
        if (disk_link(file->fd, bodies.folder, file->name) < 0 && errno != EEXIST) {
                if (errno == ENOENT || errno == EPERM || errno == EOPNOTSUPP || errno == EXDEV)
                        return 1;
                return cause_errno(cause, errno, "cannot name the file of a message");
        }
        bodies.linked = true;
        bodies.came++;
        names_add(&bodies.noted, file->name);
        return 0;
}

void body_file_goes(const char *name)
{
        if (is_name(name))
                names_add(&bodies.noted, name);
}

/* 1 = a row has it, 0 = none has. */
static int has_row(struct database *db, const char *name, struct cause *cause)
{
        int64_t there;

        if (db_number(db, cause, &there, 0, "SELECT count(*) FROM body_file WHERE name = ?",
                      VALUES(v_text(name))) < 0)
                return -1;
        return there > 0;
}

int body_files_settle(struct database *db, struct cause *cause)
{
        bodies.doomed.count = 0;
        for (size_t i = 0; i < bodies.noted.count; i++) {
                int there = has_row(db, bodies.noted.of[i], cause);
                if (there < 0)
                        return -1;
                if (!there)
                        names_add(&bodies.doomed, bodies.noted.of[i]);
        }
        if (bodies.linked && disk_sync(bodies.folder) < 0)
                return cause_errno(cause, errno, "cannot write the folder of messages to disk");
        bodies.linked = false;
        return 0;
}

void body_files_committed(void)
{
        for (size_t i = 0; i < bodies.doomed.count; i++)
                names_add(&bodies.gone, bodies.doomed.of[i]);
        bodies.came = 0;
        if (bodies.noted.count) {
                names_free(&bodies.noted);
                names_free(&bodies.doomed);
        }
        if (!bodies.gone.count || atomic_load(&bodies.held))
                return;
        for (size_t i = 0; i < bodies.gone.count; i++)
                (void)disk_unlink(bodies.folder, bodies.gone.of[i]);
        names_free(&bodies.gone);
}

void body_files_hold(bool held)
{
        atomic_store(&bodies.held, held);
}

/* ---- reading ---- */

static int is_missing(struct cause *cause)
{
        return cause_set(cause, CAUSE_STORAGE, "the folder of its body is missing: %s", bodies.path);
}

/* One that cannot be read is damaged as one that has changed is, and holds up no other; where the disk is
 * gone altogether, that it is set aside is not committed either. But for what all of them have to wait for.
 */
static int cannot_read(struct cause *cause, int error)
{
        if (error == EMFILE || error == ENFILE || error == ENOMEM ||
            (error == EACCES && faccessat(bodies.folder, ".", X_OK, AT_EACCESS) < 0))
                return cause_errno(cause, error, "cannot read the body of a message in %s", bodies.path);
        return cause_set(cause, CAUSE_INVALID, "its body cannot be read: %s", strerror(error));
}

int body_file_open(const char *name, uint64_t size, struct cause *cause)
{
        scoped(scoped_close) int fd =
                is_name(name) ? openat(bodies.folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
                              : -1;
        struct stat st;
        int opened = fd;

        if (body_files_missing())
                return is_missing(cause);
        if (!is_name(name) || (fd < 0 && (errno == ENOENT || errno == ELOOP)))
                return cause_set(cause, CAUSE_INVALID, "the file of its body is not there");
        if (fd < 0 || fstat(fd, &st) < 0)
                return cannot_read(cause, errno);
        if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != size)
                return cause_set(cause, CAUSE_INVALID, "its body is not complete");
        fd = -1;
        return opened;
}

int body_file_read(int fd, uint8_t *bytes, size_t len, uint64_t from, struct cause *cause)
{
        for (size_t have = 0; have < len;) {
                ssize_t got = pread(fd, bytes + have, len - have, (off_t)(from + have));
                if (got < 0 && errno == EINTR)
                        continue;
                if (got < 0)
                        return cannot_read(cause, errno);
                if (got == 0)
                        return cause_set(cause, CAUSE_INVALID, "its body is not complete");
                have += (size_t)got;
        }
        return 0;
}

/* ---- beginning and end ---- */

/* Without its database nobody knows to whom they were to go, and a person may want to look at them. */
static int set_aside(const char *path, const char *directory, struct cause *cause)
{
        scoped(scoped_free) char *aside =
                text_of("%s/replaced-bodies-%lld", directory, (long long)time(NULL));

        if (rmdir(path) == 0 || errno == ENOENT) /* nothing is in it */
                return 0;
        if (disk_rename_new(AT_FDCWD, path, AT_FDCWD, aside) < 0)
                return cause_errno(cause, errno, "cannot set %s aside", path);
        log_about(NULL, LOG_WARNING, MSG_DISK_FAULT,
                  "bodies of messages that were in the database before are set aside: %s", aside);
        return 0;
}

static int sweep_one(struct database *db, const char *name, size_t *count, struct cause *cause)
{
        int there = is_name(name) ? has_row(db, name, cause) : 1;

        if (there == 0 && disk_unlink(bodies.folder, name) == 0)
                ++*count;
        return there < 0 ? -1 : 0;
}

static int sweep(struct database *db, const char *path, struct cause *cause)
{
        DIR *entries = opendir(path);
        const struct dirent *entry;
        size_t count = 0;
        int result = 0;

        if (!entries)
                return cause_errno(cause, errno, "cannot read %s", path);
        while (result == 0 && (entry = readdir(entries)))
                result = sweep_one(db, entry->d_name, &count, cause);
        (void)closedir(entries);
        if (count)
                log_about(NULL, LOG_NOTICE, NULL, "removed %zu file%s of messages that are not in the queue",
                          count, count == 1 ? "" : "s");
        return result;
}

/* Makes it only where nothing can be in it. */
static int open_folder(bool make, struct cause *cause)
{
        if (make && make_folder(bodies.path, 0700, cause) < 0)
                return -1;
        int fd = open(bodies.path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return fd < 0 ? cause_errno(cause, errno, "cannot open %s", bodies.path) : fd;
}

static int find_folder(struct database *db, int64_t *rows, struct cause *cause)
{
        if (db_number(db, cause, rows, 0, "SELECT count(*) FROM body_file", NULL, 0) < 0)
                return -1;
        int folder = open_folder(*rows == 0, cause);
        if (folder < 0)
                return -1;
        atomic_store(&bodies.folder, folder);
        return 0;
}

static void tell_missing(int64_t rows, const struct cause *why)
{
        struct subject subject = { .cause = &bodies.fault };

        (void)cause_set(&bodies.fault, CAUSE_STORAGE,
                        "the folder with the bodies of %lld message%s is missing, and they wait for it: %s",
                        (long long)rows, rows == 1 ? "" : "s", why->text);
        cause_remedy(&bodies.fault,
                     "put %s back as it was, from a copy or by mounting it: they are sent then; or give up "
                     "those of "
                     "256 KiB and more: emailsecctl queue list; emailsecctl queue delete ID",
                     bodies.path);
        log_about(&subject, LOG_ERR, MSG_DISK_FAULT, "%s", bodies.fault.text);
}

int body_files_begin(struct database *db, const char *directory, bool anew, struct cause *cause)
{
        int64_t rows = 0;

        atomic_store(&bodies.held, false);
        free(bodies.path);
        free(bodies.directory);
        bodies.path = text_of("%s/bodies", directory);
        bodies.directory = copy_text(directory);
        if (anew && set_aside(bodies.path, directory, cause) < 0)
                return -1;
        if (find_folder(db, &rows, cause) == 0)
                return sweep(db, bodies.path, cause);
        if (!rows)
                return -1;
        tell_missing(rows, cause);
        cause_clear(cause);
        return 0;
}

int body_files_find(struct database *db, struct cause *cause)
{
        int64_t rows;

        return find_folder(db, &rows, cause);
}

void body_files_found(void)
{
        cause_clear(&bodies.fault);
        log_about(NULL, LOG_NOTICE, MSG_DISK_WELL, "the bodies of messages can be read again: %s",
                  bodies.path);
}

bool body_files_missing(void)
{
        return atomic_load(&bodies.folder) < 0;
}

const struct cause *body_files_fault(void)
{
        return bodies.fault.code == CAUSE_NONE ? NULL : &bodies.fault;
}

const char *body_files_place(void)
{
        return body_files_missing() ? bodies.directory : bodies.path;
}

void body_files_end(void)
{
        int folder = atomic_exchange(&bodies.folder, -1);

        close_fd(&folder);
        free(take(bodies.path));
        free(take(bodies.directory));
        cause_clear(&bodies.fault);
        names_free(&bodies.noted);
        names_free(&bodies.doomed);
        names_free(&bodies.gone);
        bodies.linked = false;
        bodies.came = 0;
}
