/* SPDX-License-Identifier: MIT */
/* The server's side of SCRAM-SHA-256: the exchange of RFC 7677, a client of GNU SASL, and clients that are
 * none. */
#include "daemon/sasl/scram_server.h"

#include "common/json_fields.h"

#include <check.h>
#include <gsasl.h>

static int on_property(Gsasl *library, Gsasl_session *session, Gsasl_property property)
{
        (void)library;
        const char *const *words = gsasl_session_hook_get(session);
        int result = GSASL_NO_CALLBACK;

        if (property == GSASL_AUTHID)
                result = gsasl_property_set(session, property, words[0]);
        else if (property == GSASL_PASSWORD)
                result = gsasl_property_set(session, property, words[1]);
        return result;
}

/* 0: proven on both sides; 1: the server refused; 2: the client did. */
static int exchange(const char *user, const char *password, const char *known_password)
{
        const char *words[] = { user, password };
        Gsasl *library = NULL;
        Gsasl_session *session = NULL;
        struct scram_keys keys;
        char *said = NULL;
        size_t len = 0;

        ck_assert_int_eq(scram_keys_make(known_password, &keys, NULL), 0);
        ck_assert_int_eq(gsasl_init(&library), GSASL_OK);
        gsasl_callback_set(library, on_property);
        ck_assert_int_eq(gsasl_client_start(library, "SCRAM-SHA-256", &session), GSASL_OK);
        gsasl_session_hook_set(session, words);
        ck_assert_int_eq(gsasl_step(session, "", 0, &said, &len), GSASL_NEEDS_MORE);
        struct scram_server *server = scram_server_new((const uint8_t *)said, len);
        ck_assert(server && strcmp(scram_server_user(server), user) == 0);
        gsasl_free(said);
        const char *challenge = scram_server_challenge(server, &keys), *last = NULL;
        ck_assert_int_eq(gsasl_step(session, challenge, strlen(challenge), &said, &len), GSASL_NEEDS_MORE);
        int result = scram_server_proven(server, (const uint8_t *)said, len, &last) ? 0 : 1;
        gsasl_free(said);
        if (!result) {
                said = NULL;
                result = gsasl_step(session, last, strlen(last), &said, &len) == GSASL_OK ? 0 : 2;
                gsasl_free(said);
        }
        scram_server_free(server);
        gsasl_finish(session);
        gsasl_done(library);
        return result;
}

START_TEST(a_client_of_another_hand)
{
        ck_assert_int_eq(exchange("press", "s3cret", "s3cret"), 0);
        ck_assert_int_eq(exchange("press", "S3cret", "s3cret"), 1);
        ck_assert_int_eq(exchange("press", "\xc3\xa4 \xe2\x85\xa8", "\xc3\xa4 IX"),
                         0); /* by SASLprep the same */
}
END_TEST

START_TEST(passwords)
{
        struct scram_keys keys, others;

        ck_assert_int_eq(scram_keys_make("s3cret", &keys, NULL), 0);
        ck_assert(scram_keys_fit(&keys, "s3cret") && !scram_keys_fit(&keys, "s3cret ") &&
                  !scram_keys_fit(&keys, ""));
        ck_assert_int_eq(scram_keys_make("s3cret", &others, NULL), 0);
        ck_assert(memcmp(keys.salt, others.salt, SCRAM_SALT) != 0 &&
                  memcmp(keys.stored, others.stored, SCRAM_KEY) != 0);
        ck_assert_int_eq(scram_keys_make("", &keys, NULL), -1);
        ck_assert_int_eq(scram_keys_make("a\x01", &keys, NULL), -1);
}
END_TEST

START_TEST(nobody_is_always_the_same)
{
        struct scram_keys a, again, b;

        scram_keys_invent("a", &a);
        scram_keys_invent("a", &again);
        scram_keys_invent("b", &b);
        ck_assert(memcmp(&a, &again, sizeof a) == 0 && memcmp(a.salt, b.salt, SCRAM_SALT) != 0 &&
                  a.rounds == SCRAM_ROUNDS);
}
END_TEST

START_TEST(messages_that_are_none)
{
        static const char *const first[] = { "",
                                             "n",
                                             "n,",
                                             "n,,",
                                             "n,,n=a",
                                             "n,,n=,r=x",
                                             "n,,r=x,n=a",
                                             "p=tls-unique,,n=a,r=x",
                                             "x,,n=a,r=x",
                                             "n,a=b,n=a,r=x",
                                             "n,,n=a=2Cb,r=x",
                                             "n,,m=x,n=a,r=x",
                                             "n,,n=a,r=",
                                             "n,,n=a,r=x,y=z",
                                             "n,,n=a\n,r=x",
                                             "n,a=a" };
        static const char *const last[] = { "",
                                            "c=biws",
                                            "c=biws,r={n}",
                                            "c=biws,r={n},p=",
                                            "c=biws,r={n},p=!!",
                                            "c=biws,r=other,p=AAAA",
                                            "c=eSws,r={n},p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
                                            "c=biws,r={n},p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
                                            "c=biws,r={n},p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=,x=y",
                                            "r={n},c=biws,p=AAAA" };
        struct scram_keys keys;
        const char *said;

        for (size_t i = 0; i < count_of(first); i++)
                ck_assert_msg(!scram_server_new((const uint8_t *)first[i], strlen(first[i])), "%s", first[i]);
        struct scram_server *server = scram_server_new((const uint8_t *)"n,a=a,n=a,r=x", 13);
        ck_assert(server);
        ck_assert(!scram_server_proven(server, (const uint8_t *)"c=biws,r=x,p=AAAA", 17,
                                       &said)); /* too early */
        scram_keys_invent("a", &keys);
        scram_server_free(server);
        server = scram_server_new((const uint8_t *)"n,,n=a,r=x", 10);
        char *nonce = copy_text(scram_server_challenge(server, &keys) + 2);
        nonce[strcspn(nonce, ",")] = '\0';
        for (size_t i = 0; i < count_of(last); i++) {
                const char *mark = strstr(last[i], "{n}");
                char *text = mark ? text_of("%.*s%s%s", (int)(mark - last[i]), last[i], nonce, mark + 3)
                                  : copy_text(last[i]);
                ck_assert_msg(!scram_server_proven(server, (const uint8_t *)text, strlen(text), &said), "%s",
                              text);
                free(text);
        }
        free(nonce);
        scram_server_free(server);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("scram_server");
        TCase *tcase = tcase_create("scram_server");

        tcase_add_test(tcase, a_client_of_another_hand);
        tcase_add_test(tcase, passwords);
        tcase_add_test(tcase, nobody_is_always_the_same);
        tcase_add_test(tcase, messages_that_are_none);
        suite_add_tcase(suite, tcase);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
