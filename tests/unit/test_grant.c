/* SPDX-License-Identifier: MIT */
/* OAuth without a network: the answer of a token endpoint cut at every byte and at odd ones, forms,
 * assertions, refusals. */
#include "daemon/sasl/grant.c"
#include "daemon/sasl/http_post.c"

#include <check.h>

static const struct engine_channel in_clear, in_tls = { .tls = true };

static struct engine *post(void)
{
        struct http_place place;
        struct cause cause;

        ck_assert_int_eq(http_place_of("https://Login.example:8443/a/token?x=1", &place, &cause), 0);
        struct engine *engine = http_post_new(&place, "grant_type=x");
        http_place_done(&place);
        return engine;
}

/* ---- places ---- */

static const struct {
        const char *url, *host, *path;
        uint16_t port;
} places[] = {
        { "https://login.example/token", "login.example", "/token", 443 },
        { "HTTPS://Login.example:8443/a/b?c=d", "login.example", "/a/b?c=d", 8443 },
        { "https://[::1]:1", "::1", "/", 1 },
        { "https://login.example?x", "login.example", "/?x", 443 },
        { "http://login.example/", NULL, NULL, 0 },
        { "https:///x", NULL, NULL, 0 },
};

START_TEST(places_of_urls)
{
        struct http_place place = { 0 };
        struct cause cause = { 0 };
        int result = http_place_of(places[_i].url, &place, &cause);

        ck_assert_int_eq(result, places[_i].host ? 0 : -1);
        if (result < 0)
                return;
        ck_assert_str_eq(place.host, places[_i].host);
        ck_assert_str_eq(place.path, places[_i].path);
        ck_assert_uint_eq(place.port, places[_i].port);
        http_place_done(&place);
}
END_TEST

/* ---- the exchange ---- */

START_TEST(nothing_goes_out_in_clear)
{
        struct engine *engine = post();

        engine->class->start(engine, &in_clear);
        ck_assert_int_eq(engine->state, ENGINE_FAILED);
        ck_assert_uint_eq(engine->out.len, 0);
        engine->class->free(engine);
}
END_TEST

START_TEST(the_request)
{
        static const char said[] =
                "POST /a/token?x=1 HTTP/1.1\r\nHost: Login.example:8443\r\nUser-Agent: emailsecd/" VERSION
                "\r\nAccept: application/json\r\nContent-Type: application/x-www-form-urlencoded\r\n"
                "Content-Length: 12\r\nConnection: close\r\n\r\ngrant_type=x";
        struct engine *engine = post();

        engine->class->start(engine, &in_tls);
        ck_assert_uint_eq(engine->out.len, strlen(said));
        ck_assert(memcmp(buf_bytes(&engine->out), said, strlen(said)) == 0);
        engine->class->free(engine);
}
END_TEST

#define OK "HTTP/1.1 200 OK\r\n"
static const struct {
        const char *answer;
        bool closes; /* the server closes behind it */
        enum engine_state state;
        const char *body; /* or words of the cause */
} answers[] = {
        { OK "Content-Length: 2\r\n\r\n{}", false, ENGINE_ENDED, "{}" },
        { OK "content-length:2 \r\nX: y\r\n\r\n{}", false, ENGINE_ENDED, "{}" },
        { OK "\r\n{\"a\":1}", true, ENGINE_ENDED, "{\"a\":1}" },
        { OK "Content-Length: 0\r\n\r\n", false, ENGINE_ENDED, "" },
        { "HTTP/1.0 204 No\r\n\r\n", false, ENGINE_ENDED, "" },
        { "HTTP/1.1 100 Continue\r\n\r\n" OK "Content-Length: 1\r\n\r\nx", false, ENGINE_ENDED, "x" },
        { OK "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;e=1\r\n0123456789\r\n0\r\nT: x\r\n\r\n", false,
          ENGINE_ENDED, "abc0123456789" },
        { OK "Transfer-Encoding: Chunked\r\nContent-Length: 99\r\n\r\n0\r\n\r\n", false, ENGINE_ENDED, "" },
        { OK "Content-Length: 3\r\n\r\n{}", true, ENGINE_FAILED, "before its answer was whole" },
        { OK "Content-Le", true, ENGINE_FAILED, "before its answer was whole" },
        { "", true, ENGINE_FAILED, "before its answer was whole" },
        { OK "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n", false, ENGINE_FAILED,
          "longer than its size" },
        { OK "Transfer-Encoding: chunked\r\n\r\nx\r\n", false, ENGINE_FAILED, "no sense" },
        { OK "Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFF\r\n", false, ENGINE_FAILED, "no sense" },
        { OK "Transfer-Encoding: gzip, chunked\r\n\r\n", false, ENGINE_FAILED, "not asked for" },
        { OK "Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\n", false, ENGINE_FAILED, "not asked for" },
        { OK "Content-Length: -1\r\n\r\n", false, ENGINE_FAILED, "no sense" },
        { OK "Content-Length: 65537\r\n\r\n", false, ENGINE_FAILED, "no sense" },
        { OK "Content-Length: 1 2\r\n\r\n", false, ENGINE_FAILED, "no sense" },
        { "HTTP/1.1 302 Found\r\nLocation: https://x.example/\r\n\r\n", false, ENGINE_FAILED, "x.example" },
        { "HTTP/2 200\r\n", false, ENGINE_FAILED, "does not speak HTTP" },
        { "220 mail.example ESMTP\r\n", false, ENGINE_FAILED, "does not speak HTTP" },
        { "HTTP/1.1 20 OK\r\n", false, ENGINE_FAILED, "does not speak HTTP" },
};

/* All at once, byte by byte, and cut in two at every place. */
START_TEST(answers_however_they_are_split)
{
        const char *answer = answers[_i].answer;
        size_t len = strlen(answer);

        for (size_t cut = 0; cut <= len + 1; cut++) {
                struct engine *engine = post();
                engine->class->start(engine, &in_tls);
                if (cut <= len) {
                        engine->class->received(engine, (const uint8_t *)answer, cut);
                        engine->class->received(engine, (const uint8_t *)answer + cut, len - cut);
                } else {
                        for (size_t i = 0; i < len; i++)
                                engine->class->received(engine, (const uint8_t *)answer + i, 1);
                }
                if (answers[_i].closes)
                        engine->class->closed(engine);
                ck_assert_msg(engine->state == answers[_i].state, "cut at %zu: %d, %s", cut,
                              (int)engine->state, engine->cause->text);
                struct http_answer heard = http_post_answer(engine);
                if (engine->state == ENGINE_FAILED) {
                        ck_assert_msg(strstr(engine->cause->text, answers[_i].body) != NULL, "%s",
                                      engine->cause->text);
                } else {
                        ck_assert_uint_eq(heard.len, strlen(answers[_i].body));
                        ck_assert(memcmp(heard.len ? (const char *)heard.body : "", answers[_i].body,
                                         heard.len) == 0);
                }
                engine->class->free(engine);
        }
}
END_TEST

static void feed_many(struct engine *engine, const char *text, size_t times)
{
        for (size_t i = 0; i < times && !engine_is_over(engine); i++)
                engine->class->received(engine, (const uint8_t *)text, strlen(text));
}

START_TEST(everything_is_bounded)
{
        static const char *const endless[] = { "X: y\r\n", "x", "HTTP/1.1 100 Continue\r\n\r\n",
                                               "xxxxxxxxxxxxxxxx" };
        struct engine *engine = post();

        engine->class->start(engine, &in_tls);
        feed_many(engine, OK, _i == 0 || _i == 3);
        feed_many(engine, "\r\n", _i == 3);
        feed_many(engine, endless[_i], 1000000);
        ck_assert_int_eq(engine->state, ENGINE_FAILED);
        ck_assert_uint_le(http_post_answer(engine).len, BODY_MOST);
        engine->class->free(engine);
}
END_TEST

/* ---- forms ---- */

START_TEST(forms)
{
        static const struct {
                struct grant_request request;
                const char *form;
        } cases[] = {
                { { .client_id = "i", .scope = "a b", .refresh_token = "r+/=" },
                  "grant_type=refresh_token&refresh_token=r%2B%2F%3D&client_id=i&scope=a+b" },
                { { .client_id = "i", .client_secret = "\xC3\xA4&", .scope = "" },
                  "grant_type=client_credentials&client_id=i&client_secret=%C3%A4%26" },
                { { .client_id = "i", .client_secret = "s", .scope = "s", .device_code = "d" },
                  "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code&device_code=d&client_id="
                  "i&client_secret=s" },
                { { .client_id = "i", .client_secret = "s", .scope = "s", .ask_device = true },
                  "client_id=i&scope=s" },
                { { .client_id = "i", .scope = "s", .assertion = "x.y.z" },
                  "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=x.y.z" },
        };
        for (size_t i = 0; i < count_of(cases); i++) {
                char *form = grant_form(&cases[i].request);
                ck_assert_str_eq(form, cases[i].form);
                free_secret(form);
        }
}
END_TEST

START_TEST(assertions)
{
        char *text = grant_assertion("RS256", "me", "ann@b.example", "https://t.example/", "s", 1000);

        ck_assert_str_eq(
                text,
                "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9."
                "eyJpc3MiOiJtZSIsInN1YiI6ImFubkBiLmV4YW1wbGUiLCJhdWQiOiJodHRwczovL3QuZXhhbXBsZS8iLCJzY29wZSI6"
                "InMiLCJpYXQiOjEwMDAsImV4cCI6MTYwMH0");
        free(text);
        text = base64url_encode("\xFF\xEF\xFE", 3);
        ck_assert_str_eq(text, "_-_-");
        free(text);
}
END_TEST

/* ---- what it means ---- */

static enum grant_result read_text(unsigned status, const char *body, bool device, struct grant_answer *out,
                                   struct cause *cause)
{
        struct http_answer answer = { .status = status, .body = (const uint8_t *)body, .len = strlen(body) };
        struct grant_request request = { .client_secret = "geheim",
                                         .refresh_token = "alte",
                                         .ask_device = device };

        return grant_read(&answer, &request, out, cause);
}

static const struct {
        unsigned status;
        const char *body;
        bool device;
        enum grant_result result;
        enum cause_code code;
        const char *words;
} meanings[] = {
        { 200, "{\"access_token\":\"t\",\"expires_in\":\"60\",\"refresh_token\":\"r\"}", false, GRANT_GIVEN,
          0, NULL },
        { 200, "{\"access_token\":\"\"}", false, GRANT_REFUSED, CAUSE_PROTOCOL, "no access token" },
        { 200, "{\"access_token\":7}", false, GRANT_REFUSED, CAUSE_PROTOCOL, "no access token" },
        { 200, "{\"access_token\":\"a\\r\\nb\"}", false, GRANT_REFUSED, CAUSE_PROTOCOL, "no token has" },
        { 200, "{\"access_token\":\"t\\u00f6ken\"}", false, GRANT_REFUSED, CAUSE_PROTOCOL, "no token has" },
        { 200, "[]", false, GRANT_REFUSED, CAUSE_PROTOCOL, "no access token" },
        { 200, "", false, GRANT_REFUSED, CAUSE_PROTOCOL, "no JSON" },
        { 200, "{\"error\":\"access_denied\"}", false, GRANT_REFUSED, CAUSE_AUTHENTICATION, "said no" },
        { 200, "{\"device_code\":\"d\",\"user_code\":\"u\",\"verification_url\":\"v\"}", true, GRANT_GIVEN, 0,
          NULL },
        { 200, "{\"device_code\":\"d\",\"user_code\":\"u\"}", true, GRANT_REFUSED, CAUSE_PROTOCOL,
          "type in" },
        { 400, "{\"error\":\"authorization_pending\"}", false, GRANT_PENDING, 0, NULL },
        { 400, "{\"error\":\"slow_down\"}", false, GRANT_SLOW_DOWN, 0, NULL },
        { 400, "{\"error\":\"invalid_grant\",\"error_description\":\"alte is old\"}", false, GRANT_REFUSED,
          CAUSE_AUTHENTICATION, "left out" },
        { 400, "{\"error\":\"invalid_grant\",\"error_description\":\"refresh_token=%61l%74e&x\"}", false,
          GRANT_REFUSED, CAUSE_AUTHENTICATION, "left out" },
        { 400, "{\"error\":\"geheim\"}", false, GRANT_REFUSED, CAUSE_AUTHENTICATION, "left out" },
        { 400, "{\"error\":[1]}", false, GRANT_REFUSED, CAUSE_AUTHENTICATION, "no OAuth error" },
        { 503, "oops", false, GRANT_REFUSED, CAUSE_AUTH_TEMPORARY, "503" },
        { 429, "", false, GRANT_REFUSED, CAUSE_AUTH_TEMPORARY, "429" },
        { 404, "", false, GRANT_REFUSED, CAUSE_AUTHENTICATION, "404" },
};

START_TEST(meanings_of_answers)
{
        struct grant_answer out;
        struct cause cause = { 0 };

        ck_assert_int_eq(read_text(meanings[_i].status, meanings[_i].body, meanings[_i].device, &out, &cause),
                         meanings[_i].result);
        ck_assert_int_eq(cause.code, meanings[_i].code);
        if (meanings[_i].words)
                ck_assert_msg(strstr(cause.text, meanings[_i].words) != NULL, "%s", cause.text);
        ck_assert_ptr_null(strstr(cause.text, "geheim"));
        if (_i == 0)
                ck_assert_int_eq(out.expires_in, 60);
        grant_answer_done(&out);
}
END_TEST

START_TEST(sources)
{
        struct property_values values;
        struct grant_source source;

        properties_defaults(&values, KIND_OUTGOING);
        prop_put_text(&values, PROP_OAUTH_PROVIDER, "microsoft");
        grant_source_of(&values, &source);
        ck_assert_str_eq(source.token_url, "https://login.microsoftonline.com/common/oauth2/v2.0/token");
        ck_assert_str_eq(source.scope, "https://outlook.office.com/SMTP.Send offline_access");
        grant_source_done(&source);
        prop_put_text(&values, PROP_OAUTH_TENANT, "plant.example");
        prop_put_text(&values, PROP_OAUTH_GRANT, "clientCredentials");
        grant_source_of(&values, &source);
        ck_assert_str_eq(source.device_url,
                         "https://login.microsoftonline.com/plant.example/oauth2/v2.0/devicecode");
        ck_assert_str_eq(source.scope, "https://outlook.office365.com/.default");
        grant_source_done(&source);
        properties_done(&values);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("grant");
        TCase *tc = tcase_create("oauth");
        SRunner *runner = srunner_create(suite);

        tcase_add_loop_test(tc, places_of_urls, 0, (int)count_of(places));
        tcase_add_test(tc, nothing_goes_out_in_clear);
        tcase_add_test(tc, the_request);
        tcase_add_loop_test(tc, answers_however_they_are_split, 0, (int)count_of(answers));
        tcase_add_loop_test(tc, everything_is_bounded, 0, 4);
        tcase_add_test(tc, forms);
        tcase_add_test(tc, assertions);
        tcase_add_loop_test(tc, meanings_of_answers, 0, (int)count_of(meanings));
        tcase_add_test(tc, sources);
        suite_add_tcase(suite, tc);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
