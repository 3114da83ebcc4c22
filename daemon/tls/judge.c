/* SPDX-License-Identifier: MIT */
/*
 * Who is at the other end, decided from evidence (security rules 8-16). Pure: no OpenSSL object, no clock, no
 * file. The order is the policy: a store that cannot be read condemns; a chain that verifies needs no
 * exemption; what no person may exempt is a fault; only then the Allowed Hosts are asked, and what they do
 * not cover exactly is a challenge.
 */
#include "daemon/tls/judge.h"

#include <stdio.h>

static const struct {
        const char *name;
        bool exemptable;
        const char *remedy;
} problems[TLS_PROBLEMS] = {
        [PROBLEM_UNKNOWN_ISSUER] = { "unknownIssuer", true,
                                     "import the issuer: emailsecctl trust import FILE" },
        [PROBLEM_SELF_SIGNED] = { "selfSigned", true,
                                  "give the server a certificate of your own CA and import that CA: "
                                  "emailsecctl trust import FILE" },
        [PROBLEM_WRONG_NAME] = { "wrongName", true,
                                 "have the certificate issued anew with this host name as subject "
                                 "alternative name" },
        [PROBLEM_EXPIRED] = { "expired", true, "have the server's operator renew the certificate" },
        [PROBLEM_NOT_YET_VALID] = { "notYetValid", true,
                                    "check the clocks of this machine and of the server" },
        [PROBLEM_SIGNATURE] = { "badSignature", false,
                                "the server's operator must install an intact certificate; "
                                "if it was intact before, check who answers there" },
        [PROBLEM_REVOKED] = { "revoked", false,
                              "do not trust this server until its operator has installed a new certificate" },
        [PROBLEM_WEAK] = { "weak", false,
                           "the server's operator must install a certificate with a longer key or better "
                           "digest" },
        [PROBLEM_PURPOSE] = { "purpose", false,
                              "the server's operator must install a certificate made for a TLS server" },
        [PROBLEM_STAPLE] = { "staple", false, "the server's operator must repair OCSP stapling" },
        [PROBLEM_NONE_SENT] = { "noCertificate", false, "the server's operator must install a certificate" },
        [PROBLEM_OTHER] = { "other", false, "the server's operator must replace the certificate" },
};

const char *tls_problem_name(enum tls_problem problem)
{
        return problems[problem].name;
}

enum tls_problem tls_problem_named(const char *name)
{
        unsigned i = 0;

        while (i < TLS_PROBLEMS && !same_text(problems[i].name, name))
                i++;
        return (enum tls_problem)i;
}

const char *tls_problem_remedy(enum tls_problem problem)
{
        return problems[problem].remedy;
}

bool tls_problem_is_exemptable(enum tls_problem problem)
{
        return problems[problem].exemptable;
}

const char *verdict_verified_by(enum verdict_kind kind)
{
        switch (kind) {
        case VERDICT_SYSTEM:
                return "system";
        case VERDICT_USER:
                return "user";
        case VERDICT_ALLOWED:
                return "allowedHost";
        case VERDICT_CHALLENGE:
        case VERDICT_REJECTED:
        case VERDICT_FAULT:
                break;
        }
        return NULL;
}

/* The problems that no exemption may cover. */
static uint32_t fatal_problems(void)
{
        uint32_t set = 0;

        for (unsigned i = 0; i < TLS_PROBLEMS; i++)
                if (!problems[i].exemptable)
                        set |= 1u << i;
        return set;
}

static uint32_t problems_found(const struct tls_evidence *evidence)
{
        uint32_t set = evidence->chain_count ? 0 : 1u << PROBLEM_NONE_SENT;

        for (size_t i = 0; i < evidence->error_count; i++)
                set |= 1u << evidence->errors[i].problem;
        return set;
}

/* Appends "; TEXT" of each error whose problem is in `set`, those nearest to the server first. */
static void append_reasons(const struct tls_evidence *evidence, uint32_t set, char *to, size_t size)
{
        for (size_t i = 0; i < evidence->error_count; i++) {
                size_t len = strlen(to);
                if (set & 1u << evidence->errors[i].problem && len < size - 1)
                        (void)snprintf(to + len, size - len, "%s%s", len ? "; " : "",
                                       evidence->errors[i].text);
        }
}

/* One sentence with all reasons, what nothing can heal first. */
static void tell(const struct tls_evidence *evidence, enum cause_code code, const char *what,
                 struct verdict *out)
{
        char reasons[sizeof out->cause.text] = "";

        append_reasons(evidence, fatal_problems(), reasons, sizeof reasons);
        append_reasons(evidence, ~fatal_problems(), reasons, sizeof reasons);
        cause_set(&out->cause, code, "%s %s:%u: %s", what, evidence->host, evidence->port,
                  reasons[0] ? reasons : "no certificate was sent");
}

static void judge_fatal(const struct tls_evidence *evidence, struct verdict *out)
{
        uint32_t fatal = out->errors & fatal_problems();
        unsigned worst = 0;

        while (!(fatal & 1u << worst))
                worst++;
        tell(evidence, CAUSE_CERTIFICATE, "the certificate cannot be accepted from", out);
        cause_remedy(&out->cause, "%s", problems[worst].remedy);
}

/* Of the error nearest to the server. */
static const char *remedy_in(const struct tls_evidence *evidence, enum tls_problem problem)
{
        for (size_t i = 0; i < evidence->error_count; i++)
                if (evidence->errors[i].problem == problem)
                        return evidence->errors[i].remedy;
        return tls_problem_remedy(problem);
}

void verdict_remedy(struct verdict *verdict, const struct tls_evidence *evidence, const char *id)
{
        char words[sizeof verdict->cause.remedy] = "";
        unsigned told = 0;

        for (unsigned i = 0; i < TLS_PROBLEMS && told < 2; i++)
                if (verdict->errors & 1u << i) {
                        size_t len = strlen(words);
                        (void)snprintf(words + len, sizeof words - len, "%s%s", told++ ? "; " : "",
                                       remedy_in(evidence, (enum tls_problem)i));
                }
        if (id)
                cause_remedy(&verdict->cause, "%s; or compare and accept: emailsecctl challenge show %s",
                             words, id);
        else
                cause_remedy(&verdict->cause, "%s", words);
}

static bool same_digest(const uint8_t a[32], const uint8_t b[32])
{
        return memcmp(a, b, 32) == 0;
}

static bool pins_match(const struct allowed_ruling *entry, const struct certificate *leaf)
{
        if (same_digest(entry->certificate_sha256, leaf->sha256))
                return true;
        return entry->pins == PINS_KEY && same_digest(entry->key_sha256, leaf->key_sha256);
}

static bool covers(const struct allowed_ruling *entry, const struct certificate *leaf, uint32_t errors,
                   time_t now)
{
        return entry->state == ALLOWED_APPROVED && pins_match(entry, leaf) &&
               (errors & ~entry->errors) == 0 && (entry->expires == 0 || now < entry->expires);
}

/* Chain and name failed in ways that a person may accept: has one? */
static void judge_exemption(const struct tls_evidence *evidence, const struct allowed_ruling *allowed,
                            size_t count, time_t now, struct verdict *out)
{
        const struct certificate *leaf = &evidence->chain[0];

        for (size_t i = 0; i < count; i++)
                if (allowed[i].state == ALLOWED_REJECTED &&
                    same_digest(allowed[i].certificate_sha256, leaf->sha256)) {
                        out->kind = VERDICT_REJECTED;
                        memcpy(out->allowed_id, allowed[i].id, sizeof out->allowed_id);
                        tell(evidence, CAUSE_REJECTED, "a person has rejected this certificate of", out);
                        return;
                }
        for (size_t i = 0; i < count; i++)
                if (covers(&allowed[i], leaf, out->errors, now)) {
                        out->kind = VERDICT_ALLOWED;
                        memcpy(out->allowed_id, allowed[i].id, sizeof out->allowed_id);
                        return;
                }
        out->kind = VERDICT_CHALLENGE;
        for (size_t i = 0; i < count; i++)
                if (allowed[i].state == ALLOWED_APPROVED &&
                    !same_digest(allowed[i].certificate_sha256, leaf->sha256))
                        memcpy(out->replaces, allowed[i].id, sizeof out->replaces);
        tell(evidence, CAUSE_CHALLENGE, "a person must decide about the certificate of", out);
        verdict_remedy(out, evidence, NULL);
}

void judge(const struct tls_evidence *evidence, const struct allowed_ruling *allowed, size_t allowed_count,
           time_t now, struct verdict *out)
{
        *out = (struct verdict){ .kind = VERDICT_FAULT, .errors = problems_found(evidence) };
        if (evidence->store_poisoned) {
                out->cause = evidence->store_cause;
                if (out->cause.code != CAUSE_TRUST_STORE)
                        cause_set(&out->cause, CAUSE_TRUST_STORE, "a trust store cannot be read: %s",
                                  evidence->store_cause.text);
                return;
        }
        if (out->errors == 0)
                out->kind = evidence->anchor_is_user ? VERDICT_USER : VERDICT_SYSTEM;
        else if (out->errors & fatal_problems())
                judge_fatal(evidence, out);
        else
                judge_exemption(evidence, allowed, allowed_count, now, out);
}
