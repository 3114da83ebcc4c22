/* SPDX-License-Identifier: MIT */
/*
 * Saying commands and matching answers to them. Tags cannot be guessed; a command other than
 * capability discovery, STARTTLS and LOGOUT passes the gate of wire/engine; an answer that comes
 * before its command has left ends the session.
 */
#pragma once

#include "daemon/imap/state.h"

/* True when the word is among its capabilities. */
bool imap_offers(const struct imap_session *session, const char *word);

/* "TAG words"; remembers the command as in flight. */
void imap_say(struct imap_session *session, const char *format, ...) printf_like(2, 3);
/* The same for a line that holds a secret; `traced` is its form for the trace, without tag. */
void imap_say_secret(struct imap_session *session, const char *traced, const char *line);
/* A line without a tag (answer to a continuation request). */
void imap_say_more(struct imap_session *session, const char *line);
void imap_say_more_secret(struct imap_session *session, const char *line);

/* A tagged reply came: takes its command out of those in flight; false when that has failed the engine, or
 * when it is a stray line that nobody waits for. */
bool imap_command_answered(struct imap_session *session, const struct imap_text *tag) must_use;
/* The server asks for more of the last command; false when that has failed the engine. */
bool imap_command_continued(struct imap_session *session) must_use;
/* None is in flight; the tags are new ones. */
void imap_commands_forget(struct imap_session *session);
