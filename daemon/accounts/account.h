/* SPDX-License-Identifier: MIT */
/*
 * One account: its properties, its status with the cause, and the clock that stands still while
 * the account is stopped (so that mail held for a person's decision does not age).
 */
#pragma once

#include "common/properties.h"
#include "daemon/journal.h"
#include "daemon/store/owner.h"
#include "daemon/store/queue_table.h"
#include "daemon/tls/channel.h"

struct sender;
struct receiver;

enum account_status {
        ACCOUNT_OK,
        ACCOUNT_DISABLED,
        ACCOUNT_CONNECTING, /* it is not known: no session has come to an end yet, or the last good one was
                               long ago */
        ACCOUNT_DOWN,
        ACCOUNT_FAULT,
        ACCOUNT_CHALLENGE,
};

struct account {
        char *name;
        char id[OWNER_ID_SIZE]; /* its identity, to which all that is kept for it is bound; "": of old */
        struct property_values values;
        enum account_status status;
        const struct cause *cause; /* of DOWN, FAULT, CHALLENGE; kept by cause_keep */
        char challenge_id[13];     /* of CHALLENGE */
        bool counted;              /* by account_count_with() */
        bool unreadable;           /* its file could not be read: FAULT, nothing runs */
        bool busy_writing;         /* its file is being replaced */
        bool deleted;              /* taken out of the set; freed when the last user lets go */
        unsigned users;            /* who holds it: runners and what they have under way */
        unsigned generation;       /* counts changes: sessions of an older one end */
        struct channel_info *tls;  /* of the last judged session; NULL: it had none, or there was none */
        uint64_t handshakes, handshakes_resumed,
                handshake_ms;        /* completed since the start; their time together */
        struct sender *sender;       /* KIND_OUTGOING */
        struct receiver *receiver;   /* KIND_INCOMING */
        struct change *changes;      /* requests that wait for busy_writing, in order */
        unsigned told_waiting;       /* enum waiting_reason that was told last */
        struct account *next;        /* in order of name */
        struct account *same_bucket; /* accounts.c's own */
};

/* What follows from an account's coming, changing and going; the service's. Called on the loop. */
struct account_observer {
        void (*added)(struct account *account);
        /* Its properties, its secrets or what they rest on are others: its runner starts over. */
        void (*changed)(struct account *account);
        /* It was taken out of the set, and is freed when nothing holds it any more. */
        void (*removed)(struct account *account);
        /* Its status, or what its mail waits for, may be other than before. */
        void (*status)(struct account *account);
};
/* `observer` is borrowed; NULL: nobody. */
void account_observe(const struct account_observer *observer);
void account_tell_added(struct account *account);
void account_tell_changed(struct account *account);
void account_tell_removed(struct account *account);
void account_tell_status(struct account *account);

/* Takes the values over (they are empty afterwards). */
struct account *account_new(struct property_values *values) must_use;
/* Its file could not be read: FAULT, and nothing runs until it can be. */
void account_cannot_be_read(struct account *account, const struct cause *cause);
void account_free(struct account *account);
/* Holds it for an object that may outlive its place in the set; returns it. */
struct account *account_hold(struct account *account);
/* Lets go; the last one frees an account that was deleted. */
void account_release(struct account *account);

static inline bool account_is_outgoing(const struct account *account)
{
        return account->values.kind == KIND_OUTGOING;
}
static inline bool account_enabled(const struct account *account)
{
        return !account->unreadable && prop_bool(&account->values, PROP_ENABLED);
}
const char *account_status_name(enum account_status status);
/* How many accounts of the set have this status. It counts while it is in the set. */
size_t account_count_with(enum account_status status);
/* The first of these by name that is behind `name`; NULL: there is none. */
struct account *account_with_status(enum account_status status, const char *name);
void account_count_in(struct account *account, bool in);

/* The account as the journal names it. */
struct subject account_subject(const struct account *account);

/*
 * A session has told how the account is: the cause's class, or OK. Journal, event and the service's status
 * line hear of it once, when it changes.
 */
void account_report_failure(struct account *account, const struct cause *cause, const char *challenge_id);
/* OK: a look, a delivery or a sign-in has worked just now, and when is kept. */
void account_has_worked(struct account *account);
/* Its being well or ill was looked at just now. */
void account_was_checked(const struct account *account);
/* A message of the account of that name has failed, for this reason. */
void account_count_failed(const char *name, const char *why);
/* "ok" is a word for a time: once nothing has shown it for long, it is not known any more. */
void account_doubt_word(struct account *account);
/* Puts the status in line with `enabled` and forgets the cause: after a change, a decision. */
void account_start_over(struct account *account);
/* What its latest session has shown of TLS: NULL: it has none. A handshake took so long. */
void account_put_tls(struct account *account, const struct channel_info *info, int64_t handshake_ms);

/* Whether mail may come into its queue: -1 where it is unreadable, incoming, or disabled without
 * allowDisabledQueuing. maxQueueSize is the queue's to check. */
int account_takes_mail(const struct account *account, struct cause *cause) must_use;

/* To whom and how it is told when its mail fails; texts are borrowed from the account and the settings. */
struct notice_rules account_notice_rules(const struct account *account);
/* How much of its mail one recipient may have, and how the rest is gathered; borrowed likewise. */
struct flood_rules account_flood_rules(const struct account *account);

/* Seconds that stand still while the account is disabled, in fault or challenged. */
int64_t account_clock(const struct account *account);
/* The wall clock was set: what has waited gets no older and no younger by it. */
void account_clock_was_set(const struct account *account, int64_t seconds);
/* True when mail waits for a person: disabled, fault, challenge. */
bool account_is_stopped(const struct account *account);
