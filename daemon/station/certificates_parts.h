/* SPDX-License-Identifier: MIT */
/* What certificates.c (the memory) and certificates_file.c (its file) share. */
#pragma once

#include "daemon/station/certificates.h"

#include "common/cleanup.h"

enum { CERTIFICATE_BUCKETS = 1024 };

struct seen {
        char *host;
        uint16_t port;
        char fingerprint[65];
        time_t not_after, last_seen;
        int warned;  /* days of the last warning given; 0: none yet */
        bool in_use; /* an account names the server; see mark_in_use */
        struct seen *next;
};

struct certificate_memory {
        struct seen *buckets[CERTIFICATE_BUCKETS];
        size_t count;
        char *path; /* NULL: closed */
        bool saving, changed;
};
extern struct certificate_memory certificate_memory;

/* The server's place, made when there is room; else NULL. */
struct seen *certificates_find(const char *host, uint16_t port);
/* Writes all of it, later; what changes meanwhile goes with the next write. */
void certificates_save(void);
