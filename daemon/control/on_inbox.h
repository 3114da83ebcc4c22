/* SPDX-License-Identifier: MIT */
/* What the methods about received mail share: on_inbox.c, on_missing.c. */
#pragma once

#include "daemon/control/client.h"

/* Whether there is an incoming account of that name; else the call is answered. */
bool call_has_inbox(struct call *call, const char *name);
