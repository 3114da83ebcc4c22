/* SPDX-License-Identifier: MIT */
/* Who answers challenges, imports the plant's authority, prunes; and remembers what was answered. */
#pragma once

void deciders_open(void); /* while the world is built; plans their visits */
