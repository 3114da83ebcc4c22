/* SPDX-License-Identifier: MIT */
/* Signing in to IMAP: AUTHENTICATE (RFC 9051 6.2.2, SASL-IR RFC 4959) or LOGIN; and what is said once after
 * it. */
#pragma once

#include "daemon/imap/state.h"

/* Of a new session, once its config is there. */
void imap_signin_init(struct imap_session *session);
/* The step that signs in by the strongest way both sides have; STEP_FAILED with a cause when there is none.
 */
int imap_sign_in(struct imap_session *session);

/* Rows of the table of steps. */
void imap_say_authenticate(struct engine *engine);
void imap_say_login(struct engine *engine);
int imap_authenticate_heard(struct engine *engine, const void *reply);
int imap_login_heard(struct engine *engine, const void *reply);

/* Literals of LOGIN are still to be asked for. */
bool imap_login_awaits_more(const struct imap_session *session);

/*
 * What is said once after signing in, in one round trip: ENABLE (RFC 5161) and ID (RFC 2971).
 *
 * Taken into use are UTF8=ACCEPT (RFC 6855: folder names and headers in UTF-8, messages as they are) and
 * IMAP4rev2 (RFC 9051). CONDSTORE (RFC 7162) is not: it tells whose flags have changed, and we never ask for
 * those of a message that we have; that nothing new is there UIDNEXT says as well. Neither is MOVE (RFC
 * 6851): no policy puts a message into another folder, and deleting is STORE and UID EXPUNGE. ID names
 * program and version, no more; there are servers that let nobody in who does not say it.
 */

/* The step after signing in: IMAP_ENABLE, or STEP_READY where the server has nothing of it. */
int imap_enable(struct imap_session *session);
/* "ENABLED " is taken off. */
void imap_enabled(struct imap_session *session, struct imap_cursor *cursor);
/* Folder names go as UTF-8, not as modified UTF-7. */
bool imap_names_are_utf8(const struct imap_session *session);

/* Row of the table of steps. */
void imap_say_enable(struct engine *engine);
int imap_enable_heard(struct engine *engine, const void *reply);
