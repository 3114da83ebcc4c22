/* SPDX-License-Identifier: MIT */
/* The socket method that lists the folders of a mailbox. */
#include "daemon/accounts/accounts.h"
#include "daemon/control/methods.h"
#include "daemon/incoming/folder_listing.h"

static void listed(void *ctx, json_t *folders, const struct cause *cause)
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

static void cancelled(void *work)
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
                call_on_cancel(call, cancelled, folder_listing_new(account, listed, call));
        }
}
