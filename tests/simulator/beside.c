/* SPDX-License-Identifier: MIT */
/* Accounts that are well beside those that are not; see beside.h. */
#include "tests/simulator/beside.h"

#include "tests/simulator/calls.h"
#include "tests/simulator/ledger.h"
#include "tests/simulator/talk.h"
#include "tests/simulator/world.h"

#include <stdio.h>

enum {
        BOUND_MS = 3 * HOUR_MS,     /* fair time: two of the daemon's longest pauses, and what a try takes */
        SICK_MOST_MS = 3 * HOUR_MS, /* a server of theirs */
        TEND_MS = 2 * MINUTE_MS,
};

struct posted { /* a message that is to come through */
        uint32_t number;
        int64_t fair; /* when it was accepted, or came to the mailbox */
        struct posted *next;
};

struct neighbour {
        char name[16];
        struct mail_server *server;
        struct mailbox *mailbox;
        unsigned secret;
        enum { NEIGHBOUR_ABSENT, NEIGHBOUR_NAMELESS, NEIGHBOUR_THERE } stage; /* nameless: has no password */
        bool calling, sick;
        int64_t well_from; /* in fair time: it is there, and its server well, since then */
        int64_t fine_at;   /* in fair time: was last seen to be ok */
        struct posted *first, **end;
};

struct beside {
        struct neighbour all[PROVIDER_SPEECHES];
        size_t count;
        int64_t fair, looked_at;
        unsigned life;
};
static struct beside *beside;

int64_t beside_fair(void)
{
        return beside->fair;
}

bool beside_has(const char *host)
{
        for (size_t i = 0; i < beside->count; i++)
                if (same_text(beside->all[i].server->host, host))
                        return true;
        return false;
}

static int64_t later_of(int64_t one, int64_t other)
{
        return one > other ? one : other;
}

/* ---- fair time ---- */

static bool is_disturbed(void)
{
        return !daemon_is_ready() || daemon_life() != beside->life || machine_clock_error() ||
               machine_clock_set_at() > beside->looked_at || machine_woke_at() > beside->looked_at ||
               disk_ill_at() >= beside->looked_at;
}

static void pass_time(void)
{
        if (!is_disturbed())
                beside->fair += world_now() - beside->looked_at;
        beside->looked_at = world_now();
        beside->life = daemon_life();
}

/* ---- what must have happened ---- */

static void post(struct neighbour *neighbour, uint32_t number)
{
        struct posted *posted = world_alloc(sizeof *posted);

        *posted = (struct posted){ .number = number, .fair = beside->fair };
        *neighbour->end = posted;
        neighbour->end = &posted->next;
}

/* Those that have come through are no longer looked for. */
static void drop_posted(struct neighbour *neighbour, bool (*is_through)(const struct neighbour *, uint32_t))
{
        neighbour->end = &neighbour->first;
        while (*neighbour->end) {
                struct posted *posted = *neighbour->end;
                if (!is_through(neighbour, posted->number)) {
                        neighbour->end = &posted->next;
                        continue;
                }
                *neighbour->end = posted->next;
                world_free(posted);
        }
}

static bool was_sent(const struct neighbour *neighbour, uint32_t number)
{
        (void)neighbour;
        return ledger_is_through(number);
}

struct looking {
        const char *folder;
        uint32_t number;
        bool found;
};

static void look_into(void *ctx, const char *name)
{
        struct looking *looking = ctx;
        scoped(scoped_free) char *path = text_of("%s/%s", looking->folder, name);
        size_t len = 0;
        char *bytes = disk_get(path, &len);

        looking->found |= bytes && letter_number(bytes, len) == looking->number;
        world_free(bytes);
}

static bool was_received(const struct neighbour *neighbour, uint32_t number)
{
        static const char *const folders[] = { "new", "cur" };
        bool found = false;

        for (size_t i = 0; !found && i < count_of(folders); i++) {
                scoped(scoped_free) char *folder =
                        text_of(SIM_STATE "/mail/%s/%s", neighbour->name, folders[i]);
                struct looking looking = { folder, number, false };
                disk_list(folder, look_into, &looking);
                found = looking.found;
        }
        return found;
}

static bool is_overdue(const struct neighbour *neighbour)
{
        const struct posted *oldest = neighbour->first;

        return oldest && beside->fair - later_of(oldest->fair, neighbour->well_from) > BOUND_MS;
}

static void look_at_mail(struct neighbour *neighbour)
{
        bool sends = neighbour->server->speech == SPEAK_SMTP;

        if (sends || is_overdue(neighbour)) /* files are looked for when it is time */
                drop_posted(neighbour, sends ? was_sent : was_received);
        if (is_overdue(neighbour))
                violated(sends ? "beside.sends" : "beside.receives",
                         "message %u of %s has not come through in %lld s of fair time, and its server is "
                         "well",
                         neighbour->first->number, neighbour->name,
                         (long long)(beside->fair - later_of(neighbour->first->fair, neighbour->well_from)) /
                                 SECOND_MS);
}

void beside_look(void)
{
        pass_time();
        for (size_t i = 0; i < beside->count; i++) {
                struct neighbour *neighbour = &beside->all[i];
                if (neighbour->stage == NEIGHBOUR_THERE && !neighbour->sick)
                        look_at_mail(neighbour);
        }
}

void beside_sees(const char *account, const char *status)
{
        for (size_t i = 0; i < beside->count; i++) {
                struct neighbour *neighbour = &beside->all[i];
                int64_t since = later_of(neighbour->fine_at, neighbour->well_from);
                if (neighbour->stage != NEIGHBOUR_THERE || neighbour->sick ||
                    !same_text(neighbour->name, account))
                        continue;
                if (same_text(status, "ok"))
                        neighbour->fine_at = beside->fair;
                else if (beside->fair - since > BOUND_MS)
                        violated("alarm.outlives",
                                 "the account %s is %s, and its server is well for %lld s of fair time",
                                 account, status, (long long)(beside->fair - since) / SECOND_MS);
        }
}

/* ---- their accounts ---- */

static void password_set(void *ctx, json_t *reply, const char *error)
{
        struct neighbour *neighbour = ctx;

        (void)error;
        neighbour->calling = false;
        if (!reply)
                return;
        neighbour->stage = NEIGHBOUR_THERE;
        neighbour->well_from = beside->fair;
        history("neighbour", "%s is there", neighbour->name);
}

static void added(void *ctx, json_t *reply, const char *error)
{
        struct neighbour *neighbour = ctx;

        neighbour->calling = false;
        if (reply || same_text(error, "Exists"))
                neighbour->stage = NEIGHBOUR_NAMELESS;
}

static json_t *properties_of(const struct neighbour *neighbour)
{
        const struct mail_server *server = neighbour->server;
        static const char *const transports[] = {
                [SPEAK_SMTP] = "smtp", [SPEAK_IMAP] = "imap", [SPEAK_POP3] = "pop3"
        };
        json_t *values = json_pack("{ss, ss, ss, sb, sb}", "transport", transports[server->speech],
                                   "hostname", server->host, "account", neighbour->mailbox->user, "useSsl",
                                   !server->starttls, "useStartTls", server->starttls);

        if (server->speech == SPEAK_SMTP) {
                json_object_set_new(values, "from", json_string("alarm@plant.example"));
        } else {
                json_object_set_new(values, "pollRate", json_integer(1800));
                json_object_set_new(values, "deliveryPolicy", json_string("markAsUnread"));
        }
        return values;
}

static void tend(struct neighbour *neighbour)
{
        bool sends = neighbour->server->speech == SPEAK_SMTP;

        if (neighbour->calling || neighbour->stage == NEIGHBOUR_THERE)
                return;
        neighbour->calling = true;
        if (neighbour->stage == NEIGHBOUR_ABSENT)
                station_call(MAIL_METHOD "AddAccount",
                             json_pack("{ss, ss, so}", "name", neighbour->name, "kind",
                                       sends ? "outgoing" : "incoming", "properties",
                                       properties_of(neighbour)),
                             NULL, 0, added, neighbour);
        else
                station_call(MAIL_METHOD "SetPassword",
                             json_pack("{ss, ss}", "name", neighbour->name, "password",
                                       neighbour->mailbox->password),
                             NULL, 0, password_set, neighbour);
}

static void on_tend(void *ctx)
{
        bool over = true;

        (void)ctx;
        for (size_t i = 0; i < beside->count; i++) {
                if (daemon_is_ready())
                        tend(&beside->all[i]);
                over &= beside->all[i].stage == NEIGHBOUR_THERE;
        }
        if (!over)
                world_in(TEND_MS, on_tend, NULL);
}

/* ---- their mail ---- */

struct handing_in {
        struct neighbour *neighbour;
        uint32_t number;
};

static void handed_in(void *ctx, json_t *reply, const char *error)
{
        struct handing_in *one = ctx;
        const char *id = json_string_value(json_object_get(reply, "id"));

        (void)error;
        if (id) {
                ledger_submitted(one->number, id, one->neighbour->name);
                post(one->neighbour, one->number);
        }
        world_free(one);
}

static void hand_in(struct neighbour *neighbour)
{
        struct handing_in *one = world_alloc(sizeof *one);
        size_t len = 0;
        char address[64];

        *one = (struct handing_in){ neighbour, ledger_next_number() };
        ledger_submits(one->number, 1);
        ledger_recipient(one->number, 0, address, sizeof address);
        scoped(scoped_free) char *bytes = letter_bytes(one->number, &len);
        station_call(MAIL_METHOD "Submit",
                     json_pack("{ss, ss, s[s], si}", "account", neighbour->name, "from",
                               "alarm@plant.example", "recipients", address, "descriptor", 0),
                     bytes, len, handed_in, one);
}

static void on_mail(void *ctx)
{
        struct neighbour *neighbour = ctx;

        if (world_is_honest())
                return;
        if (neighbour->server->speech == SPEAK_SMTP) {
                if (daemon_is_ready() && neighbour->stage == NEIGHBOUR_THERE)
                        hand_in(neighbour);
        } else {
                uint32_t number = ledger_next_number();
                server_deliver(neighbour->server, neighbour->mailbox, number);
                post(neighbour, number);
        }
        world_in(chance_about("beside", 2 * HOUR_MS), on_mail, neighbour);
}

/* ---- their servers ---- */

static void is_well_again(void *ctx)
{
        struct neighbour *neighbour = ctx;

        neighbour->sick = false;
        neighbour->well_from = beside->fair;
        if (world_is_honest())
                return; /* made well by that */
        server_turn_honest(neighbour->server);
        history(neighbour->server->host, "is well again");
}

static void on_sickness(void *ctx)
{
        static const enum listening_state ways[] = { LISTEN_REFUSES, LISTEN_SILENT, LISTEN_UNREACHABLE };
        struct neighbour *neighbour = ctx;
        int64_t ms = chance_about("beside.sick", HOUR_MS);

        if (world_is_honest())
                return;
        if (!neighbour->sick) {
                neighbour->sick = true;
                if (chance_permille("beside.sick", 300))
                        server_state(neighbour->server->listening,
                                     ways[chance("beside.sick") % count_of(ways)]);
                else
                        server_show(neighbour->server, (enum cert_kind)chance_between(
                                                               "beside.sick", CERT_PLANT, CERT_WRONG_NAME));
                talks_reset(neighbour->server);
                world_in(ms < SICK_MOST_MS ? ms : SICK_MOST_MS, is_well_again, neighbour);
        }
        world_in(chance_about("beside.sick", 15 * HOUR_MS), on_sickness, neighbour);
}

static void move_in(enum speech speech)
{
        struct neighbour *neighbour = &beside->all[beside->count++];
        char host[40], address[40];

        (void)snprintf(host, sizeof host, "beside%zu.example", beside->count);
        (void)snprintf(address, sizeof address, "192.0.2.%zu", 100 + beside->count);
        (void)snprintf(neighbour->name, sizeof neighbour->name, "beside%zu", beside->count);
        neighbour->end = &neighbour->first;
        neighbour->server = server_make(speech, host, address, chance_permille("beside", 500));
        neighbour->mailbox = server_user(neighbour->server, "neighbour", "");
        neighbour->secret = ledger_secret_new(neighbour->server, "neighbour");
        ledger_secret_text(neighbour->secret, neighbour->mailbox->password,
                           sizeof neighbour->mailbox->password);
        world_in(chance_about("beside", HOUR_MS), on_mail, neighbour);
        if (feature("beside.sick", 60))
                world_in(chance_about("beside.sick", 15 * HOUR_MS), on_sickness, neighbour);
}

void beside_open(void)
{
        beside = world_alloc(sizeof *beside);
        if (!feature("beside", 60))
                return;
        for (int speech = SPEAK_SMTP; speech < PROVIDER_SPEECHES; speech++)
                move_in((enum speech)speech);
        world_in(SECOND_MS, on_tend, NULL);
}
