/* SPDX-License-Identifier: MIT */
/* The look at the end; see audit.h. */
#include "tests/simulator/audit.h"

#include "common/cleanup.h"
#include "tests/simulator/calls.h"
#include "tests/simulator/handover.h"
#include "tests/simulator/ledger.h"
#include "tests/simulator/people.h"
#include "tests/simulator/world.h"

#include <stdio.h>

enum { LOOK_MS = 20 * MINUTE_MS };

struct audit {
        bool begun, content;
        char last[200]; /* what was not well at the last look */
        size_t *times;  /* each message was found in the inbox that is looked at, by number */
        size_t numbers;
};
static struct audit *audit;

bool audit_is_content(void)
{
        return audit->content;
}

/* ---- received mail ---- */

struct looking {
        const struct member *member;
        const char *folder;
};

/* Names begin alike in new/ and cur/, where flags follow. */
static bool is_old(const struct member *member, const char *name)
{
        for (size_t i = 0; i < member->old_count; i++)
                if (strncmp(member->old[i], name, strcspn(name, ":")) == 0)
                        return true;
        return false;
}

static void found_file(void *ctx, const char *name)
{
        const struct looking *at = ctx;
        scoped(scoped_free) char *path =
                text_of(SIM_STATE "/mail/%s/%s/%s", at->member->name, at->folder, name);
        size_t len = 0;
        char *bytes = is_old(at->member, name) ? NULL : disk_get(path, &len);
        uint32_t number = bytes ? letter_number(bytes, len) : 0;

        if (bytes && (!number || !letter_is(number, bytes, len, true)))
                violated("mail.received-bytes", "%s is not message %u as it was at the server", path, number);
        if (bytes && number < audit->numbers)
                audit->times[number]++;
        world_free(bytes);
}

static void count_files(const struct member *member)
{
        static const char *const folders[] = { "new", "cur" };

        for (size_t i = 0; i < count_of(folders); i++) {
                scoped(scoped_free) char *path = text_of(SIM_STATE "/mail/%s/%s", member->name, folders[i]);
                struct looking at = { member, folders[i] };
                disk_list(path, found_file, &at);
        }
}

/* False: not yet. */
static bool has_received_all(const struct member *member, bool final)
{
        const struct letter_box *box = &member->mailbox->box;

        for (size_t i = 0; i < box->count; i++) {
                const struct letter_item *item = &box->items[i];
                size_t times = audit->times[item->number];
                if (handover_has(member, item->number))
                        times = handover_refused(member, item->number) ? 1 : times + 1;
                if (times > 1)
                        violated("mail.received-twice", "message %u is in the inbox of %s %zu times",
                                 item->number, member->name, times);
                if (times == 1 || item->poison ||
                    ((item->gone || item->deleted) && item->went < member->since))
                        continue;
                if (item->gone)
                        violated("mail.not-received",
                                 "message %u was deleted at %s, and is not in the inbox of %s", item->number,
                                 member->server->host, member->name);
                if (final)
                        violated("mail.not-received", "message %u at %s is not in the inbox of %s",
                                 item->number, member->server->host, member->name);
                return false;
        }
        return true;
}

static bool look_at_inbox(const struct member *member, bool final)
{
        const struct letter_box *box = &member->mailbox->box;

        audit->numbers = 1;
        for (size_t i = 0; i < box->count; i++)
                if (box->items[i].number >= audit->numbers)
                        audit->numbers = box->items[i].number + 1;
        audit->times = new_zeroed(audit->numbers, sizeof *audit->times);
        count_files(member);
        bool all = has_received_all(member, final);
        free(take(audit->times));
        return all;
}

/* ---- the station's own words ---- */

static void note(const char *format, ...) printf_like(1, 2);
static void note(const char *format, ...)
{
        va_list args;

        audit->content = false;
        va_start(args, format);
        (void)vsnprintf(audit->last, sizeof audit->last, format, args);
        va_end(args);
}

static void heard_status(void *ctx, json_t *reply, const char *error)
{
        json_t *status = json_object_get(reply, "status"), *account;
        size_t i;

        (void)ctx;
        audit->content = true;
        if (!reply) {
                note("no status: %s", error ? error : "no answer");
                return;
        }
        json_array_foreach(json_object_get(status, "accounts"), i, account) {
                const char *word = json_string_value(json_object_get(account, "status"));
                const char *name = json_string_value(json_object_get(account, "name"));
                if (!same_text(word, "ok"))
                        note("the account %s is %s", name, word);
        }
        if (json_integer_value(json_object_get(status, "challenges")))
                note("challenges are open");
        if (json_array_size(json_object_get(status, "faults")))
                note("there is a fault: %s",
                     json_string_value(
                             json_object_get(json_array_get(json_object_get(status, "faults"), 0), "text")));
        if (!people_are_done())
                note("not every account is there");
        if (ledger_open_count())
                note("%zu recipients wait", ledger_open_count());
        for (const struct member *member = members_first(); audit->content && member; member = member->next)
                if (member->incoming && !look_at_inbox(member, false))
                        note("mail of %s is not here", member->name);
        history("audit", "%s", audit->content ? "all is well" : audit->last);
}

/* What has failed is listed, also where nobody heard the event. */
static void heard_failed(void *ctx, json_t *reply, const char *error)
{
        json_t *message, *recipient;
        size_t i, k;

        (void)ctx;
        (void)error;
        json_array_foreach(json_object_get(reply, "messages"), i, message)
                json_array_foreach(json_object_get(message, "recipients"), k, recipient) {
                        json_t *cause = json_object_get(recipient, "cause");
                        const char *code = json_string_value(
                                json_is_object(cause) ? json_object_get(cause, "code") : cause);
                        if (same_text(json_string_value(json_object_get(recipient, "state")), "failed"))
                                ledger_told_failed(json_string_value(json_object_get(message, "id")),
                                                   json_string_value(json_object_get(recipient, "address")),
                                                   code ? code : "");
                }
}

static void on_look(void *ctx)
{
        (void)ctx;
        if (daemon_is_ready())
                station_call(MAIL_METHOD "ListQueue", json_pack("{s[s]}", "states", "failed"), NULL, 0,
                             heard_failed, NULL);
        if (daemon_is_ready())
                station_call(MAIL_METHOD "GetStatus", json_object(), NULL, 0, heard_status, NULL);
        if (!audit->content)
                world_in(LOOK_MS, on_look, NULL);
}

void audit_begin(void)
{
        audit->begun = true;
        world_in(LOOK_MS, on_look, NULL);
}

static void all_is_well(void)
{
        if (audit->content)
                return;
        for (const struct member *member = members_first(); member; member = member->next)
                if (member->incoming && member->there == MEMBER_THERE)
                        (void)look_at_inbox(member, true);
        violated("world.settles", "the world has been honest, and still: %s", audit->last);
}

void audit_open(void)
{
        static const struct invariant settles = { "world.settles", NULL, all_is_well };

        audit = world_alloc(sizeof *audit);
        (void)snprintf(audit->last, sizeof audit->last, "nobody has looked");
        invariant_add(&settles);
}
