/* SPDX-License-Identifier: MIT */
/* What a reply is about: code, enhanced code, words, command and history, and what must come of them. */
#include "daemon/smtp/meaning.c"

#include <check.h>
#include <stdio.h>

enum { PARAMETERS = 1, PIPELINED = 2, ACCEPTED = 4, SIGNED_IN = 8, WORKED = 16, OFTEN = 32, CARRIED = 64 };

static const struct {
        enum smtp_command command;
        const char *reply; /* code, enhanced code where there is one, words */
        unsigned history;
        enum meaning meaning;
} cases[] = {
        /* BDAT that is offered and not known */
        { SMTP_TO_BDAT, "500 5.5.1 Command unrecognized", ACCEPTED, MEANS_NO_CHUNKING },
        { SMTP_TO_BDAT, "500 what", ACCEPTED, MEANS_NO_CHUNKING },
        { SMTP_TO_BDAT, "501 5.5.4 syntax", ACCEPTED, MEANS_NO_CHUNKING },
        { SMTP_TO_BDAT, "502 5.5.1 not implemented", ACCEPTED, MEANS_NO_CHUNKING },
        { SMTP_TO_BDAT, "503 5.5.1 bad sequence", ACCEPTED, MEANS_NO_CHUNKING },
        { SMTP_TO_BDAT, "504 no", ACCEPTED, MEANS_NO_CHUNKING },
        { SMTP_TO_BDAT, "554 5.5.1 error: command not here", ACCEPTED, MEANS_NO_CHUNKING },
        { SMTP_TO_BDAT, "550 BDAT is not allowed", ACCEPTED, MEANS_NO_CHUNKING },
        { SMTP_TO_BDAT, "503 5.5.1 no recipients", 0, MEANS_NEVER },
        { SMTP_TO_BDAT, "554 5.7.1 spam", ACCEPTED, MEANS_NEVER },
        { SMTP_TO_BDAT, "552 5.3.4 too big", ACCEPTED, MEANS_NEVER },
        { SMTP_TO_BDAT, "451 4.7.1 grey", ACCEPTED, MEANS_LATER },
        { SMTP_TO_DOT, "500 what", ACCEPTED, MEANS_NEVER },
        /* parameters */
        { SMTP_TO_MAIL, "555 5.5.4 Unsupported option: SIZE=7", PARAMETERS, MEANS_NO_PARAMETERS },
        { SMTP_TO_MAIL, "555 no", 0, MEANS_NEVER },
        { SMTP_TO_MAIL, "501 5.5.4 Invalid arguments", PARAMETERS, MEANS_NO_PARAMETERS },
        { SMTP_TO_MAIL, "501 Syntax error", PARAMETERS, MEANS_NO_PARAMETERS },
        { SMTP_TO_MAIL, "501 5.1.7 bad sender address syntax", PARAMETERS, MEANS_NEVER },
        { SMTP_TO_MAIL, "504 x", PARAMETERS, MEANS_NO_PARAMETERS },
        { SMTP_TO_MAIL, "550 5.5.4 BODY=8BITMIME", PARAMETERS, MEANS_NO_PARAMETERS },
        { SMTP_TO_MAIL, "550 unknown parameter", PARAMETERS, MEANS_NO_PARAMETERS },
        { SMTP_TO_RCPT, "555 5.5.4 NOTIFY", PARAMETERS, MEANS_NO_PARAMETERS },
        { SMTP_TO_RCPT, "555 5.5.4 what", 0, MEANS_NEVER },
        { SMTP_TO_RCPT, "550 5.1.1 unknown", PARAMETERS, MEANS_NEVER },
        { SMTP_TO_MAIL, "552 5.3.4 too big", PARAMETERS | WORKED, MEANS_NEVER },
        { SMTP_TO_MAIL, "552 message size exceeds fixed maximum", PARAMETERS | WORKED, MEANS_NEVER },
        /* pipelining */
        { SMTP_TO_RCPT, "503 5.5.1 need MAIL", PIPELINED, MEANS_NO_PIPELINING },
        { SMTP_TO_RCPT, "503 5.5.1 need MAIL", 0, MEANS_NEVER },
        { SMTP_TO_DATA, "503 5.5.1 need RCPT", PIPELINED | ACCEPTED, MEANS_NO_PIPELINING },
        { SMTP_TO_DATA, "503 5.5.1 need RCPT", PIPELINED, MEANS_NEVER },
        { SMTP_TO_DATA, "554 SMTP synchronization error", PIPELINED | ACCEPTED, MEANS_NO_PIPELINING },
        { SMTP_TO_DATA, "503 5.5.0 Improper use of SMTP command pipelining", PIPELINED, MEANS_NO_PIPELINING },
        { SMTP_TO_MAIL, "503 5.5.1 nested MAIL command", 0, MEANS_NO_PIPELINING },
        { SMTP_TO_MAIL, "503 polite people say HELO first", 0, MEANS_NO_PIPELINING },
        /* our name */
        { SMTP_TO_EHLO, "501 5.5.4 invalid EHLO", 0, MEANS_OTHER_NAME },
        { SMTP_TO_EHLO, "504 5.5.2 need fully-qualified hostname", 0, MEANS_OTHER_NAME },
        { SMTP_TO_EHLO, "550 5.5.0 invalid HELO", 0, MEANS_OTHER_NAME },
        { SMTP_TO_EHLO, "450 4.7.1 Helo command rejected: Host not found", 0, MEANS_OTHER_NAME },
        { SMTP_TO_EHLO, "451 try later", 0, MEANS_LATER },
        { SMTP_TO_EHLO, "500 what", 0, MEANS_HELO },
        { SMTP_TO_EHLO, "502 5.5.1 no", 0, MEANS_HELO },
        { SMTP_TO_EHLO, "503 no", 0, MEANS_HELO },
        { SMTP_TO_RCPT, "504 5.5.2 <plc>: Helo command rejected: need fully-qualified hostname", 0,
          MEANS_OTHER_NAME },
        { SMTP_TO_RCPT, "450 4.7.1 <plc>: Helo command rejected: Host not found", WORKED, MEANS_OTHER_NAME },
        { SMTP_TO_MAIL, "550 5.7.1 bad HELO/EHLO name", 0, MEANS_OTHER_NAME },
        { SMTP_TO_RCPT, "504 5.5.2 <a>: Recipient address rejected: need fully-qualified address", 0,
          MEANS_NEVER },
        /* signing in */
        { SMTP_TO_MAIL, "530 5.7.0 sign in", 0, MEANS_SIGN_IN },
        { SMTP_TO_RCPT, "535 5.7.8 sign in", SIGNED_IN, MEANS_SIGN_IN },
        { SMTP_TO_MAIL, "553 authentication is required", 0, MEANS_SIGN_IN },
        { SMTP_TO_MAIL, "550 5.7.1 Client was not authenticated", 0, MEANS_SIGN_IN },
        { SMTP_TO_RCPT, "550 5.7.1 authentication required", SIGNED_IN, MEANS_NEVER },
        /* recipients at once */
        { SMTP_TO_RCPT, "452 4.5.3 Error: too many recipients", ACCEPTED, MEANS_TOO_MANY },
        { SMTP_TO_RCPT, "452 4.5.3 Error: too many recipients", 0, MEANS_LATER },
        { SMTP_TO_RCPT, "452 Too many", ACCEPTED, MEANS_TOO_MANY },
        { SMTP_TO_RCPT, "552 too many recipients", ACCEPTED, MEANS_TOO_MANY },
        { SMTP_TO_RCPT, "552 5.5.3 many", 0, MEANS_LATER },
        { SMTP_TO_RCPT, "550 5.5.3 too many recipients", ACCEPTED, MEANS_TOO_MANY },
        { SMTP_TO_RCPT, "451 too many recipients this session", ACCEPTED, MEANS_TOO_MANY },
        { SMTP_TO_DATA, "554 Too many recipients", ACCEPTED, MEANS_TOO_MANY },
        { SMTP_TO_DOT, "452 4.5.3 x", ACCEPTED, MEANS_TOO_MANY },
        { SMTP_TO_RCPT, "452 4.2.2 mailbox full", ACCEPTED, MEANS_LATER },
        { SMTP_TO_RCPT, "552 5.2.2 mailbox full", ACCEPTED, MEANS_NEVER },
        { SMTP_TO_RCPT, "452 4.3.1 Insufficient system storage", ACCEPTED, MEANS_LATER },
        /* one recipient or message */
        { SMTP_TO_RCPT, "550 5.1.1 User unknown", WORKED, MEANS_NEVER },
        { SMTP_TO_RCPT, "550 5.2.1 mailbox disabled", WORKED, MEANS_NEVER },
        { SMTP_TO_RCPT, "550 no such user here, try again later", WORKED, MEANS_NEVER },
        { SMTP_TO_RCPT, "450 4.2.0 greylisted", 0, MEANS_LATER },
        { SMTP_TO_DOT, "554 5.7.1 spam", WORKED, MEANS_NEVER },
        { SMTP_TO_DOT, "550 5.7.26 DMARC", WORKED, MEANS_NEVER },
        { SMTP_TO_MAIL, "550 5.7.1 no", 0, MEANS_NEVER },
        { SMTP_TO_MAIL, "250 ok", 0, MEANS_TAKEN },
        /* the account */
        { SMTP_TO_DOT, "550 5.4.5 Daily user sending limit exceeded", 0, MEANS_ACCOUNT_LATER },
        { SMTP_TO_RCPT, "550 5.4.5 Daily SMTP relay sending quota exceeded", SIGNED_IN, MEANS_ACCOUNT_LATER },
        { SMTP_TO_DOT, "554 5.2.0 SubmissionQuotaExceededException", 0, MEANS_ACCOUNT_LATER },
        { SMTP_TO_MAIL, "550 User suspended", 0, MEANS_ACCOUNT_LATER },
        { SMTP_TO_MAIL, "550 5.7.0 account disabled", SIGNED_IN, MEANS_ACCOUNT_LATER },
        { SMTP_TO_RCPT, "550 5.7.705 Access denied, tenant has exceeded threshold", 0, MEANS_ACCOUNT_LATER },
        { SMTP_TO_RCPT, "550 5.7.1 Your account has been blocked", 0, MEANS_ACCOUNT_LATER },
        { SMTP_TO_RCPT, "550 5.2.1 The email account that you tried to reach is disabled", 0, MEANS_NEVER },
        { SMTP_TO_MAIL, "550 rate limit exceeded", 0, MEANS_ACCOUNT_LATER },
        /* what went well before */
        { SMTP_TO_MAIL, "550 5.7.1 no", WORKED, MEANS_LATER },
        { SMTP_TO_MAIL, "553 5.7.1 sender not owned", WORKED, MEANS_LATER },
        { SMTP_TO_MAIL, "550 5.7.1 no", WORKED | OFTEN, MEANS_NEVER },
        { SMTP_TO_RCPT, "554 5.7.1 Relay access denied", WORKED, MEANS_LATER },
        { SMTP_TO_RCPT, "554 5.7.1 Relay access denied", 0, MEANS_NEVER },
        { SMTP_TO_RCPT, "554 5.7.1 Relay access denied", WORKED | OFTEN, MEANS_NEVER },
        { SMTP_TO_DOT, "554 please try again later", 0, MEANS_LATER },
        { SMTP_TO_RCPT, "550 temporary failure", 0, MEANS_LATER },
        { SMTP_TO_DOT, "554 please try again later", OFTEN, MEANS_NEVER },
        { SMTP_TO_MAIL, "421 4.3.2 down", WORKED | CARRIED, MEANS_ENDS },
        { SMTP_TO_MAIL, "421 mx.example Service not available, closing transmission channel", CARRIED,
          MEANS_NEW_SESSION },
        { SMTP_TO_MAIL, "421 mx.example Service not available, closing transmission channel", 0, MEANS_ENDS },
        { SMTP_TO_RCPT, "421 mx.example Service not available, closing transmission channel", CARRIED,
          MEANS_ENDS },
        { SMTP_TO_MAIL, "421 too many connections from your address", CARRIED, MEANS_ENDS },
        { SMTP_TO_MAIL, "421 rate limit exceeded", CARRIED, MEANS_ENDS },
        { SMTP_TO_MAIL, "421 4.4.2 Error: timeout exceeded", CARRIED, MEANS_NEW_SESSION },
        { SMTP_TO_MAIL, "421 4.4.2 Error: timeout exceeded", 0, MEANS_ENDS },
        { SMTP_TO_MAIL, "421 too many messages in this connection", CARRIED, MEANS_NEW_SESSION },
        { SMTP_TO_MAIL, "451 4.7.1 too many messages this session", CARRIED, MEANS_NEW_SESSION },
        { SMTP_TO_MAIL, "451 4.7.1 too many messages this session", 0, MEANS_LATER },
        { SMTP_TO_DOT, "421 4.3.2 down", 0, MEANS_ENDS },
};

static struct said said_of(enum smtp_command command, const char *reply, unsigned history, char enhanced[16])
{
        unsigned code = 0, class, subject, detail;

        enhanced[0] = '\0';
        if (sscanf(reply, "%u %u.%u.%u", &code, &class, &subject, &detail) == 4)
                (void)snprintf(enhanced, 16, "%u.%u.%u", class % 10, subject % 1000, detail % 1000);
        return (struct said){
                .command = command,
                .code = code,
                .enhanced = enhanced,
                .words = reply,
                .parameters = history & PARAMETERS,
                .pipelined = history & PIPELINED,
                .accepted = history & ACCEPTED,
                .signed_in = history & SIGNED_IN,
                .worked = history & WORKED,
                .carried = history & CARRIED,
                .attempts = history & OFTEN ? 50 : 0,
        };
}

START_TEST(a_reply_is_judged_with_its_subject)
{
        char enhanced[16];
        struct said said = said_of(cases[_i].command, cases[_i].reply, cases[_i].history, enhanced);

        ck_assert_msg(smtp_meaning(&said) == cases[_i].meaning, "%d to \"%s\": %d", (int)cases[_i].command,
                      cases[_i].reply, (int)smtp_meaning(&said));
}
END_TEST

/* Whatever a server says, it stops: with every way taken and often tried, a reply is a plain verdict. */
START_TEST(no_way_goes_round)
{
        for (size_t i = 0; i < count_of(cases); i++) {
                char enhanced[16];
                if (cases[i].command == SMTP_TO_EHLO)
                        continue;
                struct said said = said_of(cases[i].command, cases[i].reply, OFTEN, enhanced);
                enum meaning meaning = smtp_meaning(&said);
                ck_assert_msg(meaning != MEANS_NO_CHUNKING && meaning != MEANS_NO_PARAMETERS &&
                                      meaning != MEANS_TOO_MANY,
                              "%s", cases[i].reply);
        }
}
END_TEST

static const struct {
        enum smtp_command command;
        const char *reply;
        bool less;
} pace[] = {
        { SMTP_TO_MAIL, "421", true },
        { SMTP_TO_MAIL, "432", true },
        { SMTP_TO_RCPT, "450 4.3.2 x", true },
        { SMTP_TO_MAIL, "451 4.7.0 x", true },
        { SMTP_TO_DOT, "451 4.7.1 x", true },
        { SMTP_TO_DOT, "451 4.7.28 x", true },
        { SMTP_TO_RCPT, "450 4.7.1 <a@b>: Recipient address rejected: Greylisted", false },
        { SMTP_TO_RCPT, "450 4.7.1 too many mails, slow down", true },
        { SMTP_TO_RCPT, "450 4.2.1 x", false },
        { SMTP_TO_DOT, "452 x", false },
        { SMTP_TO_DOT, "450 4.70.1 x", false },
        { SMTP_TO_DOT, "450 4.3.20 x", false },
        { SMTP_TO_DOT, "550 5.7.1 x", false },
};

START_TEST(one_recipient_put_off_asks_for_nothing)
{
        char enhanced[16];
        struct said said = said_of(pace[_i].command, pace[_i].reply, 0, enhanced);

        ck_assert_msg(smtp_asks_for_less(&said) == pace[_i].less, "%s", pace[_i].reply);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("smtp_meaning");
        TCase *tests = tcase_create("meaning");

        tcase_add_loop_test(tests, a_reply_is_judged_with_its_subject, 0, count_of(cases));
        tcase_add_test(tests, no_way_goes_round);
        tcase_add_loop_test(tests, one_recipient_put_off_asks_for_nothing, 0, count_of(pace));
        suite_add_tcase(suite, tests);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
