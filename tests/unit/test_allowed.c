/* SPDX-License-Identifier: MIT */
/* The Allowed Hosts: challenges, decisions on disk, exact scope, flood bound, regression, needless, expiry,
 * poison. */
#include "common/names.h"
#include "daemon/store/replace_file.h"
#include "daemon/tls/allowed.c"
#include "daemon/tls/x509.h"
#include "pki.h"
#include "state_folder.h"

enum { WALL = 1790000000 };

static struct pki own;
static struct certificate leaf;
static char told[1024]; /* "what:id " of every notice */
static unsigned generations;

static void on_change(void *ctx, const char *id, const char *what, json_t *entry)
{
        ck_assert_ptr_nonnull(entry);
        size_t len = strlen(told);

        (void)ctx;
        (void)snprintf(told + len, sizeof told - len, "%s:%s ", what, id);
}

static void on_trust(void *ctx, const char *why)
{
        (void)ctx;
        (void)why;
        generations++;
}

static void reopen_list(void)
{
        struct cause cause = { 0 };

        allowed_close();
        store_close();
        ck_assert_int_eq(store_open(state_folder, &cause), 0);
        ck_assert_msg(allowed_open(state_folder, &cause) == 0, "%s", cause.text);
}

static struct pki new_leaf(const char *cn)
{
        return pki_make(&(struct pki_spec){
                .cn = cn, .san = "DNS:mail.example", .from_days = -3650, .to_days = 36500 });
}

static void setup(void)
{
        struct cause cause = { 0 };

        folder_open();
        loop_freeze(1000, WALL);
        ck_assert_msg(allowed_open(state_folder, &cause) == 0, "%s", cause.text);
        allowed_on_change(on_change, NULL);
        trust_on_change(on_trust, NULL);
        told[0] = '\0';
        generations = 0;
        own = new_leaf("own");
        certificate_from_x509(own.x509, &leaf);
}

static json_t *answer_json;

static void teardown(void)
{
        allowed_close();
        json_decref(take(answer_json));
        certificate_done(&leaf);
        pki_free(&own);
        folder_close();
}

static struct cause answer_cause;
static bool answered, waiting;

static void on_answer(void *ctx, const struct cause *cause, json_t *json)
{
        (void)ctx;
        answer_cause = cause ? *cause : (struct cause){ 0 };
        json_decref(answer_json);
        answer_json = json_incref(json);
        answered = true;
        if (waiting)
                loop_end();
}

static void await_answer(void)
{
        waiting = true;
        if (!answered)
                run_until_end();
        waiting = false;
        ck_assert(answered);
        loop_turn(); /* notices */
}

/* What a handshake does: evidence, judge, record. */
static struct verdict session(const char *account, const char *host, uint16_t port,
                              const struct certificate *shown, uint32_t problem_bits)
{
        struct tls_evidence evidence = { .host = host, .port = port, .chain = shown, .chain_count = 1 };
        struct allowed_ruling *allowed = NULL;
        struct verdict verdict;

        for (unsigned i = 0; i < TLS_PROBLEMS; i++)
                if (problem_bits & 1u << i) {
                        struct tls_error *error = &evidence.errors[evidence.error_count++];
                        error->problem = (enum tls_problem)i;
                        (void)snprintf(error->text, sizeof error->text, "reason %u", i);
                }
        size_t count = allowed_rulings(host, port, &allowed);
        judge(&evidence, allowed, count, loop_wall(), &verdict);
        free(allowed);
        allowed_record(&evidence, account, &verdict);
        loop_turn();
        return verdict;
}

static const uint32_t unknown = 1u << PROBLEM_UNKNOWN_ISSUER, expired = 1u << PROBLEM_EXPIRED;

static void decide_as(struct allowed_decision decision)
{
        decision.who = "root (uid 0)";
        answered = false;
        allowed_decide(&decision, on_answer, NULL);
        await_answer();
}

static void approve(const char *id, const struct certificate *c, enum allowed_pins pins, time_t until)
{
        char digits[65];

        hex_print(c->sha256, 32, digits);
        decide_as((struct allowed_decision){ .id = id,
                                             .what = DECIDE_APPROVE,
                                             .fingerprint = digits,
                                             .pins = pins,
                                             .until = until,
                                             .reason = "seen on the panel" });
}

static const char *field(json_t *entry, const char *name)
{
        const char *text = json_string_value(json_object_get(entry, name));

        return text ? text : "";
}

START_TEST(challenge_and_approval)
{
        struct verdict v = session("out", "mail.example", 465, &leaf, unknown);
        char id[13];

        ck_assert_int_eq(v.kind, VERDICT_CHALLENGE);
        ck_assert_uint_eq(strlen(v.allowed_id), 12);
        memcpy(id, v.allowed_id, sizeof id);
        ck_assert_ptr_nonnull(strstr(v.cause.remedy, id));
        ck_assert_ptr_nonnull(strstr(told, "challenge:"));
        /* The same again, by another account: one entry, both accounts, no second notice. */
        told[0] = '\0';
        v = session("in", "mail.example", 465, &leaf, unknown);
        ck_assert_str_eq(v.allowed_id, id);
        ck_assert_str_eq(told, "");
        ck_assert_uint_eq(allowed_count("pending", false), 1);
        json_t *entry = allowed_get("mail.example:465", NULL);
        ck_assert_uint_eq(json_array_size(json_object_get(entry, "accounts")), 2);
        ck_assert_str_eq(field(entry, "class"), "new");
        ck_assert_str_eq(field(json_array_get(json_object_get(entry, "errors"), 0), "code"), "unknownIssuer");
        json_decref(entry);
        approve(id, &leaf, PINS_CERTIFICATE, 0);
        ck_assert_msg(answer_cause.code == CAUSE_NONE, "%s", answer_cause.text);
        ck_assert_str_eq(field(answer_json, "state"), "approved");
        ck_assert_str_eq(field(answer_json, "decidedBy"), "root (uid 0)");
        ck_assert_str_eq(field(answer_json, "reason"), "seen on the panel");
        ck_assert_uint_eq(generations, 1);
        ck_assert_ptr_nonnull(strstr(told, "approved:"));
        v = session("out", "mail.example", 465, &leaf, unknown);
        ck_assert_int_eq(v.kind, VERDICT_ALLOWED);
        /* Another port, another name: nothing of it holds there (S11). */
        ck_assert_int_eq(session("x", "mail.example", 993, &leaf, unknown).kind, VERDICT_CHALLENGE);
        ck_assert_int_eq(session("x", "other.example", 465, &leaf, unknown).kind, VERDICT_CHALLENGE);
        /* It is on disk. */
        reopen_list();
        v = session("out", "mail.example", 465, &leaf, unknown);
        ck_assert_int_eq(v.kind, VERDICT_ALLOWED);
        ck_assert_str_eq(v.allowed_id, id);
}
END_TEST

START_TEST(fingerprints)
{
        static const struct {
                const char *text;
                enum cause_code code;
        } cases[] = {
                { NULL, CAUSE_FINGERPRINT },
                { "", CAUSE_FINGERPRINT },
                { "yes", CAUSE_FINGERPRINT },
                { "0123456789abcdef", CAUSE_FINGERPRINT },
        };
        char *id = copy_text(session("a", "h.example", 1, &leaf, unknown).allowed_id), digits[65];

        for (size_t i = 0; i < count_of(cases); i++) {
                decide_as((struct allowed_decision){ .id = id, .fingerprint = cases[i].text });
                ck_assert_int_eq(answer_cause.code, cases[i].code);
        }
        hex_print(leaf.sha256, 32, digits);
        char *shorter = copy_bytes(digits, 15), *enough = copy_bytes(digits, 16);
        char *colons = fingerprint_text(leaf.sha256);
        decide_as((struct allowed_decision){ .id = id, .fingerprint = shorter });
        ck_assert_int_eq(answer_cause.code, CAUSE_FINGERPRINT);
        char key_digits[65];
        hex_print(leaf.key_sha256, 32, key_digits);
        decide_as((struct allowed_decision){ .id = id, .fingerprint = key_digits });
        ck_assert_int_eq(answer_cause.code, CAUSE_FINGERPRINT);
        char *other = copy_bytes(digits, 64), *beginning = copy_bytes(digits, 40);
        other[40] = other[40] == '0' ? '1' : '0';
        decide_as((struct allowed_decision){ .id = id, .fingerprint = other });
        ck_assert_int_eq(answer_cause.code, CAUSE_FINGERPRINT);
        ck_assert_ptr_nonnull(strstr(answer_cause.text, "digit 41 differs"));
        ck_assert_ptr_nonnull(strstr(answer_cause.text, beginning));
        free(other);
        free(beginning);
        ck_assert_uint_eq(allowed_count("approved", false), 0);
        decide_as((struct allowed_decision){ .id = id, .fingerprint = key_digits, .pins = PINS_KEY });
        ck_assert_int_eq(answer_cause.code, CAUSE_NONE);
        decide_as((struct allowed_decision){ .id = id, .fingerprint = enough });
        ck_assert_int_eq(answer_cause.code, CAUSE_NONE);
        decide_as((struct allowed_decision){ .id = id, .fingerprint = colons });
        ck_assert_int_eq(answer_cause.code, CAUSE_NONE);
        decide_as((struct allowed_decision){ .id = id, .fingerprint = colons, .until = WALL - 1 });
        ck_assert_int_eq(answer_cause.code, CAUSE_INVALID);
        decide_as((struct allowed_decision){ .id = id, .fingerprint = colons, .reason = "two\nlines" });
        ck_assert_int_eq(answer_cause.code, CAUSE_INVALID);
        free(colons);
        free(enough);
        free(shorter);
        free(id);
}
END_TEST

/* An error that came after the person looked is not approved with those that were shown. */
START_TEST(an_error_that_nobody_saw)
{
        static const struct {
                const char *seen; /* NULL: not said */
                enum cause_code code;
        } cases[] = {
                { "[]", CAUSE_STATE },
                { "[\"unknownIssuer\"]", CAUSE_STATE },
                { "[\"expired\", \"expired\"]", CAUSE_STATE },
                { "[\"unknownIssuer\", \"expired\", \"odd\"]", CAUSE_INVALID },
                { "[\"expired\", \"unknownIssuer\"]", CAUSE_NONE },
                { "[\"expired\", \"unknownIssuer\", \"weak\"]", CAUSE_NONE },
                { NULL, CAUSE_NONE },
        };
        char *id = copy_text(session("a", "h.example", 1, &leaf, unknown).allowed_id), digits[65];
        char remedy[64];

        hex_print(leaf.sha256, 32, digits);
        (void)snprintf(remedy, sizeof remedy, "emailsecctl challenge show %s", id);
        ck_assert_str_eq(session("a", "h.example", 1, &leaf, unknown | expired).allowed_id, id);
        for (size_t i = 0; i < count_of(cases); i++) {
                json_t *seen = cases[i].seen ? json_loads(cases[i].seen, 0, NULL) : NULL;
                told[0] = '\0';
                generations = 0;
                decide_as((struct allowed_decision){ .id = id, .fingerprint = digits, .seen = seen });
                json_decref(seen);
                ck_assert_int_eq(answer_cause.code, cases[i].code);
                ck_assert_uint_eq(allowed_count("approved", false), cases[i].code == CAUSE_NONE);
                ck_assert_uint_eq(generations, cases[i].code == CAUSE_NONE);
                if (cases[i].code == CAUSE_STATE) {
                        ck_assert_ptr_nonnull(strstr(answer_cause.remedy, remedy));
                        ck_assert_int_eq(strstr(answer_cause.text, "unknownIssuer") == NULL, i == 1);
                        ck_assert_int_eq(strstr(answer_cause.text, "expired") == NULL, i == 2);
                        ck_assert_str_eq(told, "");
                } else if (cases[i].code == CAUSE_NONE) {
                        decide_as((struct allowed_decision){ .id = id, .what = DECIDE_UNAPPROVE });
                        ck_assert_int_eq(answer_cause.code, CAUSE_NONE);
                }
        }
        free(id);
}
END_TEST

START_TEST(new_error_is_a_challenge_again)
{
        char *id = copy_text(session("a", "h.example", 1, &leaf, unknown).allowed_id);

        approve(id, &leaf, PINS_CERTIFICATE, 0);
        told[0] = '\0';
        generations = 0;
        struct verdict v = session("a", "h.example", 1, &leaf, unknown | expired);
        ck_assert_int_eq(v.kind, VERDICT_CHALLENGE);
        ck_assert_str_eq(v.allowed_id, id);
        ck_assert_uint_eq(generations, 1);
        json_t *entry = allowed_get(id, NULL);
        ck_assert_str_eq(field(entry, "state"), "pending");
        ck_assert_str_eq(field(entry, "class"), "changed");
        ck_assert_uint_eq(json_array_size(json_object_get(entry, "errors")), 2);
        json_decref(entry);
        /* Until decided again the old approval does not count. */
        ck_assert_int_eq(session("a", "h.example", 1, &leaf, unknown).kind, VERDICT_CHALLENGE);
        approve(id, &leaf, PINS_CERTIFICATE, 0);
        ck_assert_int_eq(session("a", "h.example", 1, &leaf, unknown | expired).kind, VERDICT_ALLOWED);
        free(id);
}
END_TEST

START_TEST(changed_certificate)
{
        struct pki other = new_leaf("other");
        struct certificate c;
        char *id = copy_text(session("a", "h.example", 1, &leaf, unknown).allowed_id);

        certificate_from_x509(other.x509, &c);
        approve(id, &leaf, PINS_CERTIFICATE, 0);
        struct verdict v = session("a", "h.example", 1, &c, unknown);
        ck_assert_int_eq(v.kind, VERDICT_CHALLENGE);
        ck_assert_str_eq(v.replaces, id);
        json_t *entry = allowed_get(v.allowed_id, NULL);
        ck_assert_str_eq(field(entry, "class"), "changed");
        ck_assert_str_eq(field(entry, "replaces"), id);
        json_decref(entry);
        certificate_done(&c);
        pki_free(&other);
        free(id);
}
END_TEST

START_TEST(rejection_is_durable)
{
        char *id = copy_text(session("a", "h.example", 1, &leaf, unknown).allowed_id);

        decide_as((struct allowed_decision){ .id = id, .what = DECIDE_REJECT });
        ck_assert_str_eq(field(answer_json, "state"), "rejected");
        reopen_list();
        told[0] = '\0';
        struct verdict v = session("a", "h.example", 1, &leaf, unknown | expired);
        ck_assert_int_eq(v.kind, VERDICT_REJECTED);
        ck_assert_ptr_nonnull(strstr(v.cause.remedy, "root (uid 0)"));
        ck_assert_str_eq(told, "");
        ck_assert_uint_eq(allowed_count(NULL, false), 1);
        decide_as((struct allowed_decision){ .id = id, .what = DECIDE_UNAPPROVE });
        ck_assert_str_eq(field(answer_json, "state"), "pending");
        decide_as((struct allowed_decision){ .id = id, .what = DECIDE_UNAPPROVE });
        ck_assert_int_eq(answer_cause.code, CAUSE_STATE);
        decide_as((struct allowed_decision){ .id = id, .what = DECIDE_DELETE });
        ck_assert_int_eq(answer_cause.code, CAUSE_NONE);
        ck_assert_uint_eq(allowed_count(NULL, false), 0);
        decide_as((struct allowed_decision){ .id = id, .what = DECIDE_DELETE });
        ck_assert_int_eq(answer_cause.code, CAUSE_NOT_FOUND);
        free(id);
}
END_TEST

START_TEST(flood)
{
        char first[13] = "", second[13] = "", last[13] = "";

        for (int i = 0; i < LIMIT_PENDING_PER_HOST + 3; i++) {
                char name[16];
                (void)snprintf(name, sizeof name, "n%d", i);
                struct pki pki = new_leaf(name);
                struct certificate c;
                certificate_from_x509(pki.x509, &c);
                struct verdict v = session("a", "h.example", 1, &c, unknown);
                memcpy(i == 0 ? first : i == 1 ? second : last, v.allowed_id, sizeof last);
                certificate_done(&c);
                pki_free(&pki);
        }
        ck_assert_uint_eq(allowed_count("pending", false), LIMIT_PENDING_PER_HOST);
        struct cause cause = { 0 };
        json_t *kept = allowed_get(first, &cause), *newest = allowed_get(last, &cause);
        ck_assert_ptr_nonnull(kept);
        ck_assert_ptr_nonnull(newest);
        json_decref(kept);
        json_decref(newest);
        ck_assert_ptr_null(allowed_get(second, &cause));
        ck_assert_ptr_nonnull(strstr(told, "flood:"));
        ck_assert_ptr_null(allowed_get("h.example:1", &cause));
        ck_assert_int_eq(cause.code, CAUSE_AMBIGUOUS);
}
END_TEST

START_TEST(bound_in_all)
{
        struct verdict v = { 0 };

        for (int i = 0; i < LIMIT_PENDING; i++) {
                char host[32];
                (void)snprintf(host, sizeof host, "h%d.example", i);
                v = session("a", host, 1, &leaf, unknown);
                ck_assert_str_ne(v.allowed_id, "");
        }
        v = session("a", "more.example", 1, &leaf, unknown);
        ck_assert_int_eq(v.kind, VERDICT_CHALLENGE);
        ck_assert_str_eq(v.allowed_id, "");
        ck_assert_uint_eq(allowed_count("pending", false), LIMIT_PENDING);
}
END_TEST

START_TEST(needless_and_prune)
{
        char *id = copy_text(session("a", "h.example", 1, &leaf, unknown).allowed_id);

        approve(id, &leaf, PINS_CERTIFICATE, 0);
        ck_assert_uint_eq(allowed_count("approved", true), 0);
        told[0] = '\0';
        ck_assert_int_eq(session("a", "h.example", 1, &leaf, 0).kind, VERDICT_SYSTEM);
        ck_assert_uint_eq(allowed_count("approved", true), 1);
        ck_assert_ptr_nonnull(strstr(told, "needless:"));
        told[0] = '\0';
        (void)session("a", "h.example", 1, &leaf, 0);
        ck_assert_str_eq(told, "");
        answered = false;
        allowed_prune("root", on_answer, NULL);
        await_answer();
        ck_assert_uint_eq(json_array_size(answer_json), 1);
        ck_assert_str_eq(json_string_value(json_array_get(answer_json, 0)), id);
        ck_assert_uint_eq(allowed_count(NULL, false), 0);
        answered = false;
        allowed_prune("root", on_answer, NULL);
        await_answer();
        ck_assert_uint_eq(json_array_size(answer_json), 0);
        /* It has verified once: a failure from now on is a regression, also after a restart. */
        reopen_list();
        struct verdict v = session("a", "h.example", 1, &leaf, unknown);
        ck_assert_ptr_nonnull(strstr(v.cause.text, "attack"));
        json_t *entry = allowed_get(v.allowed_id, NULL);
        ck_assert_str_eq(field(entry, "class"), "regression");
        json_decref(entry);
        ck_assert_ptr_null(strstr(session("a", "h.example", 2, &leaf, unknown).cause.text, "attack"));
        free(id);
}
END_TEST

/* A challenge whose server verifies without help waits for nobody, until that certificate is shown again. */
START_TEST(healed)
{
        char *id = copy_text(session("a", "h.example", 1, &leaf, unknown).allowed_id);

        ck_assert_uint_eq(allowed_waiting(), 1);
        told[0] = '\0';
        (void)session("a", "h.example", 1, &leaf, 0);
        ck_assert_uint_eq(allowed_waiting(), 0);
        ck_assert_uint_eq(allowed_needless(), 1);
        ck_assert_ptr_nonnull(strstr(told, "needless:"));
        told[0] = '\0';
        (void)session("a", "h.example", 1, &leaf, unknown);
        ck_assert_uint_eq(allowed_waiting(), 1);
        ck_assert_ptr_nonnull(strstr(told, "challenge:"));
        free(id);
}
END_TEST

static uint16_t port_used;

static bool in_use(const char *host, uint16_t port)
{
        return strcmp(host, "h.example") == 0 && port == port_used;
}

START_TEST(servers_that_nobody_uses)
{
        char *id = copy_text(session("a", "h.example", 1, &leaf, unknown).allowed_id);
        char *rejected = copy_text(session("a", "h.example", 2, &leaf, unknown).allowed_id);
        char *approved = copy_text(session("a", "other.example", 1, &leaf, unknown).allowed_id);

        decide_as((struct allowed_decision){ .id = rejected, .what = DECIDE_REJECT });
        approve(approved, &leaf, PINS_CERTIFICATE, 0);
        told[0] = '\0';
        port_used = 1;
        allowed_look_at_users(in_use, true);
        loop_turn();
        ck_assert_uint_eq(allowed_waiting(), 1);
        ck_assert_uint_eq(allowed_needless(), 1);
        ck_assert_ptr_nonnull(strstr(told, approved));
        ck_assert_ptr_null(strstr(told, id));
        port_used = 3;
        allowed_look_at_users(in_use, true);
        ck_assert_uint_eq(allowed_waiting(), 0);
        json_t *entry = allowed_get(id, NULL);
        ck_assert_str_eq(field(entry, "needlessBecause"), "unused");
        json_decref(entry);
        port_used = 1; /* the account is back */
        loop_turn();
        told[0] = '\0';
        allowed_look_at_users(in_use, true);
        loop_turn();
        ck_assert_ptr_nonnull(strstr(told, "challenge:"));
        ck_assert_uint_eq(allowed_waiting(), 1);
        port_used = 3;
        allowed_look_at_users(in_use, false);
        answered = false;
        allowed_prune("root", on_answer, NULL);
        await_answer();
        ck_assert_uint_eq(json_array_size(answer_json), 2);
        ck_assert_uint_eq(allowed_count(NULL, false), 1);
        ck_assert_uint_eq(allowed_count("rejected", false), 1);
        free(id);
        free(rejected);
        free(approved);
}
END_TEST

START_TEST(expiry)
{
        char *id = copy_text(session("a", "h.example", 1, &leaf, unknown).allowed_id);

        approve(id, &leaf, PINS_CERTIFICATE, WALL + 3600);
        ck_assert_int_eq(allowed_expire(WALL), WALL + 3600);
        generations = 0;
        told[0] = '\0';
        loop_freeze(2000, WALL + 3600);
        ck_assert_int_eq(session("a", "h.example", 1, &leaf, unknown).kind, VERDICT_CHALLENGE);
        approve(id, &leaf, PINS_CERTIFICATE, WALL + 7200);
        generations = 0;
        ck_assert_int_eq(allowed_expire(WALL + 7200), 0);
        loop_turn();
        ck_assert_uint_eq(generations, 1);
        ck_assert_ptr_nonnull(strstr(told, "expired:"));
        ck_assert_uint_eq(allowed_count("pending", false), 1);
        /* Without a date it ends with the certificate, unless expiry was accepted. */
        approve(id, &leaf, PINS_CERTIFICATE, 0);
        ck_assert_int_eq(allowed_expire(WALL), leaf.not_after);
        (void)session("a", "h.example", 1, &leaf, unknown | expired);
        approve(id, &leaf, PINS_CERTIFICATE, 0);
        ck_assert_int_eq(allowed_expire(WALL), 0);
        free(id);
}
END_TEST

/* Approved, it would be over at once: refused, until the server was seen with a certificate that has ended.
 */
START_TEST(ended_since_it_was_seen)
{
        char *id = copy_text(session("a", "h.example", 1, &leaf, unknown).allowed_id);
        char digits[65];
        struct allowed_decision decision = {
                .id = id, .what = DECIDE_APPROVE, .fingerprint = digits, .pins = PINS_CERTIFICATE
        };

        hex_print(leaf.sha256, 32, digits);
        loop_freeze(3000, leaf.not_after);
        decide_as(decision);
        ck_assert_int_eq(answer_cause.code, CAUSE_STATE);
        decision.until = leaf.not_after + 60;
        decide_as(decision);
        ck_assert_int_eq(answer_cause.code, CAUSE_STATE);
        ck_assert_uint_eq(allowed_count("pending", false), 1);
        decision.pins = PINS_KEY; /* it may be renewed */
        decide_as(decision);
        decide_as((struct allowed_decision){ .id = id, .what = DECIDE_UNAPPROVE });
        (void)session("a", "h.example", 1, &leaf, unknown | expired);
        approve(id, &leaf, PINS_CERTIFICATE, 0);
        ck_assert_int_eq(allowed_expire(leaf.not_after + 60), 0);
        ck_assert_uint_eq(allowed_count("approved", false), 1);
        free(id);
}
END_TEST

/* Each way of damage: the file stays, every verdict is a fault, nothing is decided. */
static const char *const damages[] = {
        "",
        "{",
        "[]",
        "{\"version\":2,\"entries\":[],\"verified\":[]}",
        "{\"version\":1,\"entries\":[]}",
        "{\"version\":1,\"entries\":[1],\"verified\":[]}",
        "{\"version\":1,\"entries\":[{}],\"verified\":[]}",
        "{\"version\":1,\"entries\":[],\"verified\":[{\"host\":\"h\"}]}",
};

START_TEST(poisoned)
{
        struct cause cause = { 0 };

        allowed_close();
        folder_write("allowed-hosts.json", damages[_i], strlen(damages[_i]));
        ck_assert_int_eq(allowed_open(state_folder, &cause), -1);
        ck_assert_int_eq(cause.code, CAUSE_TRUST_STORE);
        ck_assert_ptr_nonnull(allowed_fault());
        (void)session("a", "h.example", 1, &leaf, unknown);
        decide_as((struct allowed_decision){ .id = "0", .what = DECIDE_DELETE });
        ck_assert_int_eq(answer_cause.code, CAUSE_TRUST_STORE);
        allowed_close();
        struct buf bytes;
        char *path = folder_path("allowed-hosts.json");
        ck_assert_int_eq(read_file(path, 65536, &bytes, &cause), 1);
        ck_assert_uint_eq(bytes.len, strlen(damages[_i]));
        buf_free(&bytes);
        free(path);
}
END_TEST

/* An entry whose id is not of its host, port and certificate was meddled with. */
START_TEST(moved_entry)
{
        struct cause cause = { 0 };
        struct buf bytes;
        char *path = folder_path("allowed-hosts.json");

        char *id = copy_text(session("a", "h.example", 1, &leaf, unknown).allowed_id);
        approve(id, &leaf, PINS_CERTIFICATE, 0);
        free(id);
        ck_assert_int_eq(read_file(path, 1 << 20, &bytes, &cause), 1);
        char *text = buf_take_text(&bytes), *host = strstr(text, "h.example");
        ck_assert_ptr_nonnull(host);
        *host = 'i';
        allowed_close();
        folder_write("allowed-hosts.json", text, strlen(text));
        ck_assert_int_eq(allowed_open(state_folder, &cause), -1);
        ck_assert_ptr_nonnull(strstr(cause.text, "does not belong"));
        free(text);
        free(path);
}
END_TEST

/* Decisions made at once share a write, each gets its answer, in order. */
static unsigned answers;
static void count_answer(void *ctx, const struct cause *cause, json_t *entry)
{
        ck_assert_msg(!cause, "%s", cause ? cause->text : "");
        ck_assert_ptr_nonnull(entry);
        ck_assert_uint_eq((unsigned)(uintptr_t)ctx, answers);
        if (++answers == 4)
                loop_end();
}

START_TEST(decisions_together)
{
        char digits[65];
        char *id = copy_text(session("a", "h.example", 1, &leaf, unknown).allowed_id);

        answers = 0;
        hex_print(leaf.sha256, 32, digits);
        for (uintptr_t i = 0; i < 4; i++) {
                struct allowed_decision decision = { .id = id,
                                                     .what = i % 2 ? DECIDE_REJECT : DECIDE_APPROVE,
                                                     .fingerprint = digits,
                                                     .who = "root" };
                allowed_decide(&decision, count_answer, (void *)i);
        }
        run_until_end();
        ck_assert_uint_eq(allowed_count("rejected", false), 1);
        reopen_list();
        ck_assert_uint_eq(allowed_count("rejected", false), 1);
        free(id);
}
END_TEST

/* A write that fails changes nothing and says so. */
START_TEST(disk_fails)
{
        char *path = folder_path("allowed-hosts.json");
        char *id = copy_text(session("a", "h.example", 1, &leaf, unknown).allowed_id);

        approve(id, &leaf, PINS_CERTIFICATE, 0);
        ck_assert_int_eq(unlink(path), 0);
        ck_assert_int_eq(mkdir(path, 0700), 0); /* nothing can be renamed over it */
        decide_as((struct allowed_decision){ .id = id, .what = DECIDE_DELETE });
        ck_assert_int_eq(answer_cause.code, CAUSE_STORAGE);
        ck_assert_uint_eq(allowed_count("approved", false), 1);
        ck_assert_int_eq(rmdir(path), 0);
        decide_as((struct allowed_decision){ .id = id, .what = DECIDE_DELETE });
        ck_assert_int_eq(answer_cause.code, CAUSE_NONE);
        free(path);
        free(id);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("allowed");
        TCase *tests = tcase_create("allowed");

        tcase_add_checked_fixture(tests, setup, teardown);
        tcase_add_test(tests, challenge_and_approval);
        tcase_add_test(tests, fingerprints);
        tcase_add_test(tests, an_error_that_nobody_saw);
        tcase_add_test(tests, new_error_is_a_challenge_again);
        tcase_add_test(tests, changed_certificate);
        tcase_add_test(tests, rejection_is_durable);
        tcase_add_test(tests, flood);
        tcase_add_test(tests, bound_in_all);
        tcase_add_test(tests, needless_and_prune);
        tcase_add_test(tests, healed);
        tcase_add_test(tests, servers_that_nobody_uses);
        tcase_add_test(tests, expiry);
        tcase_add_test(tests, ended_since_it_was_seen);
        tcase_add_loop_test(tests, poisoned, 0, (int)count_of(damages));
        tcase_add_test(tests, moved_entry);
        tcase_add_test(tests, decisions_together);
        tcase_add_test(tests, disk_fails);
        suite_add_tcase(suite, tests);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
