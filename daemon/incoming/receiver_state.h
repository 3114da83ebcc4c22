/* SPDX-License-Identifier: MIT */
/* What the files of a receiver (receiver*.c) share. Nobody else includes this. */
#pragma once

#include "daemon/incoming/fetching.h"
#include "daemon/incoming/receiver.h"
#include "daemon/incoming/receiver_rules.h"
#include "daemon/loop.h"
#include "daemon/sasl/mechanism.h"
#include "daemon/store/fetched_table.h"

/* Folders that the server does not open: those that are told already. */
struct refused_folder {
        char *name;
        struct cause why;
        struct refused_folder *next;
};

struct receiver {
        struct runner runner; /* first; its timer: the next session, or the next poll */
        enum receiver_phase phase;
        struct session *session;
        struct signin signin;
        struct fetching *fetching;
        char *folders, *folders_end; /* of this session: names, each ended by NUL */
        char *names;             /* the same on their way, parted by commas, while patterns are asked for */
        size_t pattern;          /* where in the property the present one ends */
        const char *folder;      /* the present one */
        bool folder_open;        /* the first one is selected in this session, */
        bool can_idle;           /* where the server has IDLE */
        struct waits waits;      /* what is known of waiting here */
        int64_t waiting_since;   /* loop_now() when the present wait began */
        enum waits_end wait_end; /* how the last one did; WAIT_NOTHING: unless the present poll finds some */
        char *alert;             /* what the server has last wanted a person to read, or NULL */
        char *waits_words;       /* why it is given up, or NULL */
        struct refused_folder *refused; /* by and by, over all polls */
        size_t opened;                  /* folders of the present poll that could be */
        bool partial;                   /* the present poll is at the first one of several */
        bool whole;                     /* the poll to come is at all folders, not just the one of IDLE */
        int64_t next_try;  /* seconds until something missing is asked for again, of the present poll; 0:
                              nothing is */
        int64_t whole_due; /* when it must be, loop_now() */
        uint64_t received, left; /* of the present poll, all folders */
        bool again;              /* asked to poll while polling */
};

/* ---- receiver_session.c ---- */

bool receiver_is_pop3(const struct receiver *receiver);
/* The operations of the account's protocol. */
const struct mailbox_ops *receiver_ops(const struct receiver *receiver);
/* Seconds. */
int64_t receiver_poll_rate(const struct receiver *receiver);
/* The same, or until something that is missing is asked for again. */
int64_t receiver_next_poll(const struct receiver *receiver);
/* Begins a session; `receiver_begin_poll` follows when it stands. */
void receiver_connect(struct receiver *receiver);
void receiver_drop_session(struct receiver *receiver);
/* Connects after so many seconds, unless the account or the daemon is at its end. */
void receiver_wait(struct receiver *receiver, int64_t seconds);
/* The session or the poll failed: the account shows why, and is tried again when that makes sense. */
void receiver_failed(struct receiver *receiver, const struct cause *cause, const char *challenge_id);
/* The poll is over: answers those who asked for it; `cause` NULL: it went well. */
void receiver_answer_polls(struct receiver *receiver, const struct cause *cause);

/* ---- receiver_folders.c ---- */

/* Names of the property without patterns are all there is; else asks the server for those that fit: true, and
 * receiver_begin_poll follows when it has answered. */
bool receiver_ask_folders(struct receiver *receiver) must_use;
/* The folders of the session: names parted by commas, which are taken over. */
void receiver_take_folders(struct receiver *receiver, char *names);
void receiver_folder_found(void *ctx, const char *name, bool selectable);
void receiver_folders_found(void *ctx);
/* The present folder was refused, or opened: told when that is new. */
void receiver_folder_refused(struct receiver *receiver, const struct cause *cause);
void receiver_folder_opened(struct receiver *receiver);
void receiver_forget_folders(struct receiver *receiver);

/* ---- receiver_poll.c ---- */

/* The wait that began at waiting_since is over; told when that leads to something new. */
void receiver_wait_ended(struct receiver *receiver, enum waits_end end, const struct cause *cause);
void receiver_idle_refused(struct receiver *receiver, const struct cause *cause);
void receiver_forget_waits(struct receiver *receiver);
/* `ctx`: the engine's. */
void receiver_alerted(void *ctx, const char *words);
/* Adds what is amiss with waiting, if anything. */
void receiver_waits_warning(const struct receiver *receiver, json_t *warnings);

/* Looks at the first folder, or at all of them when receiver->whole. */
void receiver_begin_poll(struct receiver *receiver);
/* Of the engine, while it waits: there is news, IDLE has ended, the server does not take it up. */
void receiver_idle_changed(void *ctx);
void receiver_idle_woken(void *ctx);
void receiver_idle_not_taken(void *ctx, const struct cause *cause);
/* Ends IDLE; a poll follows. */
void receiver_wake(struct receiver *receiver);
