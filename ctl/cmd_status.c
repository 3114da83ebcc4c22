/* SPDX-License-Identifier: MIT */
/* `status`: the station at a glance, for people, for monitoring, live. `metrics`, `activity`, `reload`. */
#include "common/json_fields.h"
#include "common/printable.h"
#include "ctl/call.h"
#include "ctl/cmds.h"
#include "ctl/live.h"
#include "ctl/show.h"
#include "ctl/status_view.h"

#include <errno.h>

/* ---- --check: the line and the exit status of the Monitoring Plugins: text, a bar, performance data ---- */

enum check_status { CHECK_OK, CHECK_WARNING, CHECK_CRITICAL, CHECK_UNKNOWN };

static const char *const check_words[] = { "OK", "WARNING", "CRITICAL", "UNKNOWN" };

/* No bar and no line end may be in the text. */
static enum check_status show_line(enum check_status status, const char *text, const char *numbers)
{
        scoped(scoped_free) char *safe = printable_text(text);
        for (char *bar = safe; (bar = strchr(bar, '|'));)
                *bar = '/';
        printf("EMAILSEC %s - %s%s\n", check_words[status], safe, numbers);
        return status;
}

/* What is not well, worst first. */

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

/* Prints the line for this status of the station; gives what the tool exits with. */
static enum check_status check_show(const json_t *status)
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

/* The same where there is none. */
static enum check_status check_unknown(const struct cause *cause)
{
        return show_line(CHECK_UNKNOWN, cause->text, "");
}

#define MOST_ACCOUNTS 100 /* that a screen lists, or a check looks at; what is not well comes first */

static int ask_status(struct tool *tool, const char *name, json_t **out, struct causes *failures)
{
        json_t *parameters = parameters_of("account", name);
        /* A program gets them all: it has no screen to fill. */
        if (!name && (!tool->json || tool_has(tool, "check")))
                json_put(parameters, "limit", json_integer(MOST_ACCOUNTS));
        struct tool_call call = { .method = EMAIL("GetStatus"), .parameters = parameters, .fd = -1 };
        scoped(scoped_json) json_t *answer = NULL;
        if (call_once(tool, call, &answer, failures))
                return -1;
        *out = json_incref(json_object_get(answer, "status"));
        return 0;
}

/* Only these accounts, and what concerns them: for --check and the screen of several. NULL: told, with
 * *status. */
static json_t *status_of(struct tool *tool, struct causes *failures)
{
        /* These are of the first account alone, and would be taken for those of all that were
         * named. */
        static const char *const of_the_first[] = { "totals", "heartbeatsMissing", "mailKept" };
        json_t *all = NULL;
        if (ask_status(tool, tool_word(tool, 0), &all, failures))
                return NULL;
        json_t *accounts = json_object_get(all, "accounts"), *advice = json_object_get(all, "advice");
        for (size_t i = 0; tool->word_count > 1 && i < count_of(of_the_first); i++)
                (void)json_object_del(all, of_the_first[i]);
        for (size_t i = 1; i < tool->word_count; i++) {
                scoped(scoped_json) json_t *one = NULL;
                if (ask_status(tool, tool->words[i], &one, failures)) {
                        json_decref(all);
                        return NULL;
                }
                (void)json_array_extend(accounts, json_object_get(one, "accounts"));
                (void)json_array_extend(advice, json_object_get(one, "advice"));
                const char *state = NULL;
                json_t *count = NULL, *queue = json_object_get(all, "queue");
                json_object_foreach(json_object_get(one, "queue"), state, count)
                        json_put(queue, state,
                                 json_integer(json_number(queue, state) + json_integer_value(count)));
        }
        return all;
}

static void show_sheets(const json_t *accounts)
{
        for (size_t i = 0; i < json_array_size(accounts); i++) {
                if (i)
                        puts("");
                status_show_account(json_array_get(accounts, i));
        }
}

static void show_text(const struct tool *tool, const json_t *station)
{
        if (tool->word_count && !tool_has(tool, "problems"))
                show_sheets(json_at(station, "accounts"));
        else
                status_show_station(station, tool_has(tool, "problems"));
}

static int draw(struct tool *tool, void *arg, struct causes *failures)
{
        scoped(scoped_json) json_t *station = status_of(tool, failures);
        (void)arg;
        if (!station)
                return -1;
        show_text(tool, station);
        return 0;
}

/* Nobody reads more than the line and the exit status: what failed is in them. */
static int run_check(struct tool *tool)
{
        scoped(causes_free) struct causes failures = { 0 };
        scoped(scoped_json) json_t *station = status_of(tool, &failures);
        if (!station)
                return (int)check_unknown(&failures.items[0]);
        if (tool->word_count) /* those of other accounts are not asked about */
                json_put(station, "challenges", json_integer((json_int_t)status_count(station, "challenge")));
        return (int)check_show(station);
}

/* A bare `emailsecctl` without a daemon is somebody who does not know it yet. */
static int tell_bare(struct tool *tool, const struct causes *failures)
{
        if (failures->items[0].code != CAUSE_NO_DAEMON)
                return tell_causes(failures);
        tool->command = NULL;
        return tell_usage(tool, "a command is missing; without one the status is shown, but %s",
                          failures->items[0].text);
}

int run_status(struct tool *tool)
{
        scoped(causes_free) struct causes failures = { 0 };
        if (tool_has(tool, "check"))
                return run_check(tool);
        if (tool_has(tool, "watch"))
                return live_run(tool, draw, NULL);
        scoped(scoped_json) json_t *station = status_of(tool, &failures);
        if (!station)
                return tool->bare ? tell_bare(tool, &failures) : tell_causes(&failures);
        const json_t *accounts = json_at(station, "accounts");
        if (tool->json) {
                show_json(tool->word_count > 1 ? accounts
                          : tool->word_count   ? json_array_get(accounts, 0)
                                               : station);
                return EXIT_DONE;
        }
        term_pager_open(tool);
        show_text(tool, station);
        return EXIT_DONE;
}

/* The older text format of Prometheus, the one that node_exporter reads: help and type of a counter stand
 * under the name of its samples, with _total; there is no mark of the end. */
static void print_older(const char *text)
{
        scoped(scoped_free) char *counter = NULL; /* the family whose lines these are, when it is one */

        while (*text) {
                int len = (int)strcspn(text, "\n"), name = 0, type = 0;
                char kind[5] = "";
                (void)sscanf(text, "# %4[A-Z] %n%*[a-z0-9_:]%n", kind, &name, &type);
                bool of_family =
                        type > 0 && type < len && (same_text(kind, "TYPE") || same_text(kind, "HELP"));
                if (of_family && same_text(kind, "TYPE")) {
                        free(take(counter));
                        if (len - type == 8 && !strncmp(text + type, " counter", 8))
                                counter = copy_bytes(text + name, (size_t)(type - name));
                }
                bool of_counter = of_family && counter && strlen(counter) == (size_t)(type - name) &&
                                  !strncmp(counter, text + name, (size_t)(type - name));
                if (of_counter)
                        printf("%.*s_total%.*s\n", type, text, len - type, text + type);
                else if (len != 5 || strncmp(text, "# EOF", 5) != 0)
                        printf("%.*s\n", len, text);
                text += len + (text[len] == '\n');
        }
}

int run_metrics(struct tool *tool)
{
        scoped(scoped_json) json_t *answer = NULL;
        int status = call_daemon(tool, EMAIL("GetMetrics"), NULL, &answer);
        if (status)
                return status;
        scoped(scoped_free) char *text = printable_lines(json_text(answer, "text"));
        if (tool->json)
                show_json(answer);
        else if (tool_has(tool, "prometheus"))
                print_older(text);
        else
                fputs(text, stdout);
        return status;
}

int run_activity(struct tool *tool)
{
        static const struct column columns[] = {
                { "TIME", "time", date_words, COLUMN_WHOLE },
                { "SENT", "sent", NULL, COLUMN_RIGHT },
                { "RECEIVED", "received", NULL, COLUMN_RIGHT },
                { "DEFERRED", "deferred", NULL, COLUMN_RIGHT },
                { "FAILED", "failed", NULL, COLUMN_RIGHT },
                { "QUEUE", "queue", NULL, COLUMN_RIGHT },
                { "HANDSHAKES", "handshakes", NULL, COLUMN_RIGHT },
                { "P50 ms", "handshakeP50", NULL, COLUMN_RIGHT },
                { "P95 ms", "handshakeP95", NULL, COLUMN_RIGHT },
        };
        const char *given = tool_option(tool, "minutes");
        char *end = NULL;
        errno = 0;
        long long minutes = given ? strtoll(given, &end, 10) : 60;
        if (given && (!given[0] || *end || errno))
                return tell_usage(tool, "'%s' is not a number of minutes", given);
        json_t *parameters = json_object();
        json_put(parameters, "minutes", json_integer(minutes));
        return tool_show_list(tool, EMAIL("GetHistory"), parameters, "samples", columns, count_of(columns),
                              "");
}

int run_reload(struct tool *tool)
{
        scoped(scoped_json) json_t *answer = NULL;
        int status = call_daemon(tool, EMAIL("Reload"), NULL, &answer);
        if (status)
                return status;
        if (tool->json) {
                show_json(answer);
                return status;
        }
        show_done(tool, "%s", json_text(answer, "text"));
        const json_t *warnings = json_at(answer, "warnings");
        for (size_t i = 0; i < json_array_size(warnings); i++) {
                scoped(scoped_free) char *text = json_words(json_array_get(warnings, i));
                fprintf(stderr, "warning: %s\n", text);
        }
        return status;
}
