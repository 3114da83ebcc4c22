/* SPDX-License-Identifier: MIT */
/* What servers and providers say when they refuse, in the wordings that are seen in the field, and what it
 * means. */
#include "daemon/wire/server_words.c"
#include "daemon/wire/server_words_rows.c"

#include <check.h>
#include <stdio.h>

enum { GREET = PHASE_GREETING, SIGN = PHASE_SIGNIN, BOX = PHASE_MAILBOX, MAIL = PHASE_MAIL };

/* clang-format off */
static const struct {
        unsigned protocol, phase;
        const char *reply; /* behind NO, BAD, BYE, -ERR; of SMTP with status and enhanced code */
        enum server_kind kind;
        enum cause_code code;
} replies[] = {
        /* Gmail */
        { I, SIGN, "[ALERT] Too many simultaneous connections. (Failure)", SAID_CONNECTIONS, CAUSE_SERVER_BUSY },
        { I, BOX, "[ALERT] Too many simultaneous connections. (Failure)", SAID_CONNECTIONS, CAUSE_SERVER_BUSY },
        { I, SIGN, "[ALERT] Account exceeded command or bandwidth limits. (Failure)", SAID_THROTTLED, CAUSE_SERVER_BUSY },
        { I, BOX, "[OVERQUOTA] Account exceeded command or bandwidth limits. (Failure)", SAID_THROTTLED, CAUSE_SERVER_BUSY },
        { I, SIGN, "[ALERT] Please log in via your web browser: https://support.google.com/mail/accounts/answer/78754 (Failure)",
          SAID_WEB_LOGIN, CAUSE_AUTHENTICATION },
        { I, SIGN, "[WEBALERT https://accounts.google.com/signin/continue?x] Web login required.", SAID_WEB_LOGIN,
          CAUSE_AUTHENTICATION },
        { I, SIGN, "[ALERT] Application-specific password required: https://support.google.com/accounts/answer/185833 (Failure)",
          SAID_APP_PASSWORD, CAUSE_AUTHENTICATION },
        { I, SIGN, "[ALERT] Your account is not enabled for IMAP use. Please visit your Gmail settings page and enable your "
          "account for IMAP access. (Failure)", SAID_PROTOCOL_OFF, CAUSE_AUTHENTICATION },
        { I, SIGN, "[ALERT] IMAP access is disabled for your domain. Please contact your domain administrator for questions "
          "about this feature. (Failure)", SAID_PROTOCOL_OFF, CAUSE_AUTHENTICATION },
        { I, SIGN, "[AUTHENTICATIONFAILED] Invalid credentials (Failure)", SAID_WRONG_PASSWORD, CAUSE_AUTHENTICATION },
        { I, SIGN, "[ALERT] Invalid credentials (Failure)", SAID_WRONG_PASSWORD, CAUSE_AUTHENTICATION },
        { I, SIGN, "[UNAVAILABLE] Temporary System Error (Failure)", SAID_TEMPORARY, CAUSE_AUTH_TEMPORARY },
        { I, SIGN, "[ALERT] Lookup failed x12mb123 (Failure)", SAID_TEMPORARY, CAUSE_AUTH_TEMPORARY },
        { I, BOX, "System Error (Failure)", SAID_TEMPORARY, CAUSE_SERVER_BUSY },
        { I, BOX, "Session expired, please login again. Temporary System Error", SAID_TEMPORARY, CAUSE_SERVER_BUSY },
        { P, SIGN, "[AUTH] Username and password not accepted.", SAID_WRONG_PASSWORD, CAUSE_AUTHENTICATION },
        { P, SIGN, "[AUTH] Web login required: https://support.google.com/mail/answer/78754", SAID_WEB_LOGIN,
          CAUSE_AUTHENTICATION },
        { P, SIGN, "[AUTH] Application-specific password required: https://support.google.com/accounts/answer/185833",
          SAID_APP_PASSWORD, CAUSE_AUTHENTICATION },
        { P, SIGN, "[SYS/PERM] Your account is not enabled for POP access. Please visit your Gmail settings page and enable "
          "your account for POP access.", SAID_PROTOCOL_OFF, CAUSE_AUTHENTICATION },
        { P, SIGN, "[SYS/PERM] POP access is disabled for your domain.", SAID_PROTOCOL_OFF, CAUSE_AUTHENTICATION },
        { P, SIGN, "[SYS/TEMP] Temporary system problem. Please try again later.", SAID_TEMPORARY, CAUSE_AUTH_TEMPORARY },
        { P, SIGN, "[IN-USE] Unable to lock maildrop", SAID_IN_USE, CAUSE_SERVER_BUSY },
        { P, BOX, "[SYS/TEMP] Temporary system problem.", SAID_TEMPORARY, CAUSE_SERVER_BUSY },
        { S, SIGN, "535 5.7.8 Username and Password not accepted. For more information, go to\n"
          "https://support.google.com/mail/?p=BadCredentials a1-2", SAID_WRONG_PASSWORD, CAUSE_AUTHENTICATION },
        { S, SIGN, "534 5.7.9 Application-specific password required. For more information,\n go to "
          "https://support.google.com/mail/?p=InvalidSecondFactor a1", SAID_APP_PASSWORD, CAUSE_AUTHENTICATION },
        { S, SIGN, "534 5.7.9 Application-specific\npassword required.", SAID_APP_PASSWORD, CAUSE_AUTHENTICATION },
        { S, SIGN, "534 5.7.14 <https://accounts.google.com/signin/continue?sarp=1>\nPlease log in via your web browser and then "
          "try again.", SAID_WEB_LOGIN, CAUSE_AUTHENTICATION },
        { S, SIGN, "534 5.7.9 Please log in with your web browser and then try again.", SAID_WEB_LOGIN, CAUSE_AUTHENTICATION },
        { S, SIGN, "454 4.7.0 Too many login attempts, please try again later. a1-2", SAID_THROTTLED, CAUSE_SERVER_BUSY },
        { S, SIGN, "454 4.7.0 Cannot authenticate due to temporary system problem. Try again later.", SAID_TEMPORARY,
          CAUSE_AUTH_TEMPORARY },
        { S, SIGN, "421 4.7.0 Try again later, closing connection. (EHLO)", SAID_TEMPORARY, CAUSE_AUTH_TEMPORARY },
        { S, SIGN, "530 5.7.0 Must issue a STARTTLS command first. a1", SAID_WANTS_TLS, CAUSE_PLAINTEXT_LOGIN },
        { S, MAIL, "530 5.5.1 Authentication Required. Learn more at", SAID_WANTS_SIGNIN, CAUSE_AUTHENTICATION },
        { S, MAIL, "550 5.4.5 Daily user sending limit exceeded. For more information on Gmail sending limits", SAID_SENDING_LIMIT,
          CAUSE_DEFERRED },
        { S, MAIL, "421 4.7.28 Gmail has detected an unusual rate of unsolicited mail", SAID_TEMPORARY, CAUSE_DEFERRED },

        /* Microsoft 365, Outlook, Exchange */
        { S, SIGN, "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit "
          "https://aka.ms/smtp_auth_disabled for more information.", SAID_PROTOCOL_OFF, CAUSE_AUTHENTICATION },
        { S, SIGN, "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox.",
          SAID_PROTOCOL_OFF, CAUSE_AUTHENTICATION },
        { S, SIGN, "535 5.7.139 Authentication unsuccessful, the user credentials were incorrect.", SAID_WRONG_PASSWORD,
          CAUSE_AUTHENTICATION },
        { S, SIGN, "535 5.7.139 Authentication unsuccessful, basic authentication is disabled.", SAID_WANTS_OAUTH,
          CAUSE_AUTHENTICATION },
        { S, SIGN, "550 5.7.30 Basic authentication is not supported for Client Submission.", SAID_WANTS_OAUTH,
          CAUSE_AUTHENTICATION },
        { S, SIGN, "535 5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults policy. "
          "Contact your administrator.", SAID_WANTS_OAUTH, CAUSE_AUTHENTICATION },
        { S, SIGN, "535 5.7.139 Authentication unsuccessful, user password has expired.", SAID_PASSWORD_EXPIRED,
          CAUSE_AUTHENTICATION },
        { S, SIGN, "535 5.7.3 Authentication unsuccessful [AM0PR01CA0001.eurprd01.prod.exchangelabs.com]", SAID_WRONG_PASSWORD,
          CAUSE_AUTHENTICATION },
        { S, SIGN, "504 5.7.4 Unrecognized authentication type", SAID_MECHANISM, CAUSE_NO_MECHANISM },
        { S, SIGN, "432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending", SAID_CONNECTIONS,
          CAUSE_SERVER_BUSY },
        { S, SIGN, "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", SAID_CONNECTIONS, CAUSE_SERVER_BUSY },
        { S, SIGN, "430 4.2.0 STOREDRV; mailbox server is offline", SAID_TEMPORARY, CAUSE_AUTH_TEMPORARY },
        { S, SIGN, "451 4.3.0 Error: queue file write error", SAID_TEMPORARY, CAUSE_AUTH_TEMPORARY },
        { S, MAIL, "554 5.2.252 SendAsDenied; a@b not allowed to send as c@b", SAID_NOT_OUR_SENDER, CAUSE_REFUSED },
        { S, MAIL, "550 5.7.60 SMTP; Client does not have permissions to send as this sender", SAID_NOT_OUR_SENDER, CAUSE_REFUSED },
        { S, MAIL, "550 5.1.90 Your message can't be sent because you've reached your daily limit for message recipients",
          SAID_SENDING_LIMIT, CAUSE_DEFERRED },
        { S, MAIL, "550 5.7.708 Service unavailable. Access denied, traffic not accepted from this IP.", SAID_ADDRESS_BLOCKED,
          CAUSE_REFUSED },
        { I, SIGN, "User is authenticated but not connected.", SAID_TEMPORARY, CAUSE_AUTH_TEMPORARY },
        { I, BOX, "User is authenticated but not connected.", SAID_TEMPORARY, CAUSE_SERVER_BUSY },
        { I, SIGN, "Server Unavailable. 15", SAID_TEMPORARY, CAUSE_AUTH_TEMPORARY },
        { I, BOX, "Request is throttled. Suggested Backoff Time: 29562 milliseconds", SAID_THROTTLED, CAUSE_SERVER_BUSY },
        { I, BOX, "Connection is closed. 13", SAID_TEMPORARY, CAUSE_SERVER_BUSY },
        { I, BOX, "Session invalidated - AccessTokenExpired", SAID_TEMPORARY, CAUSE_SERVER_BUSY },
        { I, SIGN, "LOGIN failed.", SAID_WRONG_PASSWORD, CAUSE_AUTHENTICATION },
        { P, SIGN, "Logon failure: unknown user name or bad password.", SAID_WRONG_PASSWORD, CAUSE_AUTHENTICATION },
        { P, SIGN, "Server Unavailable. 21", SAID_TEMPORARY, CAUSE_AUTH_TEMPORARY },

        /* Yahoo, AOL, iCloud, Yandex, mail.ru, Zoho */
        { I, SIGN, "[LIMIT] LOGIN Rate limit hit", SAID_THROTTLED, CAUSE_SERVER_BUSY },
        { I, SIGN, "[AUTHENTICATIONFAILED] (#MBR1212) Incorrect username or password", SAID_WRONG_PASSWORD, CAUSE_AUTHENTICATION },
        { P, SIGN, "[SYS/TEMP] Server error - Please try again later.", SAID_TEMPORARY, CAUSE_AUTH_TEMPORARY },
        { S, SIGN, "535 5.7.0 (#AUTH005) Too many bad auth attempts.", SAID_LOCKED_OUT, CAUSE_AUTHENTICATION },
        { I, SIGN, "[UNAVAILABLE] Authentication service is unavailable", SAID_TEMPORARY, CAUSE_AUTH_TEMPORARY },
        { S, SIGN, "535 5.7.8 Error: authentication failed: app-specific password required", SAID_APP_PASSWORD,
          CAUSE_AUTHENTICATION },
        { S, MAIL, "550 5.7.0 From address is not one of your addresses.", SAID_NOT_OUR_SENDER, CAUSE_REFUSED },
        { I, SIGN, "[UNAVAILABLE] LOGIN internal server error, please try again later", SAID_TEMPORARY, CAUSE_AUTH_TEMPORARY },
        { I, SIGN, "[AUTHENTICATIONFAILED] LOGIN invalid credentials or IMAP is disabled", SAID_PROTOCOL_OFF,
          CAUSE_AUTHENTICATION },
        { P, SIGN, "[AUTH] login failure or POP3 disabled, try later. sc=abc", SAID_PROTOCOL_OFF, CAUSE_AUTHENTICATION },
        { S, SIGN, "535 5.7.8 Error: authentication failed: This user does not have access rights to this service",
          SAID_PROTOCOL_OFF, CAUSE_AUTHENTICATION },
        { I, SIGN, "[AUTHENTICATIONFAILED] NEOBHODIM parol prilozheniya https://help.mail.ru/mail/security/protection/external / "
          "Application password is REQUIRED", SAID_APP_PASSWORD, CAUSE_AUTHENTICATION },
        { S, SIGN, "535 5.7.8 Authentication failed: too many failed attempts, try again later", SAID_LOCKED_OUT,
          CAUSE_AUTHENTICATION },
        { I, SIGN, "[ALERT] You are yet to enable IMAP for your account. Please contact your administrator (Failure)",
          SAID_PROTOCOL_OFF, CAUSE_AUTHENTICATION },
        { S, MAIL, "553 Relaying disallowed as x@y: Sender is not owned by user", SAID_NOT_OUR_SENDER, CAUSE_REFUSED },

        /* 163, 126, QQ */
        { I, BOX, "SELECT Unsafe Login. Please contact kefu@188.com for help", SAID_PASSWORD_CODE, CAUSE_AUTHENTICATION },
        { I, SIGN, "LOGIN Login error or password error", SAID_WRONG_PASSWORD, CAUSE_AUTHENTICATION },
        { I, SIGN, "Login fail. Account is abnormal, service is not open, password is incorrect, login frequency limited, or "
          "system is busy.", SAID_PASSWORD_CODE, CAUSE_AUTHENTICATION },
        { S, SIGN, "535 Login Fail. Please enter your authorization code to login.", SAID_PASSWORD_CODE, CAUSE_AUTHENTICATION },
        { P, SIGN, "Login fail. Please using authorized code to login.", SAID_PASSWORD_CODE, CAUSE_AUTHENTICATION },
        { S, SIGN, "550 User has no permission", SAID_PROTOCOL_OFF, CAUSE_AUTHENTICATION },
        { P, SIGN, "Login frequency limited", SAID_THROTTLED, CAUSE_SERVER_BUSY },
        { S, MAIL, "553 Mail from must equal authorized user", SAID_NOT_OUR_SENDER, CAUSE_REFUSED },
        { S, MAIL, "501 mail from address must be same as authorization user", SAID_NOT_OUR_SENDER, CAUSE_REFUSED },

        /* Dovecot, Courier, Cyrus, hMailServer, mailutils, qpopper */
        { I, SIGN, "[AUTHENTICATIONFAILED] Authentication failed.", SAID_WRONG_PASSWORD, CAUSE_AUTHENTICATION },
        { I, SIGN, "[UNAVAILABLE] Temporary authentication failure. [host:2026-01-01 10:00:00]", SAID_TEMPORARY,
          CAUSE_AUTH_TEMPORARY },
        { I, SIGN, "Temporary authentication failure.", SAID_TEMPORARY, CAUSE_AUTH_TEMPORARY },
        { I, SIGN, "[INUSE] Too many invalid IMAP commands", SAID_IN_USE, CAUSE_SERVER_BUSY },
        { I, SIGN, "[UNAVAILABLE] Maximum number of connections from user+IP exceeded (mail_max_userip_connections=10)",
          SAID_CONNECTIONS, CAUSE_SERVER_BUSY },
        { I, SIGN, "[ALERT] Maximum number of connections from user+IP exceeded (mail_max_userip_connections=10)",
          SAID_CONNECTIONS, CAUSE_SERVER_BUSY },
        { I, SIGN, "[PRIVACYREQUIRED] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.", SAID_WANTS_TLS,
          CAUSE_PLAINTEXT_LOGIN },
        { P, SIGN, "Plaintext authentication disallowed on non-secure (SSL/TLS) connections.", SAID_WANTS_TLS,
          CAUSE_PLAINTEXT_LOGIN },
        { I, SIGN, "[EXPIRED] Password expired", SAID_PASSWORD_EXPIRED, CAUSE_AUTHENTICATION },
        { I, SIGN, "[CONTACTADMIN] User is disabled", SAID_ACCOUNT_OFF, CAUSE_AUTHENTICATION },
        { P, SIGN, "[IN-USE] Couldn't open INBOX: Mailbox is locked (stale lock file)", SAID_IN_USE, CAUSE_SERVER_BUSY },
        { I, SIGN, "[UNAVAILABLE] Internal error occurred. Refer to server log for more information.", SAID_TEMPORARY,
          CAUSE_AUTH_TEMPORARY },
        { I, BOX, "[SERVERBUG] Internal error occurred.", SAID_TEMPORARY, CAUSE_SERVER_BUSY },
        { I, BOX, "[NONEXISTENT] Mailbox doesn't exist: Work", SAID_NO_MAILBOX, CAUSE_MAILBOX },
        { I, BOX, "Mailbox does not exist", SAID_NO_MAILBOX, CAUSE_MAILBOX },
        { I, SIGN, "Login failed.", SAID_WRONG_PASSWORD, CAUSE_AUTHENTICATION },
        { I, GREET, "Maximum connection limit reached from ::ffff:192.0.2.1", SAID_CONNECTIONS, CAUSE_SERVER_BUSY },
        { I, SIGN, "LOGIN FAILED: Too many connections", SAID_CONNECTIONS, CAUSE_SERVER_BUSY },
        { P, SIGN, "Maximum connection limit reached", SAID_CONNECTIONS, CAUSE_SERVER_BUSY },
        { P, SIGN, "Temporary problem, please try again later", SAID_TEMPORARY, CAUSE_AUTH_TEMPORARY },
        { I, SIGN, "Login failed: generic failure", SAID_TEMPORARY, CAUSE_AUTH_TEMPORARY },
        { I, SIGN, "Login failed: authentication failure", SAID_WRONG_PASSWORD, CAUSE_AUTHENTICATION },
        { I, SIGN, "no mechanism available", SAID_MECHANISM, CAUSE_NO_MECHANISM },
        { I, SIGN, "Too many open connections", SAID_CONNECTIONS, CAUSE_SERVER_BUSY },
        { P, SIGN, "[AUTH] Invalid login", SAID_WRONG_PASSWORD, CAUSE_AUTHENTICATION },
        { S, SIGN, "535 Authentication failed. Restarting authentication process.", SAID_WRONG_PASSWORD, CAUSE_AUTHENTICATION },
        { P, SIGN, "Invalid user name or password. Too many invalid logon attempts.", SAID_LOCKED_OUT, CAUSE_AUTH_TEMPORARY },
        { P, SIGN, "Your mailbox is already locked", SAID_IN_USE, CAUSE_SERVER_BUSY },
        { P, SIGN, "Mailbox in use", SAID_IN_USE, CAUSE_SERVER_BUSY },
        { P, SIGN, "/var/mail/ann: being read already", SAID_IN_USE, CAUSE_SERVER_BUSY },
        { P, SIGN, "login allowed only every 15 minutes", SAID_THROTTLED, CAUSE_SERVER_BUSY },
        { I, SIGN, "LDAP server not responding", SAID_TEMPORARY, CAUSE_AUTH_TEMPORARY },
        { I, SIGN, "Database error", SAID_TEMPORARY, CAUSE_AUTH_TEMPORARY },
        { I, SIGN, "LOGIN can't connect to authentication daemon: Connection refused", SAID_TEMPORARY, CAUSE_AUTH_TEMPORARY },
        { I, BOX, "write: No space left on device", SAID_TEMPORARY, CAUSE_SERVER_BUSY },
        { I, SIGN, "LOGIN User name or passwd rejected", SAID_WRONG_PASSWORD, CAUSE_AUTHENTICATION },
        { P, SIGN, "Bad login", SAID_NOTHING_KNOWN, CAUSE_NONE },
        { P, SIGN, "[IN-USE] /var/mail/.ann.pop lock busy! Is another session active? (11)", SAID_IN_USE, CAUSE_SERVER_BUSY },
        { P, SIGN, "/var/mail/.ann.pop lock busy!  Is another session active? (11)", SAID_IN_USE, CAUSE_SERVER_BUSY },
        { P, SIGN, "Mailbox is already in use by another session", SAID_IN_USE, CAUSE_SERVER_BUSY },
        { P, SIGN, "mailbox busy, try again later", SAID_IN_USE, CAUSE_SERVER_BUSY },
        { P, SIGN, "unable to lock maildrop", SAID_IN_USE, CAUSE_SERVER_BUSY },
        { P, SIGN, "too many connections from your IP", SAID_CONNECTIONS, CAUSE_SERVER_BUSY },
        { P, SIGN, "[LOGIN-DELAY] minimum time between mail checks violation", SAID_THROTTLED, CAUSE_SERVER_BUSY },
        { P, SIGN, "Account is locked", SAID_ACCOUNT_OFF, CAUSE_AUTHENTICATION },
        { P, SIGN, "Your mail account has been blocked", SAID_ACCOUNT_OFF, CAUSE_AUTHENTICATION },
        { P, BOX, "[SYS/PERM] no", SAID_MAILBOX_BROKEN, CAUSE_MAILBOX },

        /* Postfix, Exim, Sendmail, qmail */
        { S, SIGN, "535 5.7.8 Error: authentication failed: authentication failure", SAID_WRONG_PASSWORD, CAUSE_AUTHENTICATION },
        { S, SIGN, "535 5.7.8 Error: authentication failed: no mechanism available", SAID_MECHANISM, CAUSE_NO_MECHANISM },
        { S, SIGN, "535 5.7.8 Error: authentication failed: another step is needed in authentication", SAID_MECHANISM,
          CAUSE_NO_MECHANISM },
        { S, SIGN, "535 5.7.8 Error: authentication failed: Connection lost to authentication server", SAID_TEMPORARY,
          CAUSE_AUTH_TEMPORARY },
        { S, SIGN, "535 5.7.8 Error: authentication failed: Too many concurrent connections", SAID_CONNECTIONS,
          CAUSE_SERVER_BUSY },
        { S, SIGN, "454 4.7.0 Temporary authentication failure: Connection lost to authentication server", SAID_TEMPORARY,
          CAUSE_AUTH_TEMPORARY },
        { S, SIGN, "535 Incorrect authentication data", SAID_WRONG_PASSWORD, CAUSE_AUTHENTICATION },
        { S, SIGN, "435 Unable to authenticate at present", SAID_TEMPORARY, CAUSE_AUTH_TEMPORARY },
        { S, SIGN, "503 AUTH command used when not advertised", SAID_MECHANISM, CAUSE_NO_MECHANISM },
        { S, SIGN, "535 5.7.0 authentication failed", SAID_WRONG_PASSWORD, CAUSE_AUTHENTICATION },
        { S, SIGN, "454 oops, unable to write pipe and I can't auth (#4.3.0)", SAID_TEMPORARY, CAUSE_AUTH_TEMPORARY },
        { S, SIGN, "501 5.5.2 cannot decode", SAID_MECHANISM, CAUSE_NO_MECHANISM },
        { S, SIGN, "534 5.7.9 Authentication mechanism is too weak", SAID_MECHANISM, CAUSE_NO_MECHANISM },
        { S, SIGN, "534 5.7.9 no", SAID_OTHER_WAY, CAUSE_AUTHENTICATION },
        { S, SIGN, "538 5.7.11 Encryption required for requested authentication mechanism", SAID_WANTS_TLS,
          CAUSE_PLAINTEXT_LOGIN },
        { S, SIGN, "432 4.7.12 A password transition is needed", SAID_TRANSITION, CAUSE_AUTHENTICATION },
        { S, SIGN, "432 do it", SAID_TRANSITION, CAUSE_AUTHENTICATION },
        { S, SIGN, "554 5.7.1 no", SAID_REFUSED, CAUSE_AUTHENTICATION },
        { S, GREET, "421 4.7.0 Error: too many connections from 192.0.2.1", SAID_CONNECTIONS, CAUSE_SERVER_BUSY },
        { S, GREET, "554 Too many connections from this host", SAID_CONNECTIONS, CAUSE_SERVER_BUSY },
        { S, GREET, "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org", SAID_ADDRESS_BLOCKED,
          CAUSE_CONNECT },
        { S, GREET, "554 no service", SAID_NOTHING_KNOWN, CAUSE_NONE },
        { S, MAIL, "553 5.7.1 <a@b>: Sender address rejected: not owned by user c", SAID_NOT_OUR_SENDER, CAUSE_REFUSED },
        { S, MAIL, "550 5.1.1 <a@b>: Recipient address rejected: User unknown", SAID_NOTHING_KNOWN, CAUSE_NONE },

        /* nothing that is known: what the command itself stands for */
        { I, SIGN, "nope", SAID_NOTHING_KNOWN, CAUSE_NONE },
        { I, SIGN, "", SAID_NOTHING_KNOWN, CAUSE_NONE },
        { I, SIGN, "[", SAID_NOTHING_KNOWN, CAUSE_NONE },
        { I, SIGN, "[UNKNOWN-CTE 5] nope", SAID_NOTHING_KNOWN, CAUSE_NONE },
        { P, SIGN, "[", SAID_NOTHING_KNOWN, CAUSE_NONE },
        { I, BOX, "nope", SAID_NOTHING_KNOWN, CAUSE_NONE },
};
/* clang-format on */

START_TEST(test_reply)
{
        const char *reply = replies[_i].reply;
        struct server_words said = { .protocol = (enum server_protocol)replies[_i].protocol,
                                     .phase = (enum server_phase)replies[_i].phase };

        if (said.protocol == SERVER_SMTP) {
                char *rest;
                said.status = (unsigned)strtoul(reply, &rest, 10);
                reply = rest + strspn(rest, " ");
        }
        said.words = reply;
        said.len = strlen(reply);
        struct server_meaning meaning = server_words_meaning(&said);
        ck_assert_msg(meaning.kind == replies[_i].kind && meaning.code == replies[_i].code, "%s: kind %d, %s",
                      replies[_i].reply, (int)meaning.kind, cause_kind(meaning.code)->name);
}
END_TEST

/* A code that comes apart from the words counts as one before them. */
START_TEST(test_code_apart)
{
        struct server_words said = { .protocol = SERVER_IMAP,
                                     .phase = PHASE_SIGNIN,
                                     .code = "UNAVAILABLE]x",
                                     .code_len = 11,
                                     .words = "Invalid credentials",
                                     .len = 19 };

        ck_assert_int_eq(server_words_meaning(&said).kind, SAID_TEMPORARY);
        said.code_len = 0;
        ck_assert_int_eq(server_words_meaning(&said).kind, SAID_WRONG_PASSWORD);
        said.len = 7; /* no more than these bytes is looked at */
        ck_assert_int_eq(server_words_meaning(&said).kind, SAID_NOTHING_KNOWN);
}
END_TEST

START_TEST(test_every_kind)
{
        struct cause cause;

        if (_i == SAID_NOTHING_KNOWN)
                return;
        ck_assert_int_ne(kinds[_i].signing_in, CAUSE_NONE);
        ck_assert_int_ne(kinds[_i].later, CAUSE_NONE);
        cause_set(&cause, kinds[_i].signing_in, "x");
        server_meaning_remedy(&(struct server_meaning){ .remedy = kinds[_i].remedy }, &cause);
        ck_assert_str_eq(cause_remedy_of(&cause),
                         kinds[_i].remedy ? kinds[_i].remedy : cause_kind(kinds[_i].signing_in)->remedy);
        if (passes((enum server_kind)_i))
                ck_assert_int_eq(cause_kind(kinds[_i].signing_in)->class, CLASS_DOWN);
        if (passes((enum server_kind)_i) && _i != SAID_LOCKED_OUT)
                ck_assert_ptr_null(strstr(cause_remedy_of(&cause), "password"));
}
END_TEST

/* A row behind one that fits all that it fits would never be taken. */
START_TEST(test_every_row_can_be_reached)
{
        const struct server_row *row = &server_rows[_i];
        char words[200];

        (void)snprintf(words, sizeof words, "%s %s", row->first, row->second ? row->second : "");
        for (size_t i = 0; i < (size_t)_i; i++)
                ck_assert_msg(!(fits(&server_rows[i], words) &&
                                (server_rows[i].protocols & row->protocols) == row->protocols &&
                                (server_rows[i].phases & row->phases) == row->phases),
                              "\"%s\" \"%s\" is hidden by \"%s\"", row->first, row->second ? row->second : "",
                              server_rows[i].first);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("server_words");
        TCase *tc = tcase_create("all");

        tcase_add_loop_test(tc, test_reply, 0, (int)count_of(replies));
        tcase_add_test(tc, test_code_apart);
        tcase_add_loop_test(tc, test_every_kind, 0, SERVER_KINDS);
        tcase_add_loop_test(tc, test_every_row_can_be_reached, 0, (int)count_of(server_rows));
        suite_add_tcase(suite, tc);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_NORMAL);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
