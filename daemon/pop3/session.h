/* SPDX-License-Identifier: MIT */
/*
 * The POP3 client (RFC 1939, 2449, 2595, 5034): greeting, CAPA, STLS, signing in by SASL or
 * USER/PASS (never APOP); then the operations of wire/mailbox.h (pop3/retrieve). No I/O.
 */
#pragma once

#include "daemon/sasl/mechanism.h"
#include "daemon/wire/mailbox.h"

struct pop3_config {
        struct signin signin; /* borrowed texts must outlive the session */
        bool starttls;
        const struct mailbox_user *user;
        void *ctx;
};

struct engine *pop3_session_new(const struct pop3_config *config) must_use;
extern const struct mailbox_ops pop3_mailbox;
const char *pop3_session_capabilities(const struct engine *engine);
