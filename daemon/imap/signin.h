/* SPDX-License-Identifier: MIT */
/* Signing in to IMAP: AUTHENTICATE (RFC 9051 6.2.2, SASL-IR RFC 4959) or LOGIN. */
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
