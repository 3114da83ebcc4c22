/* SPDX-License-Identifier: MIT */
/* The facts are kept over restarts, so that the tries stay few; see fault_grace.h. */
#include "daemon/accounts/fault_grace.h"

#include "common/times.h"
#include "daemon/store/fetched_table.h"

#define FACT_SINCE "workedSince" /* begin of the time that its sessions have come about for */
#define FACT_LAST  "lastSignedIn"
#define FACT_TALK  "doubtTalk" /* 1: it is about what is said in a session, not about its sign-in */
#define FACT_TRIES "doubtTries"
#define FACT_NEXT  "doubtNext" /* when the next try is due */

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
        int64_t last = fact_number(account, FACT_LAST);
        bool over = !fact_number(account, FACT_TALK) || now > fact_number(account, FACT_NEXT) + OVER;

        if (fact_number(account, FACT_TRIES) && over)
                fact_set_number(account, FACT_TRIES, 0);
        if (!fact_number(account, FACT_SINCE))
                fact_set_number(account, FACT_SINCE, now);
        if (now < last || now - last >= NOTED_AGAIN)
                fact_set_number(account, FACT_LAST, now);
}

void fault_grace_forget(const char *account)
{
        fact_set_number(account, FACT_SINCE, 0);
        fact_set_number(account, FACT_TRIES, 0);
}

int64_t fault_grace_cause(const char *account, int64_t now, struct cause *cause)
{
        int64_t since = fact_number(account, FACT_SINCE), last = fact_number(account, FACT_LAST);
        int64_t polled = fact_number(account, "lastPollSuccess"); /* a session may stand for weeks */
        int64_t tries = fact_number(account, FACT_TRIES), next = fact_number(account, FACT_NEXT);
        bool talk = cause->code == CAUSE_PROTOCOL;
        char when[32];

        last = polled > last ? polled : last;
        if (!is_odd(cause) || !since || (!talk && last - since < LONG) || now - last > LATELY || now < since)
                return 0;
        if (!tries || now >= next || next - now > pauses[count_of(pauses) - 1]) {
                if (tries == (int64_t)count_of(pauses))
                        return 0;
                next = now + pauses[tries];
                fact_set_number(account, FACT_TRIES, ++tries);
                fact_set_number(account, FACT_NEXT, next);
                fact_set_number(account, FACT_TALK, talk);
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
