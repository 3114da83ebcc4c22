/* SPDX-License-Identifier: MIT */
/*
 * emailsec-mime.so: messages made and read by GMime. Nothing here is used by the daemon, and a
 * message's bytes are only ever data. These files depend on nothing of ours but mime.h, so that the object
 * can be loaded into any program. Here is its one entry; the work is in mime_compose.c and mime_view.c.
 */
#include "ctl/mime_part.h"

__attribute__((visibility("default"))) const struct mime_functions *emailsec_mime(void)
{
        static const struct mime_functions functions = {
                .version = MIME_VERSION,
                .compose = mime_compose,
                .view = mime_view,
                .view_done = mime_view_done,
                .decode = mime_decode,
        };
        static bool started;
        if (!started)
                g_mime_init();
        started = true;
        return &functions;
}
