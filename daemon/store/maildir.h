/* SPDX-License-Identifier: MIT */
/*
 * Received mail on disk: Maildir folders mail/ACCOUNT/{tmp,new,cur}, and the crash-safe order of
 * mail.md. A delivery is one batch: messages are handed in piece by piece from the loop and
 * written on the file pool; commit syncs the files, renames tmp -> new, syncs the folder,
 * commits cursor and received rows, and only then answers. File names are made here from account,
 * folder, UIDVALIDITY and UID (or a digest of the UIDL), never from a server's words, so that
 * fetching the same message again after a crash names the same file.
 */
#pragma once

#include "common/line_ends.h"

#include "daemon/store/fetched_table.h"

struct delivery;
struct given {                    /* a message to be handed on */
        int fd;                   /* reads its file from the beginning; the callee's */
        enum line_ends line_ends; /* of the file */
        uint64_t size;            /* of the message as it came */
        /* Borrowed until give() returns. uid 0: none (POP3). */
        uint32_t uid;
        const char *id, *folder, *from, *subject, *date, *message_id;
};
struct delivery_target { /* copied */
        const char *account;
        const char *folder;    /* "INBOX"; POP3: "" */
        uint64_t uidvalidity;  /* POP3: 0 */
        bool tell_server;      /* the policy flags or deletes: rows start as not told */
        bool again_is_known;   /* POP3: what went from the list and comes again, the same under its UIDL, is
                                  known */
        bool deletes;          /* POP3: this account itself deletes there: what it has deleted does not come
                                  again, and what looks the same is another one */
        const char *file_into; /* the property fileInto */
        struct unrecorded *unrecorded; /* delivery_unrecorded.h; the caller's, until the answer; or NULL */
        /* Not NULL: messages are handed on instead of being placed in the Maildir, one after the other, each
         * one's row committed before the next is given. delivery_handed() is the answer, later. */
        void (*give)(void *ctx, struct delivery *delivery, const struct given *given);
        void *give_ctx;
};
enum handed {
        HANDED_ON,    /* someone else has it now */
        HANDED_BACK,  /* refused for good: placed in the Maildir, so that it is not lost */
        HANDED_LATER, /* not now: the batch ends with the cause; what was handed on before counts */
};
void delivery_handed(struct delivery *delivery, enum handed what, const struct cause *why);
struct delivery *delivery_new(const struct delivery_target *target) must_use;
/* 1 with a cause: the disk has no room for a message of its size, but for others. */
int delivery_begin(struct delivery *delivery, const struct mailbox_entry *entry, struct cause *cause)
        must_use;
int delivery_piece(struct delivery *delivery, const uint8_t *bytes, size_t len, struct cause *cause) must_use;
int delivery_end(struct delivery *delivery, struct cause *cause) must_use;
/* Drops the message begun and not ended (connection cut). */
void delivery_cancel_message(struct delivery *delivery);
/* The same, and nothing of it is gone on with. */
void delivery_drop_message(struct delivery *delivery);
/* The message that ends next is stored as it is, but the server is not told of it. */
void delivery_is_odd(struct delivery *delivery, enum mailbox_odd odd);
/* Bytes handed in and not yet written: the receiver pauses the connection over a few MiB. */
size_t delivery_backlog(const struct delivery *delivery);
/* Called on the loop whenever the backlog went down. */
void delivery_on_progress(struct delivery *delivery, void (*progress)(void *ctx), void *ctx);
size_t delivery_messages(const struct delivery *delivery); /* ended ones */
uint64_t delivery_bytes(const struct delivery *delivery);

struct delivered { /* what the event and the journal tell of one message */
        struct mailbox_entry entry;
        char *file;               /* name in new/ */
        const char *box;          /* of the Maildir */
        uint64_t size;            /* of the message as it came */
        enum line_ends line_ends; /* of the file */
        time_t received;
        char *from, *subject, *date, *message_id; /* raw header values, printable, bounded; may be NULL */
        bool again; /* a row was here already: it was counted and told of before */
        bool handed_on, handed_back;
};
/* Ends the batch. cursor_uid: IMAP, every UID up to it is dealt with by this batch (0: leave the cursor).
 * On a cause only the messages passed to `done` were delivered (none, or those handed on); the rest is to be
 * fetched again. Frees the delivery afterwards. */
void delivery_commit(struct delivery *delivery, uint32_t cursor_uid,
                     void (*done)(void *ctx, const struct delivered *messages, size_t count,
                                  const struct cause *cause),
                     void *ctx);
/* Ends it without trace (files in tmp/ are removed). */
void delivery_abandon(struct delivery *delivery);

/* A UIDVALIDITY change: the digests of messages received under the old one. Asked for each message
 * that arrives while reconciling: true when this account and folder already has that digest. The delivery
 * does it by itself when this is set: such messages are recorded under the new UID, not delivered again. */
void delivery_reconcile(struct delivery *delivery, bool reconcile);

/* A received message as programs see it, in the inbox and in mail.received alike. Texts are borrowed. */
struct inbox_message {
        const char *account, *file, *folder;
        bool handed_on;              /* it is in no file here */
        bool in_cur;                 /* else in new/ */
        const char *box;             /* of the Maildir; NULL: the Maildir itself */
        enum line_ends line_ends;    /* of the file */
        int64_t uid, size, received; /* uid 0: none (POP3) */
        const char *from, *subject, *date, *message_id;
};
/* {id, file, path, lineEnds, seen, filedInto, folder, uid, size, received, from, subject, date, messageId};
 * `path` is absolute. What was handed on has null for file, path, lineEnds, seen and filedInto. Any thread.
 */
json_t *inbox_message_json(const struct inbox_message *message) must_use;

/* A copy in one block of memory, texts and all. */
struct inbox_message *inbox_message_copy(const struct inbox_message *message) must_use;

/* A message that was just delivered. Texts are borrowed. */
struct inbox_message delivered_message(const char *account, const char *folder,
                                       const struct delivered *message);

/* At start and daily: removes files in tmp/ that a killed daemon left, and others older than 36 hours. */
void maildir_sweep(const char *account);
