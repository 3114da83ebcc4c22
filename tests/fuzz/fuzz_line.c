/* SPDX-License-Identifier: MIT */
/* Lines of a mail server: the same ones whatever the portions they come in. */
#include "daemon/wire/engine.h"
#include "fuzz.h"

static void take_lines(const uint8_t *data, size_t size, size_t portion, struct buf *lines)
{
        static const struct engine_step steps[ENGINE_FIRST_STEP + 1];
        static const struct engine_ops class;
        struct engine engine;
        const char *line;
        ssize_t len;

        engine_init(&engine, &class, steps, 100);
        for (size_t at = 0; at < size && engine.state != ENGINE_FAILED; at += portion) {
                if (engine_feed(&engine, data + at, size - at < portion ? size - at : portion) < 0)
                        break;
                while ((len = engine_next_line(&engine, &line)) >= 0) {
                        fuzz_must(len <= 100 && !memchr(line, '\n', (size_t)len) && line[len] == '\0');
                        fuzz_append(lines, line, (size_t)len);
                        fuzz_append(lines, "\n", 1);
                }
        }
        engine_done(&engine);
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
