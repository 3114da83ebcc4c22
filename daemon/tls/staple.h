/* SPDX-License-Identifier: MIT */
/* The OCSP answer that a server staples to its certificate (RFC 6066 section 8, RFC 6960, RFC 7633). */
#pragma once

#include "daemon/tls/judge.h"

#include <openssl/ssl.h>

/* Looks at the staple of a finished full handshake; what is wrong is added to `evidence`. Returns a word for
 * people: "good", "none", "revoked", "invalid", "stale", "unchecked" (the issuer is not known). */
const char *staple_check(const SSL *ssl, time_t now, struct tls_evidence *evidence);
