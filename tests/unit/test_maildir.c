/* SPDX-License-Identifier: MIT */
/* Deliveries into a Maildir: content, names, twice fetched, crashes at each point, the inbox. */
#include "daemon/store/maildir.c"

#include "before_tags.h"
#include "daemon/store/delivery.h"
#include "daemon/store/delivery_unrecorded.h"
#include "daemon/store/inbox.h"
#include "daemon/store/inbox_scan.h"
#include "daemon/store/missing_table.h"
#include "daemon/store/replace_file.h"
#include "daemon/store/reserve.h"
#include "daemon/store/subscriber_table.h"
#include "store_folder.h"

#include <signal.h>
#include <sys/wait.h>

/* ---- helpers ---- */

struct commit {
        struct answer answer;
        size_t count, again;
        char file[20][64];
        char subject[300];
};

static void on_committed(void *ctx, const struct delivered *messages, size_t count, const struct cause *cause)
{
        struct commit *commit = ctx;

        commit->count = count;
        for (size_t i = 0; i < count; i++) {
                commit->again += messages[i].again;
                if (i < count_of(commit->file))
                        (void)snprintf(commit->file[i], sizeof commit->file[i], "%s", messages[i].file);
        }
        if (count) {
                (void)snprintf(commit->subject, sizeof commit->subject, "%s",
                               messages[0].subject ? messages[0].subject : "-");
        }
        answered(&commit->answer, cause);
}

static const struct delivery_target imap = {
        .account = "in", .folder = "INBOX", .uidvalidity = 7, .tell_server = true
};
static const struct delivery_target pop3 = { .account = "in", .folder = "" };

static void deliver(struct delivery *delivery, const struct mailbox_entry *entry, const char *text)
{
        ck_assert_int_eq(delivery_begin(delivery, entry, NULL), 0);
        ck_assert_int_eq(delivery_piece(delivery, (const uint8_t *)text, strlen(text), NULL), 0);
        ck_assert_int_eq(delivery_end(delivery, NULL), 0);
}

static struct mailbox_entry uid_entry(uint32_t uid)
{
        return (struct mailbox_entry){ .uid = uid };
}

static struct mailbox_entry uidl_entry(const char *uidl)
{
        struct mailbox_entry entry = { .uid = 1 };

        (void)snprintf(entry.uidl, sizeof entry.uidl, "%s", uidl);
        return entry;
}

static struct commit commit(struct delivery *delivery, uint32_t cursor_uid)
{
        struct commit committed = { 0 };

        delivery_commit(delivery, cursor_uid, on_committed, &committed);
        wait_for(&committed.answer);
        return committed;
}

static struct commit commit_well(struct delivery *delivery, uint32_t cursor_uid)
{
        struct commit committed = commit(delivery, cursor_uid);

        ck_assert_msg(!committed.answer.failed, "%s", committed.answer.cause.text);
        return committed;
}

/* One message as a batch of its own. */
static struct commit deliver_one(const struct delivery_target *target, struct mailbox_entry entry,
                                 const char *text, bool reconcile)
{
        struct delivery *delivery = delivery_new(target);

        delivery_reconcile(delivery, reconcile);
        deliver(delivery, &entry, text);
        return commit_well(delivery, target->uidvalidity ? entry.uid : 0);
}

static size_t files_in(const char *part)
{
        char *path = text_of("%s/mail/in/%s", folder, part);
        int fd = open(path, O_RDONLY | O_DIRECTORY);
        struct maildir_listing listing = { 0 };
        size_t count = 0;

        if (fd >= 0) {
                ck_assert_int_eq(maildir_list(fd, false, &listing), 0);
                count = listing.count;
                close(fd);
        }
        maildir_listing_free(&listing);
        free(path);
        return count;
}

static void check_files(size_t in_new, size_t in_cur)
{
        ck_assert_uint_eq(files_in("new"), in_new);
        ck_assert_uint_eq(files_in("cur"), in_cur);
        ck_assert_uint_eq(files_in("tmp"), 0);
}

static void read_as_seen(const char *file)
{
        char *from = text_of("%s/mail/in/new/%s", folder, file),
             *to = text_of("%s/mail/in/cur/%s:2,S", folder, file);

        ck_assert_int_eq(rename(from, to), 0);
        free(from);
        free(to);
}

static void with_database(const char *sql)
{
        char *path = text_of("%s/station.db", folder);
        sqlite3 *handle;

        ck_assert_int_eq(sqlite3_open(path, &handle), SQLITE_OK);
        sqlite3_busy_timeout(handle, 5000);
        ck_assert_int_eq(sqlite3_exec(handle, sql, NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(handle);
        free(path);
}

static int64_t rows_of(const char *sql)
{
        scoped(scoped_free) char *path = text_of("%s/station.db", folder);
        sqlite3 *handle;
        sqlite3_stmt *rows;

        ck_assert_int_eq(sqlite3_open(path, &handle), SQLITE_OK);
        ck_assert_int_eq(sqlite3_prepare_v2(handle, sql, -1, &rows, NULL), SQLITE_OK);
        ck_assert_int_eq(sqlite3_step(rows), SQLITE_ROW);
        int64_t count = sqlite3_column_int64(rows, 0);
        sqlite3_finalize(rows);
        sqlite3_close(handle);
        return count;
}

/* Rows that know a message of that content. */
static int64_t rows_with_tag_of(const char *text, size_t len)
{
        uint8_t tag[CONTENT_TAG_SIZE];
        char hex[2 * CONTENT_TAG_SIZE + 1];

        content_tag_of(text, len, tag);
        hex_print(tag, SEEN_TAG, hex);
        scoped(scoped_free) char *sql = text_of("SELECT count(*) FROM seen WHERE digest = x'%s'", hex);
        return rows_of(sql);
}

struct list {
        struct answer answer;
        json_t *messages;
        int64_t total;
        char next[INBOX_PLACE_SIZE];
};

static void on_list(void *ctx, const struct inbox_page *page, const struct cause *cause)
{
        struct list *list = ctx;

        list->messages = page ? json_incref(page->messages) : NULL;
        list->total = page ? page->total : 0;
        (void)snprintf(list->next, sizeof list->next, "%s", page && page->more ? page->next : "");
        answered(&list->answer, cause);
}

static struct list listed(const char *after, size_t limit)
{
        struct list list = { 0 };
        struct inbox_place place;

        ck_assert(inbox_place(after, &place));
        inbox_list("in", &place, limit, on_list, &list);
        wait_well(&list.answer);
        return list;
}

static const char *subject_at(const struct list *list, size_t index)
{
        return json_string_value(json_object_get(json_array_get(list->messages, index), "subject"));
}

static const char *id_at(const struct list *list, size_t index)
{
        return json_string_value(json_object_get(json_array_get(list->messages, index), "id"));
}

/* ---- names ---- */

START_TEST(names)
{
        char a[MAILDIR_NAME_SIZE], b[MAILDIR_NAME_SIZE];
        const struct {
                const char *account, *box;
                uint32_t validity, uid;
                const char *uidl;
                int64_t generation;
        } sources[] = { { "in", "INBOX", 7, 1, "", 0 },    { "in", "INBOX", 7, 2, "", 0 },
                        { "in", "INBOX", 8, 1, "", 0 },    { "in", "../../etc/passwd", 7, 1, "", 0 },
                        { "other", "INBOX", 7, 1, "", 0 }, { "in", "", 0, 0, "/x:y", 0 },
                        { "in", "", 0, 0, "/x:y", 1 } };

        for (size_t i = 0; i < count_of(sources); i++) {
                maildir_name(sources[i].account, sources[i].box, sources[i].validity, sources[i].uid,
                             sources[i].uidl, sources[i].generation, a);
                ck_assert_uint_eq(strspn(a, "Uabcdefilmst0123456789.c"), strlen(a));
                ck_assert_int_eq(a[0], 'U');
                for (size_t k = 0; k < i; k++) {
                        maildir_name(sources[k].account, sources[k].box, sources[k].validity, sources[k].uid,
                                     sources[k].uidl, sources[k].generation, b);
                        ck_assert_str_ne(a, b);
                }
        }
        maildir_id("U1.emailsecd", a);
        maildir_id("U1.emailsecd:2,FS", b);
        ck_assert_str_eq(a, b);
        ck_assert_uint_eq(strlen(a), 12);
}
END_TEST

START_TEST(header_of_a_message)
{
        static const char text[] =
                "From: =?utf-8?q?x?= <a@b>\r\nSUBJECT: one\r\n\ttwo \r\nsubject: second\r\nDate:d\r\n"
                "Message-Id: <\x1b[31m@x>\r\nX-Y: z\r\n\r\nFrom: body\r\n";
        struct header_summary summary;

        header_summary_read(text, sizeof text - 1, &summary);
        ck_assert_str_eq(summary.from, "=?utf-8?q?x?= <a@b>");
        ck_assert_str_eq(summary.subject, "one two");
        ck_assert_str_eq(summary.date, "d");
        ck_assert_str_eq(summary.message_id, "<\\x1b[31m@x>");
        header_summary_free(&summary);
        for (size_t len = 0; len < sizeof text; len++) { /* cut anywhere */
                char *cut = copy_bytes(text, len);
                header_summary_read(cut, len, &summary);
                header_summary_free(&summary);
                free(cut);
        }
        char *longer = text_of("Subject: %*s\r\n", 5000, "x");
        memset(longer + 9, 'y', 5000);
        header_summary_read(longer, strlen(longer), &summary);
        ck_assert_uint_lt(strlen(summary.subject), HEADER_SUMMARY_SIZE);
        header_summary_free(&summary);
        free(longer);
}
END_TEST

/* ---- deliveries ---- */

static void on_opened(void *ctx, int fd, json_t *message, const struct cause *cause)
{
        struct answer *answer = ctx;

        (void)message;
        answer->count = (size_t)(fd + 1);
        answered(answer, cause);
}

static char *content_of(const char *file)
{
        char id[INBOX_ID_SIZE], *text = new_zeroed(1, 4 * 1024 * 1024);
        struct answer answer = { 0 };
        size_t len = 0;
        ssize_t got;

        maildir_id(file, id);
        inbox_open("in", id, on_opened, &answer);
        wait_well(&answer);
        int fd = (int)answer.count - 1;
        while ((got = read(fd, text + len, 65536)) > 0)
                len += (size_t)got;
        close(fd);
        return text;
}

START_TEST(one_message)
{
        struct commit done = deliver_one(&imap, uid_entry(5), "Subject: hello\r\n\r\nbody\r\n", false);

        ck_assert_uint_eq(done.count, 1);
        ck_assert_uint_eq(done.again, 0);
        ck_assert_str_eq(done.subject, "hello");
        ck_assert_int_eq(rows_with_tag_of("Subject: hello\r\n\r\nbody\r\n", 24), 1);
        check_files(1, 0);
        char *text = content_of(done.file[0]);
        ck_assert_str_eq(text, "Subject: hello\n\nbody\n");
        free(text);
        /* Fetched again by mistake: the row says so, even when the file has gone. */
        read_as_seen(done.file[0]);
        struct commit twice = deliver_one(&imap, uid_entry(5), "Subject: hello\r\n\r\nbody\r\n", false);
        ck_assert_uint_eq(twice.again, 1);
        ck_assert_str_eq(twice.file[0], done.file[0]);
        check_files(0, 1);
}
END_TEST

/* ---- line ends ---- */

static char *file_bytes(const char *path, size_t *len)
{
        struct buf bytes;
        struct cause cause = { 0 };

        ck_assert_msg(read_file(path, 8 * MIB, &bytes, &cause) == 1, "%s", cause.text);
        *len = bytes.len;
        return buf_take_text(&bytes);
}

/* Whether it is the message, by the mark in its row. */
static bool is_whole(const char *file, size_t file_len, const char *text, size_t len, int64_t line_ends)
{
        scoped(scoped_free) uint8_t *whole = new_zeroed(2, file_len + 1);

        if (line_ends != LINE_ENDS_LF)
                return file_len == len && memcmp(file, text, len) == 0;
        return line_ends_lengthen((const uint8_t *)file, file_len, whole) == len &&
               memcmp(whole, text, len) == 0;
}

static const char *const texts[] = {
        "",
        "\n",
        "\r",
        "\r\n",
        "a\r\n",
        "a\r\nb",
        "a\rb\r\n",
        "\r\r\n",
        "\r\r\r\n\r\n",
        "a\r\n\r",
        "a\r\n\rb\r\n",
        "a\nb\r\n",
        "a\r\nb\n",
        "a\r\n\n",
        "\n\n\n",
        "a\r\nb\r\nc\nd\r\ne\r",
        "\r\n\r\n\r\nx\n\r\n",
        "no end",
        "Subject: x\r\n\r\n.\r\n..\r\n",
};

/* Each text behind a piece of its own, cut at each place: both parts are written by themselves. The tag is
 * that of what came. BEFORE: what a piece has to have to be worked on, and less than it takes. */
START_TEST(each_message_is_whole)
{
        enum { BEFORE = 128 * KIB };
        scoped(scoped_free) char *text = new_zeroed(1, BEFORE + 100);
        size_t len = BEFORE + strlen(texts[_i]);
        struct delivery *delivery = delivery_new(&imap);
        bool bare = false;

        memset(text, 'x', BEFORE);
        memcpy(text + BEFORE, texts[_i], len - BEFORE);
        for (const char *lf = text; (lf = strchr(lf, '\n')); lf++)
                bare |= lf[-1] != '\r';
        for (size_t cut = BEFORE; cut <= len; cut++) {
                struct mailbox_entry entry = uid_entry((uint32_t)(cut - BEFORE + 1));
                ck_assert_int_eq(delivery_begin(delivery, &entry, NULL), 0);
                ck_assert_int_eq(delivery_piece(delivery, (const uint8_t *)text, cut, NULL), 0);
                while (delivery_backlog(delivery))
                        loop_turn();
                ck_assert_int_eq(delivery_piece(delivery, (const uint8_t *)text + cut, len - cut, NULL), 0);
                ck_assert_int_eq(delivery_end(delivery, NULL), 0);
        }
        struct commit done = commit_well(delivery, 1);
        ck_assert_int_eq(rows_with_tag_of(text, len), (int64_t)(len - BEFORE + 1));
        check_files(len - BEFORE + 1, 0);
        for (size_t i = 0; i < done.count && i < count_of(done.file); i++) {
                scoped(scoped_free) char *path = text_of("%s/mail/in/new/%s", folder, done.file[i]);
                scoped(scoped_free) char *sql =
                        text_of("SELECT line_ends FROM inbox WHERE file = '%s'", done.file[i]);
                size_t file_len;
                scoped(scoped_free) char *file = file_bytes(path, &file_len);
                int64_t mark = rows_of(sql);
                ck_assert_int_eq(mark, bare ? LINE_ENDS_AS_CAME : LINE_ENDS_LF);
                ck_assert_msg(is_whole(file, file_len, text, len, mark), "%d cut at %zu", _i, i);
        }
}
END_TEST

/* Shorten in all cuts, without a disk; with NUL and every byte. */
START_TEST(line_ends_there_and_back)
{
        uint8_t text[2000], piece[2000], lf[2000], whole[4000];

        srand(5);
        for (int round = 0; round < 3000; round++) {
                size_t len = (size_t)rand() % 40, at = 0, lf_len = 0, taken;
                bool cr = false, stopped = false;
                for (size_t i = 0; i < len; i++)
                        text[i] = (uint8_t)("\r\n\0ab\r\n"[rand() % 7]);
                while (at < len && !stopped) {
                        size_t part = 1 + (size_t)rand() % (len - at);
                        memcpy(piece, text + at, part);
                        if (cr && piece[0] != '\n') {
                                lf[lf_len++] = '\r';
                                cr = false;
                        }
                        size_t kept = line_ends_shorten(piece, part, &cr, &taken);
                        memcpy(lf + lf_len, piece, kept);
                        lf_len += kept;
                        stopped = taken < part;
                        at += taken;
                        ck_assert(!stopped || (text[at] == '\n' && (at == 0 || text[at - 1] != '\r')));
                }
                if (cr)
                        lf[lf_len++] = '\r';
                ck_assert_uint_eq(line_ends_lengthen(lf, lf_len, whole), at);
                ck_assert_mem_eq(whole, text, at);
        }
}
END_TEST

/* As an earlier version left it. */
static void with_crlf(uint32_t count)
{
        struct delivery *delivery = delivery_new(&imap);

        for (uint32_t uid = 1; uid <= count; uid++) {
                struct mailbox_entry entry = uid_entry(uid);
                scoped(scoped_free) char *text =
                        text_of("Subject: %u\r\n\r\na\rb\r\r\n%s\r\n", uid, uid % 10 == 3 ? "bare\nLF" : "");
                deliver(delivery, &entry, text);
        }
        struct commit done = commit_well(delivery, count);
        ck_assert_uint_eq(done.count, count);
        reclose();
        with_database("UPDATE inbox SET line_ends = 0;"
                      "INSERT OR REPLACE INTO meta (name, value) SELECT 'crlfTo', max(seq) FROM inbox;"
                      "DELETE FROM meta WHERE name = 'crlfAt'");
        for (int in_cur = 0; in_cur < 2; in_cur++) {
                scoped(scoped_free) char *place = text_of("%s/mail/in/%s", folder, in_cur ? "cur" : "new");
                struct maildir_listing listing = { 0 };
                int fd = open(place, O_RDONLY | O_DIRECTORY);
                ck_assert_int_eq(maildir_list(fd, true, &listing), 0);
                close(fd);
                for (size_t i = 0; i < listing.count; i++) {
                        scoped(scoped_free) char *path = text_of("%s/%s", place, listing.files[i].name);
                        size_t len;
                        scoped(scoped_free) char *file = file_bytes(path, &len);
                        scoped(scoped_free) uint8_t *whole = new_zeroed(2, len + 1);
                        struct timespec times[2] = { { .tv_sec = 1234567 }, { .tv_sec = 1234567 } };
                        if (!strstr(file, "bare"))
                                len = line_ends_lengthen((const uint8_t *)file, len, whole);
                        else
                                memcpy(whole, file, len);
                        ck_assert_int_eq(replace_file(path, whole, len, NULL), 0);
                        ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
                        if (i % 4 == 1) { /* a mail reader has been there */
                                scoped(scoped_free) char *to =
                                        text_of("%s/mail/in/cur/%s:2,S", folder, listing.files[i].name);
                                ck_assert_int_eq(rename(path, to), 0);
                        }
                }
                maildir_listing_free(&listing);
                if (in_cur == 0 && files_in("cur"))
                        break;
        }
}

static void check_migrated(size_t count)
{
        size_t seen = 0;

        for (int in_cur = 0; in_cur < 2; in_cur++) {
                scoped(scoped_free) char *place = text_of("%s/mail/in/%s", folder, in_cur ? "cur" : "new");
                struct maildir_listing listing = { 0 };
                int fd = open(place, O_RDONLY | O_DIRECTORY);
                ck_assert_int_eq(maildir_list(fd, true, &listing), 0);
                close(fd);
                for (size_t i = 0; i < listing.count; i++, seen++) {
                        scoped(scoped_free) char *path = text_of("%s/%s", place, listing.files[i].name);
                        size_t len;
                        struct stat st;
                        scoped(scoped_free) char *file = file_bytes(path, &len);
                        unsigned number = (unsigned)strtoul(file + 9, NULL, 10);
                        bool bare = number % 10 == 3;
                        scoped(scoped_free) char *want =
                                text_of(bare ? "Subject: %u\r\n\r\na\rb\r\r\nbare\nLF\r\n"
                                             : "Subject: %u\n\na\rb\r\n\n",
                                        number);
                        ck_assert_str_eq(file, want);
                        ck_assert_int_eq(stat(path, &st), 0);
                        ck_assert_int_eq(st.st_mtime, 1234567);
                        scoped(scoped_free) char *sql =
                                text_of("SELECT line_ends FROM inbox WHERE subject = '%u'", number);
                        ck_assert_int_eq(rows_of(sql), bare ? LINE_ENDS_AS_CAME : LINE_ENDS_LF);
                }
                maildir_listing_free(&listing);
        }
        ck_assert_uint_eq(seen, count);
        ck_assert_uint_eq(files_in("tmp"), 0);
}

static bool is_migrated(void)
{
        return rows_of("SELECT count(*) FROM meta WHERE name = 'crlfTo'") == 0;
}

static void await_migrated(void)
{
        while (!is_migrated())
                loop_turn();
}

START_TEST(mail_of_an_earlier_version)
{
        with_crlf(250);
        reopen();
        await_migrated();
        check_migrated(250);
        /* known as before */
        ck_assert_uint_eq(deliver_one(&imap, uid_entry(7), "Subject: 7\r\n\r\na\rb\r\r\n\r\n", false).again,
                          1);
}
END_TEST

static atomic_int calls_left;

static void one_call_less(void)
{
        if (atomic_fetch_sub(&calls_left, 1) == 0)
                (void)raise(SIGKILL);
}

static ssize_t last_write(int fd, const void *bytes, size_t len)
{
        one_call_less();
        return disk_real_calls()->write(fd, bytes, len);
}

static int last_sync_data(int fd)
{
        one_call_less();
        return disk_real_calls()->sync_data(fd);
}

static int last_rename(int from_folder, const char *from, int to_folder, const char *to, unsigned flags)
{
        one_call_less();
        return disk_real_calls()->rename(from_folder, from, to_folder, to, flags);
}

static int last_sync(int fd)
{
        one_call_less();
        return disk_real_calls()->sync(fd);
}

static int last_unlink(int at, const char *name)
{
        one_call_less();
        return disk_real_calls()->unlink(at, name);
}

static int no_sync_all(unused_arg int fd)
{
        return 0;
}

/* A kill at the n-th call to the disk, again and again. */
START_TEST(mail_of_an_earlier_version_and_kill)
{
        const struct disk_calls calls = { last_write,  last_sync,   last_sync_data,         no_sync_all,
                                          last_rename, last_unlink, disk_real_calls()->link };
        int status = 0;

        with_crlf(250);
        srand(7);
        for (int round = 0; round < 60 && !is_migrated(); round++) {
                pid_t child = fork();
                if (child == 0) {
                        atomic_store(&calls_left, rand() % (round < 20 ? 60 : 700));
                        disk_use(&calls);
                        reopen();
                        await_migrated();
                        _exit(0);
                }
                (void)rand();
                ck_assert_int_eq(waitpid(child, &status, 0), child);
                ck_assert_uint_eq(files_in("new") + files_in("cur"), 250);
        }
        reopen();
        await_migrated();
        maildir_sweep("in");
        reclose();
        check_migrated(250);
        reopen();
}
END_TEST

static atomic_bool full;

/* The database and other small files do without it. */
static int full_sync_data(int fd)
{
        if (atomic_load(&full)) {
                errno = ENOSPC;
                return -1;
        }
        return disk_real_calls()->sync_data(fd);
}

/* The disk is full: all stays as it is, and is gone on with. */
START_TEST(mail_of_an_earlier_version_and_a_full_disk)
{
        struct disk_calls calls = *disk_real_calls();

        calls.sync_data = full_sync_data;
        with_crlf(20);
        atomic_store(&full, true);
        disk_use(&calls);
        reopen();
        json_decref(listed(NULL, 5).messages);
        atomic_store(&full, false);
        reclose();
        ck_assert(!is_migrated());
        reopen();
        await_migrated();
        disk_use(NULL);
        check_migrated(20);
}
END_TEST

START_TEST(large_and_small_in_one_batch)
{
        struct delivery *delivery = delivery_new(&imap);
        struct mailbox_entry entry = uid_entry(1);
        size_t size = 3 * 1024 * 1024 + 17;
        char *large = new_zeroed(1, size + 1);

        for (size_t i = 0; i < size; i++)
                large[i] = (char)('a' + i % 23);
        ck_assert_int_eq(delivery_begin(delivery, &entry, NULL), 0);
        for (size_t at = 0; at < size; at += 10000)
                ck_assert_int_eq(delivery_piece(delivery, (uint8_t *)large + at,
                                                size - at < 10000 ? size - at : 10000, NULL),
                                 0);
        ck_assert_uint_gt(delivery_backlog(delivery), 0);
        ck_assert_int_eq(delivery_end(delivery, NULL), 0);
        for (uint32_t uid = 2; uid < 500; uid++) {
                entry = uid_entry(uid);
                deliver(delivery, &entry, "Subject: s\r\n\r\n");
        }
        entry = uid_entry(1000); /* cut off in the middle */
        ck_assert_int_eq(delivery_begin(delivery, &entry, NULL), 0);
        ck_assert_int_eq(delivery_piece(delivery, (const uint8_t *)"half", 4, NULL), 0);
        delivery_cancel_message(delivery);
        ck_assert_uint_eq(delivery_messages(delivery), 499);
        struct commit done = commit_well(delivery, 499);
        ck_assert_uint_eq(done.count, 499);
        check_files(499, 0);
        char *text = content_of(done.file[0]);
        ck_assert_uint_eq(strlen(text), size);
        ck_assert_mem_eq(text, large, size);
        free(text);
        free(large);
}
END_TEST

START_TEST(empty_batch_moves_the_cursor)
{
        ck_assert_uint_eq(commit_well(delivery_new(&imap), 0).count, 0);
        ck_assert_uint_eq(commit_well(delivery_new(&imap), 12).count, 0);
        with_database("CREATE TEMP TABLE t (uid INTEGER NOT NULL);"
                      "INSERT INTO t SELECT (SELECT uid FROM cursor WHERE uid = 12)");
}
END_TEST

/* The connection is cut in the middle of a message: the batch commits what is whole, the rest leaves no
 * trace, and is fetched again as if it had never begun. */
START_TEST(committed_in_the_middle_of_a_message)
{
        struct mailbox_entry entries[] = { uid_entry(1), uid_entry(2), uid_entry(3) };
        struct delivery *delivery = delivery_new(&imap);
        char *large = new_zeroed(1, 600000);

        memset(large, 'x', 600000);
        deliver(delivery, &entries[0], "Subject: whole\r\n\r\n");
        ck_assert_int_eq(delivery_begin(delivery, &entries[1], NULL), 0);
        ck_assert_int_eq(delivery_piece(delivery, (uint8_t *)large, 600000, NULL), 0);
        struct commit cut = commit_well(delivery, 1);
        ck_assert_uint_eq(cut.count, 1);
        check_files(1, 0);
        /* Cut before its first byte, and given up for another one. */
        delivery = delivery_new(&imap);
        ck_assert_int_eq(delivery_begin(delivery, &entries[1], NULL), 0);
        ck_assert_int_eq(delivery_begin(delivery, &entries[1], NULL), 0);
        ck_assert_int_eq(delivery_piece(delivery, (const uint8_t *)"Subject: again\r\n\r\n", 18, NULL), 0);
        ck_assert_int_eq(delivery_end(delivery, NULL), 0);
        ck_assert_int_eq(delivery_begin(delivery, &entries[2], NULL), 0);
        struct commit again = commit_well(delivery, 2);
        ck_assert_uint_eq(again.count, 1);
        ck_assert_str_eq(again.subject, "again");
        check_files(2, 0);
        free(large);
}
END_TEST

START_TEST(abandoned_without_trace)
{
        struct delivery *delivery = delivery_new(&imap);
        struct mailbox_entry entry = uid_entry(1);
        char *large = new_zeroed(1, 2 * 1024 * 1024);

        ck_assert_int_eq(delivery_begin(delivery, &entry, NULL), 0);
        ck_assert_int_eq(delivery_piece(delivery, (uint8_t *)large, 2 * 1024 * 1024, NULL), 0);
        delivery_abandon(delivery);
        delivery_abandon(NULL);
        delivery_abandon(delivery_new(&imap));
        reclose();
        check_files(0, 0);
        reopen();
        free(large);
}
END_TEST

/* ---- fetched again ---- */

/* The database forgets the batch, as after a crash between rename and commit; files may have been moved. */
START_TEST(again_after_a_crash_before_the_commit)
{
        struct delivery *delivery = delivery_new(&imap);
        struct mailbox_entry entries[] = { uid_entry(1), uid_entry(2), uid_entry(3), uid_entry(4) };

        for (int i = 0; i < 2; i++)
                deliver(delivery, &entries[i], "Subject: s\r\n\r\n");
        struct commit first = commit_well(delivery, 2);
        reclose();
        with_database("DELETE FROM seen; DELETE FROM inbox; DELETE FROM cursor");
        read_as_seen(first.file[1]);
        reopen();
        delivery = delivery_new(&imap);
        deliver(delivery, &entries[0], "Subject: s\r\n\r\n");
        /* The file is there and no row: nobody was told of it yet. */
        ck_assert_uint_eq(commit_well(delivery, 1).again, 0);
        delivery = delivery_new(&imap);
        for (int i = 1; i < 4; i++)
                deliver(delivery, &entries[i], "Subject: s\r\n\r\n");
        struct commit done = commit_well(delivery, 4);
        ck_assert_uint_eq(done.again, 0);
        check_files(3, 1);
        ck_assert(maildir_is_certain("in", "INBOX"));
        forget_account("in");
        ck_assert(!maildir_is_certain("in", "INBOX"));
}
END_TEST

static void take_it(void *ctx, struct delivery *delivery, const struct given *given)
{
        close(given->fd);
        (*(unsigned *)ctx)++;
        delivery_handed(delivery, HANDED_ON, NULL);
}

/* The same, and the account files otherwise, or hands on, before it is fetched again: what was placed stays
 * where it is, and nobody is given it as well. */
START_TEST(again_after_a_crash_by_other_rules)
{
        struct delivery_target target = imap;
        struct delivery *delivery = delivery_new(&imap);
        unsigned given = 0;

        for (uint32_t i = 1; i < 3; i++) {
                struct mailbox_entry entry = uid_entry(i);
                deliver(delivery, &entry, "Subject: s\r\n\r\n");
        }
        struct commit first = commit_well(delivery, 2);
        reclose();
        with_database("DELETE FROM seen; DELETE FROM inbox; DELETE FROM cursor");
        read_as_seen(first.file[1]);
        reopen();
        if (_i == 0)
                target.file_into = "subject s Other";
        else
                target.give = take_it;
        target.give_ctx = &given;
        delivery = delivery_new(&target);
        for (uint32_t i = 1; i < 4; i++) {
                struct mailbox_entry entry = uid_entry(i);
                deliver(delivery, &entry, i < 3 ? "Subject: s\r\n\r\n" : "Subject: t\r\n\r\n");
        }
        ck_assert_uint_eq(commit_well(delivery, 3).again, 0);
        ck_assert_uint_eq(given, _i == 0 ? 0 : 1);
        check_files(_i == 0 ? 2 : 1, 1);
        ck_assert_int_eq(rows_of("SELECT count(*) FROM seen"), 3);
        ck_assert_int_eq(rows_of("SELECT count(*) FROM inbox WHERE box = ''"), _i == 0 ? 3 : 2);
        ck_assert(maildir_is_certain("in", "INBOX"));
}
END_TEST

/* The same, and the server has numbered the folder anew before it is fetched again: no name is as it was. */
START_TEST(again_after_a_crash_and_numbered_anew)
{
        static const char *const contents[] = { "Subject: one\r\n\r\nfirst\r\n",
                                                "Subject: two\r\n\r\nlone \n in it\r\n",
                                                "Subject: three\r\n\r\n" };
        struct delivery_target renumbered = imap;
        struct delivery *delivery = delivery_new(&imap);

        for (uint32_t i = 0; i < 2; i++) {
                struct mailbox_entry entry = uid_entry(i + 1);
                deliver(delivery, &entry, contents[i]);
        }
        struct commit first = commit_well(delivery, 2);
        reclose();
        with_database("DELETE FROM seen; DELETE FROM inbox; DELETE FROM cursor");
        read_as_seen(first.file[1]);
        reopen();
        renumbered.uidvalidity = imap.uidvalidity + 1;
        renumbered.unrecorded = unrecorded_new(); /* of all batches of the look */
        ck_assert_uint_eq(deliver_one(&renumbered, uid_entry(11), contents[2], true).again, 0);
        ck_assert(renumbered.unrecorded->read && renumbered.unrecorded->count == 2);
        delivery = delivery_new(&renumbered);
        delivery_reconcile(delivery, true);
        for (uint32_t i = 1; i < 3; i++) {
                struct mailbox_entry entry = uid_entry(11 + i);
                deliver(delivery, &entry, contents[2 - i]);
        }
        ck_assert_uint_eq(commit_well(delivery, 13).again, 0); /* nobody was told of them yet */
        unrecorded_free(take(renumbered.unrecorded));
        check_files(2, 1);
        ck_assert(!maildir_is_certain("in", "INBOX"));
        ck_assert_uint_eq(deliver_one(&renumbered, uid_entry(12), contents[1], true).again, 1);
        check_files(2, 1);
}
END_TEST

/* What an earlier version left: rows have SHA-256, and there is no key. */
static void as_before_tags(const char *const contents[], size_t count)
{
        reclose();
        for (size_t i = 0; i < count; i++) {
                uint8_t digest[32];
                char hex[65];
                sha256_of(contents[i], strlen(contents[i]), digest);
                hex_print(digest, SEEN_SHA256, hex);
                scoped(scoped_free) char *sql = text_of(
                        "UPDATE seen SET digest = x'%s' WHERE uid = %zu OR uidl = 'u%zu'", hex, i + 1, i + 1);
                with_database(sql);
        }
        scoped(scoped_free) char *version = undo_to_before_tags();
        with_database(version);
        reopen();
}

/* What an earlier version received is known again, once each, with LF, as it came and by its header alone;
 * what comes then has a tag, as what comes to a folder that was not there before. */
START_TEST(numbered_anew_after_an_upgrade)
{
        static const char *const contents[] = { "Subject: one\r\n\r\nfirst\r\n",
                                                "Subject: two\r\n\r\nlone \n in it\r\n",
                                                "Subject: a note\r\n\r\nUID 3\r\n" };
        const char *const heads[] = { contents[0], contents[1], "Subject: a note" };
        struct delivery_target renumbered = imap;
        struct mailbox_entry note = uid_entry(3);

        note.left = true;
        deliver_one(&imap, uid_entry(1), contents[0], false);
        deliver_one(&imap, uid_entry(2), contents[1], false);
        deliver_one(&imap, note, contents[2], false);
        as_before_tags(heads, 3);
        ck_assert_int_eq(rows_of("SELECT count(*) FROM seen WHERE length(digest) = 16"), 3);
        renumbered.uidvalidity = imap.uidvalidity + 1;
        note.uid = 13;
        ck_assert_uint_eq(deliver_one(&renumbered, uid_entry(11), contents[0], true).again, 1);
        ck_assert_uint_eq(deliver_one(&renumbered, uid_entry(12), contents[1], true).again, 1);
        ck_assert_uint_eq(deliver_one(&renumbered, note, "Subject: a note\r\n\r\nUID 13\r\n", true).again, 1);
        ck_assert_uint_eq(deliver_one(&renumbered, uid_entry(14), "Subject: new\r\n\r\n", true).again, 0);
        check_files(4, 0);
        ck_assert_int_eq(rows_of("SELECT count(*) FROM seen WHERE length(digest) = 15"), 4);
        /* and once more, now by the tag */
        with_database("DELETE FROM seen WHERE length(digest) = 16");
        renumbered.uidvalidity++;
        ck_assert_uint_eq(deliver_one(&renumbered, uid_entry(21), contents[0], true).again, 1);
        ck_assert_uint_eq(deliver_one(&renumbered, uid_entry(22), contents[1], true).again, 1);
        check_files(4, 0);
        ck_assert_int_eq(rows_of("SELECT sha256 FROM place WHERE folder = 'INBOX'"), 1);
        deliver_one(&pop3, uidl_entry("u1"), contents[0], false);
        ck_assert_int_eq(rows_of("SELECT sha256 FROM place WHERE folder = ''"), 0);
}
END_TEST

/* A server that gives one UIDL to two messages, over an upgrade. */
START_TEST(same_uidl_after_an_upgrade)
{
        static const char *const contents[] = { "Subject: one\r\n\r\n" };

        deliver_one(&pop3, uidl_entry("u1"), contents[0], false);
        as_before_tags(contents, 1);
        ck_assert_uint_eq(deliver_one(&pop3, uidl_entry("u1"), contents[0], false).again, 1);
        ck_assert_uint_eq(deliver_one(&pop3, uidl_entry("u1"), "Subject: two\r\n\r\n", false).again, 0);
        ck_assert_uint_eq(deliver_one(&pop3, uidl_entry("u1"), "Subject: two\r\n\r\n", false).again, 1);
        check_files(2, 0);
}
END_TEST

/* A session broke over it while the folder was compared; when it comes by itself the folder is no longer. */
START_TEST(outstanding_when_the_folder_was_numbered_anew)
{
        struct delivery_target renumbered = imap;
        struct mailbox_entry entry = uid_entry(7);

        deliver_one(&imap, uid_entry(1), "Subject: one\r\n\r\nfirst\r\n", false);
        renumbered.uidvalidity = imap.uidvalidity + 1;
        entry.missing = true;
        ck_assert_uint_eq(deliver_one(&renumbered, entry, "Subject: one\r\n\r\nfirst\r\n", false).again, 1);
        check_files(1, 0);
        entry.uid = 8;
        ck_assert_uint_eq(deliver_one(&renumbered, entry, "Subject: two\r\n\r\n", false).again, 0);
        check_files(2, 0);
}
END_TEST

START_TEST(nothing_is_begun_within_the_reserve)
{
        struct mailbox_entry entry = uid_entry(5);
        struct cause cause = { 0 };

        reserve_set(INT64_C(1) << 50);
        while (!reserve_fault())
                loop_turn();
        struct delivery *delivery = delivery_new(&imap);
        ck_assert_int_eq(delivery_begin(delivery, &entry, &cause), -1);
        ck_assert_int_eq((int)cause.code, CAUSE_STORAGE);
        ck_assert_ptr_nonnull(strstr(cause.text, "DiskReserve"));
        reserve_set(0);
        while (reserve_fault())
                loop_turn();
        ck_assert_int_eq(delivery_begin(delivery, &entry, &cause), 0);
        delivery_abandon(delivery);
}
END_TEST

START_TEST(new_uidvalidity)
{
        struct delivery_target renewed = imap;
        struct commit old = deliver_one(&imap, uid_entry(5), "Subject: same\r\n\r\n", false);

        renewed.uidvalidity = 8;
        struct commit same = deliver_one(&renewed, uid_entry(1), "Subject: same\r\n\r\n", true);
        ck_assert_uint_eq(same.again, 1);
        ck_assert_str_eq(same.file[0], old.file[0]);
        struct commit fresh = deliver_one(&renewed, uid_entry(2), "Subject: other\r\n\r\n", true);
        ck_assert_uint_eq(fresh.again, 0);
        check_files(2, 0);
        /* And it is known by its new UID from now on. */
        ck_assert_uint_eq(deliver_one(&renewed, uid_entry(1), "Subject: same\r\n\r\n", false).again, 1);
        check_files(2, 0);
}
END_TEST

static void on_pruned(unused_arg void *ctx, unused_arg enum uidls_gone gone,
                      unused_arg const struct cause *cause)
{
}

START_TEST(uidl_used_again)
{
        struct mailbox_entry entry = uidl_entry("x1");
        struct uidl_set none = { 0 };

        ck_assert_uint_eq(deliver_one(&pop3, entry, "Subject: a\r\n\r\n", false).again, 0);
        ck_assert_uint_eq(deliver_one(&pop3, entry, "Subject: a\r\n\r\n", false).again, 1);
        fetched_prune_uidls("in", &none, false, on_pruned, NULL); /* it went from the server */
        reclose();
        uidl_set_clear(&none);
        reopen();
        ck_assert_uint_eq(deliver_one(&pop3, entry, "Subject: a\r\n\r\n", false).again, 0);
        check_files(2, 0);
}
END_TEST

static void on_list_pruned(void *ctx, enum uidls_gone gone, const struct cause *cause)
{
        ck_assert(gone != NONE_GONE);
        answered(ctx, cause);
}

/* The server lists these now. */
static void prune_to(const char *uidl)
{
        struct answer answer = { 0 };
        struct uidl_set set = { 0 };

        if (uidl)
                uidl_set_add(&set, uidl);
        fetched_prune_uidls("in", &set, false, on_list_pruned, &answer);
        wait_well(&answer);
        uidl_set_clear(&set);
}

static void on_noted(void *ctx, unused_arg const struct missing *messages, size_t count,
                     const struct cause *cause)
{
        ck_assert_uint_eq(count, 1);
        answered(ctx, cause);
}

static void not_had(const char *uidl)
{
        struct missing one = { .entry = uidl_entry(uidl), .state = MISSING_SUSPECTED };
        struct answer answer = { 0 };

        missing_note("in", "", 0, &one, 1, on_noted, &answer);
        wait_well(&answer);
}

static void look_over(void)
{
        struct answer answer = { 0 };

        fetched_look_over("in");
        fetched_skip_uidls("in", NULL, 0, false, answered, &answer);
        wait_well(&answer);
}

/* A mailbox is numbered anew, and the session breaks over one of its messages, which is asked for once more
 * when the others have come. */
START_TEST(numbered_anew_and_missing)
{
        struct mailbox_entry late = uidl_entry("y1");

        late.missing = true;
        ck_assert_uint_eq(deliver_one(&pop3, uidl_entry("x1"), "Subject: a\r\n\r\n", false).again, 0);
        prune_to("y1");
        not_had("y1");
        look_over();
        ck_assert_uint_eq(deliver_one(&pop3, late, "Subject: a\r\n\r\n", true).again, 1);
        check_files(1, 0);
        /* Nothing is missing now. */
        look_over();
        ck_assert_uint_eq(deliver_one(&pop3, uidl_entry("z1"), "Subject: a\r\n\r\n", true).again, 0);
        check_files(2, 0);
}
END_TEST

/* As of a server that shows an empty mailbox for a while. */
START_TEST(gone_and_here_again)
{
        struct delivery_target keeps = { .account = "in", .folder = "", .again_is_known = true };

        ck_assert_uint_eq(deliver_one(&pop3, uidl_entry("x1"), "Subject: a\r\n\r\n", false).again, 0);
        prune_to(NULL);
        look_over();
        ck_assert_uint_eq(deliver_one(&keeps, uidl_entry("x2"), "Subject: a\r\n\r\n", false).again, 0);
        ck_assert_uint_eq(deliver_one(&keeps, uidl_entry("x1"), "Subject: a\r\n\r\n", false).again, 1);
        check_files(2, 0);
        prune_to("x2");
        look_over();
        ck_assert_uint_eq(deliver_one(&keeps, uidl_entry("x1"), "Subject: b\r\n\r\n", false).again, 0);
        check_files(3, 0);
}
END_TEST

/* Of an account that deletes x1 and x2 hold the same: x1 is of before it did, and x2 it was to delete, of
 * which the server said nothing. Of three that look like them one is x1, also where they come in one batch.
 */
START_TEST(left_and_numbered_anew)
{
        struct delivery_target deletes = {
                .account = "in", .folder = "", .tell_server = true, .again_is_known = true, .deletes = true
        };
        struct delivery_target keeps = { .account = "in", .folder = "", .again_is_known = true };
        struct mailbox_entry entries[] = { uidl_entry("x1"), uidl_entry("x2"), uidl_entry("y1"),
                                           uidl_entry("y2"), uidl_entry("y3") };
        struct delivery *delivery = NULL;

        deliver_one(&keeps, entries[0], "Subject: a\r\n\r\n", false);
        deliver_one(&deletes, entries[1], "Subject: a\r\n\r\n", false);
        prune_to("y1");
        delivery = delivery_new(&deletes);
        delivery_reconcile(delivery, true);
        for (size_t i = 2; i < 5; i++)
                deliver(delivery, &entries[i], "Subject: a\r\n\r\n");
        ck_assert_uint_eq(commit_well(delivery, 0).again, 1);
        check_files(4, 0);
        look_over();
        /* Not answered, and gone for longer than one look: another one, whatever its UIDL. */
        ck_assert_uint_eq(deliver_one(&deletes, entries[1], "Subject: a\r\n\r\n", false).again, 0);
        check_files(5, 0);
}
END_TEST

/* Numbered anew while the policy keeps, and back again when it deletes: both rows of the one message stand
 * for it, and for no other one that looks the same. */
START_TEST(left_and_numbered_back)
{
        struct delivery_target deletes = {
                .account = "in", .folder = "", .tell_server = true, .again_is_known = true, .deletes = true
        };
        struct delivery_target keeps = { .account = "in", .folder = "", .again_is_known = true };

        deliver_one(&keeps, uidl_entry("x1"), "Subject: a\r\n\r\n", false);
        prune_to("y1");
        ck_assert_uint_eq(deliver_one(&keeps, uidl_entry("y1"), "Subject: a\r\n\r\n", true).again, 1);
        look_over();
        prune_to("x1");
        ck_assert_uint_eq(deliver_one(&deletes, uidl_entry("x1"), "Subject: a\r\n\r\n", true).again, 1);
        ck_assert_uint_eq(deliver_one(&deletes, uidl_entry("z1"), "Subject: a\r\n\r\n", true).again, 0);
        check_files(2, 0);
        look_over();
        prune_to("z1"); /* x1 was deleted */
        ck_assert_uint_eq(deliver_one(&deletes, uidl_entry("x1"), "Subject: a\r\n\r\n", false).again, 0);
        check_files(3, 0);
}
END_TEST

START_TEST(uidl_twice_in_one_batch)
{
        struct delivery *delivery = delivery_new(&pop3);
        struct mailbox_entry entry = uidl_entry("twin");

        deliver(delivery, &entry, "Subject: a\r\n\r\n");
        deliver(delivery, &entry, "Subject: a\r\n\r\n");
        deliver(delivery, &entry, "Subject: b\r\n\r\n");
        struct commit done = commit_well(delivery, 0);
        ck_assert_uint_eq(done.count, 3);
        ck_assert_uint_eq(done.again, 1);
        check_files(2, 0);
}
END_TEST

/* ---- a disk that fails ---- */

static atomic_int failing; /* 0 write, 1 sync of a file, 2 rename, 3 sync of the folder */

static ssize_t bad_write(int fd, const void *bytes, size_t len)
{
        if (failing == 0) {
                errno = ENOSPC;
                return -1;
        }
        return disk_real_calls()->write(fd, bytes, len > 5 ? 5 : len);
}

static int bad_sync_data(int fd)
{
        errno = EIO;
        return failing == 1 ? -1 : disk_real_calls()->sync_data(fd);
}

static int bad_rename(int from_folder, const char *from, int to_folder, const char *to, unsigned flags)
{
        errno = EROFS;
        return failing == 2 ? -1 : disk_real_calls()->rename(from_folder, from, to_folder, to, flags);
}

static int bad_sync(int fd)
{
        errno = EIO;
        return failing == 3 ? -1 : disk_real_calls()->sync(fd);
}

START_TEST(disk_fails)
{
        struct disk_calls calls = { bad_write,
                                    bad_sync,
                                    bad_sync_data,
                                    no_sync_all,
                                    bad_rename,
                                    disk_real_calls()->unlink,
                                    disk_real_calls()->link };
        struct delivery *delivery = delivery_new(&imap);
        struct mailbox_entry entries[] = { uid_entry(1), uid_entry(2), uid_entry(3) };

        deliver_one(&pop3, uidl_entry("makes the folders"), "x\r\n", false);
        failing = _i;
        disk_use(&calls);
        for (int i = 0; i < 3; i++)
                deliver(delivery, &entries[i], "Subject: s\r\n\r\n");
        struct commit done = commit(delivery, 3);
        disk_use(NULL);
        ck_assert_int_eq((int)done.answer.cause.code, CAUSE_STORAGE);
        check_files(failing == 3 ? 4 : 1, 0);
        /* Fetched again: all there, once. */
        delivery = delivery_new(&imap);
        for (int i = 0; i < 3; i++)
                deliver(delivery, &entries[i], "Subject: s\r\n\r\n");
        commit_well(delivery, 3);
        check_files(4, 0);
}
END_TEST

static atomic_int all_synced, each_synced, all_is;

static int sync_all_is(unused_arg int fd)
{
        atomic_fetch_add(&all_synced, 1);
        errno = EIO;
        return atomic_load(&all_is);
}

static int sync_of_each(int fd)
{
        atomic_fetch_add(&each_synced, 1);
        return disk_real_calls()->sync_data(fd);
}

static struct commit commit_many(uint32_t count)
{
        struct delivery *delivery = delivery_new(&imap);

        for (uint32_t i = 1; i <= count; i++) {
                struct mailbox_entry entry = uid_entry(i);
                deliver(delivery, &entry, "Subject: s\r\n\r\n");
        }
        return commit(delivery, count);
}

/* By one call where that can be had, without placing a file that it may have failed for; after a failure, one
 * by one. */
START_TEST(many_files_are_synced_at_once)
{
        static const int outcomes[] = { 1, 0, -1 };
        struct disk_calls calls = *disk_real_calls();

        calls.sync_all = sync_all_is;
        calls.sync_data = sync_of_each;
        atomic_store(&all_is, outcomes[_i]);
        disk_use(&calls);
        struct commit done = commit_many(40);
        ck_assert_int_eq(atomic_load(&all_synced), 1);
        if (outcomes[_i] < 0) {
                ck_assert_int_eq((int)done.answer.cause.code, CAUSE_STORAGE);
                ck_assert_int_eq(atomic_load(&each_synced), 0);
                check_files(0, 0);
                done = commit_many(40);
                ck_assert_int_eq(atomic_load(&all_synced), 1);
        }
        disk_use(NULL);
        ck_assert_int_eq((int)done.answer.cause.code, CAUSE_NONE);
        ck_assert_int_eq(atomic_load(&each_synced), outcomes[_i] > 0 ? 0 : 40);
        check_files(40, 0);
}
END_TEST

/* A large message is made safe as it comes, the less often the more of it is safe. */
START_TEST(a_large_message_is_synced_now_and_then)
{
        enum { SIZE = 48 * 1024 * 1024, PART = 256 * 1024 };
        struct disk_calls calls = *disk_real_calls();
        struct delivery *delivery = delivery_new(&imap);
        struct mailbox_entry entry = uid_entry(1);
        uint8_t *part = new_zeroed(1, PART);

        memset(part, 'x', PART);
        entry.size = SIZE;
        calls.sync_data = sync_of_each;
        disk_use(&calls);
        ck_assert_int_eq(delivery_begin(delivery, &entry, NULL), 0);
        for (size_t sent = 0; sent < SIZE; sent += PART)
                ck_assert_int_eq(delivery_piece(delivery, part, PART, NULL), 0);
        ck_assert_int_eq(delivery_end(delivery, NULL), 0);
        commit_well(delivery, 1);
        disk_use(NULL);
        free(part);
        ck_assert_int_ge(atomic_load(&each_synced), 6);
        ck_assert_int_le(atomic_load(&each_synced), 14);
        check_files(1, 0);
}
END_TEST

/* ---- kill -9 ---- */

/* Delivers uid after uid from the cursor on, three a batch, until it is killed. */
struct endless {
        uint32_t next;
        int tell; /* a byte for each batch */
};

static void on_batch(void *ctx, const struct delivered *messages, size_t count, const struct cause *cause);

static void next_batch(struct endless *endless)
{
        struct delivery *delivery = delivery_new(&imap);

        for (int i = 0; i < 3; i++) {
                struct mailbox_entry entry = uid_entry(endless->next++);
                char *text = text_of("Subject: %u\r\n\r\n", entry.uid);
                deliver(delivery, &entry, text);
                free(text);
        }
        delivery_commit(delivery, endless->next - 1, on_batch, endless);
}

static void on_batch(void *ctx, const struct delivered *messages, size_t count, const struct cause *cause)
{
        struct endless *endless = ctx;

        (void)messages, (void)count;
        if (cause || write(endless->tell, "", 1) != 1)
                _exit(2);
        next_batch(endless);
}

static void on_cursor(void *ctx, const struct fetched_cursor *cursor, const struct mailbox_entry *untold,
                      size_t count, const struct cause *cause)
{
        struct answer *answer = ctx;

        (void)untold, (void)count;
        answer->count = cursor->known ? cursor->uid : 0;
        answered(answer, cause);
}

static uint32_t present_cursor(void)
{
        struct answer answer = { 0 };

        fetched_cursor("in", "INBOX", 0, on_cursor, &answer);
        wait_well(&answer);
        return (uint32_t)answer.count;
}

START_TEST(killed_at_any_moment)
{
        int status;

        reclose();
        srand(11);
        for (int round = 0; round < 12; round++) {
                int ends[2];
                ck_assert_int_eq(pipe(ends), 0);
                pid_t child = fork();
                if (child == 0) {
                        reopen();
                        struct endless endless = { present_cursor() + 1, ends[1] };
                        next_batch(&endless);
                        loop_run();
                        _exit(1);
                }
                char byte;
                for (int batches = rand() % 20; batches >= 0; batches--)
                        ck_assert_int_eq(read(ends[0], &byte, 1), 1);
                kill(child, SIGKILL); /* wherever it has got to meanwhile */
                close(ends[0]);
                close(ends[1]);
                ck_assert_int_eq(waitpid(child, &status, 0), child);
                ck_assert(WIFSIGNALED(status));
                /* Every UID up to the cursor is there; beyond it at most one batch. */
                reopen();
                size_t cursor = present_cursor(), files = files_in("new");
                ck_assert_uint_ge(files, cursor);
                ck_assert_uint_le(files, cursor + 3);
                reclose();
        }
        reopen();
        size_t cursor = present_cursor();
        struct delivery *delivery = delivery_new(&imap);
        for (uint32_t uid = (uint32_t)cursor + 1; uid <= cursor + 3; uid++) {
                struct mailbox_entry entry = uid_entry(uid);
                deliver(delivery, &entry, "Subject: s\r\n\r\n");
        }
        struct commit done = commit_well(delivery, (uint32_t)cursor + 3);
        ck_assert_uint_eq(files_in("new"), cursor + 3);
        ck_assert_uint_eq(done.again, 0); /* nor were those of a file without a row told of before */
}
END_TEST

/* ---- inbox ---- */

START_TEST(inbox)
{
        struct answer answer = { 0 };
        struct list list = listed(NULL, 10);
        ck_assert_uint_eq(json_array_size(list.messages), 0); /* not even a folder */
        json_decref(list.messages);
        struct commit one = deliver_one(&imap, uid_entry(1), "Subject: first\r\n\r\n", false);
        deliver_one(&imap, uid_entry(2), "Subject: second\r\n\r\n", false);
        struct commit gone = deliver_one(&imap, uid_entry(3), "Subject: removed\r\n\r\n", false);
        read_as_seen(one.file[0]);
        char *path = text_of("%s/mail/in/new/%s", folder, gone.file[0]);
        char *foreign = text_of("%s/mail/in/cur/123.foreign:2,", folder);
        ck_assert_int_eq(unlink(path), 0);
        struct timespec times[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };
        ck_assert_int_eq(replace_file(foreign, "x", 1, NULL), 0);
        ck_assert_int_eq(utimensat(AT_FDCWD, foreign, times, 0), 0);
        list = listed(NULL, 10);
        ck_assert_uint_eq(json_array_size(list.messages), 3);
        ck_assert_int_eq(list.total, 3);
        const json_t *first = json_array_get(list.messages, 0);
        ck_assert(json_is_null(json_object_get(first, "subject")));
        first = json_array_get(list.messages, 1);
        ck_assert_str_eq(json_string_value(json_object_get(first, "subject")), "first");
        ck_assert_int_eq(json_integer_value(json_object_get(first, "uid")), 1);
        ck_assert_str_eq(json_string_value(json_object_get(first, "folder")), "INBOX");
        char *want = text_of("%s:2,S", one.file[0]);
        ck_assert_str_eq(json_string_value(json_object_get(first, "file")), want);
        json_decref(list.messages);
        inbox_open("in", "ffffffffffff0", on_opened, &answer);
        wait_for(&answer);
        ck_assert_int_eq((int)answer.cause.code, CAUSE_NOT_FOUND);
        answer = (struct answer){ 0 };
        inbox_open("nobody", "ff", on_opened, &answer);
        wait_for(&answer);
        ck_assert_int_eq((int)answer.cause.code, CAUSE_NOT_FOUND);
        free(path);
        free(foreign);
        free(want);
}
END_TEST

static void deliver_many(uint32_t count)
{
        struct delivery *delivery = delivery_new(&imap);

        for (uint32_t uid = 1; uid <= count; uid++) {
                struct mailbox_entry entry = uid_entry(uid);
                scoped(scoped_free) char *text = text_of("Subject: %u\r\n\r\n", uid);
                deliver(delivery, &entry, text);
        }
        ck_assert_uint_eq(commit_well(delivery, count).count, count);
}

START_TEST(pages)
{
        struct inbox_place place;
        size_t seen = 0;

        deliver_many(7);
        struct list page = listed(NULL, 3);
        ck_assert_int_eq(page.total, 7);
        ck_assert_str_eq(subject_at(&page, 0), "5");
        ck_assert_str_eq(subject_at(&page, 2), "7");
        while (page.next[0]) {
                struct list older = listed(page.next, 3);
                seen += json_array_size(older.messages);
                json_decref(page.messages);
                page = older;
        }
        ck_assert_uint_eq(seen, 4);
        ck_assert_str_eq(subject_at(&page, 0), "1");
        json_decref(page.messages);
        ck_assert(!inbox_place("", &place) && !inbox_place("1", &place) && !inbox_place("1.2x", &place));
}
END_TEST

/* The rows alone answer as long as nobody else has changed a folder: what is wrong in them stays. */
START_TEST(the_maildir_is_read_only_after_others_changed_it)
{
        deliver_many(2);
        json_decref(listed(NULL, 5).messages);
        with_database("UPDATE inbox SET suffix = ':2,wrong'");
        deliver_one(&imap, uid_entry(9), "Subject: own\r\n\r\n", false);
        struct list list = listed(NULL, 5);
        ck_assert_int_eq(list.total, 3);
        ck_assert_ptr_nonnull(strstr(
                json_string_value(json_object_get(json_array_get(list.messages, 0), "file")), "wrong"));
        json_decref(list.messages);
        struct answer answer = { 0 };
        inbox_open("in", "ffffffffffff", on_opened, &answer); /* an id of nothing makes no other look */
        wait_for(&answer);
        ck_assert_int_eq((int)answer.cause.code, CAUSE_NOT_FOUND);
        ck_assert_int_eq(rows_of("SELECT count(*) FROM inbox WHERE suffix = ':2,wrong'"), 2);
        scoped(scoped_free) char *foreign = text_of("%s/mail/in/new/1.other", folder);
        ck_assert_int_eq(replace_file(foreign, "x", 1, NULL), 0);
        list = listed(NULL, 5);
        ck_assert_int_eq(list.total, 4);
        for (size_t i = 0; i < 4; i++)
                ck_assert_ptr_null(
                        strstr(json_string_value(json_object_get(json_array_get(list.messages, i), "file")),
                               "wrong"));
        json_decref(list.messages);
}
END_TEST

/* ---- many files ---- */

/* Reads one after the other, until told to stop. */
struct others {
        struct store_read read;
        unsigned reads;
        bool over;
        struct answer answer;
};

static int others_work(unused_arg struct store_read *read, unused_arg struct database *db,
                       unused_arg struct cause *cause)
{
        return 0;
}

static void others_done(struct store_read *read, unused_arg const struct cause *cause)
{
        struct others *others = container_of(read, struct others, read);

        others->reads++;
        others->read = (struct store_read){ .read = others_work, .done = others_done };
        if (others->over)
                answered(&others->answer, NULL);
        else
                store_read(&others->read);
}

enum { MANY_FILES = 20000 };

static void make_foreign_files(void)
{
        scoped(scoped_free) char *place = text_of("%s/mail/in/cur", folder);
        int fd = open(place, O_RDONLY | O_DIRECTORY);

        for (int i = 0; i < MANY_FILES; i++) {
                scoped(scoped_free) char *name = text_of("%d.other:2,S", i);
                int file = openat(fd, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
                ck_assert_int_ge(file, 0);
                close(file);
        }
        close(fd);
}

/* A scan of many files is made in portions: what others read is read between them. */
START_TEST(a_scan_lets_others_read)
{
        struct others others = { 0 };

        deliver_one(&imap, uid_entry(1), "Subject: own\r\n\r\n", false);
        make_foreign_files();
        json_decref(listed(NULL, 1).messages);
        inbox_doubt("in");
        others_done(&others.read, NULL);
        struct list list = listed(NULL, 1);
        others.over = true;
        wait_well(&others.answer);
        ck_assert_int_eq(list.total, MANY_FILES + 1);
        ck_assert_uint_ge(others.reads, 1 + MANY_FILES / 4096);
        json_decref(list.messages);
        ck_assert_int_eq(rows_of("SELECT count(*) FROM inbox WHERE suffix = ':2,S'"), MANY_FILES);
}
END_TEST

/* ---- deleting ---- */

static void on_deleted(void *ctx, size_t count, const struct cause *cause)
{
        struct answer *answer = ctx;

        answer->count = count;
        answered(answer, cause);
}

static struct answer deleted(const char *const *ids, size_t count)
{
        struct answer answer = { 0 };

        inbox_delete("in", ids, count, on_deleted, &answer);
        wait_for(&answer);
        return answer;
}

static size_t kept(const struct inbox_keeping *keeping)
{
        struct answer answer = { 0 };

        inbox_keep("in", keeping, on_deleted, &answer);
        wait_well(&answer);
        return answer.count;
}

START_TEST(deleted_by_id)
{
        struct commit one = deliver_one(&imap, uid_entry(1), "Subject: 1\r\n\r\n", false);
        deliver_one(&imap, uid_entry(2), "Subject: 2\r\n\r\n", false);
        read_as_seen(one.file[0]);
        struct list list = listed(NULL, 5);
        const char *ids[] = { id_at(&list, 0), "ffffffffffff" };

        struct answer answer = deleted(ids, 2);
        ck_assert_int_eq((int)answer.cause.code, CAUSE_NOT_FOUND);
        check_files(1, 1);
        answer = deleted(ids, 1);
        ck_assert(!answer.failed);
        ck_assert_uint_eq(answer.count, 1);
        check_files(1, 0);
        json_decref(list.messages);
        list = listed(NULL, 5);
        ck_assert_int_eq(list.total, 1);
        ck_assert_str_eq(subject_at(&list, 0), "2");
        json_decref(list.messages);
        /* not delivered again, under its UID and under another UIDVALIDITY */
        struct delivery_target renewed = imap;
        renewed.uidvalidity = 8;
        ck_assert_uint_eq(deliver_one(&imap, uid_entry(1), "Subject: 1\r\n\r\n", false).again, 1);
        ck_assert_uint_eq(deliver_one(&renewed, uid_entry(4), "Subject: 1\r\n\r\n", true).again, 1);
        check_files(1, 0);
}
END_TEST

START_TEST(kept_by_number_and_age)
{
        deliver_many(450);
        ck_assert_uint_eq(kept(&(struct inbox_keeping){ .most = 450 }), 0);
        ck_assert_uint_eq(kept(&(struct inbox_keeping){ .most = 5, .look = true }), 445);
        check_files(5, 0);
        struct list list = listed(NULL, 10);
        ck_assert_str_eq(subject_at(&list, 0), "446");
        json_decref(list.messages);
        ck_assert_uint_eq(kept(&(struct inbox_keeping){ .before = 1000 }), 0);
        with_database("UPDATE inbox SET received = 999 WHERE subject = '447'");
        ck_assert_uint_eq(kept(&(struct inbox_keeping){ .before = 1000 }), 1);
        ck_assert_uint_eq(kept(&(struct inbox_keeping){ .before = (int64_t)time(NULL) + 10 }), 4);
        check_files(0, 0);
}
END_TEST

START_TEST(kept_until_it_is_acknowledged)
{
        const struct subscriber_asker asker = { .admin = true };
        const struct inbox_keeping all = { .before = (int64_t)time(NULL) + 1000 };
        struct answer answer = { 0 };

        subscriber_open("s", &asker, NULL, answered, &answer);
        wait_well(&answer);
        deliver_many(3);
        ck_assert_uint_eq(kept(&all), 0);
        answer = (struct answer){ 0 };
        subscriber_acknowledge("s", &asker, 2, answered, &answer);
        wait_well(&answer);
        ck_assert_uint_eq(kept(&all), 2);
        check_files(1, 0);
        answer = (struct answer){ 0 };
        subscriber_forget("s", &asker, answered, &answer);
        wait_well(&answer);
        ck_assert_uint_eq(kept(&all), 1);
}
END_TEST

/* A kill between the files and the rows, and a disk that does not delete. */
START_TEST(deleting_is_gone_on_with)
{
        deliver_many(3);
        struct list list = listed(NULL, 5);
        scoped(scoped_free) char *file =
                text_of("%s/mail/in/new/%s", folder,
                        json_string_value(json_object_get(json_array_get(list.messages, 0), "file")));
        json_decref(list.messages);
        reclose();
        ck_assert_int_eq(unlink(file), 0);
        reopen();
        ck_assert_uint_eq(kept(&(struct inbox_keeping){ .most = 1 }), 1);
        check_files(1, 0);
        ck_assert_int_eq(rows_of("SELECT messages FROM box"), 1);
        ck_assert_int_eq(rows_of("SELECT count(*) FROM seen"), 3);
}
END_TEST

/* A UIDL that the server no longer has, and whose file has gone, needs no row. */
START_TEST(rows_end_with_the_file)
{
        struct commit one = deliver_one(&pop3, uidl_entry("a"), "Subject: 1\r\n\r\n", false);

        with_database("UPDATE seen SET gone = 1");
        ck_assert_uint_eq(kept(&(struct inbox_keeping){ .before = (int64_t)time(NULL) + 10 }), 1);
        ck_assert_int_eq(rows_of("SELECT count(*) FROM seen"), 0);
        struct commit again = deliver_one(&pop3, uidl_entry("a"), "Subject: 2\r\n\r\n", false);
        ck_assert_str_eq(again.file[0], one.file[0]);
        ck_assert_uint_eq(again.again, 0);
        check_files(1, 0);
}
END_TEST

/* ---- large messages that are cut ---- */

static void found(void *ctx, const struct mailbox_entry *entries, size_t count)
{
        struct commit *commit = ctx;

        ck_assert_uint_eq(count, 1);
        commit->count = entries[0].from;
        answered(&commit->answer, NULL);
}

static size_t bytes_here(const struct mailbox_entry *entry)
{
        struct commit commit = { 0 };

        partial_find("in", "INBOX", 7, entry, 1, found, &commit);
        wait_well(&commit.answer);
        return commit.count;
}

static void begin_and_cut(const struct mailbox_entry *entry, const char *text)
{
        struct delivery *delivery = delivery_new(&imap);

        ck_assert_int_eq(delivery_begin(delivery, entry, NULL), 0);
        ck_assert_int_eq(delivery_piece(delivery, (const uint8_t *)text, strlen(text), NULL), 0);
        delivery_abandon(delivery);
        reclose(); /* waits for it */
        reopen();
}

START_TEST(cut_and_gone_on_with)
{
        static const char whole[] = "Subject: large\r\n\r\nin two sessions";
        struct mailbox_entry entry = { .uid = 1, .size = 2 * MIB }, other = { .uid = 1, .size = 3 * MIB };
        struct commit once = { 0 }, rest = { 0 };

        struct delivery *delivery = delivery_new(&imap);
        struct mailbox_entry first = { .uid = 9 };
        deliver(delivery, &first, whole);
        delivery_commit(delivery, 0, on_committed, &once);
        wait_well(&once.answer);
        begin_and_cut(&entry, "Subject: large\r\n\r\nin two");
        ck_assert_uint_eq(files_in("tmp"), 1);
        ck_assert_uint_eq(bytes_here(&other), 0); /* another size: another message */
        entry.from = bytes_here(&entry);
        ck_assert_uint_eq(entry.from, strlen("Subject: large\r\n\r\nin two"));
        delivery = delivery_new(&imap);
        deliver(delivery, &entry, " sessions");
        delivery_commit(delivery, 0, on_committed, &rest);
        wait_well(&rest.answer);
        ck_assert_int_eq(rows_with_tag_of(whole, strlen(whole)), 2);
        ck_assert_str_eq(rest.subject, "large");
        ck_assert_uint_eq(files_in("tmp"), 0);
}
END_TEST

/* Cut at each place, also between CR and LF, and with a LF without CR before or after the cut. */
START_TEST(cut_anywhere_and_gone_on_with)
{
        static const char *const wholes[] = { "S: l\r\n\r\na\r\n\r\r\nb\r", "S: l\r\n\r\na\nb\r\nc\r\n" };
        const char *whole = wholes[_i];
        size_t len = strlen(whole);

        for (size_t cut = 1; cut < len; cut++) {
                struct mailbox_entry entry = { .uid = (uint32_t)cut, .size = 2 * MIB };
                struct commit done = { 0 };
                scoped(scoped_free) char *first = copy_bytes(whole, cut);
                begin_and_cut(&entry, first);
                entry.from = bytes_here(&entry);
                ck_assert_uint_le(entry.from, cut);
                ck_assert_uint_ge(entry.from + 1, cut);
                if (entry.from > 1 && cut % 2)
                        entry.from--; /* less is asked for than is here */
                struct delivery *delivery = delivery_new(&imap);
                deliver(delivery, &entry, whole + entry.from);
                delivery_commit(delivery, 0, on_committed, &done);
                wait_well(&done.answer);
                ck_assert_int_eq(rows_with_tag_of(whole, len), (int64_t)cut);
                scoped(scoped_free) char *path = text_of("%s/mail/in/new/%s", folder, done.file[0]);
                size_t file_len;
                scoped(scoped_free) char *file = file_bytes(path, &file_len);
                ck_assert_msg(is_whole(file, file_len, whole, len, _i ? LINE_ENDS_AS_CAME : LINE_ENDS_LF),
                              "cut at %zu", cut);
                ck_assert_uint_eq(files_in("tmp"), 0);
        }
}
END_TEST

START_TEST(halves_are_bounded)
{
        for (uint32_t uid = 1; uid <= LIMIT_HALVES + 3; uid++) {
                struct mailbox_entry entry = { .uid = uid, .size = 2 * MIB };
                begin_and_cut(&entry, "From: x");
        }
        ck_assert_uint_eq(files_in("tmp"), LIMIT_HALVES);
        struct mailbox_entry again = { .uid = LIMIT_HALVES + 3, .size = 2 * MIB };
        begin_and_cut(&again, "From"); /* from the beginning: takes the place of the one before */
        ck_assert_uint_le(files_in("tmp"), LIMIT_HALVES);
        ck_assert_uint_eq(bytes_here(&again), 4);
}
END_TEST

START_TEST(sweeping)
{
        char *old = text_of("%s/mail/in/tmp/old", folder), *young = text_of("%s/mail/in/tmp/young", folder);
        struct timespec times[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };

        deliver_one(&imap, uid_entry(1), "x\r\n", false);
        ck_assert_int_eq(replace_file(old, "x", 1, NULL), 0);
        ck_assert_int_eq(replace_file(young, "x", 1, NULL), 0);
        ck_assert_int_eq(utimensat(AT_FDCWD, old, times, 0), 0);
        maildir_sweep("in");
        maildir_sweep("nobody");
        reclose();
        ck_assert_int_eq(access(old, F_OK), -1);
        ck_assert_int_eq(access(young, F_OK), 0);
        reopen();
        free(old);
        free(young);
}
END_TEST

int main(void)
{
        TCase *tests = tcase_create("maildir");

        tcase_set_timeout(tests, 120); /* of a disk that others keep busy */
        tcase_add_checked_fixture(tests, store_up, store_down);
        tcase_add_test(tests, names);
        tcase_add_test(tests, header_of_a_message);
        tcase_add_test(tests, one_message);
        tcase_add_loop_test(tests, each_message_is_whole, 0, count_of(texts));
        tcase_add_test(tests, line_ends_there_and_back);
        tcase_add_test(tests, mail_of_an_earlier_version);
        tcase_add_test(tests, mail_of_an_earlier_version_and_kill);
        tcase_add_test(tests, mail_of_an_earlier_version_and_a_full_disk);
        tcase_add_test(tests, large_and_small_in_one_batch);
        tcase_add_test(tests, empty_batch_moves_the_cursor);
        tcase_add_test(tests, committed_in_the_middle_of_a_message);
        tcase_add_test(tests, abandoned_without_trace);
        tcase_add_test(tests, again_after_a_crash_before_the_commit);
        tcase_add_loop_test(tests, again_after_a_crash_by_other_rules, 0, 2);
        tcase_add_test(tests, again_after_a_crash_and_numbered_anew);
        tcase_add_test(tests, numbered_anew_after_an_upgrade);
        tcase_add_test(tests, same_uidl_after_an_upgrade);
        tcase_add_test(tests, outstanding_when_the_folder_was_numbered_anew);
        tcase_add_test(tests, nothing_is_begun_within_the_reserve);
        tcase_add_test(tests, new_uidvalidity);
        tcase_add_test(tests, uidl_used_again);
        tcase_add_test(tests, numbered_anew_and_missing);
        tcase_add_test(tests, gone_and_here_again);
        tcase_add_test(tests, left_and_numbered_anew);
        tcase_add_test(tests, left_and_numbered_back);
        tcase_add_test(tests, uidl_twice_in_one_batch);
        tcase_add_loop_test(tests, disk_fails, 0, 4);
        tcase_add_loop_test(tests, many_files_are_synced_at_once, 0, 3);
        tcase_add_test(tests, a_large_message_is_synced_now_and_then);
        tcase_add_test(tests, killed_at_any_moment);
        tcase_add_test(tests, inbox);
        tcase_add_test(tests, pages);
        tcase_add_test(tests, the_maildir_is_read_only_after_others_changed_it);
        tcase_add_test(tests, a_scan_lets_others_read);
        tcase_add_test(tests, deleted_by_id);
        tcase_add_test(tests, kept_by_number_and_age);
        tcase_add_test(tests, kept_until_it_is_acknowledged);
        tcase_add_test(tests, deleting_is_gone_on_with);
        tcase_add_test(tests, rows_end_with_the_file);
        tcase_add_test(tests, cut_and_gone_on_with);
        tcase_add_loop_test(tests, cut_anywhere_and_gone_on_with, 0, 2);
        tcase_add_test(tests, halves_are_bounded);
        tcase_add_test(tests, sweeping);
        Suite *suite = suite_create("maildir");
        suite_add_tcase(suite, tests);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed != 0;
}
