/* SPDX-License-Identifier: MIT */
/* Certificates and Allowed Hosts entries as a person must see them before deciding. */
#pragma once

#include <jansson.h>

/* A certificate's sheet: names, issuer, validity, SHA-256 of certificate and key with colons. */
void show_certificate(const json_t *certificate);
/* An entry: the better remedy first, what failed in words, the certificate, and line by line what differs
 * from the entry it takes the place of (`replaced` NULL = none). */
void show_entry(const json_t *entry, const json_t *replaced);
