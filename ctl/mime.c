/* SPDX-License-Identifier: MIT */
/*
 * emailsec-mime.so: messages made, and fields read, by GMime. Nothing here is used by the daemon, and a
 * message's bytes are only ever data. These files depend on nothing of ours but mime.h, so that the object
 * can be loaded into any program. Here is its one entry; the work is in mime_compose.c.
 */
#include "ctl/mime_part.h"

/* An encoded word is ASCII (RFC 2047 section 2). Of one that is not, GMime would leave out the other bytes
 * and show nonsense: it is shown as it stands. */
static bool words_are_ascii(const char *value)
{
        for (const char *word = strstr(value, "=?"); word; word = strstr(word, "=?"))
                for (word += 2; *word && !strchr(" \t\r\n\"", *word); word++)
                        if (*word & 0x80)
                                return false;
        return true;
}

static char *mime_decode(const char *value)
{
        char *text = words_are_ascii(value) ? g_mime_utils_header_decode_text(NULL, value) : g_strdup(value);
        char *out = own_copy(text);
        g_free(text);
        return out;
}

__attribute__((visibility("default"))) const struct mime_functions *emailsec_mime(void)
{
        static const struct mime_functions functions = {
                .version = MIME_VERSION,
                .compose = mime_compose,
                .decode = mime_decode,
        };
        static bool started;
        if (!started)
                g_mime_init();
        started = true;
        return &functions;
}
