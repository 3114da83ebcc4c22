/* SPDX-License-Identifier: MIT */
/* IMAP operations: opening, listing, fetching in windows, marking, IDLE; odd and hostile servers. */
#include "daemon/imap/body.c"
#include "daemon/imap/fetch.c"
#include "daemon/imap/work.c"

#include "imap_script.h"

#define LINES(...) \
        .lines = (const struct line[]) \
        { \
                __VA_ARGS__ \
                { \
                        .kind = END \
                } \
        }
#define READY         { S, "* OK [CAPABILITY IMAP4rev1 IDLE UIDPLUS] hi\r\n", NULL },
#define READY_PLAINLY { S, "* OK [CAPABILITY IMAP4rev1] hi\r\n", NULL },
#define OPENED \
        { DO, NULL, open_inbox }, { C, "t1 SELECT \"INBOX\"\r\n", NULL }, \
                { S, "* 3 EXISTS\r\n* OK [UIDVALIDITY 9]\r\n* OK [UIDNEXT 20] x\r\nt1 OK [READ-WRITE]\r\n", \
                  NULL },
#define PARTS_ASKED \
        { C, "t2 UID FETCH 7 (UID BODY.PEEK[]<0.3145728>)\r\nt3 UID FETCH 9 (UID BODY.PEEK[])\r\n", NULL },
#define TOLD "opened(9 20 3 idle expunge) "

static void open_inbox(struct engine *engine)
{
        imap_mailbox.open(engine, "INBOX", false);
}
static void examine(struct engine *engine)
{
        imap_mailbox.open(engine, "Entw\303\274rfe", true);
}
static void list_all(struct engine *engine)
{
        imap_mailbox.list(engine, 0, false);
}
static void list_two(struct engine *engine)
{
        static const struct mailbox_entry two[] = { { .uid = 9 }, { .uid = 7 } };

        imap_mailbox.list_these(engine, two, count_of(two));
}
static void list_after_12(struct engine *engine)
{
        imap_mailbox.list(engine, 12, false);
}
static void list_unseen(struct engine *engine)
{
        imap_mailbox.list(engine, 4, true);
}
static void fetch_three(struct engine *engine)
{
        static const struct mailbox_entry three[] = { { .uid = 9 }, { .uid = 7 }, { .uid = 8 } };
        imap_mailbox.fetch(engine, three, 3);
}
static void fetch_two(struct engine *engine)
{
        static const struct mailbox_entry two[] = { { .uid = 7 }, { .uid = 9 } };
        imap_mailbox.fetch(engine, two, 2);
}
static void fetch_marking(struct engine *engine)
{
        static const struct mailbox_entry two[] = { { .uid = 7 }, { .uid = 9 } };
        static const struct mailbox_entry seen[] = { { .uid = 1 }, { .uid = 2 }, { .uid = 5 } };
        imap_mailbox.fetch_marking(engine, two, 2, seen, 3);
}
static void fetch_with_dates(struct engine *engine)
{
        play_dates = true;
        fetch_two(engine);
        play_dates = false;
}

static void fetch_large(struct engine *engine)
{
        static const struct mailbox_entry two[] = { { .uid = 7, .size = 2 * MIB }, { .uid = 9, .size = 4 } };
        imap_mailbox.fetch(engine, two, 2);
}
static void fetch_huge(struct engine *engine)
{
        static const struct mailbox_entry one[] = { { .uid = 7, .size = 5120ull * MIB, .from = 5 } };
        imap_mailbox.fetch(engine, one, 1);
}
static void fetch_rest(struct engine *engine)
{
        static const struct mailbox_entry one[] = { { .uid = 7, .size = 2 * MIB, .from = 2 * MIB - 3 } };
        imap_mailbox.fetch(engine, one, 1);
}
static void fetch_none(struct engine *engine)
{
        imap_mailbox.fetch(engine, NULL, 0);
}
static void mark_seen(struct engine *engine)
{
        static const struct mailbox_entry two[] = { { .uid = 7 }, { .uid = 9 } };
        imap_mailbox.mark(engine, two, 2, MARK_SEEN);
}
static void mark_deleted(struct engine *engine)
{
        static const struct mailbox_entry two[] = { { .uid = 7 }, { .uid = 8 } };
        imap_mailbox.mark(engine, two, 2, MARK_DELETED);
}
static void refresh(struct engine *engine)
{
        imap_mailbox.refresh(engine);
}
static void idle(struct engine *engine)
{
        imap_mailbox.idle(engine);
}
static void wake(struct engine *engine)
{
        imap_mailbox.wake(engine);
}
static void quit(struct engine *engine)
{
        engine->class->quit(engine);
}

/* clang-format off */
static const struct script scripts[] = {
        /* ---- opening ---- */
        { "SELECT", .tls = true, .state = ENGINE_READY, .told = TOLD, LINES(READY OPENED) },
        { "EXAMINE", .tls = true, .state = ENGINE_READY, .told = "opened(9 0 0 ro) ",
          LINES(READY_PLAINLY{ DO, NULL, examine }, { C, "t1 EXAMINE \"Entw&APw-rfe\"\r\n", NULL },
                { S, "* FLAGS (\\Seen)\r\n* 0 EXISTS\r\n* OK [UIDVALIDITY 9]\r\nt1 OK\r\n", NULL },) },
        { "no such folder: the session stands", .tls = true, .state = ENGINE_READY,
          .told = "not_opened(Mailbox) not_opened(ServerBusy) not_opened(ServerBusy) opened(9 0 0 ro) ",
          LINES(READY_PLAINLY{ DO, NULL, open_inbox }, { C, "t1 SELECT \"INBOX\"\r\n", NULL },
                { S, "t1 NO [NONEXISTENT] no\r\n", NULL },
                { DO, NULL, open_inbox }, { C, "t2 SELECT \"INBOX\"\r\n", NULL }, { S, "t2 NO gibt es nicht\r\n", NULL },
                { DO, NULL, open_inbox }, { C, "t3 SELECT \"INBOX\"\r\n", NULL },
                { S, "t3 BAD User is authenticated but not connected.\r\n", NULL },
                { DO, NULL, examine }, { C, "t4 EXAMINE \"Entw&APw-rfe\"\r\n", NULL },
                { S, "* 0 EXISTS\r\n* OK [UIDVALIDITY 9]\r\nt4 OK\r\n", NULL },) },
        { "UIDVALIDITY of 64 bits", .tls = true, .state = ENGINE_READY, .told = "opened(18446744073709551615 0 1 idle expunge) ",
          LINES(READY{ DO, NULL, open_inbox }, { C, "t1 SELECT \"INBOX\"\r\n", NULL },
                { S, "* 1 EXISTS\r\n* OK [UIDVALIDITY 18446744073709551615]\r\nt1 OK\r\n", NULL },) },
        { "no UIDVALIDITY", .tls = true, .state = ENGINE_READY, .told = "opened(0 0 1 idle expunge) ",
          LINES(READY{ DO, NULL, open_inbox }, { C, "t1 SELECT \"INBOX\"\r\n", NULL },
                { S, "* 1 EXISTS\r\n* OK [UIDVALIDITY x]\r\nt1 OK\r\n", NULL },) },
        { "NOOP", .tls = true, .state = ENGINE_READY, .told = TOLD "opened(9 0 4 idle expunge) ",
          LINES(READY OPENED{ DO, NULL, refresh }, { C, "t2 NOOP\r\n", NULL },
                { S, "* 1 EXPUNGE\r\n* 4 EXISTS\r\n* 1 RECENT\r\nt2 OK\r\n", NULL },) },
        /* ---- listing ---- */
        { "list", .tls = true, .state = ENGINE_READY, .told = TOLD "5::100 7::12:seen 7::0:seen 9::0:deleted listed ",
          LINES(READY OPENED{ DO, NULL, list_all }, { C, "t2 UID FETCH 1:* (UID FLAGS RFC822.SIZE)\r\n", NULL },
                { S, "* 1 FETCH (UID 5 FLAGS () RFC822.SIZE 100)\r\n"
                     "* 2 FETCH (RFC822.SIZE 12 MODSEQ (5) FLAGS (\\Seen $X) UID 7)\r\n"
                     "* 2 FETCH (FLAGS (\\Seen))\r\n* 2 FETCH (UID 7 FLAGS (\\Seen))\r\n"
                     "* 3 FETCH (UID 9 FLAGS (\\Answered \\Deleted) RFC822.SIZE 0 ENVELOPE (NIL {3}\r\n) (\"x\"))\r\n"
                     "t2 OK done\r\n", NULL },) },
        { "what nobody needs is read over however it looks", .tls = true, .state = ENGINE_READY,
          .told = TOLD "1::0 2::0:seen 3::0 4::9:seen 5::0 6::0 7::0:seen 8::9 9::0 10::0 11::3 12::9 listed ",
          LINES(READY OPENED{ DO, NULL, list_all }, { C, "t2 UID FETCH 1:* (UID FLAGS RFC822.SIZE)\r\n", NULL },
                { S, "* 1 FETCH (UID 1 FLAGS NIL RFC822.SIZE NIL)\r\n"
                     "* 2 FETCH (UID 2 FLAGS ($[x \\Seen) RFC822.SIZE -1)\r\n"
                     "* 3 FETCH (UID 3 FLAGS ((\\Seen) \"a ) b\" {1}\r\n)) RFC822.SIZE (5))\r\n"
                     "* 4 FETCH (UID 4 FLAGS (\"\\Seen\" \\Seen ]) RFC822.SIZE \"9\")\r\n"
                     "* 5 FETCH (UID 5 FLAGS \\Seen RFC822.SIZE 18446744073709551616)\r\n"
                     "* 6 FETCH (UID 6 FLAGS \"\" RFC822.SIZE 1x)\r\n"
                     "* 7 FETCH (ENVELOPE (\"x\" \"a\"b\" NIL) UID 7 FLAGS (\\Seen \"open))\r\n"
                     "* 8 FETCH  (UID 8  FLAGS ()  RFC822.SIZE 9 )\r\n"
                     "* 9 FETCH (() UID 9 FLAGS ())\r\n"
                     "* 10 FETCH (UID 10 FLAGS (\r\n"
                     "* 11 FETCH (UID 11 RFC822.SIZE 3 X-EMPTY)\r\n"
                     "* 12 FETCH (UID 12 X-A[ FLAGS (\\Deleted) RFC822.SIZE 9))))\r\n"
                     "t2 OK done\r\n", NULL },) },
        { "n:* names the last message", .tls = true, .state = ENGINE_READY, .told = TOLD "listed ",
          LINES(READY OPENED{ DO, NULL, list_after_12 },
                { C, "t2 UID FETCH 13:* (UID FLAGS RFC822.SIZE)\r\n", NULL },
                { S, "* 3 FETCH (UID 9 FLAGS () RFC822.SIZE 1)\r\nt2 OK\r\n", NULL },) },
        { "list of an empty folder", .tls = true, .state = ENGINE_READY, .told = "opened(9 0 0 ro) listed ",
          LINES(READY_PLAINLY{ DO, NULL, examine }, { C, "t1 EXAMINE \"Entw&APw-rfe\"\r\n", NULL },
                { S, "* 0 EXISTS\r\n* OK [UIDVALIDITY 9]\r\nt1 OK\r\n", NULL }, { DO, NULL, list_all }, { C, "t2 NOOP\r\n", NULL },
                { S, "t2 OK\r\n", NULL },) },
        { "unseen", .tls = true, .state = ENGINE_READY, .told = TOLD "7::3 9::4 listed ",
          LINES(READY OPENED{ DO, NULL, list_unseen }, { C, "t2 UID SEARCH UID 5:* UNSEEN\r\n", NULL },
                { S, "* SEARCH 9 3\r\n* SEARCH 7 9\r\nt2 OK\r\n", NULL },
                { C, "t3 UID FETCH 7,9 (UID FLAGS RFC822.SIZE)\r\n", NULL },
                { S, "* 2 FETCH (UID 7 RFC822.SIZE 3)\r\n* 3 FETCH (UID 9 RFC822.SIZE 4)\r\nt3 OK\r\n", NULL },) },
        { "unseen, rev2", .tls = true, .state = ENGINE_READY, .told = TOLD "7::3 9::4 10::5 listed ",
          LINES(READY OPENED{ DO, NULL, list_unseen }, { C, "t2 UID SEARCH UID 5:* UNSEEN\r\n", NULL },
                { S, "* ESEARCH (TAG \"t2\") UID COUNT 4 ALL 3,10:9,7\r\nt2 OK\r\n", NULL },
                { C, "t3 UID FETCH 7,9:10 (UID FLAGS RFC822.SIZE)\r\n", NULL },
                { S, "* 2 FETCH (UID 7 RFC822.SIZE 3)\r\n* 3 FETCH (UID 9 RFC822.SIZE 4)\r\n"
                     "* 4 FETCH (UID 10 RFC822.SIZE 5)\r\nt3 OK\r\n", NULL },) },
        { "none unseen, rev2", .tls = true, .state = ENGINE_READY, .told = TOLD "listed ",
          LINES(READY OPENED{ DO, NULL, list_unseen }, { C, "t2 UID SEARCH UID 5:* UNSEEN\r\n", NULL },
                { S, "* ESEARCH (TAG \"t2\") UID\r\nt2 OK\r\n", NULL },) },
        { "a set that cannot be read", .tls = true, .state = ENGINE_FAILED, .cause = CAUSE_PROTOCOL,
          LINES(READY OPENED{ DO, NULL, list_unseen }, { C, "t2 UID SEARCH UID 5:* UNSEEN\r\n", NULL },
                { S, "* ESEARCH UID ALL 7:99999999999\r\n", NULL },) },
        { "a set that stands for too many", .tls = true, .state = ENGINE_FAILED, .cause = CAUSE_PROTOCOL,
          LINES(READY OPENED{ DO, NULL, list_unseen }, { C, "t2 UID SEARCH UID 5:* UNSEEN\r\n", NULL },
                { S, "* ESEARCH UID ALL 1:4294967295\r\n", NULL },) },
        { "none unseen", .tls = true, .state = ENGINE_READY, .told = TOLD "listed ",
          LINES(READY OPENED{ DO, NULL, list_unseen }, { C, "t2 UID SEARCH UID 5:* UNSEEN\r\n", NULL },
                { S, "* SEARCH\r\nt2 OK\r\n", NULL },) },
        { "list refused", .tls = true, .state = ENGINE_FAILED, .cause = CAUSE_SERVER_BUSY,
          LINES(READY OPENED{ DO, NULL, list_all }, { C, "t2 UID FETCH 1:* (UID FLAGS RFC822.SIZE)\r\n", NULL },
                { S, "t2 NO [SERVERBUG] oops\r\n", NULL }, { C, "t3 UID SEARCH UID 1:*\r\n", NULL },
                { S, "t3 NO [SERVERBUG] oops\r\n", NULL },) },
        { "a list refused for one of its messages", .tls = true, .state = ENGINE_READY,
          .told = TOLD "7::12 7::0 8::0 9::0 listed ",
          LINES(READY OPENED{ DO, NULL, list_all }, { C, "t2 UID FETCH 1:* (UID FLAGS RFC822.SIZE)\r\n", NULL },
                { S, "* 1 FETCH (UID 7 FLAGS () RFC822.SIZE 12)\r\nt2 NO oops\r\n", NULL },
                { C, "t3 UID SEARCH UID 1:*\r\n", NULL }, { S, "* SEARCH 7 8 9\r\nt3 OK\r\n", NULL },) },
        { "an entry that cannot be read", .tls = true, .state = ENGINE_READY, .told = TOLD "8::3 7::0 8::0 listed ",
          LINES(READY OPENED{ DO, NULL, list_all }, { C, "t2 UID FETCH 1:* (UID FLAGS RFC822.SIZE)\r\n", NULL },
                { S, "* 1 FETCH (UID 0 FLAGS ())\r\n* 2 FETCH (UID 8 FLAGS () RFC822.SIZE 3)\r\nt2 OK\r\n", NULL },
                { C, "t3 UID SEARCH UID 1:*\r\n", NULL }, { S, "* SEARCH 7 8\r\nt3 OK\r\n", NULL },) },
        { "one is told again in place of another", .tls = true, .state = ENGINE_READY,
          .told = TOLD "7::12 9::4 7::0:seen 7::0 8::0 9::0 listed ",
          LINES(READY OPENED{ DO, NULL, list_all }, { C, "t2 UID FETCH 1:* (UID FLAGS RFC822.SIZE)\r\n", NULL },
                { S, "* 1 FETCH (UID 7 FLAGS () RFC822.SIZE 12)\r\n* 3 FETCH (UID 9 FLAGS () RFC822.SIZE 4)\r\n"
                     "* 1 FETCH (UID 7 FLAGS (\\Seen))\r\nt2 OK\r\n", NULL },
                { C, "t3 UID SEARCH UID 1:*\r\n", NULL }, { S, "* SEARCH 7 8 9\r\nt3 OK\r\n", NULL },) },
        { "an entry without a UID", .tls = true, .state = ENGINE_READY, .told = TOLD "8::3 7::0 8::0 listed ",
          LINES(READY OPENED{ DO, NULL, list_all }, { C, "t2 UID FETCH 1:* (UID FLAGS RFC822.SIZE)\r\n", NULL },
                { S, "* 1 FETCH (FLAGS () RFC822.SIZE 9)\r\n* 2 FETCH (UID 8 FLAGS () RFC822.SIZE 3)\r\nt2 OK\r\n", NULL },
                { C, "t3 UID SEARCH UID 1:*\r\n", NULL }, { S, "* SEARCH 7 8\r\nt3 OK\r\n", NULL },) },
        { "whether these are still there", .tls = true, .state = ENGINE_READY, .told = TOLD "9::4 listed ",
          LINES(READY OPENED{ DO, NULL, list_two }, { C, "t2 UID FETCH 7,9 (UID FLAGS RFC822.SIZE)\r\n", NULL },
                { S, "* 3 FETCH (UID 9 FLAGS () RFC822.SIZE 4)\r\nt2 OK\r\n", NULL },) },
        /* ---- fetching ---- */
        { "in any order, with news between", .tls = true, .state = ENGINE_READY,
          .told = TOLD "8,5<he\r\no> 7,0<> 9,3<a)b> fetched ",
          LINES(READY OPENED{ DO, NULL, fetch_three }, { C, "t2 UID FETCH 7:9 (UID BODY.PEEK[])\r\n", NULL },
                { S, "* 2 FETCH (UID 8 BODY[] {5}\r\nhe\r\no FLAGS (\\Recent))\r\n* 4 EXISTS\r\n"
                     "* 1 FETCH (FLAGS () UID 7 BODY[] {0}\r\n)\r\n* OK [ALERT] x\r\n"
                     "* 3 FETCH (UID 9 BODY[] ~{3}\r\na)b)\r\nt2 OK\r\n", NULL },) },
        { "gone meanwhile", .tls = true, .state = ENGINE_READY, .told = TOLD "7,1<x> "
          "8:refused(the server sends nothing of message UID 8, and says that all is well) "
          "9:refused(the server sends nothing of message UID 9, and says that all is well) 8:gone fetched ",
          LINES(READY OPENED{ DO, NULL, fetch_three }, { C, "t2 UID FETCH 7:9 (UID BODY.PEEK[])\r\n", NULL },
                { S, "* 1 FETCH (UID 7 BODY[] {1}\r\nx)\r\n* 2 EXPUNGE\r\n* 3 FETCH (UID 9 BODY[] NIL)\r\n"
                     "t2 NO [EXPUNGEISSUED] some are gone\r\n", NULL },
                { C, "t3 UID FETCH 8 (UID BODY.PEEK[])\r\n", NULL }, { S, "t3 OK\r\n", NULL },
                { C, "t4 UID FETCH 9 (UID BODY.PEEK[])\r\n", NULL },
                { S, "* 3 FETCH (UID 9 BODY[] NIL)\r\nt4 OK\r\n", NULL },
                { C, "t5 UID FETCH 8,9 (UID FLAGS)\r\n", NULL }, { S, "* 2 FETCH (UID 9 FLAGS ())\r\nt5 OK\r\n", NULL },) },
        { "denied, and counted still", .tls = true, .state = ENGINE_READY, .told = TOLD "7,1<x> "
          "9:refused(the server sends nothing of message UID 9, and says that all is well) 9:denied fetched ",
          LINES(READY OPENED{ DO, NULL, fetch_two }, { C, "t2 UID FETCH 7,9 (UID BODY.PEEK[])\r\n", NULL },
                { S, "* 1 FETCH (UID 7 BODY[] {1}\r\nx)\r\nt2 OK\r\n", NULL },
                { C, "t3 UID FETCH 9 (UID BODY.PEEK[])\r\n", NULL }, { S, "t3 OK\r\n", NULL },
                { C, "t4 UID FETCH 9 (UID FLAGS)\r\n", NULL }, { S, "t4 OK\r\n", NULL },) },
        { "one has gone of two denied", .tls = true, .state = ENGINE_READY, .told = TOLD
          "7:refused(the server sends nothing of message UID 7, and says that all is well) "
          "9:refused(the server sends nothing of message UID 9, and says that all is well) "
          "7:denied 9:denied fetched ",
          LINES(READY OPENED{ DO, NULL, fetch_two }, { C, "t2 UID FETCH 7,9 (UID BODY.PEEK[])\r\n", NULL },
                { S, "* 3 EXPUNGE\r\nt2 OK\r\n", NULL },
                { C, "t3 UID FETCH 7 (UID BODY.PEEK[])\r\n", NULL }, { S, "t3 OK\r\n", NULL },
                { C, "t4 UID FETCH 9 (UID BODY.PEEK[])\r\n", NULL }, { S, "t4 OK\r\n", NULL },
                { C, "t5 UID FETCH 7,9 (UID FLAGS)\r\n", NULL }, { S, "t5 OK\r\n", NULL },) },
        { "others are marked meanwhile", .tls = true, .state = ENGINE_READY,
          .told = TOLD "7,1<x> 1..5:beside 9,1<z> fetched ",
          LINES(READY OPENED{ DO, NULL, fetch_marking },
                { C, "t2 UID STORE 1:2,5 +FLAGS.SILENT (\\Seen)\r\nt3 UID FETCH 7,9 (UID BODY.PEEK[])\r\n", NULL },
                { S, "* 1 FETCH (FLAGS (\\Seen))\r\n* 3 FETCH (UID 7 BODY[] {1}\r\nx)\r\nt2 OK\r\n"
                     "* 4 FETCH (UID 9 BODY[] {1}\r\nz)\r\nt3 OK\r\n", NULL },) },
        { "a server that does not mark them", .tls = true, .state = ENGINE_READY,
          .told = TOLD "7,1<x> 9,1<z> 1..5:not-beside fetched ",
          LINES(READY OPENED{ DO, NULL, fetch_marking },
                { C, "t2 UID STORE 1:2,5 +FLAGS.SILENT (\\Seen)\r\nt3 UID FETCH 7,9 (UID BODY.PEEK[])\r\n", NULL },
                { S, "* 3 FETCH (UID 7 BODY[] {1}\r\nx)\r\n* 4 FETCH (UID 9 BODY[] {1}\r\nz)\r\nt3 OK\r\nt2 NO\r\n",
                  NULL },) },
        { "a message that did not come beside marks", .tls = true, .state = ENGINE_READY,
          .told = TOLD "7,1<x> 1..5:beside 9,1<z> fetched ",
          LINES(READY OPENED{ DO, NULL, fetch_marking },
                { C, "t2 UID STORE 1:2,5 +FLAGS.SILENT (\\Seen)\r\nt3 UID FETCH 7,9 (UID BODY.PEEK[])\r\n", NULL },
                { S, "* 3 FETCH (UID 7 BODY[] {1}\r\nx)\r\nt3 OK\r\nt2 OK\r\n", NULL },
                { C, "t4 UID FETCH 9 (UID BODY.PEEK[])\r\n", NULL },
                { S, "* 4 FETCH (UID 9 BODY[] {1}\r\nz)\r\nt4 OK\r\n", NULL },) },
        { "quoted body", .tls = true, .state = ENGINE_READY, .told = TOLD "7,5<a\"b\\c> 9,0<> fetched ",
          LINES(READY OPENED{ DO, NULL, fetch_two }, { C, "t2 UID FETCH 7,9 (UID BODY.PEEK[])\r\n", NULL },
                { S, "* 1 FETCH (BODY[] \"a\\\"b\\\\c\" UID 7)\r\n* 3 FETCH (UID 9 BODY[] \"\")\r\nt2 OK\r\n", NULL },) },
        { "nobody asked for it, and twice", .tls = true, .state = ENGINE_READY, .told = TOLD "7,1<x> 9,1<z> fetched ",
          LINES(READY OPENED{ DO, NULL, fetch_two }, { C, "t2 UID FETCH 7,9 (UID BODY.PEEK[])\r\n", NULL },
                { S, "* 1 FETCH (UID 3 BODY[] {3}\r\nabc)\r\n* 1 FETCH (UID 7 BODY[] {1}\r\nx)\r\n"
                     "* 1 FETCH (UID 7 BODY[] {1}\r\ny)\r\n* 1 FETCH (UID 9 BODY[] {1}\r\nz)\r\nt2 OK\r\n", NULL },) },
        { "body before UID", .tls = true, .state = ENGINE_READY, .told = TOLD "7,1<x> 9,1<z> fetched ",
          LINES(READY OPENED{ DO, NULL, fetch_two }, { C, "t2 UID FETCH 7,9 (UID BODY.PEEK[])\r\n", NULL },
                { S, "* 1 FETCH (BODY[] {1}\r\nx UID 7)\r\n* 3 FETCH (BODY[] {1}\r\nz UID 9)\r\nt2 OK\r\n", NULL },
                { C, "t3 UID FETCH 7 (UID BODY.PEEK[])\r\n", NULL },
                { S, "* 1 FETCH (BODY[] {1}\r\nx UID 7)\r\nt3 OK\r\n", NULL },
                { C, "t4 UID FETCH 9 (UID BODY.PEEK[])\r\n", NULL },
                { S, "* 1 FETCH (BODY[] {1}\r\nz UID 9)\r\nt4 OK\r\n", NULL },) },
        { "the wrong UID behind the body: it is another one, and asked for again", .tls = true, .state = ENGINE_READY,
          .told = TOLD "7,1<x9,1<z> 7,1<y> fetched ",
          LINES(READY OPENED{ DO, NULL, fetch_two }, { C, "t2 UID FETCH 7,9 (UID BODY.PEEK[])\r\n", NULL },
                { S, "* 1 FETCH (UID 7 BODY[] {1}\r\nx UID 9)\r\n* 1 FETCH (UID 9 BODY[] {1}\r\nz)\r\nt2 OK\r\n", NULL },
                { C, "t3 UID FETCH 7 (UID BODY.PEEK[])\r\n", NULL },
                { S, "* 1 FETCH (UID 7 BODY[] {1}\r\ny)\r\nt3 OK\r\n", NULL },) },
        { "two bodies: the first counts", .tls = true, .state = ENGINE_READY, .told = TOLD "7,1<x> 9,1<z> fetched ",
          LINES(READY OPENED{ DO, NULL, fetch_two }, { C, "t2 UID FETCH 7,9 (UID BODY.PEEK[])\r\n", NULL },
                { S, "* 1 FETCH (UID 7 BODY[] {1}\r\nx BODY[] {1}\r\ny)\r\n* 2 FETCH (UID 9 BODY[] {1}\r\nz)\r\n"
                     "t2 OK\r\n", NULL },) },
        { "without a UID: each by itself", .tls = true, .state = ENGINE_READY, .told = TOLD "7,1<x> 9,1<z> fetched ",
          LINES(READY OPENED{ DO, NULL, fetch_two }, { C, "t2 UID FETCH 7,9 (UID BODY.PEEK[])\r\n", NULL },
                { S, "* 1 FETCH (BODY[] {1}\r\nx)\r\n* 2 FETCH (BODY[] {1}\r\nz)\r\nt2 OK\r\n", NULL },
                { C, "t3 UID FETCH 7 (UID BODY.PEEK[])\r\n", NULL },
                { S, "* 1 FETCH (BODY[] {1}\r\nx)\r\nt3 OK\r\n", NULL },
                { C, "t4 UID FETCH 9 (UID BODY.PEEK[])\r\n", NULL },
                { S, "* 1 FETCH (BODY[] {1}\r\nz)\r\nt4 OK\r\n", NULL },) },
        { "one of three refused, and those behind it not served", .tls = true, .state = ENGINE_READY,
          .told = TOLD "7,1<x> 8:refused(the server refused to hand out message UID 8: damaged) 9,1<z> fetched ",
          LINES(READY OPENED{ DO, NULL, fetch_three }, { C, "t2 UID FETCH 7:9 (UID BODY.PEEK[])\r\n", NULL },
                { S, "* 1 FETCH (UID 7 BODY[] {1}\r\nx)\r\nt2 NO [UNAVAILABLE] damaged\r\n", NULL },
                { C, "t3 UID FETCH 8 (UID BODY.PEEK[])\r\n", NULL }, { S, "t3 NO damaged\r\n", NULL },
                { C, "t4 UID FETCH 9 (UID BODY.PEEK[])\r\n", NULL },
                { S, "* 3 FETCH (UID 9 BODY[] {1}\r\nz)\r\nt4 OK\r\n", NULL },
                { C, "t5 UID FETCH 8 (UID FLAGS)\r\n", NULL }, { S, "* 2 FETCH (UID 8 FLAGS ())\r\nt5 OK\r\n", NULL },) },
        { "a response that cannot be read costs its message only", .tls = true, .state = ENGINE_READY,
          .told = TOLD "9,1<z> 7,1<x> fetched ",
          LINES(READY OPENED{ DO, NULL, fetch_two }, { C, "t2 UID FETCH 7,9 (UID BODY.PEEK[])\r\n", NULL },
                { S, "* 1 FETCH (UID seven BODY[] {3}\r\na)b)\r\n* 3 FETCH (UID 9 BODY[] {1}\r\nz)\r\nt2 OK\r\n", NULL },
                { C, "t3 UID FETCH 7 (UID BODY.PEEK[])\r\n", NULL },
                { S, "* 1 FETCH (UID 7 BODY[] {1}\r\nx)\r\nt3 OK\r\n", NULL },) },
        { "endless bytes that nobody asked for", .tls = true, .state = ENGINE_FAILED, .cause = CAUSE_PROTOCOL,
          LINES(READY OPENED{ DO, NULL, fetch_two }, { C, "t2 UID FETCH 7,9 (UID BODY.PEEK[])\r\n", NULL },
                { S, "* 1 FETCH (UID 99 BODY[] {1000000000000000}\r\n", NULL },) },
        { "the same with nothing asked at all", .tls = true, .state = ENGINE_FAILED, .cause = CAUSE_PROTOCOL,
          LINES(READY OPENED{ S, "* 1 FETCH (UID 99 BODY[] {1000000000000000}\r\n", NULL },) },
        { "a size beyond all bounds", .tls = true, .state = ENGINE_FAILED, .cause = CAUSE_PROTOCOL,
          LINES(READY OPENED{ DO, NULL, fetch_two }, { C, "t2 UID FETCH 7,9 (UID BODY.PEEK[])\r\n", NULL },
                { S, "* 1 FETCH (UID 7 BODY[] {99999999999999999999}\r\n", NULL },) },
        { "more than 4 GiB", .tls = true, .state = ENGINE_FAILED, .cause = CAUSE_CLOSED, .told = TOLD "7,4294967297<x",
          LINES(READY OPENED{ DO, NULL, fetch_two }, { C, "t2 UID FETCH 7,9 (UID BODY.PEEK[])\r\n", NULL },
                { S, "* 1 FETCH (UID 7 BODY[] {4294967297}\r\nx", NULL }, { CLOSE, NULL, NULL },) },
        { "a large message in parts, of a server that gives less than asked for", .tls = true, .state = ENGINE_READY,
          .told = TOLD "7,5<helloworld> 9,4<tiny> fetched ",
          LINES(READY OPENED{ DO, NULL, fetch_large }, PARTS_ASKED
                { S, "* 1 FETCH (UID 7 BODY[]<0> {5}\r\nhello)\r\nt2 OK\r\n", NULL },
                { C, "t4 UID FETCH 7 (UID BODY.PEEK[]<5.3145723>)\r\n", NULL },
                { S, "* 2 FETCH (UID 9 BODY[] {4}\r\ntiny)\r\nt3 OK\r\n", NULL },
                { S, "* 1 FETCH (BODY[]<5> \"world\" UID 7)\r\nt4 OK\r\n", NULL },
                { C, "t5 UID FETCH 7 (UID BODY.PEEK[]<10.3145718>)\r\n", NULL },
                { S, "* 1 FETCH (UID 7 BODY[]<10> {0}\r\n)\r\nt5 OK\r\n", NULL },
                { C, "t6 UID FETCH 9 (UID BODY.PEEK[])\r\n", NULL },
                { S, "* 2 FETCH (UID 9 BODY[] {4}\r\ntiny)\r\nt6 OK\r\n", NULL },) },
        { "a huge message in as few parts as there can be", .tls = true, .state = ENGINE_FAILED,
          .cause = CAUSE_CLOSED, .told = TOLD "7,2147483647<x",
          LINES(READY OPENED{ DO, NULL, fetch_huge },
                { C, "t2 UID FETCH 7 (UID BODY.PEEK[]<5.2147483647>)\r\n"
                     "t3 UID FETCH 7 (UID BODY.PEEK[]<2147483652.2147483647>)\r\n"
                     "t4 UID FETCH 7 (UID BODY.PEEK[]<4294967299.1074790397>)\r\n", NULL },
                { S, "* 1 FETCH (UID 7 BODY[]<5> {2147483647}\r\nx", NULL }, { CLOSE, NULL, NULL },) },
        { "a large message, the server sends it whole", .tls = true, .state = ENGINE_READY,
          .told = TOLD "7,5<hello> 9,4<tiny> fetched ",
          LINES(READY OPENED{ DO, NULL, fetch_large }, PARTS_ASKED
                { S, "* 1 FETCH (UID 7 BODY[] {5}\r\nhello)\r\nt2 OK\r\n* 1 FETCH (UID 7 BODY[] {5}\r\nhello)\r\n"
                     "* 2 FETCH (UID 9 BODY[] {4}\r\ntiny)\r\nt3 OK\r\n", NULL },) },
        { "the rest of a large message", .tls = true, .state = ENGINE_READY, .told = TOLD "7,3<end> fetched ",
          LINES(READY OPENED{ DO, NULL, fetch_rest }, { C, "t2 UID FETCH 7 (UID BODY.PEEK[]<2097149.1048579>)\r\n", NULL },
                { S, "* 1 FETCH (BODY[]<2097149> {3}\r\nend UID 7)\r\nt2 OK\r\n", NULL },) },
        { "a large message that goes while it comes", .tls = true, .state = ENGINE_READY,
          .told = TOLD "7,1<e7,4<tiny> fetched ",
          LINES(READY OPENED{ DO, NULL, fetch_rest }, { C, "t2 UID FETCH 7 (UID BODY.PEEK[]<2097149.1048579>)\r\n", NULL },
                { S, "* 1 FETCH (UID 7 BODY[]<2097149> {1}\r\ne)\r\nt2 OK\r\n", NULL },
                { C, "t3 UID FETCH 7 (UID BODY.PEEK[]<2097150.1048578>)\r\n", NULL }, { S, "t3 OK\r\n", NULL },
                { C, "t4 UID FETCH 7 (UID BODY.PEEK[])\r\n", NULL },
                { S, "* 1 FETCH (UID 7 BODY[] {4}\r\ntiny)\r\nt4 OK\r\n", NULL },) },
        { "a part of another message than its command says", .tls = true, .state = ENGINE_READY,
          .told = TOLD "7,3<end7,3<all> fetched ",
          LINES(READY OPENED{ DO, NULL, fetch_rest }, { C, "t2 UID FETCH 7 (UID BODY.PEEK[]<2097149.1048579>)\r\n", NULL },
                { S, "* 1 FETCH (BODY[]<2097149> {3}\r\nend UID 8)\r\nt2 OK\r\n", NULL },
                { C, "t3 UID FETCH 7 (UID BODY.PEEK[])\r\n", NULL },
                { S, "* 1 FETCH (UID 7 BODY[] {3}\r\nall)\r\nt3 OK\r\n", NULL },) },
        { "all fetches refused", .tls = true, .state = ENGINE_READY,
          .told = TOLD "7:refused(the server refused to hand out message UID 7: oops) "
                       "9:refused(the server refused to hand out message UID 9: eek) fetched ",
          LINES(READY OPENED{ DO, NULL, fetch_two }, { C, "t2 UID FETCH 7,9 (UID BODY.PEEK[])\r\n", NULL },
                { S, "t2 BAD oops\r\n", NULL }, { C, "t3 UID FETCH 7 (UID BODY.PEEK[])\r\n", NULL },
                { S, "t3 NO oops\r\n", NULL }, { C, "t4 UID FETCH 9 (UID BODY.PEEK[])\r\n", NULL },
                { S, "t4 BAD eek\r\n", NULL }, { C, "t5 UID FETCH 7,9 (UID FLAGS)\r\n", NULL },
                { S, "t5 NO oops\r\n", NULL },) },
        { "when it was taken in", .tls = true, .state = ENGINE_READY,
          .told = TOLD "dated(837596665) 7,5<12345> 9,1<x> dated(1795978800) fetched ",
          LINES(READY OPENED{ DO, NULL, fetch_with_dates }, { C, "t2 UID FETCH 7,9 (UID INTERNALDATE BODY.PEEK[])\r\n", NULL },
                { S, "* 2 FETCH (UID 7 INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" BODY[] {5}\r\n12345)\r\n"
                     "* 3 FETCH (UID 9 BODY[] {1}\r\nx INTERNALDATE \"29-Nov-2026 20:00:00 +0100\")\r\nt2 OK\r\n", NULL },) },
        { "a date that is none", .tls = true, .state = ENGINE_READY,
          .told = TOLD "7,1<x> 9,1<y> fetched ",
          LINES(READY OPENED{ DO, NULL, fetch_with_dates }, { C, "t2 UID FETCH 7,9 (UID INTERNALDATE BODY.PEEK[])\r\n", NULL },
                { S, "* 2 FETCH (UID 7 INTERNALDATE NIL BODY[] {1}\r\nx)\r\n"
                     "* 3 FETCH (UID 9 INTERNALDATE (1) BODY[] {1}\r\ny)\r\nt2 OK\r\n", NULL },) },
        { "nothing to fetch", .tls = true, .state = ENGINE_READY, .told = TOLD "fetched ",
          LINES(READY OPENED{ DO, NULL, fetch_none }, { C, "t2 NOOP\r\n", NULL }, { S, "t2 OK\r\n", NULL },) },
        /* ---- marking ---- */
        { "seen", .tls = true, .state = ENGINE_READY, .told = TOLD "marked ",
          LINES(READY OPENED{ DO, NULL, mark_seen }, { C, "t2 UID STORE 7,9 +FLAGS.SILENT (\\Seen)\r\n", NULL },
                { S, "t2 OK\r\n", NULL },) },
        { "deleted", .tls = true, .state = ENGINE_READY, .told = TOLD "marked ",
          LINES(READY OPENED{ DO, NULL, mark_deleted }, { C, "t2 UID STORE 7:8 +FLAGS.SILENT (\\Deleted)\r\n", NULL },
                { S, "t2 OK\r\n", NULL }, { C, "t3 UID EXPUNGE 7:8\r\n", NULL },
                { S, "* 1 EXPUNGE\r\n* 1 EXPUNGE\r\nt3 OK\r\n", NULL },) },
        { "deleted without UIDPLUS", .tls = true, .state = ENGINE_READY, .told = "opened(9 0 2) marked ",
          LINES(READY_PLAINLY{ DO, NULL, open_inbox }, { C, "t1 SELECT \"INBOX\"\r\n", NULL },
                { S, "* 2 EXISTS\r\n* OK [UIDVALIDITY 9]\r\nt1 OK\r\n", NULL }, { DO, NULL, mark_deleted },
                { C, "t2 UID STORE 7:8 +FLAGS.SILENT (\\Deleted)\r\n", NULL }, { S, "t2 OK\r\n", NULL },) },
        { "flags refused for one", .tls = true, .state = ENGINE_READY,
          .told = TOLD "7:not-marked(the server refused to flag messages: no) marked ",
          LINES(READY OPENED{ DO, NULL, mark_seen }, { C, "t2 UID STORE 7,9 +FLAGS.SILENT (\\Seen)\r\n", NULL },
                { S, "t2 NO [NOPERM] no\r\n", NULL }, { C, "t3 UID STORE 7 +FLAGS.SILENT (\\Seen)\r\n", NULL },
                { S, "t3 NO [NOPERM] no\r\n", NULL }, { C, "t4 UID STORE 9 +FLAGS.SILENT (\\Seen)\r\n", NULL },
                { S, "t4 OK\r\n", NULL },) },
        /* ---- IDLE ---- */
        { "IDLE", .tls = true, .state = ENGINE_READY, .told = TOLD "changed woken ",
          LINES(READY OPENED{ DO, NULL, idle }, { C, "t2 IDLE\r\n", NULL }, { S, "+ idling\r\n", NULL },
                { S, "* OK still here\r\n* 1 FETCH (FLAGS (\\Seen))\r\n* 2 EXPUNGE\r\n* 3 EXISTS\r\n* 3 EXISTS\r\n",
                  NULL }, { DO, NULL, wake }, { C, "DONE\r\n", NULL }, { S, "t2 OK\r\n", NULL },) },
        { "news before IDLE was taken up", .tls = true, .state = ENGINE_TALKING, .told = TOLD "changed ",
          LINES(READY OPENED{ S, "* 4 EXISTS\r\n", NULL }, { DO, NULL, idle },
                { C, "t2 IDLE\r\n", NULL }, { S, "+\r\n", NULL },) },
        { "the server ends IDLE by itself", .tls = true, .state = ENGINE_READY, .told = TOLD "woken ",
          LINES(READY OPENED{ DO, NULL, idle }, { C, "t2 IDLE\r\n", NULL },
                { S, "+ idling\r\nt2 OK time is up\r\n", NULL },) },
        { "it ends before it begins", .tls = true, .state = ENGINE_READY, .told = TOLD "woken ",
          LINES(READY OPENED{ DO, NULL, idle }, { C, "t2 IDLE\r\n", NULL }, { S, "t2 OK\r\n", NULL },) },
        { "it ends while DONE is on its way", .tls = true, .state = ENGINE_READY, .told = TOLD "woken ",
          LINES(READY OPENED{ DO, NULL, idle }, { C, "t2 IDLE\r\n", NULL }, { S, "+\r\n", NULL },
                { DO, NULL, wake }, { C, "DONE\r\n", NULL }, { S, "t2 OK\r\nDONE BAD what\r\n", NULL },) },
        { "BYE while idling", .tls = true, .state = ENGINE_FAILED, .cause = CAUSE_SERVER_BUSY,
          LINES(READY OPENED{ DO, NULL, idle }, { C, "t2 IDLE\r\n", NULL },
                { S, "+ idling\r\n* BYE restart\r\n", NULL },) },
        { "cut while idling", .tls = true, .state = ENGINE_FAILED, .cause = CAUSE_CLOSED,
          LINES(READY OPENED{ DO, NULL, idle }, { C, "t2 IDLE\r\n", NULL }, { S, "+ idling\r\n", NULL },
                { CLOSE, NULL, NULL },) },
        { "LOGOUT while idling", .tls = true, .state = ENGINE_ENDED,
          LINES(READY OPENED{ DO, NULL, idle }, { C, "t2 IDLE\r\n", NULL }, { S, "+ idling\r\n", NULL },
                { DO, NULL, quit }, { C, "DONE\r\nt3 LOGOUT\r\n", NULL },
                { S, "t2 OK\r\n* BYE\r\nt3 OK\r\n", NULL },) },
        { "IDLE refused", .tls = true, .state = ENGINE_READY, .told = TOLD "idle_refused idle_refused ",
          LINES(READY OPENED{ DO, NULL, idle }, { C, "t2 IDLE\r\n", NULL }, { S, "t2 NO no\r\n", NULL },
                { DO, NULL, idle }, { C, "t3 IDLE\r\n", NULL }, { S, "t3 BAD what\r\n", NULL },) },
};
/* clang-format on */

START_TEST(scripts_play)
{
        play_every_way(&scripts[_i]);
}
END_TEST

/* ---- larger things ---- */

static struct play opened(void)
{
        static const struct script script = { .tls = true };
        struct play play = { .told = BUF_WITH_MAX(64 * MIB), .sent = BUF_WITH_MAX(64 * MIB) };

        play.engine = play_new(&script, NULL);
        return play;
}

static void begin(struct play *play)
{
        imap_session_of(play->engine)->config.ctx = play;
        play->engine->class->start(play->engine, &(struct engine_channel){ .tls = true });
        play_begun(play->engine);
        play_server(play, "* OK [CAPABILITY IMAP4rev1 IDLE UIDPLUS] hi\r\n", 0);
        open_inbox(play->engine);
        play_send(play);
        play_server(play, "* 3000 EXISTS\r\n* OK [UIDVALIDITY 9]\r\nt1 OK\r\n", 0);
        buf_clear(&play->sent);
        buf_clear(&play->told);
}

static void end(struct play *play)
{
        play->engine->class->free(play->engine);
        buf_free(&play->told);
        buf_free(&play->sent);
}

/* Every second UID, so that nothing becomes a range: commands stay short, several are in flight, each UID
 * once. */
START_TEST(windows_ask_for_everything_once)
{
        enum { MANY = 5000 };
        struct play play = opened();
        struct mailbox_entry *entries = new_zeroed(MANY, sizeof *entries);
        char *asked = new_zeroed(2 * MANY + 2, 1), *line, *state;
        unsigned commands = 0, tag = 0;

        begin(&play);
        for (uint32_t i = 0; i < MANY; i++)
                entries[i] = (struct mailbox_entry){ .uid = 2 * i + 1, .size = 4096 };
        imap_mailbox.fetch(play.engine, entries, MANY);
        play_send(&play);
        ck_assert_uint_eq(imap_session_of(play.engine)->in_flight, IMAP_WINDOW);
        while (play.sent.len) {
                char *sent = buf_take_text(&play.sent);
                for (line = strtok_r(sent, "\r\n", &state); line; line = strtok_r(NULL, "\r\n", &state)) {
                        ck_assert_uint_lt(strlen(line), 1000);
                        ck_assert_int_eq(sscanf(line, "t%u UID FETCH ", &tag), 1);
                        char *set = strstr(line, "FETCH ") + 6, *more = NULL;
                        *strchr(set, ' ') = '\0';
                        uint32_t uids[IMAP_PER_COMMAND];
                        size_t count = 0;
                        for (char *uid = strtok_r(set, ",", &more); uid; uid = strtok_r(NULL, ",", &more)) {
                                uids[count] = (uint32_t)strtoul(uid, NULL, 10);
                                ck_assert_int_eq(asked[uids[count++]]++, 0);
                        }
                        struct buf answer = BUF_WITH_MAX(LIMIT_REPLY);
                        for (size_t i = 0; i < count; i++) {
                                scoped(scoped_free) char *one =
                                        text_of("* 1 FETCH (UID %u BODY[] \"\")\r\n", uids[i]);
                                ck_assert_int_eq(buf_append_text(&answer, one), 0);
                        }
                        scoped(scoped_free) char *last = text_of("t%u OK\r\n", tag);
                        ck_assert_int_eq(buf_append_text(&answer, last), 0);
                        char *reply = buf_take_text(&answer);
                        commands++;
                        play_server(&play, reply, 0);
                        free(reply);
                }
                free(sent);
        }
        for (uint32_t i = 0; i < MANY; i++)
                ck_assert_int_eq(asked[2 * i + 1], 1);
        ck_assert_uint_lt(commands, 60);
        ck_assert_int_eq(play.engine->state, ENGINE_READY);
        /* what they took is given back: of what idles for hours there are thousands */
        ck_assert_ptr_null(imap_session_of(play.engine)->flights);
        idle(play.engine);
        play_send(&play);
        ck_assert_uint_eq(imap_session_of(play.engine)->in_flight, 1);
        ck_assert_uint_eq(imap_session_of(play.engine)->flight_room, 1);
        free(asked);
        free(entries);
        end(&play);
}
END_TEST

START_TEST(answers_before_their_command_has_left)
{
        struct play play = opened();
        const char text[] = "t2 OK\r\n";

        begin(&play);
        fetch_two(play.engine); /* and nothing is sent */
        play.engine->class->received(play.engine, (const uint8_t *)text, sizeof text - 1);
        ck_assert_int_eq(play.engine->cause->code, CAUSE_INJECTION);
        end(&play);
}
END_TEST

START_TEST(a_full_disk_ends_the_session)
{
        struct play play = opened();

        begin(&play);
        play.refuse = -1;
        fetch_two(play.engine);
        play_send(&play);
        play_server(&play, "* 1 FETCH (UID 7 BODY[] {3}\r\nabc)\r\n", 0);
        ck_assert_int_eq(play.engine->cause->code, CAUSE_STORAGE);
        end(&play);
}
END_TEST

/* Bytes of a large message are handed on as they come: nothing is kept. */
START_TEST(bodies_are_not_held)
{
        struct play play = opened();
        char *chunk = new_zeroed(64 * KIB + 1, 1);

        memset(chunk, 'x', 64 * KIB);
        begin(&play);
        fetch_two(play.engine);
        play_send(&play);
        play_server(&play, "* 1 FETCH (UID 7 BODY[] {8388608}\r\n", 0);
        ck_assert_str_eq(play.engine->phrase, "receiving a message");
        for (unsigned i = 0; i < 128; i++) {
                play_server(&play, chunk, 0);
                ck_assert_uint_lt(imap_session_of(play.engine)->parser.held.size + play.engine->in.size,
                                  4096);
        }
        play_server(&play, ")\r\n* 2 FETCH (UID 9 BODY[] \"\")\r\nt2 OK\r\n", 0);
        ck_assert_int_eq(play.engine->state, ENGINE_READY);
        ck_assert_uint_eq(play.told.len, strlen("7,8388608<> 9,0<> fetched ") + 8 * MIB);
        free(chunk);
        end(&play);
}
END_TEST

START_TEST(chatter_without_end_is_bounded)
{
        static const char *const chatter[] = { "* OK yes\r\n", "\r\n", "+ go on\r\n" };
        struct play play = opened();
        size_t len = strlen(chatter[_i]);
        char *lines = new_zeroed(1000 * len + 1, 1);

        for (unsigned i = 0; i < 1000; i++)
                memcpy(lines + (size_t)i * len, chatter[_i], len);
        begin(&play);
        list_all(play.engine);
        play_send(&play);
        for (unsigned i = 0; i <= LIMIT_UNTAGGED_IDLE / 1000; i++)
                play_server(&play, lines, 0);
        ck_assert_int_eq(play.engine->cause->code, CAUSE_PROTOCOL);
        free(lines);
        end(&play);
}
END_TEST

START_TEST(changed_may_wake_at_once)
{
        struct play play = opened();

        begin(&play);
        play.on_changed = imap_mailbox.wake;
        imap_mailbox.idle(play.engine);
        play_send(&play);
        ck_assert(!play.engine->idle);
        play_server(&play, "+ idling\r\n", 0);
        ck_assert(play.engine->idle);
        play_server(&play, "* 3001 EXISTS\r\n", 0);
        ck_assert(!play.engine->idle);
        play_server(&play, "t2 OK\r\n", 0);
        char *told = buf_take_text(&play.told), *sent = buf_take_text(&play.sent);
        ck_assert_str_eq(told, "changed woken ");
        ck_assert_str_eq(sent, "t2 IDLE\r\nDONE\r\n");
        free(told);
        free(sent);
        /* the server ends IDLE in the same breath: DONE is not out yet */
        imap_mailbox.idle(play.engine);
        play_send(&play);
        play_server(&play, "+ idling\r\n", 0);
        static const char both[] = "* 3002 EXISTS\r\nt3 OK\r\n";
        play.engine->class->received(play.engine, (const uint8_t *)both, sizeof both - 1);
        ck_assert_msg(play.engine->state == ENGINE_READY, "%s", play.engine->cause->text);
        play_send(&play);
        play_server(&play, "DONE BAD what\r\n", 0);
        ck_assert_int_eq(play.engine->state, ENGINE_READY);
        /* wake() before the go-ahead takes effect with it */
        imap_mailbox.idle(play.engine);
        imap_mailbox.wake(play.engine);
        play_send(&play);
        play_server(&play, "+ idling\r\nt4 OK\r\n", SIZE_MAX);
        ck_assert_int_eq(play.engine->state, ENGINE_READY);
        end(&play);
}
END_TEST

START_TEST(random_servers_do_no_harm)
{
        static const char *const bits[] = { "* 1 FETCH (UID 7 ",
                                            "BODY[] {3}\r\nabc",
                                            "BODY[] {1}\r\n",
                                            ")\r\n",
                                            "UID 9",
                                            "FLAGS (\\Seen) ",
                                            "t2 OK\r\n",
                                            "t3 OK\r\n",
                                            "* 5 EXISTS\r\n",
                                            "BODY[] \"a\\",
                                            "* 1 EXPUNGE\r\n",
                                            "* SEARCH 7 9\r\n",
                                            "RFC822.SIZE 5 ",
                                            "* ",
                                            "\r\n",
                                            "(",
                                            "* ESEARCH UID ALL 7,9:",
                                            "+ x\r\n",
                                            "t2 NO [EXPUNGEISSUED]\r\n",
                                            "* 2 FETCH (",
                                            "BODY[] NIL ",
                                            "\"" };
        static void (*const acts[])(struct engine *) = { list_all, list_unseen, fetch_two, mark_deleted };
        uint64_t random = 0x452821e638d01377u;

        for (unsigned run = 0; run < 3000; run++) {
                struct play play = opened();
                begin(&play);
                acts[run % count_of(acts)](play.engine);
                play_send(&play);
                for (unsigned i = 0; i < 20; i++) {
                        random = random * 6364136223846793005u + 1442695040888963407u;
                        play_server(&play, bits[(random >> 33) % count_of(bits)], (size_t)(random >> 40) % 8);
                }
                end(&play);
        }
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("imap_fetch");
        TCase *all = tcase_create("all");

        tcase_add_loop_test(all, scripts_play, 0, (int)count_of(scripts));
        tcase_add_test(all, windows_ask_for_everything_once);
        tcase_add_test(all, answers_before_their_command_has_left);
        tcase_add_test(all, a_full_disk_ends_the_session);
        tcase_add_test(all, bodies_are_not_held);
        tcase_add_loop_test(all, chatter_without_end_is_bounded, 0, 3);
        tcase_add_test(all, changed_may_wake_at_once);
        tcase_add_test(all, random_servers_do_no_harm);
        suite_add_tcase(suite, all);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? 1 : 0;
}
