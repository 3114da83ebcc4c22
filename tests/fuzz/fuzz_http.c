/* SPDX-License-Identifier: MIT */
/* The answer of a token endpoint: whole and in pieces as the first byte says, the same comes of it; then as
 * OAuth. */
#include "daemon/sasl/grant.h"
#include "fuzz.h"

static struct chat *take_answer(const uint8_t *data, size_t size, size_t piece)
{
        static const struct chat_channel channel = { .tls = true };
        static char host[] = "login.example", path[] = "/token";
        const struct http_place place = { .host = host, .port = 443, .authority = host, .path = path };
        struct chat *chat = http_post_new(&place, "grant_type=x");

        chat->class->start(chat, &channel);
        for (size_t at = 0; at < size && !chat_is_over(chat); at += piece)
                chat->class->received(chat, data + at, size - at < piece ? size - at : piece);
        chat->class->closed(chat);
        fuzz_must(chat->state == CHAT_ENDED || chat->state == CHAT_FAILED);
        return chat;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        if (!size)
                return 0;
        struct chat *whole = take_answer(data + 1, size - 1, size),
                    *pieces = take_answer(data + 1, size - 1, data[0] % 16 + 1U);
        struct http_answer one = http_post_answer(whole), other = http_post_answer(pieces);
        struct grant_request request = { .client_secret = "x", .ask_device = data[0] & 0x80 };
        struct grant_answer out;
        struct cause cause = { 0 };

        fuzz_must(whole->state == pieces->state);
        if (whole->state == CHAT_ENDED) {
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
