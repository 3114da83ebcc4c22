/* SPDX-License-Identifier: MIT */
/* Those who take received mail; see handover.h. */
#include "tests/simulator/handover.h"

#include "common/deliver.h"
#include "tests/simulator/talk.h"
#include "tests/simulator/world.h"

#include <jansson.h>
#include <stdio.h>
#include <strings.h>

enum { AGAIN_MOST = 30 };

struct given { /* a message that was taken, or refused for good */
        const struct member *member;
        unsigned life; /* the account's */
        uint32_t number;
        bool taken, refused;
        bool heard;        /* the answer has been */
        unsigned heard_by; /* that start of the daemon */
        bool settled;      /* and was written down: another one came after it */
        unsigned times;
        struct given *next;
};
static struct given **all;

static struct given *find(const struct member *member, uint32_t number)
{
        struct given *given = *all;

        while (given && (given->member != member || given->life != member->lives || given->number != number))
                given = given->next;
        return given;
}

bool handover_has(const struct member *member, uint32_t number)
{
        const struct given *given = find(member, number);

        return given && given->taken;
}

bool handover_refused(const struct member *member, uint32_t number)
{
        const struct given *given = find(member, number);

        return given && given->refused;
}

/* NULL: nobody of that name. */
static const struct member *member_named(const char *name, size_t len)
{
        const struct member *member = members_first();

        while (member && (strlen(member->name) != len || memcmp(member->name, name, len) != 0))
                member = member->next;
        return member;
}

/* The message, as it came: before it is answered. */
static void comes(const struct member *member, uint32_t number, const char *who)
{
        struct given *given = find(member, number);

        if (given && given->settled)
                violated("mail.handed-twice", "message %u of %s is given to %s again", number, member->name,
                         who);
        for (struct given *other = *all; other; other = other->next)
                if (other->member == member && other != given && other->heard &&
                    other->heard_by == daemon_life() && !feature("disk.errors", 25) &&
                    !feature("disk.full", 40))
                        other->settled = true;
}

static struct given *answered_for_good(const struct member *member, uint32_t number, bool refused,
                                       const char *who)
{
        struct given *given = find(member, number);

        history(who, "%s message %u of %s%s", refused ? "refuses" : "has", number, member->name,
                given ? " again" : "");
        if (!given) {
                given = world_alloc(sizeof *given);
                given->member = member;
                given->life = member->lives;
                given->number = number;
                given->next = *all;
                *all = given;
        }
        given->taken |= !refused;
        given->refused |= refused;
        given->heard = false;
        if (++given->times > AGAIN_MOST)
                violated("mail.handed-twice", "message %u of %s was given %u times", number, member->name,
                         given->times);
        return given;
}

/* Which message these bytes are; it must be one. */
static uint32_t number_of(const char *bytes, size_t len, bool lf, const char *who)
{
        uint32_t number = letter_number(bytes, len);

        if (!number || !letter_is(number, bytes, len, lf))
                violated("mail.handed-bytes", "%s has %zu bytes that are not message %u", who, len, number);
        return number;
}

/* ---- LMTP (RFC 2033) ---- */

struct lmtp_state {
        bool in_data;
        const struct member *member; /* the recipient */
        struct given *last;          /* was answered last */
        struct buf body;
};

static void lmtp_greet(struct talk *talk)
{
        struct lmtp_state *lmtp = talk->state;

        buf_init(&lmtp->body, TALK_MOST);
        if (odd(talk, ODD_BUSY)) {
                talk_say(talk, "421 too busy");
                talk_end(talk);
        } else {
                talk_say(talk, "220 lmtp");
        }
}

static void lmtp_take(struct talk *talk)
{
        struct lmtp_state *lmtp = talk->state;
        const struct member *member = lmtp->member;
        uint32_t number = number_of((const char *)buf_bytes(&lmtp->body), lmtp->body.len, false, "lmtp");

        lmtp->in_data = false;
        lmtp->member = NULL;
        buf_free(&lmtp->body);
        buf_init(&lmtp->body, TALK_MOST);
        comes(member, number, "lmtp");
        if (odd(talk, ODD_TEMPORARY)) {
                talk_say(talk, "452 4.2.2 the mailbox is full");
                return;
        }
        bool refused = odd(talk, ODD_PERMANENT);
        lmtp->last = answered_for_good(member, number, refused, "lmtp");
        if (odd(talk, ODD_LOST_REPLY))
                talk_reset(talk);
        else
                talk_say(talk, refused ? "554 5.7.1 not that one" : "250 2.0.0 I have it");
}

static void lmtp_command(struct talk *talk, const char *line)
{
        struct lmtp_state *lmtp = talk->state;
        const char *from = strchr(line, '<'), *to = from ? strchr(from, '@') : NULL;

        if (lmtp->last) {
                lmtp->last->heard = true;
                lmtp->last->heard_by = daemon_life();
                lmtp->last = NULL;
        }
        if (strncasecmp(line, "LHLO ", 5) == 0) {
                talk_say(talk, "250-lmtp\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES");
        } else if (strncasecmp(line, "RCPT TO:", 8) == 0) {
                lmtp->member = to ? member_named(from + 1, (size_t)(to - from - 1)) : NULL;
                bool later = lmtp->member && odd(talk, ODD_TEMPORARY);
                if (later)
                        lmtp->member = NULL;
                talk_say(talk, later          ? "450 4.2.1 not now"
                               : lmtp->member ? "250 2.1.5 yes"
                                              : "550 5.1.1 nobody of that name");
        } else if (strcasecmp(line, "DATA") == 0) {
                lmtp->in_data = lmtp->member != NULL;
                talk_say(talk, lmtp->in_data ? "354 go on" : "503 5.5.1 for whom?");
        } else if (strcasecmp(line, "QUIT") == 0) {
                talk_say(talk, "221 2.0.0 bye");
                talk_end(talk);
        } else {
                talk_say(talk, "250 2.0.0 so");
        }
}

static bool lmtp_eat(struct talk *talk)
{
        struct lmtp_state *lmtp = talk->state;
        bool over;

        if (!lmtp->in_data) {
                scoped(scoped_free) char *line = talk_line(talk);
                if (line && !talk_is_odd(talk))
                        lmtp_command(talk, line);
                return line != NULL;
        }
        if (!talk_text(talk, &lmtp->body, &over))
                return false;
        if (over)
                lmtp_take(talk);
        return true;
}

static void lmtp_gone(struct talk *talk, bool killed)
{
        struct lmtp_state *lmtp = talk->state;

        if (!killed)
                buf_free(&lmtp->body);
}

static void no_news(struct talk *talk)
{
        (void)talk;
}

const struct engine lmtp_engine = {
        sizeof(struct lmtp_state), lmtp_greet, lmtp_eat, no_news, smtp_leave, lmtp_gone
};

/* ---- commands ---- */

static void exec_greet(struct talk *talk)
{
        (void)talk;
}

/* What became of the command; sysexits.h. */
static void exec_answer(struct talk *talk, const struct member *member, uint32_t number)
{
        enum { TEMPFAIL = 75, NOT_FOUND = 127 };
        bool later = odd(talk, ODD_TEMPORARY), missing = !later && odd(talk, ODD_GARBAGE);
        bool refused = !later && !missing && odd(talk, ODD_PERMANENT);

        if (!later && !missing)
                (void)answered_for_good(member, number, refused, "command");
        if (odd(talk, ODD_LOST_REPLY)) {
                talk_end(talk);
                return;
        }
        scoped(scoped_free) char *text =
                refused && chance_permille("command", 300)
                        ? text_of("{\"signal\": 11, \"lastLine\": \"\"}")
                        : text_of("{\"status\": %d, \"lastLine\": \"some words\"}", later     ? TEMPFAIL
                                                                                    : missing ? NOT_FOUND
                                                                                              : refused);
        talk_say_bytes(talk, text, strlen(text) + 1);
        talk_end(talk);
}

static bool exec_eat(struct talk *talk)
{
        const char *bytes = (const char *)buf_bytes(&talk->in);
        size_t len = 0;

        if (!talk->in.len || !memchr(bytes, '\0', talk->in.len))
                return false;
        json_t *call = json_loads(bytes, 0, NULL);
        const char *name =
                json_string_value(json_object_get(json_object_get(call, "environment"), "EMAILSEC_ACCOUNT"));
        const struct member *member = name ? member_named(name, strlen(name)) : NULL;
        char *message = peer_file(talk->peer, &len);
        buf_consume(&talk->in, talk->in.len);
        if (!member || !message)
                violated("mail.handed-bytes", "a command has no account or no message");
        json_decref(call);
        uint32_t number = number_of(message, len, true, "command");
        world_free(message);
        comes(member, number, "command");
        if (!talk_is_odd(talk)) {
                talk_rest(talk, chance_about("command", SECOND_MS));
                exec_answer(talk, member, number);
        }
        return false;
}

static void exec_gone(struct talk *talk, bool killed)
{
        (void)talk;
        (void)killed;
}

const struct engine exec_engine = { 1, exec_greet, exec_eat, no_news, NULL, exec_gone };

void handover_open(void)
{
        all = world_alloc(sizeof *all);
        server_live(server_make_local(SPEAK_LMTP, "lmtp", HANDOVER_LMTP));
        server_live(server_make_local(SPEAK_EXEC, "command", HANDOVER_EXEC));
}
