/* SPDX-License-Identifier: MIT */
/*
 * Which servers the accounts use: their mail servers by TLS, and the endpoints that give them tokens. A
 * certificate of any other server concerns nobody.
 */
#pragma once

#include "common/properties.h"

/* Whether some account uses TLS with that host and port; true as well while one cannot be read. */
bool server_users_of(const char *host, uint16_t port) must_use;
/* Accounts came, changed or went: on the loop's next turn the Allowed Hosts hear of it. */
void server_users_changed(void);
/* The same at the start: at once, and nobody is told. */
void server_users_begin(void);
