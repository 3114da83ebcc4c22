/* SPDX-License-Identifier: MIT */
/*
 * Many small files at once; see replace_files.h. All of them are written and renamed, then synced: together
 * where the file system can do that, else each file by itself, and then their folder.
 */
#include "daemon/store/replace_files.h"

#include "daemon/store/disk.h"
#include "daemon/store/jobs.h"
#include "daemon/store/replace_file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { FILES_IN_JOB = 64 }; /* so that others' jobs wait for a part of them */

struct many_files {
        struct job job;
        char *path;
        const struct file_text *files;
        size_t count, at; /* `at`: the next one of this step */
        int folder;       /* opened ahead of the first byte, so that an error since then is told; or -1 */
        enum { FILES_WRITE, FILES_SYNC, FILES_SYNC_EACH, FILES_SYNC_FOLDER, FILES_DONE } step;
        struct cause cause;
        void (*done)(void *ctx, const struct cause *cause);
        void *ctx;
};

static int write_some(struct many_files *many)
{
        if (many->folder < 0)
                many->folder = open(many->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (many->folder < 0)
                return cause_errno(&many->cause, errno, "cannot write into %s", many->path);
        for (int i = 0; i < FILES_IN_JOB && many->at < many->count; i++, many->at++) {
                const struct file_text *file = &many->files[many->at];
                if (replace_file_unsynced(many->folder, file->name, file->text, strlen(file->text),
                                          &many->cause) < 0)
                        return -1;
        }
        if (many->at == many->count)
                many->step = many->count < DISK_SYNC_TOGETHER ? FILES_SYNC_EACH : FILES_SYNC;
        return 0;
}

static int sync_all(struct many_files *many)
{
        int synced = disk_sync_all(many->folder);

        many->step = synced > 0 ? FILES_DONE : FILES_SYNC_EACH;
        return synced < 0 ? cause_errno(&many->cause, errno, "cannot sync the files of %s", many->path) : 0;
}

static int sync_some(struct many_files *many)
{
        for (int i = 0; i < FILES_IN_JOB && many->at < many->count; i++, many->at++) {
                const char *name = many->files[many->at].name;
                scoped(scoped_close) int fd = openat(many->folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
                if (fd < 0 || disk_sync(fd) < 0)
                        return cause_errno(&many->cause, errno, "cannot sync %s/%s", many->path, name);
        }
        if (many->at == many->count)
                many->step = FILES_SYNC_FOLDER;
        return 0;
}

static int sync_folder(struct many_files *many)
{
        many->step = FILES_DONE;
        return disk_sync(many->folder) < 0
                       ? cause_errno(&many->cause, errno, "cannot sync the folder %s", many->path)
                       : 0;
}

/* Some of the present step. */
static int go_on(struct many_files *many)
{
        switch (many->step) {
        case FILES_WRITE:
                if (write_some(many) < 0)
                        return -1;
                if (many->step != FILES_WRITE)
                        many->at = 0;
                return 0;
        case FILES_SYNC:
                return sync_all(many);
        case FILES_SYNC_EACH:
                return sync_some(many);
        case FILES_SYNC_FOLDER:
                return sync_folder(many);
        case FILES_DONE:
                break;
        }
        return 0;
}

int replace_files(const char *folder, const struct file_text *files, size_t count, struct cause *cause)
{
        struct many_files many = {
                .path = (char *)(uintptr_t)folder, .files = files, .count = count, .folder = -1
        };
        int result = 0;

        while (result == 0 && many.step != FILES_DONE)
                result = go_on(&many);
        close_fd(&many.folder);
        if (result < 0)
                *cause = many.cause;
        return result;
}

/* ---- on the pools ---- */

static void work(struct job *job)
{
        struct many_files *many = container_of(job, struct many_files, job);

        if (go_on(many) < 0)
                many->step = FILES_DONE;
}

static void worked(struct job *job)
{
        struct many_files *many = container_of(job, struct many_files, job);

        if (many->step != FILES_DONE && store_closed(&many->cause))
                many->step = FILES_DONE;
        if (many->step == FILES_WRITE) {
                store_run_files(&many->job);
        } else if (many->step != FILES_DONE) {
                store_run_sync(&many->job);
        } else {
                close_fd(&many->folder);
                many->done(many->ctx, many->cause.code == CAUSE_NONE ? NULL : &many->cause);
                free(many->path);
                free(many);
        }
}

void replace_files_later(const char *folder, const struct file_text *files, size_t count,
                         void (*done)(void *ctx, const struct cause *cause), void *ctx)
{
        struct many_files *many = new_object(struct many_files);

        *many = (struct many_files){ .job = { .work = work, .done = worked },
                                     .path = copy_text(folder),
                                     .files = files,
                                     .count = count,
                                     .folder = -1,
                                     .done = done,
                                     .ctx = ctx };
        store_run_files(&many->job);
}
