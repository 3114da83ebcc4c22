/* SPDX-License-Identifier: MIT */
/*
 * The System Trust Store (read-only view) and the User Trust Store (files trust/SHA256.pem
 * in the state directory). One X509_STORE holds both; which one vouched is known by the
 * anchor's digest. A store that cannot be read poisons verdicts instead of looking empty.
 */
#pragma once

#include "common/cause.h"

#include <jansson.h>

struct trust_settings {
        const char *state_directory;
        const char *system_store;     /* file or folder; NULL or "": OpenSSL's default places */
        const char *revocation_lists; /* folder of CRLs, or NULL */
};
/* -1 with a cause when a store is poisoned; the daemon goes on, verdicts fail closed. */
int trust_open(const struct trust_settings *settings, struct cause *cause);
int trust_reload(const struct trust_settings *settings, struct cause *cause);
/* Where a store is poisoned, or a client key could not be read: reads again. 1: healed, and the generation is
 * new; 0: there was nothing to heal; -1: not yet, and all is as before but for the fault's words. */
int trust_try_again(const struct trust_settings *settings) must_use;
void trust_close(void);
const struct cause *trust_fault(void);

/* A number that changes whenever a past decision may not be repeated: stores, Allowed Hosts. */
uint64_t trust_generation(void);
/* The one since which the anchors are what they are: what was judged before might be judged otherwise. */
uint64_t trust_anchors_generation(void);
/* Bumps it and tells the subscriber (the station ends sessions judged before). */
void trust_changed(const char *why);
void trust_on_change(void (*changed)(void *ctx, const char *why), void *ctx);

/* Anchors of the Varlink interface: [{store: "user"|"system", fingerprintSha256, certificate: {subject,
 * issuer, notBefore, ... pem}}]; of the System Trust Store, or of the User Trust Store. */
json_t *trust_list(bool system) must_use;
/* The same for one anchor. `fingerprint`: unique beginning, colons allowed; both stores, user first. */
json_t *trust_get(const char *fingerprint, struct cause *cause) must_use;

/* Certificates in the User Trust Store. */
size_t trust_imported(void);
/* Files and certificates of OpenSSL's default places that could not be read and were passed over. */
size_t trust_skipped(void);

/* Where a chain ended, by the SHA-256 of its anchor; one that both stores hold counts as the system's. */
enum anchor_kind { ANCHOR_NONE, ANCHOR_SYSTEM, ANCHOR_USER };
enum anchor_kind trust_anchor(const uint8_t sha256[32]);

/* Imports PEM, DER or PKCS#7 (copied). done: [{fingerprintSha256, subject, result: "imported"|"present"|
 * "expired"|"refused", text}], cause set when nothing could be taken. JSON given to a `done` is borrowed for
 * the call, the cause is never NULL (CAUSE_NONE: all well); `done` may come before the function returns. */
void trust_import(const uint8_t *bytes, size_t len, const char *who,
                  void (*done)(void *ctx, const struct cause *cause, json_t *results), void *ctx);
void trust_delete(const char *fingerprint, const char *who,
                  void (*done)(void *ctx, const struct cause *cause, json_t *anchor), void *ctx);
