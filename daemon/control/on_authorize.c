/* SPDX-License-Identifier: MIT */
/* The socket method by which a person lets an account sign in at its OAuth provider. */
#include "daemon/accounts/accounts.h"
#include "daemon/control/audit.h"
#include "daemon/control/methods.h"
#include "daemon/service/authorize.h"

struct authorizing {
        struct call *call;
        struct authorize *authorize;
};

static json_t *reply_of(json_t *step)
{
        json_t *reply = json_object();

        json_put(reply, "step", json_incref(step));
        return reply;
}

static void step_told(void *ctx, json_t *step)
{
        struct authorizing *authorizing = ctx;

        call_reply_part(authorizing->call, reply_of(step));
}

static void done(void *ctx, json_t *last)
{
        struct authorizing *authorizing = ctx;
        const char *name = call_parameters(authorizing->call)->name;
        scoped(scoped_free) char *object = text_of("account %s", name);

        if (same_text(json_string_value(json_object_get(last, "result")), "ok"))
                audit(authorizing->call,
                      &(struct trail){ .action = TRAIL_ACCOUNT_AUTHORIZED, .about = { .account = name }, .object = object });
        else
                audit_nothing(authorizing->call);
        call_reply(authorizing->call, reply_of(last));
        free(authorizing);
}

static void cancelled(void *work)
{
        struct authorizing *authorizing = work;

        authorize_cancel(authorizing->authorize);
        free(authorizing);
}

void on_authorize_account(struct call *call)
{
        static const struct authorize_user user = { .step = step_told, .done = done };
        const char *name = call_parameters(call)->name;
        struct cause cause = { 0 };
        const struct account *account = account_named(name);
        struct authorizing *authorizing = new_object(struct authorizing);
        authorizing->call = call;
        if (!account) {
                cause_about(&cause, CAUSE_NOT_FOUND, "name", "there is no account \"%s\"", name);
                cause_remedy(&cause, "emailsecctl account list");
        } else if (account->unreadable) {
                cause = *account->cause;
        } else if (authorize_begin(account, &user, authorizing, &authorizing->authorize, &cause) == 0) {
                call_on_cancel(call, cancelled, authorizing);
                return;
        }
        free(authorizing);
        call_fail(call, &cause);
}
