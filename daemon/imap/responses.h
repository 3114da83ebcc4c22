/* SPDX-License-Identifier: MIT */
/*
 * What a server says: the table of untagged responses, which may come at any time, and
 * the response codes (RFC 9051 section 7.1, RFC 5530) with what they mean for the account.
 */
#pragma once

#include "daemon/imap/state.h"
#include "daemon/wire/server_words.h"

/* Reads "OK [CODE] words" or the like behind a tag or star. */
struct imap_reply imap_reply_read(struct imap_cursor *cursor);

/* Hands an ALERT on to the user. */
void imap_alert_heard(struct imap_session *session, const struct imap_reply *reply);
/* Takes in the code of an OK: UIDVALIDITY, UIDNEXT, CAPABILITY, READ-ONLY. */
void imap_code_heard(struct imap_session *session, const struct imap_reply *reply);

/* Counts one response that may be of no use: true when there were too many since the last progress, and the chat fails. */
bool imap_leads_nowhere(struct imap_session *session);
/* An untagged response other than the greeting: "* " is taken off. */
void imap_untagged_heard(struct imap_session *session, struct imap_cursor cursor);

/* Fails the chat for a NO, BAD or BYE. The code decides where there is one; else `otherwise` (a BAD is
 * CAUSE_PROTOCOL). `what` says what was refused: "to open the folder INBOX". Returns STEP_FAILED. */
int imap_refused(struct imap_session *session, const struct imap_reply *reply, enum cause_code otherwise,
                 const char *what);

/* The cause of that, made for the caller; returns what kind of refusal it is. */
enum server_kind imap_explain(struct imap_session *session, const struct imap_reply *reply, enum cause_code otherwise,
                              const char *what, struct cause *cause);

/* True when the server's words repeat what we signed in with: they are shown to nobody (S38). */
bool imap_echoes_secret(const struct imap_session *session, const char *words, size_t len);
