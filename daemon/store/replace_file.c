/* SPDX-License-Identifier: MIT */
/*
 * Atomic replacement of small files: a temporary name in the same folder, fsync, rename, fsync
 * of the folder. The temporary name of a path is always the same, so that what a crash
 * leaves behind is overwritten by the next try and never piles up. What was there before keeps that name
 * until the folder is synced: should that fail it is put back, so that what is told to have failed has not
 * been done. Where also that fails, nothing is told until it has been done after all.
 */
#include "daemon/store/replace_file.h"

#include "daemon/store/disk.h"
#include "daemon/store/jobs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* Opens the folder of `path`; *name is the rest of the path. */
static int open_parent(const char *path, const char **name)
{
        const char *slash = strrchr(path, '/');

        *name = slash ? slash + 1 : path;
        if (!slash)
                return open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        scoped(scoped_free) char *folder =
                slash == path ? copy_text("/") : copy_bytes(path, (size_t)(slash - path));
        return open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int write_temporary(int folder, const char *name, const void *bytes, size_t len, bool synced)
{
        if (disk_unlink(folder, name) < 0 && errno != ENOENT)
                return -1;
        scoped(scoped_close) int fd =
                openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return -1;
        if (disk_write(fd, bytes, len) < 0 || (synced && disk_sync(fd) < 0)) {
                int error = errno;
                (void)disk_unlink(folder, name);
                errno = error;
                return -1;
        }
        return 0;
}

/* There is nothing there, or the file system cannot swap two names: then what is there is lost with the
 * rename. */
static bool none_to_swap(int error)
{
        return error == ENOENT || error == EINVAL || error == ENOSYS;
}

/* The folder could not be synced; what had been done is undone, or -2. */
static int not_synced(const char *path, bool undone, int error, struct cause *cause)
{
        (void)cause_errno(cause, error, "cannot sync the folder of %s%s", path,
                          undone ? "" : "; whether it is as before is not certain");
        return undone ? -1 : -2;
}

/* A folder in the place of a file is nobody's to replace: it would go unseen under the temporary name. */
static bool is_folder(int folder, const char *name)
{
        struct stat st;

        return fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

/* 0, -1: failed, and all is as before; -2: failed, and it may be done all the same. */
static int replace(const char *path, const void *bytes, size_t len, struct cause *cause)
{
        const char *name;
        scoped(scoped_close) int folder = open_parent(path, &name);

        if (folder < 0)
                return cause_errno(cause, errno, "cannot write %s", path);
        scoped(scoped_free) char *temporary = text_of(".%s.new", name);
        if (is_folder(folder, name))
                return cause_errno(cause, EISDIR, "cannot replace %s", path);
        if (write_temporary(folder, temporary, bytes, len, true) < 0)
                return cause_errno(cause, errno, "cannot write %s, to be renamed from %s,", path, temporary);
        bool swapped = disk_exchange(folder, temporary, folder, name) == 0,
             fresh = !swapped && errno == ENOENT;
        if (!swapped && (!none_to_swap(errno) || disk_rename(folder, temporary, folder, name) < 0)) {
                int error = errno;
                (void)disk_unlink(folder, temporary);
                return cause_errno(cause, error, "cannot replace %s", path);
        }
        if (disk_sync(folder) < 0) {
                int error = errno;
                bool undone = swapped ? disk_exchange(folder, temporary, folder, name) == 0
                                      : fresh && disk_unlink(folder, name) == 0;
                if (swapped && undone)
                        (void)disk_unlink(folder, temporary);
                return not_synced(path, undone, error, cause);
        }
        if (swapped)
                (void)disk_unlink(folder, temporary); /* else the next time, or start, removes it */
        return 0;
}

/* A folder of that name is no file of ours, and in its way: gone when it is empty, else under a name that
 * nobody reads. */
static int clear_folder(int folder, const char *name)
{
        scoped(scoped_free) char *aside = text_of(".%s.folder", name);

        if (!is_folder(folder, name) || unlinkat(folder, name, AT_REMOVEDIR) == 0)
                return 0;
        return disk_rename_new(folder, name, folder, aside);
}

/* As replace(). Where what should be the folder is none, nothing is in it. */
static int remove_it(const char *path, struct cause *cause)
{
        const char *name;
        scoped(scoped_close) int folder = open_parent(path, &name);

        if (folder < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
                return 0;
        if (folder < 0)
                return cause_errno(cause, errno, "cannot remove %s", path);
        scoped(scoped_free) char *temporary = text_of(".%s.new", name);
        if (clear_folder(folder, name) < 0 || clear_folder(folder, temporary) < 0)
                return cause_errno(cause, errno, "cannot remove %s (or %s beside it), a folder", path,
                                   temporary);
        bool there = disk_rename(folder, name, folder, temporary) == 0;
        if (!there && errno != ENOENT)
                return cause_errno(cause, errno, "cannot remove %s", path);
        if (disk_sync(folder) < 0) {
                int error = errno;
                bool undone = !there || disk_rename(folder, temporary, folder, name) == 0;
                return not_synced(path, undone, error, cause);
        }
        if (there)
                (void)disk_unlink(folder, temporary);
        return 0;
}

int replace_file_unsynced(int folder, const char *name, const void *bytes, size_t len, struct cause *cause)
{
        scoped(scoped_free) char *temporary = text_of(".%s.new", name);

        if (is_folder(folder, name))
                return cause_errno(cause, EISDIR, "cannot replace %s", name);
        if (write_temporary(folder, temporary, bytes, len, false) < 0)
                return cause_errno(cause, errno, "cannot write %s, to be renamed from %s,", name, temporary);
        if (disk_rename(folder, temporary, folder, name) < 0) {
                int error = errno;
                (void)disk_unlink(folder, temporary);
                return cause_errno(cause, error, "cannot replace %s", name);
        }
        return 0;
}

int replace_file(const char *path, const void *bytes, size_t len, struct cause *cause)
{
        return replace(path, bytes, len, cause) == 0 ? 0 : -1;
}

int remove_file(const char *path, struct cause *cause)
{
        return remove_it(path, cause) == 0 ? 0 : -1;
}

/* Appends the whole content of `fd`, about `size` bytes, to `out`. */
static int read_whole(int fd, const char *path, size_t size, size_t max, struct buf *out, struct cause *cause)
{
        for (;;) {
                /* Mostly it is as large as it was; one byte beyond that, or beyond `max`, shows that there is
                 * more. */
                size_t want = out->len <= size ? size + 1 - out->len : 64 * 1024;
                if (want > max + 1 - out->len)
                        want = max + 1 - out->len;
                uint8_t *room = buf_room(out, want);
                if (!room)
                        return cause_set(cause, CAUSE_STORAGE, "cannot read %s: out of memory", path);
                ssize_t got = read(fd, room, want);
                if (got < 0 && errno == EINTR)
                        continue;
                if (got < 0)
                        return cause_errno(cause, errno, "cannot read %s", path);
                if (got == 0)
                        return 1;
                buf_grown(out, (size_t)got);
                if (out->len > max)
                        return cause_set(cause, CAUSE_STORAGE, "%s is larger than %zu bytes", path, max);
        }
}

int read_file(const char *path, size_t max, struct buf *out, struct cause *cause)
{
        struct stat st;

        buf_init(out, max + 1);
        scoped(scoped_close) int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOENT ? 0 : cause_errno(cause, errno, "cannot read %s", path);
        if (fstat(fd, &st) < 0)
                return cause_errno(cause, errno, "cannot read %s", path);
        if (!S_ISREG(st.st_mode))
                return cause_set(cause, CAUSE_STORAGE, "cannot read %s: not a regular file", path);
        int result = read_whole(fd, path, (size_t)st.st_size, max, out, cause);
        if (result < 0)
                buf_wipe(out);
        return result;
}

int make_folder(const char *path, mode_t mode, struct cause *cause)
{
        const char *name;
        struct stat st;

        if (stat(path, &st) == 0) {
                if (!S_ISDIR(st.st_mode))
                        return cause_set(cause, CAUSE_STORAGE, "%s is there and is not a folder", path);
                return 0;
        }
        scoped(scoped_close) int parent = open_parent(path, &name);
        if (parent < 0)
                return cause_errno(cause, errno, "cannot make the folder %s", path);
        if (mkdirat(parent, name, mode) < 0 && errno != EEXIST)
                return cause_errno(cause, errno, "cannot make the folder %s", path);
        if (disk_sync(parent) < 0)
                return cause_errno(cause, errno, "cannot sync the folder of %s", path);
        return 0;
}

/* ---- on the file pool ---- */

enum { AGAIN_MS = 1000 }; /* between tries to end a doubt */

struct later {
        struct job job;
        char *path;
        uint8_t *bytes; /* NULL: remove */
        size_t len;
        struct cause cause;
        void (*done)(void *ctx, const struct cause *cause);
        void *ctx;
        bool doubtful; /* it failed, and may be done all the same: only its success is an answer */
        struct timer *again;
        struct later *next; /* in order of the calls */
};
/* Not finished ones; the first for a path is the one that runs. Loop's. */
static struct later *laters, **laters_end = &laters;

static void later_work(struct job *job)
{
        struct later *later = container_of(job, struct later, job);

        int result = later->bytes ? replace(later->path, later->bytes, later->len, &later->cause)
                                  : remove_it(later->path, &later->cause);
        if (result == 0)
                cause_clear(&later->cause);
        later->doubtful = result == -2 || (later->doubtful && result < 0);
}

static void later_free(struct later *later)
{
        if (later->bytes)
                explicit_bzero(later->bytes, later->len);
        timer_free(later->again);
        free(later->bytes);
        free(later->path);
        free(later);
}

static struct later *first_for(const char *path)
{
        for (struct later *later = laters; later; later = later->next)
                if (strcmp(later->path, path) == 0)
                        return later;
        return NULL;
}

static void try_again(void *ctx)
{
        struct later *later = ctx;

        store_run_files(&later->job);
}

static void later_done(struct job *job)
{
        struct later *later = container_of(job, struct later, job);

        if (later->doubtful && !store_closing()) {
                if (!later->again)
                        later->again = timer_new(try_again, later);
                timer_set(later->again, AGAIN_MS);
                return;
        }
        struct later **at = &laters;
        while (*at != later)
                at = &(*at)->next;
        *at = later->next;
        if (!later->next)
                laters_end = at;
        struct later *next = first_for(later->path);
        if (next)
                store_run_files(&next->job);
        if (later->done)
                later->done(later->ctx, later->cause.code == CAUSE_NONE ? NULL : &later->cause);
        later_free(later);
}

void replace_file_later(const char *path, const void *bytes, size_t len,
                        void (*done)(void *ctx, const struct cause *cause), void *ctx)
{
        struct later *later = new_object(struct later);

        later->job = (struct job){ .work = later_work, .done = later_done };
        later->path = copy_text(path);
        if (bytes) {
                later->bytes = new_zeroed(len + 1, 1);
                memcpy(later->bytes, bytes, len);
        }
        later->len = len;
        later->done = done;
        later->ctx = ctx;
        bool alone = !first_for(path);
        *laters_end = later;
        laters_end = &later->next;
        if (alone)
                store_run_files(&later->job);
}

void replace_files_end(void)
{
        for (struct later *later = laters, *next; later; later = next) {
                next = later->next;
                if (later->again)
                        store_run_files(&later->job);
        }
}
