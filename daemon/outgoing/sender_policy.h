/* SPDX-License-Identifier: MIT */
/*
 * senderPolicy account: a message leaves as one of the account's own address, since its provider takes no
 * other. What lies in the queue stays as it is; its header is written anew as it is sent: From is the
 * account's address with who it was in the name, and in Reply-To where the message has none; Sender goes.
 * Nothing behind the header changes.
 */
#pragma once

#include "common/buf.h"
#include "common/cause.h"

struct sender_policy {
        struct buf header; /* what stands in the place of the header; empty: it stays */
        size_t header_len; /* bytes of the header that it replaces, without the blank line */
        bool was_signed;   /* by DKIM or the like, which covers From: that does not hold any more */
};
/* `bytes`: the beginning of the message, lines ended by CRLF. -1 with CAUSE_UNSENDABLE where the header is
 * not all in it. */
int sender_policy_apply(const char *bytes, size_t len, const char *own, struct sender_policy *out,
                        struct cause *cause) must_use;
void sender_policy_done(struct sender_policy *policy);
