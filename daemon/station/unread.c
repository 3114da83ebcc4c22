/* SPDX-License-Identifier: MIT */
/* What could not be read is tried again; see unread.h. */
#include "daemon/station/unread.h"

#include "daemon/journal.h"
#include "daemon/loop.h"
#include "daemon/messages.h"
#include "daemon/station/accounts.h"
#include "daemon/station/events.h"
#include "daemon/station/secrets.h"
#include "daemon/station/station.h"
#include "daemon/station/uses.h"
#include "daemon/tls/allowed.h"
#include "daemon/tls/trust.h"

enum { AGAIN_MS = 5000 };

static struct timer *again;

static void tell_healed(const char *what)
{
        log_about(NULL, LOG_NOTICE, MSG_TRUST_CHANGED, "%s can be read again", what);
        event_emit("trust.reloaded", NULL, NULL, "%s can be read again", what);
}

static bool trust_again(void)
{
        struct trust_settings trust;
        bool stores = trust_fault() != NULL;

        station_trust_settings(&trust);
        int result = trust_try_again(&trust);
        if (result > 0)
                tell_healed(stores ? "the trust stores" : "the client keys");
        return result >= 0;
}

static bool allowed_again(void)
{
        int result = allowed_try_again();

        if (result > 0) {
                uses_begin();
                tell_healed("the Allowed Hosts");
        }
        return result >= 0;
}

static void secrets_healed(const char *name)
{
        struct account *account = account_named(name);
        struct subject subject = { .account = name };

        log_about(&subject, LOG_NOTICE, MSG_ACCOUNT_CHANGED, "the secrets of account %s can be read again", name);
        if (account && !account->unreadable)
                station_account_changed(account);
}

static void try_again(void *ctx)
{
        (void)ctx;
        bool well = trust_again();
        well = allowed_again() && well;
        well = accounts_try_again() == 0 && well;
        well = secrets_try_again(secrets_healed) == 0 && well;
        if (!well)
                timer_set(again, AGAIN_MS);
        station_status_changed();
}

void unread_watch(void)
{
        if (!again)
                again = timer_new(try_again, NULL);
        if (!timer_is_set(again))
                timer_set(again, AGAIN_MS);
}

void unread_close(void)
{
        timer_free(take(again));
}
