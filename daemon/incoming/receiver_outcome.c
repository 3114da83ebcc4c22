/* SPDX-License-Identifier: MIT */
/* What the end of a session is to a receiver; see receiver_outcome.h. */
#include "daemon/incoming/receiver_outcome.h"

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
