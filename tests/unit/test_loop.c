/* SPDX-License-Identifier: MIT */
/* The loop: order of timers and calls, virtual time, watches, signals, worker threads. */
#include "daemon/loop.h"

#include <check.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static char story[4096];

static void tell(const char *word)
{
        ck_assert_uint_lt(strlen(story) + strlen(word), sizeof story - 1);
        strcat(story, word);
}

/* The character as a text that lasts, and is not const. */
static char *word(char character)
{
        static char words[128][2];

        words[(unsigned char)character][0] = character;
        return words[(unsigned char)character];
}

static void tell_word(void *ctx)
{
        tell(ctx);
}

static void end_loop(unused_arg void *ctx)
{
        loop_end();
}

static void setup(void)
{
        story[0] = '\0';
        ck_assert_int_eq(loop_open(NULL), 0);
}

static void teardown(void)
{
        loop_close();
}

/* ---- timers ---- */

START_TEST(timers_fire_in_order_of_due_time_then_of_setting)
{
        struct timer *timers[4];
        static char words[4][2] = { "a", "b", "c", "d" };

        loop_freeze(1000, 0);
        for (size_t i = 0; i < 4; i++)
                timers[i] = timer_new(tell_word, words[i]);
        timer_set(timers[0], 30);
        timer_set(timers[1], 10);
        timer_set(timers[2], 30);
        timer_set(timers[3], 20);
        loop_advance(29);
        ck_assert_str_eq(story, "bd");
        ck_assert(!timer_is_set(timers[1]));
        ck_assert(timer_is_set(timers[0]));
        loop_advance(1);
        ck_assert_str_eq(story, "bdac");
        ck_assert_int_eq(loop_now(), 1030);
        for (size_t i = 0; i < 4; i++)
                timer_free(timers[i]);
        timer_free(NULL);
}
END_TEST

START_TEST(setting_again_replaces_and_stopping_stops)
{
        struct timer *timer = timer_new(tell_word, word('x'));

        loop_freeze(0, 0);
        timer_set(timer, 10);
        timer_set(timer, 50);
        loop_advance(49);
        ck_assert_str_eq(story, "");
        loop_advance(1);
        ck_assert_str_eq(story, "x");
        timer_set(timer, 10);
        timer_stop(timer);
        timer_stop(timer);
        loop_advance(1000);
        ck_assert_str_eq(story, "x");
        timer_free(timer);
}
END_TEST

START_TEST(the_frozen_wall_moves_along)
{
        loop_freeze(500, 1700000000);
        loop_advance(2500);
        ck_assert_int_eq(loop_wall(), 1700000002);
        ck_assert_int_eq(loop_now(), 3000);
}
END_TEST

static struct timer *own;
static int64_t fired_at[3];
static size_t fired;

static void fire_thrice_then_free(unused_arg void *ctx)
{
        fired_at[fired++] = loop_now();
        if (fired < 3)
                timer_set(own, 7);
        else
                timer_free(take(own));
}

START_TEST(a_timer_sets_and_frees_itself)
{
        loop_freeze(100, 0);
        own = timer_new(fire_thrice_then_free, NULL);
        timer_set(own, 7);
        loop_advance(1000);
        ck_assert_uint_eq(fired, 3);
        ck_assert_int_eq(fired_at[0], 107);
        ck_assert_int_eq(fired_at[2], 121);
        ck_assert_ptr_null(own);
}
END_TEST

enum { MANY = 10000 };
static struct timer *many[MANY];
static int64_t due_of[MANY];
static int64_t last_due;
static size_t many_fired;

static void fire_one_of_many(void *ctx)
{
        size_t i = (size_t)((struct timer **)ctx - many);

        ck_assert_int_eq(loop_now(), due_of[i]);
        ck_assert_int_ge(due_of[i], last_due);
        last_due = due_of[i];
        many_fired++;
}

START_TEST(ten_thousand_timers_set_moved_and_stopped)
{
        size_t stopped = 0;

        loop_freeze(0, 0);
        srand(1);
        for (size_t i = 0; i < MANY; i++)
                many[i] = timer_new(fire_one_of_many, &many[i]);
        for (size_t turn = 0; turn < 3; turn++)
                for (size_t i = 0; i < MANY; i++) {
                        due_of[i] = rand() % 100000;
                        timer_set(many[i], due_of[i]);
                }
        for (size_t i = 0; i < MANY; i += 3, stopped++)
                timer_stop(many[i]);
        loop_advance(100000);
        ck_assert_uint_eq(many_fired, MANY - stopped);
        for (size_t i = 0; i < MANY; i++)
                timer_free(many[i]);
}
END_TEST

START_TEST(real_time_passes)
{
        struct timer *timer = timer_new(end_loop, NULL);
        int64_t before = loop_now();

        timer_set(timer, 100000);
        timer_set(timer, 20);
        loop_run();
        ck_assert_int_ge(loop_now(), before + 20);
        ck_assert_int_lt(loop_now(), before + 20000);
        timer_free(timer);
}
END_TEST

static void set_at_once(unused_arg void *ctx)
{
        timer_set(own, 0);
}

static void on_readable(unused_arg void *ctx, int what)
{
        ck_assert_int_eq(what, WATCH_READ);
        loop_end();
}

START_TEST(a_timer_that_is_always_due_starves_nobody)
{
        int ends[2];

        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
        struct watch *watch = watch_new(ends[0], on_readable, NULL);
        watch_for(watch, WATCH_READ);
        own = timer_new(set_at_once, NULL);
        timer_set(own, 0);
        ck_assert_int_eq(write(ends[1], "x", 1), 1);
        loop_run();
        watch_free(watch);
        timer_free(own);
        close_fd(&ends[0]);
        close_fd(&ends[1]);
}
END_TEST

static void tell_and_set(unused_arg void *ctx)
{
        tell("x");
        timer_set(own, 0);
}

START_TEST(a_timer_fires_once_a_turn)
{
        struct timer *others[8];

        for (size_t i = 0; i < count_of(others); i++) {
                others[i] = timer_new(tell_word, word('-'));
                timer_set(others[i], 100000);
        }
        own = timer_new(tell_and_set, NULL);
        timer_set(own, 0);
        timer_set(others[0], 0);
        loop_turn();
        ck_assert_str_eq(story, "x-");
        loop_turn();
        ck_assert_str_eq(story, "x-x");
        for (size_t i = 0; i < count_of(others); i++)
                timer_free(others[i]);
        timer_free(own);
}
END_TEST

/* ---- calls ---- */

static void call_again(unused_arg void *ctx)
{
        tell("1");
        loop_later(tell_word, word('3'));
        tell("2");
}

START_TEST(later_runs_after_the_callback_in_order)
{
        loop_later(call_again, NULL);
        loop_later(tell_word, word('-'));
        ck_assert_str_eq(story, "");
        loop_turn();
        ck_assert_str_eq(story, "12-3");
}
END_TEST

START_TEST(posted_calls_keep_their_order)
{
        loop_post(tell_word, word('a'));
        loop_post(tell_word, word('b'));
        loop_post(end_loop, NULL);
        loop_run();
        ck_assert_str_eq(story, "ab");
}
END_TEST

enum { POSTERS = 4, POSTS = 50000 };
static size_t posts_seen;

static void count_post(unused_arg void *ctx)
{
        if (++posts_seen == (size_t)POSTERS * POSTS)
                loop_end();
}

static void *post_many(unused_arg void *ctx)
{
        for (size_t i = 0; i < POSTS; i++)
                loop_post(count_post, NULL);
        return NULL;
}

START_TEST(many_threads_post)
{
        pthread_t threads[POSTERS];

        for (size_t i = 0; i < POSTERS; i++)
                ck_assert_int_eq(pthread_create(&threads[i], NULL, post_many, NULL), 0);
        loop_run();
        for (size_t i = 0; i < POSTERS; i++)
                ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        ck_assert_uint_eq(posts_seen, (size_t)POSTERS * POSTS);
}
END_TEST

START_TEST(closing_runs_what_is_left)
{
        loop_on_close(tell_word, word('1'));
        loop_post(tell_word, word('2'));
        loop_later(tell_word, word('3'));
        loop_close();
        ck_assert_str_eq(story, "123");
        loop_close(); /* nothing to do */
        ck_assert_int_eq(loop_open(NULL), 0);
}
END_TEST

/* ---- handles ---- */

START_TEST(a_handle_finds_its_object_until_it_is_dropped)
{
        char one = '1', other = '2';
        handle_id first = handle_new(&one), second = handle_new(&one), stale = first;

        ck_assert(first != HANDLE_NONE && first != second);
        ck_assert_ptr_eq(handle_object(first), &one);
        ck_assert_ptr_eq(handle_object(second), &one);
        handle_drop(&first);
        ck_assert(first == HANDLE_NONE);
        ck_assert_ptr_null(handle_object(stale));
        ck_assert_ptr_eq(handle_object(second), &one);
        handle_drop(&stale); /* twice is fine, */
        stale = second;
        handle_drop(&second);
        for (int i = 0; i < 1000; i++) { /* and the number never comes again */
                handle_id next = handle_new(&other);
                ck_assert(next != stale);
                ck_assert_ptr_null(handle_object(stale));
                handle_id copy = next;
                handle_drop(&next);
                ck_assert_ptr_null(handle_object(copy));
        }
        ck_assert_ptr_null(handle_object(HANDLE_NONE));
        ck_assert_ptr_null(handle_object(UINT64_MAX));
        handle_drop(&first);
}
END_TEST

enum { MANY_HANDLES = 5000 };

START_TEST(many_handles_at_once)
{
        static char objects[MANY_HANDLES];
        static handle_id handles[MANY_HANDLES];

        for (size_t round = 0; round < 3; round++) {
                for (size_t i = 0; i < MANY_HANDLES; i++)
                        handles[i] = handle_new(&objects[i]);
                for (size_t i = round; i < MANY_HANDLES; i += 2) {
                        handle_id stale = handles[i];
                        handle_drop(&handles[i]);
                        handles[i] = handle_new(&objects[i]);
                        ck_assert_ptr_null(handle_object(stale));
                }
                for (size_t i = 0; i < MANY_HANDLES; i++) {
                        ck_assert_ptr_eq(handle_object(handles[i]), &objects[i]);
                        handle_drop(&handles[i]);
                }
        }
}
END_TEST

static void tell_object(void *object)
{
        char *text = object;

        tell(text);
}

START_TEST(a_call_to_what_has_gone_is_not_made)
{
        char one[] = "1", other[] = "2";
        handle_id there = handle_new(one), gone = handle_new(other);

        loop_later_to(there, tell_object);
        loop_later_to(gone, tell_object);
        loop_later_to(HANDLE_NONE, tell_object);
        handle_drop(&gone);
        ck_assert_str_eq(story, "");
        loop_turn();
        ck_assert_str_eq(story, "1");
        handle_drop(&there);
}
END_TEST

/* ---- watches and signals ---- */

static struct watch *pair[2];

static void free_both(unused_arg void *ctx, unused_arg int what)
{
        tell("!");
        watch_free(take(pair[0]));
        watch_free(take(pair[1]));
}

START_TEST(a_callback_frees_watches_that_are_ready_too)
{
        int ends[2];

        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
        for (size_t i = 0; i < 2; i++) {
                pair[i] = watch_new(ends[i], free_both, NULL);
                watch_for(pair[i], WATCH_READ | WATCH_WRITE);
                ck_assert_int_eq(write(ends[1 - i], "x", 1), 1);
        }
        loop_turn();
        loop_turn();
        ck_assert_str_eq(story, "!");
        close_fd(&ends[0]);
        close_fd(&ends[1]);
}
END_TEST

static void tell_what(unused_arg void *ctx, int what)
{
        tell(what == WATCH_READ ? "r" : what == WATCH_WRITE ? "w" : "?");
}

START_TEST(a_watch_tells_only_what_was_asked_for)
{
        int ends[2];

        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
        struct watch *watch = watch_new(ends[0], tell_what, NULL);
        ck_assert_int_eq(write(ends[1], "x", 1), 1);
        loop_turn();
        ck_assert_str_eq(story, "");
        watch_for(watch, WATCH_WRITE);
        loop_turn();
        ck_assert_str_eq(story, "w");
        watch_for(watch, WATCH_READ);
        loop_turn();
        ck_assert_str_eq(story, "wr");
        watch_for(watch, 0);
        loop_turn();
        ck_assert_str_eq(story, "wr");
        loop_close(); /* before the watch is freed: its owner may be later */
        watch_free(watch);
        close_fd(&ends[0]);
        close_fd(&ends[1]);
}
END_TEST

static void on_usr1(void *ctx, int number)
{
        ck_assert_int_eq(number, SIGUSR1);
        tell(ctx);
        loop_end();
}

START_TEST(a_signal_comes_on_the_loop)
{
        loop_on_signal(SIGUSR1, on_usr1, word('1'));
        loop_on_signal(SIGUSR1, on_usr1, word('2'));
        ck_assert_int_eq(raise(SIGUSR1), 0);
        loop_run();
        ck_assert_str_eq(story, "2");
        loop_on_signal(SIGUSR1, NULL, NULL);
        loop_on_signal(0, on_usr1, NULL);
}
END_TEST

/* ---- workers ---- */

struct test_job {
        struct job job;
        size_t number;
        bool worked, signals_blocked;
        pthread_t thread;
};
static size_t jobs_done, jobs_last;
static pthread_t loop_thread;

static void job_work(struct job *job)
{
        struct test_job *own_job = container_of(job, struct test_job, job);
        sigset_t mask;

        pthread_sigmask(SIG_BLOCK, NULL, &mask);
        own_job->signals_blocked = sigismember(&mask, SIGTERM) == 1;
        own_job->worked = true;
        own_job->thread = pthread_self();
}

static void job_done(struct job *job)
{
        struct test_job *own_job = container_of(job, struct test_job, job);

        ck_assert(own_job->worked);
        ck_assert(own_job->signals_blocked);
        ck_assert(!pthread_equal(own_job->thread, loop_thread));
        ck_assert(pthread_equal(pthread_self(), loop_thread));
        ck_assert_uint_eq(own_job->number, jobs_done);
        jobs_done++;
        free(own_job);
        if (jobs_done == jobs_last)
                loop_end();
}

static void give_jobs(struct workers *workers, size_t count)
{
        loop_thread = pthread_self();
        for (size_t i = 0; i < count; i++) {
                struct test_job *own_job = new_object(struct test_job);
                own_job->number = i;
                own_job->job.work = job_work;
                own_job->job.done = job_done;
                workers_run(workers, &own_job->job);
        }
}

START_TEST(a_pool_of_one_is_a_strict_queue)
{
        struct workers *workers = workers_new("one", 1);

        jobs_last = 5000;
        give_jobs(workers, jobs_last);
        loop_run();
        ck_assert_int_eq(workers_stuck_for(workers), 0);
        workers_free(workers);
        ck_assert_uint_eq(jobs_done, 5000);
}
END_TEST

START_TEST(freeing_a_pool_finishes_its_jobs)
{
        struct workers *workers = workers_new("free", 1);

        give_jobs(workers, 300);
        workers_free(workers);
        ck_assert_uint_eq(jobs_done, 300);
        workers_free(NULL);
}
END_TEST

START_TEST(closing_the_loop_frees_pools_that_were_left)
{
        give_jobs(workers_new("left", 1), 300);
        (void)!workers_new("unused", 3);
        loop_close();
        ck_assert_uint_eq(jobs_done, 300);
}
END_TEST

static sem_t arrived, go_on;

static void work_and_wait(unused_arg struct job *job)
{
        sem_post(&arrived);
        sem_wait(&go_on);
}

static size_t waits_done;

static void count_done(unused_arg struct job *job)
{
        waits_done++;
        loop_end();
}

START_TEST(jobs_of_a_pool_run_side_by_side)
{
        struct workers *workers = workers_new("wide", 4);
        struct job jobs[6];

        sem_init(&arrived, 0, 0);
        sem_init(&go_on, 0, 0);
        for (size_t i = 0; i < count_of(jobs); i++) {
                jobs[i] = (struct job){ .work = work_and_wait, .done = count_done };
                workers_run(workers, &jobs[i]);
        }
        for (size_t i = 0; i < 4; i++)
                sem_wait(&arrived); /* four are at it, none has finished */
        ck_assert_int_gt(workers_stuck_for(workers), 0);
        for (size_t i = 0; i < count_of(jobs); i++)
                sem_post(&go_on);
        while (waits_done < count_of(jobs))
                loop_run();
        workers_free(workers);
}
END_TEST

static void work_outside(struct job *job)
{
        workers_outside(true);
        work_and_wait(job);
        workers_outside(false);
        work_and_wait(job);
}

START_TEST(who_waits_for_somebody_else_is_busy_and_not_stuck)
{
        struct workers *workers = workers_new("outside", 1);
        struct job jobs[2] = { { .work = work_outside, .done = count_done },
                               { .work = work_and_wait, .done = count_done } };

        sem_init(&arrived, 0, 0);
        sem_init(&go_on, 0, 0);
        workers_run(workers, &jobs[0]);
        sem_wait(&arrived);
        workers_run(workers, &jobs[1]); /* in line behind it */
        ck_assert_int_gt(workers_busy_for(workers), 0);
        ck_assert_int_eq(workers_stuck_for(workers), 0);
        sem_post(&go_on);
        sem_wait(&arrived); /* back inside */
        ck_assert_int_gt(workers_stuck_for(workers), 0);
        sem_post(&go_on);
        sem_wait(&arrived);
        sem_post(&go_on);
        while (waits_done < count_of(jobs))
                loop_run();
        workers_outside(true); /* on the loop's own thread: nothing */
        ck_assert_int_eq(workers_stuck_for(workers), 0);
        ck_assert_int_eq(workers_busy_for(workers), 0);
        workers_free(workers);
}
END_TEST

/* What it holds is not lost sight of: leak checkers complain at the end. */
START_TEST(what_an_abandoned_pool_finishes_stays)
{
        struct workers *workers = workers_new("late", 1);
        struct job *job = new_object(struct job);

        sem_init(&arrived, 0, 0);
        sem_init(&go_on, 0, 0);
        *job = (struct job){ .work = work_and_wait, .done = count_done };
        workers_run(workers, take(job));
        sem_wait(&arrived);
        workers_abandon(workers);
        sem_post(&go_on);
        (void)usleep(100 * 1000); /* for its thread to end, of which nothing tells */
        ck_assert_uint_eq(waits_done, 0);
}
END_TEST

START_TEST(an_abandoned_pool_waits_for_nobody)
{
        struct workers *workers = workers_new("hang", 1);
        static struct job jobs[3];

        sem_init(&arrived, 0, 0);
        sem_init(&go_on, 0, 0);
        for (size_t i = 0; i < count_of(jobs); i++) {
                jobs[i] = (struct job){ .work = work_and_wait, .done = count_done };
                workers_run(workers, &jobs[i]);
        }
        sem_wait(&arrived);
        workers_abandon(workers);
        ck_assert_uint_eq(waits_done, 2); /* those that had not begun */
        sem_post(&go_on);
        workers_abandon(NULL);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("loop");
        TCase *tests = tcase_create("loop");

        tcase_add_checked_fixture(tests, setup, teardown);
        tcase_add_test(tests, timers_fire_in_order_of_due_time_then_of_setting);
        tcase_add_test(tests, setting_again_replaces_and_stopping_stops);
        tcase_add_test(tests, the_frozen_wall_moves_along);
        tcase_add_test(tests, a_timer_sets_and_frees_itself);
        tcase_add_test(tests, ten_thousand_timers_set_moved_and_stopped);
        tcase_add_test(tests, real_time_passes);
        tcase_add_test(tests, a_timer_that_is_always_due_starves_nobody);
        tcase_add_test(tests, a_timer_fires_once_a_turn);
        tcase_add_test(tests, later_runs_after_the_callback_in_order);
        tcase_add_test(tests, posted_calls_keep_their_order);
        tcase_add_test(tests, many_threads_post);
        tcase_add_test(tests, closing_runs_what_is_left);
        tcase_add_test(tests, a_handle_finds_its_object_until_it_is_dropped);
        tcase_add_test(tests, many_handles_at_once);
        tcase_add_test(tests, a_call_to_what_has_gone_is_not_made);
        tcase_add_test(tests, a_callback_frees_watches_that_are_ready_too);
        tcase_add_test(tests, a_watch_tells_only_what_was_asked_for);
        tcase_add_test(tests, a_signal_comes_on_the_loop);
        tcase_add_test(tests, a_pool_of_one_is_a_strict_queue);
        tcase_add_test(tests, freeing_a_pool_finishes_its_jobs);
        tcase_add_test(tests, closing_the_loop_frees_pools_that_were_left);
        tcase_add_test(tests, jobs_of_a_pool_run_side_by_side);
        tcase_add_test(tests, who_waits_for_somebody_else_is_busy_and_not_stuck);
        tcase_add_test(tests, an_abandoned_pool_waits_for_nobody);
        tcase_add_test(tests, what_an_abandoned_pool_finishes_stays);
        suite_add_tcase(suite, tests);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? 1 : 0;
}
