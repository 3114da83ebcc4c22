/* SPDX-License-Identifier: MIT */
/*
 * What is looked at when the world has been honest: every account works and says so, nothing waits, every
 * message at a server was received once and as it is, nobody is left with a challenge.
 */
#pragma once

#include <stdbool.h>

void audit_open(void);  /* while the world is built; adds its invariants */
void audit_begin(void); /* the world is honest: looks every few minutes from now on */
bool audit_is_content(void);
