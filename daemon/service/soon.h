/* SPDX-License-Identifier: MIT */
/*
 * What works now and will be a fault before long if nobody acts: certificates and exemptions that end within
 * one of the days of ExpiryWarnings, a disk that is nearly down to its reserve.
 */
#pragma once

#include <jansson.h>

/* An array of causes as the interface has them; the caller owns it. */
json_t *soon_causes(void);
/* Tells of exemptions that end, once for each of those days; certificates_check() does for certificates. */
void soon_check(void);
