/* SPDX-License-Identifier: MIT */
/* What server_certificates.c (the memory) and server_certificates_file.c (its file) share. */
#pragma once

#include "daemon/session/server_certificates.h"

#include "common/cleanup.h"

enum { CERTIFICATE_BUCKETS = 1024 };

struct seen_certificate {
        char *host;
        uint16_t port;
        char fingerprint[65];
        char *subject, *issuer;
        const char *verified_by; /* static: "system", "user", "allowedHost", or "" when it was not accepted */
        time_t not_after;
        time_t last_seen, kept; /* the latter on disk: written once a day */
        int warned;             /* days of the last warning given; 0: none yet */
        bool in_use;            /* an account names the server; see mark_in_use */
        json_t *row;            /* of the list being made, and only then */
        struct seen_certificate *next;
};

struct certificate_memory {
        struct seen_certificate *buckets[CERTIFICATE_BUCKETS];
        size_t count;
        char *path; /* NULL: closed */
        bool saving, changed;
};
extern struct certificate_memory certificate_memory;

/* The server's place, made when there is room; else NULL. */
struct seen_certificate *certificates_find(const char *host, uint16_t port);
/* Says of a server what it showed and how that was taken. */
void certificates_describe(struct seen_certificate *seen, const char *subject, const char *issuer,
                           const char *verified_by);
/* Writes all of it, later; what changes meanwhile goes with the next write. */
void certificates_save(void);
