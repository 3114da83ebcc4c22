/* SPDX-License-Identifier: MIT */
/* The user key store: what is taken and what is refused, that it counts once it is on disk and not before,
 * that a broken file is a fault of its own name alone, and that no key is ever shown. */
#include "daemon/store/replace_file.h"
#include "daemon/tls/trust.h"

static const char *disk_fault; /* the next write fails so */
static unsigned changes;

static void seam_replace(const char *path, const void *bytes, size_t len,
                         void (*done)(void *ctx, const struct cause *cause), void *ctx)
{
        struct cause cause = { 0 };

        if (disk_fault) {
                (void)cause_set(&cause, CAUSE_STORAGE, "%s", disk_fault);
                done(ctx, &cause);
        } else {
                replace_file_later(path, bytes, len, done, ctx);
        }
}

static void seam_changed(const char *why)
{
        (void)why;
        changes++;
}
#define replace_file_later seam_replace
#define trust_changed      seam_changed
#include "daemon/tls/keys.c"
#undef replace_file_later
#undef trust_changed

#include "pki.h"
#include "state_folder.h"

static struct pki issuer, client;
static char *issuer_pem, *client_pem, *key_pem;
static struct cause answer_cause;
static json_t *answer_json;
static bool answered, waiting;

static void setup(void)
{
        folder_open();
        issuer = pki_make(&(struct pki_spec){ .cn = "Client root", .ca = true });
        client = pki_make(&(struct pki_spec){ .cn = "plant", .issuer = &issuer });
        issuer_pem = pki_pem(&issuer);
        client_pem = pki_pem(&client);
        key_pem = pki_key_pem(&client);
        keys_open(state_folder);
        disk_fault = NULL;
        changes = 0;
}

static void teardown(void)
{
        keys_close();
        json_decref(take(answer_json));
        free(issuer_pem);
        free(client_pem);
        free(key_pem);
        pki_free(&issuer);
        pki_free(&client);
        folder_close();
}

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

static enum cause_code import(const char *name, const char *pem)
{
        answered = false;
        keys_import(name, (const uint8_t *)pem, strlen(pem), on_answer, NULL);
        await_answer();
        return answer_cause.code;
}

static enum cause_code delete(const char *name) {
        answered = false; keys_delete(name, on_answer, NULL); await_answer(); return answer_cause.code;
}

static void import_client(const char *name)
{
        scoped(scoped_free) char *all = text_of("%s%s%s", client_pem, issuer_pem, key_pem);

        ck_assert_msg(import(name, all) == CAUSE_NONE, "%s", answer_cause.text);
}

static size_t key_count(void)
{
        json_t *list = keys_list();
        size_t count = json_array_size(list);

        json_decref(list);
        return count;
}

START_TEST(stored_shown_and_found_again)
{
        scoped(scoped_free) char *path = folder_path("keys/plant.pem");
        struct stat st;

        import_client("plant");
        ck_assert_uint_eq(changes, 1);
        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_uint_eq(st.st_mode & 0777, 0600);
        for (int i = 0; i < 2; i++) {
                json_t *list = keys_list();
                scoped(scoped_free) char *text = json_dumps(list, 0);
                const json_t *key = json_array_get(list, 0);
                ck_assert_uint_eq(json_array_size(list), 1);
                ck_assert_str_eq(json_string_value(json_object_get(key, "name")), "plant");
                ck_assert_int_eq(json_integer_value(json_object_get(key, "issuers")), 1);
                ck_assert(json_is_null(json_object_get(key, "fault")));
                ck_assert_ptr_null(strstr(text, "PRIVATE"));
                json_decref(list);
                keys_open(state_folder);
        }
        ck_assert_int_eq(delete ("plant"), CAUSE_NONE);
        ck_assert_int_ne(stat(path, &st), 0);
        ck_assert_uint_eq(key_count(), 0);
        ck_assert_uint_eq(changes, 2);
}
END_TEST

START_TEST(another_of_the_same_name_takes_its_place)
{
        struct pki other = pki_make(&(struct pki_spec){ .cn = "other" });
        scoped(scoped_free) char *pem = pki_pem(&other), *key = pki_key_pem(&other);
        scoped(scoped_free) char *both = text_of("%s%s", key, pem); /* in any order */

        import_client("plant");
        ck_assert_int_eq(import("plant", both), CAUSE_NONE);
        ck_assert_uint_eq(key_count(), 1);
        ck_assert_int_eq(json_integer_value(json_object_get(answer_json, "issuers")), 0);
        pki_free(&other);
}
END_TEST

static void refuse(const char *name, const char *pem, const char *said)
{
        ck_assert_int_eq(import(name, pem), CAUSE_INVALID);
        ck_assert_msg(strstr(answer_cause.text, said) != NULL, "%s", answer_cause.text);
        ck_assert_msg(answer_cause.remedy[0], "%s", answer_cause.text);
        ck_assert_ptr_null(answer_json);
        ck_assert_uint_eq(key_count(), 0);
        ck_assert_uint_eq(changes, 0);
}

START_TEST(what_does_not_fit_is_refused)
{
        struct pki other = pki_make(&(struct pki_spec){ .cn = "other" });
        scoped(scoped_free) char *other_key = pki_key_pem(&other);
        scoped(scoped_free) char *mixed = text_of("%s%s", client_pem, other_key);
        scoped(scoped_free) char *whole = text_of("%s%s", client_pem, key_pem);
        scoped(scoped_free) char *broken =
                text_of("%s-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", client_pem);

        refuse("plant", "", "neither");
        refuse("plant", "words", "neither");
        refuse("plant", client_pem, "no private key");
        refuse("plant", key_pem, "no certificate");
        refuse("plant", mixed, "not that of its first certificate");
        refuse("plant", broken, "malformed");
        refuse("plant", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "malformed");
        answer_cause.remedy[0] = '\0';
        static const char *const names[] = { "", "..", "../x", "a/b", ".hidden", "a b", "\xc3\xa9" };
        for (size_t i = 0; i < count_of(names); i++)
                ck_assert_int_eq(import(names[i], whole), CAUSE_INVALID);
        ck_assert_uint_eq(key_count(), 0);
        pki_free(&other);
}
END_TEST

START_TEST(too_large)
{
        char *large = new_zeroed(1, LIMIT_SECRET + 2);

        memset(large, '\n', LIMIT_SECRET + 1);
        ck_assert_int_eq(import("plant", large), CAUSE_TOO_LARGE);
        ck_assert_uint_eq(key_count(), 0);
        free(large);
}
END_TEST

START_TEST(a_disk_that_fails_changes_nothing)
{
        disk_fault = "the disk is full";
        scoped(scoped_free) char *all = text_of("%s%s", client_pem, key_pem);
        ck_assert_int_eq(import("plant", all), CAUSE_STORAGE);
        ck_assert_uint_eq(key_count(), 0);
        disk_fault = NULL;
        import_client("plant");
        disk_fault = "the disk has gone";
        ck_assert_int_eq(delete ("plant"), CAUSE_STORAGE);
        ck_assert_uint_eq(key_count(), 1);
        ck_assert_uint_eq(changes, 1);
}
END_TEST

START_TEST(a_broken_file_is_a_fault_of_its_own)
{
        struct cause cause = { 0 };
        SSL_CTX *context = SSL_CTX_new(TLS_client_method());
        SSL *ssl = SSL_new(context);

        import_client("plant");
        folder_write("keys/broken.pem", "words", 5);
        folder_write("keys/.hidden.pem", "words", 5);
        folder_write("keys/notes.txt", "words", 5);
        folder_write("keys/.pem", "words", 5);
        keys_open(state_folder);
        ck_assert_uint_eq(key_count(), 2);
        ck_assert_msg(keys_use(ssl, "plant", &cause) == 0, "%s", cause.text);
        ck_assert(X509_cmp(SSL_get_certificate(ssl), client.x509) == 0);
        ck_assert_int_eq(keys_use(ssl, "broken", &cause), -1);
        ck_assert_int_eq(cause.code, CAUSE_SECRET);
        ck_assert_ptr_nonnull(strstr(cause.text, "client certificate broken: "));
        ck_assert_int_eq(keys_use(ssl, "unknown", &cause), -1);
        ck_assert_ptr_nonnull(strstr(cause.remedy, "trust key import unknown"));
        ck_assert_int_eq(delete ("broken"), CAUSE_NONE);
        ck_assert_int_eq(delete ("broken"), CAUSE_NOT_FOUND);
        ck_assert_uint_eq(key_count(), 1);
        SSL_free(ssl);
        SSL_CTX_free(context);
}
END_TEST

START_TEST(closed_while_it_is_written)
{
        scoped(scoped_free) char *all = text_of("%s%s", client_pem, key_pem);

        answered = false;
        keys_import("plant", (const uint8_t *)all, strlen(all), on_answer, NULL);
        keys_close();
        await_answer();
        ck_assert_uint_eq(key_count(), 0);
        ck_assert_uint_eq(changes, 0);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("keys");
        TCase *tests = tcase_create("keys");

        tcase_add_checked_fixture(tests, setup, teardown);
        tcase_add_test(tests, stored_shown_and_found_again);
        tcase_add_test(tests, another_of_the_same_name_takes_its_place);
        tcase_add_test(tests, what_does_not_fit_is_refused);
        tcase_add_test(tests, too_large);
        tcase_add_test(tests, a_disk_that_fails_changes_nothing);
        tcase_add_test(tests, a_broken_file_is_a_fault_of_its_own);
        tcase_add_test(tests, closed_while_it_is_written);
        suite_add_tcase(suite, tests);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? 1 : 0;
}
