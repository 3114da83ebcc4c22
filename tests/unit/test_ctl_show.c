/* SPDX-License-Identifier: MIT */
/* The tool's display and command line: words of JSON values, cutting, argument patterns, options, near words.
 */
#include "ctl/call.h"
#include "ctl/cmds.h"
#include "ctl/options.h"
#include "ctl/show.c"
#include "ctl/table.c"

#include <check.h>
#include <locale.h>

START_TEST(words_of_values)
{
        static const struct {
                const char *json, *words;
        } cases[] = {
                { "null", "-" },
                { "\"\"", "-" },
                { "\"text\"", "text" },
                { "true", "yes" },
                { "false", "no" },
                { "12", "12" },
                { "[]", "-" },
                { "[\"a\",\"b\"]", "a, b" },
                { "{\"a\":1}", "{\"a\":1}" },
                { "\"a\\u001bb\"", "a\\x1bb" },
        };
        json_t *value = json_loads(cases[_i % (int)count_of(cases)].json, JSON_DECODE_ANY, NULL);
        char *words = json_words(value);
        ck_assert_str_eq(words, cases[_i % (int)count_of(cases)].words);
        free(words);
        json_decref(value);
        words = json_words(NULL);
        ck_assert_str_eq(words, "-");
        free(words);
}
END_TEST

START_TEST(path_into_object)
{
        json_t *object = json_loads("{\"a\":{\"b\":{\"c\":7}},\"t\":\"x\",\"f\":true}", 0, NULL);
        ck_assert_int_eq(json_number(object, "a.b.c"), 7);
        ck_assert_ptr_null(json_at(object, "a.x.c"));
        ck_assert_ptr_null(json_at(NULL, "a"));
        ck_assert_str_eq(json_text(object, "t"), "x");
        ck_assert_str_eq(json_text(object, "a"), "");
        ck_assert(json_flag(object, "f"));
        json_decref(object);
}
END_TEST

START_TEST(text_is_cut_by_columns)
{
        static const struct {
                const char *text;
                size_t width;
                const char *cut;
        } cases[] = {
                { "short", 10, "short" },
                { "exactly ten", 11, "exactly ten" },
                { "a longer text", 8, "a longe\xe2\x80\xa6" },
                { "\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f", 3, "\xc3\xa4\xc3\xb6\xe2\x80\xa6" },
                { "\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2", 4, "\xe6\xbc\xa2\xe2\x80\xa6" },
                { "ab", 1, "." },
                { "ab", 0, "" },
        };
        char *cut = text_cut(cases[_i].text, cases[_i].width);
        ck_assert_str_eq(cut, cases[_i].cut);
        ck_assert_uint_le(printable_width(cut), cases[_i].width);
        free(cut);
}
END_TEST

START_TEST(widest_column_gives_way)
{
        static const struct column columns[] = {
                { "ID", "id", NULL, COLUMN_WHOLE },
                { "A", "a", NULL, 0 },
                { "B", "b", NULL, 0 },
        };
        struct tool tool = { 0 };
        struct listing l = { .tool = &tool, .columns = columns, .column_count = 3, .widths = { 40, 60, 20 } };
        (void)setenv("COLUMNS", "80", 1);
        ck_assert_uint_eq(total_width(&l), 124);
        fit_widths(&l);
        /* Output is no terminal here: nothing is cut. */
        ck_assert_uint_eq(total_width(&l), 124);
}
END_TEST

START_TEST(patterns_of_arguments)
{
        const char *at = "outgoing|incoming NAME [ID...] PROP=VALUE...";
        static const struct {
                const char *name;
                bool optional, repeats;
        } expected[] = {
                { "outgoing|incoming", false, false },
                { "NAME", false, false },
                { "ID", true, true },
                { "PROP=VALUE", false, true },
        };
        struct arg_pattern arg;
        for (size_t i = 0; i < count_of(expected); i++) {
                ck_assert(arg_pattern_next(&at, &arg));
                ck_assert_str_eq(arg.name, expected[i].name);
                ck_assert(arg.optional == expected[i].optional);
                ck_assert(arg.repeats == expected[i].repeats);
        }
        ck_assert(!arg_pattern_next(&at, &arg));
}
END_TEST

START_TEST(near_words)
{
        static const struct {
                const char *group, *word, *meant;
        } cases[] = {
                /* by spelling */
                { NULL, "acount", "account" },
                { NULL, "staus", "status" },
                { "account", "lst", "account list" },
                { "challenge", "acept", "challenge accept" },
                { NULL, "xyzzy", NULL },
                { NULL, "zz", NULL },
                /* by what others call it */
                { NULL, "tls", "account secure" },
                { NULL, "passwd", "account password" },
                { NULL, "user", "account list" },
                { "account", "rm", "account delete" },
                { "account", "starttls", "account secure" },
                { "queue", "ls", "queue list" },
                { NULL, "version", "--version" },
                { NULL, "health", "status --check" },
                /* by the second word of a command */
                { NULL, "password", "account password' or 'device password" },
                { NULL, "test", "account test" },
                { NULL, "import", "trust import" },
                { NULL, "secure", "account secure" },
                /* a group's own words do not serve another one */
                { "status", "passwd", NULL },
                { "subscriber", "cat", NULL },
                /* a word of one group alone */
                { NULL, "deny", "challenge reject" },
                { NULL, "requeue", "queue retry" },
                { NULL, "revoke", "allowed unapprove" },
                { "queue", "cancel", "queue delete" },
                { "account", "verify", "account test" },
                /* not by spelling what only ends alike */
                { NULL, "quit", NULL },
                { NULL, "testmail", "account heartbeat" },
                { "account", "reset", "account set" },
        };
        for (size_t i = 0; i < count_of(cases); i++) {
                char *meant = command_near(cases[i].group, cases[i].word);
                if (cases[i].meant)
                        ck_assert_str_eq(meant, cases[i].meant);
                else
                        ck_assert_ptr_null(meant);
                free(meant);
        }
}
END_TEST

#define MOST_ARGS 10
static const struct {
        const char *argv[MOST_ARGS];
        int status;
        const char *command, *words;
} lines[] = {
        { { "emailsecctl", "status" }, 0, "status", "" },
        { { "emailsecctl", "--json", "status", "alarms" }, 0, "status", "alarms" },
        { { "emailsecctl", "account", "show", "a", "--json" }, 0, "account show", "a" },
        { { "emailsecctl", "account", "--json", "show", "a" }, 0, "account show", "a" },
        { { "emailsecctl", "account", "add", "outgoing", "a", "hostname=h" },
          0,
          "account add",
          "outgoing a hostname=h" },
        { { "emailsecctl", "account", "add", "sideways", "a", "hostname=h" }, EXIT_USAGE, NULL, NULL },
        { { "emailsecctl", "account", "add", "outgoing", "a" }, EXIT_USAGE, NULL, NULL },
        { { "emailsecctl", "account", "apply", "file.json" }, 0, "account apply", "file.json" },
        { { "emailsecctl", "account", "apply", "-" }, 0, "account apply", "-" },
        { { "emailsecctl", "account", "show" }, EXIT_USAGE, NULL, NULL },
        { { "emailsecctl", "account", "show", "a", "b" }, EXIT_USAGE, NULL, NULL },
        { { "emailsecctl", "queue", "retry", "1", "2", "3" }, 0, "queue retry", "1 2 3" },
        { { "emailsecctl", "account", "export" }, 0, "account export", "" },
        { { "emailsecctl", "account" }, EXIT_USAGE, NULL, NULL },
        { { "emailsecctl", "account", "--help" }, 0, NULL, "" },
        { { "emailsecctl", "status", "--nonsense" }, EXIT_USAGE, NULL, NULL },
        { { "emailsecctl", "status", "--json=yes" }, EXIT_USAGE, NULL, NULL },
        { { "emailsecctl", "status", "--socket" }, EXIT_USAGE, NULL, NULL },
        { { "emailsecctl", "status", "-x" }, EXIT_USAGE, NULL, NULL },
        { { "emailsecctl", "status", "--", "--json" }, 0, "status", "--json" },
        { { "emailsecctl" }, 0, "status", "" },
        { { "emailsecctl", "--json" }, 0, "status", "" },
        { { "emailsecctl", "sendmail", "-t", "-i", "--json" }, 0, "sendmail", "-t -i --json" },
        { { "emailsecctl", "-qHhost", "status" }, 0, "status", "" },
};

START_TEST(command_lines)
{
        char *argv[MOST_ARGS] = { 0 };
        int argc = 0;
        for (; argc < MOST_ARGS && lines[_i].argv[argc]; argc++)
                argv[argc] = copy_text(lines[_i].argv[argc]);
        char *kept[MOST_ARGS];
        memcpy(kept, argv, sizeof(kept));
        struct tool tool = { 0 };
        ck_assert_int_eq(options_parse(&tool, argc, argv), lines[_i].status);
        if (lines[_i].command)
                ck_assert_str_eq(tool.command->words, lines[_i].command);
        scoped(scoped_free) char *words = copy_text("");
        for (size_t i = 0; i < tool.word_count; i++) {
                char *longer = text_of("%s%s%s", words, i ? " " : "", tool.words[i]);
                free(words);
                words = longer;
        }
        if (lines[_i].words)
                ck_assert_str_eq(words, lines[_i].words);
        tool_done(&tool);
        for (int i = 0; i < argc; i++)
                free(kept[i]);
}
END_TEST

START_TEST(options_have_values)
{
        char words[][24] = { "emailsecctl",      "send",    "--to",  "a@b.example",
                             "--to=c@d.example", "-sHello", "--wait" };
        char *argv[count_of(words)];
        for (size_t i = 0; i < count_of(words); i++)
                argv[i] = words[i];
        struct tool tool = { 0 };
        size_t at = 0;
        ck_assert_int_eq(options_parse(&tool, (int)count_of(words), argv), 0);
        ck_assert_str_eq(tool_next_option(&tool, "to", &at), "a@b.example");
        ck_assert_str_eq(tool_next_option(&tool, "to", &at), "c@d.example");
        ck_assert_ptr_null(tool_next_option(&tool, "to", &at));
        ck_assert_str_eq(tool_option(&tool, "subject"), "Hello");
        ck_assert(tool_has(&tool, "wait"));
        ck_assert(!tool_has(&tool, "hold"));
        tool_done(&tool);
}
END_TEST

START_TEST(host_leaves_the_line)
{
        char words[][16] = { "emailsecctl", "-H", "box", "status", "--host=other" };
        char *argv[count_of(words)];
        for (size_t i = 0; i < count_of(words); i++)
                argv[i] = words[i];
        struct tool tool = { 0 };
        ck_assert_int_eq(options_parse(&tool, (int)count_of(words), argv), 0);
        ck_assert_str_eq(tool.host, "other");
        ck_assert_ptr_null(argv[1]);
        ck_assert_ptr_null(argv[2]);
        ck_assert_ptr_nonnull(argv[3]);
        ck_assert_ptr_null(argv[4]);
        tool_done(&tool);
}
END_TEST

START_TEST(words_for_another_shell)
{
        static const char *const cases[][2] = {
                { "plain", "'plain'" },
                { "", "''" },
                { "it's", "'it'\\''s'" },
                { "$(x) `y`", "'$(x) `y`'" },
        };
        char *quoted = shell_quoted(cases[_i][0]);
        ck_assert_str_eq(quoted, cases[_i][1]);
        free(quoted);
}
END_TEST

/* Each command has what help, completion and the parser need. */
START_TEST(table_is_whole)
{
        for (size_t i = 0; i < command_count; i++) {
                const struct command *c = &commands[i];
                ck_assert_msg(c->words && c->args && c->help && c->run, "row %zu", i);
                ck_assert_ptr_eq(command_named(c->words), c);
                const char *at = c->args;
                struct arg_pattern arg = { 0 };
                bool optional = false;
                while (arg_pattern_next(&at, &arg)) {
                        ck_assert_msg(!optional || arg.optional, "%s: required after optional", c->words);
                        optional = arg.optional;
                }
                for (const struct option_rule *rule = c->options; rule && rule->name; rule++)
                        ck_assert_msg(rule->help, "%s --%s", c->words, rule->name);
        }
}
END_TEST

int main(void)
{
        (void)setlocale(LC_CTYPE, "C.UTF-8");
        (void)setenv("LC_ALL", "C.UTF-8", 1);
        term_init();
        Suite *suite = suite_create("ctl_show");
        TCase *tests = tcase_create("all");
        tcase_add_loop_test(tests, words_of_values, 0, 10);
        tcase_add_test(tests, path_into_object);
        tcase_add_loop_test(tests, text_is_cut_by_columns, 0, 7);
        tcase_add_test(tests, widest_column_gives_way);
        tcase_add_test(tests, patterns_of_arguments);
        tcase_add_test(tests, near_words);
        tcase_add_loop_test(tests, command_lines, 0, (int)count_of(lines));
        tcase_add_test(tests, options_have_values);
        tcase_add_test(tests, host_leaves_the_line);
        tcase_add_loop_test(tests, words_for_another_shell, 0, 4);
        tcase_add_test(tests, table_is_whole);
        suite_add_tcase(suite, tests);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
