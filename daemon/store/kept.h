/* SPDX-License-Identifier: MIT */
/*
 * Durable values of an account: counters, times, and what has been learnt of its server. All are in memory,
 * so that asking costs nothing; what changed in a turn of the loop is on disk with the commit of that turn,
 * beside the rows that it counts. They go with the account. Called on the loop, but for the last part.
 *
 * On disk each has a name (table `fact`), which the table in kept.c pins: a word of the enum may be renamed,
 * its name may not. Names that this version does not know stay on disk as they are.
 */
#pragma once

#include "common/cause.h"

#include <stdint.h>

enum kept {
        /* how its mail fares; times are seconds of the wall clock */
        KEPT_LAST_CHECKED,      /* whether it works was looked at */
        KEPT_LAST_POLL_SUCCESS, /* it worked: a poll, a delivery or a sign-in */
        KEPT_LAST_POLL_FAILURE,
        KEPT_LAST_POLL_FAILURE_CAUSE, /* text */
        KEPT_NUMBER_SENT,             /* recipients' copies, as all of these are */
        KEPT_NUMBER_DEFERRED,
        KEPT_NUMBER_DISCARDED,
        KEPT_LAST_DISCARD,
        KEPT_LAST_DISCARD_CAUSE, /* text */
        KEPT_NUMBER_RECEIVED,    /* messages */
        KEPT_LAST_RECEIVED,
        KEPT_HANDED_BACK, /* messages that LMTP or a command refused for good */
        KEPT_LAST_HANDED_BACK,
        KEPT_MISSING,        /* messages that its server lists and does not hand out */
        KEPT_NAMELESS,       /* that a POP3 server has without a UIDL */
        KEPT_NO_UID_EXPUNGE, /* 1: the server cannot delete single messages (IMAP without UIDPLUS) */
        /* floods to one recipient */
        KEPT_FLOOD_RECIPIENT, /* text */
        KEPT_LAST_FLOOD,
        KEPT_NUMBER_GATHERED, /* messages that went into a digest */
        KEPT_LAST_GATHERED,
        /* the account's clock and day (accounts/account.c, quota.c) */
        KEPT_PAUSED_SECONDS, /* for which its clock has stood still, in all */
        KEPT_STOPPED_SINCE,  /* 0: its clock runs */
        KEPT_SENT_DAY,       /* quota_day() of KEPT_SENT_ON_DAY */
        KEPT_SENT_ON_DAY,
        /* the last sign-in (session/session_talk.c) */
        KEPT_SIGNED_IN_BY,  /* text: the mechanism */
        KEPT_SIGNED_IN_AT,  /* text: "HOST:PORT" */
        KEPT_SIGNIN_BROKEN, /* text: "HOST:PORT MECHANISM ..." that this server offers and cannot do */
        /* how long a refusal is not believed (accounts/fault_grace.c) */
        KEPT_WORKED_SINCE, /* begin of the time that its sessions have come about for */
        KEPT_LAST_SIGNED_IN,
        KEPT_DOUBT_TALK, /* 1: it is about what is said in a session, not about its sign-in */
        KEPT_DOUBT_TRIES,
        KEPT_DOUBT_NEXT, /* when the next try is due */
        /* its heartbeat (service/heartbeat.c) */
        KEPT_HEARTBEAT_STATE, /* enum heartbeat_number */
        KEPT_LAST_HEARTBEAT,
        KEPT_LAST_HEARTBEAT_ARRIVED,
        KEPT_LAST_HEARTBEAT_SECONDS, /* of its round trip */
        KEPT_HEARTBEAT_TOKEN,        /* text, as the two that follow */
        KEPT_HEARTBEAT_ID,
        KEPT_HEARTBEAT_TO,
        KEPT_HEARTBEAT_RETURNS,     /* 1: one has come back from that address */
        KEPT_HEARTBEAT_WAS_MISSING, /* 1: the one before has not */
        /* faults told by mail (service/fault_mail.c) */
        KEPT_FAULT_MAIL_OPEN,     /* 1: its fault was told, and not yet that it is over */
        KEPT_HEARTBEAT_MAIL_OPEN, /* the same of its heartbeat */
        /* of the whole service: account KEPT_OF_SERVICE */
        KEPT_FAULT_MAIL_DAY, /* quota_day() of KEPT_FAULT_MAILS */
        KEPT_FAULT_MAILS,    /* sent on that day */
        KEPT_LAST_CHANGE,    /* text: JSON of the last change that a user has made */
        KEPT_ANCHORS,        /* certificates in the User Trust Store at the last start */
        KEPT_DECISIONS,      /* 1: there was a file of Allowed Hosts at the last start */
        KEPT_VALUES,
};
#define KEPT_OF_SERVICE "" /* which no account is named */

/* 0 when it was never set. */
int64_t kept_number(const char *account, enum kept value);
void kept_set_number(const char *account, enum kept value, int64_t number);
void kept_add(const char *account, enum kept value, int64_t delta);
/* NULL when it was never set; valid until it is set again. */
const char *kept_text(const char *account, enum kept value);
void kept_set_text(const char *account, enum kept value, const char *text);

/* The account's clock, seconds: it stands still while the account is stopped, and does not see how the wall
 * clock is set. How far it is from a message's expires_clock is how long that has left. */
int64_t kept_clock(const char *account);

/* When a fault of this code (its name, as "Authentication") was last told by mail; 0: never. */
int64_t kept_fault_told(const char *account, const char *code);
void kept_set_fault_told(const char *account, const char *code, int64_t when);

/* The value that has this name on disk, which is that of a property that shows it; KEPT_VALUES: none has. */
enum kept kept_named(const char *name);

/* ---- the store's side ---- */

struct database;
struct store_write;

/* Reads all values into memory; before the loop. */
int kept_load(struct database *db, struct cause *cause) must_use;
void kept_free(void);
/* Forgets those of an account in memory: its rows have gone. */
void kept_forget(const char *account);
/* A write of every value that changed since the last call; NULL when none did. */
struct store_write *kept_to_write(void) must_use;
