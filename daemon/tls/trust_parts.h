/* SPDX-License-Identifier: MIT */
/* What the files behind trust.h share: sets of anchors in memory and how they are read. Not for others. */
#pragma once

#include "daemon/tls/trust.h"
#include "daemon/tls/x509.h"

struct anchor {
        X509 *x509;
        uint8_t sha256[32];
};
struct anchors {
        struct anchor *items;
        size_t count;
};
void trust_anchors_done(struct anchors *anchors);
const struct anchor *trust_anchors_find(const struct anchors *anchors, const uint8_t sha256[32]);
/* Takes the certificate over; one that is there already is freed. */
void trust_anchors_add(struct anchors *anchors, X509 *x509);
void trust_anchors_remove(struct anchors *anchors, const uint8_t sha256[32]);

/* The stores as they were read. What could not be read is told in `fault`, the rest is here all the same. */
struct trust_stores {
        struct anchors system, user;
        STACK_OF(X509_CRL) * revocation_lists;
        size_t skipped;
        json_t *pending;     /* files of an import.pending that was there: [{name, text}] */
        bool pending_unread; /* there is one, and `fault` says why it cannot be read */
        struct cause fault;
};
void trust_stores_done(struct trust_stores *stores);
/* Reads everything the settings name; blocks. Certificates of the system that are in `before` as well are not
 * taken apart again. -1 when `fault` was set. */
int trust_stores_read(const struct trust_settings *settings, const struct trust_stores *before,
                      struct trust_stores *stores) must_use;

/* trust.c, for the import */
const struct anchors *trust_anchors(bool user);
bool trust_is_open(void);
/* Path in trust/; the caller frees. Only while it is open. */
char *trust_place(const char *name);
char *trust_file_name(const uint8_t sha256[32]); /* SHA256.pem; the caller frees */
/* Makes imported anchors (taken over) effective: new store, new generation. Nothing after trust_close. */
void trust_take_user_anchors(X509 *const *list, size_t count, const char *why);
/* NULL where no import.pending is in the way of a change. */
const struct cause *trust_pending_fault(void);

/* trust_bundle.c. Runs `begin` once no import of several certificates is under way; at once with a cause
 * where that may last. Every change of the User Trust Store begins here, and no other change is made before
 * it. */
void trust_change_begin(void (*begin)(void *ctx, const struct cause *cause), void *ctx);
#define TRUST_PENDING "import.pending"
/* Writes these files, [{name, text}], taken over, all or none. `done` with a cause: none. */
void trust_bundle_write(json_t *files, void (*done)(void *ctx, const struct cause *cause), void *ctx);
/* Goes on with what was decided (taken over; NULL: nothing). */
void trust_bundle_resume(json_t *files);
void trust_bundle_close(void);
