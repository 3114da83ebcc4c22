/* SPDX-License-Identifier: MIT */
/* The socket method that reads what a domain says of its mail servers. */
#include "common/names.h"
#include "daemon/control/methods.h"
#include "daemon/service/autoconfig.h"

static void fetched(void *ctx, const char *url, const char *text, const struct cause *why)
{
        struct call *call = ctx;

        if (!text) {
                call_fail(call, why);
                return;
        }
        json_t *reply = json_object();
        json_put_text(reply, "url", url);
        json_put_text(reply, "text", text);
        call_reply(call, reply);
}

static void cancelled(void *work)
{
        autoconfig_cancel(work);
}

void on_fetch_autoconfig(struct call *call)
{
        struct cause cause = { 0 };
        scoped(scoped_free) char *domain = host_normal(call_parameters(call)->domain, &cause);

        if (!domain || host_is_address(domain)) {
                (void)cause_about(&cause, CAUSE_INVALID, "domain", "\"%s\" is no domain",
                                  call_parameters(call)->domain);
                call_fail(call, &cause);
                return;
        }
        call_on_cancel(call, cancelled, autoconfig_fetch(domain, fetched, call));
}
