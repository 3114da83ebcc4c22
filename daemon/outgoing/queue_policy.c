/* SPDX-License-Identifier: MIT */
/* What becomes of a recipient, without disk, wire or clock; see queue_policy.h. */
#include "daemon/outgoing/queue_policy.h"

#include "daemon/backoff.h"

enum { FIRST_DELAY = 60 }; /* seconds */

struct outbox_verdict queue_policy_judge(const struct smtp_recipient *recipient,
                                         const struct cause *session_cause, unsigned attempts, time_t now,
                                         uint32_t random)
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
