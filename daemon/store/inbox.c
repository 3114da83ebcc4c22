/* SPDX-License-Identifier: MIT */
/* The inbox as people and programs see it: lists by pages, one message by its id; see inbox.h. */
#include "daemon/store/inbox.h"

#include "common/file_rules.h"
#include "common/json_fields.h"
#include "common/limits.h"
#include "daemon/store/inbox_rows.h"
#include "daemon/store/inbox_scan.h"
#include "daemon/store/jobs.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE_BYTES = 8 * MIB }; /* of texts in a page: an answer must fit into a frame */

struct asked {
        char *account, *id;
        int64_t received, seq; /* the place that the page lies before */
        size_t limit;
        bool scanned, unsure; /* of the message: only another scan can tell */
        bool wrong;           /* its row was, though nobody seems to have changed anything */
        struct inbox_page page;
        int fd;
        json_t *message;
        void (*listed)(void *ctx, const struct inbox_page *page, const struct cause *cause);
        void (*opened)(void *ctx, int fd, json_t *message, const struct cause *cause);
        void *ctx;
        struct store_read read;
};

static void asked_free(struct asked *asked)
{
        json_decref(asked->page.messages);
        json_decref(asked->message);
        free(asked->account);
        free(asked->id);
        free(asked);
}

/* ---- JSON ---- */

static json_t *line_ends_json(enum line_ends line_ends)
{
        switch (line_ends) {
        case LINE_ENDS_LF:
                return json_string("lf");
        case LINE_ENDS_AS_CAME:
                return json_string("asReceived");
        case LINE_ENDS_UNKNOWN:
                break;
        }
        return json_null();
}

json_t *inbox_message_json(const struct inbox_message *message)
{
        json_t *object = json_object();
        char id[INBOX_ID_SIZE];
        scoped(scoped_free) char *place = maildir_place(message->account, message->box);
        scoped(scoped_free) char *into = file_folder_name(message->box ? message->box : "");
        scoped(scoped_free) char *path = text_of("%s/mail/%s/%s/%s", store_directory(), place,
                                                 message->in_cur ? "cur" : "new", message->file);

        maildir_id(message->file, id);
        json_put_text(object, "id", id);
        json_put_text(object, "file", message->handed_on ? NULL : message->file);
        json_put_text(object, "path", message->handed_on ? NULL : path);
        json_put(object, "lineEnds",
                 line_ends_json(message->handed_on ? LINE_ENDS_UNKNOWN : message->line_ends));
        json_put(object, "seen",
                 message->handed_on ? json_null()
                                    : json_boolean(inbox_is_seen(message->file, message->in_cur)));
        json_put_text(object, "filedInto", message->handed_on || !into[0] ? NULL : into);
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

struct inbox_message *inbox_message_copy(const struct inbox_message *message)
{
        struct inbox_message with = *message;
        const char **const texts[] = { &with.account, &with.file,    &with.folder, &with.box,
                                       &with.from,    &with.subject, &with.date,   &with.message_id };
        size_t lengths[count_of(texts)], size = sizeof with;

        for (size_t i = 0; i < count_of(texts); i++)
                size += lengths[i] = *texts[i] ? strlen(*texts[i]) + 1 : 0;
        struct inbox_message *copy = new_memory(size);
        char *at = (char *)(copy + 1);
        for (size_t i = 0; i < count_of(texts); i++) {
                if (*texts[i])
                        *texts[i] = memcpy(at, *texts[i], lengths[i]);
                at += lengths[i];
        }
        *copy = with;
        return copy;
}

struct inbox_message delivered_message(const char *account, const char *folder,
                                       const struct delivered *message)
{
        return (struct inbox_message){ .account = account,
                                       .file = message->file,
                                       .folder = folder,
                                       .handed_on = message->handed_on,
                                       .line_ends = message->line_ends,
                                       .box = message->box,
                                       .uid = message->entry.uidl[0] ? 0 : message->entry.uid,
                                       .size = (int64_t)message->size,
                                       .received = message->received,
                                       .from = message->from,
                                       .subject = message->subject,
                                       .date = message->date,
                                       .message_id = message->message_id };
}

static json_t *row_json(const char *account, const struct inbox_row *row)
{
        scoped(scoped_free) char *file = text_of("%s%s", row->file, row->suffix);
        struct inbox_message message = { .account = account,
                                         .file = file,
                                         .folder = row->folder,
                                         .in_cur = !row->in_new,
                                         .line_ends = row->line_ends,
                                         .box = row->box,
                                         .uid = row->uid,
                                         .size = row->size,
                                         .received = row->received,
                                         .from = row->from,
                                         .subject = row->subject,
                                         .date = row->date,
                                         .message_id = row->message_id };

        return inbox_message_json(&message);
}

/* ---- pages ---- */

static size_t text_bytes(const struct inbox_row *row)
{
        const char *const texts[] = { row->file,    row->file, row->folder,    row->from,
                                      row->subject, row->date, row->message_id };
        size_t sum = 300;

        for (size_t i = 0; i < count_of(texts); i++)
                sum += texts[i] ? strlen(texts[i]) : 0;
        return sum;
}

static int page_work(struct store_read *read, struct database *db, struct cause *cause)
{
        struct asked *asked = container_of(read, struct asked, read);
        size_t count = 0, bytes = 0;
        int more;
        struct inbox_row row = { 0 };

        if (inbox_row_count(db, asked->account, &asked->page.total, cause) < 0)
                return -1;
        asked->page.messages = json_array();
        scoped(db_end) sqlite3_stmt *rows =
                db_query(db, cause,
                         "SELECT " INBOX_COLUMNS " FROM inbox WHERE account = ? AND (received, seq) < (?, ?)"
                         " ORDER BY received DESC, seq DESC LIMIT ?",
                         VALUES(v_text(asked->account), v_int(asked->received), v_int(asked->seq),
                                v_int((int64_t)asked->limit + 1)));
        while ((more = rows ? db_next(db, rows, cause) : -1) > 0) {
                if (count == asked->limit || bytes > PAGE_BYTES) {
                        asked->page.more = true;
                        break;
                }
                inbox_row_take(&row, rows);
                (void)json_array_insert_new(asked->page.messages, 0, row_json(asked->account, &row));
                (void)snprintf(asked->page.next, sizeof asked->page.next, "%" PRId64 ".%" PRId64,
                               row.received, row.seq);
                bytes += text_bytes(&row);
                count++;
                inbox_row_done(&row);
        }
        return more < 0 ? -1 : 0;
}

static void page_done(struct store_read *read, const struct cause *cause)
{
        struct asked *asked = container_of(read, struct asked, read);

        asked->listed(asked->ctx, cause ? NULL : &asked->page, cause);
        asked_free(asked);
}

static void read_page(void *ctx)
{
        struct asked *asked = ctx;

        asked->read = (struct store_read){ .read = page_work, .done = page_done };
        store_read(&asked->read);
}

bool inbox_place(const char *text, struct inbox_place *place)
{
        int end = 0;

        *place = (struct inbox_place){ INT64_MAX, INT64_MAX };
        return !text ||
               (sscanf(text, "%" SCNd64 ".%" SCNd64 "%n", &place->received, &place->seq, &end) == 2 &&
                text[end] == '\0');
}

void inbox_list(const char *account, const struct inbox_place *after, size_t limit,
                void (*done)(void *ctx, const struct inbox_page *page, const struct cause *cause), void *ctx)
{
        struct asked *asked = new_object(struct asked);

        *asked = (struct asked){ .account = copy_text(account),
                                 .received = after->received,
                                 .seq = after->seq,
                                 .limit = limit,
                                 .fd = -1,
                                 .listed = done,
                                 .ctx = ctx };
        inbox_scan(account, false, read_page, asked);
}

/* ---- one message ---- */

static int not_found(const struct asked *asked, struct cause *cause)
{
        (void)cause_set(cause, CAUSE_NOT_FOUND, "there is no message %s in the inbox of %s", asked->id,
                        asked->account);
        cause_remedy(cause, "emailsecctl inbox list %s", asked->account);
        return -1;
}

static int open_row(struct asked *asked, const struct inbox_row *row, struct cause *cause)
{
        scoped(maildir_close) struct maildir maildir = MAILDIR_CLOSED;
        scoped(scoped_free) char *name = text_of("%s%s", row->file, row->suffix);
        struct stat st;
        scoped(scoped_free) char *place = maildir_place(asked->account, row->box);
        int there = maildir_open(place, false, &maildir, cause);

        if (there < 0)
                return -1;
        if (there)
                asked->fd = openat(row->in_new ? maildir.new : maildir.cur, name,
                                   O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        asked->unsure = asked->wrong = !there || (asked->fd < 0 && errno == ENOENT);
        if (asked->unsure)
                return not_found(asked, cause);
        if (asked->fd < 0)
                return cause_errno(cause, errno, "cannot open the message %s", asked->id);
        if (fstat(asked->fd, &st) < 0 || !S_ISREG(st.st_mode))
                return cause_set(cause, CAUSE_STORAGE, "cannot open the message %s: not a regular file",
                                 asked->id);
        asked->message = row_json(asked->account, row);
        return 0;
}

static int open_work(struct store_read *read, struct database *db, struct cause *cause)
{
        struct asked *asked = container_of(read, struct asked, read);
        struct inbox_row row = { 0 };
        int64_t first, last;
        int result, count;

        if (inbox_id_range(asked->id, &first, &last) < 0)
                return not_found(asked, cause);
        count = inbox_row_of_id(db, asked->account, first, last, &row, cause);
        asked->unsure = count == 0;
        if (count < 0)
                return -1;
        if (count > 1)
                result = cause_set(cause, CAUSE_AMBIGUOUS,
                                   "several messages of %s have ids that begin with %s", asked->account,
                                   asked->id);
        else
                result = count ? open_row(asked, &row, cause) : not_found(asked, cause);
        inbox_row_done(&row);
        return result;
}

static void open_it(void *ctx);

static void open_done(struct store_read *read, const struct cause *cause)
{
        struct asked *asked = container_of(read, struct asked, read);

        if (cause && asked->unsure && !asked->scanned) {
                asked->scanned = true;
                inbox_scan(asked->account, asked->wrong, open_it, asked);
                return;
        }
        if (cause)
                close_fd(&asked->fd);
        asked->opened(asked->ctx, asked->fd, cause ? NULL : asked->message, cause);
        asked_free(asked);
}

static void open_it(void *ctx)
{
        struct asked *asked = ctx;

        asked->read = (struct store_read){ .read = open_work, .done = open_done };
        store_read(&asked->read);
}

void inbox_open(const char *account, const char *id,
                void (*done)(void *ctx, int fd, json_t *message, const struct cause *cause), void *ctx)
{
        struct asked *asked = new_object(struct asked);

        *asked = (struct asked){
                .account = copy_text(account), .id = copy_text(id), .fd = -1, .opened = done, .ctx = ctx
        };
        open_it(asked);
}
