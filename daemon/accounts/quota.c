/* SPDX-License-Identifier: MIT */
/* The daily number of sent messages; see quota.h. */
#include "daemon/accounts/quota.h"

#include "daemon/loop.h"
#include "daemon/store/kept.h"

/* 0 or less means no limit. */
uint64_t quota_left(int64_t max_per_day, int64_t sent_today)
{
        if (max_per_day <= 0)
                return UINT64_MAX;
        return sent_today >= max_per_day ? 0 : (uint64_t)(max_per_day - sent_today);
}

/* YYYYMMDD in local time, as a person counts days; it also compares in order. */
int64_t quota_day(time_t now)
{
        struct tm day;

        if (!localtime_r(&now, &day))
                return 0;
        return (int64_t)(day.tm_year + 1900) * 10000 + (day.tm_mon + 1) * 100 + day.tm_mday;
}

/* Seconds, at least 1. mktime() knows of days of 23 and 25 hours. */
int64_t quota_until_midnight(time_t now)
{
        struct tm day;

        if (!localtime_r(&now, &day))
                return 3600;
        day.tm_mday++;
        day.tm_hour = day.tm_min = day.tm_sec = 0;
        day.tm_isdst = -1;
        time_t midnight = mktime(&day);
        return midnight > now ? (int64_t)(midnight - now) : 1;
}

int64_t quota_sent_today(const struct account *account)
{
        if (kept_number(account->name, KEPT_SENT_DAY) != quota_day(loop_wall()))
                return 0;
        return kept_number(account->name, KEPT_SENT_ON_DAY);
}

/* The day is kept with the number, so that a restart within the day forgets nothing. */
void quota_count_sent(const struct account *account, int64_t messages)
{
        int64_t today = quota_day(loop_wall());

        if (kept_number(account->name, KEPT_SENT_DAY) != today) {
                kept_set_number(account->name, KEPT_SENT_DAY, today);
                kept_set_number(account->name, KEPT_SENT_ON_DAY, 0);
        }
        kept_add(account->name, KEPT_SENT_ON_DAY, messages);
}

/* A step of the clock is no new day: what was counted before it counts for the day that it is now.
 * Otherwise a clock that is set forth and back would give a second quota. */
void quota_clock_was_set(const struct account *account, int64_t seconds)
{
        int64_t today = quota_day(loop_wall()), counted = kept_number(account->name, KEPT_SENT_DAY);

        if (counted > today || (counted && counted == quota_day(loop_wall() - (time_t)seconds)))
                kept_set_number(account->name, KEPT_SENT_DAY, today);
}
