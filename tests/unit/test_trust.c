/* SPDX-License-Identifier: MIT */
/* The trust stores: reading, poison, import in every form, deletion, generation. */
#include "daemon/tls/trust.c"
#include "pki.h"
#include "state_folder.h"

#include <openssl/pkcs7.h>

static struct trust_settings settings;
static char *system_file;
static struct pki system_ca;
static struct cause answer_cause;
static json_t *answer_json;
static unsigned changes;

static void count_change(void *ctx, const char *why)
{
        (void)ctx;
        ck_assert_ptr_nonnull(why);
        changes++;
}

static void setup(void)
{
        struct cause cause = { 0 };

        folder_open();
        system_ca = pki_make(&(struct pki_spec){ .cn = "System Root", .ca = true });
        char *pem = pki_pem(&system_ca);
        folder_write("system.pem", pem, strlen(pem));
        free(pem);
        system_file = folder_path("system.pem");
        settings = (struct trust_settings){ .state_directory = state_folder, .system_store = system_file };
        ck_assert_msg(trust_open(&settings, &cause) == 0, "%s", cause.text);
        trust_on_change(count_change, NULL);
        changes = 0;
}

static void teardown(void)
{
        trust_close();
        json_decref(take(answer_json));
        free(system_file);
        pki_free(&system_ca);
        folder_close();
}

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
}

static void import(const void *bytes, size_t len)
{
        answered = false;
        trust_import(bytes, len, "root (uid 0)", on_answer, NULL);
        await_answer();
}

static const char *result_of(size_t row)
{
        return json_string_value(json_object_get(json_array_get(answer_json, row), "result"));
}

static enum anchor_kind kind_of(const struct pki *pki)
{
        uint8_t sha256[32];

        x509_digest(pki->x509, sha256);
        return trust_anchor(sha256);
}

START_TEST(system_store)
{
        ck_assert_ptr_null(trust_fault());
        ck_assert_int_eq(kind_of(&system_ca), ANCHOR_SYSTEM);
        json_t *list = trust_list(true);
        ck_assert_uint_eq(json_array_size(list), 1);
        ck_assert_str_eq(json_string_value(json_object_get(json_array_get(list, 0), "store")), "system");
        json_decref(list);
        list = trust_list(false);
        ck_assert_uint_eq(json_array_size(list), 0);
        json_decref(list);
}
END_TEST

START_TEST(import_pem_and_delete)
{
        struct pki ca = pki_make(&(struct pki_spec){ .cn = "Plant CA", .ca = true });
        char *pem = pki_pem(&ca);
        uint64_t before = trust_generation();

        import(pem, strlen(pem));
        ck_assert_int_eq(answer_cause.code, CAUSE_NONE);
        ck_assert_str_eq(result_of(0), "imported");
        ck_assert_int_eq(kind_of(&ca), ANCHOR_USER);
        ck_assert_uint_gt(trust_generation(), before);
        ck_assert_uint_eq(changes, 1);
        import(pem, strlen(pem));
        ck_assert_str_eq(result_of(0), "present");
        ck_assert_int_eq(answer_cause.code, CAUSE_NONE);
        ck_assert_uint_eq(changes, 1);
        /* It is there after a restart, and says who brought it. */
        struct cause cause = { 0 };
        trust_close();
        ck_assert_int_eq(kind_of(&ca), ANCHOR_NONE);
        ck_assert_msg(trust_open(&settings, &cause) == 0, "%s", cause.text);
        ck_assert_int_eq(kind_of(&ca), ANCHOR_USER);
        json_t *list = trust_list(false);
        const char *fpr = json_string_value(json_object_get(json_array_get(list, 0), "fingerprintSha256"));
        char *shorter = copy_bytes(fpr, 10), *file = text_of("%s/trust/%s.pem", state_folder, fpr);
        struct buf bytes;
        ck_assert_int_eq(read_file(file, 65536, &bytes, &cause), 1);
        char *text = buf_take_text(&bytes);
        ck_assert_ptr_nonnull(strstr(text, "by root (uid 0)"));
        free(text);
        answered = false;
        trust_delete(shorter, "root (uid 0)", on_answer, NULL);
        await_answer();
        ck_assert_int_eq(answer_cause.code, CAUSE_NONE);
        ck_assert_str_eq(json_string_value(json_object_get(answer_json, "fingerprintSha256")), fpr);
        ck_assert_int_eq(kind_of(&ca), ANCHOR_NONE);
        ck_assert_int_eq(access(file, F_OK), -1);
        free(file);
        free(shorter);
        json_decref(list);
        free(pem);
        pki_free(&ca);
}
END_TEST

START_TEST(import_bundle)
{
        struct pki ca = pki_make(&(struct pki_spec){ .cn = "CA 1", .ca = true });
        struct pki old =
                pki_make(&(struct pki_spec){ .cn = "Old", .ca = true, .from_days = -9, .to_days = -1 });
        struct pki leaf = pki_make(&(struct pki_spec){ .cn = "leaf", .issuer = &ca });
        struct pki own = pki_make(&(struct pki_spec){ .cn = "own", .san = "DNS:own" });
        char *pems[] = { pki_pem(&ca),  pki_pem(&old), pki_pem(&leaf),
                         pki_pem(&own), pki_pem(&ca),  pki_pem(&system_ca) };
        static const char *const results[] = { "imported", "expired", "refused",
                                               "imported", "present", "present" };
        struct buf all = BUF_WITH_MAX(1 << 20);

        for (size_t i = 0; i < count_of(pems); i++) {
                ck_assert_int_eq(buf_appendf(&all, "some words\n%s", pems[i]), 0);
                free(pems[i]);
        }
        import(buf_bytes(&all), all.len);
        ck_assert_int_eq(answer_cause.code, CAUSE_NONE);
        ck_assert_uint_eq(json_array_size(answer_json), count_of(results));
        for (size_t i = 0; i < count_of(results); i++)
                ck_assert_str_eq(result_of(i), results[i]);
        ck_assert_ptr_nonnull(strstr(
                json_string_value(json_object_get(json_array_get(answer_json, 3), "text")), "warning"));
        ck_assert_int_eq(kind_of(&own), ANCHOR_USER);
        ck_assert_int_eq(kind_of(&leaf), ANCHOR_NONE);
        ck_assert_uint_eq(changes, 1);
        buf_free(&all);
        pki_free(&ca);
        pki_free(&old);
        pki_free(&leaf);
        pki_free(&own);
}
END_TEST

static bool pending_is_there(void)
{
        scoped(scoped_free) char *path = folder_path("trust/import.pending");

        return access(path, F_OK) == 0;
}

/* What an import has decided: these certificates, and nothing of them on disk yet. */
static void leave_pending(const struct pki *list, size_t count)
{
        json_t *decision = json_object(), *files = json_array();

        for (size_t i = 0; i < count; i++) {
                uint8_t sha256[32];
                x509_digest(list[i].x509, sha256);
                char *name = trust_file_name(sha256), *pem = pki_pem(&list[i]);
                json_t *file = json_object();
                json_put_text(file, "name", name);
                json_put_text(file, "text", pem);
                ck_assert_int_eq(json_array_append_new(files, file), 0);
                free(name);
                free(pem);
        }
        json_put(decision, "version", json_integer(1));
        json_put(decision, "files", files);
        char *text = json_dumps(decision, 0);
        folder_write("trust/import.pending", text, strlen(text));
        free(text);
        json_decref(decision);
}

static void delete_anchor(const struct pki *pki)
{
        uint8_t sha256[32];

        x509_digest(pki->x509, sha256);
        char *digits = fingerprint_text(sha256);
        answered = false;
        trust_delete(digits, "root (uid 0)", on_answer, NULL);
        await_answer();
        free(digits);
}

/* An import that was decided before a crash is there at once; what is deleted then does not come back with
 * it. */
START_TEST(pending_import)
{
        struct pki list[] = { pki_make(&(struct pki_spec){ .cn = "CA 1", .ca = true }),
                              pki_make(&(struct pki_spec){ .cn = "CA 2", .ca = true }) };
        struct cause cause = { 0 };

        trust_close();
        leave_pending(list, 2);
        ck_assert_msg(trust_open(&settings, &cause) == 0, "%s", cause.text);
        ck_assert_int_eq(kind_of(&list[0]), ANCHOR_USER);
        ck_assert_int_eq(kind_of(&list[1]), ANCHOR_USER);
        delete_anchor(&list[0]); /* waits for the files */
        ck_assert_int_eq(answer_cause.code, CAUSE_NONE);
        ck_assert(!pending_is_there());
        trust_close();
        ck_assert_msg(trust_open(&settings, &cause) == 0, "%s", cause.text);
        ck_assert_int_eq(kind_of(&list[0]), ANCHOR_NONE);
        ck_assert_int_eq(kind_of(&list[1]), ANCHOR_USER);
        pki_free(&list[0]);
        pki_free(&list[1]);
}
END_TEST

/* Where one file cannot be written all are anchors all the same, and no deletion is promised until it is. */
START_TEST(bundle_that_cannot_be_ended)
{
        struct pki list[] = { pki_make(&(struct pki_spec){ .cn = "CA 1", .ca = true }),
                              pki_make(&(struct pki_spec){ .cn = "CA 2", .ca = true }) };
        char *first = pki_pem(&list[0]), *second = pki_pem(&list[1]), *both = text_of("%s%s", first, second);
        struct cause cause = { 0 };
        uint8_t sha256[32];

        x509_digest(list[1].x509, sha256);
        char *name = trust_file_name(sha256), *path = trust_place(name);
        ck_assert_int_eq(mkdir(path, 0700), 0);
        import(both, strlen(both));
        ck_assert_int_eq(answer_cause.code, CAUSE_NONE);
        ck_assert_int_eq(kind_of(&list[0]), ANCHOR_USER);
        ck_assert_int_eq(kind_of(&list[1]), ANCHOR_USER);
        ck_assert(pending_is_there());
        delete_anchor(&list[0]);
        ck_assert_int_eq(answer_cause.code, CAUSE_STORAGE);
        ck_assert_int_eq(kind_of(&list[0]), ANCHOR_USER);
        ck_assert_int_eq(rmdir(path), 0);
        trust_close();
        ck_assert_msg(trust_open(&settings, &cause) == 0, "%s", cause.text);
        delete_anchor(&list[0]);
        ck_assert_int_eq(answer_cause.code, CAUSE_NONE);
        ck_assert(!pending_is_there());
        ck_assert_int_eq(access(path, F_OK), 0);
        free(path);
        free(name);
        free(both);
        free(second);
        free(first);
        pki_free(&list[0]);
        pki_free(&list[1]);
}
END_TEST

/* Where what decides cannot be written, nothing is: neither on disk nor in effect. */
START_TEST(bundle_that_cannot_be_decided)
{
        struct pki list[] = { pki_make(&(struct pki_spec){ .cn = "CA 1", .ca = true }),
                              pki_make(&(struct pki_spec){ .cn = "CA 2", .ca = true }) };
        char *first = pki_pem(&list[0]), *second = pki_pem(&list[1]), *both = text_of("%s%s", first, second);
        char *path = folder_path("trust/import.pending");
        struct cause cause = { 0 };

        ck_assert_int_eq(mkdir(path, 0700), 0);
        import(both, strlen(both));
        ck_assert_int_eq(answer_cause.code, CAUSE_STORAGE);
        ck_assert_str_eq(result_of(0), "refused");
        ck_assert_str_eq(result_of(1), "refused");
        ck_assert_int_eq(kind_of(&list[0]), ANCHOR_NONE);
        ck_assert_int_eq(rmdir(path), 0);
        ck_assert_int_eq(trust_reload(&settings, &cause), 0);
        ck_assert_uint_eq(trust_imported(), 0);
        import(both, strlen(both));
        ck_assert_int_eq(answer_cause.code, CAUSE_NONE);
        ck_assert(!pending_is_there());
        free(path);
        free(both);
        free(second);
        free(first);
        pki_free(&list[0]);
        pki_free(&list[1]);
}
END_TEST

/* A damaged decision condemns, and is not written over. */
START_TEST(poisoned_pending_import)
{
        struct pki ca = pki_make(&(struct pki_spec){ .cn = "CA", .ca = true });
        char *pem = pki_pem(&ca), *path = folder_path("trust/import.pending");
        struct cause cause = { 0 };

        leave_pending(&ca, 1);
        ck_assert_int_eq(truncate(path, 300), 0);
        ck_assert_int_eq(trust_reload(&settings, &cause), -1);
        ck_assert_int_eq(cause.code, CAUSE_TRUST_STORE);
        ck_assert_ptr_nonnull(strstr(cause.text, "import.pending"));
        ck_assert_ptr_nonnull(strstr(cause.remedy, "remove it"));
        import(pem, strlen(pem));
        ck_assert_int_eq(answer_cause.code, CAUSE_TRUST_STORE);
        ck_assert(pending_is_there());
        ck_assert_int_eq(unlink(path), 0);
        ck_assert_int_eq(trust_try_again(&settings), 1);
        import(pem, strlen(pem));
        ck_assert_int_eq(answer_cause.code, CAUSE_NONE);
        free(path);
        free(pem);
        pki_free(&ca);
}
END_TEST

static void add_to_bundle(PKCS7 *bundle, const struct pki *pki)
{
        ck_assert_int_eq(PKCS7_add_certificate(bundle, pki->x509), 1);
}

START_TEST(import_der_and_pkcs7)
{
        struct pki first = pki_make(&(struct pki_spec){ .cn = "DER", .ca = true });
        struct pki second = pki_make(&(struct pki_spec){ .cn = "P7 A", .ca = true });
        struct pki third = pki_make(&(struct pki_spec){ .cn = "P7 B", .ca = true });
        uint8_t *der, *p7 = NULL;
        size_t len = pki_der(&first, &der);
        PKCS7 *bundle = PKCS7_new();

        import(der, len);
        ck_assert_str_eq(result_of(0), "imported");
        PKCS7_set_type(bundle, NID_pkcs7_signed);
        PKCS7_content_new(bundle, NID_pkcs7_data);
        add_to_bundle(bundle, &second);
        add_to_bundle(bundle, &third);
        int p7_len = i2d_PKCS7(bundle, &p7);
        import(p7, (size_t)p7_len);
        ck_assert_uint_eq(json_array_size(answer_json), 2);
        ck_assert_str_eq(result_of(1), "imported");
        BIO *bio = BIO_new(BIO_s_mem());
        char *text = NULL;
        PEM_write_bio_PKCS7(bio, bundle);
        long text_len = BIO_get_mem_data(bio, &text);
        import(text, (size_t)text_len);
        ck_assert_str_eq(result_of(0), "present");
        ck_assert_int_eq(kind_of(&third), ANCHOR_USER);
        BIO_free(bio);
        OPENSSL_free(p7);
        PKCS7_free(bundle);
        free(der);
        pki_free(&first);
        pki_free(&second);
        pki_free(&third);
}
END_TEST

START_TEST(import_refused)
{
        struct pki ca = pki_make(&(struct pki_spec){ .cn = "CA", .ca = true });
        char *pem = pki_pem(&ca), *key = pki_key_pem(&ca), *both = text_of("%s%s", pem, key);
        uint8_t *der = NULL;
        int len = i2d_PrivateKey(ca.key, &der);

        import(both, strlen(both));
        ck_assert_int_eq(answer_cause.code, CAUSE_INVALID);
        ck_assert_ptr_nonnull(strstr(answer_cause.text, "private key"));
        import(der, (size_t)len);
        ck_assert_ptr_nonnull(strstr(answer_cause.text, "private key"));
        import("", 0);
        ck_assert_int_eq(answer_cause.code, CAUSE_INVALID);
        import("hello world", 11);
        ck_assert_int_eq(answer_cause.code, CAUSE_INVALID);
        pem[strlen(pem) / 2] = '!';
        import(pem, strlen(pem));
        ck_assert_int_eq(answer_cause.code, CAUSE_INVALID);
        struct pki leaf = pki_make(&(struct pki_spec){ .cn = "leaf", .issuer = &ca });
        char *leaf_pem = pki_pem(&leaf);
        import(leaf_pem, strlen(leaf_pem));
        ck_assert_int_eq(answer_cause.code, CAUSE_INVALID);
        ck_assert_str_eq(result_of(0), "refused");
        ck_assert_int_eq(kind_of(&ca), ANCHOR_NONE);
        ck_assert_uint_eq(changes, 0);
        free(leaf_pem);
        OPENSSL_free(der);
        free(both);
        free(key);
        free(pem);
        pki_free(&leaf);
        pki_free(&ca);
}
END_TEST

/* A file of the user store that is damaged, or is not what its name says, is a fault, not an empty list. */
START_TEST(poisoned_user_store)
{
        struct pki ca = pki_make(&(struct pki_spec){ .cn = "CA", .ca = true });
        char *pem = pki_pem(&ca);
        static const char zeros[] =
                "trust/0000000000000000000000000000000000000000000000000000000000000000.pem";
        struct cause cause = { 0 };

        folder_write(zeros, "garbage", 7);
        ck_assert_int_eq(trust_reload(&settings, &cause), -1);
        ck_assert_int_eq(cause.code, CAUSE_TRUST_STORE);
        ck_assert_ptr_nonnull(strstr(cause.text, zeros));
        ck_assert_ptr_nonnull(trust_fault());
        folder_write(zeros, pem, strlen(pem));
        ck_assert_int_eq(trust_reload(&settings, &cause), -1);
        char *path = folder_path(zeros);
        ck_assert_int_eq(unlink(path), 0);
        ck_assert_int_eq(trust_reload(&settings, &cause), 0);
        ck_assert_ptr_null(trust_fault());
        ck_assert_uint_eq(changes, 3);
        free(path);
        free(pem);
        pki_free(&ca);
}
END_TEST

START_TEST(system_store_configured)
{
        struct cause cause = { 0 };
        struct trust_settings other = settings;
        char *missing = folder_path("nowhere"), *empty = folder_path("empty.pem"),
             *folder = folder_path("certs");
        struct pki second = pki_make(&(struct pki_spec){ .cn = "Second", .ca = true });
        char *pem = pki_pem(&second);

        other.system_store = missing;
        ck_assert_int_eq(trust_reload(&other, &cause), -1);
        ck_assert_ptr_nonnull(strstr(cause.text, "nowhere"));
        folder_write("empty.pem", "nothing\n", 8);
        other.system_store = empty;
        ck_assert_int_eq(trust_reload(&other, &cause), -1);
        ck_assert_int_eq(mkdir(folder, 0700), 0);
        folder_write("certs/a.pem", pem, strlen(pem));
        folder_write("certs/b.crt", pem, strlen(pem));
        folder_write("certs/readme", "words", 5);
        other.system_store = folder;
        ck_assert_msg(trust_reload(&other, &cause) == 0, "%s", cause.text);
        ck_assert_uint_eq(stores.system.count, 1);
        ck_assert_int_eq(kind_of(&second), ANCHOR_SYSTEM);
        folder_write("certs/c.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", 60);
        ck_assert_int_eq(trust_reload(&other, &cause), -1);
        ck_assert_ptr_nonnull(strstr(cause.text, "c.pem"));
        free(pem);
        free(missing);
        free(empty);
        free(folder);
        pki_free(&second);
}
END_TEST

/* The default places belong to the distribution: missing or damaged is no fault; hashed names alone count. */
START_TEST(default_places)
{
        struct cause cause = { 0 };
        struct trust_settings other = { .state_directory = state_folder };
        struct pki hashed = pki_make(&(struct pki_spec){ .cn = "Hashed", .ca = true });
        struct pki loose = pki_make(&(struct pki_spec){ .cn = "Loose", .ca = true });
        char *folder = folder_path("certs"), *missing = folder_path("missing"), *pem = pki_pem(&hashed),
             *loose_pem = pki_pem(&loose);

        ck_assert_int_eq(mkdir(folder, 0700), 0);
        folder_write("certs/01234567.0", pem, strlen(pem));
        folder_write("certs/89abcdef.0", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                     60);
        folder_write("certs/loose.pem", loose_pem, strlen(loose_pem));
        setenv("SSL_CERT_FILE", missing, 1);
        setenv("SSL_CERT_DIR", folder, 1);
        ck_assert_msg(trust_reload(&other, &cause) == 0, "%s", cause.text);
        ck_assert_int_eq(kind_of(&hashed), ANCHOR_SYSTEM);
        ck_assert_int_eq(kind_of(&loose), ANCHOR_NONE);
        ck_assert_uint_ge(trust_skipped(), 1);
        setenv("SSL_CERT_DIR", missing, 1);
        ck_assert_int_eq(trust_reload(&other, &cause), 0);
        ck_assert_uint_eq(stores.system.count, 0);
        free(loose_pem);
        free(pem);
        free(missing);
        free(folder);
        pki_free(&hashed);
        pki_free(&loose);
}
END_TEST

/* With a word on what it is trusted for, in the form of `openssl x509 -trustout`. */
static char *pem_rejected(const struct pki *pki)
{
        BIO *bio = BIO_new(BIO_s_mem());
        char *bytes = NULL;

        ck_assert_int_eq(X509_add1_reject_object(pki->x509, OBJ_nid2obj(NID_server_auth)), 1);
        ck_assert_int_eq(PEM_write_bio_X509_AUX(bio, pki->x509), 1);
        X509_reject_clear(pki->x509);
        long len = BIO_get_mem_data(bio, &bytes);
        char *text = copy_bytes(bytes, (size_t)len);
        BIO_free(bio);
        return text;
}

static X509 *the_only_one(void)
{
        ck_assert_int_eq(trust_reload(&settings, NULL), 0);
        ck_assert_uint_eq(stores.system.count, 1);
        return stores.system.items[0].x509;
}

START_TEST(what_is_known_is_not_taken_apart_again)
{
        scoped(scoped_free) char *pem = pki_pem(&system_ca), *rejected = pem_rejected(&system_ca),
                                 *twice = text_of("%s%s", pem, pem);
        X509 *before = stores.system.items[0].x509;

        ck_assert_ptr_eq(the_only_one(), before);
        folder_write("system.pem", twice, strlen(twice));
        ck_assert_ptr_eq(the_only_one(), before);
        /* what was said beside it comes and goes with the file */
        folder_write("system.pem", rejected, strlen(rejected));
        ck_assert_int_eq(sk_ASN1_OBJECT_num(X509_get0_reject_objects(the_only_one())), 1);
        folder_write("system.pem", pem, strlen(pem));
        ck_assert_ptr_null(X509_get0_reject_objects(the_only_one()));
        ck_assert_ptr_eq(the_only_one(), stores.system.items[0].x509);
}
END_TEST

START_TEST(looking)
{
        struct cause cause = { 0 };
        uint8_t sha256[32];

        x509_digest(system_ca.x509, sha256);
        char *fingerprint = fingerprint_text(sha256);
        json_t *anchor = trust_get(fingerprint, &cause);
        ck_assert_ptr_nonnull(anchor);
        ck_assert_ptr_nonnull(json_object_get(json_object_get(anchor, "certificate"), "pem"));
        json_decref(anchor);
        ck_assert_ptr_null(trust_get("zz", &cause));
        ck_assert_int_eq(cause.code, CAUSE_INVALID);
        ck_assert_ptr_null(trust_get("", &cause));
        ck_assert_ptr_null(trust_get("0123456789abcdef0123456789abcdef", &cause));
        ck_assert_int_eq(cause.code, CAUSE_NOT_FOUND);
        answered = false;
        trust_delete(fingerprint, "root", on_answer, NULL);
        await_answer();
        ck_assert_int_eq(answer_cause.code, CAUSE_STATE);
        free(fingerprint);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("trust");
        TCase *tests = tcase_create("trust");

        tcase_add_checked_fixture(tests, setup, teardown);
        tcase_add_test(tests, system_store);
        tcase_add_test(tests, import_pem_and_delete);
        tcase_add_test(tests, import_bundle);
        tcase_add_test(tests, pending_import);
        tcase_add_test(tests, bundle_that_cannot_be_ended);
        tcase_add_test(tests, bundle_that_cannot_be_decided);
        tcase_add_test(tests, poisoned_pending_import);
        tcase_add_test(tests, import_der_and_pkcs7);
        tcase_add_test(tests, import_refused);
        tcase_add_test(tests, poisoned_user_store);
        tcase_add_test(tests, system_store_configured);
        tcase_add_test(tests, default_places);
        tcase_add_test(tests, what_is_known_is_not_taken_apart_again);
        tcase_add_test(tests, looking);
        suite_add_tcase(suite, tests);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
