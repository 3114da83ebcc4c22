/* SPDX-License-Identifier: MIT */
/* Signing in to POP3: AUTH (RFC 5034) or USER and PASS; never APOP (S26). */
#pragma once

#include "daemon/pop3/state.h"

/* Of a new session, once its config is there. */
void pop3_signin_init(struct pop3_session *session);
/* The step that signs in by the strongest way both sides have; STEP_FAILED with a cause when there is none.
 */
int pop3_sign_in(struct pop3_session *session);

/* True for a greeting with a timestamp between angle brackets. */
bool pop3_offers_apop(const char *greeting);

/* Rows of the table of steps. */
void pop3_say_auth(struct engine *engine);
void pop3_say_user(struct engine *engine);
void pop3_say_pass(struct engine *engine);
int pop3_auth_heard(struct engine *engine, const void *reply);
int pop3_user_heard(struct engine *engine, const void *reply);
int pop3_pass_heard(struct engine *engine, const void *reply);
