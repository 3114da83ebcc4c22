/* SPDX-License-Identifier: MIT */
/* Versions of the schema: the way up, and files that are left alone. With steps of its own. */
#include "daemon/store/database.c"

#include <check.h>

const char *const schema_steps[] = {
        "CREATE TABLE one (a INTEGER); INSERT INTO one VALUES (1)",
        "ALTER TABLE one ADD COLUMN b INTEGER DEFAULT 7",
        "UPDATE one SET a = a + b; CREATE TABLE two (x)",
};
const size_t schema_step_count = count_of(schema_steps);

static char path[256];

static void make_path(void)
{
        const char *base = getenv("TMPDIR");

        (void)snprintf(path, sizeof path, "%s/db.XXXXXX", base ? base : "/tmp");
        int fd = mkstemp(path);
        ck_assert_int_ge(fd, 0);
        close(fd);
}

static void drop_path(void)
{
        static const char *const ends[] = { "", "-wal", "-shm" };

        for (size_t i = 0; i < count_of(ends); i++) {
                char *name = text_of("%s%s", path, ends[i]);
                (void)unlink(name);
                free(name);
        }
}

/* The file as some program left it. */
static void prepare(const char *sql)
{
        sqlite3 *handle;

        ck_assert_int_eq(sqlite3_open(path, &handle), SQLITE_OK);
        ck_assert_int_eq(sqlite3_exec(handle, sql, NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(handle);
}

static int64_t ask(const char *sql)
{
        sqlite3 *handle;
        sqlite3_stmt *statement;
        int64_t result = -1;

        ck_assert_int_eq(sqlite3_open(path, &handle), SQLITE_OK);
        if (sqlite3_prepare_v2(handle, sql, -1, &statement, NULL) == SQLITE_OK) {
                if (sqlite3_step(statement) == SQLITE_ROW)
                        result = sqlite3_column_int64(statement, 0);
                sqlite3_finalize(statement);
        }
        sqlite3_close(handle);
        return result;
}

static const struct {
        const char *before;
} versions[] = {
        { "" },
        { "PRAGMA application_id = 1162695492; CREATE TABLE one (a INTEGER); INSERT INTO one VALUES (1);"
          "PRAGMA user_version = 1" },
        { "PRAGMA application_id = 1162695492; CREATE TABLE one (a INTEGER, b INTEGER DEFAULT 7);"
          "INSERT INTO one VALUES (1, 7); PRAGMA user_version = 2" },
        { "PRAGMA application_id = 1162695492; CREATE TABLE one (a INTEGER, b INTEGER DEFAULT 7); CREATE "
          "TABLE two (x);"
          "INSERT INTO one VALUES (8, 7); PRAGMA user_version = 3" },
};

START_TEST(every_version_goes_up)
{
        struct cause cause = { 0 };

        prepare(versions[_i].before);
        struct database *db = database_open(path, true, &cause);
        ck_assert_msg(db != NULL, "%s", cause.text);
        database_close(db);
        ck_assert_int_eq(ask("PRAGMA user_version"), 3);
        ck_assert_int_eq(ask("SELECT sum(a) FROM one"), 8);
        ck_assert_int_eq(ask("SELECT count(*) FROM two"), 0);
        ck_assert_int_eq(ask("PRAGMA application_id"), DATABASE_APPLICATION);
}
END_TEST

START_TEST(a_step_that_fails_changes_nothing)
{
        struct cause cause = { 0 };

        prepare("PRAGMA application_id = 1162695492; CREATE TABLE one (a INTEGER, b INTEGER); CREATE TABLE "
                "two (x);"
                "INSERT INTO one VALUES (1, 7); PRAGMA user_version = 2");
        ck_assert_ptr_null(database_open(path, true, &cause));
        ck_assert_ptr_nonnull(strstr(cause.text, "bringing the schema to version 3"));
        ck_assert_int_eq(ask("PRAGMA user_version"), 2);
        ck_assert_int_eq(ask("SELECT a FROM one"), 1);
}
END_TEST

static const struct {
        const char *before, *text;
} refused[] = {
        { "PRAGMA application_id = 1162695492; CREATE TABLE one (a); PRAGMA user_version = 4",
          "newer emailsecd" },
        { "CREATE TABLE other (a)", "not a database of emailsecd" },
        { "CREATE TABLE other (a); PRAGMA user_version = 1", "not a database of emailsecd" },
};

START_TEST(files_of_others)
{
        struct cause cause = { 0 };

        prepare(refused[_i].before);
        int64_t version = ask("PRAGMA user_version"), tables = ask("SELECT count(*) FROM sqlite_schema");
        ck_assert_ptr_null(database_open(path, true, &cause));
        ck_assert_int_eq((int)cause.code, CAUSE_STORAGE);
        ck_assert_msg(strstr(cause.text, refused[_i].text) && strstr(cause.text, path), "%s", cause.text);
        ck_assert_int_eq(ask("PRAGMA user_version"), version);
        ck_assert_int_eq(ask("SELECT count(*) FROM sqlite_schema"), tables);
        ck_assert_int_eq(ask("PRAGMA auto_vacuum"), 0);
}
END_TEST

static char *bytes_of(const char *end, size_t *len)
{
        scoped(scoped_free) char *name = text_of("%s%s", path, end);
        char *bytes = new_zeroed(1, 64 * KIB);
        FILE *file = fopen(name, "r");

        ck_assert_ptr_nonnull(file);
        *len = fread(bytes, 1, 64 * KIB, file);
        fclose(file);
        return bytes;
}

/* What a newer one has left, killed before its log was in the file. */
START_TEST(a_newer_one_stays_as_it_is)
{
        static const char *const parts[] = { "", "-wal" };
        struct cause cause = { 0 };
        sqlite3 *handle;
        char *before[count_of(parts)];
        size_t len[count_of(parts)], now;

        ck_assert_int_eq(sqlite3_open(path, &handle), SQLITE_OK);
        ck_assert_int_eq(
                sqlite3_exec(handle,
                             "PRAGMA journal_mode = WAL; PRAGMA application_id = 1162695492;"
                             "CREATE TABLE one (a); PRAGMA user_version = 4; INSERT INTO one VALUES (1)",
                             NULL, NULL, NULL),
                SQLITE_OK);
        ck_assert_int_eq(sqlite3_db_config(handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL), SQLITE_OK);
        sqlite3_close(handle);
        for (size_t i = 0; i < count_of(parts); i++)
                before[i] = bytes_of(parts[i], &len[i]);
        ck_assert_uint_gt(len[1], 0);
        ck_assert_int_eq(database_holds(path, &cause), 1);
        ck_assert_ptr_null(database_open(path, true, &cause));
        ck_assert_ptr_nonnull(strstr(cause.text, "newer emailsecd (schema 4, this one knows up to 3)"));
        ck_assert_str_eq(cause.remedy, "install the newer emailsecd again");
        for (size_t i = 0; i < count_of(parts); i++) {
                scoped(scoped_free) char *after = bytes_of(parts[i], &now);
                ck_assert_uint_eq(now, len[i]);
                ck_assert_mem_eq(after, before[i], now);
                free(before[i]);
        }
        ck_assert_int_eq(ask("SELECT a FROM one"), 1);
}
END_TEST

START_TEST(damaged_file)
{
        struct cause cause = { 0 };
        char garbage[4096], after[4096];

        for (size_t i = 0; i < sizeof garbage; i++)
                garbage[i] = (char)(i * 7 + 1);
        FILE *file = fopen(path, "w");
        ck_assert_uint_eq(fwrite(garbage, 1, sizeof garbage, file), sizeof garbage);
        fclose(file);
        ck_assert_ptr_null(database_open(path, true, &cause));
        ck_assert_int_eq((int)cause.code, CAUSE_STORAGE);
        ck_assert_msg(strstr(cause.text, "damaged") && strstr(cause.text, path), "%s", cause.text);
        file = fopen(path, "r");
        ck_assert_uint_eq(fread(after, 1, sizeof after, file), sizeof after);
        fclose(file);
        ck_assert_mem_eq(garbage, after, sizeof after);
}
END_TEST

START_TEST(values_in_and_out)
{
        struct cause cause = { 0 };
        struct database *db = database_open(path, true, &cause);
        int64_t number = 0;

        ck_assert_ptr_nonnull(db);
        ck_assert_int_eq(
                db_number(db, &cause, &number, -5, "SELECT max(a) FROM one WHERE a > ?", VALUES(v_int(100))),
                0);
        ck_assert_int_eq(number, -5);
        sqlite3_stmt *rows = db_query(db, &cause, "SELECT ?, ?, ?, ?",
                                      VALUES(v_text("text"), v_text(NULL), v_bytes("b\0c", 3), v_null()));
        ck_assert_int_eq(db_next(db, rows, &cause), 1);
        char *text = db_text(rows, 0);
        ck_assert_str_eq(text, "text");
        free(text);
        ck_assert_ptr_null(db_text(rows, 1));
        ck_assert_int_eq(sqlite3_column_bytes(rows, 2), 3);
        ck_assert_int_eq(db_next(db, rows, &cause), 0);
        db_end(&rows);
        ck_assert_int_eq(db_run(db, &cause, "INSERT INTO nowhere VALUES (?)", VALUES(v_int(1))), -1);
        ck_assert_int_eq((int)cause.code, CAUSE_STORAGE);
        database_close(db);
}
END_TEST

int main(void)
{
        TCase *tests = tcase_create("database");
        tcase_add_checked_fixture(tests, make_path, drop_path);
        tcase_add_loop_test(tests, every_version_goes_up, 0, (int)count_of(versions));
        tcase_add_test(tests, a_step_that_fails_changes_nothing);
        tcase_add_loop_test(tests, files_of_others, 0, (int)count_of(refused));
        tcase_add_test(tests, a_newer_one_stays_as_it_is);
        tcase_add_test(tests, damaged_file);
        tcase_add_test(tests, values_in_and_out);
        Suite *suite = suite_create("database");
        suite_add_tcase(suite, tests);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed != 0;
}
