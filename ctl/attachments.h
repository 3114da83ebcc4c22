/* SPDX-License-Identifier: MIT */
/*
 * What is attached to a received message, as files. Their names come from whoever sent it: only the last part
 * of one is used, without what could do harm in a shell or on a screen, and nothing that is there is ever
 * written over.
 */
#pragma once

#include "common/buf.h"
#include "common/cause.h"

#include <jansson.h>

/* `lf`: LF stands for CRLF in the bytes of the message (common/line_ends.h). `folder` NULL: the present one.
 * What was saved is added to `saved` ({name, path, type, size}), also before a failure. 0, or -1. */
int attachments_save(const struct buf *message, bool lf, const char *folder, json_t *saved,
                     struct cause *cause) must_use;

/* The name of a file for an attachment that calls itself `name` (NULL: not at all), the number-th of its
 * message. */
char *attachment_file_name(const char *name, size_t number) must_use;
