/* SPDX-License-Identifier: MIT */
/* Whether a connected socket still leaves by the address that the machine would use now. */
#pragma once

#include "common/cleanup.h"

/* False when the address of this end has gone, or another way to the peer is preferred now. Sends nothing. */
bool route_is_the_same(int fd);
