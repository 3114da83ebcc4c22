/* SPDX-License-Identifier: MIT */
/* The line for monitoring; see status_check.h. Its form is that of the Monitoring Plugins: text, a bar, performance data. */
#include "ctl/status_check.h"

#include "common/printable.h"
#include "ctl/show.h"
#include "ctl/status_view.h"

static const char *const words[] = { "OK", "WARNING", "CRITICAL", "UNKNOWN" };

/* No bar and no line end may be in the text. */
static enum check_status show_line(enum check_status status, const char *text, const char *numbers)
{
        scoped(scoped_free) char *safe = printable_text(text);
        for (char *bar = safe; (bar = strchr(bar, '|'));)
                *bar = '/';
        printf("EMAILSEC %s - %s%s\n", words[status], safe, numbers);
        return status;
}

/* The first account with this status, for the text: "alarms: TEXT"; NULL when there is none. */
static char *first_with(const json_t *status, const char *word)
{
        const json_t *accounts = json_at(status, "accounts");
        for (size_t i = 0; i < json_array_size(accounts); i++) {
                const json_t *account = json_array_get(accounts, i);
                if (same_text(json_text(account, "status"), word))
                        return text_of("; %s: %s", json_text(account, "name"), json_text(account, "cause.text"));
        }
        return NULL;
}

enum check_status check_show(const json_t *status)
{
        const json_t *queue = json_at(status, "queue"), *faults = json_at(status, "faults");
        size_t accounts = json_array_size(json_at(status, "accounts")), down = status_count(status, "down");
        size_t fault = status_count(status, "fault"), challenge = status_count(status, "challenge");
        long long failed = json_number(queue, "failed"), waiting = status_waiting(queue);
        long long challenges = json_number(status, "challenges");
        enum check_status result = CHECK_OK;

        if (fault || challenge || challenges || json_array_size(faults))
                result = CHECK_CRITICAL;
        else if (down || failed || !accounts)
                result = CHECK_WARNING;
        scoped(scoped_free) char *totals = status_totals(json_at(status, "accounts"), "status");
        scoped(scoped_free) char *first = fault ? first_with(status, "fault") : challenge ? first_with(status, "challenge") :
                                          down ? first_with(status, "down") : NULL;
        const char *station = json_text(json_array_get(faults, 0), "text");
        scoped(scoped_free) char *text = text_of("%s; %lld in the queue, %lld failed%s%s%s", totals, waiting, failed,
                                                 station[0] ? "; " : "", station, first ? first : "");
        scoped(scoped_free) char *numbers = text_of(" | accounts=%zu;;;0 down=%zu;;;0 fault=%zu;;;0 challenges=%lld;;;0 "
                                                    "queue=%lld;;;0 failed=%lld;;;0",
                                                    accounts, down, fault, challenges, waiting, failed);
        return show_line(result, text, numbers);
}

enum check_status check_unknown(const struct cause *cause)
{
        return show_line(CHECK_UNKNOWN, cause->text, "");
}
