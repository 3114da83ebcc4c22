/* SPDX-License-Identifier: MIT */
/*
 * The durable queue in SQLite: messages, bodies (in chunks in the same database, those of large messages in
 * files beside it, queue_body.h), recipients with their states, and the history of attempts. Policy (when to
 * retry, what a reply means) is outgoing/sender_rules; here is one SQL statement per transition.
 * Message counts per account and state are kept in memory, exact, and read without SQL.
 */
#pragma once

#include "daemon/store/intake.h"
#include "daemon/store/store.h"

#include <jansson.h>
#include <sys/types.h>

/* Kept in the database, so the numbers never change. Their order is that of "least finished": the state of a
 * message is the smallest of its recipients' (SQL's min), or QUEUE_FAILED where it has none. */
enum queue_state {
        QUEUE_QUEUED = 0,
        QUEUE_SENDING = 1, /* claimed: a session has it, or had it when the daemon ended */
        QUEUE_DEFERRED = 2,
        QUEUE_HELD = 3,
        QUEUE_AMBIGUOUS = 4, /* the session ended before the server's last word: sent again */
        QUEUE_FAILED = 5,
        QUEUE_SENT = 6,
        QUEUE_STATES
};
const char *queue_state_name(enum queue_state state);

#define QUEUE_ID_SIZE 16

/* ---- submission ---- */
struct submission { /* copied by queue_submit, except the descriptor: taken over */
        const char *account;
        const char *from; /* envelope sender, "" = null */
        const char **recipients;
        size_t recipient_count;
        const char **notify; /* one for each recipient as common/dsn.h gives it, or NULL; NULL: none at all */
        const char **originals;        /* likewise as dsn_original() has it */
        const char *ret, *envelope_id; /* likewise */
        int priority;                  /* 0 normal, 1 urgent */
        const char *key;               /* idempotency key or NULL */
        const char *submitted_by;      /* "alice (uid 1000)" */
        struct intake_rules rules;     /* id is filled in by the queue */
        int64_t lifetime;              /* seconds of the account's clock */
        int64_t account_clock; /* the account's clock now: seconds, stands still while it is stopped */
        size_t max_queue;  /* refuse with QUEUE_FULL beyond (messages of the account that wait: not failed) */
        uint64_t max_disk; /* station's QueueSizeLimit, bytes of unfinished messages; 0 none */
        bool held;         /* `held` from the start; it ages, unless by somebody in charge */
        uid_t owner;       /* who hands it in: has a share of the threads that read, and of the queue */
        bool in_charge;    /* root, the daemon's user, AdminGroup: has the reserve of them as well */
        int fd;            /* a regular file or memfd read from offset 0, or -1 */
        const void *bytes; /* when fd is -1 */
        size_t len;
        /* It has been read, and goes to the disk: a claim that is asked for in here is in the same commit,
         * behind it. May be NULL. */
        void (*coming)(const char *account);
};
/* Answers after the commit with the id. `duplicate`: the key was known, that id is given. Returns a ticket
 * for taking_cancel() (taking.h), which gives up what is still being read. */
uint64_t queue_submit(const struct submission *submission,
                      void (*done)(void *ctx, const char *id, bool duplicate, const struct cause *cause),
                      void *ctx);

/* ---- notices of failure ---- */
struct notice_rules {         /* of an account; copied */
        const char *to;       /* property notifyFailed; NULL or "": no notices */
        const char *from;     /* the account's own address, or "" */
        const char *hostname; /* this station */
        const char *server;   /* the account's */
        int64_t lifetime;     /* of a notice in the queue, seconds */
};

/* ---- floods ---- */
struct flood_rules {          /* of an account; copied */
        int64_t most;         /* maxPerRecipient; 0: no limit */
        const char *from;     /* the account's own address, or "" */
        const char *hostname; /* this station */
        int64_t lifetime;     /* of a digest in the queue, seconds */
};

/* ---- sending ---- */
struct queued_recipient {
        uint32_t index; /* within the message */
        char *address;
        char *notify, *original; /* or NULL */
        unsigned attempts;
};
struct queued_message {
        uint64_t seq; /* database key */
        char id[QUEUE_ID_SIZE];
        char *from;
        char *message_id;
        char *ret, *envelope_id;             /* or NULL */
        struct queued_recipient *recipients; /* those due now */
        size_t recipient_count;
        uint64_t size;
        bool eight_bit, header_utf8;
        int priority;
        time_t submitted;
        int64_t expires_clock; /* account clock at which it expires; INT64_MAX: a fresh lifetime begins at
                                * the next queue_expire */
        uint8_t *first;        /* the first chunk of the body (all of it when first_len == size) */
        size_t first_len;
        bool maybe_sent; /* it was being sent when the daemon died, or is ambiguous */
};
void queued_message_free(struct queued_message *message);

/* Takes up to `max` messages that are due at `now` (urgent first, then oldest), at most `max_bytes`
 * of first chunks, marks their due recipients `sending` on disk, answers with the array (the
 * callee owns the messages; the array itself is freed after the call). next_due: when the
 * next deferred one of the account comes due, 0 = none. `flood`: what is more than a recipient may have now
 * waits, or goes into a digest (queue_flood.h); NULL: nothing is limited. */
void queue_claim(const char *account, time_t now, size_t max, size_t max_bytes,
                 const struct notice_rules *notice, const struct flood_rules *flood,
                 void (*done)(void *ctx, struct queued_message **messages, size_t count, time_t next_due,
                              const struct cause *cause),
                 void *ctx);
/* The body's chunk at `offset` (up to 256 KiB), read on the reader thread; `bytes` are the callee's, for
 * chunk_memory_free(). */
void queue_read_body(uint64_t seq, uint64_t offset,
                     void (*done)(void *ctx, uint8_t *bytes, size_t len, const struct cause *cause),
                     void *ctx);
/* Gives claimed recipients back untouched (account stopped, session lost before its turn). */
void queue_unclaim(uint64_t seq);

struct settled_recipient {
        uint32_t index;
        enum queue_state state; /* SENT, DEFERRED, FAILED, AMBIGUOUS; QUEUED: untouched */
        time_t next_attempt;    /* DEFERRED, AMBIGUOUS */
        const char *reply;      /* the server's words or ours, printable */
        const char *enhanced;   /* "4.2.2" or "" */
        enum cause_code cause;
};
struct settlement { /* copied */
        uint64_t seq;
        time_t time;
        const char *host;   /* "mail.example:465" */
        const char *tls;    /* "TLSv1.3 system" or "" */
        const char *result; /* one line for the history */
        const struct settled_recipient *recipients;
        size_t recipient_count;
        const struct notice_rules *notice; /* for those that failed; NULL: no notice */
        bool partly;                       /* QUEUED ones are still being sent: another settlement follows */
};
/* `done` may be NULL. A message that is sent to all loses its body and is kept for KeepSent. While the disk
 * takes no writes the settlement is kept and tried again; `done` comes when it is on disk (or the store
 * closes). */
void queue_settle(const struct settlement *settlement, void (*done)(void *ctx, const struct cause *cause),
                  void *ctx);

/* ---- looking and changing ---- */
/* Messages as in interface.md, oldest first; account NULL = all; `states` bit set of 1u << state, 0 = all
 * unfinished (not SENT); after: a seq to go on from; max per call. `next` = 0 at the end. */
void queue_list(const char *account, unsigned states, uint64_t after, size_t max,
                void (*done)(void *ctx, json_t *messages, uint64_t next, const struct cause *cause),
                void *ctx);
/* With recipients and history. `id`: a unique beginning. */
void queue_get(const char *id, void (*done)(void *ctx, json_t *message, const struct cause *cause),
               void *ctx);
enum queue_change { QUEUE_RETRY, QUEUE_HOLD, QUEUE_RELEASE, QUEUE_DELETE, QUEUE_REROUTE };
/* All or nothing over the ids; a message being sent cannot be held, deleted or rerouted (CAUSE_STATE). RETRY
 * also revives failed ones; these, released and rerouted ones get a fresh lifetime. `done` gets the full ids
 * and the accounts concerned [{id, account}]; for REROUTE `account` is the new one, with previousAccount,
 * and no more than `max_queue` messages may then wait there (CAUSE_QUEUE_FULL). */
void queue_change(enum queue_change what, const char *const *ids, size_t count, const char *account,
                  size_t max_queue, void (*done)(void *ctx, json_t *changed, const struct cause *cause),
                  void *ctx);
/* Makes every deferred message of the account due now (flush, network back, cause gone). */
void queue_due_now(const char *account, void (*done)(void *ctx, size_t count, const struct cause *cause),
                   void *ctx);
/* Messages (not finished) whose expires_clock has passed become FAILED with CAUSE_EXPIRED; their
 * ids and accounts in the answer. `notice` as in a settlement. */
void queue_expire(const char *account, int64_t account_clock, const struct notice_rules *notice,
                  void (*done)(void *ctx, json_t *expired, const struct cause *cause), void *ctx);
/* Removes sent messages older than `before`. */
void queue_sweep(time_t before);

struct queue_counts {
        uint64_t messages[QUEUE_STATES];
        uint64_t bytes; /* of unfinished */
};
/* Seconds that the oldest message which is to be sent has waited; 0: none waits. No disk: as last looked at,
 * and exact while the oldest one is still there. */
int64_t queue_oldest_age(const char *account);
/* Looks again, on the reader thread; not more often than twice a minute. */
void queue_oldest_look(void);
/* Messages by their own state; account NULL = the station. No disk. */
struct queue_counts queue_counts(const char *account);
/* Those among them that are neither sent nor failed. */
uint64_t queue_waiting(const char *account);
/* Each account, in no order, that has mail to send: how many messages wait for an attempt. */
void queue_each_waiting(void (*each)(void *ctx, const char *account, uint64_t messages), void *ctx);
