/* SPDX-License-Identifier: MIT */
/* What a session of an account signs in with: its secret or token, and what the last sign-ins have shown of
 * the server. */
#pragma once

#include "common/properties.h"
#include "daemon/sasl/mechanism.h"

/* Texts copied. -1 with secret_get's cause when it needs a password and there is none to be had; nothing is
 * to be freed then. An account that uses tokens has them fetched first: token_due(). */
int signin_of(const struct property_values *values, struct signin *out, struct cause *cause) must_use;
/* Wipes and frees, after the present callback, which may be one of the session; a second time does no harm.
 */
void signin_done(struct signin *signin);
