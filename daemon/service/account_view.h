/* SPDX-License-Identifier: MIT */
/* How an account is shown: its properties with the read-only ones, and what its owner should know. */
#pragma once

#include "daemon/accounts/account.h"

#include <jansson.h>

/* All properties, read-only ones too; warnings (json array, caller decrefs). */
json_t *account_json(const struct account *account) must_use;
json_t *account_warnings(const struct account *account) must_use;
