/* SPDX-License-Identifier: MIT */
/* Accounts in order of name: one among ten thousand is found, put in and taken out by halving and one move.
 */
#pragma once

#include "daemon/accounts/account.h"

struct sorted {
        struct account **items;
        size_t count, size;
};

/* Where the first account is whose name is not before this one. */
size_t sorted_place(const struct sorted *sorted, const char *name);
/* The first one whose name is behind this one; NULL: none is. */
struct account *sorted_after(const struct sorted *sorted, const char *name);
/* Where it is now. */
size_t sorted_insert(struct sorted *sorted, struct account *account);
/* Where it was; SIZE_MAX: it was not there. The last one gives the memory back. */
size_t sorted_remove(struct sorted *sorted, const struct account *account);
