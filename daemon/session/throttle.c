/* SPDX-License-Identifier: MIT */
/* Slowing down for a server, and recovering; see throttle.h. */
#include "daemon/session/throttle.h"

#include "daemon/backoff.h"

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
