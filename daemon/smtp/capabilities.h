/* SPDX-License-Identifier: MIT */
/* What an SMTP server can, read from its answer to EHLO (RFC 5321 section 4.1.1.1). */
#pragma once

#include "common/cleanup.h"

struct reply;

struct smtp_capabilities {
        bool ehlo; /* false: the server knew only HELO */
        bool starttls, pipelining, eight_bit, smtputf8, chunking, dsn, enhanced, size_known;
        uint64_t max_size; /* SIZE; 0 = no fixed limit */
        char auth[512];    /* mechanisms, blank separated, upper case */
        char text[1024];   /* the keywords as one line, printable: for `account test` */
};

/* Replaces everything known by what this positive answer to EHLO says. */
void smtp_capabilities_read(struct smtp_capabilities *can, const struct reply *reply);
