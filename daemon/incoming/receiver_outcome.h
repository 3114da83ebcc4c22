/* SPDX-License-Identifier: MIT */
/* What a receiver makes of the end of its session; pure. */
#pragma once

#include "daemon/incoming/fetching.h"
#include "daemon/runner/outcome.h"

/* What a receiver is at. */
enum receiver_phase {
        WAITING,    /* without a session */
        CONNECTING, /* or waiting for a token */
        POLLING,
        RESTING, /* in a session that is kept until the next poll */
        IDLING,
        WAKING, /* from IDLE */
        QUITTING,
};

struct receiver_session_end {
        struct session_end session;
        enum receiver_phase phase;
        bool quit_counts; /* the server deletes what it was told of only once QUIT is answered (POP3) */
};

enum receiver_outcome {
        RECEIVER_POLL_OVER,  /* as it was to be */
        RECEIVER_AGAIN,      /* at once: it says nothing of the account */
        RECEIVER_WAIT_LOST,  /* a session that only waited: the next one begins soon */
        RECEIVER_POLL_BROKE, /* amidst its work: receiver_poll_outcome() */
};
enum receiver_outcome receiver_outcome(const struct receiver_session_end *end) must_use;

enum receiver_poll_outcome {
        POLL_AS_GOOD_AS_OVER, /* all but the message it broke over was had: no fault of the account's */
        POLL_FAILED,          /* the account cannot go on for this cause */
        POLL_FAILED_BRIEFLY,  /* it broke over one message: the others can be had soon, whatever the cause */
};
/* `end` is what fetching_broke() says. */
enum receiver_poll_outcome receiver_poll_outcome(enum fetching_end end, const struct cause *why) must_use;
