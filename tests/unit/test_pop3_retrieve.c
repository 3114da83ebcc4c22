/* SPDX-License-Identifier: MIT */
/* POP3 operations: STAT, LIST and UIDL, RETR with dots taken off, DELE, QUIT; odd and hostile servers. */
#include "daemon/pop3/retrieve.c"
#include "daemon/pop3/unstuff.c"

#include "pop3_script.h"

/* Dialogues are laid out by hand. */
/* clang-format off */

#define LINES(...) .lines = (const struct line[]){ __VA_ARGS__ { .kind = END } }
#define READY { S, "+OK\r\n", NULL }, { C, "CAPA\r\n", NULL }, { S, "+OK\r\nPIPELINING\r\nUIDL\r\n.\r\n", NULL },
#define READY_PLAINLY { S, "+OK\r\n", NULL }, { C, "CAPA\r\n", NULL }, { S, "-ERR\r\n", NULL },
#define OPENED { DO, NULL, open_it }, { C, "STAT\r\n", NULL }, { S, "+OK 3 320 more\r\n", NULL },
#define LISTING { DO, NULL, list_all }, { C, "LIST\r\nUIDL\r\n", NULL },
#define TOLD "opened(0 0 3 expunge) "

static void open_it(struct engine *engine)
{
        pop3_mailbox.open(engine, "INBOX", false);
}
static void list_all(struct engine *engine)
{
        pop3_mailbox.list(engine, 0, false);
}
static void fetch_two(struct engine *engine)
{
        static const struct mailbox_entry two[] = { { .uid = 1, .size = 9 }, { .uid = 3 } };
        pop3_mailbox.fetch(engine, two, 2);
}
static void fetch_none(struct engine *engine)
{
        pop3_mailbox.fetch(engine, NULL, 0);
}
static void mark_deleted(struct engine *engine)
{
        static const struct mailbox_entry two[] = { { .uid = 1 }, { .uid = 3 } };
        pop3_mailbox.mark(engine, two, 2, MARK_DELETED);
}
static void mark_seen(struct engine *engine)
{
        static const struct mailbox_entry one[] = { { .uid = 1 } };
        pop3_mailbox.mark(engine, one, 1, MARK_SEEN);
}
static void quit(struct engine *engine)
{
        engine->class->quit(engine);
}

static const struct script scripts[] = {
        { "STAT", .tls = true, .state = ENGINE_READY, .told = TOLD, LINES(READY OPENED) },
        { "STAT that cannot be read", .tls = true, .state = ENGINE_READY, .told = "opened(0 0 0 expunge) ",
          LINES(READY{ DO, NULL, open_it }, { C, "STAT\r\n", NULL }, { S, "+OK many\r\n", NULL },) },
        { "STAT beyond all bounds", .tls = true, .state = ENGINE_READY, .told = "opened(0 0 0 expunge) ",
          LINES(READY{ DO, NULL, open_it }, { C, "STAT\r\n", NULL }, { S, "+OK 99999999999 1\r\n", NULL },) },
        { "list", .tls = true, .state = ENGINE_READY, .told = TOLD "1:a:5 3:same:4294967295 2:same:7 listed ",
          LINES(READY OPENED LISTING{ S, "+OK\r\n1 5\r\n2 7 extra\r\n3 18446744073709551615\r\n.\r\n"
                                         "+OK\r\n1 a\r\n3 same\r\n2 same\r\n.\r\n", NULL },) },
        { "list without PIPELINING", .tls = true, .state = ENGINE_READY, .told = TOLD "1:..x:5 listed ",
          LINES(READY_PLAINLY OPENED{ DO, NULL, list_all }, { C, "LIST\r\n", NULL },
                { S, "+OK\r\n1 5\r\n.\r\n", NULL }, { C, "UIDL\r\n", NULL }, { S, "+OK\r\n1 ..x\r\n.\r\n", NULL },) },
        { "no UIDL", .tls = true, .state = ENGINE_FAILED, .cause = CAUSE_PROTOCOL,
          LINES(READY OPENED LISTING{ S, "+OK\r\n.\r\n-ERR what\r\n", NULL },) },
        { "UIDL of 70", .tls = true, .state = ENGINE_READY,
          .told = TOLD "1:1234567890123456789012345678901234567890123456789012345678901234567890:0 listed ",
          LINES(READY OPENED LISTING{ S, "+OK\r\n.\r\n+OK\r\n1 "
                "1234567890123456789012345678901234567890123456789012345678901234567890\r\n.\r\n", NULL },) },
        { "UIDLs that are none", .tls = true, .state = ENGINE_READY,
          .told = TOLD "1:#c8687a08aa5d6ed2044328fa6a697ab8e96dc34291e8c2034ae8c38e6fcc6d65:5 "
                "2:#b48de195f786601f4bc6b748e1e62db08db1fe7ab982b926334d0673a329cc6b:7 3:plain:0 listed ",
          LINES(READY OPENED LISTING{ S, "+OK\r\n1\t5\r\n 2  7\r\n.\r\n+OK\r\n1 a b \t\r\n2\t"
                "\303\244\x1b[2J\r\n3 plain \t \r\n.\r\n", NULL },) },
        { "lines that cannot be read cost themselves only", .tls = true, .state = ENGINE_READY,
          .told = TOLD "1:a:5 4:d:9 2:b:0 3:c:6 listed ",
          LINES(READY OPENED LISTING{ S, "+OK 20 Messages\r\n1 5\r\n0 5\r\nx\r\n\r\n2 x\r\n4 9\r\n-3 6\r\n3 6\r\n"
                "99999999999 5\r\n4000000 5\r\n.\r\n"
                "+OK\r\n1 a\r\n1\r\n2 \r\n0 z\r\n4 d\r\n2 b\r\nwhat\r\n3 c\r\n.\r\n", NULL },) },
        /* ---- RETR ---- */
        { "RETR", .tls = true, .state = ENGINE_READY, .told = TOLD "1,0<a\r\n.b\r\n\r\n> 3,0<> fetched ",
          LINES(READY OPENED{ DO, NULL, fetch_two }, { C, "RETR 1\r\nRETR 3\r\n", NULL },
                { S, "+OK 9 octets\r\na\r\n..b\r\n\r\n.\r\n+OK\r\n.\r\n", NULL },) },
        { "one by one", .tls = true, .state = ENGINE_READY, .told = TOLD "1,0<x\r\n> 3,0<y\r\n> fetched ",
          LINES(READY_PLAINLY OPENED{ DO, NULL, fetch_two }, { C, "RETR 1\r\n", NULL },
                { S, "+OK\r\nx\r\n.\r\n", NULL }, { C, "RETR 3\r\n", NULL }, { S, "+OK\r\ny\r\n.\r\n", NULL },) },
        { "one refused", .tls = true, .state = ENGINE_READY,
          .told = TOLD "1:refused(the server refused to hand out message 1: no such message) 3,0<y\r\n> fetched ",
          LINES(READY OPENED{ DO, NULL, fetch_two }, { C, "RETR 1\r\nRETR 3\r\n", NULL },
                { S, "-ERR no such message\r\n+OK\r\ny\r\n.\r\n", NULL },) },
        { "one refused, whatever the code", .tls = true, .state = ENGINE_READY,
          .told = TOLD "1:refused(the server refused to hand out message 1: [SYS/PERM] disk) 3,0<y\r\n> fetched ",
          LINES(READY OPENED{ DO, NULL, fetch_two }, { C, "RETR 1\r\nRETR 3\r\n", NULL },
                { S, "-ERR [SYS/PERM] disk\r\n+OK\r\ny\r\n.\r\n", NULL },) },
        { "cut in a message", .tls = true, .state = ENGINE_FAILED, .cause = CAUSE_CLOSED, .told = TOLD "1,0<x\r\n",
          LINES(READY OPENED{ DO, NULL, fetch_two }, { C, "RETR 1\r\nRETR 3\r\n", NULL },
                { S, "+OK\r\nx\r\n.\r", NULL }, { CLOSE, NULL, NULL },) },
        { "nothing to fetch", .tls = true, .state = ENGINE_READY, .told = TOLD "fetched ",
          LINES(READY OPENED{ DO, NULL, fetch_none }, { C, "NOOP\r\n", NULL }, { S, "+OK\r\n", NULL },) },
        /* ---- DELE, QUIT ---- */
        { "DELE", .tls = true, .state = ENGINE_ENDED,
          .told = TOLD "3:not-marked(the server refused to delete messages: already) marked ",
          LINES(READY OPENED{ DO, NULL, mark_deleted }, { C, "DELE 1\r\nDELE 3\r\n", NULL },
                { S, "+OK\r\n-ERR already\r\n", NULL }, { DO, NULL, quit }, { C, "QUIT\r\n", NULL },
                { S, "+OK bye\r\n", NULL },) },
        { "deletions not carried out", .tls = true, .state = ENGINE_FAILED, .cause = CAUSE_SERVER_BUSY,
          LINES(READY_PLAINLY OPENED{ DO, NULL, mark_deleted }, { C, "DELE 1\r\n", NULL }, { S, "+OK\r\n", NULL },
                { C, "DELE 3\r\n", NULL }, { S, "+OK\r\n", NULL }, { DO, NULL, quit }, { C, "QUIT\r\n", NULL },
                { S, "-ERR some deleted messages not removed\r\n", NULL },) },
        { "deletions not confirmed", .tls = true, .state = ENGINE_FAILED, .cause = CAUSE_SERVER_BUSY,
          LINES(READY OPENED{ DO, NULL, mark_deleted }, { C, "DELE 1\r\nDELE 3\r\n", NULL },
                { S, "+OK\r\n+OK\r\n", NULL }, { DO, NULL, quit }, { C, "QUIT\r\n", NULL }, { CLOSE, NULL, NULL },) },
        { "there are no flags", .tls = true, .state = ENGINE_READY, .told = TOLD "marked ",
          LINES(READY OPENED{ DO, NULL, mark_seen }, { C, "NOOP\r\n", NULL }, { S, "+OK\r\n", NULL },) },
};

START_TEST(scripts_play)
{
        play_every_way(&scripts[_i]);
}
END_TEST

/* ---- dots ---- */

static const struct {
        const char *in, *out, *rest; /* rest NULL: not at its end */
} stuffed[] = {
        { ".\r\n", "", "" },
        { "a\r\n.\r\n+OK", "a\r\n", "+OK" },
        { "..\r\n.\r\n", ".\r\n", "" },
        { "...\r\n.\r\n", "..\r\n", "" },
        { ".a\r\n.\r\n", "a\r\n", "" },
        { "a.\r\n.b\r\n.\r\n", "a.\r\nb\r\n", "" },
        { "a\n.\r\n\r\n.\r\n", "a\n.\r\n\r\n", "" },
        { "a\r.\r\n.\r\n", "a\r.\r\n", "" },
        { "a\r\n.\n\r\n.\r\n", "a\r\n\n\r\n", "" },
        { "a\r\n.\rb\r\n.\r\n", "a\r\n\rb\r\n", "" },
        { "a\r\n.\r\r\n.\r\n", "a\r\n\r\r\n", "" },
        { "\r\n\r\n.\r\n", "\r\n\r\n", "" },
        { "a\r\n..\r\n.\r", "a\r\n.\r\n", NULL },
        { "a\r\n", "a\r\n", NULL },
        { "a\r", "a\r", NULL },
        { "\n.\r\n.\r\n", "\n.\r\n", "" },
};

static char *unstuffed(struct pop3_unstuff *unstuff, const char *in, size_t from, size_t to, char *out, size_t *rest)
{
        uint8_t *bytes = new_zeroed(to - from, 1);
        struct pop3_input input = { bytes, to - from }, piece;

        memcpy(bytes, in + from, to - from);
        while (pop3_unstuff_next(unstuff, &input, &piece)) {
                ck_assert_uint_gt(piece.len, 0);
                out = mempcpy(out, piece.bytes, piece.len);
        }
        *rest = input.len;
        free(bytes);
        return out;
}

START_TEST(dots_are_taken_off_exactly)
{
        const char *in = stuffed[_i].in;
        size_t len = strlen(in);

        for (size_t a = 0; a <= len; a++)
                for (size_t b = a; b <= len; b++) {
                        struct pop3_unstuff unstuff = { .state = AT_START };
                        char out[64] = "", *at = out;
                        size_t cuts[] = { 0, a, b, len }, rest = 0, left = 0;
                        for (size_t i = 0; i < 3; i++) {
                                at = unstuffed(&unstuff, in, cuts[i], cuts[i + 1], at, &rest);
                                left += rest;
                        }
                        ck_assert_msg(strcmp(out, stuffed[_i].out) == 0, "%s at %zu %zu: %s", in, a, b, out);
                        ck_assert(unstuff.ended == (stuffed[_i].rest != NULL));
                        ck_assert_uint_eq(left, stuffed[_i].rest ? strlen(stuffed[_i].rest) : 0);
                }
}
END_TEST

/* A server that sends line feeds alone: the end is where about as much has come as it announced. */
START_TEST(line_feeds_alone)
{
        static const struct {
                const char *in;
                uint64_t expected;
                const char *out;
                bool ended;
        } rows[] = {
                { "a\nb\nc\n.\r\n", 6, "a\nb\nc\n", true },
                { "a\nb\nc\n.\n", 9, "a\nb\nc\n", true },
                { "a\nb\nc\n.\n", 900, "a\nb\nc\n.\n", false },
                { "a\nb\n.c\n.\r\n", 9, "a\nb\n.c\n", true },
                { "a\r\nb\n.\r\n.\r\n", 9, "a\r\nb\n.\r\n", true },
        };

        for (size_t i = 0; i < count_of(rows); i++) {
                size_t len = strlen(rows[i].in), rest;
                for (size_t cut = 0; cut <= len; cut++) {
                        struct pop3_unstuff unstuff = { .state = AT_START, .expected = rows[i].expected };
                        char out[64] = "", *at = unstuffed(&unstuff, rows[i].in, 0, cut, out, &rest);
                        (void)unstuffed(&unstuff, rows[i].in, cut, len, at, &rest);
                        ck_assert_msg(strcmp(out, rows[i].out) == 0, "%s at %zu: %s", rows[i].in, cut, out);
                        ck_assert(unstuff.ended == rows[i].ended);
                }
        }
}
END_TEST

/* Random messages, stuffed by the book, come back as they were, whatever the portions. */
START_TEST(random_messages_come_back)
{
        static const char alphabet[] = "..\r\n\r\na";
        uint64_t random = 0xa4093822299f31d0u;

        for (unsigned run = 0; run < 5000; run++) {
                char message[64], wire[160], out[160] = "", *at = out;
                size_t len = 0, on_wire = 0, rest;
                bool start = true;
                for (unsigned i = 0; i < 40; i++) {
                        random = random * 6364136223846793005u + 1442695040888963407u;
                        message[len++] = alphabet[(random >> 33) % (sizeof alphabet - 1)];
                }
                memcpy(message + len, "\r\n", 2);
                len += 2;
                for (size_t i = 0; i < len; i++) {
                        if (start && message[i] == '.')
                                wire[on_wire++] = '.';
                        wire[on_wire++] = message[i];
                        start = i && message[i - 1] == '\r' && message[i] == '\n';
                }
                memcpy(wire + on_wire, ".\r\n", 3);
                on_wire += 3;
                struct pop3_unstuff unstuff = { .state = AT_START };
                for (size_t from = 0; from < on_wire;) {
                        size_t step = 1 + (size_t)(random >> 20) % 7;
                        size_t to = from + step < on_wire ? from + step : on_wire;
                        at = unstuffed(&unstuff, wire, from, to, at, &rest);
                        from = to;
                        random = random * 6364136223846793005u + 1;
                }
                ck_assert(unstuff.ended);
                ck_assert_uint_eq((size_t)(at - out), len);
                ck_assert_mem_eq(out, message, len);
        }
}
END_TEST

/* ---- larger things ---- */

static void begin(struct play *play, const char *capabilities)
{
        static const struct script script = { .tls = true };

        *play = (struct play){ .told = BUF_WITH_MAX(64 * MIB), .sent = BUF_WITH_MAX(64 * MIB) };
        play->engine = play_new(&script, play);
        play->engine->class->start(play->engine, &(struct engine_channel){ .tls = true });
        play_server(play, "+OK\r\n", 0);
        play_server(play, capabilities, 0);
        open_it(play->engine);
        play_send(play);
        play_server(play, "+OK 3 320\r\n", 0);
        buf_clear(&play->sent);
        buf_clear(&play->told);
}

static void end(struct play *play)
{
        play->engine->class->free(play->engine);
        buf_free(&play->told);
        buf_free(&play->sent);
}

/* 2,000 messages: commands in whole handfuls, never more in flight than the window, each once and in order. */
START_TEST(windows_ask_for_everything_once)
{
        enum { MANY = 2000 };
        struct mailbox_entry *entries = new_zeroed(MANY, sizeof *entries);
        struct play play;
        unsigned next = 1, writes = 0;

        for (uint32_t i = 0; i < MANY; i++)
                entries[i] = (struct mailbox_entry){ .uid = i + 1, .size = 4096 };
        begin(&play, "+OK\r\nPIPELINING\r\n.\r\n");
        pop3_mailbox.fetch(play.engine, entries, MANY);
        play_send(&play);
        while (play.sent.len) {
                char *sent = buf_take_text(&play.sent), *state;
                writes++;
                for (char *line = strtok_r(sent, "\r\n", &state); line; line = strtok_r(NULL, "\r\n", &state)) {
                        ck_assert_uint_eq(strtoul(line + 5, NULL, 10), next++);
                        ck_assert_uint_le(pop3_session_of(play.engine)->in_flight, POP3_WINDOW);
                        play_server(&play, "+OK\r\nx\r\n.\r\n", 3);
                }
                free(sent);
        }
        ck_assert_uint_eq(next, MANY + 1);
        ck_assert_uint_lt(writes, 40);
        ck_assert_int_eq(play.engine->state, ENGINE_READY);
        free(entries);
        end(&play);
}
END_TEST

START_TEST(answers_before_their_command_has_left)
{
        static const char text[] = "+OK\r\nx\r\n.\r\n";
        struct play play;

        begin(&play, "+OK\r\nPIPELINING\r\n.\r\n");
        fetch_two(play.engine); /* and nothing is sent */
        play.engine->class->received(play.engine, (const uint8_t *)text, sizeof text - 1);
        ck_assert_int_eq(play.engine->cause->code, CAUSE_INJECTION);
        end(&play);
}
END_TEST

START_TEST(a_full_disk_ends_the_session)
{
        struct play play;

        begin(&play, "-ERR\r\n");
        play.refuse = -1;
        fetch_two(play.engine);
        play_send(&play);
        play_server(&play, "+OK\r\nabc\r\n.\r\n", 0);
        ck_assert_int_eq(play.engine->cause->code, CAUSE_STORAGE);
        end(&play);
}
END_TEST

START_TEST(messages_are_not_held)
{
        struct play play;
        char *chunk = new_zeroed(64 * KIB + 1, 1);

        memset(chunk, 'x', 64 * KIB);
        begin(&play, "-ERR\r\n");
        fetch_two(play.engine);
        play_send(&play);
        play_server(&play, "+OK\r\n", 0);
        ck_assert_str_eq(play.engine->phrase, "receiving a message");
        for (unsigned i = 0; i < 64; i++)
                play_server(&play, chunk, 0);
        ck_assert_uint_lt(play.engine->in.size, 4096);
        ck_assert_uint_gt(play.told.len, 4 * MIB - 1);
        free(chunk);
        end(&play);
}
END_TEST

START_TEST(random_servers_do_no_harm)
{
        static const char *const bits[] = { "+OK\r\n", "-ERR\r\n", ".\r\n", "1 a\r\n", "2 5\r\n", "..x\r\n", "x", "\r",
                                            "\n", ".", "3 18446744073709551616\r\n", "-ERR [SYS/TEMP]\r\n", " " };
        static void (*const acts[])(struct engine *) = { list_all, fetch_two, mark_deleted, open_it };
        uint64_t random = 0x082efa98ec4e6c89u;

        for (unsigned run = 0; run < 3000; run++) {
                struct play play;
                begin(&play, run & 4 ? "+OK\r\nPIPELINING\r\n.\r\n" : "-ERR\r\n");
                acts[run % count_of(acts)](play.engine);
                play_send(&play);
                for (unsigned i = 0; i < 20; i++) {
                        random = random * 6364136223846793005u + 1442695040888963407u;
                        play_server(&play, bits[(random >> 33) % count_of(bits)], (size_t)(random >> 40) % 6);
                }
                end(&play);
        }
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("pop3_retrieve");
        TCase *all = tcase_create("all");

        tcase_add_loop_test(all, scripts_play, 0, (int)count_of(scripts));
        tcase_add_loop_test(all, dots_are_taken_off_exactly, 0, (int)count_of(stuffed));
        tcase_add_test(all, line_feeds_alone);
        tcase_add_test(all, random_messages_come_back);
        tcase_add_test(all, windows_ask_for_everything_once);
        tcase_add_test(all, answers_before_their_command_has_left);
        tcase_add_test(all, a_full_disk_ends_the_session);
        tcase_add_test(all, messages_are_not_held);
        tcase_add_test(all, random_servers_do_no_harm);
        suite_add_tcase(suite, all);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? 1 : 0;
}
