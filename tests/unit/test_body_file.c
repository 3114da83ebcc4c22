/* SPDX-License-Identifier: MIT */
/* Bodies of large messages as files: they come and go with their rows, whatever fails, and are read whole or
 * not. */
#include "daemon/store/queue_body.h"

#include "before_tags.h"
#include "daemon/journal.h"
#include "daemon/local_names.h"
#include "daemon/messages.h"
#include "daemon/sha256.h"
#include "daemon/store/database_copy.h"
#include "daemon/store/disk.h"
#include "daemon/store/jobs.h"
#include "queue_answers.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

enum { LARGE = 600000 };

static char large[LARGE];

static void up(void)
{
        memset(large, 'x', sizeof large);
        for (size_t i = 0; i + 1 < sizeof large; i += 64)
                memcpy(large + i, i ? "\r\n" : "\n\n", 2);
        memcpy(large + sizeof large - 2, "\r\n", 2);
        store_up();
}

static void down(void)
{
        disk_use(NULL);
        journal_capture(NULL);
        store_down();
}

static struct submission large_one(void)
{
        struct submission s = plain("out");

        s.bytes = large;
        s.len = sizeof large;
        return s;
}

/* Files in bodies/; `name`: of one of them, or NULL. */
static size_t files_there(char name[256])
{
        scoped(scoped_free) char *path = text_of("%s/bodies", folder);
        DIR *entries = opendir(path);
        const struct dirent *entry;
        size_t count = 0;

        ck_assert_ptr_nonnull(entries);
        while ((entry = readdir(entries))) {
                if (entry->d_name[0] == '.')
                        continue;
                count++;
                if (name)
                        (void)snprintf(name, 256, "%s", entry->d_name);
        }
        closedir(entries);
        return count;
}

static int64_t number_of(const char *path, const char *sql)
{
        sqlite3 *handle;
        sqlite3_stmt *rows = NULL;

        ck_assert_int_eq(sqlite3_open(path, &handle), SQLITE_OK);
        sqlite3_busy_timeout(handle, 5000);
        ck_assert_int_eq(sqlite3_prepare_v2(handle, sql, -1, &rows, NULL), SQLITE_OK);
        ck_assert_int_eq(sqlite3_step(rows), SQLITE_ROW);
        int64_t number = sqlite3_column_int64(rows, 0);
        sqlite3_finalize(rows);
        sqlite3_close(handle);
        return number;
}

static int64_t number(const char *sql)
{
        scoped(scoped_free) char *path = text_of("%s/station.db", folder);

        return number_of(path, sql);
}

/* What is there belongs together: as many files as rows, and nothing in chunks. */
static void check_files(size_t want)
{
        written(); /* what was to go has gone with the commit before this answer */
        ck_assert_uint_eq(files_there(NULL), want);
        ck_assert_int_eq(number("SELECT count(*) FROM body_file"), (int64_t)want);
}

static void check_body(const struct queued_message *message)
{
        struct body body = { .bytes = BUF_WITH_MAX(16 * MIB) };

        ck_assert_int_eq(buf_append(&body.bytes, message->first, message->first_len), 0);
        while (body.bytes.len < message->size) {
                body.answer.came = false;
                queue_read_body(message->seq, body.bytes.len, on_body, &body);
                wait_well(&body.answer);
        }
        ck_assert_uint_eq(body.bytes.len, message->size);
        ck_assert_mem_eq(buf_bytes(&body.bytes) + message->size - 1000, large + sizeof large - 1000, 1000);
        buf_free(&body.bytes);
}

/* The next one is whole, and is given back. */
static void check_next(void)
{
        struct claimed claimed = claim("out", NOW, 1);

        ck_assert_uint_eq(claimed.count, 1);
        check_body(claimed.messages[0]);
        queue_unclaim(claimed.messages[0]->seq);
        free_claimed(&claimed);
}

/* ---- coming and going ---- */

START_TEST(from_a_size_on)
{
        struct submission s = large_one();
        char name[256];
        struct stat st;

        for (size_t i = 0; i < 2; i++) {
                s.len = BODY_FILE_FROM / 2 + i * BODY_FILE_FROM;
                submit_well(&s);
        }
        check_files(1);
        ck_assert_int_eq(number("SELECT count(*) FROM body"), 1);
        (void)files_there(name);
        scoped(scoped_free) char *path = text_of("%s/bodies/%s", folder, name),
                                 *parent = text_of("%s/bodies", folder);
        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777, 0600);
        ck_assert_int_eq(stat(parent, &st), 0);
        ck_assert_uint_eq(st.st_mode & 07777, 0700);
}
END_TEST

START_TEST(it_goes_with_its_row)
{
        struct submission s = large_one();
        struct submitted done[4];

        for (size_t i = 0; i < count_of(done); i++)
                done[i] = submit_well(&s);
        check_files(4);
        struct claimed claimed = claim("out", NOW, 1);
        settle(claimed.messages[0]->seq, QUEUE_DEFERRED, NOW + 1000);
        check_files(4);
        free_claimed(&claimed);
        claimed = claim("out", NOW + 1000, 1);
        settle(claimed.messages[0]->seq, QUEUE_SENT, 0);
        check_files(3);
        change_well(QUEUE_DELETE, done[1].id, NULL);
        check_files(2);
        change_well(QUEUE_REROUTE, done[2].id, "other");
        check_files(2);
        forget_account("out");
        check_files(1);
        free_claimed(&claimed);
        claimed = claim("other", NOW, 1);
        check_body(claimed.messages[0]);
        free_claimed(&claimed);
}
END_TEST

START_TEST(what_is_refused_leaves_none)
{
        struct submission s = large_one();
        struct submitted one = { 0 };
        struct json_answer unknown = { 0 };
        const char *id = "zzzz";

        s.key = "k";
        submit_well(&s);
        ck_assert(submit_well(&s).duplicate);
        check_files(1);
        s.key = NULL;
        s.max_queue = 1;
        ck_assert_int_eq((int)submit(&s).answer.cause.code, CAUSE_QUEUE_FULL);
        check_files(1);
        /* Beside one that fails in the same commit. */
        s.max_queue = 1000;
        queue_submit(&s, on_submitted, &one);
        queue_change(QUEUE_DELETE, &id, 1, NULL, 100, on_json, &unknown);
        wait_well(&one.answer);
        wait_for(&unknown.answer);
        ck_assert(unknown.answer.failed);
        check_files(2);
        reclose();
        reopen();
        check_files(2);
        check_next();
}
END_TEST

/* ---- who writes it ---- */

static atomic_bool by_loop;
static pthread_t loop_thread;

static ssize_t write_by_somebody(int fd, const void *bytes, size_t len)
{
        if (pthread_equal(pthread_self(), loop_thread))
                atomic_store(&by_loop, true);
        return disk_real_calls()->write(fd, bytes, len);
}

/* In memory and small as it comes, and many times as large with the addresses behind its names. With all
 * threads of its user at work it waits for one; the end of the store waits for it. */
START_TEST(a_small_one_that_grows)
{
        scoped(scoped_free) char *aliases = text_of("%s/aliases", folder);
        struct settings settings = { .hostname = (char *)"station.example", .alias_file = aliases };
        static struct disk_calls calls;
        struct submission s = plain("out");
        struct submitted many[LIMIT_INTAKES_OF_USER + 2] = { 0 };
        FILE *file = fopen(aliases, "w");

        ck_assert_ptr_nonnull(file);
        (void)fputs("root: nobody@example.com", file);
        for (int i = 0; i < 900; i++)
                fprintf(file, ", somebody.with.a.name.%d@long.example.com", i);
        (void)fputs("\n", file);
        ck_assert_int_eq(fclose(file), 0);
        local_names_open(&settings);
        s.rules.names = local_names_hold();
        local_names_close();
        s.bytes = "To: root, root, root, root, root, root, root, root, root, root, root\n\nx\n";
        s.len = strlen(s.bytes);
        calls = *disk_real_calls();
        calls.write = write_by_somebody;
        loop_thread = pthread_self();
        disk_use(&calls);
        for (size_t i = 0; i < count_of(many); i++)
                queue_submit(&s, on_submitted, &many[i]);
        for (size_t i = 0; i < count_of(many); i++)
                wait_well(&many[i].answer);
        check_files(count_of(many));
        memset(many, 0, sizeof many);
        queue_submit(&s, on_submitted, &many[0]);
        loop_turn();
        queue_submit(&s, on_submitted, &many[1]);
        reclose();
        ck_assert(!atomic_load(&by_loop));
        reopen();
        check_files(count_of(many) + 2);
        local_names_release(s.rules.names);
        ck_assert_int_eq(unlink(aliases), 0);
}
END_TEST

/* ---- a disk that fails ---- */

enum failing { FAILS_WRITE, FAILS_SYNC_DATA, FAILS_LINK, FAILS_SYNC, FAILS_UNLINK, CALLS };
static atomic_int failing = CALLS, failing_with;

static bool fails(enum failing call)
{
        errno = atomic_load(&failing_with);
        return atomic_load(&failing) == (int)call;
}

static ssize_t bad_write(int fd, const void *bytes, size_t len)
{
        return fails(FAILS_WRITE) ? -1 : disk_real_calls()->write(fd, bytes, len);
}

static int bad_sync_data(int fd)
{
        return fails(FAILS_SYNC_DATA) ? -1 : disk_real_calls()->sync_data(fd);
}

static int bad_link(int fd, int at, const char *name)
{
        return fails(FAILS_LINK) ? -1 : disk_real_calls()->link(fd, at, name);
}

static int bad_sync(int fd)
{
        return fails(FAILS_SYNC) ? -1 : disk_real_calls()->sync(fd);
}

static int bad_unlink(int at, const char *name)
{
        return fails(FAILS_UNLINK) ? -1 : disk_real_calls()->unlink(at, name);
}

static void use_bad_calls(enum failing call, int error)
{
        static struct disk_calls calls;

        calls = *disk_real_calls();
        calls.write = bad_write;
        calls.sync_data = bad_sync_data;
        calls.link = bad_link;
        calls.sync = bad_sync;
        calls.unlink = bad_unlink;
        atomic_store(&failing_with, error);
        atomic_store(&failing, (int)call);
        disk_use(&calls);
}

static const struct {
        enum failing call;
        int error;
} failures[] = { { FAILS_WRITE, ENOSPC }, { FAILS_WRITE, EIO }, { FAILS_SYNC_DATA, EIO },
                 { FAILS_LINK, ENOSPC },  { FAILS_LINK, EIO },  { FAILS_SYNC, EIO },
                 { FAILS_SYNC, ENOSPC } };

/* Nothing is promised and nothing stays; a small one in the same commit is none the worse for it, unless the
 * commit itself is what failed; and it heals. */
START_TEST(a_call_that_fails)
{
        struct submission s = large_one(), small = plain("out");

        submit_well(&s);
        use_bad_calls(failures[_i].call, failures[_i].error);
        struct submitted refused = submit(&s);
        ck_assert(refused.answer.failed);
        ck_assert_int_eq((int)refused.answer.cause.code, CAUSE_STORAGE);
        atomic_store(&failing, CALLS);
        submit_well(&small);
        check_files(1);
        submit_well(&s);
        check_files(2);
        reclose();
        reopen();
        check_files(2);
        check_counts("out", QUEUE_QUEUED, 3);
}
END_TEST

/* Then it is kept in the database, as before there were files. */
START_TEST(a_file_system_that_cannot_name_it)
{
        struct submission s = large_one();

        use_bad_calls(FAILS_LINK, EPERM);
        submit_well(&s);
        check_files(0);
        ck_assert_int_eq(number("SELECT count(*) FROM body"), 3);
        check_next();
        struct claimed claimed = claim("out", NOW, 1);
        settle(claimed.messages[0]->seq, QUEUE_SENT, 0);
        ck_assert_int_eq(number("SELECT count(*) FROM body"), 0);
        free_claimed(&claimed);
}
END_TEST

/* Then as well: the next start would not find it. */
START_TEST(a_folder_that_was_replaced)
{
        struct submission s = large_one();
        scoped(scoped_free) char *path = text_of("%s/bodies", folder), *moved = text_of("%s/moved", folder);

        ck_assert_int_eq(rename(path, moved) + mkdir(path, 0700), 0);
        submit_well(&s);
        ck_assert_int_eq(number("SELECT count(*) FROM body"), 3);
        reclose();
        reopen();
        check_files(0);
        check_next();
        ck_assert_int_eq(rmdir(moved), 0);
}
END_TEST

static size_t taken(void)
{
        struct mallinfo2 now = mallinfo2();

        return now.uordblks + now.hblkhd;
}

/* As often as somebody tries to delete it while the disk takes no writes. */
START_TEST(a_name_is_noted_once)
{
        size_t before = taken();

        for (int i = 0; i < 100000; i++)
                body_file_goes(i % 2 ? "1111111111111111111111aa" : "1111111111111111111111bb");
        ck_assert_uint_lt(taken(), before + 100000);
        check_files(0);
}
END_TEST

/* It is swept at the next start. */
START_TEST(a_name_that_stays)
{
        struct submission s = large_one();
        struct submitted done = submit_well(&s);

        submit_well(&s);
        use_bad_calls(FAILS_UNLINK, EIO);
        change_well(QUEUE_DELETE, done.id, NULL);
        written();
        ck_assert_uint_eq(files_there(NULL), 2);
        disk_use(NULL);
        reclose();
        reopen();
        check_files(1);
        check_next();
}
END_TEST

/* ---- a kill at each call ---- */

static atomic_int calls_left;
static bool kill_behind;

static void ahead(void)
{
        if (!kill_behind && atomic_fetch_sub(&calls_left, 1) == 0)
                kill(getpid(), SIGKILL);
}

static void behind(void)
{
        if (kill_behind && atomic_fetch_sub(&calls_left, 1) == 0)
                kill(getpid(), SIGKILL);
}

static ssize_t last_write(int fd, const void *bytes, size_t len)
{
        ahead();
        ssize_t result = disk_real_calls()->write(fd, bytes, len);
        behind();
        return result;
}

static int last_sync_data(int fd)
{
        ahead();
        int result = disk_real_calls()->sync_data(fd);
        behind();
        return result;
}

static int last_link(int fd, int at, const char *name)
{
        ahead();
        int result = disk_real_calls()->link(fd, at, name);
        behind();
        return result;
}

static int last_sync(int fd)
{
        ahead();
        int result = disk_real_calls()->sync(fd);
        behind();
        return result;
}

static int last_unlink(int at, const char *name)
{
        ahead();
        int result = disk_real_calls()->unlink(at, name);
        behind();
        return result;
}

/* One is submitted and sent; each answer is told. */
static void submit_and_send(int to)
{
        struct disk_calls calls = *disk_real_calls();
        struct submission s = large_one();

        calls.write = last_write;
        calls.sync_data = last_sync_data;
        calls.link = last_link;
        calls.sync = last_sync;
        calls.unlink = last_unlink;
        reopen();
        disk_use(&calls);
        struct submitted done = submit_well(&s);
        (void)!write(to, done.id, QUEUE_ID_SIZE);
        struct claimed claimed = claim("out", NOW, 1);
        settle(claimed.messages[0]->seq, QUEUE_SENT, 0);
        (void)!write(to, done.id, QUEUE_ID_SIZE);
        _exit(0);
}

START_TEST(killed_at_each_call)
{
        int status = 1;

        reclose();
        kill_behind = _i;
        for (int point = 0; !WIFEXITED(status) || point < 2; point++) {
                char ids[2][QUEUE_ID_SIZE] = { "", "" };
                int ends[2];
                ck_assert_int_lt(point, 100);
                ck_assert_int_eq(pipe(ends), 0);
                pid_t child = fork();
                if (child == 0) {
                        atomic_store(&calls_left, point);
                        submit_and_send(ends[1]);
                }
                close(ends[1]);
                for (int i = 0; i < 2 && read(ends[0], ids[i], QUEUE_ID_SIZE) == QUEUE_ID_SIZE; i++)
                        ;
                close(ends[0]);
                ck_assert_int_eq(waitpid(child, &status, 0), child);
                reopen();
                size_t waits = queue_counts("out").messages[QUEUE_QUEUED];
                ck_assert_uint_le(waits, 1);
                if (ids[0][0] && !ids[1][0])
                        ck_assert_uint_eq(waits + queue_counts("out").messages[QUEUE_SENT], 1);
                if (ids[1][0])
                        check_state(ids[1], "sent");
                check_files(waits);
                if (waits)
                        check_next();
                forget_account("out");
                check_files(0);
                reclose();
        }
        ck_assert_int_eq(WEXITSTATUS(status), 0);
        reopen();
}
END_TEST

/* ---- the start ---- */

static void put_file(const char *name)
{
        scoped(scoped_free) char *path = text_of("%s/%s", folder, name);
        int fd = open(path, O_WRONLY | O_CREAT, 0600);

        ck_assert_int_ge(fd, 0);
        close(fd);
}

START_TEST(what_has_no_row_is_swept)
{
        struct submission s = large_one();

        submit_well(&s);
        reclose();
        put_file("bodies/0123456789abcdefghjkmnpq");
        put_file("bodies/somebody's own");
        reopen();
        ck_assert_uint_eq(files_there(NULL), 2);
        check_next();
}
END_TEST

/* ---- a folder that is missing ---- */

static bool found;

static void on_found(void)
{
        found = true;
        loop_end();
}

static void find_folder_again(void)
{
        found = false;
        queue_bodies_find(on_found);
        while (!found)
                loop_run();
        ck_assert_ptr_null(body_files_fault());
}

static char *moved_away(void)
{
        scoped(scoped_free) char *path = text_of("%s/bodies", folder);
        char *moved = text_of("%s/moved", folder);

        ck_assert_int_eq(rename(path, moved), 0);
        return moved;
}

static size_t expired_at(int64_t clock)
{
        struct json_answer expired = { 0 };

        queue_expire("out", clock, NULL, on_json, &expired);
        wait_well(&expired.answer);
        size_t count = json_array_size(expired.json);
        json_decref(expired.json);
        return count;
}

/* Messages wait for it, whatever happens to others meanwhile, and go once it is back. Damage of one is
 * another thing. */
START_TEST(a_folder_that_is_missing)
{
        struct submission s = large_one(), small = plain("out");
        scoped(scoped_free) char *path = text_of("%s/bodies", folder);
        struct body body = { .bytes = BUF_WITH_MAX(MIB) };

        submit_well(&s);
        struct submitted given_up = submit_well(&s);
        reclose();
        scoped(scoped_free) char *moved = moved_away();
        reopen();
        ck_assert_ptr_nonnull(body_files_fault());
        ck_assert_ptr_nonnull(strstr(body_files_fault()->text, "2 messages"));
        ck_assert_int_eq(access(path, F_OK), -1); /* nothing takes its place */
        submit_well(&small);
        struct submitted fresh = submit_well(&s);
        struct claimed claimed = claim("out", NOW, 10);
        ck_assert_uint_eq(claimed.count, 2);
        ck_assert_str_eq(claimed.messages[1]->id, fresh.id);
        check_body(claimed.messages[1]);
        settle(claimed.messages[0]->seq, QUEUE_SENT, 0);
        settle(claimed.messages[1]->seq, QUEUE_SENT, 0);
        queue_read_body(1, BODY_CHUNK, on_body, &body);
        wait_for(&body.answer);
        ck_assert_int_eq((int)body.answer.cause.code, CAUSE_STORAGE);
        ck_assert_uint_eq(expired_at(100000), 0);
        change_well(QUEUE_DELETE, given_up.id, NULL);
        check_counts("out", QUEUE_QUEUED, 1);
        reclose();
        reopen();
        ck_assert_ptr_nonnull(strstr(body_files_fault()->text, "1 message is"));
        ck_assert_int_eq(rename(moved, path), 0);
        find_folder_again();
        check_next();
        reclose();
        reopen();
        check_files(1);
        free_claimed(&claimed);
}
END_TEST

/* With the last of them there is nothing to wait for. */
START_TEST(a_missing_folder_that_nobody_needs)
{
        struct submission s = large_one();
        struct submitted done = submit_well(&s);

        reclose();
        scoped(scoped_free) char *moved = moved_away();
        reopen();
        change_well(QUEUE_DELETE, done.id, NULL);
        find_folder_again();
        submit_well(&s);
        check_files(1);
        scoped(scoped_free) char *clear = text_of("rm -r '%s'", moved);
        ck_assert_int_eq(system(clear), 0);
}
END_TEST

/* ---- without a database ---- */

/* Nobody knows to whom they were to go: a person may look at them. */
START_TEST(without_their_database_they_are_set_aside)
{
        static const char *const parts[] = { "station.db", "station.db-wal", "station.db-shm" };
        struct submission s = large_one();
        size_t aside = 0;

        submit_well(&s);
        reclose();
        for (size_t i = 0; i < count_of(parts); i++) {
                scoped(scoped_free) char *path = text_of("%s/%s", folder, parts[i]);
                (void)unlink(path);
        }
        reopen();
        check_files(0);
        DIR *entries = opendir(folder);
        const struct dirent *entry;
        while ((entry = readdir(entries)))
                aside += !strncmp(entry->d_name, "replaced-bodies-", 16);
        closedir(entries);
        ck_assert_uint_eq(aside, 1);
}
END_TEST

/* ---- damage ---- */

static char logged[256];

static void on_logged(int priority, const char *message_id, const char *text)
{
        (void)priority;
        if (same_text(message_id, MSG_QUEUE_DAMAGED))
                (void)snprintf(logged, sizeof logged, "%s", text);
}

static void put_what_cannot_be_opened(const char *path)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);

        ck_assert_int_eq(unlink(path), 0);
        ck_assert_uint_lt(strlen(path), sizeof address.sun_path);
        (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
        ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
        close(fd);
}

static void damage(int how)
{
        char name[256];
        scoped(scoped_free) char *path = NULL;

        (void)files_there(name);
        path = text_of("%s/bodies/%s", folder, name);
        int fd = open(path, O_RDWR);
        ck_assert_int_ge(fd, 0);
        if (how == 0)
                ck_assert_int_eq(unlink(path), 0);
        else if (how == 1)
                ck_assert_int_eq(ftruncate(fd, LARGE / 2), 0);
        else if (how == 2)
                ck_assert_int_eq(pwrite(fd, "!", 1, 1000), 1);
        else if (how == 3)
                ck_assert_int_eq(pwrite(fd, "!", 1, BODY_CHUNK + 1000), 1);
        else if (how == 4)
                ck_assert_int_eq(unlink(path) + symlink("../station.db", path), 0);
        else if (how == 8)
                put_what_cannot_be_opened(path);
        close(fd);
        if (how == 3)
                with_database("UPDATE recipient SET attempts = 1");
        if (how == 5)
                with_database("UPDATE body_file SET digests = x'00'");
        if (how == 6)
                with_database("UPDATE body_file SET name = '../station.db'");
        if (how == 7)
                with_database("DELETE FROM body_file");
}

START_TEST(a_damaged_one_is_set_aside)
{
        struct submission s = large_one(), small = plain("out");
        struct notice_rules notice = { "postmaster@example.com", "me@example.com", "h", "mail.example",
                                       1000 };
        struct claimed claimed = { 0 };

        journal_capture(on_logged);
        submit_well(&small);
        struct submitted bad = submit_well(&s);
        submit_well(&small);
        damage(_i);
        queue_claim("out", NOW, 10, 16 * MIB, &notice, NULL, on_claimed, &claimed);
        wait_well(&claimed.answer);
        ck_assert_uint_eq(claimed.count, 2);
        check_state(bad.id, "failed");
        ck_assert_msg(strstr(logged, bad.id) != NULL, "%s", logged);
        check_counts("out", QUEUE_QUEUED, 1); /* the notice */
        change_well(QUEUE_DELETE, bad.id, NULL);
        free_claimed(&claimed);
}
END_TEST

/* What is not read ahead is found as it is sent. */
START_TEST(a_later_chunk_that_has_changed)
{
        struct submission s = large_one();
        struct body body = { .bytes = BUF_WITH_MAX(MIB) };

        submit_well(&s);
        struct claimed claimed = claim("out", NOW, 1);
        ck_assert_uint_eq(claimed.count, 1);
        char name[256];
        (void)files_there(name);
        scoped(scoped_free) char *path = text_of("%s/bodies/%s", folder, name);
        int fd = open(path, O_RDWR);
        ck_assert_int_eq(pwrite(fd, "!", 1, BODY_CHUNK + 1000), 1);
        close(fd);
        queue_read_body(claimed.messages[0]->seq, BODY_CHUNK, on_body, &body);
        wait_for(&body.answer);
        ck_assert_str_eq(body.answer.cause.text, "the message is damaged: bytes of its body have changed");
        free_claimed(&claimed);
}
END_TEST

/* ---- a copy ---- */

/* What one chunk leaves the next one has, but not what is small, and nothing at rest. */
START_TEST(memory_of_chunks_is_used_again)
{
        uint8_t *chunk = chunk_memory_new(BODY_CHUNK), *small = chunk_memory_new(100);

        memset(chunk, 'x', BODY_CHUNK);
        memset(small, 'x', 100);
        chunk_memory_free(chunk);
        chunk_memory_free(small);
        chunk_memory_free(NULL);
        small = chunk_memory_new(100);
        ck_assert_ptr_ne(small, chunk);
        ck_assert_ptr_eq(chunk_memory_new(BODY_CHUNK - 1000), chunk);
        uint8_t *other = chunk_memory_new(BODY_CHUNK);
        ck_assert_ptr_ne(other, chunk);
        chunk_memory_free(chunk);
        uint8_t *most = chunk_memory_new(3 * BODY_CHUNK); /* as a damaged database may have it */
        ck_assert_ptr_ne(most, chunk);
        memset(most, 'x', 3 * BODY_CHUNK);
        chunk_memory_free(most);
        chunk_memory_free(other);
        chunk_memory_free(small);
        chunk_memory_give_back();
}
END_TEST

/* Whole by itself, with what goes while it is made. */
START_TEST(a_copy_has_them_in_it)
{
        scoped(scoped_free) char *target = text_of("%s/copy.db", folder);
        struct submission s = large_one();
        const atomic_bool never = false;
        struct cause cause = { 0 };

        submit_well(&s);
        struct submitted done = submit_well(&s);
        body_files_hold(true);
        change_well(QUEUE_DELETE, done.id, NULL);
        ck_assert_uint_eq(files_there(NULL), 2);
        body_files_hold(false);
        check_files(1);
        ck_assert_msg(store_copy_database(target, 0, &never, &cause) == 0, "%s", cause.text);
        ck_assert_int_eq(number_of(target, "SELECT count(*) FROM body_file"), 0);
        ck_assert_int_eq(number_of(target, "SELECT count(*) FROM body"), 3);
        ck_assert_int_eq(number_of(target, "SELECT sum(length(data)) = (SELECT size FROM message) FROM body"),
                         1);
        /* In its place it is sent. */
        reclose();
        scoped(scoped_free) char *path = text_of("%s/station.db", folder);
        ck_assert_int_eq(rename(target, path), 0);
        reopen();
        check_files(0);
        check_next();
}
END_TEST

/* ---- what an earlier version left ---- */

/* sha256(BYTES), and of a file in bodies/ of each chunk: sha256_each(NAME). */
static void sql_sha256(sqlite3_context *context, int count, sqlite3_value **values)
{
        uint8_t digest[SHA256_SIZE];

        (void)count;
        sha256_of(sqlite3_value_blob(values[0]), (size_t)sqlite3_value_bytes(values[0]), digest);
        sqlite3_result_blob(context, digest, sizeof digest, SQLITE_TRANSIENT);
}

static void sql_sha256_each(sqlite3_context *context, int count, sqlite3_value **values)
{
        scoped(scoped_free) char *path =
                text_of("%s/bodies/%s", folder, (const char *)sqlite3_value_text(values[0]));
        scoped(scoped_free) uint8_t *chunk = new_zeroed(1, BODY_CHUNK);
        uint8_t digests[8 * SHA256_SIZE];
        size_t len = 0, got;
        FILE *file = fopen(path, "r");

        (void)count;
        ck_assert_ptr_nonnull(file);
        for (; (got = fread(chunk, 1, BODY_CHUNK, file)) > 0; len += SHA256_SIZE) {
                ck_assert_uint_lt(len, sizeof digests);
                sha256_of(chunk, got, digests + len);
        }
        (void)fclose(file);
        sqlite3_result_blob(context, digests, (int)len, SQLITE_TRANSIENT);
}

/* The database as of the version ahead of the step that makes the key of tags. */
static void as_before_tags(void)
{
        scoped(scoped_free) char *path = text_of("%s/station.db", folder);
        sqlite3 *handle;

        scoped(scoped_free) char *undo = undo_to_before_tags(),
                                 *sql = text_of("UPDATE body SET digest = sha256(data); UPDATE body_file SET "
                                                "digests = sha256_each(name); %s",
                                                undo);
        reclose();
        ck_assert_int_eq(sqlite3_open(path, &handle), SQLITE_OK);
        ck_assert_int_eq(
                sqlite3_create_function(handle, "sha256", 1, SQLITE_UTF8, NULL, sql_sha256, NULL, NULL),
                SQLITE_OK);
        ck_assert_int_eq(sqlite3_create_function(handle, "sha256_each", 1, SQLITE_UTF8, NULL, sql_sha256_each,
                                                 NULL, NULL),
                         SQLITE_OK);
        ck_assert_msg(sqlite3_exec(handle, sql, NULL, NULL, NULL) == SQLITE_OK, "%s", sqlite3_errmsg(handle));
        sqlite3_close(handle);
        reopen();
        ck_assert_int_eq(number("PRAGMA user_version"), (int64_t)schema_step_count);
}

/* A small one and a large one, checked by SHA-256 until they are gone, also from a copy; what comes then has
 * tags. */
START_TEST(it_is_read_and_checked)
{
        scoped(scoped_free) char *target = text_of("%s/copy.db", folder),
                                 *path = text_of("%s/station.db", folder);
        struct submission small = plain("out"), s = large_one();
        const atomic_bool never = false;
        struct cause cause = { 0 };

        submit_well(&small);
        submit_well(&s);
        as_before_tags();
        submit_well(&small);
        submit_well(&s);
        ck_assert_int_eq(number("SELECT group_concat(length(digest), '') FROM body"), 3216);
        ck_assert_int_eq(number("SELECT group_concat(length(digests), '') FROM body_file"), 9648);
        for (int copied = 0; copied <= 1; copied++) {
                struct claimed claimed = claim("out", NOW, 10);
                ck_assert_uint_eq(claimed.count, 4);
                check_body(claimed.messages[1]);
                check_body(claimed.messages[3]);
                for (size_t i = 0; i < claimed.count; i++)
                        queue_unclaim(claimed.messages[i]->seq);
                free_claimed(&claimed);
                if (copied)
                        break;
                check_files(2);
                ck_assert_msg(store_copy_database(target, 0, &never, &cause) == 0, "%s", cause.text);
                reclose();
                ck_assert_int_eq(rename(target, path), 0);
                reopen();
                check_files(0);
        }
        ck_assert_int_eq(number("SELECT count(*) FROM body WHERE length(digest) = 32"), 1 + 3);
        ck_assert_int_eq(number("SELECT count(*) FROM body WHERE length(digest) = 16"), 1 + 3);
}
END_TEST

START_TEST(its_damage_is_found)
{
        struct submission small = plain("out"), s = large_one();

        journal_capture(on_logged);
        struct submitted bad = submit_well(_i == 9 ? &small : &s), good = submit_well(&small);
        as_before_tags();
        if (_i == 9)
                with_database("UPDATE body SET data = zeroblob(length(data)) WHERE place = 1 << 20");
        else
                damage(_i);
        struct claimed claimed = claim("out", NOW, 10);
        ck_assert_uint_eq(claimed.count, 1);
        check_state(bad.id, "failed");
        check_state(good.id, "sending");
        ck_assert_msg(strstr(logged, bad.id) != NULL, "%s", logged);
        free_claimed(&claimed);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("body_file");
        TCase *tests = tcase_create("body_file");

        tcase_set_timeout(tests, 60);
        tcase_add_checked_fixture(tests, up, down);
        tcase_add_test(tests, from_a_size_on);
        tcase_add_test(tests, it_goes_with_its_row);
        tcase_add_test(tests, what_is_refused_leaves_none);
        tcase_add_test(tests, a_small_one_that_grows);
        tcase_add_loop_test(tests, a_call_that_fails, 0, count_of(failures));
        tcase_add_test(tests, a_file_system_that_cannot_name_it);
        tcase_add_test(tests, a_folder_that_was_replaced);
        tcase_add_test(tests, a_name_is_noted_once);
        tcase_add_test(tests, a_name_that_stays);
        tcase_add_loop_test(tests, killed_at_each_call, 0, 2);
        tcase_add_test(tests, what_has_no_row_is_swept);
        tcase_add_test(tests, a_folder_that_is_missing);
        tcase_add_test(tests, a_missing_folder_that_nobody_needs);
        tcase_add_test(tests, without_their_database_they_are_set_aside);
        tcase_add_loop_test(tests, a_damaged_one_is_set_aside, 0, 9);
        tcase_add_test(tests, a_later_chunk_that_has_changed);
        tcase_add_test(tests, memory_of_chunks_is_used_again);
        tcase_add_test(tests, a_copy_has_them_in_it);
        tcase_add_test(tests, it_is_read_and_checked);
        tcase_add_loop_test(tests, its_damage_is_found, 0, 10);
        suite_add_tcase(suite, tests);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
