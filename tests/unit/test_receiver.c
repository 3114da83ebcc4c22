/* SPDX-License-Identifier: MIT */
/*
 * An incoming account as a whole, in virtual time: runner, looks, IMAP and POP3 engines as they are, with a
 * state folder of its own, against mailboxes that are played here. Polls and IDLE, back-off, networks and
 * trust that change, tokens, disks that fail, messages that do not come, and ends.
 */
#include "daemon/incoming/receiver_state.h"
#include "daemon/store/kept.h"

#include "runner_script.h"

#include "daemon/accounts/accounts_parts.h"

/* ---- the mailbox
 * ----------------------------------------------------------------------------------------------- */

enum { MESSAGES = 2010, SESSIONS_NOTED = 4096 };
enum { SERVER_COMMANDS, SERVER_IDLING, SERVER_SIGNING_IN };
#define BODY "Subject: x\r\n\r\nbody\r\n"

static struct {
        struct {
                unsigned uid; /* IMAP; POP3: its UIDL is uID */
                bool gone, deleted;
        } messages[MESSAGES];
        unsigned count, next_uid;
        bool no_idle_offered, idle_refused, pipelining; /* as the server is */
        const char *auth;                               /* the answer to a sign-in; NULL: good */
        const char *refused_folder;
        const char *folders; /* its answer to LIST */
        unsigned breaks_at;  /* UID over which the connection breaks; 0: none */
        bool breaks_at_quit;
        unsigned idles, quits, bodies; /* begun; said; handed out */
        int64_t here_by_then;          /* messages that were received when the last one was asked for */
        unsigned sessions;
        int64_t begun[SESSIONS_NOTED]; /* seconds since the beginning of the test */
        char tag[16];                  /* of IDLE or a sign-in that is under way */
} box;

static int64_t began;

static unsigned here(void)
{
        unsigned count = 0;

        for (unsigned i = 0; i < box.count; i++)
                count += !box.messages[i].gone;
        return count;
}

/* New mail; who idles is told. */
static void arrives(unsigned count)
{
        for (; count; count--)
                box.messages[box.count++].uid = ++box.next_uid;
        for (struct session *session = net.first; session; session = session->next)
                if (session->state == SERVER_IDLING)
                        server_says(session, "* %u EXISTS\r\n", here());
}

static void expunge(void)
{
        for (unsigned i = 0; i < box.count; i++)
                box.messages[i].gone |= box.messages[i].deleted;
}

/* "3", "3:7", "3:*", with commas. */
static bool in_set(const char *set, unsigned uid)
{
        char *end = NULL;

        for (const char *at = set; *at && *at != ' '; at = *end == ',' ? end + 1 : end) {
                unsigned long low = strtoul(at, &end, 10), high = low;
                if (*end == ':' && end[1] == '*') {
                        high = UINT32_MAX;
                        end += 2;
                } else if (*end == ':') {
                        high = strtoul(end + 1, &end, 10);
                }
                if (uid >= low && uid <= high)
                        return true;
        }
        return false;
}

static bool is_protocol(const char *name)
{
        return strcmp(prop_text(&account->values, PROP_TRANSPORT), name) == 0;
}

/* True when the connection broke over this message. */
static bool hands_out(struct session *session, unsigned uid)
{
        if (uid == box.breaks_at) {
                server_closes(session);
                return false;
        }
        box.bodies++;
        if (uid == box.next_uid)
                box.here_by_then = kept_number("box", KEPT_NUMBER_RECEIVED);
        return true;
}

static void answer_fetch(struct session *session, const char *set, bool bodies)
{
        for (unsigned i = 0, sequence = 0; i < box.count; i++) {
                if (box.messages[i].gone)
                        continue;
                sequence++;
                if (!in_set(set, box.messages[i].uid))
                        continue;
                if (!bodies)
                        server_says(session, "* %u FETCH (UID %u FLAGS () RFC822.SIZE %zu)\r\n", sequence,
                                    box.messages[i].uid, strlen(BODY));
                else if (hands_out(session, box.messages[i].uid))
                        server_says(session, "* %u FETCH (UID %u BODY[] {%zu}\r\n%s)\r\n", sequence,
                                    box.messages[i].uid, strlen(BODY), BODY);
                else
                        return;
        }
}

static void answer_uid(struct session *session, const char *command)
{
        const char *set = strchr(command, ' ') + 1;

        if (strncmp(command, "FETCH", 5) == 0)
                answer_fetch(session, set, strstr(command, "BODY.PEEK[]") != NULL);
        else if (strncmp(command, "STORE", 5) == 0)
                for (unsigned i = 0; i < box.count; i++)
                        box.messages[i].deleted |=
                                strstr(command, "\\Deleted") && in_set(set, box.messages[i].uid);
        else if (strncmp(command, "EXPUNGE", 7) == 0)
                expunge();
}

static void select_folder(struct session *session, const char *tag, const char *name)
{
        if (box.refused_folder && strstr(name, box.refused_folder))
                server_says(session, "%s NO [NONEXISTENT] no such folder\r\n", tag);
        else
                server_says(session,
                            "* %u EXISTS\r\n* OK [UIDVALIDITY 7]\r\n* OK [UIDNEXT %u] x\r\n%s OK "
                            "[READ-WRITE] x\r\n",
                            here(), box.next_uid + 1, tag);
}

static const char *offered(void)
{
        return box.no_idle_offered ? "IMAP4rev1 UIDPLUS AUTH=XOAUTH2" : "IMAP4rev1 UIDPLUS AUTH=XOAUTH2 IDLE";
}

static void imap_hears(struct session *session, char *line)
{
        char *command = strchr(line, ' ');

        if (session->state != SERVER_COMMANDS) { /* DONE, or what signs in */
                bool signing_in = session->state == SERVER_SIGNING_IN;
                session->state = SERVER_COMMANDS;
                server_says(session, "%s %s\r\n", box.tag, signing_in && box.auth ? box.auth : "OK");
                return;
        }
        must(command && command - line < 16);
        *command++ = '\0';
        (void)snprintf(box.tag, sizeof box.tag, "%s", line);
        if (strncmp(command, "AUTHENTICATE", 12) == 0) {
                session->state = SERVER_SIGNING_IN;
                server_says(session, "+ \r\n");
                return;
        }
        if (strcmp(command, "IDLE") == 0 && !box.idle_refused) {
                session->state = SERVER_IDLING;
                box.idles++;
                server_says(session, "+ idling\r\n");
                return;
        }
        if (strncmp(command, "SELECT", 6) == 0 || strncmp(command, "EXAMINE", 7) == 0) {
                select_folder(session, line, command);
                return;
        }
        if (strncmp(command, "LIST ", 5) == 0)
                server_says(session, "%s", box.folders ? box.folders : "");
        else if (strcmp(command, "CAPABILITY") == 0)
                server_says(session, "* CAPABILITY %s\r\n", offered());
        else if (strncmp(command, "UID ", 4) == 0)
                answer_uid(session, command + 4);
        else if (strcmp(command, "NOOP") == 0)
                server_says(session, "* %u EXISTS\r\n", here());
        else if (strcmp(command, "LOGOUT") == 0)
                box.quits++, server_says(session, "* BYE\r\n");
        server_says(session, "%s %s\r\n", line, strcmp(command, "IDLE") == 0 ? "NO not here" : "OK done");
}

static void answer_lists(struct session *session, bool uidl)
{
        server_says(session, "+OK\r\n");
        for (unsigned i = 0, number = 0; i < box.count; i++) {
                if (box.messages[i].gone)
                        continue;
                number++;
                if (uidl)
                        server_says(session, "%u u%u\r\n", number, box.messages[i].uid);
                else
                        server_says(session, "%u %zu\r\n", number, strlen(BODY));
        }
        server_says(session, ".\r\n");
}

/* The index of the message with that number, as the session counts. */
static unsigned numbered(const char *text)
{
        unsigned number = (unsigned)strtoul(text, NULL, 10), i = 0;

        for (;; i++)
                if (!box.messages[i].gone && --number == 0)
                        return i;
}

static void pop3_hears(struct session *session, char *line)
{
        if (strcmp(line, "CAPA") == 0) {
                server_says(session, "+OK\r\nUIDL\r\n%s.\r\n", box.pipelining ? "PIPELINING\r\n" : "");
        } else if (strcmp(line, "STAT") == 0) {
                server_says(session, "+OK %u %u\r\n", here(), here() * 20);
        } else if (strcmp(line, "LIST") == 0 || strcmp(line, "UIDL") == 0) {
                answer_lists(session, line[0] == 'U');
        } else if (strncmp(line, "RETR ", 5) == 0) {
                if (hands_out(session, box.messages[numbered(line + 5)].uid))
                        server_says(session, "+OK\r\n" BODY ".\r\n");
        } else if (strncmp(line, "DELE ", 5) == 0) {
                box.messages[numbered(line + 5)].deleted = true;
                server_says(session, "+OK\r\n");
        } else if (strcmp(line, "QUIT") == 0 && box.breaks_at_quit) {
                server_closes(session);
        } else if (strcmp(line, "QUIT") == 0) {
                box.quits++;
                expunge();
                server_says(session, "+OK bye\r\n");
        } else {
                server_says(session, "-ERR what\r\n");
        }
}

/* ---- a socket of LMTP
 * ------------------------------------------------------------------------------------------- */

static struct {
        const char *dot; /* its answer to a message; NULL: taken */
        bool refuses;    /* the connection */
        unsigned taken, sessions;
} socket_here;

static bool is_socket(const struct session *session)
{
        return session->plan.host[0] == '/';
}

static void lmtp_hears(struct session *session, const char *line)
{
        if (session->state == SERVER_IDLING) { /* within a message */
                if (strcmp(line, ".") != 0)
                        return;
                session->state = SERVER_COMMANDS;
                socket_here.taken += !socket_here.dot;
                server_says(session, "%s\r\n", socket_here.dot ? socket_here.dot : "250 2.0.0 stored");
        } else if (strcmp(line, "DATA") == 0) {
                session->state = SERVER_IDLING;
                server_says(session, "354 go\r\n");
        } else {
                server_says(session, "%s\r\n", strcmp(line, "QUIT") == 0 ? "221 bye" : "250 ok");
        }
}

static void server_begins(struct session *session)
{
        if (is_socket(session)) {
                socket_here.sessions++;
                if (socket_here.refuses)
                        server_closes(session);
                else
                        server_says(session, "220 here LMTP\r\n");
                return;
        }
        if (is_protocol("pop3"))
                server_says(session, "+OK hello\r\n");
        else
                server_says(session, "* OK [CAPABILITY %s] hello\r\n", offered());
}

static void server_hears(struct session *session, char *line)
{
        if (is_socket(session))
                lmtp_hears(session, line);
        else if (is_protocol("pop3"))
                pop3_hears(session, line);
        else
                imap_hears(session, line);
}

/* ---- the account
 * ----------------------------------------------------------------------------------------------- */

static struct receiver *receiver;

static int64_t received(void)
{
        return kept_number("box", KEPT_NUMBER_RECEIVED);
}

static void watch(int64_t seconds)
{
        for (int64_t i = 0; i < seconds; i++) {
                unsigned before = net.opened;
                pass(1);
                if (net.opened != before && box.sessions < SESSIONS_NOTED)
                        box.begun[box.sessions++] = (loop_now() - began) / 1000;
        }
}

static void begin(const char *transport)
{
        set_text_property(PROP_TRANSPORT, transport);
        set_text_property(PROP_FOLDER, "INBOX");
        receiver = account->receiver = receiver_new(account, 0);
        began = loop_now();
}

static void open_all(void)
{
        memset(&box, 0, sizeof box);
        memset(&socket_here, 0, sizeof socket_here);
        runner_open(KIND_INCOMING);
        set_text_property(PROP_FETCH, "all");
        accounts_insert(account);
}

static void close_all(void)
{
        account->receiver = NULL;
        receiver_free(take(receiver));
        settle();
        accounts_take_out(account);
        runner_close();
}

/* ---- tests
 * ----------------------------------------------------------------------------------------------------- */

START_TEST(mail_is_fetched_and_waited_for)
{
        arrives(3);
        begin("imap");
        pass(1);
        ck_assert_int_eq(received(), 3);
        check_status(ACCOUNT_OK);
        ck_assert_uint_eq(box.idles, 1);
        ck_assert_ptr_null(receiver->fetching); /* nothing is kept of the poll while it waits */
        ck_assert_int_eq(receiver_rests_ms(receiver), -1);
        pass(100);
        arrives(2);
        pass(1);
        ck_assert_int_eq(received(), 5);
        ck_assert_uint_eq(box.idles, 2);
        ck_assert_uint_eq(net.opened, 1);
        pass(24 * 3600); /* renewed within 25 minutes, and after 12 at least */
        ck_assert_uint_eq(net.opened, 1);
        ck_assert_uint_ge(box.idles, 58);
        ck_assert_int_eq(received(), 5);
        ck_assert_uint_eq(box.bodies, 5);
}
END_TEST

START_TEST(a_server_that_is_down_is_tried_less_and_less_often)
{
        /* the shortest of each spread, a fifth less: twice 4 s, then 8, 16, 32, ... up to a quarter of an
         * hour */
        static const int64_t first[] = { 0, 4, 8, 16, 32, 64, 128, 256, 512 };

        net.fails = CAUSE_CONNECT;
        arrives(1);
        begin("imap");
        watch(24 * 3600);
        check_status(ACCOUNT_DOWN);
        for (size_t i = 1; i < count_of(first); i++)
                ck_assert_int_eq(box.begun[i], first[i]);
        for (unsigned i = 1; i < box.sessions; i++)
                ck_assert_int_le(box.begun[i] - box.begun[i - 1], 900);
        ck_assert_int_ge(box.begun[box.sessions - 1] - box.begun[box.sessions - 2], 720);
        net.fails = CAUSE_NONE;
        receiver_network_changed(receiver, false, 0);
        pass(1);
        ck_assert_int_eq(received(), 1);
        check_status(ACCOUNT_OK);
}
END_TEST

START_TEST(a_session_that_is_lost_while_it_waits_comes_back)
{
        begin("imap");
        pass(3600);
        ck_assert_uint_eq(net.opened, 1);
        server_closes(net.first);
        pass(4);
        ck_assert_uint_eq(net.opened, 2);
        check_status(ACCOUNT_OK);
        ck_assert_int_eq(kept_number("box", KEPT_LAST_POLL_FAILURE), 0);
        for (int i = 0; i < 3; i++) { /* a proxy that keeps none: each look has a session of its own then */
                pass(5);
                if (net.first)
                        server_closes(net.first);
                pass(10);
        }
        unsigned before = net.opened, idled = box.idles;
        pass(1800);
        ck_assert_uint_ge(net.opened - before, 29);
        ck_assert_uint_le(net.opened - before, 31);
        ck_assert_uint_eq(box.idles, idled);
        ck_assert_uint_eq(net.open, 0);
        check_status(ACCOUNT_OK);
        pass(2 * 3600); /* and waiting is tried again */
        ck_assert_uint_gt(box.idles, idled);
}
END_TEST

START_TEST(a_server_that_does_not_idle_is_polled)
{
        box.no_idle_offered = _i == 0;
        box.idle_refused = _i == 1;
        begin("imap");
        pass(2);
        for (unsigned i = 1; i <= 10; i++) {
                arrives(1);
                pass(60);
                ck_assert_int_eq(received(), i);
                ck_assert_ptr_null(receiver->fetching);
        }
        ck_assert_uint_eq(net.opened, 1); /* it is kept between looks */
        ck_assert_uint_eq(box.idles, 0);
        set_number_property(PROP_POLL_RATE, 3600);
        receiver_start_over(receiver, 0);
        pass(10);
        ck_assert_uint_eq(net.open, 0); /* so long it is not */
}
END_TEST

START_TEST(what_pop3_fetched_is_deleted_by_quit)
{
        set_text_property(PROP_DELIVERY_POLICY, "delete");
        arrives(3);
        begin("pop3");
        pass(1);
        ck_assert_int_eq(received(), 3);
        ck_assert_uint_eq(here(), 0);
        ck_assert_uint_eq(box.quits, 1);
        box.breaks_at_quit = true;
        arrives(1);
        pass(61);
        ck_assert_int_eq(received(), 4);
        ck_assert_uint_eq(here(), 1);
        check_status(ACCOUNT_DOWN); /* nobody knows whether it is deleted */
        box.breaks_at_quit = false;
        pass(10);
        ck_assert_uint_eq(here(), 0);
        ck_assert_int_eq(received(), 4); /* told once more, and not fetched again */
        check_status(ACCOUNT_OK);
        watch(3600);
        ck_assert_uint_ge(box.sessions, 59);
        ck_assert_uint_le(box.sessions, 61);
}
END_TEST

START_TEST(a_good_bye_that_nothing_hangs_on_may_fail)
{
        box.breaks_at_quit = true;
        arrives(2);
        begin("pop3");
        pass(1);
        ck_assert_int_eq(received(), 2);
        check_status(ACCOUNT_OK);
        pass(60);
        ck_assert_uint_eq(net.opened, 2);
        check_status(ACCOUNT_OK);
}
END_TEST

START_TEST(a_message_that_breaks_sessions_does_not_hold_up_the_others)
{
        arrives(4);
        box.breaks_at = 2;
        begin(_i ? "pop3" : "imap");
        for (unsigned second = 0; second < 300; second++) {
                pass(1);
                /* whoever is well has worked */
                ck_assert(account->status != ACCOUNT_OK || kept_number("box", KEPT_LAST_POLL_SUCCESS));
        }
        ck_assert_int_eq(received(), 3);
        arrives(1);
        pass(3600);
        ck_assert_int_eq(received(), 4);
        box.breaks_at = 0;
        pass(6 * 3600);
        ck_assert_int_eq(received(), 5);
        check_status(ACCOUNT_OK);
}
END_TEST

START_TEST(a_disk_that_takes_no_mail_is_tried_again_soon)
{
        arrives(2);
        begin("imap");
        disk_takes_writes(false);
        pass(30);
        enum cause_code code = account->cause->code;
        int64_t came = received();
        unsigned sessions = net.opened;
        disk_takes_writes(true);
        ck_assert_int_eq(code, CAUSE_STORAGE);
        ck_assert_int_eq(came, 0);
        ck_assert_uint_ge(sessions, 2);
        ck_assert_uint_le(sessions, 8);
        pass(60);
        ck_assert_int_eq(received(), 2);
        check_status(ACCOUNT_OK);
}
END_TEST

START_TEST(a_session_whose_trust_has_gone_ends)
{
        begin("imap");
        pass(10);
        receiver_check_trust(receiver); /* what it rests on stands */
        settle();
        ck_assert_uint_eq(net.opened, 1);
        net.first->untrusted = true;
        net.fails = CAUSE_CHALLENGE;
        net.challenge_id = "abc";
        receiver_check_trust(receiver);
        pass(1);
        ck_assert_uint_eq(net.opened, 2);
        check_status(ACCOUNT_CHALLENGE);
        ck_assert_str_eq(account->challenge_id, "abc");
        watch(24 * 3600); /* asked again by the hour */
        ck_assert_uint_ge(box.sessions, 20);
        ck_assert_uint_le(box.sessions, 32);
        net.fails = CAUSE_NONE;
        account_start_over(account);
        receiver_start_over(receiver, 0);
        pass(1);
        check_status(ACCOUNT_OK);
}
END_TEST

START_TEST(a_session_that_another_may_be_better_than_is_renewed)
{
        begin("imap");
        pass(10);
        ck_assert_uint_eq(net.opened, 1);
        net.first->may_verify = true;
        receiver_check_trust(receiver);
        pass(1);
        ck_assert_uint_eq(net.opened, 2);
        ck_assert_uint_eq(net.open, 1);
        check_status(ACCOUNT_OK);
        arrives(1);
        pass(120);
        ck_assert_int_eq(received(), 1);
}
END_TEST

START_TEST(a_session_made_while_trust_changed_says_nothing)
{
        begin("imap");
        net.silent = true;
        pass(1);
        ck_assert_uint_eq(net.open, 1);
        net.first->trust_moved = true;
        net.silent = false;
        net_breaks(NULL, CAUSE_CLOSED);
        pass(1);
        check_status(ACCOUNT_OK);
        ck_assert_int_eq(kept_number("box", KEPT_LAST_POLL_FAILURE), 0);
}
END_TEST

START_TEST(another_network_makes_sessions_anew)
{
        begin("imap");
        pass(100);
        receiver_network_changed(receiver, false, 50);
        pass(1);
        ck_assert_uint_eq(net.opened, 1); /* its way is there */
        net.first->unrouted = true;
        receiver_network_changed(receiver, false, 5000);
        settle();
        ck_assert_uint_eq(net.open, 0);
        pass_ms(4900);
        ck_assert_uint_eq(net.opened, 1);
        pass_ms(200);
        ck_assert_uint_eq(net.opened, 2);
        pass(10);
        receiver_network_changed(receiver, true, 0);
        pass(1);
        ck_assert_uint_eq(net.opened, 3);
        check_status(ACCOUNT_OK);
}
END_TEST

START_TEST(a_withdrawn_token_is_fetched_anew)
{
        use_tokens();
        arrives(1);
        begin("imap");
        pass(1);
        ck_assert_uint_eq(questions, 1);
        answer_token("one", 3600, CAUSE_NONE);
        pass(1);
        ck_assert_int_eq(received(), 1);
        box.auth = "NO [AUTHENTICATIONFAILED] revoked";
        server_closes(net.first);
        pass(5);
        ck_assert_uint_eq(questions, 2);
        ck_assert_int_ne(account->status, ACCOUNT_FAULT);
        box.auth = NULL;
        answer_token("two", 3600, CAUSE_NONE);
        pass(1);
        check_status(ACCOUNT_OK);
        box.auth = "NO [AUTHENTICATIONFAILED] revoked";
        server_closes(net.first);
        pass(5);
        ck_assert_uint_eq(questions, 3);
        answer_token("three", 3600, CAUSE_NONE); /* which was never good: a new one would fare no better */
        pass(1);
        ck_assert_uint_eq(questions, 3);
        ck_assert_int_ne(account->status, ACCOUNT_OK);
}
END_TEST

START_TEST(an_endpoint_that_is_down_is_asked_again)
{
        use_tokens();
        begin("imap");
        pass(1);
        answer_token(NULL, 0, CAUSE_CONNECT);
        check_status(ACCOUNT_DOWN);
        ck_assert_uint_eq(net.opened, 0);
        pass(6);
        ck_assert_uint_eq(questions, 2);
        receiver_start_over(receiver, 0); /* nobody waits for that answer any more */
        pass(1);
        answer_token("one", 3600, CAUSE_NONE);
        pass(1);
        check_status(ACCOUNT_OK);
        ck_assert_uint_eq(net.opened, 1);
}
END_TEST

START_TEST(folders_are_looked_at_in_turn)
{
        set_text_property(PROP_FOLDER, "INBOX");
        begin("imap");
        pass(1);
        set_text_property(PROP_FOLDER, "INBOX,Sent,Other");
        box.refused_folder = "Sent";
        receiver_start_over(receiver, 0);
        pass(1);
        check_status(ACCOUNT_OK);
        json_t *warnings = json_array();
        receiver_warnings(receiver, warnings);
        ck_assert_uint_eq(json_array_size(warnings), 1);
        json_decref(warnings);
        box.refused_folder = NULL;
        pass(61); /* with several folders there is a look each minute */
        warnings = json_array();
        receiver_warnings(receiver, warnings);
        ck_assert_uint_eq(json_array_size(warnings), 0);
        json_decref(warnings);
        box.refused_folder = "INBOX";
        set_text_property(PROP_FOLDER, "INBOX");
        receiver_start_over(receiver, 0);
        pass(1);
        ck_assert_int_eq(account->cause->code, CAUSE_MAILBOX);
}
END_TEST

START_TEST(folders_that_fit_a_pattern_are_asked_for)
{
        set_text_property(PROP_FOLDER, "INBOX");
        box.folders = "* LIST (\\HasNoChildren) \"/\" INBOX\r\n* LIST (\\Noselect) \"/\" Top\r\n"
                      "* LIST () \"/\" \"Top/One\"\r\n";
        begin("imap");
        pass(1);
        set_text_property(PROP_FOLDER, "*");
        receiver_start_over(receiver, 0);
        pass(1);
        check_status(ACCOUNT_OK);
        box.refused_folder = "Top/One"; /* one of two that can be opened */
        pass(61);
        json_t *warnings = json_array();
        receiver_warnings(receiver, warnings);
        ck_assert_uint_eq(json_array_size(warnings), 1);
        json_decref(warnings);
        box.folders = NULL; /* and none fits any more */
        receiver_start_over(receiver, 0);
        pass(1);
        ck_assert_int_eq(account->cause->code, CAUSE_MAILBOX);
}
END_TEST

START_TEST(a_poll_is_answered_when_the_look_is_over)
{
        struct answered_poll answer = { 0 };

        begin("imap");
        receiver_poll(receiver, poll_answered, &answer);
        arrives(2);
        pass(1);
        ck_assert_uint_eq(answer.times, 1);
        ck_assert_uint_eq(answer.result.received, 2);
        pass(10);
        receiver_poll(receiver, poll_answered, &answer); /* while it idles */
        receiver_poll(receiver, poll_answered, &answer); /* and while it wakes */
        settle();
        ck_assert_uint_eq(answer.times, 3);
        net.fails = CAUSE_RESOLVE;
        receiver_start_over(receiver, 0);
        pass(1);
        receiver_poll(receiver, poll_answered, &answer);
        settle();
        ck_assert_uint_eq(answer.times, 4);
        ck_assert_int_eq(answer.result.cause.code, CAUSE_RESOLVE);
        set_number_property(PROP_ENABLED, 0);
        receiver_poll(receiver, poll_answered, &answer);
        ck_assert_uint_eq(answer.times, 5);
        ck_assert_int_eq(answer.result.cause.code, CAUSE_DISABLED);
}
END_TEST

/* Where the server is told nothing, the next messages are asked for while the last ones go to the disk. */
START_TEST(a_large_mailbox_comes_without_waiting_for_the_disk)
{
        set_text_property(PROP_DELIVERY_POLICY, "markAsUnread");
        box.pipelining = true;
        arrives(MESSAGES);
        begin(_i ? "pop3" : "imap");
        pass(5);
        ck_assert_int_eq(received(), MESSAGES);
        ck_assert_uint_eq(box.bodies, MESSAGES);
        ck_assert_int_lt(box.here_by_then, 2000);
        check_status(ACCOUNT_OK);
}
END_TEST

START_TEST(a_poll_during_a_look_is_another_look)
{
        struct answered_poll answer = { 0 };

        begin(_i ? "pop3" : "imap");
        net.silent = true;
        pass(1);
        net.silent = false;
        server_begins(net.first);
        for (int i = 0; i < 6; i++)
                loop_advance(0); /* the look has begun */
        receiver_poll(receiver, poll_answered, &answer);
        settle();
        pass(1);
        ck_assert_uint_eq(answer.times, 1);
        ck_assert_int_eq(answer.result.cause.code, CAUSE_NONE);
        check_status(ACCOUNT_OK);
}
END_TEST

START_TEST(an_account_test_is_believed)
{
        struct cause good = { 0 }, bad;

        cause_set(&bad, CAUSE_CONNECT, "down");
        net.fails = CAUSE_AUTHENTICATION;
        begin("imap");
        pass(1);
        check_status(ACCOUNT_FAULT);
        unsigned before = net.opened;
        receiver_tested(receiver, &bad); /* as is known */
        pass(1);
        ck_assert_uint_eq(net.opened, before);
        net.fails = CAUSE_NONE;
        receiver_tested(receiver, &good);
        pass(1);
        check_status(ACCOUNT_OK);
        receiver_tested(receiver, &bad); /* is looked into */
        pass(1);
        ck_assert_uint_eq(net.opened, before + 2);
        check_status(ACCOUNT_OK);
}
END_TEST

START_TEST(mail_is_handed_on_to_a_socket)
{
        set_text_property(PROP_DELIVER_TO, "lmtp:/run/here");
        set_text_property(PROP_DELIVER_TO_ADDRESS, "ann@example.net");
        socket_here.refuses = true;
        arrives(2);
        begin("imap");
        pass(1);
        ck_assert_uint_eq(socket_here.taken, 0);
        check_status(ACCOUNT_DOWN); /* it stays at the server until it is taken */
        ck_assert_ptr_nonnull(strstr(account->cause->text, "/run/here"));
        socket_here.refuses = false;
        pass(10);
        ck_assert_uint_eq(socket_here.taken, 2);
        check_status(ACCOUNT_OK);
        socket_here.dot = "451 4.3.0 later";
        arrives(1);
        pass(1);
        check_status(ACCOUNT_DOWN);
        ck_assert_uint_eq(socket_here.taken, 2);
        socket_here.dot = "550 5.1.1 never"; /* then it is kept here */
        pass(60);
        check_status(ACCOUNT_OK);
        ck_assert_int_eq(kept_number("box", KEPT_HANDED_BACK), 1);
        socket_here.dot = NULL;
        arrives(1);
        pass(1);
        ck_assert_uint_eq(socket_here.taken, 3);
        ck_assert_int_eq(received(), 4);
        pass(20);
        ck_assert_uint_eq(net.open, 1); /* the mailbox's: no session with the socket is kept */
}
END_TEST

/* One over maxMessageSize is left at the server, and a note stands for it. */
START_TEST(a_note_stands_for_what_is_too_large)
{
        set_number_property(PROP_MAX_MESSAGE_SIZE, 10);
        arrives(2);
        begin("pop3");
        pass(1);
        ck_assert_uint_eq(box.bodies, 0);
        ck_assert_uint_eq(here(), 2);
        check_status(ACCOUNT_OK);
        pass(3600);
        ck_assert_uint_eq(box.bodies, 0);
        set_number_property(PROP_MAX_MESSAGE_SIZE, 1000);
        receiver_start_over(receiver, 0);
        pass(1);
        ck_assert_uint_eq(box.bodies, 2);
        check_status(ACCOUNT_OK);
}
END_TEST

START_TEST(winding_down_ends_what_waits_at_once)
{
        begin("imap");
        pass(10);
        ck_assert(receiver_busy(receiver));
        receiver_wind_down(receiver);
        settle();
        ck_assert(!receiver_busy(receiver));
        pass(24 * 3600);
        ck_assert_uint_eq(net.opened, 1);
}
END_TEST

START_TEST(it_may_be_freed_at_any_moment)
{
        arrives(10);
        begin(_i % 2 ? "pop3" : "imap");
        for (int i = 0; i < _i; i++) /* turn by turn */
                loop_advance(i == 0);
        account->receiver = NULL;
        receiver_free(take(receiver));
        settle();
        ck_assert_uint_eq(net.open, 0);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("receiver");
        TCase *cases = tcase_create("receiver");

        tcase_set_timeout(cases, 60);
        tcase_add_checked_fixture(cases, open_all, close_all);
        tcase_add_test(cases, mail_is_fetched_and_waited_for);
        tcase_add_test(cases, a_server_that_is_down_is_tried_less_and_less_often);
        tcase_add_test(cases, a_session_that_is_lost_while_it_waits_comes_back);
        tcase_add_loop_test(cases, a_server_that_does_not_idle_is_polled, 0, 2);
        tcase_add_test(cases, what_pop3_fetched_is_deleted_by_quit);
        tcase_add_test(cases, a_good_bye_that_nothing_hangs_on_may_fail);
        tcase_add_loop_test(cases, a_message_that_breaks_sessions_does_not_hold_up_the_others, 0, 2);
        tcase_add_test(cases, a_disk_that_takes_no_mail_is_tried_again_soon);
        tcase_add_test(cases, a_session_whose_trust_has_gone_ends);
        tcase_add_test(cases, a_session_that_another_may_be_better_than_is_renewed);
        tcase_add_test(cases, a_session_made_while_trust_changed_says_nothing);
        tcase_add_test(cases, another_network_makes_sessions_anew);
        tcase_add_test(cases, a_withdrawn_token_is_fetched_anew);
        tcase_add_test(cases, an_endpoint_that_is_down_is_asked_again);
        tcase_add_test(cases, folders_are_looked_at_in_turn);
        tcase_add_test(cases, folders_that_fit_a_pattern_are_asked_for);
        tcase_add_test(cases, a_poll_is_answered_when_the_look_is_over);
        tcase_add_loop_test(cases, a_poll_during_a_look_is_another_look, 0, 2);
        tcase_add_loop_test(cases, a_large_mailbox_comes_without_waiting_for_the_disk, 0, 2);
        tcase_add_test(cases, an_account_test_is_believed);
        tcase_add_test(cases, mail_is_handed_on_to_a_socket);
        tcase_add_test(cases, a_note_stands_for_what_is_too_large);
        tcase_add_test(cases, winding_down_ends_what_waits_at_once);
        tcase_add_loop_test(cases, it_may_be_freed_at_any_moment, 0, 40);
        suite_add_tcase(suite, cases);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
