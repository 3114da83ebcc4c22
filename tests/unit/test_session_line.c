/* SPDX-License-Identifier: MIT */
/* Who is next for a place: against a walk over all that wait; and how many are looked at for one place. */
#include "daemon/session/session_limits.c"
#include "daemon/session/session_line.c"

#include <check.h>

enum { HOSTS = 5, SESSIONS = 60, STEPS = 20000, MANY = 5000 };

static struct host *hosts[HOSTS];

static void open_hosts(unsigned all, unsigned per_host)
{
        sessions_set_limits(all, per_host);
        for (size_t i = 0; i < HOSTS; i++) {
                scoped(scoped_free) char *name = text_of("h%zu.example", i);
                hosts[i] = session_host_hold(name);
        }
}

static void close_hosts(void)
{
        ck_assert_uint_eq(in_rows, 0);
        ck_assert_ptr_null(resting);
        ck_assert_ptr_null(ready.items);
        for (size_t i = 0; i < HOSTS; i++)
                session_host_release(hosts[i]);
}

enum state { FREE, WAITS, OPEN };

struct one {
        struct session session;
        enum state state;
};

static struct one all[SESSIONS];

/* The first that was opened, of those whose server has a place. */
static struct session *walked(void)
{
        struct session *first = NULL;

        for (size_t i = 0; i < SESSIONS && !session_places_all_taken(); i++)
                if (all[i].state == WAITS && session_place_is_free(all[i].session.host) &&
                    (!first || all[i].session.in_line.ready.order < first->in_line.ready.order))
                        first = &all[i].session;
        return first;
}

static bool someone_waits(const struct session *session)
{
        for (size_t i = 0; i < SESSIONS; i++)
                if (all[i].state == WAITS &&
                    (session_places_all_taken() || all[i].session.host == session->host))
                        return true;
        return false;
}

static void begin_next(void)
{
        struct session *expected, *next;

        do {
                expected = walked();
                next = session_line_next();
                ck_assert_ptr_eq(next, expected);
                if (next) {
                        session_place_take(next->host);
                        next->counted = true;
                        container_of(next, struct one, session)->state = OPEN;
                }
        } while (next);
}

static void let_go(struct one *one)
{
        if (one->state == WAITS) {
                session_line_leave(&one->session);
        } else {
                session_rest(&one->session, false);
                one->session.counted = false;
                session_place_give_back(one->session.host);
                session_line_look(one->session.host);
        }
        one->state = FREE;
}

static void step(void)
{
        struct one *one = &all[(unsigned)rand() % SESSIONS];

        if (one->state == FREE) {
                one->session = (struct session){ .host = hosts[(unsigned)rand() % HOSTS] };
                if (session_place_is_free(
                            one->session.host)) { /* before those that wait, where they are slow */
                        session_place_take(one->session.host);
                        one->session.counted = true;
                        one->state = OPEN;
                } else {
                        session_line_join(&one->session);
                        one->state = WAITS;
                }
        } else if (rand() % 2) {
                session_rest(&one->session, rand() % 2); /* not one that waits */
        } else {
                let_go(one);
        }
        if (rand() % 500 == 0) {
                sessions_set_limits(1 + (unsigned)rand() % 20, 1 + (unsigned)rand() % 6);
                session_hosts_each(session_line_look);
        }
}

static bool someone_rests(const struct session *for_this)
{
        for (size_t i = 0; i < SESSIONS; i++)
                if (all[i].session.rests &&
                    (session_places_all_taken() || all[i].session.host == for_this->host))
                        return true;
        return false;
}

/* Those that are told that this one waits: each of them once, and nobody else. */
static void tell_those_that_rest(const struct session *waiting)
{
        size_t most = SESSIONS;

        for (struct session *rests; most && (rests = session_line_resting(waiting)); most--) {
                ck_assert(rests->counted && rests->rests);
                ck_assert(session_places_all_taken() || rests->host == waiting->host);
                session_rest(rests, false);
        }
        ck_assert(most && !someone_rests(waiting));
}

START_TEST(the_first_opened_is_next)
{
        open_hosts(8, 3);
        srand(7);
        for (int i = 0; i < STEPS; i++) {
                step();
                for (size_t h = 0; h < HOSTS; h++) {
                        const struct session any = { .host = hosts[h] };
                        ck_assert(session_line_waits(&any) == someone_waits(&any));
                        ck_assert((session_line_resting(&any) != NULL) == someone_rests(&any));
                }
                if (rand() % 3 == 0)
                        begin_next();
                if (rand() % 20 == 0)
                        tell_those_that_rest(
                                &(const struct session){ .host = hosts[(unsigned)rand() % HOSTS] });
        }
        for (size_t i = 0; i < SESSIONS; i++)
                if (all[i].state != FREE)
                        let_go(&all[i]);
        close_hosts();
}
END_TEST

/* However many wait: those that may begin are no more than the places, and only they are looked at. */
START_TEST(a_place_costs_the_looking_at_few)
{
        static struct session waiting[MANY];

        open_hosts(100, 4);
        for (size_t i = 0; i < HOSTS; i++)
                for (int n = 0; n < 4; n++)
                        session_place_take(hosts[i]);
        for (size_t i = 0; i < MANY; i++) {
                waiting[i].host = hosts[i % HOSTS];
                session_line_join(&waiting[i]);
        }
        ck_assert_uint_eq(ready.count, 0);
        ck_assert_ptr_null(session_line_next());
        for (size_t i = 0; i < MANY; i++) {
                session_place_give_back(waiting[i].host);
                session_line_look(waiting[i].host);
                ck_assert_uint_eq(ready.count, 1);
                ck_assert_ptr_eq(session_line_next(), &waiting[i]);
                session_place_take(waiting[i].host);
                ck_assert_ptr_null(session_line_next());
        }
        for (size_t i = 0; i < HOSTS; i++)
                for (int n = 0; n < 4; n++)
                        session_place_give_back(hosts[i]);
        close_hosts();
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("session_line");
        TCase *tests = tcase_create("session_line");

        tcase_add_test(tests, the_first_opened_is_next);
        tcase_add_test(tests, a_place_costs_the_looking_at_few);
        suite_add_tcase(suite, tests);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
