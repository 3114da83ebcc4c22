/* SPDX-License-Identifier: MIT */
/* What the end of a session is to a sender, and a server's word to a recipient; see sender_outcome.h. */
#include "daemon/outgoing/sender_outcome.h"
#include "daemon/backoff.h"

enum { WAKE_LEAST_MS = 500 };

bool sender_end_is_one_too_many(const struct sender_session_end *end)
{
        return end->others && !end->session.ready && !end->anew && !session_end_is_void(&end->session) &&
               cause_class(&end->session.why) == CLASS_DOWN;
}

bool sender_end_slows_down(const struct sender_session_end *end)
{
        return end->session.why.code == CAUSE_SERVER_BUSY && !sender_end_is_one_too_many(end);
}

enum sender_outcome sender_outcome(const struct sender_session_end *end)
{
        const struct cause *why = &end->session.why;
        bool by_server = why->code == CAUSE_CLOSED || why->code == CAUSE_SERVER_BUSY;

        if (why->code == CAUSE_NONE || end->quitting || end->anew || end->told ||
            session_end_is_void(&end->session) || sender_end_is_one_too_many(end))
                return SENDER_GOES_ON;
        if (end->retiring && cause_class(why) == CLASS_DOWN)
                return SENDER_GOES_ON_WARILY;
        /* a session that had worked and was closed by the server is no failure of the account */
        if (end->session.ready && by_server && !end->failing)
                return SENDER_GOES_ON_WARILY;
        return SENDER_FAILS;
}

int64_t sender_wake_ms(time_t next_due, time_t now, int64_t seconds_until_midnight)
{
        int64_t ms = ((int64_t)next_due - (int64_t)now) * 1000, most = seconds_until_midnight * 1000;

        if (ms < WAKE_LEAST_MS)
                return WAKE_LEAST_MS;
        return ms < most ? ms : most;
}

/* ---- recipients ---- */

enum { FIRST_DELAY = 60 }; /* seconds */

struct outbox_verdict sender_judge(const struct smtp_recipient *recipient, const struct cause *session_cause,
                                   unsigned attempts, time_t now, uint32_t random)
{
        struct outbox_verdict verdict = { .reply = recipient->reply, .cause = recipient->cause };
        time_t again = now + (time_t)backoff_delay(FIRST_DELAY, attempts, random);

        switch (recipient->outcome) {
        case OUTCOME_SENT:
                verdict.state = QUEUE_SENT;
                return verdict;
        case OUTCOME_REFUSED:
                verdict.state = QUEUE_FAILED;
                return verdict;
        case OUTCOME_DEFERRED:
                verdict.state = QUEUE_DEFERRED;
                verdict.next_attempt = again;
                return verdict;
        case OUTCOME_AMBIGUOUS:
                verdict.state = QUEUE_AMBIGUOUS;
                verdict.next_attempt = again;
                break;
        case OUTCOME_NONE:
                /* not decided: what stops the account leaves the message as it was (it does not age) */
                if (!session_cause || cause_class(session_cause) == CLASS_DOWN) {
                        verdict.state = QUEUE_DEFERRED;
                        verdict.next_attempt = again;
                } else {
                        verdict.state = QUEUE_QUEUED;
                }
                break;
        }
        if (session_cause) {
                verdict.reply = session_cause->text;
                verdict.cause = session_cause->code;
        }
        return verdict;
}
