/* SPDX-License-Identifier: MIT */
/* What comes in numbers: onlookers who read the station's events and leave amid them; floods of mail to a
 * mailbox, more than one batch of the station's holds. */
#pragma once

void onlookers_open(void); /* when the world has been built */
