/* SPDX-License-Identifier: MIT */
/* The inbox: the files that are in the Maildir now, with what the database knows of them. Reader thread. */
#include "common/json_fields.h"
#include "daemon/store/jobs.h"
#include "daemon/store/maildir.h"
#include "daemon/store/maildir_folder.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { INBOX_MOST = 10000 }; /* the newest ones: an answer must fit into a frame */

struct entry {
        const struct maildir_file *file;
        int64_t received, uid, size;
        char *folder, *from, *subject, *date, *message_id;
};
struct inbox {
        char *account, *id;
        struct maildir maildir;
        struct maildir_listing listing;
        struct entry *entries;
        size_t count;
        json_t *result;
        int fd;
        void (*listed)(void *ctx, json_t *messages, const struct cause *cause);
        void (*opened)(void *ctx, int fd, json_t *message, const struct cause *cause);
        void *ctx;
        struct store_read read;
};

static void entries_free(struct inbox *inbox)
{
        for (size_t i = 0; i < inbox->count; i++) {
                struct entry *entry = &inbox->entries[i];
                free(entry->folder);
                free(entry->from);
                free(entry->subject);
                free(entry->date);
                free(entry->message_id);
        }
        free(take(inbox->entries));
        inbox->count = 0;
}

/* 1 = there is a Maildir, 0 = none yet. */
static int list_files(struct inbox *inbox, struct cause *cause)
{
        int there = maildir_open(inbox->account, false, &inbox->maildir, cause);

        if (there <= 0)
                return there;
        if (maildir_list(inbox->maildir.new, true, &inbox->listing) < 0 ||
            maildir_list(inbox->maildir.cur, false, &inbox->listing) < 0)
                return cause_errno(cause, errno, "cannot read the Maildir of %s", inbox->account);
        inbox->entries = new_zeroed(inbox->listing.count + 1, sizeof *inbox->entries);
        inbox->count = inbox->listing.count;
        for (size_t i = 0; i < inbox->count; i++)
                inbox->entries[i].file = &inbox->listing.files[i];
        return 1;
}

#define ROW_COLUMNS "file, received, uid, size, folder, sender, subject, date, message_id"

static void take_row(struct entry *entry, sqlite3_stmt *rows)
{
        entry->received = sqlite3_column_int64(rows, 1);
        entry->uid = sqlite3_column_int64(rows, 2);
        entry->size = sqlite3_column_int64(rows, 3);
        entry->folder = copy_text((const char *)sqlite3_column_text(rows, 4));
        entry->from = db_text(rows, 5);
        entry->subject = db_text(rows, 6);
        entry->date = db_text(rows, 7);
        entry->message_id = db_text(rows, 8);
}

/* The row of one file. */
static int find_row(const struct inbox *inbox, struct entry *entry, struct database *db, struct cause *cause)
{
        scoped(scoped_free) char *base = copy_bytes(entry->file->name, entry->file->base);
        scoped(db_end) sqlite3_stmt *rows =
                db_query(db, cause,
                         "SELECT " ROW_COLUMNS " FROM received WHERE account = ? AND file = ? AND file IS NOT NULL LIMIT 1",
                         VALUES(v_text(inbox->account), v_text(base)));
        int more = rows ? db_next(db, rows, cause) : -1;

        if (more > 0)
                take_row(entry, rows);
        return more < 0 ? -1 : 0;
}

/* Entries lie as the sorted listing does, so that a file's place there is its entry's. */
static int join_rows(struct inbox *inbox, struct database *db, struct cause *cause)
{
        int more;
        scoped(db_end) sqlite3_stmt *rows = db_query(
                db, cause,
                "SELECT " ROW_COLUMNS " FROM received"
                " WHERE account = ? AND file IS NOT NULL",
                VALUES(v_text(inbox->account)));

        while ((more = rows ? db_next(db, rows, cause) : -1) > 0) {
                const struct maildir_file *file =
                        maildir_find(&inbox->listing, (const char *)sqlite3_column_text(rows, 0));
                struct entry *entry = file ? &inbox->entries[file - inbox->listing.files] : NULL;
                if (!entry || entry->folder) /* two rows for one file after a UIDVALIDITY change */
                        continue;
                take_row(entry, rows);
        }
        return more;
}

/* A file the database does not know: someone put it there, or the database is a new one. */
static void ask_file(const struct inbox *inbox, struct entry *entry)
{
        struct stat facts;
        int folder = entry->file->in_new ? inbox->maildir.new : inbox->maildir.cur;

        if (fstatat(folder, entry->file->name, &facts, AT_SYMLINK_NOFOLLOW) < 0)
                return;
        entry->received = facts.st_mtime;
        entry->size = facts.st_size;
}

json_t *inbox_message_json(const struct inbox_message *message)
{
        json_t *object = json_object();
        char id[INBOX_ID_SIZE];
        scoped(scoped_free) char *path = text_of("%s/mail/%s/%s/%s", store_directory(), message->account,
                                                 message->in_cur ? "cur" : "new", message->file);

        maildir_id(message->file, id);
        json_put_text(object, "id", id);
        json_put_text(object, "file", message->handed_on ? NULL : message->file);
        json_put_text(object, "path", message->handed_on ? NULL : path);
        json_put_text(object, "folder", message->folder ? message->folder : "");
        json_put(object, "uid", message->uid ? json_integer(message->uid) : json_null());
        json_put(object, "size", json_integer(message->size));
        json_put_time(object, "received", message->received);
        json_put_text(object, "from", message->from);
        json_put_text(object, "subject", message->subject);
        json_put_text(object, "date", message->date);
        json_put_text(object, "messageId", message->message_id);
        return object;
}

json_t *delivered_json(const char *account, const char *folder, const struct delivered *message)
{
        struct inbox_message known = { .account = account, .file = message->file, .folder = folder,
                                       .handed_on = message->handed_on,
                                       .uid = message->entry.uidl[0] ? 0 : message->entry.uid,
                                       .size = (int64_t)message->size, .received = message->received,
                                       .from = message->from, .subject = message->subject,
                                       .date = message->date, .message_id = message->message_id };

        return inbox_message_json(&known);
}

static json_t *entry_json(const struct inbox *inbox, const struct entry *entry)
{
        struct inbox_message message = { .account = inbox->account, .file = entry->file->name,
                                         .folder = entry->folder, .in_cur = !entry->file->in_new,
                                         .uid = entry->uid, .size = entry->size,
                                         .received = entry->received, .from = entry->from,
                                         .subject = entry->subject, .date = entry->date,
                                         .message_id = entry->message_id };

        return inbox_message_json(&message);
}

static int by_time(const void *a, const void *b)
{
        const struct entry *one = a, *two = b;

        if (one->received != two->received)
                return one->received < two->received ? -1 : 1;
        if (one->uid != two->uid)
                return one->uid < two->uid ? -1 : 1;
        return strcmp(one->file->name, two->file->name);
}

static int list_work(struct store_read *read, struct database *db, struct cause *cause)
{
        struct inbox *inbox = container_of(read, struct inbox, read);

        inbox->result = json_array();
        int there = list_files(inbox, cause);
        if (there <= 0)
                return there;
        if (join_rows(inbox, db, cause) < 0)
                return -1;
        for (size_t i = 0; i < inbox->count; i++)
                if (!inbox->entries[i].folder)
                        ask_file(inbox, &inbox->entries[i]);
        qsort(inbox->entries, inbox->count, sizeof *inbox->entries, by_time);
        size_t first = inbox->count > INBOX_MOST ? inbox->count - INBOX_MOST : 0;
        for (size_t i = first; i < inbox->count; i++)
                (void)json_array_append_new(inbox->result, entry_json(inbox, &inbox->entries[i]));
        return 0;
}

static int find_by_id(const struct inbox *inbox, struct entry **found, struct cause *cause)
{
        size_t len = strlen(inbox->id), hits = 0;
        char id[INBOX_ID_SIZE];

        for (size_t i = 0; i < inbox->count && len && len < INBOX_ID_SIZE; i++) {
                maildir_id(inbox->entries[i].file->name, id);
                if (strncasecmp(id, inbox->id, len) == 0) {
                        *found = &inbox->entries[i];
                        hits++;
                }
        }
        if (hits == 1)
                return 0;
        return hits ? cause_set(cause, CAUSE_AMBIGUOUS, "several messages of %s have ids that begin with %s",
                                inbox->account, inbox->id)
                    : cause_set(cause, CAUSE_NOT_FOUND, "there is no message %s in the inbox of %s",
                                inbox->id, inbox->account);
}

static int open_work(struct store_read *read, struct database *db, struct cause *cause)
{
        struct inbox *inbox = container_of(read, struct inbox, read);
        struct entry *entry = NULL;
        struct stat facts;

        if (list_files(inbox, cause) < 0 || find_by_id(inbox, &entry, cause) < 0 ||
            find_row(inbox, entry, db, cause) < 0)
                return -1;
        if (!entry->folder)
                ask_file(inbox, entry);
        inbox->fd = openat(entry->file->in_new ? inbox->maildir.new : inbox->maildir.cur, entry->file->name,
                           O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (inbox->fd < 0)
                return cause_errno(cause, errno, "cannot open the message %s", inbox->id);
        if (fstat(inbox->fd, &facts) < 0 || !S_ISREG(facts.st_mode))
                return cause_set(cause, CAUSE_STORAGE, "cannot open the message %s: not a regular file",
                                 inbox->id);
        inbox->result = entry_json(inbox, entry);
        return 0;
}

static void inbox_done(struct store_read *read, const struct cause *cause)
{
        struct inbox *inbox = container_of(read, struct inbox, read);

        if (cause)
                close_fd(&inbox->fd);
        if (inbox->listed)
                inbox->listed(inbox->ctx, cause ? NULL : inbox->result, cause);
        else
                inbox->opened(inbox->ctx, inbox->fd, cause ? NULL : inbox->result, cause);
        entries_free(inbox);
        maildir_listing_free(&inbox->listing);
        maildir_close(&inbox->maildir);
        json_decref(inbox->result);
        free(inbox->account);
        free(inbox->id);
        free(inbox);
}

void inbox_list(const char *account, void (*done)(void *ctx, json_t *messages, const struct cause *cause),
                void *ctx)
{
        struct inbox *inbox = new_object(struct inbox);

        *inbox = (struct inbox){ .account = copy_text(account),
                                 .maildir = MAILDIR_CLOSED,
                                 .fd = -1,
                                 .listed = done,
                                 .ctx = ctx,
                                 .read = { .read = list_work, .done = inbox_done } };
        store_read(&inbox->read);
}

void inbox_open(const char *account, const char *id,
                void (*done)(void *ctx, int fd, json_t *message, const struct cause *cause), void *ctx)
{
        struct inbox *inbox = new_object(struct inbox);

        *inbox = (struct inbox){ .account = copy_text(account),
                                 .id = copy_text(id),
                                 .maildir = MAILDIR_CLOSED,
                                 .fd = -1,
                                 .opened = done,
                                 .ctx = ctx,
                                 .read = { .read = open_work, .done = inbox_done } };
        store_read(&inbox->read);
}
