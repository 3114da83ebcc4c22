/* SPDX-License-Identifier: MIT */
/* Socket methods about received mail. */
#include "common/limits.h"
#include "daemon/control/audit.h"
#include "daemon/control/methods.h"
#include "daemon/control/on_inbox.h"
#include "daemon/loop.h"
#include "daemon/station/accounts.h"
#include "daemon/station/keeping.h"
#include "daemon/store/inbox.h"

enum { PAGE = 10000 };

bool call_has_inbox(struct call *call, const char *name)
{
        struct account *account = account_named(name);
        struct cause cause = { 0 };

        if (!account)
                cause_about(&cause, CAUSE_NOT_FOUND, "name", "there is no account \"%s\"", name);
        else if (account_is_outgoing(account) && !account->unreadable)
                cause_about(&cause, CAUSE_INVALID, "name", "account %s is outgoing: it has no inbox", name);
        if (cause.code)
                call_fail(call, &cause);
        return !cause.code;
}

/* ---- list ---- */

struct listed {
        const char *name, *after;
        int64_t limit;
};
static const struct json_field list_fields[] = {
        { .name = "name", .kind = JSON_FIELD_TEXT, .offset = offsetof(struct listed, name), .flags = FIELD_REQUIRED },
        { .name = "after", .kind = JSON_FIELD_TEXT, .offset = offsetof(struct listed, after) },
        { .name = "limit", .kind = JSON_FIELD_INT, .offset = offsetof(struct listed, limit), .min = 1, .max = PAGE },
};

static void inbox_listed(void *ctx, const struct inbox_page *page, const struct cause *cause)
{
        struct call *call = ctx;

        if (cause_happened(cause)) {
                call_fail(call, cause);
                return;
        }
        json_t *reply = json_object();
        json_put(reply, "messages", json_incref(page->messages));
        json_put_text(reply, "next", page->more ? page->next : NULL);
        json_put(reply, "total", json_integer(page->total));
        call_reply(call, reply);
}

void on_list_inbox(struct call *call)
{
        struct listed in = { .limit = PAGE };
        struct inbox_place after;
        struct cause cause = { 0 };

        if (!call_read(call, list_fields, count_of(list_fields), &in) || !call_has_inbox(call, in.name))
                return;
        if (inbox_place(in.after, &after)) {
                inbox_list(in.name, &after, (size_t)in.limit, inbox_listed, call);
                return;
        }
        cause_about(&cause, CAUSE_INVALID, "after", "\"%s\" is no place in the list", in.after);
        call_fail(call, &cause);
}

/* ---- open ---- */

struct boxed {
        const char *name, *id;
};
static const struct json_field boxed_fields[] = {
        { .name = "name", .kind = JSON_FIELD_TEXT, .offset = offsetof(struct boxed, name), .flags = FIELD_REQUIRED },
        { .name = "id", .kind = JSON_FIELD_TEXT, .offset = offsetof(struct boxed, id), .flags = FIELD_REQUIRED },
};

static void inbox_opened(void *ctx, int fd, json_t *message, const struct cause *cause)
{
        struct call *call = ctx;

        if (cause_happened(cause)) {
                call_fail(call, cause);
                return;
        }
        json_t *reply = json_object();
        json_put(reply, "message", json_incref(message));
        json_put(reply, "descriptor", json_integer(0));
        call_reply_fd(call, reply, fd);
}

void on_open_inbox_message(struct call *call)
{
        struct boxed in = { 0 };

        if (call_read(call, boxed_fields, count_of(boxed_fields), &in) && call_has_inbox(call, in.name))
                inbox_open(in.name, in.id, inbox_opened, call);
}

/* ---- delete ---- */

struct unwanted {
        const char *name;
        json_t *ids;
        int64_t age;
        bool has_age;
};
static const struct json_field unwanted_fields[] = {
        { .name = "name", .kind = JSON_FIELD_TEXT, .offset = offsetof(struct unwanted, name), .flags = FIELD_REQUIRED },
        { .name = "ids", .kind = JSON_FIELD_TEXTS, .offset = offsetof(struct unwanted, ids) },
        { .name = "olderThan", .kind = JSON_FIELD_INT, .offset = offsetof(struct unwanted, age), .min = 0,
          .max = INT32_MAX, .present = offsetof(struct unwanted, has_age) },
};

static void deleted(void *ctx, size_t count, const struct cause *cause)
{
        struct call *call = ctx;
        const char *name = json_string_value(json_object_get(call_parameters(call), "name"));
        scoped(scoped_free) char *object = text_of("%zu received message%s of account %s", count, count == 1 ? "" : "s", name);

        if (count)
                audit(call, &(struct trail){ .action = TRAIL_INBOX_DELETED, .about = { .account = name }, .object = object });
        else
                audit_nothing(call);
        if (cause_happened(cause)) {
                call_fail(call, cause);
                return;
        }
        json_t *reply = json_object();
        json_put(reply, "count", json_integer((json_int_t)count));
        call_reply(call, reply);
}

void on_delete_inbox_messages(struct call *call)
{
        struct unwanted in = { 0 };
        struct cause cause = { 0 };

        if (!call_read(call, unwanted_fields, count_of(unwanted_fields), &in) || !call_has_inbox(call, in.name))
                return;
        size_t count = json_array_size(in.ids);
        if (in.has_age == (count > 0)) {
                cause_about(&cause, CAUSE_INVALID, "ids", "say which: either ids or olderThan");
                call_fail(call, &cause);
                return;
        }
        scoped(scoped_free) const char **ids = new_zeroed(count + 1, sizeof *ids);
        for (size_t i = 0; i < count; i++)
                ids[i] = json_string_value(json_array_get(in.ids, i));
        if (in.has_age)
                keeping_delete_old(in.name, (int64_t)loop_wall() - in.age, deleted, call);
        else
                keeping_delete(in.name, ids, count, deleted, call);
}
