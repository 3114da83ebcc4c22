/* SPDX-License-Identifier: MIT */
/* Cursors, UIDLs, what the server was told, and the values that are kept. */
#include "daemon/store/fetched_table.c"
#include "daemon/store/kept.c"

#include "daemon/store/inbox_rows.h"
#include "store_folder.h"

#include <unistd.h>

struct cursor_answer {
        struct answer answer;
        struct fetched_cursor cursor;
        struct mailbox_entry untold[8];
        size_t count;
};

static void on_cursor(void *ctx, const struct fetched_cursor *cursor, const struct mailbox_entry *untold,
                      size_t count, const struct cause *cause)
{
        struct cursor_answer *answer = ctx;

        answer->cursor = *cursor;
        ck_assert_uint_le(count, count_of(answer->untold));
        if (count)
                memcpy(answer->untold, untold, count * sizeof *untold);
        answer->count = count;
        answered(&answer->answer, cause);
}

static struct cursor_answer cursor_of(const char *account, const char *folder_name)
{
        struct cursor_answer answer = { 0 };

        fetched_cursor(account, folder_name, 7, on_cursor, &answer);
        wait_well(&answer.answer);
        return answer;
}

static void set_cursor(const char *account, const char *folder_name, uint64_t uidvalidity, uint32_t uid)
{
        struct answer answer = { 0 };

        fetched_set_cursor(account, folder_name, uidvalidity, uid, answered, &answer);
        wait_well(&answer);
}

struct pruned {
        struct answer answer;
        bool some;
};

static void on_pruned(void *ctx, enum uidls_gone gone, const struct cause *cause)
{
        struct pruned *pruned = ctx;

        pruned->some = gone != NONE_GONE;
        answered(&pruned->answer, cause);
}

static bool prune(const struct mailbox_entry *entries, size_t count)
{
        struct pruned pruned = { 0 };
        struct uidl_set set = { 0 };

        for (size_t i = 0; i < count; i++)
                uidl_set_add(&set, entries[i].uidl);
        fetched_prune_uidls("in", &set, true, on_pruned, &pruned);
        wait_well(&pruned.answer);
        for (size_t i = 0; i < count; i++)
                ck_assert(uidl_set_knows(&set, entries[i].uidl));
        uidl_set_clear(&set);
        return pruned.some;
}

START_TEST(cursors)
{
        ck_assert(!cursor_of("in", "INBOX").cursor.known);
        set_cursor("in", "INBOX", 7, 100);
        set_cursor("in", "Alarms", 9, 5);
        ck_assert_uint_eq(cursor_of("in", "INBOX").cursor.uid, 100);
        ck_assert_uint_eq(cursor_of("in", "Alarms").cursor.uidvalidity, 9);
        set_cursor("in", "INBOX", 7, 50); /* not back */
        ck_assert_uint_eq(cursor_of("in", "INBOX").cursor.uid, 100);
        set_cursor("in", "INBOX", 8, 3); /* another mailbox altogether */
        ck_assert_uint_eq(cursor_of("in", "INBOX").cursor.uid, 3);
        reclose();
        reopen();
        ck_assert_uint_eq(cursor_of("in", "INBOX").cursor.uidvalidity, 8);
        forget_account("in");
        set_cursor("other", "INBOX", 1, 1); /* behind it in the line */
        ck_assert(!cursor_of("in", "INBOX").cursor.known);
}
END_TEST

/* In place of inbox_id(): there is no file in these. */
static void no_file(sqlite3_context *context, unused_arg int count, unused_arg sqlite3_value **values)
{
        sqlite3_result_int64(context, 0);
}

/* A database as it was before the step in which `word` stands, with `rows` in it. */
static void old_database(const char *word, const char *rows)
{
        sqlite3 *db;
        scoped(scoped_free) char *path = text_of("%s/station.db", folder);
        size_t step = 0;

        reclose();
        ck_assert_int_eq(unlink(path), 0);
        ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
        ck_assert_int_eq(sqlite3_create_function(db, "inbox_id", 1, SQLITE_UTF8, NULL, no_file, NULL, NULL),
                         SQLITE_OK);
        for (; !strstr(schema_steps[step], word); step++)
                ck_assert_int_eq(sqlite3_exec(db, schema_steps[step], NULL, NULL, NULL), SQLITE_OK);
        scoped(scoped_free) char *version =
                text_of("PRAGMA application_id = %d; PRAGMA user_version = %zu", 0x454d5344, step);
        ck_assert_int_eq(sqlite3_exec(db, version, NULL, NULL, NULL), SQLITE_OK);
        ck_assert_int_eq(sqlite3_exec(db, rows, NULL, NULL, NULL), SQLITE_OK);
        ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

/* The step of the schema that makes one of "inbox" and "INBOX", on what was there before. */
START_TEST(two_inboxes_become_one)
{
        static const char before[] =
                "INSERT INTO cursor VALUES ('a', 'inbox', 7, 5), ('b', 'InBox', 7, 5), ('b', 'INBOX', 7, 3),"
                " ('c', 'inbox', 7, 5), ('c', 'INBOX', 8, 3), ('d', 'inbox/x', 7, 5);"
                "INSERT INTO received (account, folder, uidvalidity, uid, uidl, generation, told, received, "
                "size)"
                " VALUES ('a', 'inbox', 7, 5, '', 0, 0, 0, 11), ('b', 'InBox', 7, 3, '', 0, 0, 0, 12),"
                " ('b', 'INBOX', 7, 3, '', 0, 0, 0, 13);";

        old_database("'inbox'", before);
        reopen();
        ck_assert(!cursor_of("a", "inbox").cursor.known && !cursor_of("b", "InBox").cursor.known);
        struct cursor_answer a = cursor_of("a", "INBOX"), b = cursor_of("b", "INBOX"),
                             c = cursor_of("c", "INBOX");
        ck_assert_uint_eq(a.cursor.uid, 5);
        ck_assert_uint_eq(a.untold[0].size, 11);
        ck_assert_uint_eq(b.cursor.uid, 5);
        ck_assert_uint_eq(b.untold[0].size, 13);
        ck_assert(c.cursor.uidvalidity == 8 && c.cursor.uid == 3);
        ck_assert_uint_eq(cursor_of("d", "inbox/x").cursor.uid, 5);
}
END_TEST

/* What was kept of received mail in one row is parted: what says that it is known, and what is shown of it.
 */
START_TEST(received_mail_is_parted)
{
        static const char before[] =
                "INSERT INTO cursor VALUES ('a', 'INBOX', 7, 6);"
                "INSERT INTO received (account, folder, uidvalidity, uid, uidl, generation, gone, told, "
                "received, file, size,"
                " digest, sender, subject, left_size) VALUES"
                " ('a', 'INBOX', 7, 5, '', 0, 0, 0, 50, 'U1.emailsecd', 11, zeroblob(32), 'x@y', 'one', 0),"
                " ('a', 'INBOX', 7, 6, '', 0, 0, 1, 40, 'U2.emailsecd', 99, zeroblob(32), NULL, 'note', "
                "4000),"
                " ('a', 'INBOX', 6, 1, '', 0, 0, 1, 50, 'U1.emailsecd', 11, zeroblob(32), 'x@y', 'one', 0),"
                " ('p', '', 0, 0, 'skipped', 0, 0, 1, 0, NULL, 5, NULL, NULL, NULL, 0),"
                " ('p', '', 0, 0, 'gone', 0, 1, 1, 0, 'U3.emailsecd', 5, NULL, NULL, NULL, 0);";
        scoped(scoped_free) char *path = text_of("%s/station.db", folder);

        old_database("CREATE TABLE seen", before);
        reopen();
        struct cursor_answer a = cursor_of("a", "INBOX");
        ck_assert_uint_eq(a.cursor.uid, 6);
        ck_assert_uint_eq(a.untold[0].size, 11);
        struct cause cause = { 0 };
        struct database *db = database_open(path, false, &cause);
        struct fetched_key key = {
                .account = "a", .folder = "INBOX", .uidvalidity = 6, .uid = 1, .uidl = ""
        };
        struct fetched_row row;
        struct inbox_row shown;
        ck_assert_ptr_nonnull(db);
        ck_assert_int_eq(fetched_find(db, &key, &row, &cause), 0);
        ck_assert_str_eq(row.file, "U1.emailsecd");
        free(row.file);
        int64_t count, id = inbox_id("U1.emailsecd:2,S");
        ck_assert_int_eq(inbox_row_of_id(db, "a", id, id, &shown, &cause), 1);
        ck_assert_str_eq(shown.subject, "one");
        ck_assert_int_eq(shown.received, 50);
        inbox_row_done(&shown);
        ck_assert_int_eq(inbox_row_count(db, "a", &count, &cause), 0);
        ck_assert_int_eq(count, 2);
        key = (struct fetched_key){ .account = "p", .folder = "", .uidl = "gone" };
        ck_assert_int_eq(fetched_find(db, &key, &row, &cause), 0);
        ck_assert(!row.known && row.generation == 1);
        key.uidl = "skipped";
        ck_assert_int_eq(fetched_find(db, &key, &row, &cause), 0);
        ck_assert(row.known && !row.file);
        database_close(db);
}
END_TEST

/* ---- UIDLs ---- */

struct uidl_answer {
        struct answer answer;
        bool known[4], untold[4];
};

static void on_uidls(void *ctx, const bool *known, const bool *untold, size_t count,
                     const struct cause *cause)
{
        struct uidl_answer *answer = ctx;

        ck_assert_uint_le(count, 4);
        memcpy(answer->known, known, count * sizeof *known);
        memcpy(answer->untold, untold, count * sizeof *untold);
        answered(&answer->answer, cause);
}

static const struct mailbox_entry listed[] = { { .uid = 1, .uidl = "one" },
                                               { .uid = 2, .uidl = "two" },
                                               { .uid = 3, .uidl = "three" } };

static void check_known(const char *account, const char *want)
{
        struct uidl_answer answer = { 0 };

        fetched_uidls(account, listed, 3, 0, on_uidls, &answer);
        wait_well(&answer.answer);
        for (size_t i = 0; i < 3; i++)
                ck_assert_msg(answer.known[i] == (want[i] == 'k'), "%s: %zu", want, i);
}

START_TEST(uidls)
{
        struct answer answer = { 0 };

        check_known("in", "...");
        ck_assert(!cursor_of("in", "").cursor.known);
        fetched_skip_uidls("in", &listed[1], 1, false, answered, &answer);
        wait_well(&answer);
        ck_assert(cursor_of("in", "").cursor.known); /* looked at, as soon as what was skipped is noted */
        check_known("in", ".k.");
        check_known("other", "...");
        answer.came = false;
        fetched_skip_uidls("in", listed, 3, false, answered, &answer);
        wait_well(&answer);
        check_known("in", "kkk");
        /* The server no longer has "two"; later it gives that name to another message. */
        const struct mailbox_entry left[] = { listed[2], listed[0] };
        ck_assert(!prune(listed, 3));
        ck_assert(prune(left, 2));
        reclose();
        reopen();
        check_known("in", "k.k");
}
END_TEST

static struct database *open_beside(void)
{
        char *path = text_of("%s/station.db", folder);
        struct database *db = database_open(path, true, NULL);

        ck_assert_ptr_nonnull(db);
        free(path);
        return db;
}

START_TEST(a_set_of_uidls)
{
        struct uidl_set set = { 0 };
        char uidl[32];

        for (unsigned i = 0; i < 5000; i++) {
                (void)snprintf(uidl, sizeof uidl, "%u", i / 2 * 7 % 3000);
                uidl_set_add(&set, uidl);
        }
        uidl_set_sort(&set);
        for (size_t i = 1; i < set.count; i++)
                ck_assert_uint_le(set.digests[i - 1], set.digests[i]);
        ck_assert_uint_eq(uidl_set_has(&set, "7"), 2);
        ck_assert_uint_eq(uidl_set_has(&set, "x"), 0);
        uidl_set_note_known(&set, "7"); /* of two no one knows which is here */
        uidl_set_note_known(&set, "x");
        ck_assert(!uidl_set_knows(&set, "7") && !uidl_set_knows(&set, "x"));
        uidl_set_clear(&set);
        uidl_set_sort(&set);
        ck_assert_uint_eq(uidl_set_has(&set, "7"), 0);
        uidl_set_clear(&set);
}
END_TEST

START_TEST(many_uidls_go_at_once)
{
        enum { MANY = 10000 };
        struct mailbox_entry *many = new_zeroed(MANY, sizeof *many);
        struct answer answer = { 0 };
        int64_t left = 0;

        for (unsigned i = 0; i < MANY; i++)
                (void)snprintf(many[i].uidl, sizeof many[i].uidl, "%u", i);
        fetched_skip_uidls("in", many, MANY, true, answered, &answer);
        wait_well(&answer);
        ck_assert(!cursor_of("in", "").cursor.known); /* the mailbox is not through */
        ck_assert(!prune(many, MANY));
        ck_assert(prune(many, 3));
        struct database *db = open_beside();
        ck_assert_int_eq(db_number(db, NULL, &left, 0,
                                   "SELECT count(*) FROM seen WHERE place IN (SELECT number FROM place WHERE "
                                   "account = ?)",
                                   VALUES(v_text("in"))),
                         0);
        database_close(db);
        ck_assert_int_eq(left, 3);
        free(many);
}
END_TEST

/* Of which the server is to be told was a word in each row; what is still to be told then is so now. */
START_TEST(untold_become_ranges)
{
        static const char before[] =
                "INSERT INTO place (number, account, folder) VALUES (1, 'a', 'INBOX'), (2, 'b', 'INBOX'), "
                "(3, 'p', '');"
                "INSERT INTO seen (place, uidvalidity, uid, uidl, generation, told, size) VALUES"
                " (1, 7, 2, '', 0, 0, 12), (1, 7, 3, '', 0, 0, 13), (1, 7, 4, '', 0, 1, 14),"
                " (1, 7, 5, '', 0, 0, 15), (1, 7, 4294967295, '', 0, 0, 16), (1, 6, 1, '', 0, 0, 99),"
                " (2, 7, 4, '', 0, 0, 24), (3, 0, 0, 'one', 0, 0, 1), (3, 0, 0, 'two', 0, 1, 1);";
        struct uidl_answer pop3 = { 0 };

        old_database("CREATE TABLE untold", before);
        reopen();
        set_cursor("a", "INBOX", 7, UINT32_MAX);
        set_cursor("b", "INBOX", 7, UINT32_MAX);
        struct cursor_answer a = cursor_of("a", "INBOX"), b = cursor_of("b", "INBOX");
        ck_assert_uint_eq(a.count, 4);
        static const unsigned uids[] = { 2, 3, 5, UINT32_MAX }, sizes[] = { 12, 13, 15, 16 };
        for (size_t i = 0; i < 4; i++)
                ck_assert(a.untold[i].uid == uids[i] && a.untold[i].size == sizes[i]);
        ck_assert(b.count == 1 && b.untold[0].uid == 4 && b.untold[0].size == 24);
        fetched_uidls("p", listed, 3, 0, on_uidls, &pop3);
        wait_well(&pop3.answer);
        ck_assert(pop3.known[0] && pop3.untold[0] && pop3.known[1] && !pop3.untold[1] && !pop3.known[2]);
}
END_TEST

enum { UIDS = 60 };

/* What the table says: one letter for each UID. Ranges are such, and none overlaps another one. */
static void read_untold(struct database *db, int64_t place, char out[UIDS + 1])
{
        scoped(db_end) sqlite3_stmt *rows = db_query(
                db, NULL, "SELECT first, last FROM untold WHERE place = ? AND uidvalidity = 7 ORDER BY first",
                VALUES(v_int(place)));
        int64_t before = 0;

        memset(out, '.', UIDS);
        out[UIDS] = '\0';
        while (db_next(db, rows, NULL) > 0) {
                int64_t first = sqlite3_column_int64(rows, 0), end = sqlite3_column_int64(rows, 1);
                ck_assert(before < first && first <= end && end <= UIDS);
                memset(out + first - 1, 'u', (size_t)(end - first + 1));
                before = end;
        }
}

/* Some are recorded, again or for the first time, to be told or not; or are told. */
static void record_or_tell(struct database *db, int64_t place, char *model)
{
        static const uint8_t tag[CONTENT_TAG_SIZE] = { 1 };
        uint32_t first = 1 + (uint32_t)rand() % UIDS, end = first + (uint32_t)rand() % (UIDS - first + 1);
        struct mailbox_entry entries[UIDS];
        struct fetched_record records[UIDS];
        size_t count = 0;

        if (rand() % 2) {
                ck_assert_int_eq(untold_end(db, place, 7, first, end, NULL), 0);
                memset(model + first - 1, '.', end - first + 1);
                return;
        }
        for (uint32_t uid = first; uid <= end; uid += rand() % 4 ? 1u : 2u) {
                bool told = rand() % 5 == 0;
                entries[count] = (struct mailbox_entry){ .uid = uid };
                records[count] = (struct fetched_record){
                        fetched_key_of("in", "INBOX", 7, &entries[count]),
                        { .how = SEEN_HANDED_ON, .received = 1, .tag = tag, .told = told }
                };
                model[uid - 1] = told ? '.' : 'u';
                count++;
        }
        ck_assert_int_eq(fetched_record(db, place, records, count, NULL), 0);
}

/* Against a letter for each. */
START_TEST(ranges_of_untold)
{
        char model[UIDS + 1], found[UIDS + 1];
        int64_t place, other;

        reclose();
        srand(11);
        struct database *db = open_beside();
        ck_assert_int_eq(fetched_make_place(db, "in", "INBOX", &place, NULL), 0);
        ck_assert_int_eq(fetched_make_place(db, "in", "x", &other, NULL), 0);
        ck_assert_int_eq(db_run(db, NULL, "BEGIN", NULL, 0), 0);
        ck_assert_int_eq(untold_add(db, other, 7, 1, UIDS, NULL), 0);
        ck_assert_int_eq(untold_add(db, place, 8, 1, UIDS, NULL), 0);
        memset(model, '.', UIDS);
        model[UIDS] = '\0';
        for (int step = 0; step < 2000; step++) {
                record_or_tell(db, place, model);
                read_untold(db, place, found);
                ck_assert_str_eq(found, model);
        }
        read_untold(db, other, found);
        ck_assert_uint_eq(strspn(found, "u"), UIDS);
        ck_assert_int_eq(db_run(db, NULL, "COMMIT", NULL, 0), 0);
        database_close(db);
}
END_TEST

/* Told of are those that were, and none between them. */
START_TEST(told_ranges)
{
        const struct mailbox_entry told[] = { { .uid = 1 }, { .uid = 2 }, { .uid = 4 }, { .uid = 5 } };
        const uint8_t tag[CONTENT_TAG_SIZE] = { 1 };
        struct fetched_message message = { .how = SEEN_HANDED_ON, .received = 1, .tag = tag };
        struct answer answer = { 0 };
        int64_t place, left;

        reclose();
        struct database *db = open_beside();
        ck_assert_int_eq(fetched_make_place(db, "in", "INBOX", &place, NULL), 0);
        for (uint32_t uid = 1; uid <= 6; uid++) {
                struct mailbox_entry entry = { .uid = uid };
                struct fetched_record record = { fetched_key_of("in", "INBOX", 7, &entry), message };
                ck_assert_int_eq(fetched_record(db, place, &record, 1, NULL), 0);
        }
        database_close(db);
        reopen();
        set_cursor("in", "INBOX", 7, 6);
        fetched_told("in", "INBOX", 7, told, count_of(told), answered, &answer);
        wait_well(&answer);
        struct cursor_answer cursor = cursor_of("in", "INBOX");
        ck_assert_uint_eq(cursor.count, 2);
        ck_assert_uint_eq(cursor.untold[0].uid, 3);
        ck_assert_uint_eq(cursor.untold[1].uid, 6);
        forget_account("in");
        set_cursor("other", "INBOX", 1, 1); /* behind it in the line */
        db = open_beside();
        ck_assert_int_eq(db_number(db, NULL, &left, 0, "SELECT count(*) FROM untold", NULL, 0), 0);
        ck_assert_int_eq(left, 0);
        database_close(db);
}
END_TEST

/* More than one statement takes, of which a scan has found one, one is told twice and one repeats another. */
START_TEST(rows_together)
{
        enum { COUNT = 2 * DB_MANY + 3, SCANNED = 5, TWICE = 19, REPEATS = 30 };
        const uint8_t tag[CONTENT_TAG_SIZE] = { 1 };
        struct mailbox_entry entries[COUNT];
        struct fetched_record records[COUNT];
        char files[COUNT][8];
        struct inbox_row scanned = { .file = files[SCANNED] };
        int64_t place, count;

        reclose();
        struct database *db = open_beside();
        for (uint32_t i = 0; i < COUNT; i++) {
                entries[i] = (struct mailbox_entry){ .uid = i == TWICE + 1 ? i : i + 1 };
                (void)snprintf(files[i], sizeof files[i], "U%u", entries[i].uid);
                records[i] = (struct fetched_record){
                        fetched_key_of("in", "INBOX", 7, &entries[i]),
                        { .how = SEEN_PLACED, .file = files[i], .box = "", .tag = tag }
                };
        }
        records[REPEATS].message.how = SEEN_KNOWN;
        records[REPEATS].message.file = files[REPEATS - 1];
        ck_assert_int_eq(inbox_row_add(db, "in", &scanned, NULL), 0);
        ck_assert_int_eq(fetched_make_place(db, "in", "INBOX", &place, NULL), 0);
        ck_assert_int_eq(fetched_record(db, place, records, COUNT, NULL), 0);
        for (size_t i = 0; i < COUNT; i++) {
                struct fetched_row row;
                ck_assert_int_eq(fetched_find(db, &records[i].key, &row, NULL), 0);
                ck_assert(row.known);
                ck_assert_str_eq(row.file, records[i].message.file);
                free(row.file);
        }
        ck_assert_int_eq(inbox_row_count(db, "in", &count, NULL), 0);
        ck_assert_int_eq(count, COUNT - 2);
        ck_assert_int_eq(db_number(db, NULL, &count, 0, "SELECT count(*) FROM inbox", NULL, 0), 0);
        ck_assert_int_eq(count, COUNT - 2);
        ck_assert_int_eq(db_number(db, NULL, &count, 0, "SELECT count(*) FROM seen", NULL, 0), 0);
        ck_assert_int_eq(count, COUNT - 1);
        database_close(db);
}
END_TEST

START_TEST(rows)
{
        const uint8_t tag[CONTENT_TAG_SIZE] = { 1, 2, 3 }, other[CONTENT_TAG_SIZE] = { 9 };
        struct mailbox_entry imap = { .uid = 5 }, pop3 = { .uid = 1, .uidl = "abc" };
        struct fetched_key key = fetched_key_of("in", "INBOX", 7, &imap);
        struct fetched_key moved = fetched_key_of("in", "INBOX", 8, &imap);
        struct fetched_key letter = fetched_key_of("in", "", 0, &pop3);
        struct fetched_message message = { .how = SEEN_PLACED, .received = 1, .file = "U1", .tag = tag };
        struct fetched_row row;
        int64_t inbox, place;
        char *file;

        reclose();
        struct database *db = open_beside();
        ck_assert_int_eq(fetched_find(db, &key, &row, NULL), 0);
        ck_assert(!row.known);
        ck_assert_int_eq(fetched_make_place(db, "in", "INBOX", &inbox, NULL), 0);
        ck_assert_int_eq(fetched_make_place(db, "in", "", &place, NULL), 0);
        ck_assert_int_eq(fetched_record(db, inbox, &(struct fetched_record){ key, message }, 1, NULL), 0);
        ck_assert_int_eq(fetched_find(db, &key, &row, NULL), 0);
        ck_assert(row.known);
        ck_assert_str_eq(row.file, "U1");
        free(row.file);
        /* A tag counts for another UIDVALIDITY, not within the same one. */
        ck_assert_int_eq(fetched_find_digest(db, &key, seen_tag(tag), &file, NULL), 0);
        ck_assert_ptr_null(file);
        ck_assert_int_eq(fetched_find_digest(db, &moved, seen_tag(other), &file, NULL), 0);
        ck_assert_ptr_null(file);
        ck_assert_int_eq(fetched_find_digest(db, &moved, seen_tag(tag), &file, NULL), 1);
        ck_assert_str_eq(file, "U1");
        free(file);
        /* A tag is no SHA-256 of which there happen to be the same bytes. */
        const uint8_t same[32] = { 1, 2, 3 };
        ck_assert_int_eq(fetched_find_digest(db, &moved, seen_sha256(same), &file, NULL), 0);
        ck_assert_ptr_null(file);
        ck_assert_int_eq(fetched_has_sha256(db, &moved, NULL), 0);
        ck_assert_int_eq(db_run(db, NULL, "UPDATE place SET sha256 = 1 WHERE folder = 'INBOX'", NULL, 0), 0);
        ck_assert_int_eq(fetched_has_sha256(db, &moved, NULL), 1);
        ck_assert_int_eq(fetched_has_sha256(db, &letter, NULL), 0);
        /* A UIDL that went and comes again is another message: the next generation. */
        ck_assert_uint_eq(letter.uid, 0);
        ck_assert_int_eq(fetched_record(db, place, &(struct fetched_record){ letter, message }, 1, NULL), 0);
        ck_assert_int_eq(db_run(db, NULL, "UPDATE seen SET gone = 1 WHERE uidl = ?", VALUES(v_text("abc"))),
                         0);
        ck_assert_int_eq(fetched_find(db, &letter, &row, NULL), 0);
        ck_assert(!row.known);
        ck_assert_int_eq(row.generation, 1);
        /* One that has just gone is known by its tag under another UIDL, until that look is over. */
        struct mailbox_entry renamed = { .uid = 1, .uidl = "xyz" };
        struct fetched_key other_uidl = fetched_key_of("in", "", 0, &renamed);
        for (int gone = 0; gone <= 2; gone++) {
                ck_assert_int_eq(db_run(db, NULL, "UPDATE seen SET gone = ? WHERE uidl = ?",
                                        VALUES(v_int(gone), v_text("abc"))),
                                 0);
                ck_assert_int_eq(fetched_find_digest(db, &other_uidl, seen_tag(tag), &file, NULL), gone == 2);
                ck_assert_int_eq(file != NULL, gone == 2);
                free(file);
        }
        database_close(db);
        reopen();
        /* What was not told of the server's present mailbox is given with the cursor. */
        set_cursor("in", "INBOX", 7, 5);
        struct cursor_answer cursor = cursor_of("in", "INBOX");
        ck_assert_uint_eq(cursor.count, 1);
        ck_assert_uint_eq(cursor.untold[0].uid, 5);
        struct answer answer = { 0 };
        fetched_told("in", "INBOX", 7, &imap, 1, answered, &answer);
        wait_well(&answer);
        ck_assert_uint_eq(cursor_of("in", "INBOX").count, 0);
}
END_TEST

/* ---- values that are kept ---- */

/* Names on disk that an earlier version has written; a row that changes here loses somebody's counters. */
static const char *const pinned[KEPT_VALUES] = {
        "lastChecked",
        "lastPollSuccess",
        "lastPollFailure",
        "lastPollFailureCause",
        "numberSent",
        "numberDeferred",
        "numberDiscarded",
        "lastDiscard",
        "lastDiscardCause",
        "numberReceived",
        "lastReceived",
        "handedBack",
        "lastHandedBack",
        "missing",
        "nameless",
        "noUidExpunge",
        "floodRecipient",
        "lastFlood",
        "numberGathered",
        "lastGathered",
        "pausedSeconds",
        "stoppedSince",
        "sentDay",
        "sentOnDay",
        "signedInBy",
        "signedInAt",
        "signinBroken",
        "workedSince",
        "lastSignedIn",
        "doubtTalk",
        "doubtTries",
        "doubtNext",
        "heartbeatStateNumber",
        "lastHeartbeat",
        "lastHeartbeatArrived",
        "lastHeartbeatSeconds",
        "heartbeatToken",
        "heartbeatId",
        "heartbeatTo",
        "heartbeatReturns",
        "heartbeatWasMissing",
        "faultMailOpen",
        "heartbeatMailOpen",
        "faultMailDay",
        "faultMails",
        "lastChange",
        "anchors",
        "decisions",
};

START_TEST(names_on_disk_stay)
{
        for (unsigned i = 0; i < KEPT_VALUES; i++) {
                ck_assert_str_eq(names[i], pinned[i]);
                ck_assert_uint_eq(kept_named(pinned[i]), i);
        }
        ck_assert_uint_eq(kept_named("numberOfNothing"), KEPT_VALUES);
}
END_TEST

START_TEST(kept_values_last)
{
        char account[32];

        ck_assert_int_eq(kept_number("a", KEPT_NUMBER_SENT), 0);
        ck_assert_ptr_null(kept_text("a", KEPT_LAST_DISCARD_CAUSE));
        kept_add("a", KEPT_NUMBER_SENT, 2);
        kept_add("a", KEPT_NUMBER_SENT, 3);
        kept_set_text("a", KEPT_LAST_DISCARD_CAUSE, "a text");
        kept_set_number("b", KEPT_NUMBER_SENT, -7);
        ck_assert_int_eq(kept_number("a", KEPT_NUMBER_SENT), 5);
        kept_set_text("a", KEPT_LAST_DISCARD_CAUSE, kept_text("a", KEPT_LAST_DISCARD_CAUSE));
        kept_set_fault_told("a", "Authentication", 11);
        kept_set_fault_told("a", "Storage", 12);
        for (int i = 0; i < 100; i++) {
                (void)snprintf(account, sizeof account, "account%d", i);
                kept_set_number(account, KEPT_LAST_CHECKED, i);
                kept_set_number("a", (enum kept)(i % KEPT_VALUES), i);
        }
        kept_set_number("a", KEPT_NUMBER_SENT, 5);
        kept_set_text("a", KEPT_LAST_DISCARD_CAUSE, "a text");
        reclose();
        reopen();
        ck_assert_int_eq(kept_number("a", KEPT_NUMBER_SENT), 5);
        ck_assert_int_eq(kept_number("b", KEPT_NUMBER_SENT), -7);
        ck_assert_str_eq(kept_text("a", KEPT_LAST_DISCARD_CAUSE), "a text");
        ck_assert_int_eq(kept_fault_told("a", "Authentication"), 11);
        ck_assert_int_eq(kept_fault_told("a", "Storage"), 12);
        ck_assert_int_eq(kept_fault_told("a", "Protocol"), 0);
        ck_assert_int_eq(kept_number("account99", KEPT_LAST_CHECKED), 99);
        forget_account("a");
        ck_assert_int_eq(kept_number("a", KEPT_NUMBER_SENT), 0);
        ck_assert_int_eq(kept_fault_told("a", "Storage"), 0);
        kept_set_number("a", KEPT_LAST_CHECKED, 1);
        reclose();
        reopen();
        ck_assert_int_eq(kept_number("a", KEPT_NUMBER_SENT), 0);
        ck_assert_int_eq(kept_number("a", KEPT_LAST_CHECKED), 1);
        ck_assert_int_eq(kept_number("b", KEPT_NUMBER_SENT), -7);
}
END_TEST

/* A name of a later version is left alone, for when that version comes back. */
START_TEST(names_of_another_version_stay)
{
        int64_t value = 0;

        reclose();
        char *path = text_of("%s/station.db", folder);
        struct database *db = database_open(path, true, NULL);
        ck_assert_int_eq(db_run(db, NULL, "INSERT INTO fact VALUES ('a', 'numberOfWhales', 3)", NULL, 0), 0);
        database_close(db);
        reopen();
        kept_set_number("a", KEPT_NUMBER_SENT, 1);
        reclose();
        db = database_open(path, false, NULL);
        ck_assert_int_eq(db_number(db, NULL, &value, 0,
                                   "SELECT value FROM fact WHERE name = 'numberOfWhales'", NULL, 0),
                         0);
        ck_assert_int_eq(value, 3);
        database_close(db);
        free(path);
        reopen();
}
END_TEST

START_TEST(kept_values_go_with_the_commit_of_their_turn)
{
        struct answer answer = { 0 };
        int64_t value = 0;

        kept_set_number("in", KEPT_NUMBER_RECEIVED, 41);
        fetched_set_cursor("in", "INBOX", 1, 1, answered, &answer);
        kept_add("in", KEPT_NUMBER_RECEIVED, 1); /* after it, in the same turn */
        wait_well(&answer);
        /* On disk now, by what another connection sees. */
        char *path = text_of("%s/station.db", folder);
        struct database *db = database_open(path, false, NULL);
        ck_assert_int_eq(db_number(db, NULL, &value, 0,
                                   "SELECT value FROM fact WHERE account = ? AND name = ?",
                                   VALUES(v_text("in"), v_text("numberReceived"))),
                         0);
        ck_assert_int_eq(value, 42);
        database_close(db);
        free(path);
}
END_TEST

int main(void)
{
        TCase *tests = tcase_create("fetched_table");
        tcase_add_checked_fixture(tests, store_up, store_down);
        tcase_add_test(tests, cursors);
        tcase_add_test(tests, two_inboxes_become_one);
        tcase_add_test(tests, received_mail_is_parted);
        tcase_add_test(tests, uidls);
        tcase_add_test(tests, a_set_of_uidls);
        tcase_add_test(tests, many_uidls_go_at_once);
        tcase_add_test(tests, rows);
        tcase_add_test(tests, rows_together);
        tcase_add_test(tests, told_ranges);
        tcase_add_test(tests, untold_become_ranges);
        tcase_add_test(tests, ranges_of_untold);
        tcase_add_test(tests, names_on_disk_stay);
        tcase_add_test(tests, kept_values_last);
        tcase_add_test(tests, names_of_another_version_stay);
        tcase_add_test(tests, kept_values_go_with_the_commit_of_their_turn);
        Suite *suite = suite_create("fetched_table");
        suite_add_tcase(suite, tests);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed != 0;
}
