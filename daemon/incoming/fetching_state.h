/* SPDX-License-Identifier: MIT */
/* What the files of a poll (fetching*.c) share. Nobody else includes this. */
#pragma once

#include "daemon/handle.h"
#include "daemon/incoming/fetching.h"
#include "daemon/store/fetched_table.h"
#include "daemon/store/missing_table.h"

/* What became of a message that was asked for. */
enum want { WANT_OPEN, WANT_HERE, WANT_REFUSED, WANT_GONE };

/* A message of an IMAP folder while it is listed: no larger than it must be, for there may be many. */
struct listed_row {
        uint32_t uid;
        bool seen, deleted;
        uint64_t size;
};

struct fetching {
        struct account *account;
        struct session *session;
        const struct mailbox_ops *ops;
        char *folder;
        void (*done)(void *ctx, const struct fetching_result *result);
        void *ctx;

        struct mailbox_info info;
        bool pop3, first_poll, reconcile, unseen_only;
        bool some_gone;           /* POP3: UIDLs that the server had at the last poll */
        struct uidl_set uidls;    /* POP3: of what is listed; kept while it is listed anew */
        bool skipping, list_over; /* POP3: what is listed is being passed over; nothing more is listed, */
        bool skipped_last;        /* and it was when that began */
        size_t moved;             /* POP3: messages that have come under another UIDL */
        struct fetched_cursor cursor;
        struct mailbox_entry *listed; /* POP3: as the server lists them */
        size_t listed_count, listed_size;
        struct listed_row *rows;              /* IMAP: likewise; */
        size_t row_count, row_size, row_next; /* those from row_next on are not yet wanted */
        uint32_t up_to;               /* `highest` when all of the list is dealt with, though none came */
        size_t session_holds;         /* bytes of the list that is coming in */
        bool more;                    /* there are more above those; they are listed anew after these */
        uint32_t after;               /* the present list is of those above this UID or number */
        struct mailbox_entry *wanted; /* new ones, in order */
        size_t wanted_size;
        unsigned windows;           /* lists before the present one in this poll */
        uint8_t *wants;             /* enum want of each */
        size_t wanted_count, next;  /* next: first of the present round that is not asked for */
        size_t round;               /* first of the present round */
        bool asking;                /* messages of it are awaited */
        size_t expected;            /* the one that should arrive next */
        struct mailbox_entry *tell; /* stored here, to be told to the server */
        size_t tell_count, tell_size;
        struct mailbox_entry *quit_tell; /* POP3: told when QUIT is answered */
        size_t quit_tell_count;
        struct mailbox_entry *known; /* above the cursor and here already, in order */
        size_t known_count, known_size;
        struct missing *missing; /* what was asked for in vain before, by UID (fetching_missing.c) */
        size_t missing_count;
        struct mailbox_entry *alone; /* those of it that are asked for again, each by itself, at the end */
        size_t alone_count, alone_size, alone_next;
        bool try_all;         /* also those whose time has not come */
        struct missing *vain; /* asked for in vain in this round */
        size_t vain_count, vain_size;
        int64_t next_try;   /* wall clock, of the first one of all that is missing; 0: nothing is */
        size_t noted_count; /* written down in this poll */
        void (*then)(struct fetching *fetching); /* after that */
        bool in_alone, checking; /* at the end of the poll; what is missing is being listed, */
        bool counting;           /* or all, to see which of it has gone; */
        size_t unlisted;         /* so many the server counts that it did not list then */
        bool all_listed;         /* none: what was not listed has gone */
        bool waits;              /* for the disk, behind an earlier poll of this account, */
        void (*behind)(struct fetching *fetching); /* before this is done */
        unsigned vain_in_row;                      /* since the last message that came */
        struct mailbox_entry *not_told;            /* the server would not mark them */
        size_t not_told_count, not_told_size;
        struct mailbox_entry *left; /* too large: a note about each is stored */
        size_t left_count, left_size;
        bool heads, heads_over;     /* the present round is about those; it was */
        struct mailbox_entry *back; /* left at an earlier poll, and no longer too large */
        size_t back_count, back_size;
        uint32_t highest; /* UID up to which everything is dealt with at the end */

        struct hand_on *hand_on;       /* NULL: to the Maildir */
        struct unrecorded *unrecorded; /* owned; for a look that compares; or NULL */
        struct delivery *filling;      /* takes pieces */
        struct delivery *full;         /* waits for its commit */
        bool committing, round_received, in_order;
        bool moved_on;                 /* something came whole */
        bool in_message;               /* one that has begun and not ended fills */
        struct mailbox_entry arriving; /* that one, or the last */
        bool as_announced; /* it comes as a literal of the announced size: its lines are not counted */
        uint64_t got, fresh, lines,
                returns; /* bytes of it; in this session; LFs among them; those behind a CR */
        uint32_t filling_last, full_last; /* UID of the last whole one within */
        uint64_t received, noted;         /* messages; notes about those that are too large */
        unsigned answers;                 /* store answers under way */
        bool freed, finished, failed;     /* failed: the poll ended for a cause of this machine */
        bool no_room;                     /* for one more message: what came before it is kept */
        struct fetching *sibling;         /* among those that end, or that wait for one (fetching.c) */
        bool just_opened;                 /* `info` is of SELECT, not what was heard since */
        handle_id listing;                /* of one that gives way to other lists */
        bool gives_way;
        size_t list_held; /* bytes of its list, as counted with all of them */
        struct fetching *next_listing;
};

/* ---- fetching_state.c ---- */

struct subject fetching_subject(const struct fetching *fetching);
bool fetching_policy_is(const struct fetching *fetching, enum property_word word);
/* True when the server is to be told of a stored message: \Seen or deletion. */
bool fetching_tells_server(const struct fetching *fetching);
void fetching_push(struct mailbox_entry **list, size_t *count, size_t *size,
                   const struct mailbox_entry *entry);
/* At the head of each store answer: true when the object is still wanted. */
bool fetching_answered(struct fetching *fetching);
void fetching_finish(struct fetching *fetching, const struct cause *cause);
/* True when there is a cause, by which the poll has finished. */
bool fetching_stopped_by(struct fetching *fetching, const struct cause *cause);
struct engine *fetching_engine(struct fetching *fetching);
/* The largest message that the account takes. */
uint64_t fetching_most(const struct fetching *fetching);

/* It is freed as soon as no answer is due any more. */
void fetching_let_end(struct fetching *fetching);
/* What became of one that was asked for. */
void fetching_set_want(struct fetching *fetching, const struct mailbox_entry *entry, enum want want);

/* Goes on when no earlier poll of this account has anything on its way to the disk: now, or later. */
void fetching_behind_others(struct fetching *fetching, void (*then)(struct fetching *fetching));

/* ---- listing_share.c ---- */

/* The list has become longer or shorter. May end this poll or another one, on the loop's next turn. */
void fetching_count_list(struct fetching *fetching);
/* The poll ends: its list counts no more. */
void fetching_forget_list(struct fetching *fetching);

/* ---- fetching_new.c ---- */

/* What is wanted is dealt with: true when more is listed, or there to be listed, which is next. */
bool fetching_list_more(struct fetching *fetching);

/* Reads the cursor. */
void fetching_read_cursor(struct fetching *fetching);

void fetching_on_opened(void *ctx, const struct mailbox_info *info);
void fetching_on_listed(void *ctx, const struct mailbox_entry *entries, size_t count);
void fetching_on_holds(void *ctx, size_t bytes);
void fetching_on_listed_all(void *ctx);

/* To be fetched, or left as too large. */
void fetching_want(struct fetching *fetching, const struct mailbox_entry *entry);
/* What is wanted is known: where a large message was cut before, it is gone on with. */
void fetching_begin_rounds(struct fetching *fetching);
/* The first poll of an account that takes new mail only. */
bool fetching_skips_all(const struct fetching *fetching);

/* ---- fetching_uidls.c ---- */

/* POP3: one of the list; the list is over. */
void fetching_list_uidl(struct fetching *fetching, const struct mailbox_entry *entry);
void fetching_uidls_listed(struct fetching *fetching);

/* ---- fetching_batches.c ---- */

/* Everything new is here: the cursor goes past what was skipped as well. */
void fetching_conclude(struct fetching *fetching);
/* Tells the server of what is stored and not yet told, if the policy says so; then the next round. */
void fetching_tell_server(struct fetching *fetching);
void fetching_on_marked(void *ctx);

void fetching_on_marked_beside(void *ctx, const struct mailbox_entry *entries, size_t count, bool marked);
/* True when the next round has begun, before this one is on disk: the server is told meanwhile of what is. */
bool fetching_goes_on(struct fetching *fetching);
/* A round of which there is room for nothing: it is over, or, with a cause, all of it. */
void fetching_ask_nothing(struct fetching *fetching, const struct cause *no_room);
void fetching_on_not_marked(void *ctx, const struct mailbox_entry *entry, const struct cause *why);

/* ---- fetching_missing.c ---- */

/* "message UID 3 in INBOX", "message UIDL abc"; the caller frees. */
char *fetching_name_of(const struct fetching *fetching, const struct mailbox_entry *entry);
/* Takes over what is missing at the beginning of a poll. */
void fetching_take_missing(struct fetching *fetching, const struct missing *missing, size_t count);
/* The next poll is to begin as soon as this one is over. */
void fetching_poll_soon(struct fetching *fetching);
/* One that the server lists and that was asked for in vain before: true. It is asked for again by itself, or
 * not yet. */
bool fetching_sort_out(struct fetching *fetching, const struct mailbox_entry *entry);
bool fetching_is_missing(const struct fetching *fetching, const struct mailbox_entry *entry);
/* IMAP: one that it is time to ask for is not listed, and all have to be for it to be taken for deleted. */
bool fetching_any_unlisted(const struct fetching *fetching);
/* Those missing that are not listed have gone where all are (POP3; all_listed); those that it is time to ask
 * for were asked for in vain where they are not. */
void fetching_end_gone(struct fetching *fetching);
/* This message did not come, or not as announced; the server handed it out or refused it (`lost`: the session
 * broke). -1: too many of them, one after the other; the poll is over. */
int fetching_not_had(struct fetching *fetching, const struct mailbox_entry *entry, const struct cause *why,
                     bool lost);
/* Messages that are in no list, or (POP3) cannot be told apart from others, and are left. */
void fetching_on_nameless(void *ctx, size_t count);
int fetching_on_refused(void *ctx, const struct mailbox_entry *entry, const struct cause *why);
void fetching_on_gone(void *ctx, const struct mailbox_entry *entry, bool told);
/* Writes down what did not come in this round; then `then`. */
void fetching_note_vain(struct fetching *fetching, void (*then)(struct fetching *fetching));
/* The next one that is asked for by itself; without one the poll is over. */
void fetching_next_alone(struct fetching *fetching);
/* How often it was asked for, with this time. */
unsigned fetching_tries(const struct fetching *fetching, const struct mailbox_entry *entry);
/* A message that was missing is here. */
void fetching_came(struct fetching *fetching, const struct mailbox_entry *entry);
/* A session that broke while messages were asked for: it is laid at the door of the one that was awaited. */
enum fetching_end fetching_blame(struct fetching *fetching, const struct cause *why);

/* ---- fetching_store.c ---- */

int fetching_on_message_begin(void *ctx, const struct mailbox_entry *entry, uint64_t size);
int fetching_on_message_piece(void *ctx, const uint8_t *bytes, size_t len);
int fetching_on_message_end(void *ctx);
int fetching_on_head(void *ctx, const struct mailbox_entry *entry, const char *bytes, size_t len);
void fetching_on_fetched(void *ctx);
/* The session has gone: what came of it whole is committed. */
void fetching_keep_whole(struct fetching *fetching);
