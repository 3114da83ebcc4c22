/* SPDX-License-Identifier: MIT */
/* What server_words.c (which row fits, and what it counts against a code) and server_words_rows.c (the rows)
 * share. */
#pragma once

#include "daemon/wire/server_words.h"

enum { SIGNING_IN = PHASE_GREETING | PHASE_SIGNIN, ANY_PHASE = SIGNING_IN | PHASE_MAILBOX | PHASE_MAIL };

/* The first row that fits is taken: both texts, in this order and any case. `firm` ones hold against the
 * class of an SMTP reply. */
struct server_row {
        unsigned protocols, phases;
        bool firm;
        enum server_kind kind;
        const char *first, *second; /* second: NULL, or what comes somewhere behind the first */
};

extern const struct server_row server_rows[];
extern const size_t server_row_count;
