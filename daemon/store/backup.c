/* SPDX-License-Identifier: MIT */
/*
 * Backups: when, and in what order the parts are taken; see backup.h. The archive itself is written by
 * backup_write.c. The small files are read before the database is copied and looked at again after that: had
 * one of those that belong together changed, what is in the queue might be of an account that is not in the
 * archive.
 */
#include "daemon/store/backup.h"

#include "daemon/loop.h"
#include "daemon/store/backup_parts.h"
#include "daemon/store/jobs.h"
#include "daemon/store/reserve.h"
#include "daemon/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { ROUNDS = 8 }; /* until nothing was changed meanwhile */

struct backup {
        struct job job;
        struct archive archive;
        atomic_bool cancelled;
        char *directory;
        uint64_t leave; /* of the disk */
        bool failed;
        struct cause cause;
        void (*done)(void *ctx, const struct backup_result *result, const struct cause *cause);
        void *ctx;
};

static struct {
        struct workers *thread;
        struct backup *present;
} backups;

/* ---- the thread ---- */

/* The database beside the small files of the same moment; the copy is open in *fd and has no name. */
static int take_moment(struct backup *backup, int *fd)
{
        scoped(scoped_free) char *copy = text_of("%s/spool/backup.db", backup->directory);

        for (int round = 0; round < ROUNDS; round++) {
                struct buf before = BUF_WITH_MAX(LIMIT_BACKUP_FILES),
                           after = BUF_WITH_MAX(LIMIT_BACKUP_FILES);
                bool failed =
                        backup_archive_look(&backup->archive, &before, &backup->cause) < 0 ||
                        backup_archive_gather(&backup->archive, &backup->cause) < 0 ||
                        store_copy_database(copy, backup->leave, &backup->cancelled, &backup->cause) < 0 ||
                        backup_archive_look(&backup->archive, &after, &backup->cause) < 0;
                bool same = !failed && before.len == after.len &&
                            (!before.len || !memcmp(buf_bytes(&before), buf_bytes(&after), before.len));
                buf_free(&before);
                buf_free(&after);
                if (!failed && same)
                        *fd = open(copy, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
                if (!failed && same && *fd < 0)
                        failed = cause_errno(&backup->cause, errno, "cannot read %s", copy) < 0;
                (void)unlink(copy);
                if (failed)
                        return -1;
                if (same)
                        return 0;
        }
        return cause_set(&backup->cause, CAUSE_BUSY,
                         "accounts or decisions were changed again and again meanwhile");
}

static void backup_work(struct job *job)
{
        struct backup *backup = container_of(job, struct backup, job);
        scoped(scoped_close) int database = -1;

        if (take_moment(backup, &database) < 0 ||
            backup_archive_write(&backup->archive, database, &backup->cause) < 0)
                backup->failed = true;
}

/* ---- the loop ---- */

static void backup_free(struct backup *backup)
{
        backup_archive_free(&backup->archive);
        free(backup->directory);
        free(backup);
}

static void removed(unused_arg void *ctx, unused_arg const struct cause *cause)
{
}

static void backup_done(struct job *job)
{
        struct backup *backup = container_of(job, struct backup, job);

        backups.present = NULL;
        backup->done(backup->ctx, backup->failed ? NULL : &backup->archive.result,
                     backup->failed ? &backup->cause : NULL);
        backup_free(backup);
        store_settle(removed, NULL); /* a commit: files that were held for the copy go with it */
}

int backup_begin(const struct backup_order *order,
                 void (*done)(void *ctx, const struct backup_result *result, const struct cause *cause),
                 void *ctx, struct cause *cause)
{
        if (backups.present)
                return cause_set(cause, CAUSE_BUSY, "another backup is just being made");
        struct backup *backup = new_object(struct backup);
        *backup = (struct backup){
                .job = { .work = backup_work, .done = backup_done },
                .directory = copy_text(store_directory()),
                .leave = reserve_room().reserve,
                .done = done,
                .ctx = ctx,
        };
        backup_archive_open(&backup->archive, backup->directory, order, &backup->cancelled);
        if (!backups.thread)
                backups.thread = workers_new("backup", 1);
        backups.present = backup;
        workers_run(backups.thread, &backup->job);
        return 0;
}

void backup_cancel(void)
{
        if (backups.present)
                atomic_store(&backups.present->cancelled, true);
}

/* One that waits for the reader of its archive is left behind. */
void backup_close(void)
{
        backup_cancel();
        if (backups.thread)
                workers_abandon(take(backups.thread));
        backups.present = NULL;
}
