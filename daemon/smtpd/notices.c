/* SPDX-License-Identifier: MIT */
/* Lines about clients, so many a minute; see notices.h. */
#include "daemon/smtpd/notices.h"

#include "daemon/journal.h"
#include "daemon/loop.h"

enum { NOTICES = 20, NOTICES_MS = 60 * 1000 };

static struct {
        struct timer *minute; /* NULL: closed */
        unsigned told, more;
} notices;

static void tell_more(unused_arg void *ctx)
{
        if (notices.more)
                log_about(NULL, LOG_NOTICE, NULL, "%u more notices about SMTP clients within %d s",
                          notices.more, NOTICES_MS / 1000);
        notices.told = notices.more = 0;
}

void notices_open(void)
{
        notices.minute = timer_new(tell_more, NULL);
}

void notices_close(void)
{
        tell_more(NULL);
        timer_free(take(notices.minute));
}

void notices_tell(const char *format, ...)
{
        va_list args;

        if (!notices.minute)
                return;
        if (!timer_is_set(notices.minute))
                timer_set(notices.minute, NOTICES_MS);
        if (notices.told >= NOTICES) {
                notices.more++;
                return;
        }
        notices.told++;
        va_start(args, format);
        scoped(scoped_free) char *text = text_of_list(format, args);
        va_end(args);
        log_about(NULL, LOG_NOTICE, NULL, "%s", text);
}
