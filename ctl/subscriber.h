/* SPDX-License-Identifier: MIT */
/* The tool as a named subscriber of received mail: what is done with each event of its stream. */
#pragma once

#include "ctl/tool.h"

struct subscriber {
        const char *name;
        const char *command; /* run for each event, the message on its standard input; NULL: none */
        struct tool calls;   /* a connection beside that of the stream */
};

void subscriber_begin(struct subscriber *subscriber, const struct tool *tool, const char *name,
                      const char *command);
/* Runs the command where there is one, and acknowledges what went well. Exit status; failures are told. */
int subscriber_hear(struct subscriber *subscriber, const json_t *event) must_use;
void subscriber_end(struct subscriber *subscriber);
