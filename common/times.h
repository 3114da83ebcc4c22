/* SPDX-License-Identifier: MIT */
/* Durations and dates as people write them, RFC 3339 and RFC 5322 out. */
#pragma once

#include "common/cause.h"

#include <time.h>

/* Microseconds, milliseconds and seconds since some point of the past, which no setting of the clock moves; a
 * suspend of the machine does not count. What tests move by hand is loop_now(). Any thread. */
int64_t time_monotonic_us(void);
int64_t time_monotonic_ms(void);
time_t time_monotonic_s(void);

/* The last second that RFC 3339 has a form for: 9999-12-31T23:59:59Z. */
#define TIME_LAST ((time_t)253402300799)

/* "2026-11-23T18:51:00Z" (UTC), 21 bytes; time 0, and one that has no date, give "". */
void time_rfc3339(time_t time, char out[32]);
/* Reads RFC 3339 with Z or offset, or a bare date (its first second, UTC). */
int time_parse(const char *text, time_t *out, struct cause *cause) must_use;
/* "Mon, 23 Nov 2026 18:51:00 +0000" with the local offset, C locale always. */
void time_rfc5322(time_t time, char out[48]);

/* The time somewhere in words, in the form of RFC 5322, as greetings and HTTP's Date have it, or of IMAP's
 * INTERNALDATE; 0: there is none. */
time_t time_in_words(const char *words);

/* "90", "90s", "15m", "12h", "30d", "2w": seconds; a bare number is seconds. */
int duration_parse(const char *text, int64_t *out_seconds, struct cause *cause) must_use;
/* For people: "45 s", "12 min", "3 h", "5 days". */
void duration_text(int64_t seconds, char out[32]);
/* What duration_parse() and size_parse() read: "7d", "90s"; "50M". */
void duration_exact(int64_t seconds, char out[32]);
void size_exact(uint64_t bytes, char out[32]);
/* "50M", "10G", "64K", plain bytes; powers of 1024. */
int size_parse(const char *text, uint64_t *out_bytes, struct cause *cause) must_use;
/* For people: "4.0 KiB". */
void size_text(uint64_t bytes, char out[32]);
