/* SPDX-License-Identifier: MIT */
/*
 * The IMAP client (RFC 3501, 9051, 4959, 7888): greeting, capabilities, STARTTLS,
 * signing in, ENABLE and ID; then the operations of wire/mailbox.h (imap/fetch, imap/idle). No I/O.
 */
#pragma once

#include "daemon/sasl/mechanism.h"
#include "daemon/wire/mailbox.h"

struct imap_config {
        struct signin signin; /* borrowed texts must outlive the session */
        bool starttls;
        const struct mailbox_user *user; /* outlives the session */
        void *ctx;
};

struct engine *imap_session_new(const struct imap_config *config) must_use;

/* The operations, for the receiver. */
extern const struct mailbox_ops imap_mailbox;

/* The capability words as one line, for `account test`; valid from ENGINE_READY. */
const char *imap_session_capabilities(const struct engine *engine);
