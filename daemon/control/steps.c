/* SPDX-License-Identifier: MIT */
/* Following what is under way with an account, step by step; see steps.h. */
#include "daemon/control/steps.h"

#include "common/json_fields.h"
#include "daemon/accounts/accounts.h"
#include "daemon/control/methods.h"

struct steps {
        const struct steps_kind *kind;
        struct call *call;
        void *work;
};

struct call *steps_call(const struct steps *steps)
{
        return steps->call;
}

json_t *steps_reply(json_t *step)
{
        json_t *reply = json_object();

        json_put(reply, "step", json_incref(step));
        return reply;
}

void steps_told(void *ctx, json_t *step)
{
        struct steps *steps = ctx;

        call_reply_part(steps->call, steps_reply(step));
}

/* The last step is the reply that ends the stream; the work has ended and is not cancelled any more. */
void steps_over(void *ctx, json_t *last)
{
        struct steps *steps = ctx;

        if (steps->kind->over)
                steps->kind->over(steps->call, last);
        call_reply(steps->call, steps_reply(last));
        free(steps);
}

static void cancelled(void *work)
{
        struct steps *steps = work;

        steps->kind->cancel(steps->work);
        free(steps);
}

/* With 0 from `begin` the work ends by steps_over() or by the client's going, whichever is first. */
void steps_begin(struct call *call, const struct steps_kind *kind)
{
        const char *name = call_parameters(call)->name;
        struct account *account = account_named(name);
        struct cause cause = { 0 };
        struct steps *steps = new_object(struct steps);
        *steps = (struct steps){ .kind = kind, .call = call };
        if (!account) {
                (void)cause_missing(&cause, MISSING_ACCOUNT, "name", name);
        } else if (account->unreadable) {
                cause = *account->cause;
        } else if (kind->begin(account, steps, &steps->work, &cause) == 0) {
                call_on_cancel(call, cancelled, steps);
                return;
        }
        free(steps);
        call_fail(call, &cause);
}
