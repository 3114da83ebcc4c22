/* SPDX-License-Identifier: MIT */
/* Addresses and networks as AllowFrom= lists them: "192.0.2.7, 198.51.100.0/24, 2001:db8::/32". */
#pragma once

#include "common/cause.h"

#include <sys/socket.h>

/* 0, or -1 with which word is none. */
int networks_check(const char *list, struct cause *cause) must_use;
/* True when the address is in one of them; of a list that was checked. */
bool networks_have(const char *list, const struct sockaddr_storage *address);
