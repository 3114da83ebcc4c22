/* SPDX-License-Identifier: MIT */
/* `status --check`: the one line and the exit status that monitoring plug-ins give. */
#pragma once

#include "common/cause.h"

#include <jansson.h>

enum check_status { CHECK_OK, CHECK_WARNING, CHECK_CRITICAL, CHECK_UNKNOWN };

/* Prints the line for this status of the station; gives what the tool exits with. */
enum check_status check_show(const json_t *status);
/* The same where there is none. */
enum check_status check_unknown(const struct cause *cause);
