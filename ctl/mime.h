/* SPDX-License-Identifier: MIT */
/*
 * MIME made and read by GMime. GMime and what it loads cost a start of the program more than all the rest, so
 * this part is a shared object of its own (emailsec-mime.so) that is loaded when a message needs it: plain
 * mail by the sendmail form never does. Across this line go plain bytes; all of them are freed with free().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MIME_OBJECT  "emailsec-mime.so"
#define MIME_ENTRY   "emailsec_mime"
#define MIME_VERSION 5

/* A message to make. Texts are UTF-8; lists end with NULL and may be NULL. */
struct mime_draft {
        const char *from, *subject;        /* NULL = no such field */
        const char *const *to, *const *cc; /* mailboxes */
        const char *const *headers;        /* "Name: value" */
        const char *text;                  /* the body as it came, any bytes */
        size_t text_len;
        const char *const *files; /* to attach, by path */
        uint64_t most;            /* bytes that all files may have together */
        /* Opens one of them to be read: a descriptor, or -1 with a sentence. */
        int (*open_file)(const char *path, char error[256]);
};

struct mime_functions {
        int version; /* MIME_VERSION of who made it */
        /* Writes the message to a descriptor. 0, or -1 with a sentence in `error`. */
        int (*compose)(const struct mime_draft *draft, int fd, char error[256]);
        /* An unstructured field's value, decoded. */
        char *(*decode)(const char *value);
};
typedef const struct mime_functions *mime_entry(void);
mime_entry emailsec_mime;
