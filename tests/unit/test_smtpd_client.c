/* SPDX-License-Identifier: MIT */
/* Clients of the submission listener in virtual time: who is slow, who stays, who comes too early, and the
 * end. */
#include "common/limits.h"
#include "daemon/loop.h"
#include "daemon/settings.h"
#include "daemon/smtpd/client.h"
#include "daemon/smtpd/listener.h"
#include "daemon/work_counts.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

static struct settings settings;

static void begin(void)
{
        struct cause cause;

        ck_assert_int_eq(loop_open(&cause), 0);
        loop_freeze(1000000, 0);
        settings_defaults(&settings);
        settings_put_current(&settings);
        ck_assert_int_eq(settings_set(&settings, "Service.Hostname=station.example", &cause), 0);
        smtpd_listener_open(&settings);
        submission_counts = (struct submission_counts){ 0 };
}

static void end(void)
{
        smtpd_listener_close();
        loop_turn();
        loop_close();
        settings_put_current(NULL);
        settings_done(&settings);
}

/* A client at that address, as far as the listener knows; its end of the connection. */
static int come(const char *address, bool tls)
{
        struct sockaddr_storage peer = { .ss_family = AF_INET };
        int ends[2];

        ck_assert_int_eq(inet_pton(AF_INET, address, &((struct sockaddr_in *)&peer)->sin_addr), 1);
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
        smtpd_client_new(ends[0], &peer, tls);
        return ends[1];
}

static void turns(void)
{
        for (int i = 0; i < 5; i++)
                loop_turn();
}

/* What has come by now; *over when it has ended. */
static const char *heard(int fd, bool *over)
{
        static char text[8192];
        ssize_t got;
        size_t len = 0;

        turns();
        *over = false;
        while ((got = read(fd, text + len, sizeof text - 1 - len)) > 0)
                len += (size_t)got;
        *over = got == 0 || (got < 0 && errno != EAGAIN);
        text[len] = '\0';
        return text;
}

static const char *say(int fd, const char *words, bool *over)
{
        ck_assert_int_eq(write(fd, words, strlen(words)), (ssize_t)strlen(words));
        return heard(fd, over);
}

static void stranger_waits(int64_t ms, bool says, bool ends)
{
        bool over;
        int fd = come("192.0.2.7", false);

        ck_assert(strncmp(heard(fd, &over), "220 station.example ESMTP", 25) == 0);
        for (int64_t passed = 0; passed < ms; passed += 10000) {
                loop_advance(10000);
                if (says && passed < ms - 10000)
                        (void)say(fd, "NOOP\r\n", &over);
        }
        const char *last = heard(fd, &over);
        ck_assert_msg(over == ends, "%lld: %s", (long long)ms, last);
        if (ends)
                ck_assert_ptr_nonnull(strstr(last, "421 4.4.2 timed out\r\n"));
        (void)close(fd);
        turns();
}

START_TEST(strangers_have_little_time)
{
        begin();
        stranger_waits(50000, false, false);
        stranger_waits(60000, false, true);
        stranger_waits(110000, true, false);
        stranger_waits(120000, true, true); /* however busy */
        ck_assert_uint_eq(submission_counts.refused[REFUSED_SLOW], 2);
        ck_assert_uint_eq(submission_counts.clients, 0);
        end();
}
END_TEST

/* A line that dribbles in is no answer: the time runs on. */
START_TEST(a_line_that_dribbles)
{
        bool over;

        begin();
        int fd = come("127.0.0.1", false);
        (void)heard(fd, &over);
        for (int i = 0; i < 29; i++) {
                loop_advance(10000);
                ck_assert_str_eq(say(fd, "x", &over), "");
                ck_assert(!over);
        }
        loop_advance(10000);
        ck_assert_ptr_nonnull(strstr(heard(fd, &over), "421 4.4.2 timed out"));
        ck_assert(over);
        (void)close(fd);
        end();
}
END_TEST

START_TEST(who_may_not)
{
        bool over;

        begin();
        int fd = come("192.0.2.7", false);
        (void)heard(fd, &over);
        ck_assert_ptr_nonnull(
                strstr(say(fd, "EHLO x\r\nMAIL FROM:<a@x.example>\r\nRCPT TO:<b@x.example>\r\n", &over),
                       "530-5.7.0 sign in first"));
        (void)close(fd);
        fd = come("127.0.0.1", false); /* no TCP connection: the kernel knows nobody */
        (void)heard(fd, &over);
        ck_assert_ptr_nonnull(strstr(say(fd, "EHLO x\r\nMAIL FROM:<a@x.example>\r\n", &over),
                                     "550-5.7.1 who you are could not be told"));
        (void)close(fd);
        turns();
        ck_assert_uint_eq(submission_counts.refused[REFUSED_PERMISSION], 2);
        end();
}
END_TEST

/* The last words come before the end, and what the client goes on sending takes them from nobody. */
START_TEST(the_last_words_are_heard)
{
        bool over;
        char flood[4096];

        begin();
        int fd = come("192.0.2.7", false);
        (void)heard(fd, &over);
        memset(flood, 'x', sizeof flood);
        ck_assert_int_eq(write(fd, "GET / HTTP/1.1\r\n", 16), 16);
        ck_assert_int_gt(write(fd, flood, sizeof flood), 0);
        ck_assert_str_eq(heard(fd, &over), "521 5.5.1 station.example: this is SMTP\r\n");
        ck_assert(over);
        ck_assert_uint_eq(submission_counts.clients, 1); /* its bytes are read away, for a moment */
        loop_advance(2000);
        turns();
        ck_assert_uint_eq(submission_counts.clients, 0);
        ck_assert_uint_eq(submission_counts.refused[REFUSED_PROTOCOL], 1);
        (void)close(fd);
        end();
}
END_TEST

START_TEST(without_a_certificate_there_is_no_tls)
{
        bool over;

        begin();
        int fd = come("192.0.2.7", true);
        ck_assert_str_eq(heard(fd, &over), "");
        ck_assert(over);
        (void)close(fd);
        fd = come("192.0.2.7", false);
        (void)heard(fd, &over);
        ck_assert_ptr_null(strstr(say(fd, "EHLO x\r\n", &over), "STARTTLS"));
        ck_assert_ptr_nonnull(strstr(say(fd, "STARTTLS\r\n", &over), "502 5.5.1"));
        (void)close(fd);
        end();
}
END_TEST

static unsigned ended;

static void on_ended(void)
{
        ended++;
}

START_TEST(winding_down)
{
        bool over;

        begin();
        int fd = come("192.0.2.7", false), other = come("192.0.2.8", false);
        (void)heard(fd, &over);
        smtpd_listener_wind_down(3000, on_ended);
        ck_assert_ptr_nonnull(strstr(heard(fd, &over), "421 4.3.2"));
        ck_assert(over);
        loop_advance(1);
        turns();
        ck_assert_uint_eq(ended, 1); /* nobody brings a message: nothing is waited for */
        (void)close(fd);
        (void)close(other);
        turns();
        end();
        ck_assert_uint_eq(ended, 1);
}
END_TEST

START_TEST(gone_without_a_word)
{
        bool over;

        begin();
        for (int i = 0; i < 50; i++) {
                int fd = come("192.0.2.7", false);
                if (i % 3)
                        (void)heard(fd, &over);
                if (i % 2)
                        (void)say(fd, "EHLO x\r\nMAIL FR", &over);
                (void)close(fd);
                turns();
        }
        ck_assert_uint_eq(submission_counts.clients, 0);
        end();
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("smtpd_client");
        TCase *tcase = tcase_create("smtpd_client");

        tcase_add_test(tcase, strangers_have_little_time);
        tcase_add_test(tcase, a_line_that_dribbles);
        tcase_add_test(tcase, who_may_not);
        tcase_add_test(tcase, the_last_words_are_heard);
        tcase_add_test(tcase, without_a_certificate_there_is_no_tls);
        tcase_add_test(tcase, winding_down);
        tcase_add_test(tcase, gone_without_a_word);
        suite_add_tcase(suite, tcase);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
