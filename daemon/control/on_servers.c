/* SPDX-License-Identifier: MIT */
/*
 * Socket methods that ask something of a server and follow what comes: a heartbeat sent now and its round
 * trip, a person who lets an account sign in at its OAuth provider, what a domain says of its mail servers,
 * the folders of a mailbox.
 */
#include "daemon/control/on_servers.h"

#include "common/json_fields.h"
#include "common/names.h"
#include "daemon/accounts/accounts.h"
#include "daemon/control/call.h"
#include "daemon/control/methods.h"
#include "daemon/incoming/folder_listing.h"
#include "daemon/service/authorize.h"
#include "daemon/service/autoconfig.h"
#include "daemon/service/heartbeat.h"

/* ---- following what is under way with an account, step by step ---- */

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

/* ---- SendHeartbeat ---- */

static int begin_heartbeat(struct account *account, struct steps *steps, void **work, struct cause *cause)
{
        static const struct heartbeat_user user = { .step = steps_told, .done = steps_over };
        struct heartbeat_watch *watch = NULL;
        int result = heartbeat_ask(account, &user, steps, &watch, cause);

        *work = watch;
        return result;
}

static void cancel_heartbeat(void *work)
{
        heartbeat_cancel(work);
}

void on_send_heartbeat(struct call *call)
{
        static const struct steps_kind kind = { .begin = begin_heartbeat, .cancel = cancel_heartbeat };

        steps_begin(call, &kind);
}

/* ---- AuthorizeAccount ---- */

static int begin_authorize(struct account *account, struct steps *steps, void **work, struct cause *cause)
{
        static const struct authorize_user user = { .step = steps_told, .done = steps_over };
        struct authorize *authorize = NULL;
        int result = authorize_begin(account, call_doer(steps_call(steps)), &user, steps, &authorize, cause);

        *work = authorize;
        return result;
}

static void cancel_authorize(void *work)
{
        authorize_cancel(work);
}

/* What was agreed to has been recorded where it was stored: also when nobody waited for it any more. */
static void authorize_over(struct call *call, unused_arg const json_t *last)
{
        audit_nothing(call);
}

void on_authorize_account(struct call *call)
{
        static const struct steps_kind kind = { .begin = begin_authorize,
                                                .cancel = cancel_authorize,
                                                .over = authorize_over };

        steps_begin(call, &kind);
}

/* ---- FetchAutoconfig ---- */

static void autoconfig_fetched(void *ctx, const char *url, const char *text, const struct cause *why)
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

static void autoconfig_cancelled(void *work)
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
        call_on_cancel(call, autoconfig_cancelled, autoconfig_fetch(domain, autoconfig_fetched, call));
}

/* ---- ListFolders ---- */

static void folders_listed(void *ctx, json_t *folders, const struct cause *cause)
{
        struct call *call = ctx;
        json_t *reply = json_object();

        if (cause) {
                json_decref(reply);
                call_fail(call, cause);
                return;
        }
        json_put(reply, "folders", json_incref(folders));
        call_reply(call, reply);
}

static void folders_cancelled(void *work)
{
        folder_listing_cancel(work);
}

void on_list_folders(struct call *call)
{
        const char *name = call_parameters(call)->name;
        struct account *account = account_named(name);
        struct cause cause;

        if (!account) {
                (void)cause_missing(&cause, MISSING_ACCOUNT, "name", name);
                call_fail(call, &cause);
        } else if (account->unreadable) {
                call_fail(call, account->cause);
        } else {
                call_on_cancel(call, folders_cancelled, folder_listing_new(account, folders_listed, call));
        }
}
