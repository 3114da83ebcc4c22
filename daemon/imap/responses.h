/* SPDX-License-Identifier: MIT */
/*
 * What a server says without being asked: the table of untagged responses, which may come at any time, and
 * the response codes (RFC 9051 section 7.1) that tell of the session or the folder.
 */
#pragma once

#include "daemon/imap/state.h"

/* Hands an ALERT on to the user. */
void imap_alert_heard(struct imap_session *session, const struct imap_reply *reply);
/* Takes in the code of an OK: UIDVALIDITY, UIDNEXT, CAPABILITY, READ-ONLY. */
void imap_code_heard(struct imap_session *session, const struct imap_reply *reply);

/* Counts one response that may be of no use: true when there were too many since the last progress, and the
 * engine fails. */
bool imap_leads_nowhere(struct imap_session *session);
/* An untagged response other than the greeting: "* " is taken off. */
void imap_untagged_heard(struct imap_session *session, struct imap_cursor cursor);
