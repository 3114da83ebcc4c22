/* SPDX-License-Identifier: MIT */
/*
 * A server's replies: a greeting, a tagged reply or a continuation request, and what a refusal means for the
 * account (response codes of RFC 5530, words that are known).
 */
#pragma once

#include "daemon/imap/state.h"
#include "daemon/wire/server_words.h"

/* Reads "OK [CODE] words" or the like behind a tag or star. */
struct imap_reply imap_reply_read(struct imap_cursor *cursor);

/* Fails the engine for a NO, BAD or BYE. The code decides where there is one; else `otherwise` (a BAD is
 * CAUSE_PROTOCOL). `what` says what was refused: "to open the folder INBOX". Returns STEP_FAILED. */
int imap_refused(struct imap_session *session, const struct imap_reply *reply, enum cause_code otherwise,
                 const char *what);

/* The cause of that, made for the caller; returns what kind of refusal it is. */
enum server_kind imap_explain(struct imap_session *session, const struct imap_reply *reply,
                              enum cause_code otherwise, const char *what, struct cause *cause);

/* True when the server's words repeat what we signed in with: they are shown to nobody (S38). */
bool imap_echoes_secret(const struct imap_session *session, const char *words, size_t len);
