/* SPDX-License-Identifier: MIT */
/*
 * The inside of a delivery. The loop gathers what comes into pieces; one piece at a time is worked on by
 * the file pool, which alone touches `arrival` until it is done. After the last piece the commit runs
 * phase by phase (delivery_commit.c), one thread at a time again, but for the syncs.
 */
#pragma once

#include "common/buf.h"
#include "common/file_rules.h"
#include "common/line_ends.h"
#include "daemon/store/content_tag.h"
#include "daemon/store/fetched_rows.h"
#include "daemon/store/header_summary.h"
#include "daemon/store/jobs.h"
#include "daemon/store/maildir.h"
#include "daemon/store/maildir_folder.h"
#include "daemon/store/owner_rows.h"
#include "daemon/store/partial_download.h"

/* What happened to the stream, in order. */
struct step {
        enum { STEP_BEGIN, STEP_BYTES, STEP_END, STEP_CANCEL, STEP_DROP } kind;
        size_t len;                 /* BYTES: of piece.bytes */
        struct mailbox_entry entry; /* BEGIN */
        uint8_t odd;                /* END */
};
struct piece {
        struct buf bytes;
        struct step *steps;
        size_t step_count, step_size;
        struct piece *next;
};

/* One message that is whole in tmp/. */
struct item {
        struct mailbox_entry entry;
        char temporary[MAILDIR_NAME_SIZE];
        char file[MAILDIR_NAME_SIZE]; /* its name in new/ */
        char *known_file;             /* where it is already, when `known` */
        uint64_t size;                /* of the message as it came; so is the tag */
        uint8_t tag[CONTENT_TAG_SIZE];
        enum line_ends line_ends; /* of its file */
        const char *box;          /* of the Maildir it is placed in: of delivery.rules, or "" */
        char *placed_in;          /* a crash left its file there, in that box; NULL: it is nowhere */
        struct header_summary summary;
        int64_t generation;
        time_t received;             /* when its row was made */
        bool known;                  /* a row says so: no file is made */
        bool was_left;               /* that of one left at the server (fetched_find_left) */
        bool handed_on, handed_back; /* of the two only one, where the target has `give` */
        bool recorded;               /* its own row is there: none is made */
};

struct arrival {
        struct maildir maildir;
        bool opened;
        int fd;                  /* of the message in progress, or -1 */
        struct item now;         /* it */
        char half[HALF_SIZE];    /* its file is kept when it is cut; "": it is not */
        uint64_t kept;           /* bytes of it that are safe */
        uint64_t written_back;   /* or on their way to the disk */
        bool cr;                 /* its last byte, not written yet: a LF may follow */
        EVP_CIPHER_CTX *tagging; /* it */
        struct buf head;         /* its first bytes */
        struct item *items;
        size_t count, size;
        struct cause failure; /* the first */
        bool failed;
};

struct delivery {
        char *account, *folder;
        struct owner owner;
        char *key; /* owner_key() of the account */
        uint64_t uidvalidity;
        bool tell_server, reconcile, again_is_known, deletes;
        struct file_rules rules; /* fileInto */
        time_t begun;
        struct unrecorded *unrecorded; /* of the look, or NULL */
        void (*give)(void *ctx, struct delivery *delivery, const struct given *given);
        void *give_ctx;
        /* gathering; loop */
        struct piece *first, *last; /* not yet begun; the last one is being filled */
        struct piece *working;      /* on the pool */
        struct job job;
        bool in_message;
        uint8_t odd;    /* the message that ends next */
        bool half_kept; /* one was begun whose file is kept when it is cut */
        bool ending;    /* commit or abandon was called */
        bool abandoned;
        size_t backlog, messages;
        uint64_t bytes;
        void (*progress)(void *ctx);
        void *progress_ctx;
        bool failed; /* loop's copies of arrival's */
        struct cause failure;
        /* file pool */
        struct arrival arrival;
        /* commit */
        uint32_t cursor_uid;
        time_t received;
        bool look_in_cur; /* files may be there of which no row tells */
        bool last_was_new;
        unsigned syncing;           /* jobs not done */
        int synced;                 /* of disk_sync_all() */
        size_t recorded, recording; /* items that are on disk; that will be with the present write */
        int given;                  /* descriptor that is about to be given */
        struct store_read read;
        struct store_write write;
        void (*done)(void *ctx, const struct delivered *messages, size_t count, const struct cause *cause);
        void *ctx;
};

/* delivery_write.c: works one piece into files. File pool. */
void delivery_arrival_init(struct arrival *arrival);
void delivery_arrival_work(struct delivery *delivery, struct piece *piece);
/* Removes what is still in tmp/, but for the beginning of a large message. */
void delivery_arrival_clean(struct arrival *arrival);
/* The same, and frees everything but the array of items. */
void delivery_arrival_end(struct arrival *arrival);

/* delivery_content.c; while its file is in tmp/: what `find` knows of its content. Reader. */
int delivery_content_find(const struct arrival *arrival, const struct item *item,
                          const struct fetched_key *key, fetched_finder *find, struct database *db,
                          char **file, struct cause *cause) must_use;

/* Where the header of a note ends, by which it is known again: it says nothing of UIDs, which are others when
 * a folder is numbered anew. */
size_t delivery_note_head(const struct buf *head);

enum { DELIVERY_PIECE_MAX = 256 * 1024 }; /* bytes of a piece; then the next one is begun */

/* delivery_spares.c; loop: what is used again. A piece; it is given back by delivery_piece_done(). */
struct piece *delivery_piece_take(void) must_use;
void delivery_piece_done(struct piece *piece);
/* A delivery begins: its items have memory of an earlier one, where there is some. */
void delivery_spares_hold(struct arrival *arrival);
/* It has ended: its items, of which nothing is needed any more, are another one's next. The last one that
 * ends gives all memory back. */
void delivery_spares_let_go(struct arrival *arrival);

/* delivery_record.c: the last phase. */
struct fetched_key delivery_key(const struct delivery *delivery, const struct item *item);
/* Where it is: its own file, or that of the message it repeats. */
const char *delivery_item_file(const struct item *item);
/* The rows up to item number `until`, with the last one the cursor and then the answer; else
 * delivery_hand_on. */
void delivery_record(struct delivery *delivery, size_t until);
/* Answers and frees a struct delivery. */
void delivery_answer(void *delivery);
/* Ends without counting anything; answers with the cause. */
void delivery_give_up(struct delivery *delivery, const struct cause *cause);

/* delivery_record.c: gives the next item that is not known and records it; after the last one the cursor. */
void delivery_hand_on(struct delivery *delivery);
/* delivery_commit.c; file pool: makes one message durable in new/. */
int delivery_place_one(struct delivery *delivery, struct item *item);
/* Removes its file in tmp/. */
void delivery_item_drop(struct arrival *arrival, struct item *item);

/* delivery_commit.c: begins when no piece is left. Frees the delivery in the end. */
void delivery_finish(struct delivery *delivery);
