/* SPDX-License-Identifier: MIT */
/* The screens of many stations: a table of them, their certificates, findings and changes, worst first. */
#include "ctl/fleet_view.h"

#include "common/json_fields.h"
#include "common/printable.h"
#include "ctl/audit_view.h"
#include "ctl/call.h"
#include "ctl/show.h"
#include "ctl/status_view.h"

#include <stdio.h>

/* Above every rank of a view. */
enum { RANK_STATUS = 10, MOST_SAID = 3 };

/* ---- status ---- */

/* The accounts of an answer: of a station, of several names, or the one that was named. The caller decrefs.
 */
static json_t *accounts_of(const json_t *result)
{
        json_t *inside = json_object_get(result, "accounts");
        if (json_is_array(inside))
                return json_incref(inside);
        if (json_is_array(result))
                return json_incref((json_t *)(uintptr_t)result);
        json_t *one = json_array();
        (void)json_array_append(one, (json_t *)(uintptr_t)result);
        return one;
}

/* That of the worst of its accounts, or of the station's own faults. */
static const char *state_word(const json_t *result)
{
        scoped(scoped_json) json_t *accounts = accounts_of(result);
        const char *worst = "ok";
        for (size_t i = 0; i < json_array_size(accounts); i++) {
                const char *word = json_text(json_array_get(accounts, i), "status");
                if (word[0] && (i == 0 || status_rank(word) < status_rank(worst)))
                        worst = word;
        }
        bool faults = json_array_size(json_at(result, "faults")) > 0;
        return faults && status_rank(worst) > status_rank("fault") ? "fault" : worst;
}

static int rank_status(const struct fleet_answer *answer)
{
        size_t rank = status_rank(state_word(answer->result));
        return rank < status_rank("ok") ? RANK_STATUS - (int)rank : 0;
}

/* A fault that many accounts have is said once. Goes on counting beyond MOST_SAID, for the words
 * that say how many more there are. */
static void say(char **all, size_t *said, const char *name, const char *text)
{
        if (!text[0] || strstr(*all, text) || ++*said > MOST_SAID)
                return;
        char *longer = text_of("%s%s%s%s%s", *all, (*all)[0] ? "; " : "", name, name[0] ? ": " : "", text);
        free(*all);
        *all = longer;
}

/* What is wrong there, in a line. The caller frees. */
static char *trouble_words(const json_t *result)
{
        scoped(scoped_json) json_t *accounts = accounts_of(result);
        char *all = copy_text("");
        size_t said = 0;
        const json_t *faults = json_at(result, "faults");
        for (size_t i = 0; i < json_array_size(faults); i++)
                say(&all, &said, "", json_text(json_array_get(faults, i), "text"));
        scoped(scoped_json) json_t *sorted = status_sorted(accounts, "status");
        for (size_t i = 0; i < json_array_size(sorted); i++) {
                const json_t *account = json_array_get(sorted, i);
                if (status_is_ill(json_text(account, "status")))
                        say(&all, &said, json_text(account, "name"), json_text(account, "cause.text"));
        }
        if (said > MOST_SAID) {
                char *longer = text_of("%s; and %zu more", all, said - MOST_SAID);
                free(all);
                all = longer;
        }
        return all;
}

/* The numbers of a station where it sent its own, else the sum of its accounts. `failed`: that
 * state is meant, not those that wait. */
static int64_t waiting_of(const json_t *result, const json_t *accounts, const char *failed)
{
        const json_t *queue = json_at(result, "queue");
        int64_t sum = 0;
        if (queue)
                return failed ? json_number(queue, failed) : status_waiting(queue);
        for (size_t i = 0; i < json_array_size(accounts); i++) {
                queue = json_at(json_array_get(accounts, i), "queue");
                sum += failed ? json_number(queue, failed) : status_waiting(queue);
        }
        return sum;
}

static json_t *status_row(const struct fleet_answer *answer)
{
        json_t *row = json_object();
        json_put_text(row, "station", answer->station);
        if (answer->cause.code) {
                scoped(scoped_free) char *what =
                        text_of("%s: %s", answer->cause.text, cause_remedy_of(&answer->cause));
                json_put_text(row, "state", "not reached");
                json_put_text(row, "what", what);
                return row;
        }
        scoped(scoped_json) json_t *accounts = accounts_of(answer->result);
        scoped(scoped_free) char *totals = status_totals(accounts, "status");
        scoped(scoped_free) char *what = trouble_words(answer->result);
        json_put_text(row, "state", state_word(answer->result));
        json_put_text(row, "accounts", totals);
        json_put(row, "waiting", json_integer(waiting_of(answer->result, accounts, NULL)));
        json_put(row, "failed", json_integer(waiting_of(answer->result, accounts, "failed")));
        json_put(row, "challenges", json_integer(json_number(answer->result, "challenges")));
        json_put_text(row, "version", json_text(answer->result, "version"));
        json_put_text(row, "what", what[0] ? what : NULL);
        return row;
}

static void show_status(const struct tool *tool, const struct fleet_answer *answers, size_t count)
{
        static const struct column columns[] = {
                { "STATION", "station", NULL, COLUMN_WHOLE },
                { "STATE", "state", NULL, COLUMN_STATE },
                { "ACCOUNTS", "accounts", NULL, 0 },
                { "WAITING", "waiting", NULL, COLUMN_RIGHT },
                { "FAILED", "failed", NULL, COLUMN_RIGHT },
                { "CHALLENGES", "challenges", NULL, COLUMN_RIGHT },
                { "VERSION", "version", NULL, 0 },
                { "WHAT", "what", NULL, COLUMN_BELOW },
        };
        size_t lost = 0, ill = 0;
        scoped(scoped_json) json_t *rows = json_array();
        for (size_t i = 0; i < count; i++) {
                /* Of one that was not reached nothing is known: it is counted apart. */
                bool failed = answers[i].cause.code != CAUSE_NONE;
                bool trouble = !failed && status_is_ill(state_word(answers[i].result));
                lost += failed;
                ill += trouble;
                if (failed || trouble || !tool_has(tool, "problems"))
                        (void)json_array_append_new(rows, status_row(&answers[i]));
        }
        show_list(tool, columns, count_of(columns), rows, "Nothing is wrong.");
        if (!tool->no_legend)
                printf("\n%zu station%s: %zu well, %zu with trouble, %zu not reached\n", count,
                       count == 1 ? "" : "s", count - lost - ill, ill, lost);
}

/* ---- audit, challenge list ---- */

/* The rows of all stations, each with its station. The caller decrefs. */
static json_t *rows_of_all(const struct fleet_answer *answers, size_t count)
{
        json_t *all = json_array();
        for (size_t i = 0; i < count; i++)
                for (size_t r = 0; r < json_array_size(answers[i].result); r++) {
                        json_t *row = json_copy(json_array_get(answers[i].result, r));
                        if (!json_is_object(row)) {
                                json_decref(row);
                                continue;
                        }
                        json_put_text(row, "station", answers[i].station);
                        (void)json_array_append_new(all, row);
                }
        return all;
}

static int rank_audit(const struct fleet_answer *answer)
{
        return (int)json_count(answer->result, "verdict", "alert");
}

static void show_audit(const struct tool *tool, const struct fleet_answer *answers, size_t count)
{
        scoped(scoped_json) json_t *findings = rows_of_all(answers, count);
        (void)audit_show(tool, findings, true);
}

/* Worst first; a class that is not known here comes behind them all. */
static const char *const classes[] = { "regression", "changed", "new" };

static int rank_challenges(const struct fleet_answer *answer)
{
        for (size_t c = 0; c < count_of(classes); c++)
                for (size_t i = 0; i < json_array_size(answer->result); i++)
                        if (same_text(json_text(json_array_get(answer->result, i), "class"), classes[c]))
                                return (int)(count_of(classes) - c);
        return 0;
}

static void show_challenges(const struct tool *tool, const struct fleet_answer *answers, size_t count)
{
        static const struct column columns[] = {
                { "STATION", "station", NULL, COLUMN_WHOLE },
                { "ID", "id", show_id_words, COLUMN_WHOLE },
                { "HOST", "host", NULL, 0 },
                { "PORT", "port", NULL, COLUMN_RIGHT },
                { "CLASS", "class", NULL, COLUMN_STATE },
                { "SHA-256", "certificate.fingerprintSha256", digest_words, 0 },
                { "ACCOUNTS", "accounts", NULL, COLUMN_BELOW },
                { "SINCE", "created", date_words, 0 },
        };
        scoped(scoped_json) json_t *entries = rows_of_all(answers, count), *sorted = json_array();
        for (size_t c = 0; c <= count_of(classes); c++)
                for (size_t i = 0; i < json_array_size(entries); i++) {
                        json_t *entry = json_array_get(entries, i);
                        size_t its = 0;
                        while (its < count_of(classes) && !same_text(json_text(entry, "class"), classes[its]))
                                its++;
                        if (its == c)
                                (void)json_array_append(sorted, entry);
                }
        show_list(tool, columns, count_of(columns), sorted, "No certificate waits for a decision.");
}

/* ---- account apply ---- */

static json_t *changes_of(const json_t *result, const char *change)
{
        return json_integer((json_int_t)json_count(result, "change", change));
}

static int rank_apply(const struct fleet_answer *answer)
{
        return json_array_size(answer->result) > json_count(answer->result, "change", "none");
}

static void show_apply(const struct tool *tool, const struct fleet_answer *answers, size_t count)
{
        static const struct column columns[] = {
                { "STATION", "station", NULL, COLUMN_WHOLE }, { "ADDED", "added", NULL, COLUMN_RIGHT },
                { "CHANGED", "set", NULL, COLUMN_RIGHT },     { "AS BEFORE", "none", NULL, COLUMN_RIGHT },
                { "WHAT", "what", NULL, COLUMN_BELOW },
        };
        scoped(scoped_json) json_t *rows = json_array();
        for (size_t i = 0; i < count; i++) {
                const json_t *result = answers[i].result;
                if (answers[i].cause.code)
                        continue;
                json_t *row = json_object();
                char *what = copy_text("");
                size_t said = 0;
                for (size_t c = 0; c < json_array_size(result); c++)
                        if (!same_text(json_text(json_array_get(result, c), "change"), "none"))
                                say(&what, &said, "", json_text(json_array_get(result, c), "text"));
                json_put_text(row, "station", answers[i].station);
                json_put(row, "added", changes_of(result, "add"));
                json_put(row, "set", changes_of(result, "set"));
                json_put(row, "none", changes_of(result, "none"));
                json_put_text(row, "what", what[0] ? what : NULL);
                free(what);
                (void)json_array_append_new(rows, row);
        }
        show_list(tool, columns, count_of(columns), rows, "Nothing was changed anywhere.");
}

/* ---- every other command ---- */

static void show_texts(unused_arg const struct tool *tool, const struct fleet_answer *answers, size_t count)
{
        for (size_t i = 0; i < count; i++) {
                const char *text = answers[i].text;
                /* What was printed before a failure is shown; the failure itself is told below. */
                if (answers[i].cause.code && !text[0])
                        continue;
                if (!tool->no_legend)
                        printf("%s== %s ==%s\n", term_tint(TINT_STRONG), answers[i].station, term_plain());
                printf("%s%s", text, text[0] && text[strlen(text) - 1] != '\n' ? "\n" : "");
        }
}

static bool is_list(const json_t *result)
{
        return json_is_array(result);
}

/* A station, several accounts, or one: what `status --json` prints. */
static bool is_status(const json_t *result)
{
        return json_is_array(result) || json_is_array(json_object_get(result, "accounts")) ||
               json_is_string(json_object_get(result, "status"));
}

const struct fleet_view *fleet_view_of(const char *words)
{
        static const struct fleet_view views[] = {
                { "status", is_status, rank_status, show_status, true },
                { "audit", is_list, rank_audit, show_audit, false },
                { "challenge list", is_list, rank_challenges, show_challenges, false },
                { "account apply", is_list, rank_apply, show_apply, false },
                { NULL, NULL, NULL, show_texts, false },
        };
        const struct fleet_view *view = views;
        while (view->words && !same_text(view->words, words))
                view++;
        return view;
}

/* ---- who did not answer ---- */

static bool same_failure(const struct fleet_answer *a, const struct fleet_answer *b)
{
        scoped(scoped_free) char *first = text_without_name(cause_remedy_of(&a->cause), a->station);
        scoped(scoped_free) char *other = text_without_name(cause_remedy_of(&b->cause), b->station);
        return a->cause.code == b->cause.code && same_text(a->cause.text, b->cause.text) &&
               same_text(first, other);
}

void fleet_tell_failures(const struct fleet_answer *answers, size_t count)
{
        scoped(scoped_free) bool *told = new_zeroed(count + 1, sizeof(*told));
        for (size_t i = 0; i < count; i++) {
                struct names names = { 0 };
                if (!answers[i].cause.code || told[i])
                        continue;
                for (size_t other = i; other < count; other++) {
                        if (!answers[other].cause.code || told[other] ||
                            !same_failure(&answers[i], &answers[other]))
                                continue;
                        told[other] = true;
                        names_add(&names, answers[other].station, MOST_ADVISED);
                }
                struct cause cause = answers[i].cause;
                bool several = names.count > 1;
                scoped(scoped_free) char *remedy =
                        several ? text_without_name(cause_remedy_of(&answers[i].cause), answers[i].station)
                                : copy_text(cause_remedy_of(&answers[i].cause));
                scoped(scoped_free) char *list = names_take(&names, MOST_ADVISED);
                cause_prefix(&cause, "%s: ", list);
                cause_remedy(&cause, "%s", remedy);
                (void)tell_cause(&cause);
        }
}
