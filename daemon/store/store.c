/* SPDX-License-Identifier: MIT */
/* The state folder: locks, beginning and end; see store.h. Threads and reads are in jobs.c, the writer in
 * writer.c. */
#include "daemon/store/store.h"

#include "daemon/journal.h"
#include "daemon/messages.h"
#include "daemon/store/backup.h"
#include "daemon/store/body_file.h"
#include "daemon/store/content_tag.h"
#include "daemon/store/disk.h"
#include "daemon/store/inbox_lf.h"
#include "daemon/store/inbox_scan.h"
#include "daemon/store/jobs.h"
#include "daemon/store/kept.h"
#include "daemon/store/maildir_folder.h"
#include "daemon/store/maildir_rights.h"
#include "daemon/store/owner_rows.h"
#include "daemon/store/queue_rows.h"
#include "daemon/store/replace_file.h"
#include "daemon/store/reserve.h"
#include "daemon/store/rest.h"
#include "daemon/store/taking.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

static struct {
        int lock, folder_lock; /* of the file, with our pid; of the folder, which nobody removes */
        bool anew, lost;       /* the database was not there */
} store = { .lock = -1, .folder_lock = -1 };

int64_t store_stuck_for(void)
{
        int64_t jobs = jobs_stuck_for(), writer = writer_stuck_for(), taking = takings_stuck_for();
        int64_t longest = writer > jobs ? writer : jobs;

        return taking > longest ? taking : longest;
}

/* ---- beginning ---- */

static int locked_by_other(int fd, const char *directory, struct cause *cause)
{
        char pid[24] = "";
        ssize_t got = pread(fd, pid, sizeof pid - 1, 0);

        pid[got > 0 ? strcspn(pid, "\n") : 0] = '\0';
        (void)cause_set(cause, CAUSE_STATE, "another emailsecd (pid %s) uses this state folder: %s",
                        *pid ? pid : "unknown", directory);
        cause_remedy(cause,
                     "end the other one, or give this one a state folder of its own (--state-directory)");
        return -1;
}

static void let_go_of_locks(void)
{
        close_fd(&store.lock);
        close_fd(&store.folder_lock);
}

/* The file may have been removed, and be another one now than that of a daemon that runs. A file system
 * without such locks has the file's alone. */
static int lock_folder(const char *directory, struct cause *cause)
{
        store.folder_lock = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (store.folder_lock < 0)
                return cause_errno(cause, errno, "cannot open %s", directory);
        if (flock(store.folder_lock, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
                return locked_by_other(store.lock, directory, cause);
        return 0;
}

/* Open-file-description locks: they end with the process, however that ends. */
static int take_lock(const char *directory, struct cause *cause)
{
        scoped(scoped_free) char *path = text_of("%s/lock", directory);
        struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
        char pid[24];

        store.lock = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (store.lock < 0) {
                (void)cause_errno(cause, errno, "the state folder %s cannot be written (%s)", directory,
                                  path);
                if (!cause->no_room)
                        cause_remedy(cause, "it must belong to the user that emailsecd runs as, and its disk "
                                            "be writable");
                return -1;
        }
        if (fcntl(store.lock, F_OFD_SETLK, &whole) < 0) {
                if (errno == EAGAIN || errno == EACCES)
                        return locked_by_other(store.lock, directory, cause);
                return cause_errno(cause, errno, "cannot lock %s", path);
        }
        if (lock_folder(directory, cause) < 0)
                return -1;
        int len = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
        if (ftruncate(store.lock, 0) < 0 || disk_write(store.lock, pid, (size_t)len) < 0)
                errno = 0; /* a full disk: the pid is for people, the lock holds without */
        return 0;
}

static int make_folders(const char *directory, struct cause *cause)
{
        static const char *const inside[] = { "spool", "mail" };

        for (size_t i = 0; i < count_of(inside); i++) {
                scoped(scoped_free) char *path = text_of("%s/%s", directory, inside[i]);
                if (make_folder(path, 0700, cause) < 0)
                        return -1;
        }
        return 0;
}

static bool accept_new; /* by who starts the daemon */

void store_accept_new(void)
{
        accept_new = true;
}

static int is_account_file(const struct dirent *entry)
{
        size_t len = strlen(entry->d_name);

        return entry->d_name[0] != '.' && len > 5 && strcmp(entry->d_name + len - 5, ".json") == 0;
}

static int count_accounts(const char *directory)
{
        scoped(scoped_free) char *folder = text_of("%s/accounts", directory);
        struct dirent **files = NULL;
        int count = scandir(folder, &files, is_account_file, NULL);

        for (int i = 0; i < count; i++)
                free(files[i]);
        free(files);
        return count > 0 ? count : 0;
}

/* A database that is not there, or holds nothing, beside accounts has been lost: begun anew without a word,
 * the queue would be gone and all mail fetched again. */
static int look_for_database(const char *directory, const char *path, struct cause *cause)
{
        int accounts = count_accounts(directory);
        int holds = database_holds(path, cause);

        if (holds < 0)
                return -1;
        store.anew = !holds;
        if (holds || !accounts || accept_new)
                return 0;
        (void)cause_set(cause, CAUSE_STATE,
                        "%s is missing or empty, and there %s %d account%s: the queue with its mail, and "
                        "what was received, are not there",
                        path, accounts == 1 ? "is" : "are", accounts, accounts == 1 ? "" : "s");
        cause_remedy(cause, "restore it from a backup or repair it, see RECOVERY in emailsecd(8); or begin "
                            "with an empty queue: "
                            "emailsecd --accept-new-database");
        store.lost = true;
        return -1;
}

bool store_is_new(void)
{
        return store.anew;
}

bool store_lost_database(void)
{
        return store.lost;
}

/* After that, files in the Maildir are all that tells what was received. */
static int note_new_database(struct database *db, const char *directory, struct cause *cause)
{
        int64_t anew;

        if (store.anew && count_accounts(directory)) {
                if (db_run(db, cause, "INSERT OR REPLACE INTO meta (name, value) VALUES ('anew', ?)",
                           VALUES(v_int(time(NULL)))) < 0)
                        return -1;
                log_about(NULL, LOG_WARNING, MSG_DISK_FAULT,
                          "the database was begun anew, as was asked for: mail that waited to be sent is "
                          "lost, and what was "
                          "received before is fetched again unless its file is still in the Maildir or "
                          "fetch=new");
        }
        if (db_number(db, cause, &anew, 0, "SELECT value FROM meta WHERE name = 'anew'", NULL, 0) < 0)
                return -1;
        maildir_trust_files(anew != 0);
        return 0;
}

/* One transaction: what recovery changes is there whole or not at all. */
static int load(struct database *db, struct cause *cause)
{
        if (db_run(db, cause, "BEGIN IMMEDIATE", NULL, 0) < 0 || queue_ids_load(db, cause) < 0 ||
            queue_counts_load(db, cause) < 0 || owners_load(db, cause) < 0 || queue_recover(db, cause) < 0 ||
            queue_counts_save(db, cause) < 0 || kept_load(db, cause) < 0 || inbox_lf_load(db, cause) < 0 ||
            db_run(db, cause, "COMMIT", NULL, 0) < 0)
                return -1;
        queue_counts_apply(queue_counts_take());
        return 0;
}

int store_lock(const char *state_directory, struct cause *cause)
{
        if (make_folder(state_directory, 0700, cause) == 0 && take_lock(state_directory, cause) == 0)
                return 0;
        let_go_of_locks();
        return -1;
}

void store_unlock(void)
{
        let_go_of_locks();
}

/* What a restore that was cut off has left is of two stations. */
static int check_whole(const char *directory, struct cause *cause)
{
        scoped(scoped_free) char *path = text_of("%s/restoring", directory);

        if (access(path, F_OK) < 0)
                return 0;
        (void)cause_set(cause, CAUSE_STATE, "a restore was cut off while its files were put in place: %s",
                        path);
        cause_remedy(cause, "restore again: emailsecctl restore FILE --force");
        return -1;
}

static int open_all(const char *directory, struct cause *cause)
{
        if (take_lock(directory, cause) < 0 || check_whole(directory, cause) < 0 ||
            make_folders(directory, cause) < 0)
                return -1;
        scoped(scoped_free) char *path = text_of("%s/station.db", directory);
        scoped(scoped_free) char *copy = text_of("%s/spool/backup.db", directory);
        (void)unlink(copy); /* of a backup that was cut off */
        if (look_for_database(directory, path, cause) < 0)
                return -1;
        if (jobs_connect(path, true, cause) < 0 || note_new_database(jobs_database(), directory, cause) < 0 ||
            content_tag_load(jobs_database(), cause) < 0 || load(jobs_database(), cause) < 0 ||
            body_files_begin(jobs_database(), directory, store.anew, cause) < 0)
                return -1;
        return jobs_connect(path, false, cause);
}

/* Whatever is open of it. */
static void close_all(void)
{
        jobs_disconnect();
        body_files_end();
        content_tag_unload();
        queue_counts_free();
        kept_free();
        owners_free();
        maildir_end();
        inbox_scans_end();
        let_go_of_locks();
        jobs_place(NULL);
}

/* What it takes to begin (the log's index, a changed row) must not be lacking where the disk is full. */
static int open_or_close(const char *directory, struct cause *cause)
{
        jobs_place(directory);
        if (open_all(directory, cause) == 0)
                return 0;
        close_all();
        return -1;
}

bool store_lacks_room(const char *state_directory, const struct cause *cause)
{
        return reserve_lacks_room(state_directory, cause);
}

int store_open(const char *state_directory, struct cause *cause)
{
        jobs_set_closing(false);
        if (make_folder(state_directory, 0700, cause) < 0)
                return -1;
        reserve_open(state_directory);
        if (open_or_close(state_directory, cause) < 0 &&
            (!reserve_lacks_room(state_directory, cause) || !reserve_let_go() ||
             open_or_close(state_directory, cause) < 0)) {
                reserve_close();
                return -1;
        }
        jobs_begin();
        takings_open(state_directory);
        writer_open(jobs_database(), kept_to_write);
        rest_open(writer_run, jobs_give_back);
        maildir_rights_open();
        inbox_lf_begin();
        return 0;
}

/* Pools end from the first in the order of work to the last; what an answer asks for of a pool that
 * has ended is done at once, so that every chain comes to its end. */
void store_close(void)
{
        if (!jobs_database())
                return;
        jobs_set_closing(true);
        rest_close();
        inbox_lf_end();
        takings_close();
        backup_close();
        jobs_end_files();
        replace_files_end();
        jobs_end();
        writer_close();
        reserve_close();
        close_all();
}
