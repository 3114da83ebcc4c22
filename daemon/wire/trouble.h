/* SPDX-License-Identifier: MIT */
/*
 * Addresses that took a connection and then did not serve: remembered for some minutes, so that the other
 * addresses of their host are tried before them (RFC 5321 section 5.1 has a client go on to the next). For
 * wire/ alone.
 */
#pragma once

#include "daemon/wire/resolve.h"

void trouble_note(const struct sockaddr_storage *address);
void trouble_forget(const struct sockaddr_storage *address);
/* Puts those of which trouble is known behind the others; else the order stays. */
void trouble_last(struct addresses *addresses);
