/* SPDX-License-Identifier: MIT */
/* Messages as the tool encodes them, one after the other: "LENGTH\n" and the bytes come in; "ok LENGTH\n" and
 * the message, or "no LENGTH\n" and the sentence of the refusal, go out. An argument: 7bit or 8bitmime, as
 * sendmail's -B. */
#include "ctl/encode.h"
#include "ctl/draft.h"

#include <stdio.h>
#include <strings.h>

int main(int argc, char **argv)
{
        const char *word = argc > 1 ? argv[1] : "";
        enum encode_body body = !strcasecmp(word, "7bit")       ? BODY_7BIT
                                : !strcasecmp(word, "8bitmime") ? BODY_8BITMIME
                                                                : BODY_ENCODED;
        size_t len;
        while (scanf("%zu", &len) == 1 && getchar() == '\n') {
                struct cause cause = { 0 };
                struct buf letter = BUF_WITH_MAX((size_t)1 << 30), out = letter;
                uint8_t *room = buf_room(&letter, len + 1);
                if (!room || fread(room, 1, len, stdin) != len)
                        return EXIT_FAILURE;
                buf_grown(&letter, len);
                int failed = draft_mend(&letter, &cause) ||
                             encode_draft((const char *)buf_bytes(&letter), letter.len, body, &out, &cause);
                size_t made = failed ? strlen(cause.text) : out.len;
                printf("%s %zu\n", failed ? "no" : "ok", made);
                fwrite(failed ? (const void *)cause.text : buf_bytes(&out), 1, made, stdout);
                fflush(stdout);
                buf_free(&letter);
                buf_free(&out);
        }
        return EXIT_SUCCESS;
}
