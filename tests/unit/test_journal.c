/* SPDX-License-Identifier: MIT */
/* What goes to the journal and to stderr, word for word; the journal itself is a stand-in that keeps what it
 * gets. */
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

static int keep_fields(const struct iovec *iov, int count);
#define sd_journal_sendv keep_fields
#include "daemon/journal.c"
#undef sd_journal_sendv

#include <check.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>

static char kept[8192];
static bool journal_is_gone;

static int keep_fields(const struct iovec *iov, int count)
{
        size_t len = 0;

        if (journal_is_gone)
                return -ENOENT;
        for (int i = 0; i < count; i++)
                len += (size_t)snprintf(kept + len, sizeof kept - len, "%.*s\n", (int)iov[i].iov_len,
                                        (const char *)iov[i].iov_base);
        return 0;
}

/* stderr goes to a file from here on; its content is read back by written(). */
static int stderr_file = -1;

static void take_stderr(void)
{
        stderr_file = memfd_create("stderr", MFD_CLOEXEC);
        ck_assert_int_ge(stderr_file, 0);
        ck_assert_int_ge(fcntl(stderr_file, F_SETFL, O_APPEND), 0);
        ck_assert_int_eq(dup2(stderr_file, STDERR_FILENO), STDERR_FILENO);
}

static const char *written(void)
{
        static char text[65536];
        ssize_t got = pread(stderr_file, text, sizeof text - 1, 0);

        ck_assert_int_ge(got, 0);
        text[got] = '\0';
        return text;
}

START_TEST(lines_on_stderr)
{
        struct cause cause = { 0 };

        take_stderr();
        cause_set(&cause, CAUSE_CONNECT, "refused");
        cause_remedy(&cause, "look\nhere");
        struct subject account = { .account = "a" }, both = { .account = "a", .cause = &cause },
                       only_cause = { .cause = &cause }, nothing = { .account = "" };
        journal_open(LOG_INFO, JOURNAL_STDERR);
        log_about(NULL, LOG_NOTICE, NULL, "plain %d", 1);
        log_about(&account, LOG_INFO, NULL, "server said \x1b[2J\r\n");
        log_about(&both, LOG_ERR, NULL, "down");
        log_about(&only_cause, LOG_WARNING, NULL, "down");
        log_about(&nothing, LOG_INFO, NULL, "100%%");
        log_debug(NULL, "not wanted %d", 5);
        log_about(NULL, LOG_DEBUG, NULL, "not wanted");
        ck_assert_str_eq(written(), "<5>plain 1\n"
                                    "<6>server said \\x1b[2J\\x0d\\x0a (account a)\n"
                                    "<3>down (account a; what to do: look\\x0ahere)\n"
                                    "<4>down (what to do: look\\x0ahere)\n"
                                    "<6>100%\n");
}
END_TEST

START_TEST(the_trail_is_kept_back_by_nothing)
{
        struct subject by = { .account = "a",
                              .action = "account.changed",
                              .who = "root (uid 0)",
                              .uid = "0",
                              .login_uid = "",
                              .details = "port 1 -> 2" };

        journal_open(LOG_ERR, JOURNAL_JOURNAL);
        for (int i = 0; i < 8; i++) {
                kept[0] = '\0';
                log_about(&by, LOG_NOTICE, NULL, "changed");
                ck_assert_ptr_nonnull(strstr(
                        kept, "EMAILSEC_ACTION=account.changed\nEMAILSEC_WHO=root (uid 0)\nEMAILSEC_UID=0\n"
                              "EMAILSEC_CHANGES=port 1 -> 2\nEMAILSEC_AUDIT=1\n"));
        }
        kept[0] = '\0';
        log_about(&(struct subject){ .account = "a" }, LOG_NOTICE, NULL, "no part of it");
        ck_assert_str_eq(kept, "");
}
END_TEST

START_TEST(repeats_are_counted)
{
        take_stderr();
        journal_open(LOG_INFO, JOURNAL_STDERR);
        for (int i = 0; i < 8; i++)
                log_about(NULL, LOG_WARNING, NULL, "again");
        for (int i = 0; i < 7; i++)
                log_about(NULL, LOG_INFO, NULL, "-");
        journal_tell_repeats(false);
        log_about(NULL, LOG_WARNING, NULL, "other");
        journal_tell_repeats(true);
        journal_tell_repeats(true);
        ck_assert_str_eq(written(), "<4>again\n<4>again\n<4>again\n<4>again\n<4>again\n"
                                    "<6>-\n<6>-\n<6>-\n<6>-\n<6>-\n<6>-\n<6>-\n"
                                    "<4>other\n"
                                    "<4>again (3 more times within 60 s)\n");
}
END_TEST

START_TEST(fields_of_the_journal)
{
        struct cause cause = { 0 };

        cause_set(&cause, CAUSE_CHALLENGE, "unknown issuer");
        struct subject subject = { .account = "a",
                                   .direction = "outgoing",
                                   .host = "mail.example",
                                   .port = 465,
                                   .tls_version = "TLSv1.3",
                                   .tls_cipher = "TLS_AES_256_GCM_SHA384",
                                   .cert_sha256 = "ab",
                                   .key_sha256 = "cd",
                                   .queue_id = "q",
                                   .challenge_id = "ch",
                                   .enhanced_code = "4.7.1",
                                   .reply_code = 454,
                                   .session = "7",
                                   .file = "/x\ny",
                                   .cause = &cause };
        journal_open(LOG_INFO, JOURNAL_JOURNAL);
        log_about(&subject, LOG_WARNING, "5c9ad4d6c8f64b6f8a2f3d1e7b0c1a10", "one\ntwo");
        ck_assert_str_eq(kept,
                         "MESSAGE=one\\x0atwo\n"
                         "PRIORITY=4\n"
                         "SYSLOG_IDENTIFIER=emailsecd\n"
                         "MESSAGE_ID=5c9ad4d6c8f64b6f8a2f3d1e7b0c1a10\n"
                         "ACCOUNT=a\nDIRECTION=outgoing\nHOST=mail.example\nTLS_VERSION=TLSv1.3\n"
                         "TLS_CIPHER=TLS_AES_256_GCM_SHA384\nCERT_SHA256=ab\nKEY_SHA256=cd\nQUEUE_ID=q\n"
                         "CHALLENGE_ID=ch\nENHANCED_CODE=4.7.1\nSESSION=7\nFILE=/x\\x0ay\nPORT=465\n"
                         "REPLY_CODE=454\nCAUSE=Challenge\nREMEDY=emailsecctl challenge list\n");
        log_about(NULL, LOG_EMERG, NULL, "%s", "");
        ck_assert_str_eq(kept, "MESSAGE=(no text)\nPRIORITY=0\nSYSLOG_IDENTIFIER=emailsecd\n");
}
END_TEST

START_TEST(falls_back_to_stderr)
{
        take_stderr();
        journal_is_gone = true;
        journal_open(LOG_INFO, JOURNAL_JOURNAL);
        log_about(NULL, LOG_INFO, NULL, "still told");
        ck_assert_str_eq(written(), "<6>still told\n");
        journal_is_gone = false;
}
END_TEST

START_TEST(auto_follows_stderr)
{
        struct stat status;
        char stream[64];

        take_stderr();
        ck_assert_int_eq(fstat(STDERR_FILENO, &status), 0);
        static const char *const others[] = { "", "1", "1:", "1:2", "x:y", ":" };
        for (size_t i = 0; i < count_of(others); i++) {
                ck_assert_int_eq(setenv("JOURNAL_STREAM", others[i], 1), 0);
                ck_assert(!stderr_is_the_journal());
        }
        (void)snprintf(stream, sizeof stream, "%llu:%llu", (unsigned long long)status.st_dev,
                       (unsigned long long)status.st_ino);
        ck_assert_int_eq(setenv("JOURNAL_STREAM", stream, 1), 0);
        journal_open(LOG_INFO, JOURNAL_AUTO);
        log_about(NULL, LOG_INFO, NULL, "to the journal");
        ck_assert_ptr_nonnull(strstr(kept, "MESSAGE=to the journal\n"));
        ck_assert_str_eq(written(), "");
        ck_assert_int_eq(unsetenv("JOURNAL_STREAM"), 0);
        journal_open(LOG_INFO, JOURNAL_AUTO);
        log_about(NULL, LOG_INFO, NULL, "to stderr");
        ck_assert_str_eq(written(), "<6>to stderr\n");
}
END_TEST

static char captured[200];

static void capture(int priority, const char *message_id, const char *text)
{
        (void)snprintf(captured, sizeof captured, "%d %s %s", priority, message_id ? message_id : "-", text);
}

START_TEST(captured_for_tests)
{
        take_stderr();
        journal_open(LOG_NOTICE, JOURNAL_STDERR);
        journal_capture(capture);
        log_about(NULL, LOG_ERR, "id", "words %s", "\x07");
        ck_assert_str_eq(captured, "3 id words \\x07");
        log_about(NULL, LOG_INFO, NULL, "quiet");
        ck_assert_str_eq(captured, "3 id words \\x07");
        journal_capture(NULL);
        log_about(NULL, LOG_ERR, NULL, "unseen");
        ck_assert_str_eq(captured, "3 id words \\x07");
        ck_assert(journal_wants(LOG_NOTICE));
        ck_assert(!journal_wants(LOG_INFO));
}
END_TEST

START_TEST(too_long_is_said)
{
        char *text = new_zeroed(LIMIT_REPLY + 2, 1);

        take_stderr();
        memset(text, 'x', LIMIT_REPLY + 1);
        journal_open(LOG_INFO, JOURNAL_STDERR);
        log_about(NULL, LOG_INFO, NULL, "%s", text);
        ck_assert_str_eq(written(), "<6>(a message too long to log)\n");
        free(text);
}
END_TEST

static void *log_a_lot(void *name)
{
        struct subject subject = { .account = name };

        for (int i = 0; i < 100; i++)
                log_about(&subject, LOG_INFO, NULL, "message");
        return NULL;
}

START_TEST(threads_do_not_mix_lines)
{
        static char names[4][4] = { "one", "two", "six", "ten" };
        pthread_t threads[4];

        take_stderr();
        journal_open(LOG_INFO, JOURNAL_STDERR);
        for (size_t i = 0; i < 4; i++)
                ck_assert_int_eq(pthread_create(&threads[i], NULL, log_a_lot, names[i]), 0);
        for (size_t i = 0; i < 4; i++)
                ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        const char *line = written();
        for (int i = 0; i < 400; i++) {
                ck_assert_int_eq(strncmp(line, "<6>message (account ", 20), 0);
                ck_assert_int_eq(strncmp(line + 23, ")\n", 2), 0);
                line += 25;
        }
        ck_assert_str_eq(line, "");
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("journal");
        TCase *tc = tcase_create("journal");

        tcase_add_test(tc, lines_on_stderr);
        tcase_add_test(tc, repeats_are_counted);
        tcase_add_test(tc, the_trail_is_kept_back_by_nothing);
        tcase_add_test(tc, fields_of_the_journal);
        tcase_add_test(tc, falls_back_to_stderr);
        tcase_add_test(tc, auto_follows_stderr);
        tcase_add_test(tc, captured_for_tests);
        tcase_add_test(tc, too_long_is_said);
        tcase_add_test(tc, threads_do_not_mix_lines);
        suite_add_tcase(suite, tc);
        SRunner *sr = srunner_create(suite);
        srunner_run_all(sr, CK_ENV);
        int failed = srunner_ntests_failed(sr);
        srunner_free(sr);
        return failed ? 1 : 0;
}
