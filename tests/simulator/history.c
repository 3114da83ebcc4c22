/* SPDX-License-Identifier: MIT */
/* The log of a history, its hash, and the end of one in which something happened that may not. */
#include "tests/simulator/kernel.h"

enum { ROOM = 1 << 16 };

static struct {
        size_t len;
        char out[ROOM];
} *me;

void history_begin(void)
{
        me = world_alloc(sizeof *me);
        shared->hash = UINT64_C(14695981039346656037);
}

void history_flush(void)
{
        for (size_t at = 0; at < me->len;) {
                long wrote = real(SYS_write, 1L, me->out + at, me->len - at);
                if (wrote <= 0)
                        break;
                at += (size_t)wrote;
        }
        me->len = 0;
}

static void put(const char *text, size_t len)
{
        for (size_t i = 0; i < len; i++)
                shared->hash = (shared->hash ^ (uint8_t)text[i]) * UINT64_C(1099511628211);
        if (!shared->verbose)
                return;
        if (len > ROOM - me->len)
                history_flush();
        if (len > ROOM)
                len = ROOM;
        memcpy(me->out + me->len, text, len);
        me->len += len;
}

/* "  3d 04:05:06.789 who         text" */
static void line(const char *who, const char *text, size_t len)
{
        char head[96];
        int64_t ms = shared->now_us / 1000;
        int head_len = snprintf(head, sizeof head, "%3lldd %02d:%02d:%02d.%03d %-16.40s ",
                                (long long)(ms / DAY_MS), (int)(ms / HOUR_MS % 24),
                                (int)(ms / MINUTE_MS % 60), (int)(ms / 1000 % 60), (int)(ms % 1000), who);

        put(head, (size_t)head_len);
        put(text, len);
        put("\n", 1);
        shared->lines++;
}

void history_lines(const char *who, const char *text, size_t len)
{
        while (len) {
                const char *end = memchr(text, '\n', len);
                size_t this = end ? (size_t)(end - text) : len;
                line(who, text, this);
                text += this + (end != NULL);
                len -= this + (end != NULL);
        }
}

void history(const char *who, const char *format, ...)
{
        char text[2048];
        va_list args;

        va_start(args, format);
        int len = vsnprintf(text, sizeof text, format, args);
        va_end(args);
        line(who, text, (size_t)len < sizeof text ? (size_t)len : sizeof text - 1);
}

void violated(const char *invariant, const char *format, ...)
{
        char text[2048];
        va_list args;

        va_start(args, format);
        (void)vsnprintf(text, sizeof text, format, args);
        va_end(args);
        history("VIOLATED", "%s: %s", invariant, text);
        shared->failed = true;
        (void)snprintf(shared->failure, sizeof shared->failure, "%s: %s", invariant, text);
        machine_end_life(LIFE_LAST);
}
