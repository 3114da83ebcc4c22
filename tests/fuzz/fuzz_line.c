/* SPDX-License-Identifier: MIT */
/* Lines of a mail server: the same ones whatever the portions they come in. */
#include "daemon/wire/chat.h"
#include "fuzz.h"

static void take_lines(const uint8_t *data, size_t size, size_t portion, struct buf *lines)
{
        static const struct chat_step steps[CHAT_FIRST_STEP + 1];
        static const struct chat_class class;
        struct chat chat;
        const char *line;
        ssize_t len;

        chat_init(&chat, &class, steps, 100);
        for (size_t at = 0; at < size && chat.state != CHAT_FAILED; at += portion) {
                if (chat_feed(&chat, data + at, size - at < portion ? size - at : portion) < 0)
                        break;
                while ((len = chat_next_line(&chat, &line)) >= 0) {
                        fuzz_must(len <= 100 && !memchr(line, '\n', (size_t)len) && line[len] == '\0');
                        fuzz_append(lines, line, (size_t)len);
                        fuzz_append(lines, "\n", 1);
                }
        }
        chat_done(&chat);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct buf few = BUF_WITH_MAX(64 * MIB), many = BUF_WITH_MAX(64 * MIB);

        take_lines(data, size, 16 * KIB, &few);
        take_lines(data, size, 1, &many);
        fuzz_must(fuzz_same(&few, &many));
        buf_free(&few);
        buf_free(&many);
        return 0;
}
