/* SPDX-License-Identifier: MIT */
/* One claimed message on its way through a session: its body piece by piece, its results to the queue. */
#pragma once

#include "daemon/accounts/account.h"
#include "daemon/session/session.h"
#include "daemon/store/queue_table.h"

#include "daemon/smtp/mail.h"

struct sending_result {
        unsigned sent, failed; /* 1 when the message went to all, or failed for one */
        bool slow_down;
        bool again; /* undecided for some, and goes at once in a new session: the sending was not freed */
};

/* The next part of a body on its way from the disk to the session. */
struct body_chunk {
        enum { CHUNK_NONE, CHUNK_READING, CHUNK_HERE, CHUNK_FAILED } state;
        bool awaited;   /* by the session, of CHUNK_READING */
        uint8_t *bytes; /* of CHUNK_HERE */
        size_t len;
};

struct sending {
        struct sending *next; /* the sender's pool */
        struct smtp_mail mail;
        struct account *account;
        struct queued_message *message;
        handle_id self;      /* for who reads its body */
        handle_id session;   /* the session that has it; HANDLE_NONE: none, yet or any more */
        uint64_t handed;     /* bytes of the body, as the queue has it, given to the session */
        size_t first_stored; /* of these in message->first, whose header may be another than the queue's */
        uint8_t *given;      /* the part that the session has; NULL: none but message->first */
        struct body_chunk chunk;
        void (*failed)(struct account *account);
        void (*done)(void *ctx, struct sending *sending, const struct sending_result *result);
        void *ctx;
        struct settled_recipient *settled; /* what became of each; told when it is on disk */
        bool *saved;                       /* of each: on disk, or on its way there, while others go on */
        unsigned parts;                    /* of it are on their way to the disk */
        bool over;                         /* goes when none is any more */
        unsigned rounds;                   /* how often it was given to another session at once */
        char *own_from;     /* the envelope's sender where it is the account's; NULL: it is the message's */
        struct cause unfit; /* why it cannot be sent by this account at all, else CAUSE_NONE */
        struct cause cause; /* what ended the session or the account, else CAUSE_NONE */
};

/* Takes the message over. `failed`: a recipient of it has failed, and a notice of that may be in the queue.
 */
struct sending *sending_new(struct account *account, struct queued_message *message,
                            void (*failed)(struct account *account)) must_use;
/* Gives it to a session that has room, `worked`: mail of its sender has gone by the account before. `done`
 * when every recipient has its result; the object frees itself when that is on disk and was told (journal,
 * event). */
void sending_start(struct sending *sending, struct session *session, bool worked,
                   void (*done)(void *ctx, struct sending *sending, const struct sending_result *result),
                   void *ctx);
/* Not started: back to the queue as it was; or deferred until `again` with the cause's words. Freed. */
void sending_give_back(struct sending *sending);
void sending_defer(struct sending *sending, const struct cause *cause, time_t again);
