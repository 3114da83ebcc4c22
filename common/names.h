/* SPDX-License-Identifier: MIT */
/* Names that people and files use: accounts, folders, hosts, addresses, ids, fingerprints: checked, parsed,
 * printed. */
#pragma once

#include "common/cause.h"
#include "common/cleanup.h"

/* [A-Za-z0-9][A-Za-z0-9._-]{0,63} */
bool account_name_valid(const char *name);

/* True when a name is one of "a,b,c". */
bool names_have(const char *list, const char *name);

/* A host name or IP literal (brackets around IPv6 allowed, taken off) as it goes to the resolver and into a
 * certificate check: U-labels become A-labels (IDNA 2008), upper case lower, a final dot is taken off. NULL
 * with CAUSE_INVALID. The caller frees. */
char *host_normal(const char *host, struct cause *cause) must_use;
bool host_is_address(const char *host); /* an IPv4 or IPv6 literal */
/* A name in normal form by which the machine can be known elsewhere: with a domain, letters, digits and
 * hyphens only (RFC 1123, no underscore), and none of the names that every machine has for itself. */
bool host_is_full(const char *host);

/* An address for MAIL FROM / RCPT TO (RFC 5321 Mailbox with dots anywhere before the @, RFC 6531 UTF-8
 * allowed, no display name, no angle brackets). `null_allowed`: "" is fine. */
int address_check(const char *address, bool null_allowed, struct cause *cause) must_use;
/* True when it cannot go without SMTPUTF8 (RFC 6531): bytes over 127 before the @. A domain has A-labels. */
bool address_needs_utf8(const char *address);
/* As it goes into MAIL and RCPT and into an ASCII header: U-labels of the domain become A-labels, all else
 * stays as it is. The caller frees. */
char *address_on_wire(const char *address) must_use;
/* The address in "Name <a@b>", "a@b (Name)" or "a@b"; NULL when there is none. The caller frees. */
char *address_of_mailbox(const char *mailbox) must_use;

/* Digest as lower-case hex; `out` has 2 * len + 1 bytes. */
void hex_print(const uint8_t *bytes, size_t len, char *out);
/* "AB:CD:..." as people compare it; the caller frees. */
char *fingerprint_text(const uint8_t digest[32]) must_use;
/* Hex digits with or without colons or blanks, any case, an optional "sha256:" or "SHA256 Fingerprint="
 * before them, into lower-case plain hex. NULL when it holds anything else or is over 64 digits. The caller
 * frees. */
char *fingerprint_normal(const char *text) must_use;

/* "host", "host:port", "[v6]:port": the host (normal form, caller frees) and port (0 when none). NULL on
 * error. */
char *host_port_parse(const char *text, uint16_t *out_port, struct cause *cause) must_use;

/* No CR, LF, NUL or other control byte, valid UTF-8. */
bool text_is_clean(const char *text);
/* The same for a secret, which may have tabs in it. */
bool secret_is_clean(const char *secret);
/* Where a secret begins in what was read from a file or a pipe; *len, at first of all, becomes its length. A
 * byte order mark before it and line ends behind it are the editor's. */
const char *secret_bare(const char *bytes, size_t *len);

/* "Did you mean": offer every possible word; `word` is then the likeliest spelling, NULL when none is near.
 */
struct nearest {
        const char *word;
        unsigned distance;
};
void nearest_offer(struct nearest *nearest, const char *wanted, const char *candidate);

/* ---- IMAP folders as people write them: UTF-8, several parted by commas ---- */

/* INBOX in any case is one mailbox (RFC 9051 section 5.1): its one name, or `name`. */
const char *folder_name_normal(const char *name);
/* The names of a list, without blanks around them and each once, parted by commas again; how many in
 * *out_count. The caller frees. */
char *folder_names_normal(const char *text, size_t *out_count) must_use;
