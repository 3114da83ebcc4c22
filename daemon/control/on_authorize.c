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
        int result = authorize_begin(account, &user, steps, &authorize, cause);

        *work = authorize;
        return result;
}

static void cancel(void *work)
{
        authorize_cancel(work);
}

/* What was agreed to is in the audit trail; what came to nothing is not. */
static void over(struct call *call, const json_t *last)
{
        const char *name = call_parameters(call)->name;
        scoped(scoped_free) char *object = text_of("account %s", name);

        if (same_text(json_string_value(json_object_get(last, "result")), "ok"))
                audit(call, &(struct trail){ .action = TRAIL_ACCOUNT_AUTHORIZED, .about = { .account = name }, .object = object });
        else
                audit_nothing(call);
}

void on_authorize_account(struct call *call)
{
        static const struct steps_kind kind = { .begin = begin, .cancel = cancel, .over = over };

        steps_begin(call, &kind);
}
