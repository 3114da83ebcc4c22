/* SPDX-License-Identifier: MIT */
/*
 * What an incoming engine offers to the receiver, once it is ENGINE_READY;
 * implemented by imap/ and pop3/. One operation at a time: the next is begun when
 * the callback of the last has come. A failure is a failed engine.
 */
#pragma once

#include "daemon/wire/engine.h"

struct mailbox_info {
        uint64_t uidvalidity; /* IMAP; 0: the server gives none. 0 for POP3 */
        uint32_t uidnext;     /* IMAP; 0 unknown */
        uint32_t exists;      /* messages there, */
        bool counted;         /* by what the server says; IMAP: false where SELECT tells nothing of it */
        bool can_idle;        /* IMAP IDLE offered */
        bool can_expunge_uid; /* UIDPLUS, or POP3 */
        bool read_only;
};

/* Bytes of messages that are not wanted, or that nobody asked for, which a session takes in within one
 * operation. */
enum { MAILBOX_READ_OVER = 32 * 1024 * 1024 };

/* A larger message is fetched by part where the protocol has that (IMAP), and gone on with after a cut. */
enum { MAILBOX_WHOLE = 1024 * 1024 };

/* What came of a message is not what was announced: the server is not told that it is here. */
enum mailbox_odd { AS_ANNOUNCED, ODD, ODD_FOR_GOOD /* again and again: it is taken for what it is */ };

struct mailbox_entry {
        uint32_t uid;  /* IMAP UID; POP3: message number in this session */
        char uidl[72]; /* POP3 unique id, NUL-ended; "" for IMAP */
        uint32_t same; /* POP3: so many of the mailbox have this UIDL; 0: as many as come with it */
        uint64_t size; /* as the server says (RFC822.SIZE, LIST) */
        bool seen;     /* IMAP \Seen */
        bool deleted;  /* IMAP \Deleted */
        bool left;     /* too large: only a note about it is stored */
        bool missing;  /* it was asked for in vain before: a row tells of it (store/missing_table.h) */
        uint8_t odd;   /* enum mailbox_odd */
        bool here;     /* of the cursor's answer: it is safe here, above the cursor */
        uint64_t from; /* of a message over MAILBOX_WHOLE: what is here of it already */
};

/* What is still to come of it, as the server says; nothing of what is left there. */
static inline uint64_t mailbox_rest_of(const struct mailbox_entry *entry)
{
        return !entry->left && entry->size > entry->from ? entry->size - entry->from : 0;
}

enum mailbox_mark { MARK_SEEN, MARK_DELETED };

struct mailbox_user {
        void (*opened)(void *ctx, const struct mailbox_info *info);
        /* In place of `opened`, IMAP: the server refuses this folder; the session stands, others may be
         * opened. */
        void (*not_opened)(void *ctx, const struct cause *cause);
        /* A part of the list (called any number of times), then listed_all. IMAP: the same UID may come
         * again, each time with something else of what is known of it (size 0: it is not). */
        void (*listed)(void *ctx, const struct mailbox_entry *entries, size_t count);
        /* So many bytes the session itself holds of the list that is coming in: whenever that has become
         * more; it is nothing again at listed_all. May be NULL. */
        void (*holds)(void *ctx, size_t bytes);
        /* Before that, of a list of all: so many are there without an id (POP3), or in no list. May be NULL.
         */
        void (*nameless)(void *ctx, size_t count);
        void (*listed_all)(void *ctx);
        /* A message arrives in pieces. `size` is the literal's size (IMAP), or 0 when only
         * the end tells (POP3). Line ends as the server sends them (CRLF). The bytes that come begin at
         * entry->from. A begin without an end before it: that message begins anew, or has gone. -1 from
         * begin or piece fails the engine with CAUSE_STORAGE.
         * 1 from either: this message is not wanted, or enough came of it: the rest is read over, within
         * MAILBOX_READ_OVER. */
        int (*message_begin)(void *ctx, const struct mailbox_entry *entry, uint64_t size);
        int (*message_piece)(void *ctx, const uint8_t *bytes, size_t len);
        int (*message_end)(void *ctx);
        /* The header fields of a message that heads() asked for, as they stand there, cut at LIMIT_HEAD. -1
         * fails the engine with CAUSE_STORAGE. */
        int (*head)(void *ctx, const struct mailbox_entry *entry, const char *bytes, size_t len);
        /* The server did not hand out this one, asked for by itself at last: why. 1 fails the engine: it is
         * enough. */
        int (*refused)(void *ctx, const struct mailbox_entry *entry, const struct cause *why);
        /* IMAP: that one, which was refused, is not listed any more. `told`: the server has told that
         * messages have gone, and this may be one; else it denies what it does not say it has deleted. */
        void (*gone)(void *ctx, const struct mailbox_entry *entry, bool told);
        /* Every entry asked for was delivered, was refused, or has gone from the server (also one that was
         * begun). */
        void (*fetched)(void *ctx);
        /* Before `marked`: the server would not mark this one. */
        void (*not_marked)(void *ctx, const struct mailbox_entry *entry, const struct cause *why);
        void (*marked)(void *ctx);
        /* Of fetch_marking, for a part of them: whether the server has marked these. */
        void (*marked_beside)(void *ctx, const struct mailbox_entry *entries, size_t count, bool marked);
        /* While idling: there may be new mail. `idle` goes on until wake(). */
        void (*changed)(void *ctx);
        /* The idling is over, by wake() or by the server; the next operation may begin. */
        void (*woken)(void *ctx);
        /* In place of it: the server refuses to idle; the next operation may begin. */
        void (*idle_refused)(void *ctx, const struct cause *cause);
        /* At any time: the server wants a person to read this; bounded, not escaped. NULL: nobody does. */
        void (*alert)(void *ctx, const char *words);
        /* IMAP, for who wants to know what time it is elsewhere: when a message was taken in there. Both may
         * be NULL. */
        bool (*wants_dates)(void *ctx);
        void (*dated)(void *ctx, time_t taken_in);
        /* A folder that folders() asked for, its name in UTF-8; selectable: it can be opened. Then
         * folders_listed. */
        void (*folder)(void *ctx, const char *name, bool selectable);
        void (*folders_listed)(void *ctx);
};

struct mailbox_ops {
        /* IMAP: SELECT (or EXAMINE when read_only) of `folder`; POP3: STAT. */
        void (*open)(struct engine *engine, const char *folder, bool read_only);
        /* Lists these, as far as they are there. IMAP; POP3: NULL. */
        void (*list_these)(struct engine *engine, const struct mailbox_entry *entries, size_t count);
        /* Lists messages with UID > after (IMAP) or all (POP3, UIDL + LIST). unseen_only: IMAP. */
        void (*list)(struct engine *engine, uint32_t after, bool unseen_only);
        /* IMAP: tells the folders whose names fit the pattern, with the wildcards of LIST. NULL: cannot. */
        void (*folders)(struct engine *engine, const char *pattern);
        /* Fetches whole messages (BODY.PEEK[]; RETR), pipelined, in the order given. */
        void (*fetch)(struct engine *engine, const struct mailbox_entry *entries, size_t count);
        /* The same, and marks others as seen meanwhile (marked_beside), before `fetched`. IMAP; POP3: NULL.
         */
        void (*fetch_marking)(struct engine *engine, const struct mailbox_entry *entries, size_t count,
                              const struct mailbox_entry *seen, size_t seen_count);
        /* Tells the fields Date, From and Subject of these (`head` for each that the server lets know, then
         * `fetched`). */
        void (*heads)(struct engine *engine, const struct mailbox_entry *entries, size_t count);
        /* Flags (IMAP) or deletes; for IMAP MARK_DELETED is followed by UID EXPUNGE of exactly
         * these where the server has UIDPLUS. POP3 knows MARK_DELETED only. */
        void (*mark)(struct engine *engine, const struct mailbox_entry *entries, size_t count,
                     enum mailbox_mark mark);
        /* IMAP with IDLE: waits for `changed`; the owner renews by wake() and idle(). wake() may come when
         * the server has ended it already: `woken` is told once. NULL: cannot. */
        void (*idle)(struct engine *engine);
        void (*wake)(struct engine *engine);
        /* NOOP: keeps the session and takes in news (IMAP EXISTS -> info.exists); answered by
         * opened() with fresh info. POP3: NULL (a session sees one snapshot). */
        void (*refresh)(struct engine *engine);
};
