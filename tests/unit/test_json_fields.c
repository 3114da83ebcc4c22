/* SPDX-License-Identifier: MIT */
/* Objects read by a table: every bad field told at once; causes and base64 there and back. */
#include "common/base64.c"
#include "common/json_fields.c"

#include <check.h>

struct request {
        const char *name, *secret;
        bool wait, wait_given;
        int64_t limit;
        json_t *properties, *items, *words, *rows;
};
static const struct json_field fields[] = {
        { "name", JSON_FIELD_TEXT, offsetof(struct request, name), FIELD_REQUIRED | FIELD_CLEAN, 0, 10, 0 },
        { "secret", JSON_FIELD_TEXT, offsetof(struct request, secret), FIELD_SECRET, 0, 5, 0 },
        { "wait", JSON_FIELD_BOOL, offsetof(struct request, wait), 0, 0, 0,
          offsetof(struct request, wait_given) },
        { "limit", JSON_FIELD_INT, offsetof(struct request, limit), 0, 1, 100, 0 },
        { "properties", JSON_FIELD_OBJECT, offsetof(struct request, properties), 0, 0, 0, 0 },
        { "items", JSON_FIELD_ARRAY, offsetof(struct request, items), 0, 0, 0, 0 },
        { "words", JSON_FIELD_TEXTS, offsetof(struct request, words), 0, 0, 0, 0 },
        { "rows", JSON_FIELD_OBJECTS, offsetof(struct request, rows), 0, 0, 0, 0 },
};

static json_t *json_of(const char *text)
{
        json_t *object = json_loads(text, JSON_DECODE_ANY, NULL);

        ck_assert_msg(object != NULL, "%s", text);
        return object;
}

START_TEST(all_fields_are_read)
{
        struct causes problems = { 0 };
        struct request request = { .limit = 7 };
        json_t *object = json_of("{\"name\":\"a\",\"wait\":true,\"limit\":null,\"properties\":{\"x\":1},"
                                 "\"items\":[1,\"b\"],\"words\":[\"c\"],\"secret\":\"s\\n\"}");

        ck_assert_int_eq(json_read_fields(object, fields, count_of(fields), &request, &problems), 0);
        ck_assert_str_eq(request.name, "a");
        ck_assert_str_eq(request.secret, "s\n");
        ck_assert(request.wait && request.wait_given);
        ck_assert_int_eq(request.limit, 7);
        ck_assert_uint_eq(json_object_size(request.properties), 1);
        ck_assert_uint_eq(json_array_size(request.items), 2);
        ck_assert_uint_eq(json_array_size(request.words), 1);
        ck_assert_uint_eq(problems.count, 0);
        json_decref(object);
}
END_TEST

static const struct {
        const char *object, *property, *says;
} bad[] = {
        { "{}", "name", "is missing" },
        { "{\"name\":null}", "name", "is missing" },
        { "{\"name\":1}", "name", "must be a text" },
        { "{\"name\":\"12345678901\"}", "name", "10 are the most" },
        { "{\"name\":\"a\\u001b\"}", "name", "control bytes" },
        { "{\"name\":\"a\",\"wait\":\"true\"}", "wait", "must be true or false" },
        { "{\"name\":\"a\",\"wait\":1}", "wait", "must be true or false" },
        { "{\"name\":\"a\",\"limit\":0}", "limit", "1 to 100" },
        { "{\"name\":\"a\",\"limit\":101}", "limit", "1 to 100" },
        { "{\"name\":\"a\",\"limit\":5.0}", "limit", "a whole number" },
        { "{\"name\":\"a\",\"properties\":[]}", "properties", "an object" },
        { "{\"name\":\"a\",\"items\":{}}", "items", "a list" },
        { "{\"name\":\"a\",\"rows\":[{},1]}", "rows", "a list of objects" },
        { "{\"name\":\"a\",\"words\":[\"b\",1]}", "words", "a list of texts" },
        { "{\"name\":\"a\",\"words\":\"b\"}", "words", "a list of texts" },
        { "{\"name\":\"a\",\"propertys\":{}}", "propertys", "there is no field" },
        { "[]", "", "must be an object" },
};

START_TEST(bad_fields_are_told)
{
        struct causes problems = { 0 };
        struct request request = { 0 };
        json_t *object = json_of(bad[_i].object);

        ck_assert_int_eq(json_read_fields(object, fields, count_of(fields), &request, &problems), -1);
        ck_assert_uint_eq(problems.count, 1);
        ck_assert_int_eq((int)problems.items[0].code, CAUSE_INVALID);
        ck_assert_str_eq(problems.items[0].property, bad[_i].property);
        ck_assert_msg(strstr(problems.items[0].text, bad[_i].says) != NULL, "%s", problems.items[0].text);
        causes_free(&problems);
        json_decref(object);
}
END_TEST

START_TEST(all_at_once_and_without_secrets)
{
        struct causes problems = { 0 };
        struct request request = { 0 };
        json_t *object = json_of("{\"limit\":1000,\"secret\":\"hunter2hunter2\",\"wiat\":true}");

        ck_assert_int_eq(json_read_fields(object, fields, count_of(fields), &request, &problems), -1);
        ck_assert_uint_eq(problems.count, 4);
        json_t *list = problems_json(&problems);
        char *text = json_dumps(list, 0);
        ck_assert_ptr_null(strstr(text, "hunter2"));
        ck_assert_ptr_nonnull(strstr(text, "did you mean wait?"));
        ck_assert_uint_eq(json_array_size(list), 4);
        free(text);
        json_decref(list);
        json_decref(object);
        causes_free(&problems);
        ck_assert_int_eq(json_read_fields(NULL, fields + 1, count_of(fields) - 1, &request, &problems), 0);
}
END_TEST

START_TEST(causes_there_and_back)
{
        struct cause cause = { 0 }, back = { 0 };

        json_t *none = cause_json(NULL);
        ck_assert(json_is_null(none));
        json_decref(none);
        cause_about(&cause, CAUSE_PORT_REQUIRED, "port", "port is 993 now");
        json_t *object = cause_json(&cause);
        ck_assert_str_eq(json_string_value(json_object_get(object, "code")), "PortRequired");
        ck_assert(json_is_false(json_object_get(object, "retries")));
        cause_from_json(object, &back);
        ck_assert_int_eq((int)back.code, CAUSE_PORT_REQUIRED);
        ck_assert_str_eq(back.property, "port");
        ck_assert_str_eq(back.text, cause.text);
        ck_assert_str_eq(back.remedy, cause_remedy_of(&cause));
        json_decref(object);
        object = json_of("{\"code\":\"OfNextYear\",\"text\":\"a\\u001b[2J\",\"remedy\":5}");
        cause_from_json(object, &back);
        ck_assert_int_eq((int)back.code, CAUSE_INTERNAL);
        ck_assert_str_eq(back.text, "a\\x1b[2J");
        ck_assert_str_eq(back.remedy, "");
        json_decref(object);
        cause_from_json(NULL, &back);
        ck_assert_int_eq((int)back.code, CAUSE_NONE);
}
END_TEST

START_TEST(values_are_put)
{
        json_t *object = json_object();

        json_put_text(object, "none", NULL);
        json_put_text(object, "bad", "a\xff");
        json_put_time(object, "time", 1795459860);
        json_put_time(object, "never", 0);
        char *text = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS);
        ck_assert_str_eq(
                text,
                "{\"bad\":\"a\\\\xff\",\"never\":null,\"none\":null,\"time\":\"2026-11-23T18:51:00Z\"}");
        free(text);
        json_decref(object);
}
END_TEST

START_TEST(base64_of_the_rfc)
{
        static const char *const pairs[][2] = { { "", "" },
                                                { "f", "Zg==" },
                                                { "fo", "Zm8=" },
                                                { "foo", "Zm9v" },
                                                { "foob", "Zm9vYg==" },
                                                { "fooba", "Zm9vYmE=" },
                                                { "foobar", "Zm9vYmFy" },
                                                { "\xff\xef\xbe", "/+++" } };

        for (size_t i = 0; i < count_of(pairs); i++) {
                char *text = base64_encode(pairs[i][0], strlen(pairs[i][0]));
                uint8_t *bytes = NULL;
                size_t len = 99;
                ck_assert_str_eq(text, pairs[i][1]);
                ck_assert_int_eq(base64_decode(text, strlen(text), &bytes, &len), 0);
                ck_assert_uint_eq(len, strlen(pairs[i][0]));
                ck_assert_int_eq(memcmp(bytes, pairs[i][0], len), 0);
                free(text);
                free(bytes);
        }
}
END_TEST

START_TEST(base64_is_strict)
{
        static const char *const wrong[] = { "Z",        "Zg",   "Zg=",  "Zg==Zg==",  "====",   "Z===",
                                             "=g==",     "Zg=a", "Zh==", "Zm9=",      "Zm9v\n", "Zm 9",
                                             "Zm9v====", "Zm9-", "Zm9_", "\xc3\xa4==" };

        for (size_t i = 0; i < count_of(wrong); i++) {
                uint8_t *bytes = NULL;
                size_t len = 0;
                ck_assert_msg(base64_decode(wrong[i], strlen(wrong[i]), &bytes, &len) == -1, "%s", wrong[i]);
                ck_assert_ptr_null(bytes);
        }
}
END_TEST

START_TEST(base64_of_every_length)
{
        uint8_t from[600];

        for (size_t i = 0; i < sizeof from; i++)
                from[i] = (uint8_t)(i * 7919 >> 3);
        for (size_t len = 0; len <= sizeof from; len++) {
                char *text = base64_encode(from, len);
                uint8_t *bytes = NULL;
                size_t got = 0;
                ck_assert_int_eq(base64_decode(text, strlen(text), &bytes, &got), 0);
                ck_assert_uint_eq(got, len);
                ck_assert_int_eq(memcmp(bytes, from, len), 0);
                free(text);
                free(bytes);
        }
}
END_TEST

START_TEST(what_is_shown_moves_and_hides_nothing)
{
        static const struct {
                const char *text, *shown;
        } cases[] = {
                { "a\xc3\xbc \xe2\x82\xac \xf0\x9f\x98\x80",
                  "[\"a\xc3\xbc \xe2\x82\xac \xf0\x9f\x98\x80\"]" },
                { "\xc2\x9b"
                  "31m",
                  "[\"\\u009b31m\"]" },
                { "\x7f\x1b\n", "[\"\\u007f\\u001B\\n\"]" },
                { "\xe2\x80\xae", "[\"\\u202e\"]" },
                { "\xf3\xa0\x80\x81", "[\"\\udb40\\udc01\"]" },
                { "\\\"", "[\"\\\\\\\"\"]" },
        };
        for (size_t i = 0; i < count_of(cases); i++) {
                json_t *list = json_pack("[s]", cases[i].text);
                scoped(scoped_free) char *shown = json_shown(list, JSON_COMPACT);
                ck_assert_str_eq(shown, cases[i].shown);
                json_t *again = json_loads(shown, 0, NULL);
                ck_assert(json_equal(list, again));
                json_decref(again);
                json_decref(list);
        }
}
END_TEST

START_TEST(pieces_make_the_whole)
{
        struct buf to = BUF_WITH_MAX(64);
        struct json_writer writer = { .to = &to };

        json_write(&writer, "{");
        json_write_members(&writer, json_of("{\"a\":1,\"b\":[]}"));
        json_write(&writer, ",\"c\":[");
        json_write_members(&writer, json_of("[2,null]"));
        json_write(&writer, ",");
        json_write_value(&writer, json_string("x\"y"));
        json_write(&writer, "],\"d\":\"");
        json_write_within(&writer, "\"line\n");
        json_write(&writer, "end\"}");
        ck_assert(!writer.failed);
        scoped(scoped_free) char *text = buf_take_text(&to);
        ck_assert_str_eq(text, "{\"a\":1,\"b\":[],\"c\":[2,null,\"x\\\"y\"],\"d\":\"\\\"line\\nend\"}");
        json_decref(json_of(text));
        for (int i = 0; i < 20; i++)
                json_write_value(&writer, json_of("{\"name\":12345}"));
        ck_assert(writer.failed && to.len <= 64);
        buf_free(&to);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("json_fields");
        TCase *tc = tcase_create("json_fields");

        tcase_add_test(tc, all_fields_are_read);
        tcase_add_test(tc, what_is_shown_moves_and_hides_nothing);
        tcase_add_loop_test(tc, bad_fields_are_told, 0, (int)count_of(bad));
        tcase_add_test(tc, all_at_once_and_without_secrets);
        tcase_add_test(tc, causes_there_and_back);
        tcase_add_test(tc, values_are_put);
        tcase_add_test(tc, pieces_make_the_whole);
        tcase_add_test(tc, base64_of_the_rfc);
        tcase_add_test(tc, base64_is_strict);
        tcase_add_test(tc, base64_of_every_length);
        suite_add_tcase(suite, tc);
        SRunner *sr = srunner_create(suite);
        srunner_run_all(sr, CK_ENV);
        int failed = srunner_ntests_failed(sr);
        srunner_free(sr);
        return failed ? 1 : 0;
}
