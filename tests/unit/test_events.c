/* SPDX-License-Identifier: MIT */
/* Events: what is heard, what is kept for those who come back, and what is made only when somebody looks. */
#include "daemon/events.h"

#include "common/json_fields.h"
#include "daemon/loop.h"

#include <check.h>
#include <stdio.h>

static char heard[512], cursor[64];
static unsigned made;
static bool looks;

static json_t *data_of(const void *of)
{
        json_t *data = json_object();

        made++;
        json_put_text(data, "id", of);
        return data;
}

static char *text_of_one(const void *of)
{
        return text_of("about %s", (const char *)of);
}

static const struct event_recipe recipe = { data_of, text_of_one };

static void hear(void *ctx, struct event *event)
{
        size_t used = strlen(heard);
        const char *id = "";

        (void)ctx;
        if (looks) {
                const json_t *json = event_json(event);
                id = json_string_value(json_object_get(json_object_get(json, "data"), "id"));
                ck_assert_str_eq(json_string_value(json_object_get(json, "event")), event_name(event));
                ck_assert_str_eq(json_string_value(json_object_get(json, "account")), event_account(event));
                (void)snprintf(cursor, sizeof cursor, "%s",
                               json_string_value(json_object_get(json, "cursor")));
        }
        (void)snprintf(heard + used, sizeof heard - used, "%s %s %s;", event_name(event),
                       event_account(event), id);
}

static void setup(void)
{
        ck_assert_int_eq(loop_open(NULL), 0);
        events_open();
        heard[0] = cursor[0] = '\0';
        made = 0;
        looks = false;
}

static void teardown(void)
{
        events_close();
        loop_close();
}

static void emit(const char *id)
{
        event_emit_of(EVENT_MAIL_RECEIVED, "in", &recipe, copy_text(id));
}

START_TEST(nothing_is_made_that_nobody_looks_at)
{
        (void)events_subscribe(NULL, hear, NULL);
        for (int i = 0; i < 3000; i++)
                emit("x");
        ck_assert_uint_eq(made, 0);
        ck_assert_ptr_nonnull(strstr(heard, "mail.received in ;"));
}
END_TEST

START_TEST(it_is_made_for_who_looks_then_and_later)
{
        looks = true;
        struct subscription *first = events_subscribe(NULL, hear, NULL);
        emit("one");
        event_emit(EVENT_MAIL_SENT, "out", NULL, "two");
        ck_assert_str_eq(heard, "mail.received in one;mail.sent out (null);");
        ck_assert_uint_eq(made, 1);
        events_unsubscribe(first);
        heard[0] = '\0';
        emit("three");
        event_emit(EVENT_MAIL_SENT, "out", NULL, "four");
        (void)events_subscribe(cursor, hear, NULL);
        ck_assert_str_eq(heard, "mail.received in three;mail.sent out (null);");
        heard[0] = '\0';
        (void)events_subscribe("0.0", hear, NULL); /* all that are kept */
        ck_assert_str_eq(heard, "mail.received in one;mail.sent out (null);mail.received in three;"
                                "mail.sent out (null);");
}
END_TEST

static void hear_and_emit(void *ctx, struct event *event)
{
        (void)ctx;
        if (event_kind(event) == EVENT_MAIL_RECEIVED)
                event_emit(EVENT_MAIL_SENT, "out", NULL, "meanwhile");
}

START_TEST(a_subscriber_emits_another_one)
{
        looks = true;
        (void)events_subscribe(NULL, hear, NULL);
        (void)events_subscribe(NULL, hear_and_emit, NULL);
        emit("one");
        heard[0] = '\0';
        (void)events_subscribe("0.0", hear, NULL);
        ck_assert_str_eq(heard, "mail.received in one;mail.sent out (null);");
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("events");
        TCase *tests = tcase_create("events");
        tcase_add_checked_fixture(tests, setup, teardown);
        tcase_add_test(tests, nothing_is_made_that_nobody_looks_at);
        tcase_add_test(tests, it_is_made_for_who_looks_then_and_later);
        tcase_add_test(tests, a_subscriber_emits_another_one);
        suite_add_tcase(suite, tests);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? 1 : 0;
}
