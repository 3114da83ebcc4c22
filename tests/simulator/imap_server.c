/* SPDX-License-Identifier: MIT */
/*
 * A simulated IMAP server (RFC 3501 with IDLE, UIDPLUS and SASL-IR where it offers them): one folder, INBOX,
 * for each user. What it hands out and what is marked and deleted stands in the mailbox itself.
 */
#include "tests/simulator/base64.h"
#include "tests/simulator/ledger.h"
#include "tests/simulator/talk.h"
#include "tests/simulator/world.h"

#include <stdio.h>
#include <strings.h>

enum { TAG_MOST = 32 };

enum stage { AT_COMMAND, AT_PLAIN, AT_LITERAL, AT_IDLE };

struct imap_state {
        enum stage stage;
        char tag[TAG_MOST];
        bool selected, read_only;
        size_t literal;     /* bytes to come, AT_LITERAL */
        struct buf command; /* LOGIN with its literals, so far */
        size_t told;        /* EXISTS, last */
};

static bool begins(const char *line, const char *word)
{
        return strncasecmp(line, word, strlen(word)) == 0;
}

static void tell_capabilities(struct talk *talk)
{
        uint32_t offers = talk->server->offers;
        bool clear = talk->server->starttls && !talk->ssl;

        talk_say(talk, "* CAPABILITY IMAP4rev1%s%s%s%s", clear ? " STARTTLS LOGINDISABLED" : " AUTH=PLAIN",
                 offers & OFFER_IDLE ? " IDLE" : "", offers & OFFER_UIDPLUS ? " UIDPLUS" : "",
                 offers & OFFER_SASL_IR ? " SASL-IR" : "");
}

static void imap_greet(struct talk *talk)
{
        struct imap_state *imap = talk->state;

        buf_init(&imap->command, TALK_MOST);
        if (odd(talk, ODD_BUSY)) {
                talk_say(talk, "* BYE [UNAVAILABLE] too busy, come again");
                talk_end(talk);
        } else if (talk_is_too_many(talk)) {
                talk_say(talk, "* BYE [LIMIT] too many sessions");
                talk_end(talk);
        } else if (odd(talk, ODD_GARBAGE)) {
                talk_say(talk, "220 smtp, as it seems");
                talk_end(talk);
        } else {
                talk_say(talk, "* OK %s is ready", talk->server->host);
        }
}

static void done(struct talk *talk, const char *word, const char *text)
{
        struct imap_state *imap = talk->state;

        talk_say(talk, "%s %s %s", imap->tag, word, text);
}

/* ---- sign-in ---- */

static void sign_in(struct talk *talk, const char *user, const char *password)
{
        struct imap_state *imap = talk->state;

        imap->stage = AT_COMMAND;
        if (odd(talk, ODD_SIGNIN_DOWN)) {
                done(talk, "NO", "[UNAVAILABLE] cannot look that up now");
        } else if (ledger_signs_in(talk->server, user, password)) {
                talk->user = server_find_user(talk->server, user);
                done(talk, "OK", "signed in");
        } else {
                done(talk, "NO", "[AUTHENTICATIONFAILED] user or password is wrong");
        }
}

static void heard_plain(struct talk *talk, const char *text)
{
        struct imap_state *imap = talk->state;
        char plain[PLAIN_MOST];
        const char *user, *password;

        imap->stage = AT_COMMAND;
        if (base64_read_plain(text, plain, &user, &password))
                sign_in(talk, user, password);
        else
                done(talk, "BAD", "that is no PLAIN response");
}

/* An astring at *at: quoted, an atom, or a literal that has come. */
static void astring(const char **at, char *to, size_t size)
{
        const char *from = *at;
        size_t len = 0;
        char end = *from == '"' ? '"' : ' ';

        if (*from == '{') {
                size_t want = (size_t)strtoull(from + 1, NULL, 10);
                from = strchr(from, '\n') + 1;
                for (; want && *from; want--, from++)
                        if (len + 1 < size)
                                to[len++] = *from;
                end = ' ';
        } else {
                from += end == '"';
                for (; *from && *from != end; from++) {
                        if (end == '"' && *from == '\\')
                                from++;
                        if (len + 1 < size)
                                to[len++] = *from;
                }
                from += *from == '"';
        }
        to[len] = '\0';
        *at = *from == ' ' ? from + 1 : from;
}

static void heard_login(struct talk *talk, const char *at)
{
        char user[64], password[64];

        astring(&at, user, sizeof user);
        astring(&at, password, sizeof password);
        sign_in(talk, user, password);
}

static void heard_authenticate(struct talk *talk, const char *what)
{
        struct imap_state *imap = talk->state;

        if (begins(what, "PLAIN ")) {
                heard_plain(talk, what + 6);
        } else if (begins(what, "PLAIN")) {
                imap->stage = AT_PLAIN;
                talk_say(talk, "+ ");
        } else {
                done(talk, "NO", "no such mechanism");
        }
}

/* ---- the mailbox ---- */

static void tell_exists(struct talk *talk)
{
        struct imap_state *imap = talk->state;

        imap->told = letter_box_there(&talk->user->box);
        talk_say(talk, "* %zu EXISTS", imap->told);
}

static void heard_select(struct talk *talk, bool read_only)
{
        struct imap_state *imap = talk->state;
        const struct letter_box *box = &talk->user->box;

        imap->selected = true;
        imap->read_only = read_only;
        talk_say(talk, "* FLAGS (\\Seen \\Deleted)");
        tell_exists(talk);
        talk_say(talk, "* 0 RECENT");
        talk_say(talk, "* OK [UIDVALIDITY %u] so", box->uidvalidity ? box->uidvalidity : 1000);
        talk_say(talk, "* OK [UIDNEXT %u] so", box->uidnext ? box->uidnext : 1);
        done(talk, "OK", read_only ? "[READ-ONLY] open" : "[READ-WRITE] open");
}

/* Whether the uid is in a set like "1,3:5,7:*"; `last`: the highest there is, which * stands for. */
static bool in_set(const char *set, uint32_t uid, uint32_t last)
{
        while (*set && *set != ' ') {
                char *end = NULL;
                uint32_t from = *set == '*' ? last : (uint32_t)strtoul(set, &end, 10), to = from;
                set = *set == '*' ? set + 1 : end;
                if (*set == ':') {
                        set++;
                        to = *set == '*' ? last : (uint32_t)strtoul(set, &end, 10);
                        set = *set == '*' ? set + 1 : end;
                }
                if ((from <= to && uid >= from && uid <= to) || (from > to && uid >= to && uid <= from))
                        return true;
                set += *set == ',';
                if (end == set && *set != ' ' && *set)
                        break;
        }
        return false;
}

static uint32_t last_uid(const struct letter_box *box)
{
        struct letter_item *item = letter_box_at(box, letter_box_there(box));

        return item ? item->uid : 0;
}

static void say_body(struct talk *talk, size_t place, struct letter_item *item, const char *partial)
{
        size_t len = 0, from = 0, most = SIZE_MAX;
        scoped(scoped_free) char *bytes = letter_bytes(item->number, &len);
        char origin[32] = "";

        if (partial && sscanf(partial, "<%zu.%zu>", &from, &most) == 2)
                (void)snprintf(origin, sizeof origin, "<%zu>", from);
        from = from < len ? from : len;
        most = most < len - from ? most : len - from;
        scoped(scoped_free) char *head =
                text_of("* %zu FETCH (UID %u BODY[]%s {%zu}\r\n", place, item->uid, origin, most);
        talk_say_bytes(talk, head, strlen(head));
        if (odd(talk, ODD_CUT_LITERAL)) {
                talk_say_bytes(talk, bytes + from, most / 2);
                talk_end(talk);
                return;
        }
        talk_say_bytes(talk, bytes + from, most);
        talk_say(talk, ")");
}

static void say_item(struct talk *talk, size_t place, struct letter_item *item, const char *what)
{
        size_t len = 0;
        const char *body = strstr(what, "BODY.PEEK[]");

        if (body) {
                say_body(talk, place, item, body[11] == '<' ? body + 11 : NULL);
        } else if (strstr(what, "HEADER.FIELDS")) {
                talk_say(talk,
                         "* %zu FETCH (UID %u BODY[HEADER.FIELDS (DATE FROM SUBJECT)] {23}\r\n"
                         "Subject: some number\r\n\r\n)",
                         place, item->uid);
        } else {
                len = odd(talk, ODD_LYING_SIZE) ? item->size / 2 + 7 : item->size;
                talk_say(talk, "* %zu FETCH (UID %u FLAGS (%s%s%s) RFC822.SIZE %zu)", place, item->uid,
                         item->seen ? "\\Seen" : "", item->seen && item->deleted ? " " : "",
                         item->deleted ? "\\Deleted" : "", len);
        }
}

/* A message that cannot be handed out fails the whole command, the others of it have come. */
static void heard_fetch(struct talk *talk, const char *set)
{
        const struct letter_box *box = &talk->user->box;
        const char *what = strchr(set, ' ');
        uint32_t last = last_uid(box);
        size_t place = 0;
        bool failed = false;

        for (size_t i = 0; i < box->count && !talk->ending; i++) {
                struct letter_item *item = &box->items[i];
                place += !item->gone;
                if (item->gone || !what || !in_set(set, item->uid, last))
                        continue;
                if (strstr(what, "BODY.PEEK[]") && item->unreadable)
                        failed = true;
                else
                        say_item(talk, place, item, what);
        }
        done(talk, failed ? "NO" : "OK", failed ? "[SERVERBUG] some could not be read" : "that is all");
}

static void heard_search(struct talk *talk, const char *what)
{
        const struct letter_box *box = &talk->user->box;
        const char *set = strcasestr(what, "UID ");
        uint32_t last = last_uid(box);
        struct buf found = BUF_WITH_MAX(1 << 20);
        bool bad = buf_append_text(&found, "* SEARCH") < 0;

        for (size_t i = 0; set && i < box->count; i++)
                if (!box->items[i].gone && !(strcasestr(what, "UNSEEN") && box->items[i].seen) &&
                    in_set(set + 4, box->items[i].uid, last))
                        bad |= buf_appendf(&found, " %u", box->items[i].uid) < 0;
        scoped(scoped_free) char *line = buf_take_text(&found);
        if (!bad)
                talk_say(talk, "%s", line);
        done(talk, "OK", "searched");
}

static void heard_store(struct talk *talk, const char *set)
{
        const struct letter_box *box = &talk->user->box;
        bool seen = strcasestr(set, "\\Seen"), deleted = strcasestr(set, "\\Deleted");
        uint32_t last = last_uid(box);

        if (deleted || seen)
                server_is_told(talk->server, talk->user, deleted);
        if (odd(talk, ODD_TEMPORARY)) {
                done(talk, "NO", "[INUSE] not now");
                return;
        }
        for (size_t i = 0; i < box->count; i++)
                if (!box->items[i].gone && in_set(set, box->items[i].uid, last)) {
                        box->items[i].seen |= seen;
                        if (deleted && !box->items[i].deleted)
                                box->items[i].went = world_now();
                        box->items[i].deleted |= deleted;
                }
        done(talk, "OK", "flagged");
}

static void heard_expunge(struct talk *talk, const char *set)
{
        struct imap_state *imap = talk->state;
        const struct letter_box *box = &talk->user->box;
        uint32_t last = last_uid(box);
        size_t place = 0;

        for (size_t i = 0; i < box->count; i++) {
                struct letter_item *item = &box->items[i];
                place += !item->gone;
                if (item->gone || !item->deleted || (set && !in_set(set, item->uid, last)))
                        continue;
                letter_item_goes(item, world_now());
                imap->told -= imap->told > 0;
                talk_say(talk, "* %zu EXPUNGE", place--);
        }
        done(talk, "OK", "expunged");
}

static void heard_uid(struct talk *talk, const char *what)
{
        const char *set = strchr(what, ' ');

        if (!set)
                done(talk, "BAD", "what?");
        else if (begins(what, "FETCH "))
                heard_fetch(talk, set + 1);
        else if (begins(what, "SEARCH "))
                heard_search(talk, set);
        else if (begins(what, "STORE "))
                heard_store(talk, set + 1);
        else if (begins(what, "EXPUNGE ") && talk->server->offers & OFFER_UIDPLUS)
                heard_expunge(talk, set + 1);
        else
                done(talk, "BAD", "what?");
}

/* ---- commands ---- */

static void heard_selected(struct talk *talk, const char *what)
{
        struct imap_state *imap = talk->state;

        if (odd(talk, ODD_CHATTER))
                talk_say(talk, "* OK [ALERT] the disk is nearly full");
        if (begins(what, "UID ")) {
                heard_uid(talk, what + 4);
        } else if (begins(what, "IDLE") && talk->server->offers & OFFER_IDLE) {
                imap->stage = AT_IDLE;
                talk_say(talk, "+ idling");
        } else if (begins(what, "EXPUNGE")) {
                heard_expunge(talk, NULL);
        } else if (begins(what, "CLOSE")) {
                imap->selected = false;
                done(talk, "OK", "closed");
        } else {
                done(talk, "BAD", "what?");
        }
}

static void heard_signed_in(struct talk *talk, const char *what)
{
        struct imap_state *imap = talk->state;

        if (!talk->user) {
                done(talk, "NO", "sign in first");
        } else if (begins(what, "SELECT ") || begins(what, "EXAMINE ")) {
                if (odd(talk, ODD_TEMPORARY))
                        done(talk, "NO", "[INUSE] locked by another session");
                else
                        heard_select(talk, begins(what, "EXAMINE "));
        } else if (begins(what, "LIST ")) {
                talk_say(talk, "* LIST () \"/\" INBOX");
                done(talk, "OK", "that is all");
        } else if (imap->selected) {
                heard_selected(talk, what);
        } else {
                done(talk, "BAD", "no folder is open");
        }
}

static void heard_noop(struct talk *talk)
{
        struct imap_state *imap = talk->state;

        if (imap->selected && letter_box_there(&talk->user->box) != imap->told)
                tell_exists(talk);
        done(talk, "OK", "so");
}

static void heard_command(struct talk *talk, const char *what)
{
        if (begins(what, "CAPABILITY")) {
                tell_capabilities(talk);
                done(talk, "OK", "listed");
        } else if (begins(what, "STARTTLS") && talk->server->starttls && !talk->ssl) {
                done(talk, "OK", "go ahead");
                talk_start_tls(talk);
        } else if (begins(what, "LOGOUT")) {
                talk_say(talk, "* BYE bye");
                done(talk, "OK", "done");
                talk_end(talk);
        } else if (begins(what, "NOOP")) {
                heard_noop(talk);
        } else {
                talk_heard_secret(talk, what);
                if (begins(what, "LOGIN "))
                        heard_login(talk, what + 6);
                else if (begins(what, "AUTHENTICATE "))
                        heard_authenticate(talk, what + 13);
                else
                        heard_signed_in(talk, what);
        }
}

/* A command may end with {N}: N bytes and the rest of it follow after the go-ahead. True: it is whole. */
static bool gather(struct talk *talk, const char *line)
{
        struct imap_state *imap = talk->state;
        const char *literal = strrchr(line, '{');

        if (buf_append_text(&imap->command, line) < 0)
                talk_reset(talk);
        if (!literal || literal[strlen(literal) - 1] != '}')
                return true;
        imap->literal = (size_t)strtoull(literal + 1, NULL, 10);
        imap->stage = AT_LITERAL;
        if (buf_append_text(&imap->command, "\n") < 0)
                talk_reset(talk);
        talk_say(talk, "+ go on");
        return false;
}

static void imap_leave(struct talk *talk)
{
        talk_say(talk, "* BYE going down");
        talk_end(talk);
}

static void take_command(struct talk *talk)
{
        struct imap_state *imap = talk->state;
        scoped(scoped_free) char *whole = buf_take_text(&imap->command);
        char *what = strchr(whole, ' ');

        if (!what || what - whole >= TAG_MOST) {
                talk_say(talk, "* BAD that is no command");
                return;
        }
        *what++ = '\0';
        (void)snprintf(imap->tag, sizeof imap->tag, "%s", whole);
        if (talk_is_odd(talk))
                return;
        if (odd(talk, ODD_BUSY) || odd(talk, ODD_LEAVES)) {
                imap_leave(talk);
                return;
        }
        heard_command(talk, what);
}

static bool imap_eat(struct talk *talk)
{
        struct imap_state *imap = talk->state;

        if (imap->stage == AT_LITERAL) {
                if (talk->in.len < imap->literal)
                        return false;
                if (buf_append(&imap->command, buf_bytes(&talk->in), imap->literal) < 0)
                        talk_reset(talk);
                buf_consume(&talk->in, imap->literal);
                imap->stage = AT_COMMAND;
                return true;
        }
        scoped(scoped_free) char *line = talk_line(talk);
        if (!line)
                return false;
        if (imap->stage == AT_IDLE) {
                imap->stage = AT_COMMAND;
                done(talk, strcasecmp(line, "DONE") == 0 ? "OK" : "BAD", "no longer idle");
        } else if (imap->stage == AT_PLAIN) {
                heard_plain(talk, line);
        } else if (gather(talk, line)) {
                take_command(talk);
        }
        return true;
}

static void imap_news(struct talk *talk)
{
        const struct imap_state *imap = talk->state;

        if (imap->stage == AT_IDLE)
                tell_exists(talk);
}

static void imap_gone(struct talk *talk, bool killed)
{
        struct imap_state *imap = talk->state;

        if (!killed)
                buf_free(&imap->command);
}

const struct engine imap_engine = {
        sizeof(struct imap_state), imap_greet, imap_eat, imap_news, imap_leave, imap_gone
};
