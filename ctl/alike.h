/* SPDX-License-Identifier: MIT */
/* What is the same for several accounts, told once for all of them. */
#pragma once

#include "common/cleanup.h"

#define MOST_NAMED \
        48 /* accounts whose names are said where they have a fault in common; of the rest only the number \
            */
#define MOST_ADVISED 8 /* the same in To do */

/* The text without the account's own name, so that the same of another account is the same: "account secure
 * NAME ssl". The caller frees. */
char *text_without_name(const char *text, const char *name) must_use;

/* Names of accounts in a line of prose. */
struct names {
        char *text; /* the first of them, printable; NULL: none */
        size_t count;
};
/* At most `most` are said. */
void names_add(struct names *names, const char *name, size_t most);
/* "a, b, c and 12 more"; frees what it was made of. The caller frees. */
char *names_take(struct names *names, size_t most) must_use;
