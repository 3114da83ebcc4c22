/* SPDX-License-Identifier: MIT */
/* Loads a part of the tool that is a shared object of its own: its libraries would cost every start. */
#pragma once

#include "common/cause.h"
#include "ctl/mime.h"

struct part {
        const char *object;  /* file name */
        const char *entry;   /* its one function, which gives a table that begins with its int version */
        int version;         /* of that table */
        const char *what;    /* "the MIME part" */
        const char *library; /* what it needs, for people */
};
/* Looks beside the program, then in the installed place; never unloaded. The table, or NULL with a cause. */
const void *part_load(const struct part *part, struct cause *cause) must_use;

/*
 * Loads the MIME part of the tool when it is needed.
 */

/* NULL with a cause; loaded once, never unloaded. */
const struct mime_functions *mime_load(struct cause *cause) must_use;
