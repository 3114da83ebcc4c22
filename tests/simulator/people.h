/* SPDX-License-Identifier: MIT */
/*
 * Who lives with the station: somebody who keeps its accounts, programs that send, servers' other users who
 * write to it, somebody who answers challenges. What each does and when is
 * drawn.
 */
#pragma once

#include "tests/simulator/servers.h"

enum membership { MEMBER_ABSENT, MEMBER_UNSURE, MEMBER_THERE };

enum { MEMBER_SETTINGS = 9 }; /* rows of the table in keeper.c */

struct member { /* an account as its people see it */
        char name[24];
        bool incoming;
        struct mail_server *server;
        struct mailbox *mailbox;
        bool wanted;           /* somebody wants it to be there */
        enum membership there; /* as far as is known */
        bool calling;          /* a call about it waits for its answer */
        bool has_password;     /* its own was set in this life of it, and is right */
        int64_t password_from; /* when it gets one */
        bool wants_on, is_on;  /* enabled: what somebody wants, what was answered last */
        int64_t since;         /* when this life of it began */
        unsigned secret;       /* of this life */
        unsigned stale; /* one that the server no longer takes, or never did, and the station may have */
        unsigned lives;
        bool asked_on; /* by the call that is under way, as these two */
        size_t asked_setting;
        const char *asked_value;
        const char *settled[MEMBER_SETTINGS]; /* what was answered last; NULL: not known */
        char **old; /* names of files that an earlier life of it has left in the Maildir */
        size_t old_count;
        struct member *next;
};

void people_open(void); /* while the world is built */
struct member *members_first(void);
struct member *member_make(const char *name, struct mail_server *server, const char *user);
/* Everybody wants what should be: all accounts there, with their passwords, all decisions made. */
void people_turn_honest(void);
/* All accounts are there and have their passwords. */
bool people_are_done(void);
