/* SPDX-License-Identifier: MIT */
/* What a receiver decides; see receiver_rules.h. */
#include "daemon/incoming/receiver_rules.h"

#include "daemon/backoff.h"

#include <limits.h>

static bool only_waits(enum receiver_phase phase)
{
        return phase == RESTING || phase == IDLING || phase == WAKING;
}

enum receiver_outcome receiver_outcome(const struct receiver_session_end *end)
{
        const struct cause *why = &end->session.why;
        bool closed = why->code == CAUSE_NONE || cause_class(why) == CLASS_DOWN;

        if (end->phase == QUITTING && (why->code == CAUSE_NONE || !end->quit_counts))
                return RECEIVER_POLL_OVER;
        if (session_end_is_void(&end->session))
                return RECEIVER_AGAIN;
        if (only_waits(end->phase) && closed) /* a server may close a kept session at any time */
                return RECEIVER_WAIT_LOST;
        return RECEIVER_POLL_BROKE;
}

enum receiver_poll_outcome receiver_poll_outcome(enum fetching_end end, const struct cause *why)
{
        if (end == FETCHING_AS_GOOD)
                return POLL_AS_GOOD_AS_OVER;
        return end == FETCHING_BROKE_OVER && cause_class(why) != CLASS_DOWN ? POLL_FAILED_BRIEFLY
                                                                            : POLL_FAILED;
}

/* ---- when to renew and when to come back, and learning how to wait for mail ---- */

enum {
        IDLE_MOST = 25 * 60, /* seconds */
        IDLE_PER_POLL = 10,
        AGAIN_MS = 1000,
};

int64_t poll_schedule_idle_ms(int64_t poll_rate, bool several_folders, uint32_t random)
{
        int64_t most = several_folders ? poll_rate : poll_rate * IDLE_PER_POLL;

        if (most > IDLE_MOST)
                most = IDLE_MOST;
        most *= 1000;
        return most / 2 + (int64_t)(random % (uint32_t)(most / 2 + 1));
}

int64_t poll_schedule_again_ms(size_t accounts, uint32_t random)
{
        return AGAIN_MS + (int64_t)(random % (backoff_stagger_ms(accounts) + 1));
}

/* ---- IDLE, a kept session, or neither ---- */

static int64_t doubled(int64_t first, unsigned times, int64_t most)
{
        while (times-- && first < most)
                first *= 2;
        return first < most ? first : most;
}

static void give_up(struct waits *waits, bool apart, int64_t now)
{
        waits->again = now + doubled(WAITS_AGAIN_FIRST_MS, waits->relapses++, WAITS_AGAIN_MOST_MS);
        waits->apart = apart;
}

void poll_idle_ended(struct waits *waits, enum waits_end end, int64_t lasted, int64_t now)
{
        bool well = lasted >= WAITS_SHORT_MS || end == WAIT_NEWS;

        if (well) {
                waits->lost = waits->nothing = 0;
                if (now >= waits->again) /* else it was another kind of wait */
                        waits->relapses = 0, waits->again = 0;
                return;
        }
        switch (end) {
        case WAIT_OURS:
                waits->lost = 0;
                break;
        case WAIT_NEWS:
                break;
        case WAIT_NOTHING:
                waits->nothing += waits->nothing < UINT_MAX;
                break;
        case WAIT_LOST:
                if (++waits->lost < WAITS_LOST_MOST)
                        break;
                waits->lost = WAITS_LOST_MOST - 1; /* one more try, when its time has come */
                give_up(waits, true, now);
                break;
        }
}

void poll_idle_refused(struct waits *waits, int64_t now)
{
        give_up(waits, false, now);
}

bool poll_idle_may_idle(const struct waits *waits, int64_t now)
{
        return now >= waits->again;
}

bool poll_idle_apart(const struct waits *waits, int64_t now)
{
        return waits->apart && now < waits->again;
}

int64_t poll_idle_pause(const struct waits *waits)
{
        if (waits->nothing <= WAITS_NOTHING_MOST)
                return 0;
        return doubled(WAITS_PAUSE_FIRST_MS, waits->nothing - WAITS_NOTHING_MOST - 1, WAITS_PAUSE_MOST_MS);
}

int64_t poll_idle_new_session(const struct waits *waits, int64_t usual)
{
        return doubled(usual, waits->lost ? waits->lost - 1 : 0,
                       usual > WAITS_PAUSE_MOST_MS ? usual : WAITS_PAUSE_MOST_MS);
}
