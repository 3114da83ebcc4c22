/* SPDX-License-Identifier: MIT */
/* Dates, durations and sizes: RFC 3339, RFC 5322 and what people write; see times.h. */
#include "common/times.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

enum { MINUTE = 60, HOUR = 60 * MINUTE, DAY = 24 * HOUR, WEEK = 7 * DAY };

/* Waits and deadlines are counted by it: they do not follow a clock that somebody sets. */
int64_t time_monotonic_us(void)
{
        struct timespec now = { 0 };

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t time_monotonic_ms(void)
{
        return time_monotonic_us() / 1000;
}

time_t time_monotonic_s(void)
{
        return (time_t)(time_monotonic_us() / 1000000);
}

void time_rfc3339(time_t time, char out[32])
{
        struct tm tm;

        /* 0 stands for never, which has no text. */
        if (time == 0 || !gmtime_r(&time, &tm) || strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
                out[0] = '\0';
}

void time_rfc5322(time_t time, char out[48])
{
        /* Not by strftime(), which would take the names of the locale. */
        static const char days[][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
        static const char months[][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                          "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
        struct tm tm;

        out[0] = '\0';
        if (!localtime_r(&time, &tm))
                return;
        long minutes = tm.tm_gmtoff / MINUTE;
        char sign = minutes < 0 ? '-' : '+';
        minutes = labs(minutes);
        (void)snprintf(out, 48, "%s, %d %s %d %02d:%02d:%02d %c%02ld%02ld", days[tm.tm_wday], tm.tm_mday,
                       months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec, sign,
                       minutes / 60, minutes % 60);
}

/* Takes exactly `digits` decimal digits of a value in least..most off the front of *text. */
static bool take_number(const char **text, int digits, int least, int most, int *out)
{
        int value = 0;

        for (int i = 0; i < digits; i++) {
                char c = (*text)[i];
                if (c < '0' || c > '9')
                        return false;
                value = value * 10 + (c - '0');
        }
        *text += digits;
        *out = value;
        return value >= least && value <= most;
}

static bool take_byte(const char **text, const char *one_of)
{
        if (!**text || !strchr(one_of, **text))
                return false;
        (*text)++;
        return true;
}

static bool take_date(const char **text, struct tm *tm)
{
        if (!take_number(text, 4, 1900, 9999, &tm->tm_year) || !take_byte(text, "-") ||
            !take_number(text, 2, 1, 12, &tm->tm_mon) || !take_byte(text, "-") ||
            !take_number(text, 2, 1, 31, &tm->tm_mday))
                return false;
        tm->tm_year -= 1900;
        tm->tm_mon -= 1;
        struct tm same = *tm;
        return timegm(&same) != (time_t)-1 && same.tm_mday == tm->tm_mday; /* not 31 February */
}

/* HH:MM:SS[.fraction] */
static bool take_clock(const char **text, struct tm *tm)
{
        if (!take_number(text, 2, 0, 23, &tm->tm_hour) || !take_byte(text, ":") ||
            !take_number(text, 2, 0, 59, &tm->tm_min) || !take_byte(text, ":") ||
            !take_number(text, 2, 0, 60, &tm->tm_sec)) /* 60: a leap second */
                return false;
        if (take_byte(text, ".")) {
                size_t digits = strspn(*text, "0123456789");
                *text += digits;
                return digits > 0;
        }
        return true;
}

static bool take_offset(const char **text, int *out_seconds)
{
        int hours = 0, minutes = 0;

        *out_seconds = 0;
        if (take_byte(text, "Zz"))
                return true;
        int sign = **text == '-' ? -1 : 1;
        if (!take_byte(text, "+-") || !take_number(text, 2, 0, 23, &hours) || !take_byte(text, ":") ||
            !take_number(text, 2, 0, 59, &minutes))
                return false;
        *out_seconds = sign * (hours * HOUR + minutes * MINUTE);
        return true;
}

int time_parse(const char *text, time_t *out, struct cause *cause)
{
        const char *at = text;
        struct tm tm = { 0 };
        int offset = 0;
        bool good = take_date(&at, &tm);

        /* A date alone is its midnight, UTC. */
        if (good && *at)
                good = take_byte(&at, "Tt ") && take_clock(&at, &tm) && take_offset(&at, &offset) && !*at;
        if (!good)
                return cause_set(cause, CAUSE_INVALID,
                                 "%.100s is not a date: 2026-11-23 or 2026-11-23T18:51:00Z", text);
        time_t found = timegm(&tm) - offset;
        if (found > TIME_LAST) /* by its offset */
                return cause_set(cause, CAUSE_INVALID, "%.100s is after the year 9999", text);
        *out = found;
        return 0;
}

struct unit {
        const char *name;
        uint64_t factor;
};

/* A decimal number and one of the units, "" among them; false when it is neither or does not fit. */
static bool take_amount(const char *text, const struct unit *units, size_t count, uint64_t *out)
{
        size_t digits = strspn(text, "0123456789");
        uint64_t value = 0;

        if (digits == 0)
                return false;
        for (size_t i = 0; i < digits; i++)
                if (__builtin_mul_overflow(value, 10, &value) ||
                    __builtin_add_overflow(value, (uint64_t)(text[i] - '0'), &value))
                        return false;
        for (size_t i = 0; i < count; i++)
                if (same_text(text + digits, units[i].name))
                        return !__builtin_mul_overflow(value, units[i].factor, out);
        return false;
}

/* As servers write it in a reply: like Date, like IMAP's INTERNALDATE (RFC 9051 section 6.3.12), or
 * with GMT. */
static time_t time_at(const char *words)
{
        struct tm parts = { 0 };
        const char *end = strptime(words, "%d %b %Y %H:%M:%S %z", &parts);

        if (!end)
                end = strptime(words, "%d-%b-%Y %H:%M:%S %z", &parts);
        if (!end && (end = strptime(words, "%d %b %Y %H:%M:%S GMT", &parts)))
                parts.tm_gmtoff = 0;
        long zone = parts.tm_gmtoff;

        return end ? timegm(&parts) - zone : 0;
}

time_t time_in_words(const char *words)
{
        for (const char *at = words; *at; at++) {
                /* Digits inside of a word or of a longer number begin no date. */
                bool starts = isdigit((unsigned char)*at) && (at == words || !isalnum((unsigned char)at[-1]));
                time_t found = starts ? time_at(at) : 0;
                if (found > 0)
                        return found;
        }
        return 0;
}

int duration_parse(const char *text, int64_t *out_seconds, struct cause *cause)
{
        static const struct unit units[] = {
                { "", 1 },     { "s", 1 },   { "m", MINUTE }, { "min", MINUTE },
                { "h", HOUR }, { "d", DAY }, { "w", WEEK },
        };
        uint64_t seconds = 0;

        if (!take_amount(text, units, count_of(units), &seconds) || seconds > INT64_MAX)
                return cause_set(cause, CAUSE_INVALID,
                                 "%.100s is not a duration: 90, 90s, 15m, 12h, 30d or 2w", text);
        *out_seconds = (int64_t)seconds;
        return 0;
}

/* A unit is used from two of it on: "90 s" says more than "1 min". */
void duration_text(int64_t seconds, char out[32])
{
        static const struct {
                int64_t from, divisor;
                const char *unit;
        } steps[] = {
                { 2 * DAY, DAY, "days" },
                { 2 * HOUR, HOUR, "h" },
                { 2 * MINUTE, MINUTE, "min" },
        };

        for (size_t i = 0; i < count_of(steps); i++)
                if (seconds >= steps[i].from) {
                        (void)snprintf(out, 32, "%" PRId64 " %s", seconds / steps[i].divisor, steps[i].unit);
                        return;
                }
        (void)snprintf(out, 32, "%" PRId64 " s", seconds);
}

/* In the last of the units that divides it. */
static void exact(uint64_t amount, const struct unit *units, size_t count, char out[32])
{
        size_t unit = count - 1;

        while (unit > 0 && (amount == 0 || amount % units[unit].factor))
                unit--;
        (void)snprintf(out, 32, "%" PRIu64 "%s", amount / units[unit].factor, units[unit].name);
}

void duration_exact(int64_t seconds, char out[32])
{
        static const struct unit units[] = { { "s", 1 }, { "m", MINUTE }, { "h", HOUR }, { "d", DAY } };

        exact((uint64_t)seconds, units, count_of(units), out);
}

void size_exact(uint64_t bytes, char out[32])
{
        static const struct unit units[] = {
                { "", 1 }, { "K", 1ull << 10 }, { "M", 1ull << 20 }, { "G", 1ull << 30 }, { "T", 1ull << 40 }
        };

        exact(bytes, units, count_of(units), out);
}

int size_parse(const char *text, uint64_t *out_bytes, struct cause *cause)
{
        static const uint64_t k = 1024;
        const struct unit units[] = {
                { "", 1 },
                { "K", k },
                { "KiB", k },
                { "M", k * k },
                { "MiB", k * k },
                { "G", k * k * k },
                { "GiB", k * k * k },
                { "T", k * k * k * k },
                { "TiB", k * k * k * k },
        };

        if (!take_amount(text, units, count_of(units), out_bytes))
                return cause_set(cause, CAUSE_INVALID, "%.100s is not a size: bytes, or 64K, 50M, 10G, 1T",
                                 text);
        return 0;
}

void size_text(uint64_t bytes, char out[32])
{
        static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
        double value = (double)bytes;
        size_t unit = 0;

        if (bytes < 1024) {
                (void)snprintf(out, 32, "%" PRIu64 " B", bytes);
                return;
        }
        /* From here on one decimal would be written as 1024.0. */
        for (value /= 1024; value >= 1023.95 && unit + 1 < count_of(units); value /= 1024)
                unit++;
        (void)snprintf(out, 32, "%.1f %s", value, units[unit]);
}
