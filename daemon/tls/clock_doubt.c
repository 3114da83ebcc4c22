/* SPDX-License-Identifier: MIT */
/* What speaks against this machine's clock; see clock_doubt.h. */
#include "daemon/tls/clock_doubt.h"

#include "common/times.h"

#include <stdio.h>

enum {
        FAR = 24 * 3600, /* seconds by which clocks do not differ by accident */
        LATELY_MS = 2 * 3600 * 1000,
        WITNESS_MS = 24 * 3600 * 1000,
};

/* The last two servers that failed by dates, with no good one since. */
static struct failed {
        char host[256];
        uint16_t port;
        int64_t at; /* loop_now(); 0: none */
} failed[2];

static int64_t failed_last; /* loop_now() of the last one, whatever was good since; 0: none */

/* The last who said what time it is, and the last by which it is no earlier than that. */
static struct witness {
        time_t said;
        int64_t at; /* loop_now(); said 0: none */
        char who[64];
} exactly, at_least;

static bool is_of(const struct failed *one, const char *host, uint16_t port)
{
        return one->at && one->port == port && strcmp(one->host, host) == 0;
}

void clock_doubt_failed(const char *host, uint16_t port, int64_t now_ms)
{
        if (!is_of(&failed[0], host, port))
                failed[1] = failed[0];
        failed_last = now_ms ? now_ms : 1;
        failed[0] = (struct failed){ .port = port, .at = now_ms ? now_ms : 1 };
        (void)snprintf(failed[0].host, sizeof failed[0].host, "%s", host);
}

void clock_doubt_verified(void)
{
        memset(failed, 0, sizeof failed);
}

void clock_doubt_was_set(void)
{
        memset(failed, 0, sizeof failed);
        failed_last = 0;
}

void clock_doubt_said(time_t said, bool no_earlier, const char *who, int64_t now_ms)
{
        struct witness *witness = no_earlier ? &at_least : &exactly;

        if (said <= 0)
                return;
        *witness = (struct witness){ .said = said, .at = now_ms };
        (void)snprintf(witness->who, sizeof witness->who, "%s", who);
}

bool clock_doubt_wanted(int64_t now_ms)
{
        return failed_last && now_ms - failed_last < LATELY_MS;
}

/* What it would say now; 0: nothing. */
static time_t testimony(const struct witness *witness, int64_t now_ms)
{
        int64_t since = now_ms - witness->at;

        return witness->said && since >= 0 && since < WITNESS_MS ? witness->said + (time_t)(since / 1000) : 0;
}

/* True when a witness contradicts the clock. */
static bool contradicted(time_t now, int64_t now_ms, char *out, size_t size)
{
        time_t exact = testimony(&exactly, now_ms), least = testimony(&at_least, now_ms);
        bool other = exact && (exact - now > FAR || now - exact > FAR), behind = least && least - now > FAR;
        char when[32];

        if (!other && !behind)
                return false;
        time_rfc3339(other ? exact : least, when);
        (void)snprintf(out, size, "%s %s", other ? exactly.who : at_least.who, when);
        return true;
}

static bool others_fail_too(const char *host, uint16_t port, int64_t now_ms)
{
        for (size_t i = 0; i < count_of(failed); i++)
                if (failed[i].at && !is_of(&failed[i], host, port) && now_ms - failed[i].at < LATELY_MS)
                        return true;
        return false;
}

void clock_doubt(time_t now, int64_t now_ms, time_t server, time_t verified, const char *host, uint16_t port,
                 char *out, size_t size)
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
        } else if (!contradicted(now, now_ms, out, size) && others_fail_too(host, port, now_ms))
                (void)snprintf(out, size, "and other servers fail by date too");
}
