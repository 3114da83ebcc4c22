/* SPDX-License-Identifier: MIT */
/* The journal: what the daemon tells it is in the history. */
#define SD_JOURNAL_SUPPRESS_LOCATION
#include "tests/simulator/kernel.h"

#include <sys/uio.h>
#include <systemd/sd-journal.h>

static const struct iovec *field(const struct iovec *iov, int count, const char *name)
{
        size_t len = strlen(name);

        for (int i = 0; i < count; i++)
                if (iov[i].iov_len > len && memcmp(iov[i].iov_base, name, len) == 0)
                        return &iov[i];
        return NULL;
}

/* As on a terminal: "<4>account a: words". */
int sd_journal_sendv(const struct iovec *iov, int count)
{
        static const char said[] = "MESSAGE=", grade[] = "PRIORITY=", whose[] = "ACCOUNT=";
        const struct iovec *message = field(iov, count, said), *priority = field(iov, count, grade),
                           *account = field(iov, count, whose);
        char line[2048];

        int len =
                snprintf(line, sizeof line, "<%.*s>%s%.*s%s%.*s", priority ? 1 : 0,
                         priority ? (const char *)priority->iov_base + sizeof grade - 1 : "",
                         account ? "account " : "", account ? (int)(account->iov_len - sizeof whose + 1) : 0,
                         account ? (const char *)account->iov_base + sizeof whose - 1 : "",
                         account ? ": " : "", message ? (int)(message->iov_len - sizeof said + 1) : 0,
                         message ? (const char *)message->iov_base + sizeof said - 1 : "");
        history_lines("daemon", line, (size_t)len < sizeof line ? (size_t)len : sizeof line - 1);
        return 0;
}
