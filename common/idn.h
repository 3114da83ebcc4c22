/* SPDX-License-Identifier: MIT */
/* International host names, by libidn2 (RFC 5891). */
#pragma once

#include "common/cause.h"

/* U-labels to A-labels; freed by the caller. NULL with CAUSE_INVALID, or CAUSE_INTERNAL where the library is
 * not there. Any thread. */
char *idn_to_ascii(const char *name, struct cause *cause) must_use;
