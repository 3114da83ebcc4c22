/* SPDX-License-Identifier: MIT */
/*
 * Who keeps the station's accounts: adds, changes and deletes them, sets their passwords, wrong ones at
 * times, switches them off and on, all as chance has it, and at the end as it should be.
 */
#pragma once

#include "tests/simulator/people.h"

void keeper_open(void); /* while the world is built */
void keeper_takes(struct member *member);
