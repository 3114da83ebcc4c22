/* SPDX-License-Identifier: MIT */
/* The socket method that sends a heartbeat now and follows its round trip. */
#include "daemon/control/methods.h"
#include "daemon/control/steps.h"
#include "daemon/service/heartbeat.h"

static int begin(struct account *account, struct steps *steps, void **work, struct cause *cause)
{
        static const struct heartbeat_user user = { .step = steps_told, .done = steps_over };
        struct heartbeat_watch *watch = NULL;
        int result = heartbeat_ask(account, &user, steps, &watch, cause);

        *work = watch;
        return result;
}

static void cancel(void *work)
{
        heartbeat_cancel(work);
}

void on_send_heartbeat(struct call *call)
{
        static const struct steps_kind kind = { .begin = begin, .cancel = cancel };

        steps_begin(call, &kind);
}
