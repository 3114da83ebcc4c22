/* SPDX-License-Identifier: MIT */
/* Socket methods about received mail, and about what a server does not hand out. */
#include "common/json_fields.h"
#include "common/limits.h"
#include "daemon/accounts/accounts.h"
#include "daemon/control/call.h"
#include "daemon/control/methods.h"
#include "daemon/incoming/retention.h"
#include "daemon/loop.h"
#include "daemon/store/inbox.h"
#include "daemon/store/missing_table.h"

/* Whether there is an incoming account of that name; else the call is answered. */
static bool call_has_inbox(struct call *call, const char *name)
{
        struct account *account = account_named(name);
        struct cause cause = { 0 };

        if (!account)
                (void)cause_missing(&cause, MISSING_ACCOUNT, "name", name);
        else if (account_is_outgoing(account) && !account->unreadable) {
                cause_about(&cause, CAUSE_INVALID, "name", "account %s is outgoing: it has no inbox", name);
                cause_remedy(&cause, "name an incoming account: emailsecctl account list");
        }
        if (cause.code)
                call_fail(call, &cause);
        return !cause.code;
}

/* ---- list ---- */

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
        const struct parameters *in = call_parameters(call);
        struct inbox_place after;
        struct cause cause = { 0 };

        if (!call_has_inbox(call, in->name))
                return;
        if (inbox_place(in->after, &after)) {
                inbox_list(in->name, &after, (size_t)in->inbox_limit, inbox_listed, call);
                return;
        }
        cause_about(&cause, CAUSE_INVALID, "after", "\"%s\" is no place in the list", in->after);
        call_fail(call, &cause);
}

/* ---- open ---- */

/* `fd` is handed over with the reply; the client reads the message even when it is deleted meanwhile. */
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
        const struct parameters *in = call_parameters(call);

        if (call_has_inbox(call, in->name))
                inbox_open(in->name, in->id, inbox_opened, call);
}

/* ---- delete, mark ---- */

/* What became of `count` messages, also beside a cause. */
static void changed(struct call *call, enum audit_trail_action action, size_t count,
                    const struct cause *cause)
{
        const char *name = call_parameters(call)->name;
        scoped(scoped_free) char *object =
                text_of("%zu received message%s of account %s", count, count == 1 ? "" : "s", name);

        if (count)
                audit(call,
                      &(struct trail){ .action = action, .about = { .account = name }, .object = object });
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

/* The texts are borrowed; the caller frees the list. */
static const char **ids_of(const struct parameters *in, size_t *count)
{
        const char **ids;

        *count = json_array_size(in->ids);
        ids = new_zeroed(*count + 1, sizeof *ids);
        for (size_t i = 0; i < *count; i++)
                ids[i] = json_string_value(json_array_get(in->ids, i));
        return ids;
}

static void deleted(void *ctx, size_t count, const struct cause *cause)
{
        changed(ctx, TRAIL_INBOX_DELETED, count, cause);
}

/* Exactly one of the two ways to say which: neither would be all of them. */
void on_delete_inbox_messages(struct call *call)
{
        const struct parameters *in = call_parameters(call);
        bool by_age = in->said[PARAMETER_OLDER_THAN];
        struct cause cause = { 0 };
        size_t count;

        if (!call_has_inbox(call, in->name))
                return;
        scoped(scoped_free) const char **ids = ids_of(in, &count);
        if (by_age == (count > 0)) {
                cause_about(&cause, CAUSE_INVALID, "ids", "say which: either ids or olderThan");
                call_fail(call, &cause);
        } else if (by_age) {
                retention_delete_old(in->name, (int64_t)loop_wall() - in->older_than, deleted, call);
        } else {
                retention_delete(in->name, ids, count, deleted, call);
        }
}

static void marked(void *ctx, size_t count, const struct cause *cause)
{
        changed(ctx, TRAIL_INBOX_MARKED, count, cause);
}

void on_mark_inbox_messages(struct call *call)
{
        const struct parameters *in = call_parameters(call);
        size_t count;

        if (!call_has_inbox(call, in->name))
                return;
        scoped(scoped_free) const char **ids = ids_of(in, &count);
        inbox_mark(in->name, ids, count, in->seen, marked, call);
}

static void listed(void *ctx, json_t *messages, const struct cause *cause)
{
        struct call *call = ctx;

        if (cause_happened(cause)) {
                call_fail(call, cause);
                return;
        }
        json_t *reply = json_object();
        json_put(reply, "messages", json_incref(messages));
        call_reply(call, reply);
}

void on_list_missing(struct call *call)
{
        const struct parameters *in = call_parameters(call);

        if (call_has_inbox(call, in->name))
                missing_list(in->name, listed, call);
}

/* Only the list of what cannot be had is shorter; the server's message stays, and is not asked for again. */
static void forgotten(void *ctx, size_t count, const struct cause *cause)
{
        struct call *call = ctx;

        if (cause_happened(cause)) {
                call_fail(call, cause);
                return;
        }
        const char *name = call_parameters(call)->name;
        scoped(scoped_free) char *object =
                text_of("%zu missing message%s of account %s", count, count == 1 ? "" : "s", name);
        if (count)
                audit(call, &(struct trail){ .action = TRAIL_MISSING_FORGOTTEN,
                                             .about = { .account = name },
                                             .object = object });
        else
                audit_nothing(call);
        json_t *reply = json_object();
        json_put(reply, "count", json_integer((json_int_t)count));
        call_reply(call, reply);
}

void on_forget_missing(struct call *call)
{
        const struct parameters *in = call_parameters(call);

        if (call_has_inbox(call, in->name))
                missing_forget(in->name, in->id ? in->id : "", forgotten, call);
}
