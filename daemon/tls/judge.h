/* SPDX-License-Identifier: MIT */
/*
 * Who is at the other end: the one place where that is decided. judge() is pure: evidence
 * gathered during the handshake, the account's policy, the Allowed Hosts records for
 * this host and port, and the time go in; a verdict with every reason in words comes
 * out. No OpenSSL object, no clock, no file (security rules 8-16).
 */
#pragma once

#include "common/cause.h"
#include "daemon/tls/certificate.h"

enum tls_problem { /* what can be wrong with who answered */
                   PROBLEM_UNKNOWN_ISSUER,
                   PROBLEM_SELF_SIGNED,
                   PROBLEM_WRONG_NAME,
                   PROBLEM_EXPIRED,
                   PROBLEM_NOT_YET_VALID,
                   /* from here on: nothing a person may exempt (rule 11) */
                   PROBLEM_SIGNATURE, /* broken signature, malformed certificate */
                   PROBLEM_REVOKED,
                   PROBLEM_WEAK,    /* key or digest below the security level */
                   PROBLEM_PURPOSE, /* not for a TLS server, CA constraints, path length, name constraints */
                   PROBLEM_STAPLE,  /* must-staple without a staple, or an invalid one */
                   PROBLEM_NONE_SENT, /* no certificate at all */
                   PROBLEM_OTHER,
                   TLS_PROBLEMS
};

struct tls_error { /* one failure at one certificate of the chain */
        enum tls_problem problem;
        int depth;        /* 0 = the server's own */
        int code;         /* OpenSSL's X509_V_ERR_*, or 0 */
        char text[200];   /* in words, with names: "issuer \"Plant CA\" is in no trust store" */
        char remedy[152]; /* what mends this one; two of them and an id fit into a cause */
};

struct tls_evidence {
        const char *host; /* as configured */
        uint16_t port;
        struct tls_error errors[32];
        size_t error_count;
        const struct certificate *chain; /* as sent; [0] the leaf */
        size_t chain_count;
        bool anchor_is_user;       /* the chain ended in the User Trust Store */
        uint8_t anchor_sha256[32]; /* of the anchor it ended at; zero when none */
        time_t server_time;        /* as the server says, unproven; 0: it does not */
        bool store_poisoned;       /* a trust store that must be consulted could not be read */
        struct cause store_cause;  /* then: which and why */
};

enum allowed_state { ALLOWED_PENDING, ALLOWED_APPROVED, ALLOWED_REJECTED };
enum allowed_pins { PINS_CERTIFICATE, PINS_KEY };

struct allowed_ruling { /* what judge() needs of one Allowed Hosts entry of this host and port */
        char id[13];
        enum allowed_state state;
        enum allowed_pins pins;
        uint8_t certificate_sha256[32], key_sha256[32];
        uint32_t errors; /* bit set of 1u << enum tls_problem that were approved */
        time_t expires;  /* 0: none */
};

enum verdict_kind {
        VERDICT_SYSTEM,    /* verified by the System Trust Store */
        VERDICT_USER,      /* verified by the User Trust Store */
        VERDICT_ALLOWED,   /* an exemption covers it: encrypted, identity by exemption */
        VERDICT_CHALLENGE, /* a person may decide */
        VERDICT_REJECTED,  /* a person has said no */
        VERDICT_FAULT,     /* nothing can heal it but the server or the store */
};

struct verdict {
        enum verdict_kind kind;
        char allowed_id[13]; /* the entry that covers or rejects it, else "" */
        char replaces[13];   /* CHALLENGE: the approved entry whose place this certificate takes */
        uint32_t errors;     /* bit set of problems found */
        struct cause cause;  /* for CHALLENGE, REJECTED, FAULT: sentence with all reasons, remedy */
};

static inline bool verdict_is_good(const struct verdict *verdict)
{
        return verdict->kind <= VERDICT_ALLOWED;
}

void judge(const struct tls_evidence *evidence, const struct allowed_ruling *allowed, size_t allowed_count,
           time_t now, struct verdict *out);

/* Writes the remedy of a CHALLENGE: what mends it (the first two problems), then how to accept the entry `id`
 * (NULL: none was recorded). */
void verdict_remedy(struct verdict *verdict, const struct tls_evidence *evidence, const char *id);

/* "system", "user", "allowedHost"; NULL for the others. */
const char *verdict_verified_by(enum verdict_kind kind);
/* The word of a problem in JSON ("unknownIssuer") and its reverse (TLS_PROBLEMS: none), what to do
 * about it in words where no more is known of the certificate, and whether an exemption may cover it. */
const char *tls_problem_name(enum tls_problem problem);
enum tls_problem tls_problem_named(const char *name);
const char *tls_problem_remedy(enum tls_problem problem);
bool tls_problem_is_exemptable(enum tls_problem problem);
