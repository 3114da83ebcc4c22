/* SPDX-License-Identifier: MIT */
/* Slowing down for a server, and recovering; see throttle.h. */
#include "daemon/session/throttle.h"

#include "daemon/backoff.h"

enum {
        CALM_AFTER = 50, /* messages sent well after which one step is taken back */
        PAUSE_FIRST = 5,
        PAUSE_LONGEST = 600, /* seconds */
        STEP_MS = 1000,      /* refusals that come together are one */
};

void throttle_reset(struct pace *pace)
{
        *pace = (struct pace){ .sessions = PACE_SESSIONS_MOST };
}

int64_t throttle_down(struct pace *pace, int64_t now, unsigned running, uint32_t random)
{
        pace->calm = 0;
        if (pace->slowed_at && now < pace->slowed_at + STEP_MS)
                return 0;
        pace->slowed_at = now;
        if (running && running < pace->sessions)
                pace->sessions = running;
        if (pace->sessions > 1) {
                pace->sessions /= 2;
                return 0;
        }
        return backoff_pause(PAUSE_FIRST, PAUSE_LONGEST, pace->pauses++, random);
}

void throttle_well(struct pace *pace)
{
        if (++pace->calm < CALM_AFTER)
                return;
        pace->calm = 0;
        if (pace->pauses)
                pace->pauses--;
        else if (pace->sessions < PACE_SESSIONS_MOST)
                pace->sessions++;
}
