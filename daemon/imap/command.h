/* SPDX-License-Identifier: MIT */
/*
 * Saying commands, matching answers to them, and what a refusal means. Tags cannot be guessed; a command
 * other than capability discovery, STARTTLS and LOGOUT passes the gate of wire/engine; an answer that comes
 * before its command has left ends the session.
 */
#pragma once

#include "daemon/imap/state.h"
#include "daemon/wire/server_words.h"

/* True when the word is among its capabilities. */
bool imap_offers(const struct imap_session *session, const char *word);

/* "TAG words"; remembers the command as in flight. */
void imap_say(struct imap_session *session, const char *format, ...) printf_like(2, 3);
/* The same for a line that holds a secret; `traced` is its form for the trace, without tag. */
void imap_say_secret(struct imap_session *session, const char *traced, const char *line);
/* DONE (RFC 2177). */
void imap_say_end_of_idle(struct imap_session *session);
/* A line without a tag: the answer to a continuation request. */
void imap_say_more_secret(struct imap_session *session, const char *line);

/* A tagged reply came: takes its command out of those in flight; false when that has failed the engine, or
 * when it is a stray line that nobody waits for. */
bool imap_command_answered(struct imap_session *session, const struct imap_text *tag) must_use;
/* The server asks for more of the last command; false when that has failed the engine. */
bool imap_command_continued(struct imap_session *session) must_use;
/* None is in flight; the tags are new ones. */
void imap_commands_forget(struct imap_session *session);

/* ---- replies: a greeting, a tagged reply or a continuation request ---- */

/* Reads "OK [CODE] words" or the like behind a tag or star. */
struct imap_reply imap_reply_read(struct imap_cursor *cursor);

/* Fails the engine for a NO, BAD or BYE. The code (RFC 5530) or known words decide where there are any; else
 * `otherwise` (a BAD is CAUSE_PROTOCOL). `what` says what was refused: "to open the folder INBOX". Returns
 * STEP_FAILED. */
int imap_refused(struct imap_session *session, const struct imap_reply *reply, enum cause_code otherwise,
                 const char *what);

/* The cause of that, made for the caller; returns what kind of refusal it is. */
enum server_kind imap_explain(struct imap_session *session, const struct imap_reply *reply,
                              enum cause_code otherwise, const char *what, struct cause *cause);

/* True when the server's words repeat what we signed in with: they are shown to nobody (S38). */
bool imap_echoes_secret(const struct imap_session *session, const char *words, size_t len);
