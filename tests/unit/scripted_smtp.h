/* SPDX-License-Identifier: MIT */
/* An outgoing account in virtual time: a server that is played, mail that is handed in, its queue. */
#pragma once

#include "daemon/outgoing/sender.h"

#include "runner_script.h"

#include "daemon/store/queue_table.h"

/* ---- the server
 * ------------------------------------------------------------------------------------------------ */

enum { SERVER_COMMANDS, SERVER_CONTENT, SERVER_HAS_ONE };
enum { SESSIONS_NOTED = 4096 };

static struct {
        const char *greeting, *auth, *rcpt,
                *dot;                  /* what it says other than usual; "": nothing; NULL: the usual */
        bool closes_at_dot;            /* in place of a reply */
        bool one_recipient;            /* of a message at once */
        bool one_message;              /* in a session: it ends at the next one */
        unsigned recipients;           /* of the message that comes */
        unsigned messages, quits;      /* taken; good-byes said */
        unsigned lets_in, turned_away; /* sessions at once, 0: all; others */
        unsigned sessions;
        int64_t begun[SESSIONS_NOTED]; /* when, in seconds since the beginning of the test */
        char content[8192];            /* of the last message: as much as there is room for */
        void (*plays)(struct session *session, const char *line); /* another protocol; NULL: SMTP */
} server;

static void server_begins(struct session *session)
{
        if (server.lets_in && net.open > server.lets_in) {
                server.turned_away++;
                server_says(session, "421 4.7.0 too many sessions\r\n");
        } else if (!server.greeting) {
                server_says(session, "220 mail.example.net hello\r\n");
        } else if (server.greeting[0]) {
                server_says(session, "%s\r\n", server.greeting);
        }
}

static void server_hears(struct session *session, char *line)
{
        if (server.plays) {
                server.plays(session, line);
        } else if (session->state == SERVER_CONTENT) {
                size_t used = strlen(server.content);
                (void)snprintf(server.content + used, sizeof server.content - used, "%s\n", line);
                if (strcmp(line, ".") != 0)
                        return;
                session->state = server.one_message ? SERVER_HAS_ONE : SERVER_COMMANDS;
                if (server.closes_at_dot) {
                        server_closes(session);
                        return;
                }
                server.messages += !server.dot || server.dot[0] == '2';
                server_says(session, "%s\r\n", server.dot ? server.dot : "250 2.0.0 taken");
        } else if (strncmp(line, "EHLO", 4) == 0) {
                server_says(session,
                            "250-mail.example.net\r\n250-AUTH XOAUTH2\r\n%s250 ENHANCEDSTATUSCODES\r\n",
                            server.one_message ? "250-PIPELINING\r\n" : "");
        } else if (strncmp(line, "AUTH", 4) == 0) {
                server_says(session, "%s\r\n", server.auth ? server.auth : "235 2.7.0 welcome");
        } else if (strncmp(line, "MAIL", 4) == 0 && session->state == SERVER_HAS_ONE) {
                server_says(session, "421 closing\r\n");
        } else if (strncmp(line, "MAIL", 4) == 0) {
                server.recipients = 0;
                server_says(session, "250 2.1.0 ok\r\n");
        } else if (strncmp(line, "RCPT", 4) == 0 && server.one_recipient && server.recipients++) {
                server_says(session, "452 4.5.3 too many recipients\r\n");
        } else if (strncmp(line, "RCPT", 4) == 0) {
                server_says(session, "%s\r\n", server.rcpt ? server.rcpt : "250 2.1.5 ok");
        } else if (strcmp(line, "DATA") == 0) {
                session->state = SERVER_CONTENT;
                server.content[0] = '\0';
                server_says(session, "354 go\r\n");
        } else if (strcmp(line, "QUIT") == 0) {
                server.quits++;
                server_says(session, "221 2.0.0 bye\r\n");
        } else {
                server_says(session, "250 2.0.0 ok\r\n");
        }
}

/* ---- mail
 * ------------------------------------------------------------------------------------------------------ */

static struct sender *sender;
static struct {
        const char *text; /* of the next ones; NULL: a few words */
        bool are_told;    /* the sender knows of mail before it is in the queue, as the daemon's do */
        uint64_t claimed; /* when the last one was answered */
} submissions;

static void mail_comes(unused_arg const char *name)
{
        if (submissions.are_told)
                sender_expect(sender);
}

static void submitted(void *ctx, const char *id, unused_arg bool duplicate, const struct cause *cause)
{
        submissions.claimed = queue_counts("box").messages[QUEUE_SENDING];
        ck_assert_msg(!cause_happened(cause), "%s", cause ? cause->text : "");
        if (ctx)
                (void)snprintf(ctx, QUEUE_ID_SIZE, "%s", id);
}

static inline void submit_to(size_t recipients, unsigned count)
{
        static const char *to[] = { "ann@example.com", "cat@example.com" };
        struct submission submission = {
                .account = "box",
                .from = "bob@example.net",
                .recipients = to,
                .recipient_count = recipients,
                .submitted_by = "test",
                .rules = { .hostname = "h", .from = "bob@example.net", .now = loop_wall(), .max_size = MIB },
                .lifetime = 30 * 24 * 3600,
                .account_clock = account_clock(account),
                .max_queue = 100000,
                .fd = -1,
                .bytes = submissions.text ? submissions.text : "Subject: x\n\nbody\n",
                .len = submissions.text ? strlen(submissions.text) : 17,
                .coming = mail_comes,
        };

        for (unsigned i = 0; i < count; i++)
                queue_submit(&submission, submitted, NULL);
        settle();
        sender_kick(sender);
        settle();
}

static inline void submit(unsigned count)
{
        submit_to(1, count);
}

static inline uint64_t in_state(enum queue_state state)
{
        return queue_counts("box").messages[state];
}

#define check_queue(state, count) ck_assert_uint_eq(in_state(state), count)
