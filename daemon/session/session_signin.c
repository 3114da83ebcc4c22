/* SPDX-License-Identifier: MIT */
/* What is kept of a sign-in for the next one, in the account's facts, and what of it is told; see
 * session_parts.h. */
#include "daemon/accounts/fault_grace.h"
#include "daemon/events.h"
#include "daemon/journal.h"
#include "daemon/messages.h"
#include "daemon/session/session_parts.h"
#include "daemon/store/kept.h"

/* What a server offers and cannot do is told of once, and not tried again there (signin.c reads it). */
static void note_broken(const struct session *session)
{
        const char *broken = session->engine->signin_broken, *account = session->plan.account;
        scoped(scoped_free) char *kept =
                broken ? text_of("%s:%u %s", session->plan.host, (unsigned)session->plan.port, broken)
                       : copy_text("");

        const char *before = kept_text(account, KEPT_SIGNIN_BROKEN);
        if (same_text(before ? before : "", kept))
                return;
        if (broken) {
                struct subject subject = session_subject(session);
                log_about(
                        &subject, LOG_WARNING, MSG_SIGNIN_BROKEN,
                        "%s: %s:%u offers %s to sign in and refuses it; signed in by %s, and so from now on",
                        account, session->plan.host, (unsigned)session->plan.port, broken,
                        session->engine->signed_in_by);
        }
        kept_set_text(account, KEPT_SIGNIN_BROKEN, kept);
}

/* S39: a server that proved itself by SCRAM once and now wants the password itself is told of, once. */
static void note_weaker(const struct session *session, const char *before, const char *by)
{
        const char *account = session->plan.account;

        if (!session->plan.auto_signin || !before || strncmp(before, "SCRAM-", 6) != 0 ||
            strncmp(by, "SCRAM-", 6) == 0)
                return;
        struct subject subject = session_subject(session);
        log_about(&subject, LOG_WARNING, MSG_SIGNIN_WEAKER,
                  "%s signed in by %s before and by %s now: if the server's operator did not mean that, "
                  "someone else may be answering there",
                  account, before, by);
        event_emit(EVENT_ACCOUNT_SIGNIN_WEAKER, account, NULL, "signed in by %s before and by %s now", before,
                   by);
}

void session_note_signin(const struct session *session)
{
        const char *by = session->engine->signed_in_by, *account = session->plan.account;

        if (!session->plan.record || !account[0])
                return;
        fault_grace_worked(account, (int64_t)loop_wall());
        if (!by)
                return;
        if (session->plan.auto_signin)
                note_broken(session);
        scoped(scoped_free) char *at = text_of("%s:%u", session->plan.host, (unsigned)session->plan.port);
        if (!same_text(kept_text(account, KEPT_SIGNED_IN_AT), at))
                kept_set_text(account, KEPT_SIGNED_IN_AT, at);
        const char *before = kept_text(account, KEPT_SIGNED_IN_BY);
        if (same_text(before, by))
                return;
        note_weaker(session, before, by);
        kept_set_text(account, KEPT_SIGNED_IN_BY, by);
}

void session_explain_signin(const struct session *session, struct cause *cause)
{
        /* cut off at the second way of signing in: the first was refused for this */
        if (cause->code == CAUSE_CLOSED && session->engine && cause_happened(session->engine->refused))
                *cause = *session->engine->refused;
        bool about = cause->code == CAUSE_AUTHENTICATION || cause->code == CAUSE_NO_MECHANISM;
        const char *kept = session->plan.record && session->plan.account[0]
                                   ? kept_text(session->plan.account, KEPT_SIGNIN_BROKEN)
                                   : NULL;

        /* what was thought of this server's mechanisms is thought over when it lets nobody in */
        if (about && !session->was_ready && kept && kept[0])
                kept_set_text(session->plan.account, KEPT_SIGNIN_BROKEN, "");
}
