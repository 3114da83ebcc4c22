/* SPDX-License-Identifier: MIT */
/* Methods of EmailService about messages that a server does not hand out. */
#include "daemon/control/audit.h"
#include "daemon/control/methods.h"
#include "daemon/control/on_inbox.h"

#include "common/json_fields.h"
#include "daemon/store/missing_table.h"

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
