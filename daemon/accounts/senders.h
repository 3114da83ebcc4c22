/* SPDX-License-Identifier: MIT */
/*
 * Which outgoing account a sender's mail goes by: the addresses and domains of all accounts' sendsFor, and
 * their own addresses, in one index. To ask costs the same with ten accounts and with ten thousand.
 */
#pragma once

#include "daemon/accounts/account.h"

/* By whoever keeps the set: the account has come, or its values are others; it goes, or its values are about
 * to change. */
void senders_add(struct account *account);
void senders_remove(const struct account *account);
void senders_close(void);

/* The account whose sendsFor has the address by itself, else by its domain; the first by name of several.
 * NULL: none has. `sender`: as on the wire. */
struct account *senders_named(const char *sender);
/* The first by name whose own address it is; NULL: none. */
struct account *senders_own(const char *sender);
