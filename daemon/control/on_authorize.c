/* SPDX-License-Identifier: MIT */
/* The socket method by which a person lets an account sign in at its OAuth provider. */
#include "daemon/control/audit.h"
#include "daemon/control/methods.h"
#include "daemon/control/steps.h"
#include "daemon/service/authorize.h"

static int begin(struct account *account, struct steps *steps, void **work, struct cause *cause)
{
        static const struct authorize_user user = { .step = steps_told, .done = steps_over };
        struct authorize *authorize = NULL;
        int result = authorize_begin(account, call_doer(steps_call(steps)), &user, steps, &authorize, cause);

        *work = authorize;
        return result;
}

static void cancel(void *work)
{
        authorize_cancel(work);
}

/* What was agreed to has been recorded where it was stored: also when nobody waited for it any more. */
static void over(struct call *call, unused_arg const json_t *last)
{
        audit_nothing(call);
}

void on_authorize_account(struct call *call)
{
        static const struct steps_kind kind = { .begin = begin, .cancel = cancel, .over = over };

        steps_begin(call, &kind);
}
