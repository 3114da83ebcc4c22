/* SPDX-License-Identifier: MIT */
/*
 * What runs an account, whichever way its mail goes: who asked for a poll, how often it has failed in a row,
 * what it signs in with, and whether it may run at all. A sender and a receiver have one each, as their first
 * member; sessions, and what is done in them, are theirs.
 */
#pragma once

#include "daemon/accounts/account.h"
#include "daemon/runner/outcome.h"
#include "daemon/sasl/mechanism.h"

struct session;
struct runner;

/* What a poll has come to. */
struct poll_result {
        struct cause cause;      /* CAUSE_NONE: it went well */
        uint64_t sent, failed;   /* outgoing: messages */
        uint64_t received, left; /* incoming; left at the server as too large, of which this poll told */
};
typedef void runner_polled(void *ctx, const struct poll_result *result);

struct runner_class {
        /* Its timer has fired. */
        void (*due)(struct runner *runner);
        /* The token that runner_sign_in() waited for is there. */
        void (*token_came)(struct runner *runner);
        /* No session can be begun: the token did not come, or there is no secret. */
        void (*failed)(struct runner *runner, const struct cause *cause, const char *challenge_id);
};

struct runner {
        const struct runner_class *class;
        struct account *account;  /* held */
        struct timer *timer;      /* when it does something by itself again; its owner's to set */
        struct token_wait *token; /* an OAuth token is being fetched, before a session */
        struct runner_poll *polls;
        unsigned failures; /* in a row */
        bool winding_down; /* the daemon ends: nothing new is begun */
};

void runner_init(struct runner *runner, const struct runner_class *class, struct account *account);
/* Nothing comes any more: polls are answered, the timer and the token are let go of. The account is held
 * until runner_done(): answers of others may still be under way. */
void runner_stop(struct runner *runner);
void runner_done(struct runner *runner);

/* False for an account that is disabled or cannot be read, and while the daemon ends. */
bool runner_may_run(const struct runner *runner);

/* ---- polls ---- */

/* Somebody wants it to look now: answered by runner_answer_polls(). False: the account is disabled, which was
 * answered. */
bool runner_poll(struct runner *runner, runner_polled *done, void *ctx) must_use;
/* For those who wait: so many messages more. */
void runner_count(struct runner *runner, uint64_t sent, uint64_t failed);
/* Answers all who wait: by this, and what was counted. */
void runner_answer_polls(struct runner *runner, const struct poll_result *result);

/* ---- sessions ---- */

enum runner_signin {
        RUNNER_SIGNS_IN, /* by what stands in `out`: free with signin_done() */
        RUNNER_WAITS,    /* for a token: class->token_came() or failed() follows */
        RUNNER_CANNOT,   /* class->failed() was called */
};
enum runner_signin runner_sign_in(struct runner *runner, struct signin *out) must_use;
/* Nobody waits for a token any more. */
void runner_forget_token(struct runner *runner);
/* Facts about a session that has ended. A token that was refused is not used again. */
void runner_session_end(const struct runner *runner, const struct session *session, const struct cause *why,
                        bool ready, struct session_end *out);

/* ---- failures ---- */

struct runner_failure {
        struct cause why; /* as it is told: one that may pass where the account has long worked */
        int64_t delay;    /* seconds until the next try */
};
/* The account cannot go on for this cause: counts it, and says what follows. */
void runner_assess(struct runner *runner, const struct cause *cause, const struct retry_rules *rules,
                   struct runner_failure *out);
/* Puts it into the account's state and facts, and tells of it. */
void runner_tell_failure(const struct runner *runner, const struct runner_failure *failure,
                         const char *challenge_id);
