/* SPDX-License-Identifier: MIT */
/*
 * What a receiver decides, pure: what it makes of the end of its session, when a session is renewed and when
 * a lost one is begun again, and how it waits for mail. Random parts spread the accounts.
 */
#pragma once

#include "common/cleanup.h"
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

/* ---- when to renew, and when to come back ---- */

/* Milliseconds after which IDLE is renewed and the mailbox looked at: IDLE tells of the first folder only,
 * the others are looked at by `poll_rate` (seconds). One folder alone is checked ten times less often, should
 * a server say nothing; but within the 29 minutes of RFC 2177, and before a server ends the session for
 * inactivity. */
int64_t poll_schedule_idle_ms(int64_t poll_rate, bool several_folders, uint32_t random) must_use;

/* Milliseconds after which a session that its server has ended is begun again. `accounts` may have been ended
 * with it: they do not all come back in one instant. */
int64_t poll_schedule_again_ms(size_t accounts, uint32_t random) must_use;

/* ---- how it waits for mail ---- */

/* Between two polls, learned from how waiting has ended: in IDLE, which a server may refuse, end at once, or
 * fill with announcements of nothing; in a session that is kept, which a proxy may close after a few seconds;
 * or apart, with a session for each poll. Times are milliseconds of loop_now(). */
enum waits_end {
        WAIT_OURS,    /* we ended it: it was time, or somebody asked for a poll */
        WAIT_NEWS,    /* the server did, and there was mail */
        WAIT_NOTHING, /* the server did, and there was none */
        WAIT_LOST,    /* with the session */
};

struct waits {
        unsigned lost;     /* sessions in a row that ended soon after they began to wait */
        unsigned nothing;  /* waits in a row that ended soon and for nothing */
        unsigned relapses; /* how often in a row it was given up */
        int64_t again;     /* from when on it is tried again; 0: it is not given up */
        bool apart;        /* given up: sessions are not kept; else IDLE only */
        bool told;         /* the owner's: that it is given up, or that a server storms */
};

enum {
        WAITS_SHORT_MS = 60 * 1000,            /* one that lasts as long as this is well */
        WAITS_LOST_MOST = 3,                   /* then polls are held apart */
        WAITS_NOTHING_MOST = 3,                /* then pauses begin, */
        WAITS_PAUSE_FIRST_MS = 1000,           /* each twice as long as the last, */
        WAITS_PAUSE_MOST_MS = 60 * 1000,       /* up to this */
        WAITS_AGAIN_FIRST_MS = 3600 * 1000,    /* given up for so long, then twice as long, */
        WAITS_AGAIN_MOST_MS = 24 * 3600 * 1000 /* up to this */
};

/* A wait has ended that lasted so long. */
void poll_idle_ended(struct waits *waits, enum waits_end end, int64_t lasted, int64_t now);
/* The server refuses IDLE. */
void poll_idle_refused(struct waits *waits, int64_t now);
bool poll_idle_may_idle(const struct waits *waits, int64_t now) must_use;
bool poll_idle_apart(const struct waits *waits, int64_t now) must_use;
/* Before the next IDLE; 0: none. */
int64_t poll_idle_pause(const struct waits *waits) must_use;
/* Before the next session in place of one that was lost. */
int64_t poll_idle_new_session(const struct waits *waits, int64_t usual) must_use;
