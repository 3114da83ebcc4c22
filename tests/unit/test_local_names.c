/* SPDX-License-Identifier: MIT */
/* Alias files as sendmail and Postfix have them, what local names stand for, and headers with them. */
#include "daemon/alias_file.c"
#include "daemon/local_names.c"

#include <check.h>
#include <stdio.h>

static char folder[512], file[600];
static struct settings settings;

static void begin(void)
{
        const char *base = getenv("TMPDIR");

        ck_assert_int_eq(loop_open(NULL), 0);
        (void)snprintf(folder, sizeof folder, "%s/names.XXXXXX", base ? base : "/tmp");
        ck_assert_ptr_nonnull(mkdtemp(folder));
        (void)snprintf(file, sizeof file, "%s/aliases", folder);
        settings = (struct settings){ .hostname = (char *)"plant7.example.com", .alias_file = file };
}

static void finish(void)
{
        local_names_close();
        (void)unlink(file);
        (void)rmdir(folder);
        loop_close();
}

static void write_file(const char *text)
{
        FILE *out = fopen(file, "w");

        ck_assert_ptr_nonnull(out);
        ck_assert_int_ge(fputs(text, out), 0);
        ck_assert_int_eq(fclose(out), 0);
}

static void note(void *ctx, const char *address)
{
        char **list = ctx;
        scoped(scoped_free) char *before = *list;

        *list = before && before[0] ? text_of("%s %s", before, address) : copy_text(address);
}

static const char aliases[] =
        "# a comment\n"
        "postmaster: root\n"
        "\n"
        "Root:\tops@example.net,\n"
        "# a comment between\n"
        "   boss@example.net , \"quoted name\"@example.net\n"
        "\t, root\n"
        "alice: Alice A. <alice@example.org>\n"
        "loop1: loop2\n"
        "loop2: loop1\n"
        "again: again, a@b.example\n"
        "final: \\alice\n"
        "pipe: \"|/usr/bin/prog -a, -b\"\n"
        "file: /var/mail/file\n"
        "list: :include:/etc/list\n"
        "mixed: |prog, alice\n"
        "bad: two words, a@b@c\n"
        "empty:\n"
        "\"q name\": x@y.example\n"
        "root: second@example.net\n"
        "own: own@plant7.example.com, other@example.org\n"
        "here: alice@localhost\n"
        "deep1: deep2\ndeep2: deep3\ndeep3: deep4\ndeep4: deep5\ndeep5: deep6\ndeep6: deep7\n"
        "deep7: deep8\ndeep8: deep9\ndeep9: deep10\ndeep10: deep11\ndeep11: deep@example.org\n"
        "no colon here\n"
        ": nameless\n"
        "last: last@example.org";

static const struct {
        const char *name, *alone,
                *with; /* without and with LocalRecipients=; in brackets: a part of the refusal */
} names[] = {
        { "a@b.example", "a@b.example", "a@b.example" },
        { "postmaster", "ops@example.net boss@example.net \"quoted name\"@example.net",
          "ops@example.net boss@example.net \"quoted name\"@example.net all@example.com" },
        { "ROOT", "ops@example.net boss@example.net \"quoted name\"@example.net",
          "ops@example.net boss@example.net \"quoted name\"@example.net all@example.com" },
        { "alice", "alice@example.org", "alice@example.org" },
        { "bob", "[bob is a local name without an address: it has no alias in]", "all@example.com" },
        { "loop1", "[loop1 is a local name without an address: its alias in]", "all@example.com" },
        { "again", "a@b.example", "all@example.com a@b.example" },
        { "final", "[alice is a local name without]", "all@example.com" },
        { "pipe", "[pipe goes to a command, which emailsecd does not run (line 13 of]", "all@example.com" },
        { "file", "[file goes to a file, which emailsecd does not write (line 14 of]", "all@example.com" },
        { "list", "[list includes a list]", "all@example.com" },
        { "mixed", "alice@example.org", "all@example.com alice@example.org" },
        { "bad", "[bad goes to what is no address]", "all@example.com" },
        { "empty", "[empty is a local name without]", "all@example.com" },
        { "last", "last@example.org", "last@example.org" },
        { "own", "own@plant7.example.com other@example.org", "own@plant7.example.com other@example.org" },
        { "here", "alice@example.org", "alice@example.org" },
        { "deep1", "[deep11 is a local name without an address: more than 10 aliases in]",
          "all@example.com" },
        { "deep2", "deep@example.org", "deep@example.org" },
        /* this machine's names */
        { "alice@localhost", "alice@example.org", "alice@example.org" },
        { "alice@PLANT7", "alice@example.org", "alice@example.org" },
        { "alice@plant7.example.com", "alice@example.org", "alice@example.org" },
        { "bob@localhost", "bob@localhost", "all@example.com" },
        { "bob@plant7", "bob@plant7", "all@example.com" },
        { "bob@plant7.example.com", "bob@plant7.example.com", "bob@plant7.example.com" },
        { "alice@other.example.com", "alice@other.example.com", "alice@other.example.com" },
};

static void expect(const char *name, const char *wanted)
{
        struct cause cause = { 0 };
        scoped(scoped_free) char *list = copy_text("");
        struct local_names *known_now = local_names_hold();
        int result = local_names_resolve(known_now, name, note, &list, &cause);

        local_names_release(known_now);
        ck_assert_msg((result < 0) == (wanted[0] == '['), "%s: %s%s", name, list, cause.text);
        if (result < 0) {
                scoped(scoped_free) char *part = copy_bytes(wanted + 1, strlen(wanted) - 2);
                ck_assert_msg(strstr(cause.text, part) != NULL, "%s: %s", name, cause.text);
                ck_assert_ptr_nonnull(strstr(cause.remedy, "set LocalRecipients=ADDRESS"));
                ck_assert_ptr_nonnull(strstr(cause.remedy, file));
        } else {
                ck_assert_str_eq(list, wanted);
        }
}

START_TEST(what_names_stand_for)
{
        write_file(aliases);
        local_names_open(&settings);
        expect(names[_i].name, names[_i].alone);
        settings.local_recipients = (char *)"all@example.com";
        local_names_open(&settings);
        expect(names[_i].name, names[_i].with);
}
END_TEST

static bool looked_now;

static void looked_at(void *ctx)
{
        (void)ctx;
        looked_now = true;
        loop_end();
}

static void look_now(void)
{
        looked_now = false;
        local_names_look(looked_at, NULL);
        ck_assert(!looked_now);
        loop_run();
        ck_assert(looked_now);
}

START_TEST(read_again_when_changed)
{
        local_names_open(&settings);
        expect("root", "[it has no alias in]");
        write_file("root: one@example.org\n");
        expect("root", "[it has no alias in]");
        look_now();
        expect("root", "one@example.org");
        struct local_names *same = local_names_hold();
        look_now();
        ck_assert_ptr_eq(known.now, same);
        local_names_release(same);
        ck_assert_int_eq(unlink(file), 0);
        write_file("root: two@example.org\n");
        look_now();
        expect("root", "two@example.org");
        ck_assert_int_eq(unlink(file), 0);
        look_now();
        expect("root", "[it has no alias in]");
}
END_TEST

enum { ASKERS = 100 };
static unsigned answered;

static void count_answered(void *ctx)
{
        const unsigned *number = ctx;

        ck_assert_uint_eq(*number, answered); /* in the order of asking */
        if (++answered == ASKERS)
                loop_end();
}

static void ask_all(unsigned numbers[ASKERS])
{
        answered = 0;
        for (unsigned i = 0; i < ASKERS; i++) {
                numbers[i] = i;
                local_names_look(count_answered, &numbers[i]);
        }
        ck_assert_uint_eq(answered, 0);
        ck_assert(known.looking && known.first->ctx == &numbers[1]); /* these wait for one look */
}

START_TEST(those_who_ask_meanwhile_share_a_look)
{
        unsigned numbers[ASKERS];

        local_names_open(&settings);
        ask_all(numbers);
        write_file("root: one@example.org\n");
        loop_run();
        ck_assert_uint_eq(answered, ASKERS);
        ck_assert(!known.looking && !known.first);
        expect("root", "one@example.org");
        ask_all(numbers);
        local_names_close(); /* all hear of it all the same */
        ck_assert_uint_eq(answered, ASKERS);
}
END_TEST

/* What is no file, or too large, is told of, and no more. */
START_TEST(what_cannot_be_read)
{
        ck_assert_int_eq(mkfifo(file, 0600), 0);
        local_names_open(&settings);
        expect("root", "[cannot be read]");
        ck_assert_int_eq(unlink(file), 0);
        write_file("root: a@b.example\n");
        ck_assert_int_eq(truncate(file, LIMIT_ALIAS_FILE + 1), 0);
        look_now();
        expect("root", "[larger than 1 MiB]");
}
END_TEST

/* Every name in ten lists of a hundred: it comes to an end. */
START_TEST(bounded)
{
        struct buf text = BUF_WITH_MAX(MIB);

        for (int list = 0; list < 10; list++) {
                ck_assert_int_eq(buf_appendf(&text, "n%d: ", list), 0);
                for (int i = 0; i < 100; i++)
                        ck_assert_int_eq(buf_appendf(&text, "%sn%d", i ? "," : "", (list + 1 + i) % 10), 0);
                ck_assert_int_eq(buf_append_text(&text, "\n"), 0);
        }
        scoped(scoped_free) char *bomb = buf_take_text(&text);
        write_file(bomb);
        local_names_open(&settings);
        expect("n0", "[is a local name]");
        settings.local_recipients = (char *)"a@b.example";
        local_names_open(&settings);
        struct local_names *now = local_names_hold();
        char *list = NULL;
        struct cause cause = { 0 };
        ck_assert_int_eq(local_names_resolve(now, "n0", note, &list, &cause), -1);
        ck_assert_ptr_nonnull(strstr(cause.text, "n0 stands for more"));
        ck_assert_str_eq(list, "a@b.example");
        free(list);
        local_names_release(now);
}
END_TEST

/* One more than a message may have: refused, not sent to the first thousand. */
START_TEST(a_list_that_is_too_long)
{
        for (unsigned count = LIMIT_RECIPIENTS; count <= LIMIT_RECIPIENTS + 1; count++) {
                struct buf text = BUF_WITH_MAX(MIB);
                struct cause cause = { 0 };
                scoped(scoped_free) char *list = copy_text("");
                ck_assert_int_eq(buf_append_text(&text, "all: "), 0);
                for (unsigned i = 0; i < count; i++)
                        ck_assert_int_eq(buf_appendf(&text, "%su%u@b.example", i ? "," : "", i), 0);
                scoped(scoped_free) char *line = buf_take_text(&text);
                write_file(line);
                local_names_open(&settings);
                struct local_names *now = local_names_hold();
                int result = local_names_resolve(now, "all", note, &list, &cause);
                local_names_release(now);
                ck_assert_int_eq(result, count > LIMIT_RECIPIENTS ? -1 : 0);
                ck_assert_int_eq(cause.text[0] != '\0', count > LIMIT_RECIPIENTS);
        }
}
END_TEST

static const struct {
        const char *name, *value, *out; /* NULL: as it is */
} fields_of[] = {
        { "To", "root", "ops@example.net, boss@example.net, \"quoted name\"@example.net" },
        { "to", "Alice <alice>, x@y.example", "Alice <alice@example.org>, x@y.example" },
        { "Cc", "G: alice, Bob <b@c.example>;, root (the boss)",
          "G: alice@example.org, Bob <b@c.example>;, ops@example.net (the boss), boss@example.net, \"quoted "
          "name\"@example.net" },
        { "To", "bob", "bob@plant7.example.com" },
        { "Reply-To", "alice", "alice@example.org" },
        { "From", "root (Cron Daemon)", "root@plant7.example.com (Cron Daemon)" },
        { "From", "\"Cron\" <alice>", "\"Cron\" <alice@plant7.example.com>" },
        { "Sender", "alice", "alice@plant7.example.com" },
        { "To", "a@b.example", NULL },
        { "To", "alice@localhost", "alice@example.org" },
        { "To", "bob@localhost", NULL },
        { "To", "undisclosed-recipients:;", NULL },
        { "To", "two words", NULL },
        { "Subject", "root", NULL },
        { "X-To", "root", NULL },
};

START_TEST(fields_of_a_header)
{
        write_file(aliases);
        local_names_open(&settings);
        struct local_names *now = local_names_hold();
        scoped(scoped_free) char *whole = local_names_in_field(
                now, fields_of[_i].name, strlen(fields_of[_i].name), fields_of[_i].value);
        if (fields_of[_i].out)
                ck_assert_str_eq(whole, fields_of[_i].out);
        else
                ck_assert_ptr_null(whole);
        local_names_release(now);
}
END_TEST

static void join(void *ctx, const char *sentence)
{
        char **all = ctx;
        scoped(scoped_free) char *before = *all;

        *all = text_of("%s%s\n", before ? before : "", sentence);
}

START_TEST(advice)
{
        scoped(scoped_free) char *all = NULL, *mended = NULL, *lines = NULL;

        local_names_open(&settings);
        local_names_advise(join, &all);
        ck_assert_ptr_nonnull(strstr(all, "cron's mail to root is refused: root is a local name"));
        settings.local_recipients = (char *)"a@b.example";
        local_names_open(&settings);
        local_names_advise(join, &mended);
        ck_assert_ptr_null(mended);
        settings.local_recipients = NULL;
        write_file("root: a@b.example\nx: |p\ny: /f\nz: :include:/l\nw: a@b@c\n");
        local_names_open(&settings);
        local_names_advise(join, &lines);
        ck_assert_ptr_nonnull(strstr(lines, "line 2 of "));
        ck_assert_ptr_nonnull(strstr(lines, "x goes to a command, which emailsecd does not run"));
        ck_assert_ptr_nonnull(strstr(lines, "1 more lines"));
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("local_names");
        TCase *tc = tcase_create("local_names");

        tcase_add_checked_fixture(tc, begin, finish);
        tcase_add_loop_test(tc, what_names_stand_for, 0, (int)count_of(names));
        tcase_add_loop_test(tc, fields_of_a_header, 0, (int)count_of(fields_of));
        tcase_add_test(tc, read_again_when_changed);
        tcase_add_test(tc, those_who_ask_meanwhile_share_a_look);
        tcase_add_test(tc, what_cannot_be_read);
        tcase_add_test(tc, bounded);
        tcase_add_test(tc, a_list_that_is_too_long);
        tcase_add_test(tc, advice);
        suite_add_tcase(suite, tc);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_NORMAL);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
