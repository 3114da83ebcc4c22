/* SPDX-License-Identifier: MIT */
/*
 * What was promised and what came of it: each message that the station accepted, each that a server took, and
 * the passwords that people have set. The invariants about mail that leaves, and about passwords, are judged
 * here.
 */
#pragma once

#include "tests/simulator/servers.h"

void ledger_open(void); /* while the world is built; adds its invariants */

/* ---- by servers ---- */

/* Somebody signs in: whether user and password are right. The ledger looks whether this password may be used.
 */
bool ledger_signs_in(const struct mail_server *server, const char *user, const char *password);
/* A server took these bytes for that recipient, in its session of that number; late: the station has given
 * that session up meanwhile, and they were on their way. */
void ledger_taken(const struct mail_server *server, unsigned session, bool late, const char *recipient,
                  const char *bytes, size_t len);
/* All that the session was told has been heard: no reply of it is in doubt. */
void ledger_session_settled(const struct mail_server *server, unsigned session);
/* A server refused a recipient for good. */
void ledger_refused(const char *recipient);

/* ---- by people ---- */

/* A number that no message has yet. */
uint32_t ledger_next_number(void);
/* A person hands in message `number` for so many recipients; the station answered with an id. */
void ledger_submits(uint32_t number, unsigned recipients);
void ledger_submitted(uint32_t number, const char *id, const char *account);
void ledger_recipient(uint32_t number, unsigned which, char *to, size_t size);
/* An event of the station, or its list: mail.sent or mail.failed (cause: its word) for a recipient. */
void ledger_told_sent(const char *recipient);
void ledger_told_failed(const char *id, const char *recipient, const char *cause);
/* What is left of the account's mail may go: somebody asked to delete it. */
void ledger_account_goes(const char *account);

/* A password for that user there, never 0; it is used nowhere else. From its withdrawal on it is not used any
 * more. */
unsigned ledger_secret_new(const struct mail_server *server, const char *user);
void ledger_secret_text(unsigned secret, char *to, size_t size);
void ledger_secret_withdrawn(unsigned secret);
/* The account that has it is switched off (answered), or somebody asks to switch it on. */
void ledger_secret_rests(unsigned secret, bool rests);

/* ---- at the end ---- */

/* All recipients of a message got theirs, or were told to have failed. */
bool ledger_is_through(uint32_t number);
/* How many recipients of accepted messages are still to be decided. */
size_t ledger_open_count(void);
/* How many messages the station accepted, and how many recipients got theirs. */
void ledger_counts(size_t *accepted, size_t *taken);
