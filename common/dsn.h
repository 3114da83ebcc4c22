/* SPDX-License-Identifier: MIT */
/*
 * What a submitter asks about delivery reports (RFC 3461): when one is wanted, how much of the message it
 * brings back, and a name for it. In the words of the RFC, any case taken, kept in upper case.
 */
#pragma once

#include "common/cause.h"

#define DSN_NOTIFY_SIZE sizeof "SUCCESS,FAILURE,DELAY"
#define DSN_RETURN_SIZE sizeof "FULL"

/* NEVER, or a list of SUCCESS, FAILURE and DELAY with commas, each at most once; blanks around words are
 * dropped. */
int dsn_notify(const char *words, char out[DSN_NOTIFY_SIZE], struct cause *cause) must_use;
/* FULL or HDRS. */
int dsn_return(const char *word, char out[DSN_RETURN_SIZE], struct cause *cause) must_use;
/* One to DSN_ENVELOPE_ID_MAX printable ASCII characters once written as xtext (section 4: + and = and blanks
 * take three). */
enum { DSN_ENVELOPE_ID_MAX = 100, DSN_ORIGINAL_MAX = 500 };
int dsn_envelope_id(const char *id, struct cause *cause) must_use;
/* To whom a message went at first, as its sender said (section 4.2): "rfc822;a@b.example", an address type of
 * letters, digits and - before printable ASCII; at most DSN_ORIGINAL_MAX characters once written as xtext. */
int dsn_original(const char *original, struct cause *cause) must_use;
