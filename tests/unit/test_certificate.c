/* SPDX-License-Identifier: MIT */
/* X.509 to plain data: names, dates, digests, hostile text, PEM and DER both ways. */
#include "daemon/tls/certificate.c"
#include "pki.h"

#include <check.h>

START_TEST(fields)
{
        struct pki ca = pki_make(&(struct pki_spec){ .cn = "Plant CA", .ca = true });
        struct pki made = pki_make(&(struct pki_spec){
                .cn = "mail", .san = "DNS:mail.example,DNS:*.b.example,IP:127.0.0.1,IP:::1", .issuer = &ca });
        struct certificate c;

        certificate_from_x509(made.x509, &c);
        ck_assert_str_eq(c.subject, "CN=mail");
        ck_assert_str_eq(c.issuer, "CN=Plant CA");
        ck_assert_str_eq(c.alt_names[0], "DNS:mail.example");
        ck_assert_str_eq(c.alt_names[1], "DNS:*.b.example");
        ck_assert_str_eq(c.alt_names[2], "IP:127.0.0.1");
        ck_assert_str_eq(c.alt_names[3], "IP:::1");
        ck_assert_ptr_null(c.alt_names[4]);
        ck_assert_str_eq(c.key_algorithm, "EC");
        ck_assert_int_eq(c.key_size, 256);
        ck_assert_str_eq(c.signature_algorithm, "ecdsa-with-SHA256");
        ck_assert(!c.is_ca && !c.self_signed);
        ck_assert_int_gt(c.not_after, time(NULL) + 300 * 86400);
        ck_assert_int_lt(c.not_before, time(NULL));
        certificate_done(&c);
        certificate_from_x509(ca.x509, &c);
        ck_assert(c.is_ca && c.self_signed);
        ck_assert_ptr_null(c.alt_names[0]);
        certificate_done(&c);
        pki_free(&made);
        pki_free(&ca);
}
END_TEST

/* Control bytes, a NUL inside a name, a right-to-left mark: told, never obeyed (S9, S10, S34). */
START_TEST(hostile_names)
{
        struct pki made = pki_make(&(struct pki_spec){ .cn = "a\x1b[2Jb\xe2\x80\xaex" });
        GENERAL_NAMES *names = GENERAL_NAMES_new();
        GENERAL_NAME *name = GENERAL_NAME_new();
        ASN1_IA5STRING *text = ASN1_IA5STRING_new();
        struct certificate c;
        char name_words[80];

        ASN1_STRING_set(text, "good.example\0.evil", 18);
        GENERAL_NAME_set0_value(name, GEN_DNS, text);
        sk_GENERAL_NAME_push(names, name);
        X509_add1_ext_i2d(made.x509, NID_subject_alt_name, names, 0, 0);
        GENERAL_NAMES_free(names);
        X509_sign(made.x509, made.key, EVP_sha256());
        certificate_from_x509(made.x509, &c);
        ck_assert_str_eq(c.alt_names[0], "DNS:good.example\\x00.evil");
        ck_assert_ptr_null(strchr(c.subject, 0x1b));
        ck_assert_ptr_null(strstr(c.subject, "\xe2\x80\xae"));
        x509_short_name(X509_get_subject_name(made.x509), name_words);
        ck_assert_str_eq(name_words, "a\\x1b[2Jb\\u{202e}x");
        certificate_done(&c);
        pki_free(&made);
}
END_TEST

START_TEST(der_and_pem)
{
        struct pki made = pki_make(&(struct pki_spec){ .cn = "mail", .san = "DNS:mail.example" });
        struct certificate c, again, copy;
        struct cause cause = { 0 };
        uint8_t *der;
        size_t len = pki_der(&made, &der);

        ck_assert_int_eq(certificate_from_der(der, len, &c, &cause), 0);
        ck_assert_uint_eq(c.der_len, len);
        char *pem = certificate_pem(&c), *theirs = pki_pem(&made);
        ck_assert_str_eq(pem, theirs);
        char *commented = text_of("# imported by root\n%s", pem);
        ck_assert_int_eq(certificate_from_pem(commented, &again, &cause), 0);
        ck_assert_mem_eq(again.sha256, c.sha256, 32);
        ck_assert_mem_eq(again.key_sha256, c.key_sha256, 32);
        certificate_copy(&copy, &c);
        ck_assert_str_eq(copy.subject, c.subject);
        certificate_done(&copy);
        certificate_done(&again);
        certificate_done(&c);
        /* Cut anywhere, or with a byte too many, it is no certificate. */
        for (size_t cut = 0; cut < len; cut++) {
                ck_assert_int_eq(certificate_from_der(der, cut, &c, &cause), -1);
                ck_assert_int_eq(cause.code, CAUSE_CERTIFICATE);
        }
        der = new_resized(der, len + 1, 1);
        der[len] = 0;
        ck_assert_int_eq(certificate_from_der(der, len + 1, &c, &cause), -1);
        pem[strlen(pem) / 2] = '!';
        ck_assert_int_eq(certificate_from_pem(pem, &c, &cause), -1);
        ck_assert_int_eq(certificate_from_pem("", &c, &cause), -1);
        ck_assert_int_eq(certificate_from_pem("hello", &c, &cause), -1);
        free(commented);
        free(theirs);
        free(pem);
        free(der);
        pki_free(&made);
}
END_TEST

/* Every byte of a certificate changed in turn: any answer is fine, no crash, all fields printable. */
START_TEST(mangled)
{
        struct pki made = pki_make(&(struct pki_spec){ .cn = "mail", .san = "DNS:mail.example,IP:10.0.0.1" });
        uint8_t *der;
        size_t len = pki_der(&made, &der);

        for (size_t i = 0; i < len; i++)
                for (int flip = 1; flip < 256; flip <<= 1) {
                        struct certificate c;
                        der[i] = (uint8_t)(der[i] ^ flip);
                        if (certificate_from_der(der, len, &c, NULL) == 0) {
                                json_t *object = certificate_json(&c);
                                ck_assert_ptr_nonnull(object);
                                json_decref(object);
                                certificate_done(&c);
                        }
                        der[i] = (uint8_t)(der[i] ^ flip);
                }
        free(der);
        pki_free(&made);
}
END_TEST

START_TEST(json)
{
        struct pki made =
                pki_make(&(struct pki_spec){ .cn = "mail", .san = "DNS:mail.example", .rsa_bits = 2048 });
        struct certificate c;
        static const char *const members[] = { "subject",
                                               "issuer",
                                               "serial",
                                               "subjectAltNames",
                                               "notBefore",
                                               "notAfter",
                                               "fingerprintSha256",
                                               "publicKeySha256",
                                               "keyAlgorithm",
                                               "keySize",
                                               "signatureAlgorithm",
                                               "pem" };

        certificate_from_x509(made.x509, &c);
        json_t *object = certificate_json(&c);
        ck_assert_uint_eq(json_object_size(object), count_of(members));
        for (size_t i = 0; i < count_of(members); i++)
                ck_assert_ptr_nonnull(json_object_get(object, members[i]));
        ck_assert_int_eq(json_integer_value(json_object_get(object, "keySize")), 2048);
        ck_assert_str_eq(json_string_value(json_object_get(object, "keyAlgorithm")), "RSA");
        ck_assert_uint_eq(json_string_length(json_object_get(object, "fingerprintSha256")), 64);
        json_decref(object);
        certificate_done(&c);
        certificate_done(&c);
        certificate_done(NULL);
        pki_free(&made);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("certificate");
        TCase *tests = tcase_create("certificate");

        tcase_add_test(tests, fields);
        tcase_add_test(tests, hostile_names);
        tcase_add_test(tests, der_and_pem);
        tcase_add_test(tests, mangled);
        tcase_add_test(tests, json);
        suite_add_tcase(suite, tests);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
