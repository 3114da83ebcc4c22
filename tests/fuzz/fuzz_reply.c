/* SPDX-License-Identifier: MIT */
/* Replies of an SMTP server, read as answers to EHLO too. */
#include "common/names.h"
#include "daemon/smtp/capabilities.h"
#include "daemon/smtp/reply.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct reply reply;
        struct cause cause = { 0 };
        struct smtp_capabilities can = { 0 };
        enum reply_result result = REPLY_MORE;
        char words[200];

        if (reply_foreign(data, size, &cause) < 0)
                fuzz_must(cause.code != CAUSE_NONE);
        reply_init(&reply);
        for (const uint8_t *at = data, *end = data + size; at < end && result != REPLY_BAD;) {
                const uint8_t *lf = memchr(at, '\n', (size_t)(end - at));
                scoped(scoped_free) char *line = copy_bytes((const char *)at, (size_t)((lf ? lf : end) - at));
                result = reply_feed(&reply, line, strlen(line), &cause);
                fuzz_must(reply.lines <= LIMIT_REPLY_LINES && reply.text.len <= LIMIT_REPLY);
                fuzz_must(result == REPLY_BAD || (reply.code >= 200 && reply.code < 600));
                reply_words(&reply, words, sizeof words);
                fuzz_must(text_is_clean(words));
                if (result == REPLY_DONE)
                        smtp_capabilities_read(&can, &reply);
                at = lf ? lf + 1 : end;
        }
        reply_done(&reply);
        return 0;
}
