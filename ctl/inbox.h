/* SPDX-License-Identifier: MIT */
/* Received messages as a person asks for them: which are meant, and what is attached to one, as files. */
#pragma once

#include "common/buf.h"
#include "common/cause.h"
#include "ctl/commands.h"

#include <jansson.h>
#include <time.h>

/* ---- which are meant: --from, --subject, --since, --before, --unseen ---- */

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

/* ---- what is attached to one, as files ---- */

/* Their names come from whoever sent it: only the last part of one is used, without what could do harm in a
 * shell or on a screen, and nothing that is there is ever written over. `lf`: LF stands for CRLF in the bytes
 * of the message (common/line_ends.h). `folder` NULL: the present one. What was saved is added to `saved`
 * ({name, path, type, size}), also before a failure. 0, or -1. */
int attachments_save(const struct buf *message, bool lf, const char *folder, json_t *saved,
                     struct cause *cause) must_use;

/* The name of a file for an attachment that calls itself `name` (NULL: not at all), the number-th of its
 * message. */
char *attachment_file_name(const char *name, size_t number) must_use;
