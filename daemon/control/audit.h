/* SPDX-License-Identifier: MIT */
/*
 * A call's part in the audit trail (service/audit_trail.h). Every method that changes something is
 * METHOD_CHANGES in the table, and its handler says what it changed by one of these before it answers. A call
 * of such a method that is answered with success without is recorded all the same, by its method's name: what
 * a handler forgets costs words, never the record.
 */
#pragma once

#include "daemon/control/client.h"
#include "daemon/service/audit_trail.h"

void audit(struct call *call, const struct trail *trail);
/* It changed nothing (nothing was there to delete, a value was what it is): nothing is recorded. */
void audit_nothing(struct call *call);
/* For call.c: the call of a changing method succeeds. */
void audit_answered(struct call *call);

/* Who is at it, for who records later. */
const struct actor *call_doer(const struct call *call);
/* "root (uid 0), logged in as alice (uid 1000)": for records that show who, and are not compared. */
const char *call_actor(const struct call *call);
