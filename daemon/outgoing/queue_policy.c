/* SPDX-License-Identifier: MIT */
/* Queue policy without disk, wire or clock; see queue_policy.h. */
#include "daemon/outgoing/queue_policy.h"

enum { FIRST_DELAY = 60, LONGEST_DELAY = 3600 };

static int64_t spread(int64_t delay, uint32_t random)
{
        int64_t fifth = delay / 5;

        return fifth ? delay - fifth + (int64_t)(random % (uint32_t)(2 * fifth + 1)) : delay;
}

int64_t outbox_pause(int64_t first, int64_t longest, unsigned steps, uint32_t random)
{
        int64_t pause = first;

        while (steps-- && pause < longest)
                pause *= 2;
        return spread(pause < longest ? pause : longest, random);
}

int64_t outbox_account_delay(int64_t base, unsigned failures, uint32_t random)
{
        return outbox_pause(base, LONGEST_DELAY, failures, random);
}

int64_t outbox_delay(unsigned failures, uint32_t random)
{
        return outbox_account_delay(FIRST_DELAY, failures, random);
}

bool outbox_too_far(time_t due, time_t now)
{
        return due > now && due - now > LONGEST_DELAY + LONGEST_DELAY / 5;
}

struct outbox_verdict outbox_judge(const struct smtp_recipient *recipient, const struct cause *session_cause,
                                   unsigned attempts, time_t now, uint32_t random)
{
        struct outbox_verdict verdict = { .reply = recipient->reply, .cause = recipient->cause };
        time_t again = now + (time_t)outbox_delay(attempts, random);

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

uint64_t outbox_left_today(int64_t max_per_day, int64_t sent_today)
{
        if (max_per_day <= 0)
                return UINT64_MAX;
        return sent_today >= max_per_day ? 0 : (uint64_t)(max_per_day - sent_today);
}

int64_t outbox_day(time_t now)
{
        struct tm day;

        if (!localtime_r(&now, &day))
                return 0;
        return (int64_t)(day.tm_year + 1900) * 10000 + (day.tm_mon + 1) * 100 + day.tm_mday;
}

int64_t outbox_until_midnight(time_t now)
{
        struct tm day;

        if (!localtime_r(&now, &day))
                return 3600;
        day.tm_mday++;
        day.tm_hour = day.tm_min = day.tm_sec = 0;
        day.tm_isdst = -1;
        time_t midnight = mktime(&day);
        return midnight > now ? (int64_t)(midnight - now) : 1;
}
