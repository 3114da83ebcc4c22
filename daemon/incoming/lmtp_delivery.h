/* SPDX-License-Identifier: MIT */
/*
 * Received mail handed on to a local LMTP socket (deliverTo=lmtp:PATH), one message at a time over one
 * session, which is made when the first one comes. The other end of a delivery with `give` (store/maildir.h).
 */
#pragma once

#include "daemon/accounts/account.h"

struct delivery;
struct given;
struct handing;

/* NULL where the account's mail goes to its Maildir. The account is borrowed. */
struct handing *handing_new(struct account *account) must_use;
/* struct delivery_target.give, with the handing as its context. */
void handing_give(void *handing, struct delivery *delivery, const struct given *given);
/* Nothing more will come for now: the session is ended in order. NULL is fine. */
void handing_rest(struct handing *handing);
/* What is on its way and what still comes is put off. NULL is fine. */
void handing_stop(struct handing *handing);
/* No delivery knows it any more. NULL is fine. */
void handing_free(struct handing *handing);
