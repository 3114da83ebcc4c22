/* SPDX-License-Identifier: MIT */
/* The answer of a token endpoint: whole and in pieces as the first byte says, the same comes of it; then as
 * OAuth. */
#include "daemon/sasl/grant.h"
#include "fuzz.h"

static struct engine *take_answer(const uint8_t *data, size_t size, size_t piece)
{
        static const struct engine_channel channel = { .tls = true };
        static char host[] = "login.example", path[] = "/token";
        const struct http_place place = { .host = host, .port = 443, .authority = host, .path = path };
        struct engine *engine = http_post_new(&place, "grant_type=x");

        engine->class->start(engine, &channel);
        for (size_t at = 0; at < size && !engine_is_over(engine); at += piece)
                engine->class->received(engine, data + at, size - at < piece ? size - at : piece);
        engine->class->closed(engine);
        fuzz_must(engine->state == ENGINE_ENDED || engine->state == ENGINE_FAILED);
        return engine;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        if (!size)
                return 0;
        struct engine *whole = take_answer(data + 1, size - 1, size),
                      *pieces = take_answer(data + 1, size - 1, data[0] % 16 + 1U);
        struct http_answer one = http_post_answer(whole), other = http_post_answer(pieces);
        struct grant_request request = { .client_secret = "x", .ask_device = data[0] & 0x80 };
        struct grant_answer out;
        struct cause cause = { 0 };

        fuzz_must(whole->state == pieces->state);
        if (whole->state == ENGINE_ENDED) {
                fuzz_must(one.status == other.status && one.len == other.len &&
                          (!one.len || memcmp(one.body, other.body, one.len) == 0));
                enum grant_result result = grant_read(&one, &request, &out, &cause);
                fuzz_must(result != GRANT_GIVEN ||
                          (request.ask_device ? out.device_code : out.access_token) != NULL);
                fuzz_must((result == GRANT_REFUSED) == (cause.code != CAUSE_NONE));
                grant_answer_done(&out);
        }
        whole->class->free(whole);
        pieces->class->free(pieces);
        return 0;
}
