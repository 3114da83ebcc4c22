/* SPDX-License-Identifier: MIT */
/* The IMAP session up to READY: greeting, STARTTLS and attacks on it, signing in, refusals, good-bye. */
#include "daemon/imap/session.c"

#include "imap_script.h"


static void quit(struct engine *engine)
{
        engine->class->quit(engine);
}

#define LINES(...) \
        .lines = (const struct line[]) \
        { \
                __VA_ARGS__ \
                { \
                        .kind = END \
                } \
        }
#define GREETING { S, "* OK ready\r\n", NULL },
#define CAPA_CLEAR \
        GREETING{ C, "t1 CAPABILITY\r\n", NULL }, \
                { S, "* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED AUTH=X\r\nt1 OK\r\n", NULL },
#define STARTTLS_DONE \
        CAPA_CLEAR{ C, "t2 STARTTLS\r\n", NULL }, { S, "t2 OK go\r\n", NULL }, { TLS, NULL, NULL },

#define PLAIN_IN(words) \
        { S, "* OK [CAPABILITY IMAP4rev1] hi\r\n", NULL }, { C, "t1 LOGIN \"u\" \"p\"\r\n", NULL }, \
        { \
                S, "t1 OK [CAPABILITY " words "] in\r\n", NULL \
        }
#define ID_SAID "ID (\"name\" \"emailsecd\" \"version\" \"" VERSION "\")\r\n"

static void open_drafts(struct engine *engine)
{
        imap_mailbox.open(engine, "Entw\303\274rfe", false);
}

/* clang-format off */
static const struct script scripts[] = {
        /* ---- greeting ---- */
        { "no sign-in, no TLS", .state = ENGINE_READY,
          LINES(GREETING { C, "t1 CAPABILITY\r\n", NULL }, { S, "* capability imap4rev1 idle\r\nt1 OK\r\n", NULL },) },
        { "capabilities of the greeting count inside TLS", .tls = true, .state = ENGINE_READY,
          LINES({ S, "* OK [CAPABILITY IMAP4rev1 IDLE] ready\r\n", NULL },) },
        { "but not outside", .state = ENGINE_TALKING,
          LINES({ S, "* OK [CAPABILITY IMAP4rev1 IDLE] ready\r\n", NULL }, { C, "t1 CAPABILITY\r\n", NULL },) },
        { "PREAUTH under STARTTLS", .starttls = true, .state = ENGINE_FAILED, .cause = CAUSE_PREAUTH,
          LINES({ S, "* PREAUTH welcome\r\n", NULL }, { C, "", NULL },) },
        { "PREAUTH inside TLS", .tls = true, .state = ENGINE_FAILED, .cause = CAUSE_PREAUTH,
          LINES({ S, "* PREAUTH welcome\r\n", NULL },) },
        { "PREAUTH without TLS", .state = ENGINE_FAILED, .cause = CAUSE_PREAUTH,
          LINES({ S, "* PREAUTH welcome\r\n", NULL },) },
        { "BYE for a greeting", .state = ENGINE_FAILED, .cause = CAUSE_SERVER_BUSY,
          LINES({ S, "* BYE too many connections\r\n", NULL },) },
        { "SMTP there", .state = ENGINE_FAILED, .cause = CAUSE_PROTOCOL, LINES({ S, "220 mx ESMTP\r\n", NULL },) },
        { "POP3 there", .starttls = true, .state = ENGINE_FAILED, .cause = CAUSE_PROTOCOL,
          LINES({ S, "+OK POP3 ready\r\n", NULL },) },
        { "garbage there", .starttls = true, .state = ENGINE_FAILED, .cause = CAUSE_PROTOCOL,
          LINES({ S, "hello\r\n", NULL },) },
        { "TLS there", .starttls = true, .state = ENGINE_FAILED, .cause = CAUSE_TLS_MISMATCH,
          LINES({ S, "\x16\x03\x01\x02", NULL },) },
        { "cut before the greeting", .tls = true, .state = ENGINE_FAILED, .cause = CAUSE_CLOSED,
          LINES({ CLOSE, NULL, NULL },) },
        /* ---- STARTTLS ---- */
        { "STARTTLS", .starttls = true, .state = ENGINE_READY,
          LINES(STARTTLS_DONE{ C, "t3 CAPABILITY\r\n", NULL }, { S, "* CAPABILITY IMAP4rev1\r\nt3 OK\r\n", NULL },) },
        { "what was offered before TLS does not hold", .starttls = true, .user = "u", .secret = "p",
          .state = ENGINE_FAILED, .cause = CAUSE_NO_MECHANISM,
          LINES(GREETING{ C, "t1 CAPABILITY\r\n", NULL },
                { S, "* CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN\r\nt1 OK\r\n", NULL }, { C, "t2 STARTTLS\r\n", NULL },
                { S, "t2 OK\r\n", NULL }, { TLS, NULL, NULL }, { C, "t3 CAPABILITY\r\n", NULL },
                { S, "* CAPABILITY IMAP4rev1 LOGINDISABLED\r\nt3 OK\r\n", NULL }, { C, "", NULL },) },
        { "not offered", .starttls = true, .user = "u", .secret = "p", .state = ENGINE_FAILED,
          .cause = CAUSE_NO_STARTTLS,
          LINES(GREETING{ C, "t1 CAPABILITY\r\n", NULL },
                { S, "* CAPABILITY IMAP4rev1 AUTH=PLAIN XSTARTTLS STARTTLSX\r\nt1 OK\r\n", NULL }, { C, "", NULL },) },
        { "refused", .starttls = true, .state = ENGINE_FAILED, .cause = CAUSE_STARTTLS_REFUSED,
          LINES(CAPA_CLEAR{ C, "t2 STARTTLS\r\n", NULL }, { S, "t2 NO not now\r\n", NULL },) },
        { "refused as bad", .starttls = true, .state = ENGINE_FAILED, .cause = CAUSE_STARTTLS_REFUSED,
          LINES(CAPA_CLEAR{ C, "t2 STARTTLS\r\n", NULL }, { S, "t2 BAD [UNAVAILABLE] what\r\n", NULL },) },
        { "cut off", .starttls = true, .state = ENGINE_FAILED, .cause = CAUSE_STARTTLS_REFUSED,
          LINES(CAPA_CLEAR{ C, "t2 STARTTLS\r\n", NULL }, { CLOSE, NULL, NULL },) },
        { "words before TLS are not believed", .starttls = true, .state = ENGINE_TALKING, .told = "",
          LINES(GREETING{ C, "t1 CAPABILITY\r\n", NULL },
                { S, "* 5 EXISTS\r\n* OK [ALERT] click here\r\n* 1 FETCH (UID 1 BODY[] {2}\r\nab)\r\n", NULL },) },
        { "CAPABILITY refused", .starttls = true, .user = "u", .secret = "p", .state = ENGINE_FAILED,
          .cause = CAUSE_NO_STARTTLS,
          LINES(GREETING{ C, "t1 CAPABILITY\r\n", NULL }, { S, "t1 BAD\r\n", NULL }, { C, "", NULL },) },
        { "CAPABILITY not known", .tls = true, .user = "u", .secret = "p", .state = ENGINE_READY,
          LINES(GREETING{ C, "t1 CAPABILITY\r\n", NULL }, { S, "t1 BAD what\r\n", NULL },
                { C, "t2 LOGIN \"u\" \"p\"\r\n", NULL }, { S, "t2 OK in\r\n", NULL },
                { C, "t3 CAPABILITY\r\n", NULL }, { S, "t3 BAD what\r\n", NULL },) },
        { "CAPABILITY without an answer", .tls = true, .user = "u", .secret = "p", .state = ENGINE_READY,
          LINES(GREETING{ C, "t1 CAPABILITY\r\n", NULL }, { S, "t1 OK done\r\n", NULL },
                { C, "t2 LOGIN \"u\" \"p\"\r\n", NULL }, { S, "t2 OK in\r\n", NULL },
                { C, "t3 CAPABILITY\r\n", NULL }, { S, "t3 OK done\r\n", NULL },) },
        { "CAPABILITY refused for now", .tls = true, .state = ENGINE_FAILED, .cause = CAUSE_AUTH_TEMPORARY,
          LINES(GREETING{ C, "t1 CAPABILITY\r\n", NULL }, { S, "t1 NO [UNAVAILABLE] later\r\n", NULL },) },
        /* ---- signing in ---- */
        { "PLAIN at once", .tls = true, .user = "u", .secret = "p", .state = ENGINE_READY,
          LINES({ S, "* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] hi\r\n", NULL },
                { C, "t1 AUTHENTICATE PLAIN AHUAcA==\r\n", NULL }, { S, "t1 OK [CAPABILITY IMAP4rev1 IDLE]\r\n", NULL },) },
        { "PLAIN after the go-ahead", .tls = true, .user = "u", .secret = "p", .state = ENGINE_READY,
          LINES({ S, "* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] hi\r\n", NULL }, { C, "t1 AUTHENTICATE PLAIN\r\n", NULL },
                { S, "+ \r\n", NULL }, { C, "AHUAcA==\r\n", NULL }, { S, "t1 OK\r\n", NULL },
                { C, "t2 CAPABILITY\r\n", NULL }, { S, "* CAPABILITY IMAP4rev1 IDLE\r\nt2 OK\r\n", NULL },) },
        { "LOGIN mechanism", .tls = true, .user = "u", .secret = "p", .state = ENGINE_READY,
          LINES({ S, "* OK [CAPABILITY IMAP4rev1 AUTH=LOGIN] hi\r\n", NULL }, { C, "t1 AUTHENTICATE LOGIN\r\n", NULL },
                { S, "+ VXNlciBOYW1lAA==\r\n", NULL }, { C, "dQ==\r\n", NULL }, { S, "+ UGFzc3dvcmQA\r\n", NULL },
                { C, "cA==\r\n", NULL }, { S, "* CAPABILITY IMAP4rev1\r\nt1 OK\r\n", NULL },) },
        { "LOGIN, words", .tls = true, .user = "u", .secret = "p", .state = ENGINE_READY,
          LINES({ S, "* OK [CAPABILITY IMAP4rev1 AUTH=LOGIN] hi\r\n", NULL },
                { C, "t1 AUTHENTICATE LOGIN\r\n", NULL },
                { S, "+ please\r\n", NULL },
                { C, "dQ==\r\n", NULL },
                { S, "+\r\n", NULL },
                { C, "cA==\r\n", NULL },
                { S, "* CAPABILITY IMAP4rev1\r\nt1 OK\r\n", NULL },) },
        /* ---- a second way ---- */
        { "initial response refused", .tls = true, .user = "u", .secret = "p", .state = ENGINE_READY,
          LINES({ S, "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] hi\r\n", NULL },
                { C, "t1 AUTHENTICATE PLAIN AHUAcA==\r\n", NULL },
                { S, "t1 BAD Parse command error\r\n", NULL },
                { C, "t2 AUTHENTICATE PLAIN\r\n", NULL },
                { S, "+ \r\n", NULL },
                { C, "AHUAcA==\r\n", NULL },
                { S, "* CAPABILITY IMAP4rev1\r\nt2 OK\r\n", NULL },) },
        { "PLAIN refused both ways", .tls = true, .user = "u", .secret = "p", .state = ENGINE_READY,
          LINES({ S, "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] hi\r\n", NULL },
                { C, "t1 AUTHENTICATE PLAIN AHUAcA==\r\n", NULL },
                { S, "t1 BAD x\r\n", NULL },
                { C, "t2 AUTHENTICATE PLAIN\r\n", NULL },
                { S, "t2 BAD x\r\n", NULL },
                { C, "t3 LOGIN \"u\" \"p\"\r\n", NULL },
                { S, "* CAPABILITY IMAP4rev1\r\nt3 OK\r\n", NULL },) },
        { "nothing works", .tls = true, .user = "u", .secret = "p", .state = ENGINE_FAILED, .cause = CAUSE_AUTHENTICATION,
          LINES({ S, "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] hi\r\n", NULL },
                { C, "t1 AUTHENTICATE PLAIN AHUAcA==\r\n", NULL },
                { S, "t1 BAD x\r\n", NULL },
                { C, "t2 AUTHENTICATE PLAIN\r\n", NULL },
                { S, "t2 BAD x\r\n", NULL },
                { C, "t3 LOGIN \"u\" \"p\"\r\n", NULL },
                { S, "t3 NO [AUTHENTICATIONFAILED] x\r\n", NULL },) },
        { "a wrong password is tried once", .tls = true, .user = "u", .secret = "p", .state = ENGINE_FAILED, .cause = CAUSE_AUTHENTICATION,
          LINES({ S, "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN AUTH=LOGIN] hi\r\n", NULL },
                { C, "t1 AUTHENTICATE PLAIN AHUAcA==\r\n", NULL },
                { S, "t1 NO [AUTHENTICATIONFAILED] x\r\n", NULL },) },
        { "CRAM-MD5 is broken there", .tls = true, .user = "u", .secret = "p", .state = ENGINE_READY,
          LINES({ S, "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=CRAM-MD5 AUTH=PLAIN] hi\r\n", NULL },
                { C, "t1 AUTHENTICATE CRAM-MD5\r\n", NULL },
                { S, "+ PDEuMkB4Pg==\r\n", NULL },
                { C, "dSBjMTM1MjliMzc0Y2I3ZGZhNDU0MjY1YTE4MGE5ODQ3MA==\r\n", NULL },
                { S, "t1 NO [AUTHENTICATIONFAILED] no\r\n", NULL },
                { C, "t2 AUTHENTICATE PLAIN AHUAcA==\r\n", NULL },
                { S, "* CAPABILITY IMAP4rev1\r\nt2 OK\r\n", NULL },) },
        { "CRAM-MD5 and the password are wrong", .tls = true, .user = "u", .secret = "p", .state = ENGINE_FAILED, .cause = CAUSE_AUTHENTICATION,
          LINES({ S, "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=CRAM-MD5 AUTH=PLAIN AUTH=LOGIN] hi\r\n", NULL },
                { C, "t1 AUTHENTICATE CRAM-MD5\r\n", NULL },
                { S, "+ PDEuMkB4Pg==\r\n", NULL },
                { C, "dSBjMTM1MjliMzc0Y2I3ZGZhNDU0MjY1YTE4MGE5ODQ3MA==\r\n", NULL },
                { S, "t1 NO no\r\n", NULL },
                { C, "t2 AUTHENTICATE PLAIN AHUAcA==\r\n", NULL },
                { S, "t2 NO no\r\n", NULL },) },
        { "CRAM-MD5 challenge is broken", .tls = true, .user = "u", .secret = "p", .state = ENGINE_READY,
          LINES({ S, "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=CRAM-MD5 AUTH=PLAIN] hi\r\n", NULL },
                { C, "t1 AUTHENTICATE CRAM-MD5\r\n", NULL },
                { S, "+ ?\r\n", NULL },
                { C, "*\r\n", NULL },
                { S, "t1 BAD cancelled\r\n", NULL },
                { C, "t2 AUTHENTICATE PLAIN AHUAcA==\r\n", NULL },
                { S, "* CAPABILITY IMAP4rev1\r\nt2 OK\r\n", NULL },) },
        { "success after it was given up", .tls = true, .user = "u", .secret = "p", .state = ENGINE_FAILED, .cause = CAUSE_PROTOCOL,
          LINES({ S, "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=CRAM-MD5 AUTH=PLAIN] hi\r\n", NULL },
                { C, "t1 AUTHENTICATE CRAM-MD5\r\n", NULL },
                { S, "+ ?\r\n", NULL },
                { C, "*\r\n", NULL },
                { S, "t1 OK welcome\r\n", NULL },) },
        { "BYE at the second", .tls = true, .user = "u", .secret = "p", .state = ENGINE_FAILED, .cause = CAUSE_AUTHENTICATION,
          LINES({ S, "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=CRAM-MD5 AUTH=PLAIN] hi\r\n", NULL },
                { C, "t1 AUTHENTICATE CRAM-MD5\r\n", NULL },
                { S, "+ PDEuMkB4Pg==\r\n", NULL },
                { C, "dSBjMTM1MjliMzc0Y2I3ZGZhNDU0MjY1YTE4MGE5ODQ3MA==\r\n", NULL },
                { S, "t1 NO [AUTHENTICATIONFAILED] no\r\n", NULL },
                { C, "t2 AUTHENTICATE PLAIN AHUAcA==\r\n", NULL },
                { S, "* BYE enough\r\n", NULL },) },
        { "passing trouble has no second way", .tls = true, .user = "u", .secret = "p", .state = ENGINE_FAILED, .cause = CAUSE_AUTH_TEMPORARY,
          LINES({ S, "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=CRAM-MD5 AUTH=PLAIN] hi\r\n", NULL },
                { C, "t1 AUTHENTICATE CRAM-MD5\r\n", NULL },
                { S, "+ PDEuMkB4Pg==\r\n", NULL },
                { C, "dSBjMTM1MjliMzc0Y2I3ZGZhNDU0MjY1YTE4MGE5ODQ3MA==\r\n", NULL },
                { S, "t1 NO [UNAVAILABLE] later\r\n", NULL },) },
        { "login command", .tls = true, .user = "u\"x", .secret = "p\\ q", .state = ENGINE_READY,
          LINES({ S, "* OK [CAPABILITY IMAP4rev1] hi\r\n", NULL }, { C, "t1 LOGIN \"u\\\"x\" \"p\\\\ q\"\r\n", NULL },
                { S, "t1 OK [CAPABILITY IMAP4rev1] in\r\n", NULL },) },
        { "login command by literals", .tls = true, .user = "u", .secret = "p\303\274", .state = ENGINE_READY,
          LINES({ S, "* OK [CAPABILITY IMAP4rev1] hi\r\n", NULL }, { C, "t1 LOGIN {1}\r\n", NULL },
                { S, "+ ok\r\n", NULL }, { C, "u {3}\r\n", NULL }, { S, "+ ok\r\n", NULL },
                { C, "p\303\274\r\n", NULL }, { S, "t1 OK [CAPABILITY IMAP4rev1] in\r\n", NULL },) },
        { "LOGINDISABLED", .tls = true, .user = "u", .secret = "p", .state = ENGINE_FAILED, .cause = CAUSE_NO_MECHANISM,
          LINES({ S, "* OK [CAPABILITY IMAP4rev1 LOGINDISABLED] hi\r\n", NULL },) },
        { "no secret outside TLS", .user = "u", .secret = "p", .state = ENGINE_FAILED, .cause = CAUSE_PLAINTEXT_LOGIN,
          LINES(GREETING{ C, "t1 CAPABILITY\r\n", NULL },
                { S, "* CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR\r\nt1 OK\r\n", NULL },) },
        { "no login command outside TLS", .user = "u", .secret = "p", .state = ENGINE_FAILED,
          .cause = CAUSE_PLAINTEXT_LOGIN,
          LINES(GREETING{ C, "t1 CAPABILITY\r\n", NULL }, { S, "* CAPABILITY IMAP4rev1\r\nt1 OK\r\n", NULL },) },
        { "no line break in a password", .tls = true, .user = "u", .secret = "p\r\nt9 DELETE INBOX",
          .state = ENGINE_FAILED, .cause = CAUSE_INTERNAL, LINES({ S, "* OK [CAPABILITY IMAP4rev1] hi\r\n", NULL },) },
        { "go on with LOGIN that is said whole", .tls = true, .user = "u", .secret = "p", .state = ENGINE_READY,
          LINES({ S, "* OK [CAPABILITY IMAP4rev1] hi\r\n", NULL }, { C, "t1 LOGIN \"u\" \"p\"\r\n", NULL },
                { S, "+ more\r\nt1 OK [CAPABILITY IMAP4rev1]\r\n", NULL },) },
        { "signature missing", .tls = true, .user = "u", .secret = "p", .state = ENGINE_FAILED,
          .cause = CAUSE_SERVER_SIGNATURE,
          LINES({ S, "* OK [CAPABILITY IMAP4rev1 AUTH=SCRAM-SHA-256] hi\r\n", NULL },
                { C, "t1 AUTHENTICATE SCRAM-SHA-256\r\n", NULL }, { S, "t1 OK you are in\r\n", NULL },) },
        /* ---- after it ---- */
        { "ENABLE and ID at once", .tls = true, .user = "u", .secret = "p", .state = ENGINE_READY,
          LINES(PLAIN_IN("IMAP4rev1 IMAP4rev2 ENABLE ID UTF8=ACCEPT CONDSTORE MOVE"),
                { C, "t2 ENABLE UTF8=ACCEPT IMAP4rev2\r\nt3 " ID_SAID, NULL },
                { S, "* ENABLED UTF8=ACCEPT IMAP4rev2\r\nt2 OK\r\n* ID (\"name\" \"X\")\r\nt3 OK\r\n", NULL },
                { DO, NULL, open_drafts }, { C, "t4 SELECT \"Entw\303\274rfe\"\r\n", NULL },
                { S, "* OK [UIDVALIDITY 9]\r\nt4 OK\r\n", NULL },) },
        { "ENABLE that enables nothing, ID refused", .tls = true, .user = "u", .secret = "p", .state = ENGINE_READY,
          LINES(PLAIN_IN("IMAP4rev1 ENABLE ID UTF8=ACCEPT"), { C, "t2 ENABLE UTF8=ACCEPT\r\nt3 " ID_SAID, NULL },
                { S, "* ENABLED\r\nt2 OK\r\nt3 BAD what\r\n", NULL },
                { DO, NULL, open_drafts }, { C, "t4 SELECT \"Entw&APw-rfe\"\r\n", NULL },
                { S, "* OK [UIDVALIDITY 9]\r\nt4 OK\r\n", NULL },) },
        { "ENABLE only where it is offered", .tls = true, .user = "u", .secret = "p", .state = ENGINE_READY,
          LINES(PLAIN_IN("IMAP4rev1 UTF8=ACCEPT"), { C, "", NULL },) },
        { "nothing of a server that has only CONDSTORE", .tls = true, .user = "u", .secret = "p", .state = ENGINE_READY,
          LINES(PLAIN_IN("IMAP4rev1 ENABLE CONDSTORE QRESYNC"), { C, "", NULL },) },
        { "a server of rev2 alone", .tls = true, .user = "u", .secret = "p", .state = ENGINE_READY,
          LINES(PLAIN_IN("IMAP4rev2"), { DO, NULL, open_drafts }, { C, "t2 SELECT \"Entw\303\274rfe\"\r\n", NULL },
                { S, "* OK [UIDVALIDITY 9]\r\nt2 OK\r\n", NULL },) },
        { "capabilities asked for first", .tls = true, .user = "u", .secret = "p", .state = ENGINE_READY,
          LINES({ S, "* OK [CAPABILITY IMAP4rev1] hi\r\n", NULL }, { C, "t1 LOGIN \"u\" \"p\"\r\n", NULL },
                { S, "t1 OK\r\n", NULL }, { C, "t2 CAPABILITY\r\n", NULL },
                { S, "* CAPABILITY IMAP4rev1 ID\r\nt2 OK\r\n", NULL }, { C, "t3 " ID_SAID, NULL },
                { S, "* ID NIL\r\nt3 OK\r\n", NULL },) },
        { "go on with ENABLE", .tls = true, .user = "u", .secret = "p", .state = ENGINE_READY,
          LINES(PLAIN_IN("IMAP4rev1 ID"), { C, "t2 " ID_SAID, NULL }, { S, "+ more\r\nt2 OK\r\n", NULL },) },
        /* ---- answers that are none ---- */
        { "a tag never given", .tls = true, .state = ENGINE_FAILED, .cause = CAUSE_PROTOCOL,
          LINES(GREETING{ C, "t1 CAPABILITY\r\n", NULL }, { S, "t7 OK\r\n", NULL },) },
        { "a tag of nobody", .tls = true, .state = ENGINE_FAILED, .cause = CAUSE_PROTOCOL,
          LINES(GREETING{ C, "t1 CAPABILITY\r\n", NULL }, { S, "x1 OK\r\n", NULL },) },
        { "a stray line of a session that stands", .tls = true, .state = ENGINE_READY,
          LINES({ S, "* OK [CAPABILITY IMAP4rev1] hi\r\n", NULL }, { S, "b\"))\r\n\r\n)\r\n", NULL },) },
        { "but not with a tag of ours", .tls = true, .state = ENGINE_FAILED, .cause = CAUSE_PROTOCOL,
          LINES({ S, "* OK [CAPABILITY IMAP4rev1] hi\r\n", NULL }, { S, "t9 OK\r\n", NULL },) },
        { "go on with what", .tls = true, .state = ENGINE_READY,
          LINES({ S, "* OK [CAPABILITY IMAP4rev1] hi\r\n", NULL }, { S, "+ go on\r\n+\r\n", NULL },) },
        { "go on with CAPABILITY", .tls = true, .user = "u", .secret = "p", .state = ENGINE_READY,
          LINES(GREETING{ C, "t1 CAPABILITY\r\n", NULL },
                { S, "+ go on\r\n* CAPABILITY IMAP4rev1\r\n+ go on\r\nt1 OK\r\n", NULL },
                { C, "t2 LOGIN \"u\" \"p\"\r\n", NULL },
                { S, "+ go on\r\nt2 OK [CAPABILITY IMAP4rev1]\r\n", NULL },) },
        { "a word that is no status", .tls = true, .state = ENGINE_FAILED, .cause = CAUSE_PROTOCOL,
          LINES(GREETING{ C, "t1 CAPABILITY\r\n", NULL }, { S, "t1 FINE\r\n", NULL },) },
        { "BYE at any time", .tls = true, .state = ENGINE_FAILED, .cause = CAUSE_SERVER_BUSY,
          LINES({ S, "* OK [CAPABILITY IMAP4rev1] hi\r\n", NULL }, { S, "* BYE shutting down\r\n", NULL },) },
        /* ---- good-bye ---- */
        { "LOGOUT", .tls = true, .state = ENGINE_ENDED,
          LINES({ S, "* OK [CAPABILITY IMAP4rev1] hi\r\n", NULL }, { DO, NULL, quit }, { C, "t1 LOGOUT\r\n", NULL },
                { S, "* BYE see you\r\nt1 OK\r\n", NULL },) },
        { "LOGOUT answered by the end", .tls = true, .state = ENGINE_ENDED,
          LINES({ S, "* OK [CAPABILITY IMAP4rev1] hi\r\n", NULL }, { DO, NULL, quit }, { C, "t1 LOGOUT\r\n", NULL },
                { S, "* BYE see you\r\n", NULL }, { CLOSE, NULL, NULL },) },
};
/* clang-format on */

START_TEST(scripts_play)
{
        play_every_way(&scripts[_i]);
}
END_TEST

/* ---- attacks that need exact portions ---- */

/* S1, S5: bytes beyond the go-ahead, and answers to what has not left yet, in one portion. */
static const struct {
        const char *name, *first, *second;
        enum cause_code cause;
} injections[] = {
        { "a line beyond", "", "t2 OK go\r\n* CAPABILITY AUTH=PLAIN\r\n", CAUSE_INJECTION },
        { "one byte beyond", "", "t2 OK go\r\n*", CAUSE_INJECTION },
        { "only a line end beyond", "", "t2 OK go\r\n\n", CAUSE_INJECTION },
        { "an answer to what is not sent", "t2 OK go\r\n", "", CAUSE_INJECTION },
        { "the next tag guessed", "t2 OK go\r\nt3 OK\r\n", "", CAUSE_INJECTION },
};

START_TEST(injections_end_the_session)
{
        struct script script = { .name = injections[_i].name, .starttls = true };
        struct play play = { .told = BUF_WITH_MAX(KIB), .sent = BUF_WITH_MAX(KIB) };
        struct engine_channel channel = { .tls = false };
        char *text = text_of("* CAPABILITY IMAP4rev1 STARTTLS\r\nt1 OK\r\n%s", injections[_i].first);

        play.engine = play_new(&script, &play);
        play.engine->class->start(play.engine, &channel);
        play_begun(play.engine);
        play_server(&play, "* OK hi\r\n", 0);
        play_server(&play, text, 0);
        play_server(&play, injections[_i].second, 0);
        ck_assert_int_eq(play.engine->state, ENGINE_FAILED);
        ck_assert_msg(play.engine->cause->code == injections[_i].cause, "%s: %s", script.name,
                      play.engine->cause->text);
        char *sent = buf_take_text(&play.sent);
        ck_assert_msg(strcmp(sent, "t1 CAPABILITY\r\nt2 STARTTLS\r\n") == 0 || !strchr(sent, '2'), "%s",
                      sent);
        free(sent);
        play.engine->class->free(play.engine);
        buf_free(&play.told);
        free(text);
}
END_TEST

START_TEST(tags_cannot_be_guessed)
{
        struct script script = { .tls = true };
        struct engine *one = play_new(&script, NULL), *other = play_new(&script, NULL);

        one->class->start(one, &(struct engine_channel){ .tls = true });
        other->class->start(other, &(struct engine_channel){ .tls = true });
        ck_assert_str_ne(imap_session_of(one)->prefix, imap_session_of(other)->prefix);
        one->class->free(one);
        other->class->free(other);
}
END_TEST

/* ---- refusals ---- */

static const struct {
        const char *reply;
        enum cause_code cause;
} login_refusals[] = {
        { "NO nope", CAUSE_AUTHENTICATION },
        { "BAD nope", CAUSE_AUTHENTICATION },
        { "NO [AUTHENTICATIONFAILED] nope", CAUSE_AUTHENTICATION },
        { "NO [authorizationfailed] nope", CAUSE_AUTHENTICATION },
        { "NO [EXPIRED] nope", CAUSE_AUTHENTICATION },
        { "NO [CONTACTADMIN] nope", CAUSE_AUTHENTICATION },
        { "NO [PRIVACYREQUIRED] nope", CAUSE_PLAINTEXT_LOGIN },
        { "NO [UNAVAILABLE] later", CAUSE_AUTH_TEMPORARY },
        { "NO [INUSE] later", CAUSE_SERVER_BUSY },
        { "NO [LIMIT] later", CAUSE_SERVER_BUSY },
        { "NO [UNKNOWN-CTE 5] nope", CAUSE_AUTHENTICATION },
        { "NO [", CAUSE_AUTHENTICATION },
        { "BYE gone", CAUSE_SERVER_BUSY },
        { "", CAUSE_PROTOCOL },
};

START_TEST(login_refusals_are_understood)
{
        char *reply = text_of("t1 %s\r\n", login_refusals[_i].reply);
        struct line lines[] = {
                { S, "* OK [CAPABILITY IMAP4rev1] hi\r\n", NULL },
                { C, "t1 LOGIN \"u\" \"p\"\r\n", NULL },
                { S, reply, NULL },
                { END, NULL, NULL },
        };
        struct script script = { .name = login_refusals[_i].reply,
                                 .tls = true,
                                 .user = "u",
                                 .secret = "p",
                                 .lines = lines,
                                 .state = ENGINE_FAILED,
                                 .cause = login_refusals[_i].cause };

        play_every_way(&script);
        free(reply);
}
END_TEST

#define ALWAYS(cause) cause, cause

/* Every code of RFC 5530, and those of RFC 9051 that come with a refusal: what it means for the account where
 * it signs in and opens a folder. Where messages are fetched and flagged it is about one message, whatever
 * the code. */
static const struct {
        const char *code;
        enum cause_code signing_in, opening;
} codes[] = {
        { "UNAVAILABLE", CAUSE_AUTH_TEMPORARY, CAUSE_SERVER_BUSY },
        { "AUTHENTICATIONFAILED", ALWAYS(CAUSE_AUTHENTICATION) },
        { "AUTHORIZATIONFAILED", ALWAYS(CAUSE_AUTHENTICATION) },
        { "EXPIRED", ALWAYS(CAUSE_AUTHENTICATION) },
        { "PRIVACYREQUIRED", ALWAYS(CAUSE_PLAINTEXT_LOGIN) },
        { "CONTACTADMIN", CAUSE_AUTHENTICATION, CAUSE_SERVER_BUSY },
        { "NOPERM", CAUSE_AUTHENTICATION, CAUSE_MAILBOX },
        { "INUSE", ALWAYS(CAUSE_SERVER_BUSY) },
        { "EXPUNGEISSUED", CAUSE_AUTHENTICATION, CAUSE_SERVER_BUSY },
        { "CORRUPTION", CAUSE_AUTHENTICATION, CAUSE_MAILBOX },
        { "SERVERBUG", CAUSE_AUTH_TEMPORARY, CAUSE_SERVER_BUSY },
        { "CLIENTBUG", ALWAYS(CAUSE_PROTOCOL) },
        { "CANNOT", CAUSE_AUTHENTICATION, CAUSE_MAILBOX },
        { "LIMIT", ALWAYS(CAUSE_SERVER_BUSY) },
        { "OVERQUOTA", ALWAYS(CAUSE_SERVER_BUSY) },
        { "ALREADYEXISTS", CAUSE_AUTHENTICATION, CAUSE_SERVER_BUSY },
        { "NONEXISTENT", CAUSE_AUTHENTICATION, CAUSE_MAILBOX },
        { "TRYCREATE", CAUSE_AUTHENTICATION, CAUSE_MAILBOX },
        { "ALERT", CAUSE_AUTHENTICATION, CAUSE_SERVER_BUSY },
        { "X-OF-ITS-OWN 5", CAUSE_AUTHENTICATION, CAUSE_SERVER_BUSY },
};

static void open_inbox(struct engine *engine)
{
        imap_mailbox.open(engine, "INBOX", false);
}
static const struct mailbox_entry seven = { .uid = 7 };
static void fetch_one(struct engine *engine)
{
        imap_mailbox.fetch(engine, &seven, 1);
}
static void mark_one(struct engine *engine)
{
        imap_mailbox.mark(engine, &seven, 1, MARK_SEEN);
}

#define INBOX_OPEN \
        { S, "* OK [CAPABILITY IMAP4rev1] hi\r\n", NULL }, { DO, NULL, open_inbox }, \
                { C, "t1 SELECT \"INBOX\"\r\n", NULL }, \
                { S, "* 3 EXISTS\r\n* OK [UIDVALIDITY 9]\r\nt1 OK\r\n", NULL },

START_TEST(codes_are_understood_everywhere)
{
        char *first = text_of("t1 NO [%s] words\r\n", codes[_i].code);
        char *second = text_of("t2 NO [%s] words\r\n", codes[_i].code);
        char *third = text_of("t3 NO [%s] words\r\n", codes[_i].code);
        bool served = strcmp(codes[_i].code, "EXPUNGEISSUED") == 0;
        const struct line signing_in[] = { { S, "* OK [CAPABILITY IMAP4rev1] hi\r\n", NULL },
                                           { C, "t1 LOGIN \"u\" \"p\"\r\n", NULL },
                                           { S, first, NULL },
                                           { .kind = END } };
        const struct line opening[] = { { S, "* OK [CAPABILITY IMAP4rev1] hi\r\n", NULL },
                                        { DO, NULL, open_inbox },
                                        { C, "t1 SELECT \"INBOX\"\r\n", NULL },
                                        { S, first, NULL },
                                        { .kind = END } };
        const struct line fetching[] = { INBOX_OPEN{ DO, NULL, fetch_one },
                                         { C, "t2 UID FETCH 7 (UID BODY.PEEK[])\r\n", NULL },
                                         { S, second, NULL },
                                         { C, "t3 UID FETCH 7 (UID BODY.PEEK[])\r\n", NULL },
                                         { S, third, NULL },
                                         { C, "t4 UID FETCH 7 (UID FLAGS)\r\n", NULL },
                                         { S, "* 1 FETCH (UID 7 FLAGS ())\r\nt4 OK\r\n", NULL },
                                         { .kind = END } };
        const struct line marking[] = { INBOX_OPEN{ DO, NULL, mark_one },
                                        { C, "t2 UID STORE 7 +FLAGS.SILENT (\\Seen)\r\n", NULL },
                                        { S, second, NULL },
                                        { served ? END : C, "t3 UID STORE 7 +FLAGS.SILENT (\\Seen)\r\n",
                                          NULL },
                                        { S, third, NULL },
                                        { .kind = END } };
        const struct {
                const struct line *lines;
                enum cause_code cause;
                const char *user;
        } cases[] = { { signing_in, codes[_i].signing_in, "u" },
                      { opening, codes[_i].opening, NULL },
                      { fetching, CAUSE_NONE, NULL },
                      { marking, CAUSE_NONE, NULL } };

        for (size_t i = 0; i < count_of(cases); i++) {
                bool stands = cases[i].lines == opening || cases[i].cause == CAUSE_NONE;
                scoped(scoped_free) char *told = text_of("not_opened(%s) ", cause_kind(cases[i].cause)->name);
                struct script script = { .name = codes[_i].code,
                                         .tls = true,
                                         .user = cases[i].user,
                                         .secret = cases[i].user ? "p" : NULL,
                                         .lines = cases[i].lines,
                                         .state = stands ? ENGINE_READY : ENGINE_FAILED,
                                         .cause = stands ? CAUSE_NONE : cases[i].cause,
                                         .told = cases[i].lines == opening ? told : NULL };
                play_every_way(&script);
        }
        free(first);
        free(second);
        free(third);
}
END_TEST

static void keep_trace(void *ctx, char direction, const char *line, size_t len)
{
        ck_assert_int_eq(buf_appendf(ctx, "%c%.*s\n", direction, (int)len, line), 0);
}

/* S38: neither trace nor cause shows what signs in, even when the server repeats it. */
START_TEST(secrets_are_not_shown)
{
        static const struct {
                const char *offer, *between, *echo;
        } cases[] = {
                { "", "", "canary" },
                { " LOGINDISABLED AUTH=PLAIN", "+ \r\n", "AHUAY2FuYXJ5" },
                { " LOGINDISABLED AUTH=PLAIN SASL-IR", "", "AHUAY2FuYXJ5" },
                { " LOGINDISABLED AUTH=LOGIN", "+ VXNlciBOYW1lAA==\r\n+ UGFzc3dvcmQA\r\n", "Y2FuYXJ5" },
        };
        for (size_t i = 0; i < count_of(cases); i++) {
                struct script script = { .tls = true, .user = "u", .secret = "canary" };
                struct play play = { .told = BUF_WITH_MAX(KIB), .sent = BUF_WITH_MAX(KIB) };
                struct buf trace = BUF_WITH_MAX(4 * KIB);
                char *greeting = text_of("* OK [CAPABILITY IMAP4rev1%s] hi\r\n", cases[i].offer);
                char *refusal = text_of("t1 NO I do not like %s\r\n", cases[i].echo);

                play.engine = play_new(&script, &play);
                play.engine->trace = keep_trace;
                play.engine->trace_ctx = &trace;
                play.engine->class->start(play.engine, &(struct engine_channel){ .tls = true });
                play_begun(play.engine);
                play_server(&play, greeting, 0);
                play_server(&play, cases[i].between, SIZE_MAX);
                play_server(&play, refusal, 0);
                ck_assert_msg(play.engine->cause->code == CAUSE_AUTHENTICATION, "%s",
                              play.engine->cause->text);
                ck_assert_ptr_null(strstr(play.engine->cause->text, cases[i].echo));
                char *sent = buf_take_text(&play.sent), *traced = buf_take_text(&trace);
                ck_assert_ptr_nonnull(strstr(sent, cases[i].echo));
                ck_assert_msg(!strstr(traced, cases[i].echo), "%s", traced);
                ck_assert_ptr_nonnull(strstr(traced, "<***"));
                free(sent);
                free(traced);
                free(greeting);
                free(refusal);
                play.engine->class->free(play.engine);
                buf_free(&play.told);
        }
}
END_TEST

START_TEST(capabilities_are_bounded)
{
        struct buf text = BUF_WITH_MAX(LIMIT_REPLY);
        struct script script = { .tls = true };
        struct play play = { .told = BUF_WITH_MAX(KIB), .sent = BUF_WITH_MAX(KIB) };

        ck_assert_int_eq(buf_append_text(&text, "* OK [CAPABILITY"), 0);
        for (unsigned i = 0; i < LIMIT_CAPABILITIES + 1; i++)
                ck_assert_int_eq(buf_appendf(&text, " X%u", i), 0);
        ck_assert_int_eq(buf_append_text(&text, "] hi\r\n"), 0);
        char *line = buf_take_text(&text);
        play.engine = play_new(&script, &play);
        play.engine->class->start(play.engine, &(struct engine_channel){ .tls = true });
        play_server(&play, line, 0);
        ck_assert_int_eq(play.engine->cause->code, CAUSE_PROTOCOL);
        play.engine->class->free(play.engine);
        buf_free(&play.sent);
        free(line);
}
END_TEST

START_TEST(every_step_has_a_row)
{
        for (int step = ENGINE_FIRST_STEP; step < IMAP_STEPS; step++) {
                ck_assert_ptr_nonnull(steps[step].name);
                ck_assert_ptr_nonnull(steps[step].phrase);
                ck_assert_ptr_nonnull((const void *)(uintptr_t)steps[step].heard);
        }
}
END_TEST

START_TEST(random_servers_do_no_harm)
{
        static const char *const bits[] = { "* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN",
                                            "] hi\r\n",
                                            "t1 OK\r\n",
                                            "t2 NO\r\n",
                                            "+ \r\n",
                                            "* ",
                                            "{3}\r\n",
                                            "abc",
                                            "\r\n",
                                            "* CAPABILITY X\r\n",
                                            "[",
                                            "]",
                                            "* BYE\r\n",
                                            "* 5 EXISTS\r\n",
                                            "\xff",
                                            "(",
                                            "t1 OK [CAPABILITY A]\r\n" };
        uint64_t random = 0x243f6a8885a308d3u;

        for (unsigned run = 0; run < 3000; run++) {
                struct script script = { .tls = run & 1, .starttls = !(run & 1), .user = "u", .secret = "p" };
                struct play play = { .told = BUF_WITH_MAX(MIB), .sent = BUF_WITH_MAX(MIB) };
                play.engine = play_new(&script, &play);
                play.engine->class->start(play.engine, &(struct engine_channel){ .tls = script.tls });
                play_begun(play.engine);
                for (unsigned i = 0; i < 16; i++) {
                        random = random * 6364136223846793005u + 1442695040888963407u;
                        play_server(&play, bits[(random >> 33) % count_of(bits)], (size_t)(random >> 40) % 8);
                }
                if (play.engine->state != ENGINE_FAILED)
                        play.engine->class->closed(play.engine);
                play.engine->class->free(play.engine);
                buf_free(&play.told);
                buf_free(&play.sent);
        }
}
END_TEST

START_TEST(every_step_has_its_row)
{
        for (int step = ENGINE_FIRST_STEP; step < IMAP_STEPS; step++)
                ck_assert_msg(steps[step].name && steps[step].phrase && steps[step].heard, "%d", step);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("imap_session");
        TCase *all = tcase_create("all");

        tcase_add_test(all, every_step_has_its_row);
        tcase_add_loop_test(all, scripts_play, 0, (int)count_of(scripts));
        tcase_add_loop_test(all, injections_end_the_session, 0, (int)count_of(injections));
        tcase_add_test(all, tags_cannot_be_guessed);
        tcase_add_loop_test(all, login_refusals_are_understood, 0, (int)count_of(login_refusals));
        tcase_add_loop_test(all, codes_are_understood_everywhere, 0, (int)count_of(codes));
        tcase_add_test(all, secrets_are_not_shown);
        tcase_add_test(all, capabilities_are_bounded);
        tcase_add_test(all, every_step_has_a_row);
        tcase_add_test(all, random_servers_do_no_harm);
        suite_add_tcase(suite, all);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? 1 : 0;
}
