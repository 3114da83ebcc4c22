/* SPDX-License-Identifier: MIT */
/* A message as send and sendmail take it: looked at as text, its recipients, and encoded anew where it must be. What comes
 * out can be carried, and shows no less than what went in. */
#include "ctl/letter.h"
#include "ctl/mime.h"
#include "fuzz.h"

#include <jansson.h>
#include <sys/mman.h>
#include <unistd.h>

static void show(const struct mime_functions *mime, const void *bytes, size_t len)
{
        struct mime_view view = { 0 };
        char error[256];
        int fd = memfd_create("letter", MFD_CLOEXEC);

        fuzz_must(fd >= 0 && write(fd, bytes, len) == (ssize_t)len && lseek(fd, 0, SEEK_SET) == 0);
        if (mime->view(fd, &view, error) == 0)
                mime->view_done(&view);
        (void)close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const struct mime_functions *mime;
        const char *bytes = (const char *)data;
        struct letter_facts facts;
        struct cause cause = { 0 };
        char error[256];

        if (!mime)
                mime = emailsec_mime();
        json_t *recipients = json_array();
        (void)letter_has_header(bytes, size);
        (void)!letter_recipients(bytes, size, "example.net", recipients, &cause);
        json_decref(recipients);
        letter_look(bytes, size, &facts);
        if (letter_needs_encoding(&facts) && letter_check_sealed(&facts, &cause) == 0) {
                char *out = NULL;
                size_t out_len = 0;
                if (mime->encode(bytes, size, &out, &out_len, error) == 0) {
                        struct letter_facts after;
                        letter_look(out, out_len, &after);
                        fuzz_must(!after.long_line && !after.nul_line);
                }
                free(out);
        }
        show(mime, data, size);
        return 0;
}
