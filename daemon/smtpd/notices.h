/* SPDX-License-Identifier: MIT */
/* What is said in the journal about clients of the submission listener: a few lines a minute; beyond that
 * they are counted. */
#pragma once

#include "common/cleanup.h"

void notices_open(void);
void notices_close(void);
void notices_tell(const char *format, ...) printf_like(1, 2);
