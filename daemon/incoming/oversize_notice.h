/* SPDX-License-Identifier: MIT */
/* The note that is delivered in the place of a message over maxMessageSize. Pure. */
#pragma once

#include "daemon/wire/mailbox.h"

struct oversize_message {
        const char *account, *folder; /* folder "": POP3 */
        const struct mailbox_entry *entry;
        uint64_t most;    /* maxMessageSize */
        const char *head; /* header of the message as far as it is known; not NUL-ended */
        size_t head_len;
};
/* A small RFC 5322 message with the From, Subject and Date of the one that was left. The caller frees. */
char *oversize_notice_text(const struct oversize_message *message) must_use;
