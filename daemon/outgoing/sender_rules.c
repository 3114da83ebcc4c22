/* SPDX-License-Identifier: MIT */
/* What a sender decides; see sender_rules.h. */
#include "daemon/outgoing/sender_rules.h"

#include "common/limits.h"
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

/* ---- how many sessions are worth having ---- */

enum {
        NEAR_US = 2000,    /* a server that takes a message in less is near, */
        NEAR_SESSIONS = 4, /* and so many keep it busy */
        TRIPS = 4,         /* to the server and back until a session is ready, about */
        WORTH_LEAST = 2,   /* messages that make one session more worth its setup: */
        WORTH_MOST = 8,    /* as many as are sent in twice its time, within these */
        STEP = 4,          /* for each session that works there may be so many */
        MEAN_OF = 8,       /* values, about, that a mean follows */
        TIMED_LEAST = 16,  /* before, it is still the first one's, which goes alone */
};
#define WIRE_BYTES (4 * MIB) /* on their way at once: large messages fill the wire by themselves */

static uint64_t least(uint64_t a, uint64_t b)
{
        return a < b ? a : b;
}

/* What a session is busy with a message; at first a guess: its part of a round trip. */
static int64_t message_time(const struct sending_load *load)
{
        int64_t guess = load->setup_us / TRIPS / (int64_t)(load->ahead ? load->ahead : 1);
        int64_t known = load->timed < TIMED_LEAST ? guess : load->message_us;

        /* longer than an answer is on its way */
        return load->silent_us > load->setup_us && load->silent_us > known ? load->silent_us : known;
}

/* Messages that are worth one session more. */
static uint64_t worth(const struct sending_load *load)
{
        int64_t message = message_time(load), setup = load->setup_us;

        if (message <= 0 || 2 * setup / message > WORTH_MOST)
                return WORTH_MOST;
        return 2 * setup / message < WORTH_LEAST ? WORTH_LEAST : (uint64_t)(2 * setup / message);
}

/* The most that helps, and that the server bears. */
static uint64_t limit(const struct sending_load *load)
{
        uint64_t most = least(load->most, load->allowed);

        if (message_time(load) < NEAR_US)
                return least(most, NEAR_SESSIONS);
        if (load->mean_size > WIRE_BYTES / NEAR_SESSIONS)
                return least(most, NEAR_SESSIONS);
        return load->mean_size ? least(most, WIRE_BYTES / load->mean_size) : most;
}

unsigned sessions_to_open(const struct sending_load *load)
{
        uint64_t each = worth(load), wanted = (load->waiting + each - 1) / each;
        uint64_t step = (uint64_t)STEP * load->ready;

        if (!load->have)
                return load->waiting && load->allowed ? 1
                                                      : 0; /* it shows whether the server can be reached */
        if (!load->ready)
                return 0;
        wanted = least(wanted, limit(load));
        wanted = least(wanted, step > load->proven ? step : load->proven);
        return wanted > load->have ? (unsigned)least(wanted - load->have, load->places) : 0;
}

int64_t sessions_mean(int64_t mean, size_t count, int64_t value)
{
        return count ? mean + (value - mean) / MEAN_OF : value;
}

/* ---- slowing down for a server, and recovering ---- */

enum {
        CALM_AFTER = 50, /* messages sent well after which one step is taken back */
        PAUSE_FIRST = 5,
        PAUSE_LONGEST = 600, /* seconds */
        STEP_MS = 1000,      /* refusals that come together are one */
        REFUSED_MOST = 6,    /* doublings of CALM_AFTER */
};

void throttle_reset(struct pace *pace)
{
        *pace = (struct pace){ .sessions = PACE_SESSIONS_MOST };
}

/* False when it is the one that was heard already. */
static bool is_new_wish(struct pace *pace, int64_t now, unsigned running)
{
        pace->calm = 0;
        if (pace->slowed_at && now < pace->slowed_at + STEP_MS)
                return false;
        pace->slowed_at = now;
        if (running && running < pace->sessions)
                pace->sessions = running;
        return true;
}

int64_t throttle_down(struct pace *pace, int64_t now, unsigned running, uint32_t random)
{
        if (!is_new_wish(pace, now, running))
                return 0;
        if (pace->sessions > 1) {
                pace->sessions /= 2;
                return 0;
        }
        return backoff_pause(PAUSE_FIRST, PAUSE_LONGEST, pace->pauses++, random);
}

void throttle_refused(struct pace *pace, int64_t now, unsigned running)
{
        if (running && running < pace->sessions)
                pace->sessions = running; /* also within a step: else it would be tried again at once */
        if (!is_new_wish(pace, now, running))
                return;
        if (pace->sessions > 1)
                pace->sessions /= 2;
        if (pace->refused < REFUSED_MOST)
                pace->refused++;
}

void throttle_well(struct pace *pace)
{
        if (++pace->calm < (unsigned)CALM_AFTER << (pace->pauses ? 0 : pace->refused))
                return;
        pace->calm = 0;
        if (pace->pauses)
                pace->pauses--;
        else if (pace->sessions < PACE_SESSIONS_MOST)
                pace->sessions++;
}
