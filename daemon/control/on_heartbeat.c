/* SPDX-License-Identifier: MIT */
/* The socket method that sends a heartbeat now and follows its round trip. */
#include "daemon/accounts/accounts.h"
#include "daemon/control/methods.h"
#include "daemon/service/heartbeat.h"

struct beating {
        struct call *call;
        struct heartbeat_watch *watch;
};

static json_t *reply_of(json_t *step)
{
        json_t *reply = json_object();

        json_put(reply, "step", json_incref(step));
        return reply;
}

static void step_told(void *ctx, json_t *step)
{
        struct beating *beating = ctx;

        call_reply_part(beating->call, reply_of(step));
}

static void done(void *ctx, json_t *last)
{
        struct beating *beating = ctx;

        call_reply(beating->call, reply_of(last));
        free(beating);
}

static void cancelled(void *work)
{
        struct beating *beating = work;

        heartbeat_cancel(beating->watch);
        free(beating);
}

void on_send_heartbeat(struct call *call)
{
        static const struct heartbeat_user user = { .step = step_told, .done = done };
        const char *name = call_parameters(call)->name;
        struct cause cause = { 0 };
        struct account *account = account_named(name);
        struct beating *beating = new_object(struct beating);
        beating->call = call;
        if (!account) {
                cause_about(&cause, CAUSE_NOT_FOUND, "name", "there is no account \"%s\"", name);
                cause_remedy(&cause, "emailsecctl account list");
        } else if (account->unreadable) {
                cause = *account->cause;
        } else if (heartbeat_ask(account, &user, beating, &beating->watch, &cause) == 0) {
                call_on_cancel(call, cancelled, beating);
                return;
        }
        free(beating);
        call_fail(call, &cause);
}
