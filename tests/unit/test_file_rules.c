/* SPDX-License-Identifier: MIT */
/* fileInto: good and bad rules, what they look at, which one decides. */
#include "common/file_rules.c"

#include <check.h>

static const struct {
        const char *text, *problem; /* NULL: it is good */
        size_t count;
} texts[] = {
        { "", NULL, 0 },
        { " ; ;", NULL, 0 },
        { "sender a@b Alarms", NULL, 1 },
        { "subject \"pump 7; two\" Pumps/Seven; header X-Prio:1 \"Very urgent\";", NULL, 2 },
        { "header X: Any", NULL, 1 },
        { "sender a INBOX", NULL, 1 },
        { "subject \"a \\\"quoted\\\" word\" A", NULL, 1 },
        { "from a@b Alarms",
          "rule 1 of fileInto: the first word is sender, subject or header, and not \"from\"", 0 },
        { "sender a A; subject b", "rule 2 of fileInto: it has fewer than three words", 0 },
        { "sender a A b", "rule 1 of fileInto: it has more than three words", 0 },
        { "sender a A; sender b B; subject \"x A", "rule 3 of fileInto: a quotation mark is not closed", 0 },
        { "header X A", "header takes NAME:TEXT, and not \"X\"", 0 },
        { "header :x A", "header takes NAME:TEXT", 0 },
        { "header \"X Y:z\" A", "header takes NAME:TEXT", 0 },
        { "sender \"\" A", "its text is empty", 0 },
        { "sender a ../etc", "a folder has a name", 0 },
        { "sender a .x", "a folder has a name", 0 },
        { "sender a /x", "a folder has a name", 0 },
        { "sender a x/", "a folder has a name", 0 },
        { "sender a x//y", "a folder has a name", 0 },
        { "sender a \"\"", "a folder has a name", 0 },
        { "sender a \"x\\\\y\"", "a folder has a name", 0 },
        { "sender a xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
          "a folder has a name", 0 },
};

START_TEST(rules)
{
        struct file_rules read;
        struct cause cause = { 0 };
        int result = file_rules_parse(texts[_i].text, &read, &cause);

        ck_assert_int_eq(result, texts[_i].problem ? -1 : 0);
        ck_assert_uint_eq(read.count, texts[_i].count);
        ck_assert_msg(!texts[_i].problem || strstr(cause.text, texts[_i].problem), "%s", cause.text);
        ck_assert_str_eq(cause.property, texts[_i].problem ? "fileInto" : "");
        for (size_t i = 0; i < read.count; i++)
                ck_assert(!strchr(read.rules[i].folder, '/') && !strstr(read.rules[i].folder, ".."));
        file_rules_done(&read);
}
END_TEST

START_TEST(there_are_so_many)
{
        struct buf text = BUF_WITH_MAX(64 * 1024);
        struct file_rules read;
        struct cause cause = { 0 };

        for (int i = 0; i <= LIMIT_FILE_RULES; i++)
                ck_assert_int_eq(buf_append_text(&text, "sender a A;"), 0);
        scoped(scoped_free) char *all = buf_take_text(&text);
        ck_assert_int_eq(file_rules_parse(all, &read, &cause), -1);
        ck_assert_ptr_nonnull(strstr(cause.text, "too many"));
}
END_TEST

static const struct {
        const char *rules, *head, *folder;
} messages[] = {
        { "sender @plant Alarms", "From: Pump <PUMP@Plant.example>\r\n\r\n", ".Alarms" },
        { "sender @plant Alarms", "To: pump@plant.example\r\n\r\nFrom: x@plant\r\n", "" },
        { "subject \"pump 7\" A; subject pump B", "Subject: the PUMP\r\n 7 stands\r\n\r\n", ".A" },
        { "subject \"pump 7\" A; subject pump B", "Subject: the pump\r\n\r\n", ".B" },
        { "subject b B; sender a A", "From: a\nSubject: b\n\n",
          ".B" }, /* the first rule, not the first field */
        { "header X-Prio:1 Very/Urgent", "x-prio : 1\r\n\r\n", ".Very.Urgent" },
        { "header X-Prio:1 A", "X-Priority: 1\r\nX-Pri: 1\r\n\r\n", "" },
        { "header X: Any", "X:\r\n\r\n", ".Any" },
        { "header X:2 A", "X: 1\r\nX: 2\r\n\r\n", ".A" },
        { "sender a INBOX; sender b B", "From: a b\r\n\r\n", "" },
        { "sender a A", "", "" },
        { "sender a A", "\r\nFrom: a\r\n", "" },
        { "sender a A", "From", "" },
        { "sender a A", "no field at all\r\nFrom: a", ".A" },
        { "", "From: a\r\n\r\n", "" },
};

START_TEST(looked_at)
{
        struct file_rules read;
        size_t len = strlen(messages[_i].head);

        ck_assert_int_eq(file_rules_parse(messages[_i].rules, &read, NULL), 0);
        ck_assert_str_eq(file_rules_folder(&read, messages[_i].head, len), messages[_i].folder);
        for (size_t cut = 0; cut < len; cut++) { /* read past nowhere */
                scoped(scoped_free) char *head = new_memory(cut + 1);
                memcpy(head, messages[_i].head, cut);
                (void)file_rules_folder(&read, head, cut);
        }
        file_rules_done(&read);
}
END_TEST

START_TEST(random_texts_do_no_harm)
{
        static const char bytes[] = "sender subject header:\" \\;/.AB\t\r\n\x80:";
        char text[80];

        srand(3);
        for (int round = 0; round < 20000; round++) {
                size_t len = (size_t)rand() % sizeof text;
                for (size_t i = 0; i < len; i++)
                        text[i] = bytes[(size_t)rand() % (sizeof bytes - 1)];
                scoped(scoped_free) char *copy = copy_bytes(text, len);
                struct file_rules read;
                if (file_rules_parse(copy, &read, NULL) == 0)
                        (void)file_rules_folder(&read, text, len);
                file_rules_done(&read);
        }
}
END_TEST

START_TEST(names_for_people)
{
        scoped(scoped_free) char *inner = file_folder_name(".Pumps.Seven"), *none = file_folder_name("");

        ck_assert_str_eq(inner, "Pumps/Seven");
        ck_assert_str_eq(none, "");
}
END_TEST

int main(void)
{
        TCase *tests = tcase_create("file_rules");
        tcase_add_loop_test(tests, rules, 0, count_of(texts));
        tcase_add_test(tests, there_are_so_many);
        tcase_add_loop_test(tests, looked_at, 0, count_of(messages));
        tcase_add_test(tests, random_texts_do_no_harm);
        tcase_add_test(tests, names_for_people);
        Suite *suite = suite_create("file_rules");
        suite_add_tcase(suite, tests);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed != 0;
}
