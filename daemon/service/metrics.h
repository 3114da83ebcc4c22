/* SPDX-License-Identifier: MIT */
/* The station's numbers as OpenMetrics text. */
#pragma once

#include "common/cleanup.h"

char *metrics_text(void) must_use;
