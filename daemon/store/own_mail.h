/* SPDX-License-Identifier: MIT */
/*
 * Mail of the station's own that comes back to it: heartbeats. A received message is one of them by an
 * unguessable word in its Message-ID, or in its Subject where a server has given it another Message-ID. It is
 * stored like any other message, and subscribers of received mail are not told of it. Any thread may ask.
 */
#pragma once

#include "common/cleanup.h"

#include <stdbool.h>

#define OWN_MAIL_TOKEN 32 /* characters of the word */

/* The account's next message carries this word; that of the one before is known, too, older ones are
 * forgotten. */
void own_mail_expect(const char *account, const char *token);
/* None is out any more. */
void own_mail_forget(const char *account);
/* None of any account is. */
void own_mail_close(void);
/* Either text may be NULL. */
bool own_mail_is(const char *message_id, const char *subject);
/* The account that sent it, for the caller to free, and whether it is the last one it sent; NULL: it is no
 * such message. */
char *own_mail_of(const char *message_id, const char *subject, bool *newest) must_use;
