/* SPDX-License-Identifier: MIT */
/*
 * /etc/aliases as sendmail and Postfix have it (aliases(5)): names with lists, continuation lines, comments.
 * Only what can be written to is of use here; commands, files and included lists are known and told of, and
 * never opened.
 */
#pragma once

#include "common/cleanup.h"

enum alias_kind {
        ALIAS_ADDRESS, /* user@example.com */
        ALIAS_NAME,    /* another name, which may be an alias itself */
        ALIAS_FINAL,   /* \name: not looked up again */
        ALIAS_COMMAND, /* "|program" */
        ALIAS_FILE,    /* /path */
        ALIAS_INCLUDE, /* :include:/path */
        ALIAS_BAD,     /* none of these */
};

struct alias {
        char *name;    /* as it is written; compared without case */
        unsigned line; /* where it begins */
        struct alias_item {
                enum alias_kind kind;
                char *text;
        } *items;
        size_t count;
};

struct aliases {
        struct alias *of; /* in order of name, each once: the first in the file */
        size_t count;
};

/* Never fails: what cannot be understood is ALIAS_BAD, or no alias. */
void aliases_parse(const char *bytes, size_t len, struct aliases *out);
void aliases_free(struct aliases *aliases);
/* NULL: there is none of that name. */
const struct alias *aliases_find(const struct aliases *aliases, const char *name);
