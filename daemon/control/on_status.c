/* SPDX-License-Identifier: MIT */
/* Socket methods about the station: status, audit, metrics, history, reload. */
#include "daemon/control/audit.h"
#include "daemon/control/methods.h"
#include "daemon/local_names.h"
#include "daemon/service/history.h"
#include "daemon/service/metrics.h"
#include "daemon/service/service.h"

/* What local names stand for is told as the files say it now. */
static void status_known(void *ctx)
{
        struct call *call = ctx;
        struct cause cause;
        json_t *status = service_status(call_parameters(call)->account,
                                        (size_t)call_parameters(call)->account_limit, &cause);

        if (!status) {
                call_fail(call, &cause);
                return;
        }
        json_t *reply = json_object();
        json_put(reply, "status", status);
        call_reply(call, reply);
}

void on_get_status(struct call *call)
{
        local_names_look(status_known, call);
}

static void audit_known(void *ctx)
{
        struct call *call = ctx;
        json_t *reply = json_object();

        json_put(reply, "findings", service_audit());
        call_reply(call, reply);
}

void on_audit(struct call *call)
{
        local_names_look(audit_known, call);
}

void on_get_metrics(struct call *call)
{
        json_t *reply = json_object();
        char *text = metrics_text();

        json_put_text(reply, "text", text);
        free(text);
        call_reply(call, reply);
}

void on_get_history(struct call *call)
{
        json_t *reply = json_object();

        json_put(reply, "samples", history_json((size_t)call_parameters(call)->minutes));
        call_reply(call, reply);
}

void on_reload(struct call *call)
{
        json_t *warnings = json_array();
        struct cause cause = { 0 };

        if (methods_reload(warnings, &cause) < 0) {
                json_decref(warnings);
                call_fail(call, &cause);
                return;
        }
        audit(call, &(struct trail){ .action = TRAIL_RELOADED,
                                     .object = "settings, credentials and system trust" });
        json_t *reply = json_object();
        json_put_text(reply, "text", "settings, credentials and system trust were read again");
        json_put(reply, "warnings", warnings);
        call_reply(call, reply);
}
