/* SPDX-License-Identifier: MIT */
/*
 * Status for people: totals, then what is not well, worst first, each fault once with all accounts that have
 * it, then what works, the queue, and what to do next.
 */
#include "ctl/status_view.h"

#include "common/printable.h"
#include "ctl/show.h"

#define MOST_LISTED  12 /* accounts that work and have a line each; of more only the names */
#define MOST_ADVICE  20
#define STATUS_WIDTH 11 /* the longest word, "connecting", and a blank */

/* Worst first. */
static const struct state {
        const char *status, *words;
        bool ill;
} states[] = {
        { "challenge", "waits for a decision about a certificate", true },
        { "fault", "does not work: a person must act", true },
        { "down", "cannot be reached, and is tried again by itself", true },
        { "connecting", "is connecting", false },
        { "ok", "works", false },
        { "disabled", "is disabled", false },
};

/* One that is not known here is shown as it is, before those that work. */
static const struct state *state_of(const char *status)
{
        static const struct state unknown = { "", "", false };
        for (size_t i = 0; i < count_of(states); i++)
                if (same_text(status, states[i].status))
                        return &states[i];
        return &unknown;
}

static const char *status_words(const char *status)
{
        const struct state *state = state_of(status);
        return state->words[0] ? state->words : status;
}

size_t status_rank(const char *status)
{
        const struct state *state = state_of(status);
        return state->words[0] ? (size_t)(state - states) : count_of(states);
}

bool status_is_ill(const char *status)
{
        return state_of(status)->ill;
}

static bool is_ill(const json_t *account)
{
        return status_is_ill(json_text(account, "status"));
}

size_t status_count(const json_t *status, const char *word)
{
        const json_t *total = json_object_get(json_at(status, "totals"), word);
        if (json_is_integer(total)) /* not all of them may be listed */
                return (size_t)json_integer_value(total);
        return json_count(json_at(status, "accounts"), "status", word);
}

json_t *status_sorted(const json_t *accounts, const char *path)
{
        return json_ranked(accounts, path, status_rank,
                           count_of(states) + 1); /* what is not known here at the end */
}

static size_t count_ill(const json_t *status)
{
        size_t count = 0;
        for (size_t i = 0; i < count_of(states); i++)
                count += states[i].ill ? status_count(status, states[i].status) : 0;
        return count;
}

int64_t status_waiting(const json_t *queue)
{
        static const char *const waiting[] = { "queued", "sending", "deferred", "held", "ambiguous" };
        int64_t sum = 0;
        for (size_t i = 0; i < count_of(waiting); i++)
                sum += json_number(queue, waiting[i]);
        return sum;
}

/* Of accounts with their status at `path`, or by the station's own totals. */
static char *totals_words(size_t all, const json_t *accounts, const char *path, const json_t *totals)
{
        char *text = text_of("%zu account%s", all, all == 1 ? "" : "s");
        const char *before = ": ";
        for (size_t i = count_of(states); i-- > 0;) {
                /* those that work stand first, then from bad to worse */
                const struct state *state = &states[i == 5 ? 4 : i == 4 ? 5 : i];
                size_t count = totals ? (size_t)json_number(totals, state->status)
                                      : json_count(accounts, path, state->status);
                if (!count)
                        continue;
                const char *word = !same_text(state->status, "ok") ? state->status
                                   : count == 1                    ? "works"
                                                                   : "work";
                char *longer = text_of("%s%s%zu %s", text, before, count, word);
                free(text);
                text = longer;
                before = ", ";
        }
        return text;
}

char *status_totals(const json_t *accounts, const char *path)
{
        return totals_words(json_array_size(accounts), accounts, path, NULL);
}

size_t status_all(const json_t *status)
{
        const json_t *totals = json_at(status, "totals");
        size_t all = 0;
        for (size_t i = 0; i < count_of(states) && totals; i++)
                all += (size_t)json_number(totals, states[i].status);
        return totals ? all : json_array_size(json_at(status, "accounts"));
}

char *status_words_of_all(const json_t *status)
{
        return totals_words(status_all(status), json_at(status, "accounts"), "status",
                            json_at(status, "totals"));
}

/* ---- what is not well ---- */

static char *remedy_of(const json_t *account)
{
        const char *challenge = json_text(account, "challenge");
        if (challenge[0] &&
            same_text(json_text(account, "status"), "challenge")) /* one that was rejected is none any more */
                return text_of("emailsecctl challenge show %s", challenge);
        return copy_text(json_text(account, "cause.remedy"));
}

/* Two accounts have the same fault: the same words, but for their own names. */
static bool same_trouble(const json_t *a, const json_t *b)
{
        const char *name_a = json_text(a, "name"), *name_b = json_text(b, "name");
        if (!same_text(json_text(a, "status"), json_text(b, "status")) ||
            !same_text(json_text(a, "challenge"), json_text(b, "challenge")))
                return false;
        scoped(scoped_free) char *text_a = text_without_name(json_text(a, "cause.text"), name_a);
        scoped(scoped_free) char *text_b = text_without_name(json_text(b, "cause.text"), name_b);
        return same_text(text_a, text_b) && text_a[0];
}

static void print_status(const char *status)
{
        printf("%s%-*s%s ", term_tint(tint_of(status)), STATUS_WIDTH - 1, status, term_plain());
}

/* Behind the status, which is printed already. */
static void print_line(const char *words)
{
        show_prose(STATUS_WIDTH, words);
        puts("");
}

/* "smtp mail.example: works". The caller frees. */
static char *server_words(const json_t *account)
{
        scoped(scoped_free) char *transport = json_words(json_at(account, "transport"));
        scoped(scoped_free) char *host = json_words(json_at(account, "hostname"));
        const char *status = json_text(account, "status"), *rests_on = json_text(account, "statusText");
        bool unknown = same_text(status, "connecting") && rests_on[0];
        scoped(scoped_free) char *safe = printable_text(unknown ? rests_on : status_words(status));
        return text_of("%s %s: %s", transport, host, safe);
}

/* True where the station's own faults say it already. */
static bool is_station_fault(const json_t *status, const char *text)
{
        const json_t *faults = json_at(status, "faults");
        for (size_t i = 0; i < json_array_size(faults); i++)
                if (text[0] && strstr(text, json_text(json_array_get(faults, i), "text")))
                        return true;
        return false;
}

static void show_cause(const json_t *status, const json_t *account, bool several)
{
        const char *text = json_text(account, "cause.text"), *name = json_text(account, "name");
        scoped(scoped_free) char *remedy = remedy_of(account);
        scoped(scoped_free) char *general = several ? text_without_name(remedy, name) : copy_text(remedy);
        scoped(scoped_free) char *sentence = several ? text_without_name(text, name) : copy_text(text);
        if (json_is_object(json_at(account, "cause")) && !is_station_fault(status, text))
                show_advice(tint_of(json_text(account, "status")), sentence, general);
}

/* The account at `first` and those behind it with the same fault, which are marked in `told`. */
static void show_trouble(const json_t *status, size_t first, bool *told)
{
        const json_t *accounts = json_at(status, "accounts"), *account = json_array_get(accounts, first);
        struct names list = { 0 };
        for (size_t i = first; i < json_array_size(accounts); i++) {
                const json_t *other = json_array_get(accounts, i);
                if (told[i] || (i != first && !same_trouble(account, other)))
                        continue;
                told[i] = true;
                names_add(&list, json_text(other, "name"), MOST_NAMED);
        }
        bool several = list.count > 1;
        scoped(scoped_free) char *names = names_take(&list, MOST_NAMED);
        scoped(scoped_free) char *server = server_words(account);
        scoped(scoped_free) char *line =
                several ? text_of("%zu accounts: %s", list.count, names) : text_of("%s  %s", names, server);
        print_status(json_text(account, "status"));
        print_line(line);
        if (several) {
                printf("%*s", STATUS_WIDTH, "");
                print_line(server);
        }
        show_cause(status, account, several);
}

static void show_all_trouble(const json_t *status)
{
        const json_t *accounts = json_at(status, "accounts");
        scoped(scoped_free) bool *told = new_zeroed(json_array_size(accounts) + 1, sizeof(*told));
        for (size_t s = 0; s < count_of(states); s++)
                for (size_t i = 0; i < json_array_size(accounts); i++) {
                        const json_t *account = json_array_get(accounts, i);
                        if (!told[i] && is_ill(account) &&
                            same_text(json_text(account, "status"), states[s].status))
                                show_trouble(status, i, told);
                }
}

/* ---- what is ---- */

static void show_line(const json_t *account, size_t width)
{
        scoped(scoped_free) char *name = json_words(json_at(account, "name"));
        scoped(scoped_free) char *server = server_words(account);
        scoped(scoped_free) char *line = text_of("%-*s  %s", (int)width, name, server);
        print_status(json_text(account, "status"));
        print_line(line);
}

static size_t name_width(const json_t *accounts)
{
        /* One long name does not push all the others aside. */
        size_t width = 8;
        for (size_t i = 0; i < json_array_size(accounts); i++) {
                size_t len = strlen(json_text(json_array_get(accounts, i), "name"));
                width = len > width && len <= 32 ? len : width;
        }
        return width;
}

/* A line each where they are few, else their names. */
static void show_well(const json_t *status)
{
        const json_t *accounts = json_at(status, "accounts");
        size_t width = name_width(accounts);
        bool few = json_array_size(accounts) <= MOST_LISTED;
        for (size_t s = 0; s < count_of(states); s++) {
                struct names list = { 0 };
                for (size_t i = 0; i < json_array_size(accounts); i++) {
                        const json_t *account = json_array_get(accounts, i);
                        if (states[s].ill || !same_text(json_text(account, "status"), states[s].status))
                                continue;
                        if (few)
                                show_line(account, width);
                        else
                                names_add(&list, json_text(account, "name"), MOST_NAMED);
                }
                if (!list.count)
                        continue;
                scoped(scoped_free) char *names = names_take(&list, MOST_NAMED);
                print_status(states[s].status);
                print_line(names);
        }
        for (size_t i = 0; i < json_array_size(accounts); i++)
                if (!state_of(json_text(json_array_get(accounts, i), "status"))->words[0])
                        show_line(json_array_get(accounts, i), width);
}

static void show_counts(const json_t *status)
{
        const json_t *queue = json_at(status, "queue");
        long long failed = json_number(queue, "failed"), held = json_number(queue, "held");
        long long challenges = json_number(status, "challenges"), needless = json_number(status, "needless");
        printf("queue: %lld waiting, %lld of them held; %lld failed\n", (long long)status_waiting(queue),
               held, failed);
        const json_t *smtp = json_at(status, "submission");
        if (json_is_object(smtp)) /* null: nothing listens */
                printf("submission by SMTP: %lld client%s there, %lld accepted, %lld refused\n",
                       (long long)json_number(smtp, "clients"), json_number(smtp, "clients") == 1 ? "" : "s",
                       (long long)json_number(smtp, "accepted"), (long long)json_number(smtp, "refused"));
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

/* "NAME: advice": the advice, where NAME is that of an account; else NULL. */
static const char *advice_of_account(const json_t *status, const char *text, const char **name)
{
        const json_t *accounts = json_at(status, "accounts");
        for (size_t i = 0; i < json_array_size(accounts); i++) {
                *name = json_text(json_array_get(accounts, i), "name");
                size_t len = strlen(*name);
                if (len && !strncmp(text, *name, len) && !strncmp(text + len, ": ", 2))
                        return text + len + 2;
        }
        return NULL;
}

/* What to do, and for which accounts. */
struct advice {
        char *text; /* with NAME for the account's own */
        const char *whole;
        struct names names;
};

/* Advice for several accounts that differs by their name alone is given once, with all of the
 * names. */
static void add_advice(struct advice *all, size_t *count, const json_t *status, const char *text)
{
        const char *name = "", *own = advice_of_account(status, text, &name);
        char *general = own ? text_without_name(own, name) : copy_text(text);
        size_t at = 0;
        while (at < *count && !(own && all[at].names.count && same_text(all[at].text, general)))
                at++;
        if (at < *count)
                free(general);
        else
                all[(*count)++] = (struct advice){ .text = general, .whole = text };
        if (own)
                names_add(&all[at].names, name, MOST_ADVISED);
}

static void print_advice(struct advice *one)
{
        bool several = one->names.count > 1;
        scoped(scoped_free) char *names = names_take(&one->names, MOST_ADVISED);
        scoped(scoped_free) char *text =
                several ? text_of("%s: %s", names, one->text) : copy_text(one->whole);
        show_advice(TINT_NONE, text, NULL);
}

static void show_all_advice(const json_t *status)
{
        const json_t *advice = json_at(status, "advice");
        struct advice *all = new_zeroed(json_array_size(advice) + 1, sizeof(*all));
        size_t count = 0;
        for (size_t i = 0; i < json_array_size(advice); i++) {
                const char *text = json_string_value(json_array_get(advice, i));
                if (text && !is_said(status, text))
                        add_advice(all, &count, status, text);
        }
        if (count)
                puts("\nTo do:");
        /* A station with a hundred faults has few causes: more lines would hide the first ones. */
        for (size_t i = 0; i < count; i++) {
                if (i < MOST_ADVICE)
                        print_advice(&all[i]);
                free(all[i].text);
                free(all[i].names.text);
        }
        if (count > MOST_ADVICE)
                printf("  and %zu more: emailsecctl status --json\n", count - MOST_ADVICE);
        free(all);
}

/* By which account mail goes that names none, where that is a question. */
static void show_default(const json_t *status)
{
        const json_t *accounts = json_at(status, "accounts");
        size_t outgoing = 0;
        for (size_t i = 0; i < json_array_size(accounts); i++)
                outgoing += same_text(json_text(json_array_get(accounts, i), "kind"), "outgoing");
        if (outgoing < 2 || !json_is_string(json_at(status, "defaultAccount")))
                return;
        scoped(scoped_free) char *name = json_words(json_at(status, "defaultAccount"));
        printf("  default account: %s\n", name);
}

/* Who changed the station last. */
static void show_last_change(const json_t *status)
{
        const json_t *change = json_at(status, "lastChange");
        if (!json_is_object(change))
                return;
        scoped(scoped_free) char *time = date_words(json_at(change, "time"));
        scoped(scoped_free) char *text = json_words(json_at(change, "text"));
        scoped(scoped_free) char *line = text_of("last change: %s, %s", time, text);
        show_prose(2, line);
        puts("");
}

void status_show_station(const json_t *status, bool problems)
{
        scoped(scoped_free) char *version = json_words(json_at(status, "version"));
        scoped(scoped_free) char *host = json_words(json_at(status, "hostname"));
        scoped(scoped_free) char *since = date_words(json_at(status, "started"));
        scoped(scoped_free) char *totals = status_words_of_all(status);
        printf("%semailsecd%s %s on %s since %s\n%s\n", term_tint(TINT_STRONG), term_plain(), version, host,
               since, totals);
        if (json_array_size(json_at(status, "faults")) || json_array_size(json_at(status, "accounts")))
                puts("");
        show_faults(status);
        show_all_trouble(status);
        if (problems && !json_array_size(json_at(status, "faults")) && !count_ill(status))
                puts(status_count(status, "connecting") ? "Nothing is known to be wrong."
                                                        : "Nothing is wrong.");
        if (!problems) {
                show_well(status);
                size_t all = status_all(status), listed = json_array_size(json_at(status, "accounts"));
                if (all > listed)
                        printf("and %zu more accounts: emailsecctl account list\n", all - listed);
                puts("");
                show_counts(status);
                show_default(status);
                show_last_change(status);
        }
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

/* Where it connects, and how that is secured. */
static void show_server(const json_t *account)
{
        long long port = json_number(account, "port"); /* 0: the usual one */
        const char *secured = json_flag(account, "useSsl")        ? ", useSsl"
                              : json_flag(account, "useStartTls") ? ", useStartTls"
                                                                  : "";
        if (port)
                sheet_format("server", "%s port %lld%s", json_text(account, "hostname"), port, secured);
        else
                sheet_format("server", "%s%s", json_text(account, "hostname"), secured);
}

/* The sheet of one account: how it is, not how it is set (that is `account show`). */
void status_show_account(const json_t *account)
{
        static const char *const fields[] = {
                "lastChecked",         "lastPollSuccess", "lastPollFailure",  "lastPollFailureCause",
                "numberSent",          "numberSentToday", "numberGathered",   "lastGathered",
                "numberDiscarded",     "lastDiscard",     "lastDiscardCause", "numberReceived",
                "lastReceived",        "missing",         "lastHeartbeat",    "lastHeartbeatArrived",
                "lastHeartbeatSeconds"
        };
        scoped(scoped_free) char *name = json_words(json_at(account, "name"));
        const char *status = json_text(account, "status");
        sheet_title(name);
        printf("  %s%s%s\n", term_tint(tint_of(status)), status_words(status), term_plain());
        show_cause(NULL, account, false);
        sheet_value("so far", account, "statusText");
        sheet_value("kind", account, "kind");
        show_server(account);
        if (json_is_true(json_at(account, "default")))
                sheet_format("default", "mail that names no account goes out here");
        show_tls(account);
        const json_t *queue = json_at(account, "queue");
        if (queue)
                sheet_format("queue", "%lld waiting, %lld failed", (long long)status_waiting(queue),
                             (long long)json_number(queue, "failed"));
        scoped(scoped_free) char *waits = show_wait_words(json_at(account, "waitingFor"));
        if (waits)
                sheet_text("waits for", waits);
        for (size_t i = 0; i < count_of(fields); i++)
                sheet_value(fields[i], account, fields[i]);
        const json_t *warnings = json_at(account, "warnings");
        for (size_t i = 0; i < json_array_size(warnings); i++) {
                scoped(scoped_free) char *text = json_words(json_array_get(warnings, i));
                show_advice(TINT_WAIT, text, NULL);
        }
}
