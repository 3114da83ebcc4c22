/* SPDX-License-Identifier: MIT */
/* judge(): the whole of security rules 8-16 as a table of evidence, exemptions and verdicts. */
#include "daemon/tls/judge.c"

#include <check.h>

#define BIT(problem) (1u << (problem))
enum { NOW = 1000000 };

static struct certificate leaf_a, leaf_b, leaf_c; /* c: another certificate with the key of a */

static void setup(void)
{
        leaf_a = (struct certificate){ .sha256 = { 0xaa }, .key_sha256 = { 0x11 } };
        leaf_b = (struct certificate){ .sha256 = { 0xbb }, .key_sha256 = { 0x22 } };
        leaf_c = (struct certificate){ .sha256 = { 0xcc }, .key_sha256 = { 0x11 } };
}

static struct tls_evidence evidence_with(const struct certificate *leaf, uint32_t problems_of)
{
        struct tls_evidence evidence = {
                .host = "mail.example", .port = 465, .chain = leaf, .chain_count = leaf ? 1 : 0
        };

        for (unsigned i = 0; i < TLS_PROBLEMS; i++)
                if (problems_of & BIT(i)) {
                        struct tls_error *error = &evidence.errors[evidence.error_count++];
                        error->problem = (enum tls_problem)i;
                        (void)snprintf(error->text, sizeof error->text, "reason %s",
                                       tls_problem_name(error->problem));
                        (void)snprintf(error->remedy, sizeof error->remedy, "%s",
                                       tls_problem_remedy(error->problem));
                }
        return evidence;
}

static struct allowed_ruling entry_for(const char *id, const struct certificate *leaf,
                                       enum allowed_state state, enum allowed_pins pins, uint32_t errors,
                                       time_t expires)
{
        struct allowed_ruling fact = { .state = state, .pins = pins, .errors = errors, .expires = expires };

        (void)snprintf(fact.id, sizeof fact.id, "%s", id);
        memcpy(fact.certificate_sha256, leaf->sha256, 32);
        memcpy(fact.key_sha256, leaf->key_sha256, 32);
        return fact;
}

START_TEST(healed_chain_needs_no_exemption)
{
        struct verdict verdict;
        struct tls_evidence evidence = evidence_with(&leaf_a, 0);
        struct allowed_ruling rejected = entry_for("r", &leaf_a, ALLOWED_REJECTED, PINS_CERTIFICATE, 0, 0);

        judge(&evidence, &rejected, 1, NOW, &verdict);
        ck_assert_int_eq(verdict.kind, VERDICT_SYSTEM);
        ck_assert_str_eq(verdict_verified_by(verdict.kind), "system");
        evidence.anchor_is_user = true;
        judge(&evidence, NULL, 0, NOW, &verdict);
        ck_assert_int_eq(verdict.kind, VERDICT_USER);
        ck_assert_int_eq(verdict.cause.code, CAUSE_NONE);
        ck_assert_str_eq(verdict.allowed_id, "");
}
END_TEST

START_TEST(poisoned_store_condemns_everything)
{
        struct verdict verdict;
        struct tls_evidence evidence = evidence_with(&leaf_a, 0);
        struct allowed_ruling approved = entry_for("a", &leaf_a, ALLOWED_APPROVED, PINS_CERTIFICATE, ~0u, 0);

        evidence.store_poisoned = true;
        cause_set(&evidence.store_cause, CAUSE_TRUST_STORE, "trust/x.pem is damaged");
        judge(&evidence, &approved, 1, NOW, &verdict);
        ck_assert_int_eq(verdict.kind, VERDICT_FAULT);
        ck_assert_int_eq(verdict.cause.code, CAUSE_TRUST_STORE);
        ck_assert_str_eq(verdict.cause.text, "trust/x.pem is damaged");
        cause_set(&evidence.store_cause, CAUSE_STORAGE, "disk");
        judge(&evidence, &approved, 1, NOW, &verdict);
        ck_assert_int_eq(verdict.cause.code, CAUSE_TRUST_STORE);
}
END_TEST

/* Each problem alone, without and with an approval that claims to cover everything. */
START_TEST(every_problem)
{
        enum tls_problem problem = (enum tls_problem)_i;
        struct tls_evidence evidence = evidence_with(&leaf_a, BIT(problem));
        struct allowed_ruling approved = entry_for("a", &leaf_a, ALLOWED_APPROVED, PINS_CERTIFICATE, ~0u, 0);
        struct verdict bare, covered;

        judge(&evidence, NULL, 0, NOW, &bare);
        judge(&evidence, &approved, 1, NOW, &covered);
        if (problem <= PROBLEM_NOT_YET_VALID) {
                ck_assert(tls_problem_is_exemptable(problem));
                ck_assert_int_eq(bare.kind, VERDICT_CHALLENGE);
                ck_assert_int_eq(bare.cause.code, CAUSE_CHALLENGE);
                ck_assert_int_eq(covered.kind, VERDICT_ALLOWED);
                ck_assert_str_eq(covered.allowed_id, "a");
        } else {
                ck_assert(!tls_problem_is_exemptable(problem));
                ck_assert_int_eq(bare.kind, VERDICT_FAULT);
                ck_assert_int_eq(bare.cause.code, CAUSE_CERTIFICATE);
                ck_assert_int_eq(covered.kind, VERDICT_FAULT);
        }
        ck_assert_uint_eq(bare.errors, BIT(problem));
        ck_assert_ptr_nonnull(strstr(bare.cause.text, evidence.errors[0].text));
        ck_assert_ptr_nonnull(strstr(bare.cause.text, "mail.example:465"));
        ck_assert_ptr_nonnull(strstr(bare.cause.remedy, tls_problem_remedy(problem)));
        ck_assert_int_eq(tls_problem_named(tls_problem_name(problem)), problem);
}
END_TEST

/* Which certificate is shown, which entries there are, what comes of it. */
static const struct exemption_case {
        const char *what;
        char shown; /* 'a', 'b', 'c' */
        uint32_t found;
        struct {
                char of;
                enum allowed_state state;
                enum allowed_pins pins;
                uint32_t errors;
                time_t expires;
        } entries[2];
        size_t count;
        enum verdict_kind kind;
        const char *id, *replaces;
} exemption_cases[] = {
        { "exactly covered",
          'a',
          BIT(0),
          { { 'a', ALLOWED_APPROVED, PINS_CERTIFICATE, BIT(0), 0 } },
          1,
          VERDICT_ALLOWED,
          "0",
          "" },
        { "fewer errors than approved",
          'a',
          BIT(0),
          { { 'a', ALLOWED_APPROVED, PINS_CERTIFICATE, BIT(0) | BIT(2), 0 } },
          1,
          VERDICT_ALLOWED,
          "0",
          "" },
        { "a new kind of error",
          'a',
          BIT(0) | BIT(PROBLEM_EXPIRED),
          { { 'a', ALLOWED_APPROVED, PINS_CERTIFICATE, BIT(0), 0 } },
          1,
          VERDICT_CHALLENGE,
          "",
          "" },
        { "pending is no approval",
          'a',
          BIT(0),
          { { 'a', ALLOWED_PENDING, PINS_CERTIFICATE, BIT(0), 0 } },
          1,
          VERDICT_CHALLENGE,
          "",
          "" },
        { "another certificate",
          'b',
          BIT(0),
          { { 'a', ALLOWED_APPROVED, PINS_CERTIFICATE, BIT(0), 0 } },
          1,
          VERDICT_CHALLENGE,
          "",
          "0" },
        { "another certificate, same key, certificate pinned",
          'c',
          BIT(0),
          { { 'a', ALLOWED_APPROVED, PINS_CERTIFICATE, BIT(0), 0 } },
          1,
          VERDICT_CHALLENGE,
          "",
          "0" },
        { "another certificate, same key, key pinned",
          'c',
          BIT(0),
          { { 'a', ALLOWED_APPROVED, PINS_KEY, BIT(0), 0 } },
          1,
          VERDICT_ALLOWED,
          "0",
          "" },
        { "key pinned, another key",
          'b',
          BIT(0),
          { { 'a', ALLOWED_APPROVED, PINS_KEY, BIT(0), 0 } },
          1,
          VERDICT_CHALLENGE,
          "",
          "0" },
        { "key pinned, new error",
          'c',
          BIT(1),
          { { 'a', ALLOWED_APPROVED, PINS_KEY, BIT(0), 0 } },
          1,
          VERDICT_CHALLENGE,
          "",
          "0" },
        { "not yet over",
          'a',
          BIT(0),
          { { 'a', ALLOWED_APPROVED, PINS_CERTIFICATE, BIT(0), NOW + 1 } },
          1,
          VERDICT_ALLOWED,
          "0",
          "" },
        { "over this second",
          'a',
          BIT(0),
          { { 'a', ALLOWED_APPROVED, PINS_CERTIFICATE, BIT(0), NOW } },
          1,
          VERDICT_CHALLENGE,
          "",
          "" },
        { "rejected",
          'a',
          BIT(0),
          { { 'a', ALLOWED_REJECTED, PINS_CERTIFICATE, BIT(0), 0 } },
          1,
          VERDICT_REJECTED,
          "0",
          "" },
        { "rejected with a new error",
          'a',
          BIT(0) | BIT(1),
          { { 'a', ALLOWED_REJECTED, PINS_CERTIFICATE, BIT(0), 0 } },
          1,
          VERDICT_REJECTED,
          "0",
          "" },
        { "another than the rejected",
          'b',
          BIT(0),
          { { 'a', ALLOWED_REJECTED, PINS_CERTIFICATE, BIT(0), 0 } },
          1,
          VERDICT_CHALLENGE,
          "",
          "" },
        { "rejection goes before a pinned key",
          'c',
          BIT(0),
          { { 'a', ALLOWED_APPROVED, PINS_KEY, BIT(0), 0 },
            { 'c', ALLOWED_REJECTED, PINS_CERTIFICATE, 0, 0 } },
          2,
          VERDICT_REJECTED,
          "1",
          "" },
        { "the second covers",
          'b',
          BIT(1),
          { { 'a', ALLOWED_APPROVED, PINS_CERTIFICATE, BIT(0), 0 },
            { 'b', ALLOWED_APPROVED, PINS_CERTIFICATE, BIT(1), 0 } },
          2,
          VERDICT_ALLOWED,
          "1",
          "" },
        { "no entry", 'a', BIT(0), { { 0 } }, 0, VERDICT_CHALLENGE, "", "" },
        { "approved, but revoked",
          'a',
          BIT(0) | BIT(PROBLEM_REVOKED),
          { { 'a', ALLOWED_APPROVED, PINS_CERTIFICATE, BIT(0) | BIT(PROBLEM_REVOKED), 0 } },
          1,
          VERDICT_FAULT,
          "",
          "" },
};

static const struct certificate *leaf_named(char name)
{
        return name == 'a' ? &leaf_a : name == 'b' ? &leaf_b : &leaf_c;
}

START_TEST(exemptions)
{
        const struct exemption_case *c = &exemption_cases[_i];
        struct tls_evidence evidence = evidence_with(leaf_named(c->shown), c->found);
        struct allowed_ruling allowed[2] = { 0 };
        struct verdict verdict;

        for (size_t i = 0; i < c->count; i++)
                allowed[i] = entry_for(i ? "1" : "0", leaf_named(c->entries[i].of), c->entries[i].state,
                                       c->entries[i].pins, c->entries[i].errors, c->entries[i].expires);
        judge(&evidence, allowed, c->count, NOW, &verdict);
        ck_assert_msg(verdict.kind == c->kind, "%s: %d", c->what, (int)verdict.kind);
        ck_assert_msg(strcmp(verdict.allowed_id, c->id) == 0, "%s: id %s", c->what, verdict.allowed_id);
        ck_assert_msg(strcmp(verdict.replaces, c->replaces) == 0, "%s: replaces %s", c->what,
                      verdict.replaces);
        ck_assert(verdict_is_good(&verdict) == (verdict.cause.code == CAUSE_NONE));
}
END_TEST

START_TEST(words)
{
        struct tls_evidence evidence =
                evidence_with(&leaf_a, BIT(PROBLEM_UNKNOWN_ISSUER) | BIT(PROBLEM_WRONG_NAME));
        struct verdict verdict;

        judge(&evidence, NULL, 0, NOW, &verdict);
        ck_assert_str_eq(verdict.cause.text,
                         "a person must decide about the certificate of mail.example:465: "
                         "reason unknownIssuer; reason wrongName");
        verdict_remedy(&verdict, &evidence, "0123456789ab");
        ck_assert_ptr_eq(strstr(verdict.cause.remedy, "import the issuer"), verdict.cause.remedy);
        ck_assert_ptr_nonnull(strstr(verdict.cause.remedy, "emailsecctl challenge show 0123456789ab"));
        /* What nothing heals is told first. */
        evidence = evidence_with(&leaf_a, BIT(PROBLEM_EXPIRED) | BIT(PROBLEM_WEAK));
        judge(&evidence, NULL, 0, NOW, &verdict);
        ck_assert(strstr(verdict.cause.text, "reason weak") < strstr(verdict.cause.text, "reason expired"));
        ck_assert_str_eq(verdict.cause.remedy, tls_problem_remedy(PROBLEM_WEAK));
}
END_TEST

START_TEST(every_remedy_has_room_for_the_id)
{
        for (uint32_t set = 1; set < BIT(PROBLEM_SIGNATURE); set++) {
                struct tls_evidence evidence = evidence_with(&leaf_a, set);
                struct verdict verdict;
                for (size_t i = 0; i < evidence.error_count; i++)
                        memset(evidence.errors[i].remedy, 'x', sizeof evidence.errors[i].remedy - 1);
                judge(&evidence, NULL, 0, NOW, &verdict);
                verdict_remedy(&verdict, &evidence, "0123456789ab");
                ck_assert_ptr_nonnull(strstr(verdict.cause.remedy, "show 0123456789ab"));
        }
}
END_TEST

START_TEST(no_certificate)
{
        struct tls_evidence evidence = evidence_with(NULL, 0);
        struct verdict verdict;

        judge(&evidence, NULL, 0, NOW, &verdict);
        ck_assert_int_eq(verdict.kind, VERDICT_FAULT);
        ck_assert_int_eq(verdict.cause.code, CAUSE_CERTIFICATE);
        ck_assert_ptr_nonnull(strstr(verdict.cause.text, "no certificate was sent"));
        ck_assert_int_eq(tls_problem_named("bogus"), TLS_PROBLEMS);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("judge");
        TCase *tests = tcase_create("judge");

        tcase_add_checked_fixture(tests, setup, NULL);
        tcase_add_test(tests, healed_chain_needs_no_exemption);
        tcase_add_test(tests, poisoned_store_condemns_everything);
        tcase_add_loop_test(tests, every_problem, 0, TLS_PROBLEMS);
        tcase_add_loop_test(tests, exemptions, 0, (int)count_of(exemption_cases));
        tcase_add_test(tests, words);
        tcase_add_test(tests, every_remedy_has_room_for_the_id);
        tcase_add_test(tests, no_certificate);
        suite_add_tcase(suite, tests);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
