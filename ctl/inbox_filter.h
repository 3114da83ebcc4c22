/* SPDX-License-Identifier: MIT */
/* Which received messages are meant: --from, --subject, --since, --before, --unseen. */
#pragma once

#include "ctl/commands.h"

#include <time.h>

/* The options, for the table of commands. */
#define OPTIONS_INBOX_FILTER \
        { .name = "from", .value = "TEXT", .help = "only with this in From" }, \
                { .name = "subject", .letter = 's', .value = "TEXT", .help = "only with this in Subject" }, \
                { .name = "since", \
                  .value = "DATE|DURATION", \
                  .help = "only received since: 2026-11-20, 2d" }, \
                { .name = "before", \
                  .value = "DATE|DURATION", \
                  .help = "only received before: 2026-11-20, 30d" }, \
                { .name = "unseen", .help = "only what nobody has marked as seen" }

struct inbox_filter {
        const char *from, *subject; /* NULL: any; borrowed from the command line */
        time_t since, before;       /* 0: any */
        bool unseen;
        bool any; /* one of these is given */
};
/* EXIT_DONE, or EXIT_USAGE with the reason told. */
int inbox_filter_of(struct tool *tool, struct inbox_filter *out) must_use;
bool inbox_filter_takes(const struct inbox_filter *filter, const json_t *message);
/* Nothing that was received before this message is taken. */
bool inbox_filter_ends(const struct inbox_filter *filter, const json_t *message);

/* A field of a received message, its encoded words decoded; the caller frees. */
char *inbox_field_words(const json_t *value) must_use;
