/* SPDX-License-Identifier: MIT */
/*
 * What the files of imap/ share: one session's state and the functions that its table
 * of steps names. Nobody outside imap/ includes this.
 */
#pragma once

#include "common/limits.h"
#include "daemon/imap/parse.h"
#include "daemon/imap/session.h"
#include "daemon/sasl/ways.h"

enum imap_step {
        IMAP_GREETING = ENGINE_FIRST_STEP,
        IMAP_CAPABILITY,
        IMAP_STARTTLS,
        IMAP_AUTHENTICATE,
        IMAP_LOGIN,
        IMAP_ENABLE, /* and ID */
        IMAP_SELECT,
        IMAP_SEARCH,
        IMAP_LIST,
        IMAP_FETCH,
        IMAP_HEADS,
        IMAP_STORE,
        IMAP_EXPUNGE,
        IMAP_NOTHING, /* NOOP for an operation with nothing to do */
        IMAP_IDLE,    /* IDLE was said, the go-ahead is awaited */
        IMAP_IDLING,
        IMAP_DONE, /* DONE was said */
        IMAP_REFRESH,
        IMAP_FOLDERS,
        IMAP_LOGOUT,
        IMAP_STEPS
};

enum imap_status { IMAP_OK, IMAP_NO, IMAP_REFUSED_AS_BAD, IMAP_BYE, IMAP_PREAUTH, IMAP_CONTINUE, IMAP_OTHER };

/* A greeting, a tagged reply or a continuation request: what a step hears. */
struct imap_reply {
        enum imap_status status;
        struct imap_text code;  /* in the brackets, "UIDNEXT 12"; len 0: none */
        struct imap_text words; /* for people; of a continuation all of it */
};

#define IMAP_EMPTY_REPLY(said) \
        { \
                .status = (said), .code = { "", 0, IMAP_ATOM }, .words = { "", 0, IMAP_ATOM } \
        }

/* Commands in flight at once while messages are fetched, and what one of them asks for. */
enum {
        IMAP_WINDOW = 8,
        IMAP_FLIGHTS = IMAP_WINDOW + 1, /* no step has more */
        IMAP_PER_COMMAND = 256,
        IMAP_BYTES_PER_COMMAND = 1 * MIB,
        IMAP_PART_MOST = INT32_MAX, /* of a message over MAILBOX_WHOLE; servers count in such numbers */
        IMAP_BATCH = 64
};

struct imap_flight {
        uint32_t tag;
        uint32_t part_of;    /* the UID of which it asks for a part; 0: it does not */
        uint64_t end;        /* of the command, in bytes ever said */
        size_t first, until; /* items of the work that it is about, or of `beside` */
        bool beside;
};

enum imap_wanted_state {
        WANTED,
        WANTED_DELIVERED, /* or not wanted any more */
        WANTED_AGAIN,     /* to be asked for by itself */
        WANTED_REFUSED,   /* so it was; the user knows */
        WANTED_THERE,     /* and the server still lists it */
};

struct imap_wanted {
        uint32_t uid;
        uint8_t state; /* enum imap_wanted_state */
        bool seen, deleted, missing;
        uint64_t size, from;
};

/* A message that is asked for and arrives in parts, one after the other (work.c). */
struct imap_parts {
        bool asking; /* items[next] is; its next part begins at `at` */
        uint64_t at;
        bool open; /* items[item] has begun to arrive: all up to `got` is the user's */
        size_t item;
        uint64_t got;
        bool moved; /* something came since the last time it was asked for */
};

/* One operation over many messages, cut into commands. */
struct imap_work {
        struct imap_wanted *items; /* owned; by ascending UID */
        size_t count, next, hint;  /* next: first one not asked for; hint: where the next answer should be */
        bool singly;               /* one message a command, those marked WANTED_AGAIN only */
        size_t again;              /* how many are */
        size_t asked;              /* singly: the one in flight */
        size_t refused;            /* how many are */
        bool checking;             /* which of those are still there */
        bool uncertain;            /* of one of these answers nobody can tell which message it is about */
        struct imap_parts parts;
};

/* The message that arrives. */
struct imap_arrival {
        bool open;     /* its FETCH response has begun and not ended */
        bool wanted;   /* it goes to the user; else it is read over */
        size_t item;   /* of the work, when wanted */
        uint32_t uid;  /* 0: not yet said */
        bool part;     /* it is one of a message */
        bool second;   /* another body came in the response: read over */
        uint64_t size; /* what arrives now */
};

struct imap_listing {
        uint32_t after;
        bool unseen_only;
        bool filter_seen;    /* the server lists all, seen ones are left out here */
        bool refused;        /* by the server, or not whole: found by SEARCH instead, without sizes */
        bool whole;          /* every message is to be in it: */
        uint32_t exists;     /* of those that were there when it began, those not expunged since; */
        uint32_t told, last; /* so many UIDs it has; counted where they ascend, the highest of them */
        size_t count;        /* in the batch */
        size_t total;
        struct mailbox_entry *batch; /* owned, IMAP_BATCH; NULL when nothing is listed */
};

struct imap_session {
        struct engine engine; /* first: the engine is the session */
        struct imap_config config;
        struct imap_parser parser;
        char prefix[6];              /* of the tags: unpredictable (rule S5) */
        uint32_t tag;                /* of the last command */
        uint64_t said;               /* bytes ever appended to engine.out */
        struct imap_flight *flights; /* owned; NULL while there is none, and one of it while it idles */
        size_t in_flight, flight_room;
        struct imap_flight answered; /* the command whose reply is being heard */
        uint64_t unwanted,
                asked;     /* bytes of messages read over in this operation; that its commands may bring */
        unsigned untagged; /* responses since the last progress */

        char *capabilities;      /* "IMAP4REV1 IDLE", upper case; NULL: not known */
        bool capabilities_fresh; /* came after the last change of what they depend on */
        bool signed_in;
        bool utf8;                  /* UTF8=ACCEPT or IMAP4rev2 is enabled */
        struct line_signin signing; /* its rounds: also the literals of LOGIN */
        char *broken;               /* of sasl_broken(), for what is offered before the sign-in */

        char *folder;
        bool examine;
        char *pattern;               /* of LIST, quoted */
        size_t folders;              /* told by it */
        const struct cause *refusal; /* of the folder or the IDLE asked for last; kept by cause_keep */
        struct mailbox_info info;
        bool news;         /* EXISTS grew since the last listing began */
        uint32_t expunged; /* since then: by others, as the server told, and not yet known which */
        bool wake_wanted;  /* wake() came before the server took up IDLE */
        struct imap_work work;
        struct { /* what is marked as seen while bodies are fetched; owned */
                struct mailbox_entry *items;
                size_t count, next;
        } beside;
        struct imap_arrival arrival;
        struct imap_listing listing;
        enum mailbox_mark mark;
        void (*finished)(struct imap_session *); /* tells the user, once the engine is READY again */
};

static inline struct imap_session *imap_session_of(struct engine *engine)
{
        return container_of(engine, struct imap_session, engine);
}
