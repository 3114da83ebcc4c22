/* SPDX-License-Identifier: MIT */
/* `status`: the station at a glance, worst first in words and what to do next. `metrics`, `reload`. */
#include "common/printable.h"
#include "ctl/call.h"
#include "ctl/cmds.h"
#include "ctl/show.h"

static const char *status_words(const char *status)
{
        static const struct {
                const char *status, *words;
        } all[] = {
                { "ok", "works" },
                { "disabled", "is disabled" },
                { "connecting", "is connecting" },
                { "down", "cannot be reached, and is tried again by itself" },
                { "fault", "does not work: a person must act" },
                { "challenge", "waits for a decision about a certificate" },
        };
        for (size_t i = 0; i < count_of(all); i++)
                if (same_text(status, all[i].status))
                        return all[i].words;
        return status;
}

/* What is wrong with an account and what to do, where anything is. */
static void show_trouble(const json_t *account)
{
        const char *challenge = json_text(account, "challenge"), *status = json_text(account, "status");
        const json_t *cause = json_at(account, "cause");
        scoped(scoped_free) char *command = text_of("emailsecctl challenge show %s", challenge);
        if (json_is_object(cause))
                show_advice(tint_of(status), json_text(cause, "text"),
                            challenge[0] ? command : json_text(cause, "remedy"));
}

static int64_t waiting_in(const json_t *queue)
{
        static const char *const states[] = { "queued", "sending", "deferred", "held", "ambiguous" };
        int64_t sum = 0;
        for (size_t i = 0; i < count_of(states); i++)
                sum += json_number(queue, states[i]);
        return sum;
}

static void show_account_line(const json_t *account, size_t width)
{
        scoped(scoped_free) char *name = json_words(json_at(account, "name"));
        scoped(scoped_free) char *transport = json_words(json_at(account, "transport"));
        scoped(scoped_free) char *host = json_words(json_at(account, "hostname"));
        const char *status = json_text(account, "status");
        scoped(scoped_free) char *words = printable_text(status_words(status));
        printf("%s%-10s%s %-*s %s %s: %s\n", term_tint(tint_of(status)), status, term_plain(), (int)width,
               name, transport, host, words);
        show_trouble(account);
}

static void show_accounts(const json_t *accounts)
{
        size_t width = 8;
        for (size_t i = 0; i < json_array_size(accounts); i++) {
                size_t len = strlen(json_text(json_array_get(accounts, i), "name"));
                width = len > width && len <= 64 ? len : width;
        }
        for (size_t i = 0; i < json_array_size(accounts); i++)
                show_account_line(json_array_get(accounts, i), width);
}

static void show_counts(const json_t *status)
{
        const json_t *queue = json_at(status, "queue");
        long long failed = json_number(queue, "failed"), held = json_number(queue, "held");
        long long challenges = json_number(status, "challenges"), needless = json_number(status, "needless");
        printf("\nqueue: %lld waiting, %lld of them held; %lld failed\n", (long long)waiting_in(queue), held,
               failed);
        printf("challenges: %lld waiting%s\n", challenges, challenges ? ": emailsecctl challenge list" : "");
        printf("exemptions: %lld, %lld no longer needed%s\n", (long long)json_number(status, "exemptions"),
               needless, needless ? ": emailsecctl allowed prune" : "");
}

static void show_faults(const json_t *status)
{
        const json_t *faults = json_at(status, "faults");
        for (size_t i = 0; i < json_array_size(faults); i++) {
                const json_t *fault = json_array_get(faults, i);
                show_advice(TINT_BAD, json_text(fault, "text"), json_text(fault, "remedy"));
        }
}

/* True for what an account's own line has said already: its cause, its challenge. */
static bool is_said(const json_t *status, const char *advice)
{
        const json_t *accounts = json_at(status, "accounts");
        for (size_t i = 0; i < json_array_size(accounts); i++) {
                const json_t *account = json_array_get(accounts, i);
                const char *cause = json_text(account, "cause.text"),
                           *challenge = json_text(account, "challenge");
                if ((cause[0] && strstr(advice, cause)) || (challenge[0] && strstr(advice, challenge)))
                        return true;
        }
        return false;
}

static void show_all_advice(const json_t *status)
{
        const json_t *advice = json_at(status, "advice");
        bool titled = false;
        for (size_t i = 0; i < json_array_size(advice); i++) {
                const char *text = json_string_value(json_array_get(advice, i));
                if (!text || is_said(status, text))
                        continue;
                if (!titled)
                        puts("\nTo do:");
                titled = true;
                show_advice(TINT_NONE, text, NULL);
        }
}

/* Who changed the station last. */
static void show_last_change(const json_t *status)
{
        const json_t *change = json_at(status, "lastChange");
        if (!json_is_object(change))
                return;
        scoped(scoped_free) char *time = date_words(json_at(change, "time"));
        scoped(scoped_free) char *text = json_words(json_at(change, "text"));
        printf("last change: %s, %s\n", time, text);
}

static void show_station(const json_t *status)
{
        scoped(scoped_free) char *version = json_words(json_at(status, "version"));
        scoped(scoped_free) char *host = json_words(json_at(status, "hostname"));
        scoped(scoped_free) char *since = date_words(json_at(status, "started"));
        printf("%semailsecd%s %s on %s since %s\n\n", term_tint(TINT_STRONG), term_plain(), version, host,
               since);
        show_faults(status);
        show_accounts(json_at(status, "accounts"));
        show_counts(status);
        show_last_change(status);
        show_all_advice(status);
}

static void show_tls(const json_t *account)
{
        const json_t *tls = json_at(account, "tls");
        if (!json_is_object(tls))
                return;
        const char *by = json_text(tls, "verifiedBy");
        const char *identity = same_text(by, "allowedHost") ? "encrypted, identity by exemption"
                               : same_text(by, "user")      ? "verified by the User Trust Store"
                               : same_text(by, "system")    ? "verified by the System Trust Store"
                                                            : by;
        sheet_format("tls", "%s, %s\n%s", json_text(tls, "version"), json_text(tls, "cipher"), identity);
}

/* The sheet of one account: how it is, not how it is set (that is `account show`). */
static void show_one(const json_t *account)
{
        static const char *const fields[] = { "lastPollSuccess", "lastPollFailure",  "lastPollFailureCause",
                                              "numberSent",      "numberSentToday",  "numberDiscarded",
                                              "lastDiscard",     "lastDiscardCause", "numberReceived",
                                              "lastReceived",    "missing" };
        scoped(scoped_free) char *name = json_words(json_at(account, "name"));
        const char *status = json_text(account, "status");
        sheet_title(name);
        printf("  %s%s%s\n", term_tint(tint_of(status)), status_words(status), term_plain());
        show_trouble(account);
        sheet_value("kind", account, "kind");
        sheet_value("server", account, "hostname");
        show_tls(account);
        const json_t *queue = json_at(account, "queue");
        if (queue)
                sheet_format("queue", "%lld waiting, %lld failed", (long long)waiting_in(queue),
                             (long long)json_number(queue, "failed"));
        for (size_t i = 0; i < count_of(fields); i++)
                sheet_value(fields[i], account, fields[i]);
        const json_t *warnings = json_at(account, "warnings");
        for (size_t i = 0; i < json_array_size(warnings); i++) {
                scoped(scoped_free) char *text = json_words(json_array_get(warnings, i));
                show_advice(TINT_WAIT, text, NULL);
        }
}

int run_status(struct tool *tool)
{
        const char *name = tool_word(tool, 0);
        scoped(scoped_json) json_t *answer = NULL;
        int status = call_daemon(tool, EMAIL("GetStatus"), parameters_of("account", name), &answer);
        if (status)
                return status;
        const json_t *station = json_at(answer, "status");
        const json_t *one = json_array_get(json_at(station, "accounts"), 0);
        if (tool->json) {
                show_json(name ? one : station);
                return status;
        }
        term_pager_open(tool);
        if (name)
                show_one(one);
        else
                show_station(station);
        return status;
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
        else
                fputs(text, stdout);
        return status;
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
