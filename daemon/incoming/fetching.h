/* SPDX-License-Identifier: MIT */
/*
 * One look at one folder: what is new there (by the cursor), fetched in batches to the Maildir, then told to
 * the server. The session is the receiver's; this is the order of work within it, for IMAP and POP3 alike.
 */
#pragma once

#include "daemon/accounts/account.h"
#include "daemon/session/session.h"
#include "daemon/wire/mailbox.h"

struct fetching;

struct fetching_result {
        struct cause cause;      /* of this machine (disk); its failures end it */
        struct cause refused;    /* the server does not open the folder; the session stands */
        int64_t next_try;        /* seconds until something is to be asked for again; 0: nothing is */
        uint64_t received, left; /* here; at the server as too large, of which a note is here */
};

/* Whether a message that has come is one that the daemon sent itself (a heartbeat), and was waited for:
 * nobody is told of that as mail. NULL: none is. */
typedef bool own_mail_test(const char *account, const char *message_id, const char *subject);
void fetching_know_own_mail(own_mail_test *test);

/* `ops`: the operations of the session's engine. `done` once, unless fetching_free comes first. */
struct fetching *fetching_new(struct account *account, struct session *session, const struct mailbox_ops *ops,
                              const char *folder,
                              void (*done)(void *ctx, const struct fetching_result *result), void *ctx)
        must_use;
/* Opens the folder (or refreshes it when it is open already) and begins. */
void fetching_begin(struct fetching *fetching, bool is_open);
/* POP3: QUIT was answered (deleted = it was +OK): what was deleted is recorded as told. */
void fetching_quit_answered(struct fetching *fetching, bool deleted);
/* True while something is on its way to the disk. */
bool fetching_committing(const struct fetching *fetching);
bool fetching_can_idle(const struct fetching *fetching);
/* True when deletions wait for QUIT. */
bool fetching_needs_quit(const struct fetching *fetching);
/* The poll to come asks for all that is missing, whenever its next try is. */
void fetching_try_all(struct fetching *fetching);
/* The session broke, before fetching_free: the message that was awaited is asked for last the next time. */
enum fetching_end {
        FETCHING_BROKE,      /* no message was: it is about the session */
        FETCHING_BROKE_OVER, /* over a message: others can be had the next time */
        FETCHING_AS_GOOD,    /* all others are here: the poll is as good as over */
};
enum fetching_end fetching_broke(struct fetching *fetching, const struct cause *why);
/* True when whole messages have come in this poll: a session that breaks then is gone on with soon. */
bool fetching_moved_on(const struct fetching *fetching);
/* The session is gone or not wanted: what came whole is committed, the rest dropped. Freed when its last
 * answer has come; the account's next poll waits for that. */
void fetching_free(struct fetching *fetching);
/* The daemon ends, and all are freed: what others take in now is not waited for. It stays at the server, as
 * what is put off does; what was recorded before it counts. */
void fetching_stop_handing_on(void);

/* The engine's callbacks, to be handed to the session, but for those of waiting, which the owner has; `ctx`
 * is a struct fetching ** that may hold NULL. */
extern const struct mailbox_user fetching_mailbox_user;
