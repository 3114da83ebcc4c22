/* SPDX-License-Identifier: MIT */
/* What speaks against this machine's clock; see clock_doubt.h. */
#include "daemon/tls/clock_doubt.h"

#include "common/times.h"

#include <ctype.h>
#include <stdio.h>

enum {
        FAR = 24 * 3600,               /* seconds by which clocks do not differ by accident */
        LATELY_MS = 2 * 3600 * 1000,
};

/* The last two servers that failed by dates, with no good one since. */
static struct failed {
        char host[256];
        uint16_t port;
        int64_t at; /* loop_now(); 0: none */
} failed[2];

static bool is_of(const struct failed *one, const char *host, uint16_t port)
{
        return one->at && one->port == port && strcmp(one->host, host) == 0;
}

void clock_doubt_failed(const char *host, uint16_t port, int64_t now_ms)
{
        if (!is_of(&failed[0], host, port))
                failed[1] = failed[0];
        failed[0] = (struct failed){ .port = port, .at = now_ms ? now_ms : 1 };
        (void)snprintf(failed[0].host, sizeof failed[0].host, "%s", host);
}

void clock_doubt_verified(void)
{
        clock_doubt_was_set();
}

void clock_doubt_was_set(void)
{
        memset(failed, 0, sizeof failed);
}

static bool others_fail_too(const char *host, uint16_t port, int64_t now_ms)
{
        for (size_t i = 0; i < count_of(failed); i++)
                if (failed[i].at && !is_of(&failed[i], host, port) && now_ms - failed[i].at < LATELY_MS)
                        return true;
        return false;
}

void clock_doubt(time_t now, int64_t now_ms, time_t server, time_t verified, const char *host, uint16_t port, char *out,
                 size_t size)
{
        char when[32];

        out[0] = '\0';
        if (now < (time_t)BUILT)
                (void)snprintf(out, size, "before emailsecd was built");
        else if (verified && now < verified - FAR)
                (void)snprintf(out, size, "before a time at which a server was verified here");
        else if (server && (server - now > FAR || now - server > FAR)) {
                time_rfc3339(server, when);
                (void)snprintf(out, size, "the server's %s", when);
        } else if (others_fail_too(host, port, now_ms))
                (void)snprintf(out, size, "and other servers fail by date too");
}

static time_t time_at(const char *words)
{
        struct tm parts = { 0 };
        const char *end = strptime(words, "%d %b %Y %H:%M:%S %z", &parts);
        long zone = parts.tm_gmtoff;

        return end ? timegm(&parts) - zone : 0;
}

time_t clock_doubt_time_in(const char *words)
{
        for (const char *at = words; *at; at++) {
                bool starts = isdigit((unsigned char)*at) && (at == words || !isalnum((unsigned char)at[-1]));
                time_t found = starts ? time_at(at) : 0;
                if (found > 0)
                        return found;
        }
        return 0;
}
