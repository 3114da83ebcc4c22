/* SPDX-License-Identifier: MIT */
/* Loads the MIME part of the tool when it is needed. */
#pragma once

#include "common/cause.h"
#include "ctl/mime.h"

/* NULL with a cause; loaded once, never unloaded. */
const struct mime_functions *mime_load(struct cause *cause) must_use;
