/* SPDX-License-Identifier: MIT */
/* What client.c (bytes and time), client_end.c (the end), client_requests.c (who may what, messages) and
 * client_signin.c share; nobody else includes this. */
#pragma once

#include "common/esmtp/server.h"
#include "daemon/control/usernames.h"
#include "daemon/loop.h"
#include "daemon/smtpd/client.h"
#include "daemon/smtpd/slots.h"
#include "daemon/smtpd/spool.h"
#include "daemon/wire/connection.h"
#include "daemon/work_counts.h"

#include <stdio.h>

struct submitting;
struct smtpd_client_signin;

struct smtpd_client {
        handle_id self;
        struct connection *connection;
        struct esmtp *esmtp;
        struct buf in;       /* what came and was not used yet */
        struct timer *timer; /* of what is awaited now */
        bool working;        /* within go_on() of client.c */
        bool waiting;        /* a wish is being seen to: nothing more is read */
        bool flushing;       /* what was said must be taken first */
        bool tls_due;        /* once what was said has left */
        bool tls_later;      /* there were too many handshakes just now */
        bool in_handshake;
        bool ungreeted; /* TLS comes first */
        bool leaving, winding, gone;
        bool stopped;   /* the daemon has ended: what the store still says is passed on, and nothing more */
        bool ended_for; /* its offence was told */
        int64_t began;  /* loop_now() */

        struct smtpd_slot slot;     /* local, uid, address */
        struct username *naming;    /* being asked; NULL: over */
        bool waits_for_name;        /* MAIL is answered once that is over, and no other wish is */
        bool may_submit, in_charge; /* of a local one, once that is over */
        bool let_in;                /* AllowFrom= has its address */
        char who[96];               /* "alice (uid 1000)", "192.0.2.7", "device press" */
        char *device;               /* signed in as; or NULL */
        struct smtpd_client_signin *signin;

        struct spool *spool; /* of the message that comes */
        uint64_t body_bytes;
        int64_t body_since;
        struct submitting *submitting;
        unsigned accepted;
        struct smtpd_client *next, **link;
};

/* ---- client.c ---- */
/* A wish was answered, from wherever: goes on with what has come. */
void smtpd_client_resume(struct smtpd_client *client);
/* ---- client_end.c ---- */
void smtpd_client_enlist(struct smtpd_client *client);
/* What the engine has said goes to the client. */
void smtpd_client_send_out(struct smtpd_client *client);
/* Its last words are sent, and then it ends. */
void smtpd_client_leave(struct smtpd_client *client);
/* They have left. */
void smtpd_client_said_all(struct smtpd_client *client);
/* Nothing more comes of it. */
void smtpd_client_end(struct smtpd_client *client);
/* Says so and ends the session. */
void smtpd_client_farewell(struct smtpd_client *client, int code, const char *enhanced, const char *text);
/* As much, because the service ends or begins anew. */
void smtpd_client_wound_down(struct smtpd_client *client);
void smtpd_client_refuse(struct smtpd_client *client, enum submission_refusal why,
                         const struct esmtp_answer *answer);

/* ---- client_requests.c ---- */
void smtpd_client_on_mail(struct smtpd_client *client);
void smtpd_client_on_recipient(struct smtpd_client *client);
void smtpd_client_on_data(struct smtpd_client *client);
void smtpd_client_on_commit(struct smtpd_client *client);
void smtpd_client_forget(void *ctx);
void smtpd_client_body(void *ctx, const uint8_t *bytes, size_t len);
/* Who a local one is: asked once, at the beginning. */
void smtpd_client_identify(struct smtpd_client *client, const struct sockaddr_storage *peer);

/* ---- client_signin.c ---- */
/* The mechanisms that are offered, or NULL. */
const char *smtpd_client_mechanisms(void);
void smtpd_client_on_signin(struct smtpd_client *client);
void smtpd_client_signin_free(struct smtpd_client *client);
