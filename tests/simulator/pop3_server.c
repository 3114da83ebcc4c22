/* SPDX-License-Identifier: MIT */
/*
 * A simulated POP3 server (RFC 1939, 2449, 2595): the mailbox as it was at the sign-in; what was marked for
 * deletion goes with QUIT.
 */
#include "tests/simulator/base64.h"
#include "tests/simulator/ledger.h"
#include "tests/simulator/talk.h"
#include "tests/simulator/world.h"

#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

enum mark { THERE, MARKED, ABSENT /* from the beginning of the session */ };

struct pop3_state {
        char user[64];
        bool plain;   /* the PLAIN response comes next */
        size_t count; /* items of the box at the sign-in, those gone included */
        char *marks;  /* enum mark of each; the world's memory */
};

static bool begins(const char *line, const char *word)
{
        return strncasecmp(line, word, strlen(word)) == 0;
}

static void pop3_greet(struct talk *talk)
{
        if (odd(talk, ODD_BUSY)) {
                talk_say(talk, "-ERR [SYS/TEMP] too busy, come again");
                talk_end(talk);
        } else if (talk_is_too_many(talk)) {
                talk_say(talk, "-ERR [SYS/TEMP] too many sessions");
                talk_end(talk);
        } else if (odd(talk, ODD_GARBAGE)) {
                talk_say(talk, "* OK imap, as it seems");
                talk_end(talk);
        } else {
                talk_say(talk, "+OK %s is ready", talk->server->host);
        }
}

static void heard_capa(struct talk *talk)
{
        bool clear = talk->server->starttls && !talk->ssl;

        talk_say(talk, "+OK so");
        talk_say(talk, clear ? "STLS" : "USER");
        if (!clear)
                talk_say(talk, "SASL PLAIN");
        talk_say(talk, "UIDL\r\nTOP\r\nRESP-CODES\r\nAUTH-RESP-CODE");
        if (talk->server->offers & OFFER_PIPELINING)
                talk_say(talk, "PIPELINING");
        talk_say(talk, ".");
}

static void sign_in(struct talk *talk, const char *user, const char *password)
{
        struct pop3_state *pop3 = talk->state;

        if (odd(talk, ODD_SIGNIN_DOWN)) {
                talk_say(talk, "-ERR [SYS/TEMP] cannot look that up now");
        } else if (odd(talk, ODD_TEMPORARY)) {
                talk_say(talk, "-ERR [IN-USE] the mailbox is locked by another session");
        } else if (ledger_signs_in(talk->server, user, password)) {
                talk->user = server_find_user(talk->server, user);
                pop3->count = talk->user->box.count;
                world_free(pop3->marks);
                pop3->marks = world_alloc(pop3->count + 1);
                for (size_t i = 0; i < pop3->count; i++)
                        pop3->marks[i] = talk->user->box.items[i].gone ? ABSENT : THERE;
                talk_say(talk, "+OK signed in");
        } else {
                talk_say(talk, "-ERR [AUTH] user or password is wrong");
        }
}

static void heard_plain(struct talk *talk, const char *text)
{
        struct pop3_state *pop3 = talk->state;
        char plain[PLAIN_MOST];
        const char *user, *password;

        pop3->plain = false;
        if (base64_read_plain(text, plain, &user, &password))
                sign_in(talk, user, password);
        else
                talk_say(talk, "-ERR that is no PLAIN response");
}

/* ---- the mailbox ---- */

/* Those that were there at the sign-in are numbered, whatever has gone by another session since. NULL:
 * marked, or none (index SIZE_MAX). */
static struct letter_item *item_at(struct talk *talk, size_t place, size_t *index)
{
        const struct pop3_state *pop3 = talk->state;

        for (size_t i = 0; i < pop3->count; i++)
                if (pop3->marks[i] != ABSENT && --place == 0) {
                        *index = i;
                        return pop3->marks[i] == MARKED ? NULL : &talk->user->box.items[i];
                }
        *index = SIZE_MAX;
        return NULL;
}

static uint64_t size_of(struct talk *talk, const struct letter_item *item)
{
        return odd(talk, ODD_LYING_SIZE) ? item->size / 2 + 7 : item->size;
}

static void heard_stat(struct talk *talk)
{
        const struct pop3_state *pop3 = talk->state;
        size_t count = 0;
        uint64_t size = 0;

        for (size_t i = 0; i < pop3->count; i++)
                if (pop3->marks[i] == THERE) {
                        size += size_of(talk, &talk->user->box.items[i]);
                        count++;
                }
        talk_say(talk, "+OK %zu %" PRIu64, count, size);
}

static void heard_list(struct talk *talk, bool uidls)
{
        const struct pop3_state *pop3 = talk->state;
        size_t place = 0;

        talk_say(talk, "+OK so");
        for (size_t i = 0; i < pop3->count; i++) {
                const struct letter_item *item = &talk->user->box.items[i];
                place += pop3->marks[i] != ABSENT;
                if (pop3->marks[i] == THERE && uidls)
                        talk_say(talk, "%zu %016" PRIx64, place, item->uidl);
                else if (pop3->marks[i] == THERE)
                        talk_say(talk, "%zu %" PRIu64, place, size_of(talk, item));
        }
        talk_say(talk, ".");
}

/* With dots doubled; without the end. */
static void say_stuffed(struct talk *talk, const char *bytes, size_t len)
{
        for (const char *at = bytes, *end = bytes + len, *next = NULL; at < end; at = next) {
                const char *lf = memchr(at, '\n', (size_t)(end - at));
                next = lf ? lf + 1 : end;
                if (*at == '.')
                        talk_say_bytes(talk, ".", 1);
                talk_say_bytes(talk, at, (size_t)(next - at));
        }
}

static void heard_retr(struct talk *talk, struct letter_item *item, bool top)
{
        size_t len = 0;

        if (item->unreadable || item->gone) {
                talk_say(talk, "-ERR [SYS/PERM] cannot be read");
                return;
        }
        scoped(scoped_free) char *bytes = letter_bytes(item->number, &len);
        talk_say(talk, "+OK here it is");
        if (top)
                len = (size_t)((char *)memmem(bytes, len, "\r\n\r\n", 4) - bytes) + 4;
        if (odd(talk, ODD_CUT_LITERAL)) {
                say_stuffed(talk, bytes, len / 2);
                talk_end(talk);
                return;
        }
        say_stuffed(talk, bytes, len);
        talk_say(talk, ".");
}

static void heard_quit(struct talk *talk)
{
        struct pop3_state *pop3 = talk->state;

        if (talk->user && odd(talk, ODD_LOST_REPLY)) { /* nothing was deleted, and nothing is said */
                talk_reset(talk);
                return;
        }
        for (size_t i = 0; talk->user && i < pop3->count; i++)
                if (pop3->marks[i] == MARKED && !talk->user->box.items[i].gone)
                        letter_item_goes(&talk->user->box.items[i], world_now());
        talk_say(talk, "+OK bye");
        talk_end(talk);
}

/* ---- commands ---- */

static void heard_one(struct talk *talk, const char *line)
{
        struct pop3_state *pop3 = talk->state;
        const char *number = strchr(line, ' ');
        size_t index = 0, place = number ? (size_t)strtoull(number + 1, NULL, 10) : 0;
        struct letter_item *item = place ? item_at(talk, place, &index) : NULL;

        if (!item) {
                talk_say(talk, "-ERR no such message");
        } else if (begins(line, "DELE ")) {
                server_is_told(talk->server, talk->user, true);
                pop3->marks[index] = MARKED;
                talk_say(talk, "+OK marked");
        } else {
                heard_retr(talk, item, begins(line, "TOP "));
        }
}

static void heard_signed_in(struct talk *talk, const char *line)
{
        if (!talk->user)
                talk_say(talk, "-ERR sign in first");
        else if (begins(line, "STAT"))
                heard_stat(talk);
        else if (strcasecmp(line, "LIST") == 0 || strcasecmp(line, "UIDL") == 0)
                heard_list(talk, begins(line, "UIDL"));
        else if (begins(line, "RETR ") || begins(line, "DELE ") || begins(line, "TOP "))
                heard_one(talk, line);
        else
                talk_say(talk, begins(line, "NOOP") ? "+OK" : "-ERR what?");
}

static void heard_command(struct talk *talk, const char *line)
{
        struct pop3_state *pop3 = talk->state;

        if (begins(line, "CAPA")) {
                heard_capa(talk);
        } else if (begins(line, "STLS") && talk->server->starttls && !talk->ssl) {
                talk_say(talk, "+OK go ahead");
                talk_start_tls(talk);
        } else if (begins(line, "QUIT")) {
                heard_quit(talk);
        } else {
                talk_heard_secret(talk, line);
                if (begins(line, "USER ")) {
                        (void)snprintf(pop3->user, sizeof pop3->user, "%s", line + 5);
                        talk_say(talk, "+OK");
                } else if (begins(line, "PASS ")) {
                        sign_in(talk, pop3->user, line + 5);
                } else if (begins(line, "AUTH PLAIN ")) {
                        heard_plain(talk, line + 11);
                } else if (begins(line, "AUTH PLAIN")) {
                        pop3->plain = true;
                        talk_say(talk, "+ ");
                } else {
                        heard_signed_in(talk, line);
                }
        }
}

static void pop3_leave(struct talk *talk)
{
        talk_say(talk, "-ERR [SYS/TEMP] the service is being shut down");
        talk_end(talk);
}

static bool pop3_eat(struct talk *talk)
{
        const struct pop3_state *pop3 = talk->state;
        scoped(scoped_free) char *line = talk_line(talk);

        if (!line)
                return false;
        if (pop3->plain)
                heard_plain(talk, line);
        else if (odd(talk, ODD_LEAVES))
                pop3_leave(talk);
        else if (!talk_is_odd(talk))
                heard_command(talk, line);
        return true;
}

static void pop3_news(struct talk *talk)
{
        (void)talk;
}

static void pop3_gone(struct talk *talk, bool killed)
{
        struct pop3_state *pop3 = talk->state;

        (void)killed;
        world_free(pop3->marks);
}

const struct engine pop3_engine = {
        sizeof(struct pop3_state), pop3_greet, pop3_eat, pop3_news, pop3_leave, pop3_gone
};
