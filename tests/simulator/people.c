/* SPDX-License-Identifier: MIT */
/* Who keeps the accounts and who uses them; see people.h. Decisions about certificates are in deciders.c. */
#include "tests/simulator/people.h"

#include "tests/simulator/calls.h"
#include "tests/simulator/deciders.h"
#include "tests/simulator/ledger.h"
#include "tests/simulator/letter.h"
#include "tests/simulator/world.h"

#include <stdio.h>

enum { TEND_MS = 3 * MINUTE_MS };

struct crowd {
        struct member *first, **end;
        bool hears; /* somebody listens to the station's events */
};
static struct crowd *crowd;

struct member *members_first(void)
{
        return crowd->first;
}

/* ---- keeping accounts ---- */

static json_t *named(const struct member *member)
{
        return json_pack("{ss}", "name", member->name);
}

static void looked(void *ctx, json_t *reply, const char *error)
{
        struct member *member = ctx;

        member->calling = false;
        if (reply)
                member->there = MEMBER_THERE;
        else if (same_text(error, "NotFound")) {
                member->there = MEMBER_ABSENT;
                ledger_account_goes(member->name);
                ledger_secret_withdrawn(member->secret);
        }
}

static void added(void *ctx, json_t *reply, const char *error)
{
        struct member *member = ctx;

        member->calling = false;
        member->there = reply ? MEMBER_THERE : MEMBER_UNSURE;
        history("keeper", "adding %s: %s", member->name, reply ? "done" : error ? error : "no answer");
}

static void remember_file(void *ctx, const char *name)
{
        struct member *member = ctx;

        member->old = world_realloc(member->old, (member->old_count + 1) * sizeof *member->old);
        member->old[member->old_count++] = world_text("%s", name);
}

/* Received mail stays when its account is deleted: what is there already is not of this life. */
static void remember_maildir(struct member *member)
{
        static const char *const folders[] = { "new", "cur" };

        while (member->old_count)
                world_free(member->old[--member->old_count]);
        for (size_t i = 0; i < count_of(folders); i++) {
                scoped(scoped_free) char *path = text_of(SIM_STATE "/mail/%s/%s", member->name, folders[i]);
                disk_list(path, remember_file, member);
        }
}

static void add(struct member *member)
{
        static const int rates[] = { 300, 900, 3600, 7200 };
        bool incoming = member->incoming;
        json_t *values =
                json_pack("{ss, ss, ss, sb, sb}", "transport",
                          !incoming                              ? "smtp"
                          : member->server->speech == SPEAK_IMAP ? "imap"
                                                                 : "pop3",
                          "hostname", member->server->host, "account", member->mailbox->user, "useSsl",
                          !member->server->starttls, "useStartTls", member->server->starttls);

        remember_maildir(member);
        member->since = world_now();
        member->lives++;
        member->has_password = false;
        member->password_from = world_now();
        if (feature("people.late-password", 50) && chance_permille("keeper", 300))
                member->password_from += chance_about("keeper", HOUR_MS);
        member->secret = ledger_secret_new(member->server, member->mailbox->user);
        ledger_secret_text(member->secret, member->mailbox->password, sizeof member->mailbox->password);
        member->deletes = incoming && feature("account.delete-policy", 40) && chance_permille("keeper", 400);
        if (incoming) {
                json_object_set_new(values, "pollRate",
                                    json_integer(rates[chance("keeper") % count_of(rates)]));
                json_object_set_new(values, "deliveryPolicy",
                                    json_string(member->deletes ? "delete" : "markAsRead"));
                json_object_set_new(values, "push", json_boolean(chance_permille("keeper", 700)));
        } else {
                json_object_set_new(values, "from", json_string("alarm@plant.example"));
        }
        member->calling = true;
        station_call(MAIL_METHOD "AddAccount",
                     json_pack("{ss, ss, so}", "name", member->name, "kind",
                               incoming ? "incoming" : "outgoing", "properties", values),
                     NULL, 0, added, member);
}

static void deleted(void *ctx, json_t *reply, const char *error)
{
        struct member *member = ctx;

        member->calling = false;
        member->there = reply ? MEMBER_ABSENT : MEMBER_UNSURE;
        if (reply)
                ledger_secret_withdrawn(member->secret);
        history("keeper", "deleting %s: %s", member->name, reply ? "done" : error ? error : "no answer");
}

static void delete(struct member *member)
{
        json_t *what = named(member);

        json_object_set_new(what, "force", json_true());
        ledger_account_goes(member->name);
        member->calling = true;
        station_call(MAIL_METHOD "DeleteAccount", what, NULL, 0, deleted, member);
}

static void password_set(void *ctx, json_t *reply, const char *error)
{
        struct member *member = ctx;

        member->calling = false;
        member->has_password = reply != NULL;
        if (!reply)
                member->there = MEMBER_UNSURE;
        history("keeper", "password of %s: %s", member->name, reply ? "set" : error ? error : "no answer");
}

static void set_password(struct member *member)
{
        json_t *what = named(member);

        json_object_set_new(what, "password", json_string(member->mailbox->password));
        member->calling = true;
        station_call(MAIL_METHOD "SetPassword", what, NULL, 0, password_set, member);
}

/* The next thing to do for an account, if any. */
static void tend(struct member *member)
{
        if (member->calling)
                return;
        if (member->there == MEMBER_UNSURE) {
                member->calling = true;
                station_call(MAIL_METHOD "GetAccount", named(member), NULL, 0, looked, member);
        } else if (member->wanted && member->there == MEMBER_ABSENT) {
                add(member);
        } else if (!member->wanted && member->there == MEMBER_THERE) {
                delete (member);
        } else if (member->there == MEMBER_THERE && !member->has_password &&
                   world_now() >= member->password_from) {
                set_password(member);
        }
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

/* The keeper comes by. */
static void on_tend(void *ctx)
{
        (void)ctx;
        if (daemon_is_ready()) {
                for (struct member *member = crowd->first; member; member = member->next)
                        tend(member);
                if (!crowd->hears) {
                        crowd->hears = true;
                        station_listen(MAIL_METHOD "Monitor", json_pack("{s[s]}", "events", "mail."), heard,
                                       NULL);
                }
        }
        world_in(TEND_MS / 2 + chance_between("keeper", 0, TEND_MS), on_tend, NULL);
}

static void on_change_of_mind(void *ctx)
{
        struct member *member = ctx;

        if (world_is_honest())
                return;
        if (feature("people.delete", 60)) {
                member->wanted = !member->wanted;
                history("keeper", member->wanted ? "wants %s again" : "no longer wants %s", member->name);
                tend(member);
        }
        world_in(member->wanted ? chance_about("keeper", 3 * DAY_MS) : chance_about("keeper", HOUR_MS),
                 on_change_of_mind, member);
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
        if (feature("people.play", 60) && daemon_is_ready() && member->there == MEMBER_THERE) {
                static const char *const methods[] = { MAIL_METHOD "Poll", MAIL_METHOD "TestAccount",
                                                       MAIL_METHOD "GetStatus" };
                size_t which = chance("player") % count_of(methods);
                json_t *what = which < 2 ? named(member) : json_pack("{ss}", "account", member->name);
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
        member->wanted = true;
        *crowd->end = member;
        crowd->end = &member->next;
        world_in(chance_about("keeper", 3 * DAY_MS), on_change_of_mind, member);
        world_in(chance_about("player", 12 * HOUR_MS), on_player, member);
        world_in(chance_about("program", 2 * HOUR_MS), member->incoming ? on_correspondent : on_program,
                 member);
        return member;
}

void people_open(void)
{
        crowd = world_alloc(sizeof *crowd);
        crowd->end = &crowd->first;
        world_in(SECOND_MS, on_tend, NULL);
        deciders_open();
}

void people_turn_honest(void)
{
        for (struct member *member = crowd->first; member; member = member->next) {
                member->wanted = true;
                member->password_from = world_now();
        }
}

bool people_are_done(void)
{
        for (const struct member *member = crowd->first; member; member = member->next)
                if (member->there != MEMBER_THERE || !member->has_password || member->calling)
                        return false;
        return true;
}
