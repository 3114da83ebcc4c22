/* SPDX-License-Identifier: MIT */
/*
 * Words that the tool works on, each by a table: what differs in a name only, lists of names, names of
 * attachments that come from strangers, texts in any charset, which received messages are meant; and lists of
 * folders.
 */
#include "common/names.h"
#include "ctl/apply.h"
#include "ctl/inbox.h"
#include "ctl/show.h"
#include "ctl/stations.h"
#include "ctl/view.h"

#include <check.h>

/* ---- common/names
 * ---------------------------------------------------------------------------------------- */

static const struct {
        const char *text, *normal;
        size_t count;
} folder_lists[] = {
        { "", "", 0 },
        { " , ,", "", 0 },
        { "inbox", "INBOX", 1 },
        { "Inbox, INBOX ,inbox", "INBOX", 1 },
        { " Sent Mail ,Archive/2025", "Sent Mail,Archive/2025", 2 },
        { "Sent,sent", "Sent,sent", 2 },
        { "INBOXES,INBOX", "INBOXES,INBOX", 2 },
};

START_TEST(lists_of_folders)
{
        size_t count;
        char *normal = folder_names_normal(folder_lists[_i].text, &count);

        ck_assert_str_eq(normal, folder_lists[_i].normal);
        ck_assert_uint_eq(count, folder_lists[_i].count);
        free(normal);
}
END_TEST

START_TEST(a_folder_in_a_list)
{
        ck_assert(names_have("INBOX,Sent", "Sent"));
        ck_assert(names_have("Sent", "Sent"));
        ck_assert(!names_have("INBOX,Sent Mail", "Sent"));
        ck_assert(!names_have("INBOX,Sent", "BOX"));
        ck_assert(!names_have("", "INBOX"));
}
END_TEST

/* ---- alike
 * ------------------------------------------------------------------------------------------------------ */

static const struct {
        const char *text, *name, *without;
} texts[] = {
        { "emailsecctl account secure box ssl", "box", "emailsecctl account secure NAME ssl" },
        { "box: see account box.", "box", "NAME: see account NAME." },
        { "\"box\" and 'box'", "box", "\"NAME\" and 'NAME'" },
        { "inbox and boxes stay", "box", "inbox and boxes stay" },
        { "nothing of it", "box", "nothing of it" },
        { "as it is", "", "as it is" },
        { "", "box", "" },
};

START_TEST(a_text_without_a_name)
{
        char *without = text_without_name(texts[_i].text, texts[_i].name);

        ck_assert_str_eq(without, texts[_i].without);
        free(without);
}
END_TEST

START_TEST(names_in_a_row)
{
        static const char *const names[] = { "a", "b", "c\033[2J", "d", "e" };
        static const char *const rows[] = { "", "a", "a, b", "a, b and 1 more", "a, b and 2 more" };

        for (size_t count = 0; count < count_of(rows); count++) {
                struct names list = { 0 };
                for (size_t i = 0; i < count; i++)
                        names_add(&list, names[i], 2);
                char *row = names_take(&list, 2);
                ck_assert_str_eq(row, rows[count]);
                free(row);
        }
        struct names list = { 0 };
        names_add(&list, names[2], 2);
        char *row = names_take(&list, 2);
        ck_assert_ptr_null(strchr(row, '\033'));
        free(row);
}
END_TEST

/* ---- attachments
 * ------------------------------------------------------------------------------------------------ */

static const struct {
        const char *name, *file;
} files[] = {
        { "report.pdf", "report.pdf" },
        { NULL, "attachment-7" },
        { "", "attachment-7" },
        { "/etc/passwd", "passwd" },
        { "../../.ssh/authorized_keys", "authorized_keys" },
        { "C:\\Users\\ann\\bill.doc", "bill.doc" },
        { "..", "attachment-7" },
        { ".bashrc", "_bashrc" },
        { "-rf", "_rf" },
        { "~root", "_root" },
        { "a\nb\033[0m.txt", "a_b_[0m.txt" },
        { "trailing. . ", "trailing" },
        { "what?*.txt", "what__.txt" },
        { "gr\303\274n.txt", "gr\303\274n.txt" },
        { "bad\303.txt", "bad_.txt" },
        { "right\342\200\256txt.exe", "right_txt.exe" },
};

START_TEST(names_of_files)
{
        char *file = attachment_file_name(files[_i].name, 7);

        ck_assert_str_eq(file, files[_i].file);
        free(file);
}
END_TEST

START_TEST(a_long_name_keeps_its_ending)
{
        char name[1024];

        memset(name, 'x', sizeof name);
        for (size_t i = 0; i + 2 < sizeof name - 5; i += 2)
                memcpy(name + i, "\303\274", 2);
        memcpy(name + sizeof name - 5, ".pdf", 5);
        char *file = attachment_file_name(name, 1);
        ck_assert_uint_lt(strlen(file), 256);
        ck_assert_str_eq(file + strlen(file) - 4, ".pdf");
        ck_assert_int_eq((unsigned char)file[strlen(file) - 5], 0xbc); /* no half of a character */
        free(file);
}
END_TEST

/* ---- texts in any charset
 * --------------------------------------------------------------------------------------- */

static const struct {
        const char *bytes, *charset, *text;
        bool remark;
} charsets[] = {
        { "plain", "us-ascii", "plain", false },
        { "gr\303\274n", "utf-8", "gr\303\274n", false },
        { "gr\303\274n", "UTF8", "gr\303\274n", false },
        { "gr\374n", "iso-8859-1", "gr\303\274n", false },
        { "gr\374n", NULL, "gr\303\274n", true }, /* guessed, and said so */
        { "gr\303\274n", NULL, "gr\303\274n", false },
        { "gr\303\274n", "iso-8859-1", "gr\303\274n", false }, /* UTF-8 in truth */
        { "a\201b", "utf-8", "a\357\277\275b", true },
        { "plain", "x-nobody-knows", "plain", true },
        { "gr\374n", "x-nobody-knows", "gr\303\274n", true },
};

START_TEST(a_text_is_read)
{
        char *remark = NULL;
        char *text = view_text(charsets[_i].bytes, strlen(charsets[_i].bytes), charsets[_i].charset, &remark);

        ck_assert_str_eq(text, charsets[_i].text);
        ck_assert_msg((remark != NULL) == charsets[_i].remark, "%s", remark ? remark : "no remark");
        free(text);
        free(remark);
}
END_TEST

/* ---- which received messages
 * ------------------------------------------------------------------------------------ */

static const struct {
        struct inbox_filter filter;
        bool takes, ends;
} filters[] = {
        { { 0 }, true, false },
        { { .from = "ann" }, true, false },
        { { .from = "ANN@" }, true, false },
        { { .from = "bob" }, false, false },
        { { .subject = "=?UTF-8?q?" }, true, false }, /* as it stands there, too */
        { { .from = "ann", .subject = "blue" }, false, false },
        { { .unseen = true }, false, false },
        { { .since = 1795459860 }, true, false },
        { { .since = 1795459861 }, false, true },
        { { .before = 1795459860 }, false, false },
        { { .before = 1795459861 }, true, false },
};

START_TEST(received_messages)
{
        json_t *message = json_pack("{s:s, s:s, s:s, s:b}", "from", "Ann <ann@example.net>", "subject",
                                    "=?utf-8?q?gr=C3=BCn?=", "received", "2026-11-23T18:51:00Z", "seen", 1);

        ck_assert_ptr_nonnull(message);
        ck_assert_int_eq(inbox_filter_takes(&filters[_i].filter, message), filters[_i].takes);
        ck_assert_int_eq(inbox_filter_ends(&filters[_i].filter, message), filters[_i].ends);
        json_decref(message);
}
END_TEST

/* ---- ctl/stations, ctl/apply_document ---- */

static const struct {
        const char *list;
        size_t count; /* 0: refused */
} station_lists[] = {
        { "a", 1 },    { "a,b,c", 3 }, { "a,b,a", 2 },         { "me@a,a", 2 }, { "ssh://me@a:22", 1 },
        { "", 0 },     { "a,,b", 0 },  { "a,-o", 0 },          { "a b", 0 },    { "a;b", 0 },
        { "$(a)", 0 }, { "a\nb", 0 },  { "[2001:db8::1]", 1 }, { "*", 0 },
};

START_TEST(lists_of_stations)
{
        struct stations stations = { 0 };
        struct cause cause = { 0 };
        int result = stations_add_list(&stations, station_lists[_i].list, &cause);

        ck_assert_int_eq(result, station_lists[_i].count ? 0 : -1);
        if (station_lists[_i].count)
                ck_assert_uint_eq(stations.count, station_lists[_i].count);
        stations_free(&stations);
}
END_TEST

START_TEST(hosts_of_stations)
{
        static const char *const cases[][2] = {
                { "a", "a" },       { "me@a", "a" },   { "ssh://me@a:22", "a" },
                { "ssh://a", "a" }, { "me@x@a", "a" }, { "ssh://[::1]:22", "::1" },
        };

        for (size_t i = 0; i < count_of(cases); i++) {
                scoped(scoped_free) char *host = station_host(cases[i][0]);
                ck_assert_str_eq(host, cases[i][1]);
        }
}
END_TEST

START_TEST(a_part_of_a_document_for_one_station)
{
        static const struct {
                const char *station, *accounts; /* NULL: it is refused */
                const char *document;
        } cases[] = {
                { "a", "[{\"name\":\"x\",\"port\":2,\"from\":\"c\"}]",
                  "{\"accounts\":[{\"name\":\"x\",\"port\":1,\"from\":\"c\"}],"
                  "\"hosts\":{\"a\":{\"accounts\":[{\"name\":\"x\",\"port\":2}]}}}" },
                { "b", "[{\"name\":\"x\"}]",
                  "{\"accounts\":[{\"name\":\"x\"}],\"hosts\":{\"a\":{\"accounts\":[{\"name\":\"y\"}]}}}" },
                { "me@a", "[{\"name\":\"y\"}]", "{\"hosts\":{\"a\":{\"accounts\":[{\"name\":\"y\"}]}}}" },
                { "me@a", "[{\"name\":\"y\",\"port\":2}]",
                  "{\"hosts\":{\"me@a\":[{\"name\":\"y\",\"port\":2}],\"A\":[{\"name\":\"y\",\"port\":1}],"
                  "\"ME@a\":[{\"name\":\"z\"}]}}" },
                { "a", "[]", "[]" },
                { "a", NULL, "{}" },
                { "a", NULL, "{\"accounts\":[],\"hosts\":[]}" },
                { "a", NULL, "{\"accounts\":[],\"hosts\":{\"a\":{}}}" },
        };

        for (size_t i = 0; i < count_of(cases); i++) {
                struct cause cause = { 0 };
                json_t *document = json_loads(cases[i].document, 0, NULL);
                json_t *parts = apply_document_parts(document);
                json_t *accounts = apply_document_for(document, parts, cases[i].station, &cause);
                ck_assert_int_eq(accounts == NULL, cases[i].accounts == NULL);
                scoped(scoped_free) char *text = accounts ? json_dumps(accounts, JSON_COMPACT) : NULL;
                if (text)
                        ck_assert_str_eq(text, cases[i].accounts);
                json_decref(accounts);
                json_decref(parts);
                json_decref(document);
        }
}
END_TEST

/* Each station finds its part, each part its station, without looking at all others. */
START_TEST(a_document_for_many_stations)
{
        struct stations stations = { 0 }, none = { 0 };
        json_t *hosts = json_object(), *document = json_pack("{s:o}", "hosts", hosts);

        for (int i = 0; i < 5000; i++) {
                char name[32], key[32];
                (void)snprintf(name, sizeof name, "me@Plant%d", i);
                (void)snprintf(key, sizeof key, "pLANT%d", i);
                struct cause cause;
                ck_assert_int_eq(stations_add_list(&stations, name, &cause), 0);
                json_object_set_new(hosts, key, json_pack("[{s:s}]", "name", key));
        }
        json_object_set_new(hosts, "elsewhere", json_array());
        json_t *others = apply_document_others(document, &stations, &none);
        ck_assert_uint_eq(json_array_size(others), 1);
        json_t *parts = apply_document_parts(document);
        for (size_t i = 0; i < stations.count; i++) {
                struct cause cause;
                json_t *accounts = apply_document_for(document, parts, stations.names[i], &cause);
                ck_assert_uint_eq(json_array_size(accounts), 1);
                json_decref(accounts);
        }
        json_decref(parts);
        json_decref(others);
        json_decref(document);
        stations_free(&stations);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("ctl_words");
        TCase *cases = tcase_create("ctl_words");

        tcase_add_loop_test(cases, lists_of_folders, 0, (int)count_of(folder_lists));
        tcase_add_test(cases, a_folder_in_a_list);
        tcase_add_loop_test(cases, a_text_without_a_name, 0, (int)count_of(texts));
        tcase_add_test(cases, names_in_a_row);
        tcase_add_loop_test(cases, names_of_files, 0, (int)count_of(files));
        tcase_add_test(cases, a_long_name_keeps_its_ending);
        tcase_add_loop_test(cases, a_text_is_read, 0, (int)count_of(charsets));
        tcase_add_loop_test(cases, received_messages, 0, (int)count_of(filters));
        tcase_add_loop_test(cases, lists_of_stations, 0, (int)count_of(station_lists));
        tcase_add_test(cases, hosts_of_stations);
        tcase_add_test(cases, a_part_of_a_document_for_one_station);
        tcase_add_test(cases, a_document_for_many_stations);
        suite_add_tcase(suite, cases);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
