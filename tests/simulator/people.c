/* SPDX-License-Identifier: MIT */
/* Who uses the accounts; see people.h. Who keeps them is in keeper.c, decisions about certificates are in
 * deciders.c. */
#include "tests/simulator/people.h"

#include "tests/simulator/calls.h"
#include "tests/simulator/deciders.h"
#include "tests/simulator/keeper.h"
#include "tests/simulator/ledger.h"
#include "tests/simulator/letter.h"
#include "tests/simulator/world.h"

#include <stdio.h>

enum { LISTEN_MS = 3 * MINUTE_MS };

struct crowd {
        struct member *first, **end;
        bool hears; /* somebody listens to the station's events */
};
static struct crowd *crowd;

struct member *members_first(void)
{
        return crowd->first;
}

static void heard(void *ctx, json_t *reply, const char *error)
{
        json_t *event = json_object_get(reply, "event");
        json_t *data = json_object_get(event, "data");
        const char *name = json_string_value(json_object_get(event, "event"));
        const char *recipient = json_string_value(json_object_get(data, "recipient"));
        const char *cause = json_string_value(json_object_get(data, "cause"));

        (void)ctx;
        (void)error;
        if (!reply) {
                crowd->hears = false;
                return;
        }
        if (same_text(name, "mail.sent") && recipient)
                ledger_told_sent(recipient);
        else if (same_text(name, "mail.failed"))
                ledger_told_failed(json_string_value(json_object_get(data, "id")), recipient,
                                   cause ? cause : "");
}

/* Somebody who follows the mail comes back. */
static void on_listen(void *ctx)
{
        (void)ctx;
        if (daemon_is_ready() && !crowd->hears) {
                crowd->hears = true;
                station_listen(MAIL_METHOD "Monitor", json_pack("{s[s]}", "events", "mail."), heard, NULL);
        }
        world_in(LISTEN_MS / 2 + chance_between("listener", 0, LISTEN_MS), on_listen, NULL);
}

/* ---- sending ---- */

struct handing_in {
        uint32_t number;
        struct member *member;
};

static void handed_in(void *ctx, json_t *reply, const char *error)
{
        struct handing_in *one = ctx;
        const char *id = json_string_value(json_object_get(reply, "id"));

        if (id)
                ledger_submitted(one->number, id, one->member->name);
        history("program", "message %u to %s: %s", one->number, one->member->name,
                id      ? id
                : error ? error
                        : "no answer");
        world_free(one);
}

static void hand_in(struct member *member)
{
        struct handing_in *one = world_alloc(sizeof *one);
        size_t len = 0;
        unsigned recipients = chance_permille("program", 800) ? 1 : 1 + (unsigned)(chance("program") % 4);
        json_t *list = json_array();

        one->number = ledger_next_number();
        one->member = member;
        ledger_submits(one->number, recipients);
        for (unsigned k = 0; k < recipients; k++) {
                char address[64];
                ledger_recipient(one->number, k, address, sizeof address);
                json_array_append_new(list, json_string(address));
        }
        scoped(scoped_free) char *bytes = letter_bytes(one->number, &len);
        station_call(MAIL_METHOD "Submit",
                     json_pack("{ss, ss, so, si}", "account", member->name, "from", "alarm@plant.example",
                               "recipients", list, "descriptor", 0),
                     bytes, len, handed_in, one);
}

static void on_program(void *ctx)
{
        struct member *member = ctx;
        int64_t burst = chance_permille("program", 50) ? chance_between("program", 2, 30) : 1;

        if (world_is_honest())
                return;
        while (burst-- && daemon_is_ready())
                hand_in(member);
        world_in(chance_about("program", 2 * HOUR_MS), on_program, member);
}

/* Somebody writes to the mailbox that an incoming account looks at. */
static void on_correspondent(void *ctx)
{
        struct member *member = ctx;
        int64_t burst = chance_permille("correspondent", 50) ? chance_between("correspondent", 2, 30) : 1;

        if (world_is_honest())
                return;
        while (burst--)
                server_deliver(member->server, member->mailbox, ledger_next_number());
        world_in(chance_about("correspondent", 3 * HOUR_MS), on_correspondent, member);
}

static void ignored(void *ctx, json_t *reply, const char *error)
{
        (void)ctx;
        (void)reply;
        (void)error;
}

/* Somebody plays with the account. */
static void on_player(void *ctx)
{
        struct member *member = ctx;

        if (world_is_honest())
                return;
        if (feature("people.play", 60) && daemon_is_ready() && member->there == MEMBER_THERE &&
            member->is_on && member->wants_on) {
                static const char *const methods[] = { MAIL_METHOD "Poll", MAIL_METHOD "TestAccount",
                                                       MAIL_METHOD "GetStatus" };
                size_t which = chance("player") % count_of(methods);
                json_t *what = json_pack("{ss}", which < 2 ? "name" : "account", member->name);
                if (which == 0)
                        json_object_set_new(what, "wait", json_boolean(chance_permille("player", 500)));
                if (feature("people.impatient", 50) && chance_permille("player", 500))
                        station_glance(methods[which], what, chance_about("player", SECOND_MS), 0);
                else if (which == 1)
                        station_listen(methods[which], what, ignored, NULL);
                else
                        station_call(methods[which], what, NULL, 0, ignored, NULL);
        }
        world_in(chance_about("player", 12 * HOUR_MS), on_player, member);
}

/* ---- all of them ---- */

struct member *member_make(const char *name, struct mail_server *server, const char *user)
{
        struct member *member = world_alloc(sizeof *member);

        (void)snprintf(member->name, sizeof member->name, "%s", name);
        member->server = server;
        member->mailbox = server_user(server, user, "");
        member->incoming = server->speech != SPEAK_SMTP;
        member->wanted = member->wants_on = true;
        *crowd->end = member;
        crowd->end = &member->next;
        keeper_takes(member);
        world_in(chance_about("player", 12 * HOUR_MS), on_player, member);
        world_in(chance_about("program", 2 * HOUR_MS), member->incoming ? on_correspondent : on_program,
                 member);
        return member;
}

void people_open(void)
{
        crowd = world_alloc(sizeof *crowd);
        crowd->end = &crowd->first;
        keeper_open();
        world_in(SECOND_MS, on_listen, NULL);
        deciders_open();
}

void people_turn_honest(void)
{
        for (struct member *member = crowd->first; member; member = member->next) {
                member->wanted = member->wants_on = true;
                member->password_from = world_now();
        }
}

bool people_are_done(void)
{
        for (const struct member *member = crowd->first; member; member = member->next)
                if (member->there != MEMBER_THERE || !member->has_password || !member->is_on ||
                    member->calling)
                        return false;
        return true;
}
