/* SPDX-License-Identifier: MIT */
/*
 * The certificates of all servers that accounts have met: one a host and port, on disk in certificates.json,
 * so that their end is announced in time. A memory, not a decision: nothing is trusted because of it.
 */
#pragma once

#include "daemon/tls/certificate.h"

#include <jansson.h>
#include <time.h>

/* Reads the file; one that is missing or damaged is an empty memory (the damage is logged). */
void certificates_open(const char *state_directory);
void certificates_close(void);
/* Saves what is not yet: ahead of the end. */
void certificates_flush(void);
/* True when that is what the server showed last, and it need not be told again today: it is seen now. */
bool certificates_known(const char *host, uint16_t port, const char *fingerprint, const char *verified_by);
/* A server has shown this certificate, whatever was decided about it: verified_by as in struct channel_info.
 */
void certificates_note(const char *host, uint16_t port, const struct certificate *leaf,
                       const char *verified_by);
/* Announces certificates that end within one of the days of the setting ExpiryWarnings, once for each of
 * them: journal and event. A new certificate is looked at when it is noted. Forgets servers that no account
 * names any more. */
void certificates_check(void);
/* All of them, the first to end first: [{host, port, accounts, subject, issuer, fingerprintSha256, notAfter,
 * daysLeft, verifiedBy (null: it was not accepted), lastSeen}]; the caller owns the array. */
json_t *certificates_list(void) must_use;
/* Calls `tell` with a sentence for each that ends within the largest of those days. */
void certificates_ending(void (*tell)(void *ctx, const char *sentence), void *ctx);
/* The smallest number of that setting that is not below `days`; 0: none. */
int expiry_warning_due(int64_t days);
