/* SPDX-License-Identifier: MIT */
/* The facts are kept over restarts, so that the tries stay few; see fault_grace.h. */
#include "daemon/accounts/fault_grace.h"

#include "common/times.h"
#include "daemon/store/kept.h"

enum {
        DAY = 24 * 3600,
        LONG = DAY,         /* since the first session, for a refused sign-in: servers count those */
        LATELY = 30 * DAY,  /* since the last one */
        OVER = 3600,        /* without another odd answer: the doubt was right */
        NOTED_AGAIN = 3600, /* the last sign-in is noted this often: it needs not be exact */
};

static const int64_t pauses[] = { 60, 10 * 60, 30 * 60 };

/* Faults that a server may be the reason of. What has a remedy of its own is clear, and nothing about
 * certificates, TLS or a signature is among them. */
static bool is_odd(const struct cause *cause)
{
        return (cause->code == CAUSE_AUTHENTICATION && !cause->remedy[0]) ||
               cause->code == CAUSE_NO_MECHANISM || cause->code == CAUSE_PROTOCOL;
}

/* A session that comes about shows that signing in works again, and nothing of what comes later in it. */
void fault_grace_worked(const char *account, int64_t now)
{
        int64_t last = kept_number(account, KEPT_LAST_SIGNED_IN);
        bool over =
                !kept_number(account, KEPT_DOUBT_TALK) || now > kept_number(account, KEPT_DOUBT_NEXT) + OVER;

        if (kept_number(account, KEPT_DOUBT_TRIES) && over)
                kept_set_number(account, KEPT_DOUBT_TRIES, 0);
        if (!kept_number(account, KEPT_WORKED_SINCE))
                kept_set_number(account, KEPT_WORKED_SINCE, now);
        if (now < last || now - last >= NOTED_AGAIN)
                kept_set_number(account, KEPT_LAST_SIGNED_IN, now);
}

void fault_grace_forget(const char *account)
{
        kept_set_number(account, KEPT_WORKED_SINCE, 0);
        kept_set_number(account, KEPT_DOUBT_TRIES, 0);
}

int64_t fault_grace_cause(const char *account, int64_t now, struct cause *cause)
{
        int64_t since = kept_number(account, KEPT_WORKED_SINCE),
                last = kept_number(account, KEPT_LAST_SIGNED_IN);
        int64_t polled = kept_number(account, KEPT_LAST_POLL_SUCCESS); /* a session may stand for weeks */
        int64_t tries = kept_number(account, KEPT_DOUBT_TRIES), next = kept_number(account, KEPT_DOUBT_NEXT);
        bool talk = cause->code == CAUSE_PROTOCOL;
        char when[32];

        last = polled > last ? polled : last;
        if (!is_odd(cause) || !since || (!talk && last - since < LONG) || now - last > LATELY || now < since)
                return 0;
        if (!tries || now >= next || next - now > pauses[count_of(pauses) - 1]) {
                if (tries == (int64_t)count_of(pauses))
                        return 0;
                next = now + pauses[tries];
                kept_set_number(account, KEPT_DOUBT_TRIES, ++tries);
                kept_set_number(account, KEPT_DOUBT_NEXT, next);
                kept_set_number(account, KEPT_DOUBT_TALK, talk);
        }
        time_rfc3339((time_t)last, when);
        struct cause told = *cause;
        (void)cause_set(
                cause, talk ? CAUSE_SERVER_BUSY : CAUSE_AUTH_TEMPORARY,
                "%s; the account has worked until %s, so it is tried again before that counts (%lld of %zu)",
                told.text, when, (long long)tries, count_of(pauses));
        cause_remedy(cause, "nothing to do if it passes by itself; else: %s", cause_remedy_of(&told));
        return next > now ? next - now : 1;
}
