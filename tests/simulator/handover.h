/* SPDX-License-Identifier: MIT */
/*
 * Those who take received mail from the station (deliverTo): a program at an LMTP socket, and what runs
 * commands (emailsec-deliver). Each message of an account is given to them once: again only where the answer,
 * or what the station wrote of it, may have been lost.
 */
#pragma once

#include "tests/simulator/people.h"

#define HANDOVER_LMTP "/run/lmtp/socket"
#define HANDOVER_EXEC "/run/emailsecd/deliver"

/* While the world is built; they live from then on. */
void handover_open(void);
/* Of the member's life now: this message was given to them, and taken, or refused for good once. */
bool handover_has(const struct member *member, uint32_t number);
bool handover_refused(const struct member *member, uint32_t number);
