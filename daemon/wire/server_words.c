/* SPDX-License-Identifier: MIT */
/*
 * The tables of kinds, codes and words; see server_words.h. A special code (UNAVAILABLE, IN-USE, 4yz) decides whether a
 * refusal passes, and words then say more closely what it is; a general one (AUTHENTICATIONFAILED, ALERT, none at all)
 * leaves all to the words.
 */
#include "daemon/wire/server_words.h"

#include "common/limits.h"

#include <strings.h>

/* ---- kinds ---- */

static const struct kind {
        enum cause_code signing_in, later;
        const char *remedy;
} kinds[SERVER_KINDS] = {
        [SAID_NOTHING_KNOWN] = { CAUSE_NONE, CAUSE_NONE, NULL },
        [SAID_CONNECTIONS] = { CAUSE_SERVER_BUSY, CAUSE_SERVER_BUSY,
                "nothing to do if it passes by itself; else end other programs that are signed in to this account, or lower "
                "maxConnections" },
        [SAID_THROTTLED] = { CAUSE_SERVER_BUSY, CAUSE_SERVER_BUSY,
                "nothing to do if it passes by itself; else use the account less often: pollRate, and other programs that are "
                "signed in to it" },
        [SAID_IN_USE] = { CAUSE_SERVER_BUSY, CAUSE_SERVER_BUSY,
                "nothing to do if it passes by itself; else end the other program that has this mailbox open" },
        [SAID_TEMPORARY] = { CAUSE_AUTH_TEMPORARY, CAUSE_SERVER_BUSY, NULL },
        [SAID_SENDING_LIMIT] = { CAUSE_SERVER_BUSY, CAUSE_DEFERRED,
                "nothing to do: it goes on when the provider's limit allows; else send less by this account" },
        [SAID_LOCKED_OUT] = { CAUSE_AUTH_TEMPORARY, CAUSE_SERVER_BUSY,
                "the server shuts sign-ins out for a while after wrong ones: see that every program there has the right "
                "password, wait, then: emailsecctl account password NAME" },
        [SAID_WRONG_PASSWORD] = { CAUSE_AUTHENTICATION, CAUSE_AUTHENTICATION, NULL },
        [SAID_REFUSED] = { CAUSE_AUTHENTICATION, CAUSE_AUTHENTICATION, NULL },
        [SAID_MECHANISM] = { CAUSE_NO_MECHANISM, CAUSE_NO_MECHANISM,
                "set another authentication that the server offers: emailsecctl account set NAME authentication=plain (within "
                "TLS only)" },
        [SAID_OTHER_WAY] = { CAUSE_AUTHENTICATION, CAUSE_AUTHENTICATION,
                "the server wants another mechanism or an app password: see its words, then set authentication or: "
                "emailsecctl account password NAME" },
        [SAID_WANTS_TLS] = { CAUSE_PLAINTEXT_LOGIN, CAUSE_PLAINTEXT_LOGIN,
                "the server may want TLS first: emailsecctl account secure NAME ssl|starttls" },
        [SAID_APP_PASSWORD] = { CAUSE_AUTHENTICATION, CAUSE_AUTHENTICATION,
                "the provider wants an app password in place of the account's own: make one in its security settings, then: "
                "emailsecctl account password NAME" },
        [SAID_PASSWORD_CODE] = { CAUSE_AUTHENTICATION, CAUSE_AUTHENTICATION,
                "turn IMAP, POP3 and SMTP on in the provider's web mail and store the authorization code that it gives there "
                "in place of the password: emailsecctl account password NAME" },
        [SAID_WEB_LOGIN] = { CAUSE_AUTHENTICATION, CAUSE_AUTHENTICATION,
                "sign in once with a web browser and confirm that it was you; where the provider has app passwords, store one: "
                "emailsecctl account password NAME" },
        [SAID_WANTS_OAUTH] = { CAUSE_AUTHENTICATION, CAUSE_AUTHENTICATION,
                "the provider takes no passwords here any more: set oauthProvider and authentication=xoauth2, then: "
                "emailsecctl account authorize NAME" },
        [SAID_PROTOCOL_OFF] = { CAUSE_AUTHENTICATION, CAUSE_AUTHENTICATION,
                "turn this protocol (IMAP, POP3, SMTP sign-in) on for the mailbox in the provider's settings, or have its "
                "administrator do it; if it is on: emailsecctl account password NAME" },
        [SAID_ACCOUNT_OFF] = { CAUSE_AUTHENTICATION, CAUSE_AUTHENTICATION,
                "ask the provider: it has shut this account off" },
        [SAID_PASSWORD_EXPIRED] = { CAUSE_AUTHENTICATION, CAUSE_AUTHENTICATION,
                "set a new password with the provider, then: emailsecctl account password NAME" },
        [SAID_TRANSITION] = { CAUSE_AUTHENTICATION, CAUSE_AUTHENTICATION,
                "the server wants the password changed, or one sign-in by authentication=plain, first" },
        [SAID_NOT_ALLOWED] = { CAUSE_AUTHENTICATION, CAUSE_AUTHENTICATION,
                "ask the server's operator: this user may not do that there" },
        [SAID_WANTS_SIGNIN] = { CAUSE_AUTHENTICATION, CAUSE_AUTHENTICATION,
                "set the property account, then: emailsecctl account password NAME" },
        [SAID_NOT_OUR_SENDER] = { CAUSE_REFUSED, CAUSE_REFUSED,
                "send as an address that belongs to this account, or have the provider allow the other one" },
        [SAID_ADDRESS_BLOCKED] = { CAUSE_CONNECT, CAUSE_REFUSED,
                "the server keeps this machine's network address out: read its words; mail leaves by a provider's submission "
                "port (587, 465) rather than by port 25" },
        [SAID_NO_MAILBOX] = { CAUSE_MAILBOX, CAUSE_MAILBOX, NULL },
        [SAID_MAILBOX_BROKEN] = { CAUSE_MAILBOX, CAUSE_MAILBOX,
                "ask the server's operator: something is wrong with this mailbox there" },
        [SAID_OUR_FAULT] = { CAUSE_PROTOCOL, CAUSE_PROTOCOL, NULL },
};

static bool passes(enum server_kind kind)
{
        return kind >= SAID_CONNECTIONS && kind <= SAID_LOCKED_OUT;
}

/* ---- codes ---- */

enum { SIGNING_IN = PHASE_GREETING | PHASE_SIGNIN, ANY_PHASE = SIGNING_IN | PHASE_MAILBOX | PHASE_MAIL };

/* What is general leaves it to the words. */
static const struct {
        unsigned protocols, phases;
        const char *code;
        bool general;
        enum server_kind kind;
} codes[] = {
        { SERVER_IMAP, ANY_PHASE, "UNAVAILABLE", false, SAID_TEMPORARY },
        { SERVER_IMAP, ANY_PHASE, "SERVERBUG", false, SAID_TEMPORARY },
        { SERVER_IMAP, ANY_PHASE, "INUSE", false, SAID_IN_USE },
        { SERVER_IMAP, ANY_PHASE, "LIMIT", false, SAID_THROTTLED },
        { SERVER_IMAP, ANY_PHASE, "THROTTLED", false, SAID_THROTTLED },
        { SERVER_IMAP, ANY_PHASE, "OVERQUOTA", false, SAID_THROTTLED },
        { SERVER_IMAP, ANY_PHASE, "PRIVACYREQUIRED", false, SAID_WANTS_TLS },
        { SERVER_IMAP, ANY_PHASE, "EXPIRED", false, SAID_PASSWORD_EXPIRED },
        { SERVER_IMAP, ANY_PHASE, "AUTHENTICATIONFAILED", true, SAID_WRONG_PASSWORD },
        { SERVER_IMAP, ANY_PHASE, "AUTHORIZATIONFAILED", true, SAID_NOT_ALLOWED },
        { SERVER_IMAP, ANY_PHASE, "WEBALERT", true, SAID_WEB_LOGIN },
        { SERVER_IMAP, SIGNING_IN, "CONTACTADMIN", true, SAID_NOT_ALLOWED },
        { SERVER_IMAP, SIGNING_IN, "NOPERM", true, SAID_NOT_ALLOWED },
        { SERVER_IMAP, PHASE_MAILBOX, "NOPERM", true, SAID_NO_MAILBOX },
        { SERVER_IMAP, PHASE_MAILBOX, "NONEXISTENT", true, SAID_NO_MAILBOX },
        { SERVER_IMAP, PHASE_MAILBOX, "TRYCREATE", true, SAID_NO_MAILBOX },
        { SERVER_IMAP, PHASE_MAILBOX, "CANNOT", true, SAID_NO_MAILBOX },
        { SERVER_IMAP, PHASE_MAILBOX, "CORRUPTION", true, SAID_MAILBOX_BROKEN },
        { SERVER_IMAP, ANY_PHASE, "CLIENTBUG", true, SAID_OUR_FAULT },
        { SERVER_POP3, ANY_PHASE, "SYS/TEMP", false, SAID_TEMPORARY },
        { SERVER_POP3, ANY_PHASE, "IN-USE", false, SAID_IN_USE },
        { SERVER_POP3, ANY_PHASE, "LOGIN-DELAY", false, SAID_THROTTLED },
        { SERVER_POP3, ANY_PHASE, "AUTH", true, SAID_WRONG_PASSWORD },
        { SERVER_POP3, ANY_PHASE, "SYS/PERM", true, SAID_MAILBOX_BROKEN },
};

/* RFC 4954 section 6; the last one that fits is taken. The words of a 4yz never make it permanent but for 432. */
static const struct {
        unsigned from, to;
        unsigned phases;
        bool general;
        enum server_kind kind;
} statuses[] = {
        { 400, 499, ANY_PHASE, false, SAID_TEMPORARY },
        { 432, 432, PHASE_SIGNIN, true, SAID_TRANSITION },
        { 500, 599, PHASE_SIGNIN, false, SAID_REFUSED },
        { 500, 504, PHASE_SIGNIN, false, SAID_MECHANISM },
        { 500, 599, PHASE_GREETING | PHASE_MAIL, false, SAID_NOTHING_KNOWN },
        { 530, 530, SIGNING_IN, false, SAID_WANTS_TLS },
        { 530, 530, PHASE_MAIL, false, SAID_WANTS_SIGNIN },
        { 534, 534, PHASE_SIGNIN, false, SAID_OTHER_WAY },
        { 535, 535, PHASE_SIGNIN, false, SAID_WRONG_PASSWORD },
        { 538, 538, ANY_PHASE, false, SAID_WANTS_TLS },
};

/* ---- words ---- */

enum { S = SERVER_SMTP, I = SERVER_IMAP, P = SERVER_POP3, IP = I | P, SIP = S | I | P };

/* The first row that fits is taken: both texts, in this order and any case. `firm` ones hold against the class of an SMTP reply. */
static const struct row {
        unsigned protocols, phases;
        bool firm;
        enum server_kind kind;
        const char *first, *second;
} rows[] = {
        /* one sentence for every reason there is: no more than that the sign-in is refused */
        { SIP, SIGNING_IN, false, SAID_PASSWORD_CODE, "account is abnormal", NULL },
        { SIP, SIGNING_IN, false, SAID_PROTOCOL_OFF, "invalid credentials or imap is disabled", NULL },
        { SIP, SIGNING_IN, false, SAID_PROTOCOL_OFF, "login failure or pop3 disabled", NULL },

        /* shut out after wrong sign-ins: before what follows, whose words they share */
        { SIP, ANY_PHASE, false, SAID_LOCKED_OUT, "too many", "failed" },
        { SIP, ANY_PHASE, false, SAID_LOCKED_OUT, "too many", "failures" },
        { SIP, ANY_PHASE, false, SAID_LOCKED_OUT, "too many", "bad auth" },
        { SIP, ANY_PHASE, false, SAID_LOCKED_OUT, "too many", "invalid log" },
        { SIP, ANY_PHASE, false, SAID_LOCKED_OUT, "too many", "wrong" },
        { SIP, ANY_PHASE, false, SAID_LOCKED_OUT, "too many", "incorrect" },
        { SIP, SIGNING_IN, false, SAID_LOCKED_OUT, "temporarily", "locked out" },
        { SIP, SIGNING_IN, false, SAID_LOCKED_OUT, "account", "temporarily locked" },
        { SIP, SIGNING_IN, false, SAID_LOCKED_OUT, "account", "temporarily blocked" },

        /* connections at once: never a matter of the password, whatever the code */
        { SIP, ANY_PHASE, true, SAID_CONNECTIONS, "too many", "connection" },
        { SIP, ANY_PHASE, true, SAID_CONNECTIONS, "too many", "session" },
        { IP, ANY_PHASE, true, SAID_CONNECTIONS, "too many", "logged in" },
        { IP, ANY_PHASE, true, SAID_CONNECTIONS, "too many", "logins from" },
        { SIP, ANY_PHASE, true, SAID_CONNECTIONS, "maximum", "connection" },
        { SIP, ANY_PHASE, true, SAID_CONNECTIONS, "connection", "limit" },
        { SIP, ANY_PHASE, true, SAID_CONNECTIONS, "max", "connections" },
        { SIP, ANY_PHASE, true, SAID_CONNECTIONS, "concurrent", "exceeded" },
        { SIP, ANY_PHASE, true, SAID_CONNECTIONS, "simultaneous", "connection" },
        { SIP, ANY_PHASE, true, SAID_CONNECTIONS, "simultaneous", "session" },
        { SIP, ANY_PHASE, true, SAID_CONNECTIONS, "simultaneous", "login" },
        { SIP, ANY_PHASE, true, SAID_CONNECTIONS, "sender thread limit", NULL },
        { SIP, ANY_PHASE, true, SAID_CONNECTIONS, "limit", "connections" },
        { SIP, ANY_PHASE, true, SAID_CONNECTIONS, "exceeded", "connections" },

        /* what a mail provider wants first */
        { SIP, SIGNING_IN, false, SAID_APP_PASSWORD, "application-specific password", NULL },
        { SIP, SIGNING_IN, false, SAID_APP_PASSWORD, "app-specific password", NULL },
        { SIP, SIGNING_IN, false, SAID_APP_PASSWORD, "app specific password", NULL },
        { SIP, SIGNING_IN, false, SAID_APP_PASSWORD, "application specific password", NULL },
        { SIP, SIGNING_IN, false, SAID_APP_PASSWORD, "application password", NULL },
        { SIP, SIGNING_IN, false, SAID_APP_PASSWORD, "app password", NULL },
        { SIP, SIGNING_IN, false, SAID_APP_PASSWORD, "app-password", NULL },
        { SIP, SIGNING_IN, false, SAID_APP_PASSWORD, "parol prilozheniya", NULL },
        { SIP, SIGNING_IN, false, SAID_APP_PASSWORD, "invalidsecondfactor", NULL },
        { SIP, ANY_PHASE, false, SAID_PASSWORD_CODE, "authorization code", NULL },
        { SIP, ANY_PHASE, false, SAID_PASSWORD_CODE, "authorisation code", NULL },
        { SIP, ANY_PHASE, false, SAID_PASSWORD_CODE, "authorized code", NULL },
        { SIP, ANY_PHASE, false, SAID_PASSWORD_CODE, "unsafe login", NULL },
        { SIP, SIGNING_IN, false, SAID_WEB_LOGIN, "web browser", NULL },
        { SIP, SIGNING_IN, false, SAID_WEB_LOGIN, "web login required", NULL },
        { SIP, SIGNING_IN, false, SAID_WEB_LOGIN, "weblogin", NULL },
        { SIP, SIGNING_IN, false, SAID_WANTS_OAUTH, "basic authentication is", NULL },
        { SIP, SIGNING_IN, false, SAID_WANTS_OAUTH, "basicauthblocked", NULL },
        { SIP, SIGNING_IN, false, SAID_WANTS_OAUTH, "security defaults policy", NULL },
        { SIP, SIGNING_IN, false, SAID_WANTS_OAUTH, "modern authentication", NULL },
        { SIP, SIGNING_IN, false, SAID_PROTOCOL_OFF, "smtpclientauthentication is disabled", NULL },
        { SIP, SIGNING_IN, false, SAID_PROTOCOL_OFF, "not enabled for imap", NULL },
        { SIP, SIGNING_IN, false, SAID_PROTOCOL_OFF, "not enabled for pop", NULL },
        { SIP, SIGNING_IN, false, SAID_PROTOCOL_OFF, "enable imap", NULL },
        { SIP, SIGNING_IN, false, SAID_PROTOCOL_OFF, "enable pop", NULL },
        { SIP, SIGNING_IN, false, SAID_PROTOCOL_OFF, "imap", "disabled" },
        { SIP, SIGNING_IN, false, SAID_PROTOCOL_OFF, "pop", "disabled" },
        { SIP, SIGNING_IN, false, SAID_PROTOCOL_OFF, "smtp", "disabled" },
        { SIP, SIGNING_IN, false, SAID_PROTOCOL_OFF, "imap", "not enabled" },
        { SIP, SIGNING_IN, false, SAID_PROTOCOL_OFF, "pop", "not enabled" },
        { SIP, SIGNING_IN, false, SAID_PROTOCOL_OFF, "smtp", "not enabled" },
        { SIP, SIGNING_IN, false, SAID_PROTOCOL_OFF, "service is not open", NULL },
        { SIP, SIGNING_IN, false, SAID_PROTOCOL_OFF, "does not have access rights to this service", NULL },
        { S, SIGNING_IN, false, SAID_PROTOCOL_OFF, "user has no permission", NULL },

        /* a password or an account that has ended */
        { SIP, SIGNING_IN, false, SAID_TRANSITION, "transition", NULL },
        { IP, SIGNING_IN, false, SAID_TEMPORARY, "temporarily", "disabled" },
        { IP, SIGNING_IN, false, SAID_TEMPORARY, "temporarily", "suspended" },
        { SIP, SIGNING_IN, false, SAID_PASSWORD_EXPIRED, "password", "expired" },
        { SIP, SIGNING_IN, false, SAID_PASSWORD_EXPIRED, "password", "must be changed" },
        { SIP, SIGNING_IN, false, SAID_ACCOUNT_OFF, "account", "disabled" },
        { SIP, SIGNING_IN, false, SAID_ACCOUNT_OFF, "account", "suspended" },
        { SIP, SIGNING_IN, false, SAID_ACCOUNT_OFF, "account", "blocked" },
        { SIP, SIGNING_IN, false, SAID_ACCOUNT_OFF, "account", "deactivated" },
        { SIP, SIGNING_IN, false, SAID_ACCOUNT_OFF, "account", "inactive" },
        { SIP, SIGNING_IN, false, SAID_ACCOUNT_OFF, "account", "expired" },
        { SIP, SIGNING_IN, false, SAID_ACCOUNT_OFF, "account", "locked" },
        { SIP, SIGNING_IN, false, SAID_ACCOUNT_OFF, "user", "disabled" },
        { SIP, SIGNING_IN, false, SAID_ACCOUNT_OFF, "user", "suspended" },
        { SIP, SIGNING_IN, false, SAID_ACCOUNT_OFF, "mailbox", "disabled" },

        /* the way of signing in */
        { SIP, SIGNING_IN, false, SAID_WANTS_TLS, "starttls", NULL },
        { SIP, SIGNING_IN, false, SAID_WANTS_TLS, "encryption required", NULL },
        { SIP, SIGNING_IN, false, SAID_WANTS_TLS, "plaintext authentication", "disallowed" },
        { SIP, SIGNING_IN, false, SAID_WANTS_TLS, "cleartext authentication", "disallowed" },
        { SIP, SIGNING_IN, false, SAID_WANTS_TLS, "secure connection", "required" },
        { SIP, SIGNING_IN, false, SAID_WANTS_TLS, "ssl", "required" },
        { SIP, SIGNING_IN, false, SAID_WANTS_TLS, "tls", "required" },
        { SIP, SIGNING_IN, false, SAID_MECHANISM, "mechanism", "too weak" },
        { SIP, SIGNING_IN, false, SAID_MECHANISM, "mechanism", "not supported" },
        { SIP, SIGNING_IN, false, SAID_MECHANISM, "mechanism", "unsupported" },
        { SIP, SIGNING_IN, false, SAID_MECHANISM, "unsupported", "mechanism" },
        { SIP, SIGNING_IN, false, SAID_MECHANISM, "no mechanism available", NULL },
        { SIP, SIGNING_IN, false, SAID_MECHANISM, "mechanism", "not available" },
        { SIP, SIGNING_IN, false, SAID_MECHANISM, "unrecognized authentication type", NULL },
        { SIP, SIGNING_IN, false, SAID_MECHANISM, "unknown authentication", NULL },
        { SIP, SIGNING_IN, false, SAID_MECHANISM, "authentication method", "not supported" },
        { SIP, SIGNING_IN, false, SAID_MECHANISM, "channel binding", NULL },
        { SIP, SIGNING_IN, false, SAID_MECHANISM, "bad protocol / cancel", NULL },
        { SIP, SIGNING_IN, false, SAID_MECHANISM, "another step is needed in authentication", NULL },
        { SIP, SIGNING_IN, false, SAID_MECHANISM, "cannot decode", NULL },
        { SIP, SIGNING_IN, false, SAID_MECHANISM, "invalid base64", NULL },
        { SIP, SIGNING_IN, false, SAID_MECHANISM, "malformed", NULL },
        { IP, SIGNING_IN, false, SAID_MECHANISM, "unknown command", NULL },
        { IP, SIGNING_IN, false, SAID_MECHANISM, "invalid command", NULL },
        { IP, SIGNING_IN, false, SAID_MECHANISM, "bad command", NULL },
        { IP, SIGNING_IN, false, SAID_MECHANISM, "unrecognized", NULL },
        { IP, SIGNING_IN, false, SAID_MECHANISM, "unsupported", NULL },
        { IP, SIGNING_IN, false, SAID_MECHANISM, "command", "not " },
        { IP, SIGNING_IN, false, SAID_MECHANISM, "not implemented", NULL },
        { IP, SIGNING_IN, false, SAID_MECHANISM, "syntax", NULL },
        { IP, SIGNING_IN, false, SAID_MECHANISM, "parse error", NULL },
        { IP, SIGNING_IN, false, SAID_MECHANISM, "invalid argument", NULL },
        { SIP, SIGNING_IN, false, SAID_MECHANISM, "no secret in database", NULL },
        { SIP, SIGNING_IN, false, SAID_MECHANISM, "no user secret", NULL },

        /* another session has the mailbox */
        { IP, ANY_PHASE, false, SAID_IN_USE, "already in use", NULL },
        { IP, ANY_PHASE, false, SAID_IN_USE, "in use by", NULL },
        { IP, ANY_PHASE, false, SAID_IN_USE, "already locked", NULL },
        { IP, ANY_PHASE, false, SAID_IN_USE, "unable to lock", NULL },
        { IP, ANY_PHASE, false, SAID_IN_USE, "can't lock", NULL },
        { IP, ANY_PHASE, false, SAID_IN_USE, "cannot lock", NULL },
        { IP, ANY_PHASE, false, SAID_IN_USE, "could not lock", NULL },
        { IP, ANY_PHASE, false, SAID_IN_USE, "lock busy", NULL },
        { IP, ANY_PHASE, false, SAID_IN_USE, "lock file", NULL },
        { IP, ANY_PHASE, false, SAID_IN_USE, "get lock", NULL },
        { IP, ANY_PHASE, false, SAID_IN_USE, "mail", " lock" },
        { IP, ANY_PHASE, false, SAID_IN_USE, "is locked", NULL },
        { IP, ANY_PHASE, false, SAID_IN_USE, "mailbox busy", NULL },
        { IP, ANY_PHASE, false, SAID_IN_USE, "mailbox is busy", NULL },
        { IP, ANY_PHASE, false, SAID_IN_USE, "maildrop busy", NULL },
        { IP, ANY_PHASE, false, SAID_IN_USE, "another session", NULL },
        { IP, ANY_PHASE, false, SAID_IN_USE, "another pop", NULL },
        { IP, ANY_PHASE, false, SAID_IN_USE, "other session", NULL },

        /* too much, too often */
        { S, PHASE_MAIL, true, SAID_SENDING_LIMIT, "sending limit exceeded", NULL },
        { S, PHASE_MAIL, true, SAID_SENDING_LIMIT, "sending quota exceeded", NULL },
        { S, PHASE_MAIL, true, SAID_SENDING_LIMIT, "daily", "limit" },
        { S, PHASE_MAIL, true, SAID_SENDING_LIMIT, "daily", "quota" },
        { S, PHASE_MAIL, true, SAID_SENDING_LIMIT, "hourly", "limit" },
        { S, PHASE_MAIL, true, SAID_SENDING_LIMIT, "per hour", "exceeded" },
        { S, PHASE_MAIL, true, SAID_SENDING_LIMIT, "submissionquotaexceeded", NULL },
        { S, PHASE_MAIL, true, SAID_THROTTLED, "rate limit", NULL },
        { SIP, ANY_PHASE, false, SAID_THROTTLED, "bandwidth limit", NULL },
        { SIP, ANY_PHASE, false, SAID_THROTTLED, "command or bandwidth", NULL },
        { SIP, ANY_PHASE, false, SAID_THROTTLED, "bandwidth", "exceeded" },
        { SIP, ANY_PHASE, false, SAID_THROTTLED, "rate limit", NULL },
        { SIP, ANY_PHASE, false, SAID_THROTTLED, "throttl", NULL },
        { SIP, ANY_PHASE, false, SAID_THROTTLED, "too frequent", NULL },
        { SIP, ANY_PHASE, false, SAID_THROTTLED, "too often", NULL },
        { SIP, ANY_PHASE, false, SAID_THROTTLED, "frequency limited", NULL },
        { SIP, ANY_PHASE, false, SAID_THROTTLED, "frequently", NULL },
        { SIP, ANY_PHASE, false, SAID_THROTTLED, "minimum time between", NULL },
        { SIP, ANY_PHASE, false, SAID_THROTTLED, "login attempts", "later" },
        { SIP, ANY_PHASE, false, SAID_THROTTLED, "too many login", NULL },
        { SIP, ANY_PHASE, false, SAID_THROTTLED, "too many requests", NULL },
        { SIP, ANY_PHASE, false, SAID_THROTTLED, "too many commands", NULL },
        { SIP, ANY_PHASE, false, SAID_THROTTLED, "slow down", NULL },

        /* the server itself */
        { IP, ANY_PHASE, false, SAID_TEMPORARY, "user is authenticated but not connected", NULL },
        { SIP, SIGNING_IN, true, SAID_TEMPORARY, "temporary authentication", NULL },
        { SIP, SIGNING_IN, true, SAID_TEMPORARY, "connection lost to authentication server", NULL },
        { SIP, SIGNING_IN, true, SAID_TEMPORARY, "temporary system problem", NULL },
        { SIP, SIGNING_IN, true, SAID_TEMPORARY, "unable to authenticate at present", NULL },
        { IP, ANY_PHASE, false, SAID_TEMPORARY, "temporary", NULL },
        { IP, ANY_PHASE, false, SAID_TEMPORARY, "temporarily", NULL },
        { IP, ANY_PHASE, false, SAID_TEMPORARY, "try again", NULL },
        { IP, ANY_PHASE, false, SAID_TEMPORARY, "try later", NULL },
        { IP, ANY_PHASE, false, SAID_TEMPORARY, "unavailable", NULL },
        { IP, ANY_PHASE, false, SAID_TEMPORARY, "not available", NULL },
        { IP, ANY_PHASE, false, SAID_TEMPORARY, "server busy", NULL },
        { IP, ANY_PHASE, false, SAID_TEMPORARY, "too busy", NULL },
        { IP, ANY_PHASE, false, SAID_TEMPORARY, "is busy", NULL },
        { IP, ANY_PHASE, false, SAID_TEMPORARY, "overload", NULL },
        { IP, ANY_PHASE, false, SAID_TEMPORARY, "internal error", NULL },
        { IP, ANY_PHASE, false, SAID_TEMPORARY, "internal server error", NULL },
        { IP, ANY_PHASE, false, SAID_TEMPORARY, "system error", NULL },
        { IP, ANY_PHASE, false, SAID_TEMPORARY, "server error", NULL },
        { IP, ANY_PHASE, false, SAID_TEMPORARY, "generic failure", NULL },
        { IP, ANY_PHASE, false, SAID_TEMPORARY, "lookup failed", NULL },
        { IP, ANY_PHASE, false, SAID_TEMPORARY, "backend", NULL },
        { IP, ANY_PHASE, false, SAID_TEMPORARY, "maintenance", NULL },
        { IP, ANY_PHASE, false, SAID_TEMPORARY, "shutting down", NULL },
        { IP, ANY_PHASE, false, SAID_TEMPORARY, "shutdown", NULL },
        { IP, ANY_PHASE, false, SAID_TEMPORARY, "timeout", NULL },
        { IP, ANY_PHASE, false, SAID_TEMPORARY, "timed out", NULL },
        { IP, ANY_PHASE, false, SAID_TEMPORARY, "connection is closed", NULL },
        { IP, ANY_PHASE, false, SAID_TEMPORARY, "session invalidated", NULL },
        { IP, PHASE_MAILBOX, false, SAID_TEMPORARY, "not connected", NULL },

        /* SMTP: who may send as whom, and from where */
        { S, PHASE_MAIL, false, SAID_NOT_OUR_SENDER, "sendasdenied", NULL },
        { S, PHASE_MAIL, false, SAID_NOT_OUR_SENDER, "permissions to send as", NULL },
        { S, PHASE_MAIL, false, SAID_NOT_OUR_SENDER, "not owned by", NULL },
        { S, PHASE_MAIL, false, SAID_NOT_OUR_SENDER, "must equal authorized user", NULL },
        { S, PHASE_MAIL, false, SAID_NOT_OUR_SENDER, "must be same as authorization user", NULL },
        { S, PHASE_MAIL, false, SAID_NOT_OUR_SENDER, "not one of your addresses", NULL },
        { S, PHASE_MAIL, false, SAID_NOT_OUR_SENDER, "sender address rejected", "not logged in" },
        { S, PHASE_MAIL, false, SAID_NOT_OUR_SENDER, "sender address is not allowed", NULL },
        { S, PHASE_MAIL, false, SAID_WANTS_SIGNIN, "authentication required", NULL },
        { S, PHASE_GREETING | PHASE_MAIL, false, SAID_ADDRESS_BLOCKED, "spamhaus", NULL },
        { S, PHASE_GREETING | PHASE_MAIL, false, SAID_ADDRESS_BLOCKED, "blocklist", NULL },
        { S, PHASE_GREETING | PHASE_MAIL, false, SAID_ADDRESS_BLOCKED, "block list", NULL },
        { S, PHASE_GREETING | PHASE_MAIL, false, SAID_ADDRESS_BLOCKED, "blacklist", NULL },
        { S, PHASE_GREETING | PHASE_MAIL, false, SAID_ADDRESS_BLOCKED, "client", "blocked" },
        { S, PHASE_GREETING | PHASE_MAIL, false, SAID_ADDRESS_BLOCKED, "traffic not accepted from this ip", NULL },

        /* IMAP folders, of servers without response codes */
        { I, PHASE_MAILBOX, false, SAID_NO_MAILBOX, "does not exist", NULL },
        { I, PHASE_MAILBOX, false, SAID_NO_MAILBOX, "doesn't exist", NULL },
        { I, PHASE_MAILBOX, false, SAID_NO_MAILBOX, "no such mailbox", NULL },
        { I, PHASE_MAILBOX, false, SAID_NO_MAILBOX, "no such folder", NULL },
        { I, PHASE_MAILBOX, false, SAID_NO_MAILBOX, "unknown mailbox", NULL },

        /* and in the end, the password */
        { IP, SIGNING_IN, false, SAID_WRONG_PASSWORD, "password", NULL },
        { IP, SIGNING_IN, false, SAID_WRONG_PASSWORD, "passwd", NULL },
        { IP, SIGNING_IN, false, SAID_WRONG_PASSWORD, "credential", NULL },
        { IP, SIGNING_IN, false, SAID_WRONG_PASSWORD, "login incorrect", NULL },
        { IP, SIGNING_IN, false, SAID_WRONG_PASSWORD, "invalid login", NULL },
        { IP, SIGNING_IN, false, SAID_WRONG_PASSWORD, "authentication fail", NULL },
        { IP, SIGNING_IN, false, SAID_WRONG_PASSWORD, "login failed", NULL },
};

/* ---- a reply among them ---- */

static bool is_blank(char c)
{
        return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* One line, single blanks, ended. */
static void flatten(const struct server_words *said, char *to, size_t size)
{
        size_t at = 0;

        for (size_t i = 0; i < said->len && at + 1 < size; i++) {
                char c = is_blank(said->words[i]) ? ' ' : said->words[i];
                if (c && (c != ' ' || (at && to[at - 1] != ' ')))
                        to[at++] = c;
        }
        to[at] = '\0';
}

static bool fits(const struct row *row, const char *words)
{
        const char *first = strcasestr(words, row->first);

        return first && (!row->second || strcasestr(first + strlen(row->first), row->second));
}

static const struct row *row_of(const struct server_words *said, const char *words)
{
        for (size_t i = 0; i < count_of(rows); i++)
                if ((rows[i].protocols & said->protocol) && (rows[i].phases & said->phase) && fits(&rows[i], words))
                        return &rows[i];
        return NULL;
}

struct coded {
        enum server_kind kind;
        bool general;
};

static struct coded kind_of_status(const struct server_words *said)
{
        struct coded found = { SAID_NOTHING_KNOWN, true };

        for (size_t i = 0; i < count_of(statuses); i++)
                if (said->status >= statuses[i].from && said->status <= statuses[i].to &&
                    (statuses[i].phases & said->phase))
                        found = (struct coded){ statuses[i].kind, statuses[i].general };
        return found;
}

/* The response code: given apart, or in brackets before the words. */
static struct coded kind_of_code(const struct server_words *said, const char *words)
{
        const char *code = said->code_len ? said->code : words[0] == '[' ? words + 1 : "";
        size_t len = said->code_len ? said->code_len : strcspn(code, "]");
        size_t word = 0;

        while (word < len && !is_blank(code[word]))
                word++;
        for (size_t i = 0; i < count_of(codes); i++)
                if ((codes[i].protocols & said->protocol) && (codes[i].phases & said->phase) &&
                    strlen(codes[i].code) == word && strncasecmp(codes[i].code, code, word) == 0)
                        return (struct coded){ codes[i].kind, codes[i].general };
        return (struct coded){ SAID_NOTHING_KNOWN, true };
}

struct server_meaning server_words_meaning(const struct server_words *said)
{
        char words[KIB];

        flatten(said, words, sizeof words);
        struct coded coded = said->protocol == SERVER_SMTP ? kind_of_status(said) : kind_of_code(said, words);
        const struct row *row = row_of(said, words);
        enum server_kind kind = coded.kind;
        bool lasts = !coded.general && !passes(kind);

        if (row && (coded.general || row->firm || row->kind == SAID_LOCKED_OUT || passes(row->kind) == passes(kind)))
                kind = row->kind;
        bool signing_in = said->phase == PHASE_SIGNIN || said->phase == PHASE_GREETING;
        struct server_meaning meaning = {
                .kind = kind,
                .code = signing_in ? kinds[kind].signing_in : kinds[kind].later,
                .remedy = kinds[kind].remedy,
        };
        if (kind == SAID_LOCKED_OUT && lasts)
                meaning.code = CAUSE_AUTHENTICATION;
        if (said->phase == PHASE_MAIL && meaning.code == CAUSE_SERVER_BUSY)
                meaning.code = CAUSE_DEFERRED;
        return meaning;
}

void server_meaning_remedy(const struct server_meaning *meaning, struct cause *cause)
{
        if (meaning->remedy)
                cause_remedy(cause, "%s", meaning->remedy);
}
