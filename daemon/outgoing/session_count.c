/* SPDX-License-Identifier: MIT */
/* How many sessions are worth having; see session_count.h. */
#include "daemon/outgoing/session_count.h"

#include "common/limits.h"

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
