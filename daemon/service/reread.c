/* SPDX-License-Identifier: MIT */
/* What could not be read is tried again; see reread.h. */
#include "daemon/service/reread.h"

#include "daemon/accounts/accounts.h"
#include "daemon/accounts/round.h"
#include "daemon/accounts/secrets.h"
#include "daemon/events.h"
#include "daemon/journal.h"
#include "daemon/loop.h"
#include "daemon/manager.h"
#include "daemon/messages.h"
#include "daemon/outgoing/sender.h"
#include "daemon/service/server_users.h"
#include "daemon/service/service.h"
#include "daemon/store/kept.h"
#include "daemon/store/queue_body.h"
#include "daemon/store/store.h"
#include "daemon/tls/allowed.h"
#include "daemon/tls/trust.h"

#include <unistd.h>

/* Soon after the disk is back, and no load while it stays away. */
enum { AGAIN_MS = 5000 };

static struct timer *again;

static void tell_healed(const char *what)
{
        log_about(NULL, LOG_NOTICE, MSG_TRUST_CHANGED, "%s can be read again", what);
        event_emit(EVENT_TRUST_RELOADED, NULL, NULL, "%s can be read again", what);
}

static bool trust_again(void)
{
        struct trust_settings trust;
        bool stores = trust_fault() != NULL;

        service_trust_settings(&trust);
        int result = trust_try_again(&trust);
        if (result > 0)
                tell_healed(stores ? "the trust stores" : "the client keys");
        return result >= 0;
}

static bool allowed_again(void)
{
        int result = allowed_try_again();

        if (result > 0) {
                server_users_begin();
                tell_healed("the Allowed Hosts");
        }
        return result >= 0;
}

static void secrets_healed(const char *name)
{
        struct account *account = account_named(name);
        struct subject subject = { .account = name };

        log_about(&subject, LOG_NOTICE, MSG_ACCOUNT_CHANGED, "the secrets of account %s can be read again",
                  name);
        if (account && !account->unreadable)
                account_tell_changed(account);
}

static void kick(struct account *account)
{
        if (account->sender)
                sender_kick(account->sender);
}

static struct accounts_round kick_round = { .visit = kick };

static void bodies_found(void)
{
        if (!again) /* the daemon ends */
                return;
        accounts_round_begin(&kick_round);
        manager_status_changed();
}

/* It is looked for by a thread, and well at a later look. */
static bool bodies_again(void)
{
        if (!body_files_fault())
                return true;
        queue_bodies_find(bodies_found);
        return false;
}

static void try_again(void *ctx)
{
        (void)ctx;
        /* all are tried, whichever fails: a damaged trust store keeps no account from its password */
        bool well = trust_again();
        well = allowed_again() && well;
        well = accounts_try_again() == 0 && well;
        well = secrets_try_again(secrets_healed) == 0 && well;
        well = bodies_again() && well;
        if (!well)
                timer_set(again, AGAIN_MS);
        manager_status_changed();
}

void reread_watch(void)
{
        if (!again)
                again = timer_new(try_again, NULL);
        if (!timer_is_set(again))
                timer_set(again, AGAIN_MS);
}

void reread_close(void)
{
        timer_free(take(again));
        accounts_round_stop(&kick_round);
}

/* ---- what is missing ---- */

static int64_t decisions_there(void)
{
        scoped(scoped_free) char *path = text_of("%s/allowed-hosts.json", store_directory());

        return access(path, F_OK) == 0;
}

/* Mostly it is as it was: then nothing is written. */
static void note(enum kept value, int64_t number)
{
        if (kept_number(KEPT_OF_SERVICE, value) != number)
                kept_set_number(KEPT_OF_SERVICE, value, number);
}

void reread_note(void)
{
        /* what cannot be read has not gone: the note of it stays as it was */
        if (!trust_fault())
                note(KEPT_ANCHORS, (int64_t)trust_imported());
        if (!allowed_fault())
                note(KEPT_DECISIONS, decisions_there());
}

static void tell_lost(const char *text, const char *remedy)
{
        struct cause cause;
        struct subject subject = { .cause = &cause };

        (void)cause_set(&cause, CAUSE_TRUST_STORE, "%s", text);
        cause_remedy(&cause, "%s", remedy);
        log_about(&subject, LOG_WARNING, MSG_TRUST_FAULT, "%s", text);
}

void reread_tell_lost(void)
{
        int64_t anchors = kept_number(KEPT_OF_SERVICE, KEPT_ANCHORS) - (int64_t)trust_imported();

        if (!trust_fault() && anchors > 0) {
                scoped(scoped_free) char *text = text_of(
                        "%lld certificate%s of the User Trust Store %s there at the last start and %s gone",
                        (long long)anchors, anchors == 1 ? "" : "s", anchors == 1 ? "was" : "were",
                        anchors == 1 ? "has" : "have");
                tell_lost(text, "put the files in trust/ back, from a backup, then: emailsecctl reload; or "
                                "import them again");
        }
        if (!allowed_fault() && kept_number(KEPT_OF_SERVICE, KEPT_DECISIONS) > decisions_there())
                tell_lost("allowed-hosts.json was there at the last start and has gone: what was decided "
                          "about certificates, and "
                          "which servers verified before, is no longer known",
                          "stop emailsecd and put it back, from a backup; or decide again: emailsecctl "
                          "challenge list");
        reread_note();
}
