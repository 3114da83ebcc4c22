/* SPDX-License-Identifier: MIT */
/* What visitor.c (bytes and time), visitor_end.c (the end), visitor_wishes.c (who may what, messages) and
 * visitor_signin.c share; nobody else includes this. */
#pragma once

#include "common/esmtp/server.h"
#include "daemon/control/usernames.h"
#include "daemon/loop.h"
#include "daemon/smtpd/guest_list.h"
#include "daemon/smtpd/spool.h"
#include "daemon/smtpd/visitor.h"
#include "daemon/submission_counts.h"
#include "daemon/wire/connection.h"

#include <stdio.h>

struct submitting;
struct visitor_signin;

struct visitor {
        handle_id self;
        struct connection *connection;
        struct esmtp *esmtp;
        struct buf in;       /* what came and was not used yet */
        struct timer *timer; /* of what is awaited now */
        bool working;        /* within visitor_go_on() */
        bool waiting;        /* a wish is being seen to: nothing more is read */
        bool flushing;       /* what was said must be taken first */
        bool tls_due;        /* once what was said has left */
        bool tls_later;      /* there were too many handshakes just now */
        bool in_handshake;
        bool ungreeted; /* TLS comes first */
        bool leaving, winding, gone;
        bool ended_for; /* its offence was told */
        int64_t began;  /* loop_now() */

        struct guest guest;         /* local, uid, address */
        struct username *naming;    /* being asked; NULL: over */
        bool waits_for_name;        /* MAIL is answered once that is over, and no other wish is */
        bool may_submit, in_charge; /* of a local one, once that is over */
        bool let_in;                /* AllowFrom= has its address */
        char who[96];               /* "alice (uid 1000)", "192.0.2.7", "device press" */
        char *device;               /* signed in as; or NULL */
        struct visitor_signin *signin;

        struct spool *spool; /* of the message that comes */
        uint64_t body_bytes;
        int64_t body_since;
        struct submitting *submitting;
        unsigned accepted;
        struct visitor *next, **link;
};

/* ---- visitor.c ---- */
/* A wish was answered, from wherever: goes on with what has come. */
void visitor_resume(struct visitor *visitor);
/* ---- visitor_end.c ---- */
void visitor_enlist(struct visitor *visitor);
/* What the engine has said goes to the client. */
void visitor_send_out(struct visitor *visitor);
/* Its last words are sent, and then it ends. */
void visitor_leave(struct visitor *visitor);
/* They have left. */
void visitor_said_all(struct visitor *visitor);
/* Nothing more comes of it. */
void visitor_end(struct visitor *visitor);
/* Says so and ends the session. */
void visitor_farewell(struct visitor *visitor, int code, const char *enhanced, const char *text);
void visitor_refuse(struct visitor *visitor, enum submission_refusal why, const struct esmtp_answer *answer);

/* ---- visitor_wishes.c ---- */
void visitor_on_mail(struct visitor *visitor);
void visitor_on_recipient(struct visitor *visitor);
void visitor_on_data(struct visitor *visitor);
void visitor_on_commit(struct visitor *visitor);
void visitor_forget(void *ctx);
void visitor_body(void *ctx, const uint8_t *bytes, size_t len);
/* Who a local one is: asked once, at the beginning. */
void visitor_identify(struct visitor *visitor, const struct sockaddr_storage *peer);

/* ---- visitor_signin.c ---- */
/* The mechanisms that are offered, or NULL. */
const char *visitor_mechanisms(void);
void visitor_on_signin(struct visitor *visitor);
void visitor_signin_free(struct visitor *visitor);
