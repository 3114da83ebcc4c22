/* SPDX-License-Identifier: MIT */
/* Who keeps the accounts; see keeper.h. One call at a time about an account, so what was answered last is
 * what holds: a setting that was answered is compared when the account is looked at. */
#include "tests/simulator/keeper.h"

#include "tests/simulator/calls.h"
#include "tests/simulator/handover.h"
#include "tests/simulator/ledger.h"
#include "tests/simulator/world.h"

#include <stdio.h>

enum {
        TEND_MS = 3 * MINUTE_MS,
        CHOICES = 4,
        POP3_RATE =
                1800, /* seconds; each of its looks is a session, with a handshake, at first no more often */
};

/* What somebody plays with. The words are JSON. */
static const struct setting {
        const char *name;
        bool incoming, outgoing;
        const char *values[CHOICES];
} settings[MEMBER_SETTINGS] = {
        { "pollRate", true, false, { "300", "900", "3600", "7200" } },
        { "pollRate", false, true, { "0", "0", "600" } },
        { "push", true, false, { "true", "false" } },
        { "deliveryPolicy", true, false, { "\"markAsRead\"", "\"markAsUnread\"", "\"delete\"" } },
        { "connectionTimeout", true, true, { "5", "30", "300" } },
        { "authentication", true, true, { "\"auto\"", "\"plain\"" } },
        { "checkRate", false, true, { "3600", "43200" } },
        { "maxConnections", false, true, { "1", "3", "20" } },
        { "minTlsVersion", true, true, { "\"1.2\"", "\"1.3\"" } },
};

/* A POP3 account that deletes takes what has another UIDL for another message, however alike the two are: one
 * that comes to delete while its server numbers anew has its old mail twice. */
static bool has_setting(const struct member *member, const struct setting *setting)
{
        if (member->server->speech == SPEAK_POP3 && same_text(setting->name, "deliveryPolicy"))
                return false;
        return member->incoming ? setting->incoming : setting->outgoing;
}

static json_t *named(const struct member *member)
{
        return json_pack("{ss}", "name", member->name);
}

/* ---- what the server may hear of it ---- */

/* What an account does with messages at its server: asked for (it may do so from now on), or answered. */
static void tell_policy(struct member *member, const char *word, bool sure)
{
        struct mailbox *mailbox = member->mailbox;
        bool deletes = strstr(word, "delete") != NULL, marks = !strstr(word, "markAsUnread");
        int64_t soon = world_now() + 15 * MINUTE_MS; /* for a session that is being ended */

        if (deletes)
                mailbox->deleted_until = INT64_MAX;
        else if (sure && mailbox->deleted_until > soon)
                mailbox->deleted_until = soon;
        if (marks)
                mailbox->marked_until = INT64_MAX;
        else if (sure && mailbox->marked_until > soon)
                mailbox->marked_until = soon;
}

static void forget_secrets(struct member *member)
{
        if (member->secret)
                ledger_secret_withdrawn(member->secret);
        if (member->stale)
                ledger_secret_withdrawn(member->stale);
        member->stale = 0;
}

/* ---- looking ---- */

static void compare(struct member *member, json_t *properties)
{
        member->is_on = json_is_true(json_object_get(properties, "enabled"));
        for (size_t i = 0; i < count_of(settings); i++) {
                const char *right = member->settled[i];
                json_t *value = json_object_get(properties, settings[i].name);
                scoped(scoped_free) char *text = json_dumps(value, JSON_ENCODE_ANY);
                if (right && has_setting(member, &settings[i]) && !same_text(text, right))
                        violated("setting.kept", "%s of %s was answered to be %s, and is %s",
                                 settings[i].name, member->name, right, text ? text : "gone");
        }
}

static void looked(void *ctx, json_t *reply, const char *error)
{
        struct member *member = ctx;

        member->calling = false;
        if (reply) {
                member->there = MEMBER_THERE;
                compare(member, json_object_get(json_object_get(reply, "account"), "properties"));
        } else if (same_text(error, "NotFound")) {
                if (member->there == MEMBER_THERE)
                        violated("account.kept", "the account %s was answered to be there, and is not",
                                 member->name);
                member->there = MEMBER_ABSENT;
                ledger_account_goes(member->name);
                forget_secrets(member);
        }
}

static void look(struct member *member)
{
        member->calling = true;
        station_call(MAIL_METHOD "GetAccount", named(member), NULL, 0, looked, member);
}

/* ---- adding and deleting ---- */

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

/* Where its received mail goes. */
static void choose_handover(struct member *member, json_t *values)
{
        if (feature("handover.lmtp", 35) && chance_permille("keeper.handover", 300)) {
                scoped(scoped_free) char *address = text_of("%s@lmtp.example", member->name);
                json_object_set_new(values, "deliverTo", json_string("lmtp:" HANDOVER_LMTP));
                json_object_set_new(values, "deliverToAddress", json_string(address));
        } else if (feature("handover.exec", 35) && chance_permille("keeper.handover", 300)) {
                json_object_set_new(values, "deliverTo", json_string("exec:/usr/bin/take-it"));
        }
}

static void add(struct member *member)
{
        static const int rates[] = { 300, 900, 3600, 7200 };
        bool incoming = member->incoming, pop3 = member->server->speech == SPEAK_POP3;
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
        memset(member->settled, 0, sizeof member->settled);
        member->is_on = true;
        member->has_password = false;
        member->password_from = world_now();
        if (feature("people.late-password", 50) && chance_permille("keeper", 300))
                member->password_from += chance_about("keeper", HOUR_MS);
        member->secret = ledger_secret_new(member->server, member->mailbox->user);
        ledger_secret_text(member->secret, member->mailbox->password, sizeof member->mailbox->password);
        if (incoming) {
                bool deletes = feature("account.delete-policy", 40) && chance_permille("keeper", 400);
                int rate = rates[chance("keeper") % count_of(rates)];
                if (pop3 && rate < POP3_RATE)
                        rate = POP3_RATE;
                json_object_set_new(values, "pollRate", json_integer(rate));
                json_object_set_new(values, "deliveryPolicy", json_string(deletes ? "delete" : "markAsRead"));
                json_object_set_new(values, "push", json_boolean(chance_permille("keeper", 700)));
                tell_policy(member, deletes ? "delete" : "markAsRead", false);
                choose_handover(member, values);
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
        if (reply) {
                forget_secrets(member);
                tell_policy(member, "markAsUnread", true);
        }
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

/* ---- passwords ---- */

static void password_set(void *ctx, json_t *reply, const char *error)
{
        struct member *member = ctx;

        member->calling = false;
        if (!reply)
                member->there = MEMBER_UNSURE;
        member->has_password = reply != NULL;
        if (reply && member->stale)
                ledger_secret_withdrawn(member->stale);
        if (reply)
                member->stale = 0;
        history("keeper", "password of %s: %s", member->name, reply ? "set" : error ? error : "no answer");
}

static void wrong_one_set(void *ctx, json_t *reply, const char *error)
{
        struct member *member = ctx;

        member->calling = false;
        if (!reply)
                member->there = MEMBER_UNSURE;
        member->password_from = world_now() + chance_about("keeper", HOUR_MS);
        history("keeper", "password of %s, mistyped: %s", member->name,
                reply   ? "set"
                : error ? error
                        : "no answer");
}

static void set_password(struct member *member)
{
        json_t *what = named(member);
        char password[64];
        bool wrong = !member->stale && !world_is_honest() && feature("people.wrong-password", 50) &&
                     chance_permille("keeper.wrong", 250);

        if (wrong)
                member->stale = ledger_secret_new(member->server, member->mailbox->user);
        ledger_secret_text(wrong ? member->stale : member->secret, password, sizeof password);
        json_object_set_new(what, "password", json_string(password));
        member->calling = true;
        station_call(MAIL_METHOD "SetPassword", what, NULL, 0, wrong ? wrong_one_set : password_set, member);
}

/* The server has another password for the user from now on; the keeper hears of it later. */
static void change_password_there(struct member *member)
{
        if (!member->has_password || member->stale || member->calling || !member->is_on || !member->wants_on)
                return;
        member->stale = member->secret;
        member->secret = ledger_secret_new(member->server, member->mailbox->user);
        ledger_secret_text(member->secret, member->mailbox->password, sizeof member->mailbox->password);
        member->has_password = false;
        member->password_from = world_now() + chance_about("keeper", 3 * HOUR_MS);
        history(member->server->host, "has another password for %s", member->mailbox->user);
}

/* ---- settings ---- */

static void switched(void *ctx, json_t *reply, const char *error)
{
        struct member *member = ctx;

        member->calling = false;
        if (!reply)
                member->there = MEMBER_UNSURE;
        else
                member->is_on = member->asked_on;
        if (reply && !member->is_on)
                ledger_secret_rests(member->secret, true);
        history("keeper", "switching %s %s: %s", member->name, member->asked_on ? "on" : "off",
                reply   ? "done"
                : error ? error
                        : "no answer");
}

static void switch_it(struct member *member)
{
        json_t *what = named(member);

        member->asked_on = member->wants_on;
        if (member->wants_on)
                ledger_secret_rests(member->secret, false);
        json_object_set_new(what, "properties", json_pack("{sb}", "enabled", member->wants_on));
        member->calling = true;
        station_call(MAIL_METHOD "SetAccount", what, NULL, 0, switched, member);
}

static void setting_changed(void *ctx, json_t *reply, const char *error)
{
        struct member *member = ctx;
        const struct setting *setting = &settings[member->asked_setting];

        member->calling = false;
        if (!reply)
                member->there = MEMBER_UNSURE;
        else
                member->settled[member->asked_setting] = member->asked_value;
        if (reply && same_text(setting->name, "deliveryPolicy"))
                tell_policy(member, member->asked_value, true);
        history("keeper", "%s of %s to be %s: %s", setting->name, member->name, member->asked_value,
                reply   ? "done"
                : error ? error
                        : "no answer");
}

static void change_setting(struct member *member)
{
        size_t which = chance("keeper.settings") % count_of(settings), count = 0;
        const struct setting *setting = &settings[which];

        if (!has_setting(member, setting))
                return;
        while (count < CHOICES && setting->values[count])
                count++;
        member->asked_setting = which;
        member->asked_value = setting->values[chance("keeper.settings") % count];
        member->settled[which] = NULL;
        if (same_text(setting->name, "deliveryPolicy"))
                tell_policy(member, member->asked_value, false);
        json_t *what = named(member), *values = json_object();
        json_object_set_new(values, setting->name, json_loads(member->asked_value, JSON_DECODE_ANY, NULL));
        json_object_set_new(what, "properties", values);
        member->calling = true;
        station_call(MAIL_METHOD "SetAccount", what, NULL, 0, setting_changed, member);
}

/* ---- the keeper's day ---- */

/* The next thing to do for an account, if any. */
static void tend(struct member *member)
{
        if (member->calling)
                return;
        if (member->there == MEMBER_UNSURE)
                look(member);
        else if (member->wanted && member->there == MEMBER_ABSENT)
                add(member);
        else if (!member->wanted && member->there == MEMBER_THERE)
                delete (member);
        else if (member->there == MEMBER_THERE && member->is_on != member->wants_on)
                switch_it(member);
        else if (member->there == MEMBER_THERE && !member->has_password &&
                 world_now() >= member->password_from)
                set_password(member);
}

static void on_tend(void *ctx)
{
        (void)ctx;
        for (struct member *member = members_first(); daemon_is_ready() && member; member = member->next)
                tend(member);
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

static void on_switch_back(void *ctx)
{
        struct member *member = ctx;

        member->wants_on = true;
}

static void on_whim(void *ctx)
{
        struct member *member = ctx;
        int64_t what = chance_between("keeper.whim", 0, 9);
        bool free = daemon_is_ready() && !member->calling && member->there == MEMBER_THERE;

        if (world_is_honest())
                return;
        if (what < 2 && feature("people.switch", 50)) {
                member->wants_on = false;
                world_in(chance_about("keeper.whim", 3 * HOUR_MS), on_switch_back, member);
        } else if (what == 2 && feature("server.passwords", 50)) {
                change_password_there(member);
        } else if (what < 8 && free && feature("people.settings", 60)) {
                change_setting(member);
        } else if (what >= 8 && free) {
                look(member);
        }
        world_in(chance_about("keeper.whim", 10 * HOUR_MS), on_whim, member);
}

void keeper_takes(struct member *member)
{
        world_in(chance_about("keeper", 3 * DAY_MS), on_change_of_mind, member);
        world_in(chance_about("keeper.whim", 10 * HOUR_MS), on_whim, member);
}

void keeper_open(void)
{
        world_in(SECOND_MS, on_tend, NULL);
}
