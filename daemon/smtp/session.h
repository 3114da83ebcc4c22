/* SPDX-License-Identifier: MIT */
/*
 * The SMTP client (RFC 5321, 3207, 4954): from the greeting to READY by a table of
 * steps, then any number of messages (smtp/mail). Does no I/O: see wire/chat.h.
 */
#pragma once

#include "daemon/sasl/mechanism.h"
#include "daemon/smtp/capabilities.h"
#include "daemon/wire/chat.h"

struct smtp_config {
        struct signin signin;   /* borrowed texts must outlive the session */
        bool starttls;
        const char *hello;      /* EHLO name */
        bool lmtp;              /* LHLO (RFC 2033); mail then has one recipient, so each has its one reply */
};

/* The session's chat; free through chat->class->free. */
struct chat *smtp_session_new(const struct smtp_config *config) must_use;

/* What the server said to the last EHLO; valid from CHAT_READY. */
const struct smtp_capabilities *smtp_session_capabilities(const struct chat *chat);
