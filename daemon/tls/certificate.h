/* SPDX-License-Identifier: MIT */
/* An X.509 certificate as plain data: names, dates, digests, DER. No OpenSSL type leaves tls/. */
#pragma once

#include "common/cause.h"

#include <jansson.h>

struct certificate {
        char *subject, *issuer; /* RFC 2253 form, printable */
        char *serial;           /* hex */
        char **alt_names;       /* "DNS:x", "IP:y", NULL-ended */
        time_t not_before, not_after;
        uint8_t sha256[32];     /* of the DER */
        uint8_t key_sha256[32]; /* of the SubjectPublicKeyInfo */
        char key_algorithm[32];
        int key_size;
        char signature_algorithm[48];
        bool is_ca, self_signed;
        uint8_t *der;
        size_t der_len;
};

void certificate_done(struct certificate *certificate);
/* The JSON object of interface.md: subject, issuer, serial, subjectAltNames, notBefore, ... pem. */
json_t *certificate_json(const struct certificate *certificate) must_use;
/* Reads DER; -1 with a cause. */
int certificate_from_der(const uint8_t *der, size_t len, struct certificate *out, struct cause *cause)
        must_use;
/* The PEM form; the caller frees. */
char *certificate_pem(const struct certificate *certificate) must_use;
/* Reads the one certificate of a PEM text; -1 with a cause. */
int certificate_from_pem(const char *text, struct certificate *out, struct cause *cause) must_use;
void certificate_copy(struct certificate *to, const struct certificate *from); /* `to` is raw memory */
