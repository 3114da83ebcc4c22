/* SPDX-License-Identifier: MIT */
/* Lookups: literals, order of families, sharing, cancelling, names that hang, words of failures. */
#include "daemon/wire/resolve.c"

#include <arpa/inet.h>
#include <check.h>
#include <semaphore.h>
#include <stdatomic.h>

static size_t answers;
static struct addresses last_found;
static struct cause last_why;

static void on_answer(unused_arg void *ctx, const struct addresses *found, const struct cause *why)
{
        last_found = *found;
        last_why = *why;
        answers++;
        loop_end();
}

static void wait_for_answers(size_t count)
{
        while (answers < count)
                loop_run();
}

static struct question *ask(const char *host)
{
        return resolve(host, 25, on_answer, NULL);
}

/* ---- the hook: on a worker thread ---- */

static atomic_size_t asked;
static sem_t begun, go_on;

static int one_address(unused_arg const char *host, uint16_t port, struct sockaddr_storage *out,
                       unused_arg int max, unused_arg struct cause *cause)
{
        struct sockaddr_in *in = (struct sockaddr_in *)out;

        atomic_fetch_add(&asked, 1);
        in->sin_family = AF_INET;
        in->sin_port = htons(port);
        in->sin_addr.s_addr = htonl(0xC0000207); /* 192.0.2.7 */
        return 1;
}

/* Names that begin with "slow" wait for go_on. */
static int slow_address(const char *host, uint16_t port, struct sockaddr_storage *out, int max,
                        struct cause *cause)
{
        if (strncmp(host, "slow", 4) == 0) {
                sem_post(&begun);
                sem_wait(&go_on);
        }
        return one_address(host, port, out, max, cause);
}

static int no_address(const char *host, unused_arg uint16_t port, unused_arg struct sockaddr_storage *out,
                      unused_arg int max, struct cause *cause)
{
        return same_text(host, "empty.example") ? 0 : cause_set(cause, CAUSE_RESOLVE, "no");
}

static void setup(void)
{
        ck_assert_int_eq(loop_open(NULL), 0);
        sem_init(&begun, 0, 0);
        sem_init(&go_on, 0, 0);
        connection_use_resolver(one_address);
}

static void teardown(void)
{
        loop_close();
        ck_assert_ptr_null(pool);
}

/* ---- cases ---- */

START_TEST(literals_need_no_resolver)
{
        static const struct {
                const char *host, *text;
        } cases[] = {
                { "192.0.2.1", "192.0.2.1" },
                { "2001:db8::1", "2001:db8::1" },
                { "::1", "::1" },
        };
        char text[80];

        (void)!ask(cases[_i].host);
        ck_assert_uint_eq(answers, 0); /* never before it returns */
        wait_for_answers(1);
        ck_assert_uint_eq(last_found.count, 1);
        address_text(&last_found.items[0], text, sizeof text);
        ck_assert_str_eq(text, cases[_i].text);
        ck_assert_uint_eq(asked, 0);
        const struct sockaddr_in *in = (const struct sockaddr_in *)&last_found.items[0];
        ck_assert_int_eq(ntohs(in->sin_port), 25);
}
END_TEST

START_TEST(the_systems_resolver_knows_localhost)
{
        connection_use_resolver(NULL);
        (void)!ask("localhost");
        wait_for_answers(1);
        ck_assert_uint_ge(last_found.count, 1);
}
END_TEST

START_TEST(families_take_turns)
{
        static const struct {
                const char *in, *out;
        } cases[] = {
                { "", "" },
                { "6", "6" },
                { "66", "66" },
                { "6644", "6464" },
                { "4466", "4646" },
                { "66664", "64666" },
                { "4666", "4666" },
                { "46464646", "46464646" },
                { "644444", "644444" },
        };
        struct addresses addresses = { .count = strlen(cases[_i].in) };
        in_port_t next_of[2] = { 0, 0 };

        for (size_t i = 0; i < addresses.count; i++) {
                bool six = cases[_i].in[i] == '6';
                addresses.items[i].ss_family = six ? AF_INET6 : AF_INET;
                ((struct sockaddr_in *)&addresses.items[i])->sin_port = next_of[six]++;
        }
        addresses_interleave(&addresses);
        next_of[0] = next_of[1] = 0;
        for (size_t i = 0; i < addresses.count; i++) {
                bool six = cases[_i].out[i] == '6';
                ck_assert_int_eq(addresses.items[i].ss_family, six ? AF_INET6 : AF_INET);
                /* within a family the order stays */
                ck_assert_int_eq(((struct sockaddr_in *)&addresses.items[i])->sin_port, next_of[six]++);
        }
}
END_TEST

START_TEST(an_address_that_is_there_twice_counts_once)
{
        struct sockaddr_in one = { .sin_family = AF_INET, .sin_port = 25, .sin_addr.s_addr = 1 }, other = one;
        struct addrinfo list[3] = {
                { .ai_family = AF_INET, .ai_addr = (struct sockaddr *)&one, .ai_addrlen = sizeof one }
        };
        struct addresses found = { 0 };

        other.sin_addr.s_addr = 2;
        list[1] = list[2] = list[0];
        list[1].ai_addr = (struct sockaddr *)&other;
        list[0].ai_next = &list[1];
        list[1].ai_next = &list[2];
        take_list(list, &found);
        ck_assert_uint_eq(found.count, 2);
        ck_assert_mem_eq(&found.items[0], &one, sizeof one);
        ck_assert_mem_eq(&found.items[1], &other, sizeof other);
}
END_TEST

static void on_known(unused_arg void *ctx, const struct addresses *found, unused_arg const struct cause *why)
{
        ck_assert_int_eq(ntohs(((const struct sockaddr_in *)&found->items[0])->sin_port), 993);
        answers++;
        loop_end();
}

START_TEST(equal_questions_share_a_lookup)
{
        connection_use_resolver(slow_address);
        for (size_t i = 0; i < 50; i++)
                (void)!ask("slow.example");
        sem_wait(&begun);
        sem_post(&go_on);
        wait_for_answers(50);
        ck_assert_uint_eq(asked, 1);
        ck_assert_ptr_null(lookups);
        sem_post(&go_on);
        (void)!ask("slow.example"); /* over: asked anew */
        wait_for_answers(51);
        ck_assert_uint_eq(asked, 2);
}
END_TEST

START_TEST(another_port_is_no_other_name)
{
        connection_use_resolver(NULL);
        (void)!ask("localhost");
        (void)!resolve("localhost", 993, on_known, NULL);
        ck_assert_ptr_null(lookups->next);
        wait_for_answers(2);
}
END_TEST

START_TEST(a_name_that_hangs_stops_no_other)
{
        connection_use_resolver(slow_address);
        for (size_t i = 0; i < 100; i++)
                (void)!ask("slow.example");
        sem_wait(&begun);
        (void)!ask("quick.example");
        wait_for_answers(1);
        ck_assert_uint_eq(last_found.count, 1);
        sem_post(&go_on);
        wait_for_answers(101);
}
END_TEST

START_TEST(a_cancelled_question_has_no_answer)
{
        connection_use_resolver(slow_address);
        struct question *question = ask("slow.example");
        (void)!ask("slow.example");
        sem_wait(&begun);
        resolve_cancel(question);
        resolve_cancel(NULL);
        sem_post(&go_on);
        wait_for_answers(1);
        loop_turn();
        ck_assert_uint_eq(answers, 1);
        question = ask("192.0.2.1");
        resolve_cancel(question);
        loop_turn();
        ck_assert_uint_eq(answers, 1);
        ck_assert_ptr_null(lookups);
}
END_TEST

START_TEST(a_lookup_that_nobody_wants_does_not_begin)
{
        char host[32];

        connection_use_resolver(slow_address);
        for (int i = 0; i < LOOKUP_PLACES; i++) {
                (void)snprintf(host, sizeof host, "slow%d.example", i);
                (void)!ask(host);
        }
        for (int i = 0; i < LOOKUP_PLACES; i++)
                sem_wait(&begun);
        resolve_cancel(ask("dropped.example"));
        resolve_cancel(ask("again.example"));
        (void)!ask("again.example"); /* wanted once more while it waits */
        for (int i = 0; i < LOOKUP_PLACES; i++)
                sem_post(&go_on);
        wait_for_answers(LOOKUP_PLACES + 1);
        ck_assert_uint_eq(asked, LOOKUP_PLACES + 1);
        loop_turn();
}
END_TEST

static void ask_hanging(int from, int until)
{
        char host[32];

        for (int i = from; i < until; i++) {
                (void)snprintf(host, sizeof host, "slow%d.example", i);
                (void)!ask(host);
        }
        for (int i = from; i < until; i++)
                sem_wait(&begun);
}

START_TEST(names_that_hang_for_good_give_their_places_up)
{
        struct question *waits;
        char host[32];
        int hang = 0;

        loop_freeze(1000, 0);
        connection_use_resolver(slow_address);
        (void)!ask("known.example");
        wait_for_answers(1);
        for (; hang + LOOKUP_PLACES <= LOOKUP_THREADS - LOOKUP_RESERVE; hang += LOOKUP_PLACES) {
                ask_hanging(hang, hang + LOOKUP_PLACES);
                (void)snprintf(host, sizeof host, "quick%d.example", hang);
                (void)!ask(host);
                resolve_cancel(ask("192.0.2.9"));
                loop_advance(LOOKUP_HANGS_MS);
                if (hang + 2 * LOOKUP_PLACES <=
                    LOOKUP_THREADS - LOOKUP_RESERVE) /* for the last one no thread is left */
                        wait_for_answers((size_t)hang / LOOKUP_PLACES + 2);
        }
        waits = ask("new.example");
        (void)!resolve("known.example", 993, on_known, NULL);
        wait_for_answers((size_t)hang / LOOKUP_PLACES + 1);
        resolve_cancel(waits);
        for (; hang; hang--)
                sem_post(&go_on);
}
END_TEST

static void ask_again(void *ctx, const struct addresses *found, const struct cause *why)
{
        (void)!ask("first.example");
        on_answer(ctx, found, why);
}

START_TEST(asking_from_inside_an_answer_begins_anew)
{
        (void)!resolve("first.example", 25, ask_again, NULL);
        wait_for_answers(1);
        ck_assert_uint_eq(answers, 1);
        wait_for_answers(2);
        ck_assert_uint_eq(asked, 2);
}
END_TEST

START_TEST(failures_have_a_cause)
{
        connection_use_resolver(no_address);
        (void)!ask("bad.example");
        wait_for_answers(1);
        ck_assert_uint_eq(last_found.count, 0);
        ck_assert_int_eq(last_why.code, CAUSE_RESOLVE);
        ck_assert_str_eq(last_why.text, "no");
        (void)!ask("empty.example");
        wait_for_answers(2);
        ck_assert_int_eq(last_why.code, CAUSE_RESOLVE);
        ck_assert_str_eq(last_why.text, "the name empty.example has no address");
}
END_TEST

START_TEST(resolver_errors_in_words)
{
        static const struct {
                int error, system_error;
                const char *words;
        } cases[] = {
                { EAI_NONAME, 0, "the name x.example has no address" },
                { EAI_NODATA, 0, "the name x.example has no address" },
                { EAI_AGAIN, 0, "no name server answers" },
                { EAI_SYSTEM, EMFILE, "Too many open files" },
                { EAI_FAIL, 0, "Non-recoverable" },
        };
        struct cause cause;

        explain(cases[_i].error, cases[_i].system_error, "x.example", &cause);
        ck_assert_int_eq(cause.code, CAUSE_RESOLVE);
        ck_assert_ptr_nonnull(strstr(cause.text, cases[_i].words));
}
END_TEST

START_TEST(the_end_of_the_loop_does_not_wait_for_a_resolver)
{
        connection_use_resolver(slow_address);
        struct question *hanging = ask("slow.example");
        sem_wait(&begun);
        loop_close();
        ck_assert_uint_eq(answers, 0);
        resolve_cancel(hanging);
        sem_post(&go_on);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("resolve");
        TCase *tests = tcase_create("resolve");

        tcase_add_checked_fixture(tests, setup, teardown);
        tcase_add_loop_test(tests, literals_need_no_resolver, 0, 3);
        tcase_add_test(tests, the_systems_resolver_knows_localhost);
        tcase_add_loop_test(tests, families_take_turns, 0, 9);
        tcase_add_test(tests, an_address_that_is_there_twice_counts_once);
        tcase_add_test(tests, equal_questions_share_a_lookup);
        tcase_add_test(tests, another_port_is_no_other_name);
        tcase_add_test(tests, a_name_that_hangs_stops_no_other);
        tcase_add_test(tests, a_cancelled_question_has_no_answer);
        tcase_add_test(tests, a_lookup_that_nobody_wants_does_not_begin);
        tcase_add_test(tests, names_that_hang_for_good_give_their_places_up);
        tcase_add_test(tests, asking_from_inside_an_answer_begins_anew);
        tcase_add_test(tests, failures_have_a_cause);
        tcase_add_loop_test(tests, resolver_errors_in_words, 0, 5);
        tcase_add_test(tests, the_end_of_the_loop_does_not_wait_for_a_resolver);
        suite_add_tcase(suite, tests);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? 1 : 0;
}
