/* SPDX-License-Identifier: MIT */
/* The line for monitoring; see status_check.h. Its form is that of the Monitoring Plugins: text, a bar,
 * performance data. */
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

/* ---- what is not well, worst first ---- */

static bool has_fault(const json_t *account)
{
        return same_text(json_text(account, "status"), "fault");
}

static bool has_challenge(const json_t *account)
{
        return same_text(json_text(account, "status"), "challenge");
}

static bool is_down(const json_t *account)
{
        return same_text(json_text(account, "status"), "down");
}

static bool misses_heartbeat(const json_t *account)
{
        return !same_text(json_text(account, "status"), "disabled") &&
               same_text(json_text(account, "heartbeatState"), "missing");
}

/* Mail that goes on by no attempt of the station's own soon: for the day's limit, or an account that is
 * disabled. */
static bool keeps_mail(const json_t *account)
{
        bool limit = same_text(json_text(account, "waitingFor.reason"), "dailyLimit");
        return json_number(account, "waitingFor.messages") > 0 &&
               (limit || same_text(json_text(account, "status"), "disabled"));
}

/* The account's kinds of trouble. */
static const struct trouble {
        const char *number; /* its name in the performance data; NULL: none */
        const char *all;    /* where the answer counts all that have it, also those that are not listed */
        const char *path, *text; /* the sentence about it is there, or it is this one */
        bool (*is)(const json_t *account);
        enum check_status status;
} troubles[] = {
        { "fault", "totals.fault", "cause.text", NULL, has_fault, CHECK_CRITICAL },
        { NULL, NULL, "cause.text", NULL, has_challenge, CHECK_CRITICAL },
        { "heartbeat", "heartbeatsMissing", NULL, "its heartbeat is missing, alarms may not arrive either",
          misses_heartbeat, CHECK_CRITICAL },
        { "down", "totals.down", "cause.text", NULL, is_down, CHECK_WARNING },
        { "waiting", "mailKept", "waitingFor.text", NULL, keeps_mail, CHECK_WARNING },
};

/* "alarms: TEXT" of the first account that `is` of that kind, with how many there are. NULL: none. The caller
 * frees. */
static char *first_account(const json_t *status, const struct trouble *trouble, size_t *count)
{
        const json_t *accounts = json_at(status, "accounts");
        char *first = NULL;
        *count = 0;
        for (size_t i = 0; i < json_array_size(accounts); i++) {
                const json_t *account = json_array_get(accounts, i);
                if (!trouble->is(account))
                        continue;
                ++*count;
                if (!first)
                        first = text_of("%s: %s", json_text(account, "name"),
                                        trouble->text ? trouble->text : json_text(account, trouble->path));
        }
        if (trouble->all && json_is_integer(json_at(status, trouble->all)))
                *count = (size_t)json_number(status, trouble->all);
        return first;
}

/* Several results, the worst of which counts, and the sentence that tells of it. */
struct outcome {
        enum check_status status;
        char *why, *numbers;
};

static void note(struct outcome *outcome, enum check_status status, const char *why)
{
        if (status <= outcome->status)
                return;
        outcome->status = status;
        free(outcome->why);
        outcome->why = copy_text(why);
}

static void add_number(struct outcome *outcome, const char *name, int64_t number)
{
        char *longer = text_of("%s %s=%lld;;;0", outcome->numbers, name, (long long)number);
        free(outcome->numbers);
        outcome->numbers = longer;
}

static void look_at_accounts(const json_t *status, struct outcome *outcome)
{
        for (size_t i = 0; i < count_of(troubles); i++) {
                size_t count = 0;
                scoped(scoped_free) char *first = first_account(status, &troubles[i], &count);
                if (first)
                        note(outcome, troubles[i].status, first);
                if (troubles[i].number)
                        add_number(outcome, troubles[i].number, (int64_t)count);
        }
}

static void look_at_causes(const json_t *causes, enum check_status status, const char *number,
                           struct outcome *outcome)
{
        if (json_array_size(causes))
                note(outcome, status, json_text(json_array_get(causes, 0), "text"));
        add_number(outcome, number, (int64_t)json_array_size(causes));
}

enum check_status check_show(const json_t *status)
{
        const json_t *queue = json_at(status, "queue");
        long long failed = json_number(queue, "failed"), waiting = status_waiting(queue);
        struct outcome outcome = { .numbers = copy_text(" |") };

        add_number(&outcome, "accounts", (int64_t)status_all(status));
        look_at_causes(json_at(status, "faults"), CHECK_CRITICAL, "station", &outcome);
        look_at_accounts(status, &outcome);
        if (json_number(status, "challenges"))
                note(&outcome, CHECK_CRITICAL,
                     "a certificate waits for a decision: emailsecctl challenge list");
        add_number(&outcome, "challenges", json_number(status, "challenges"));
        if (!status_all(status))
                note(&outcome, CHECK_WARNING, "there is no account yet");
        if (failed)
                note(&outcome, CHECK_WARNING, "messages have failed: emailsecctl queue list --state failed");
        look_at_causes(json_at(status, "soon"), CHECK_WARNING, "soon", &outcome);
        add_number(&outcome, "queue", waiting);
        add_number(&outcome, "failed", failed);

        scoped(scoped_free) char *totals = status_words_of_all(status);
        scoped(scoped_free) char *text =
                text_of("%s; %lld in the queue, %lld failed%s%s", totals, waiting, failed,
                        outcome.why ? "; " : "", outcome.why ? outcome.why : "");
        enum check_status result = show_line(outcome.status, text, outcome.numbers);
        free(outcome.why);
        free(outcome.numbers);
        return result;
}

enum check_status check_unknown(const struct cause *cause)
{
        return show_line(CHECK_UNKNOWN, cause->text, "");
}
