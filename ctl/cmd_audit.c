/* SPDX-License-Identifier: MIT */
/*
 * `audit`: a verdict on every account, worst first. On a terminal what several accounts have in common is
 * told once, for all of them; elsewhere there is a row for each account and check, as programs want it.
 */
#include "common/printable.h"
#include "ctl/audit_view.h"
#include "ctl/call.h"
#include "ctl/cmds.h"
#include "ctl/show.h"

#define VERDICT_WIDTH 9  /* where the text behind a verdict begins */
#define MOST_WELL     12 /* names of accounts that pass a check */

static const char *const verdicts[] = { "alert", "warning", "ok" };

static size_t verdict_rank(const char *verdict)
{
        size_t rank = 0;
        while (rank < count_of(verdicts) && !same_text(verdict, verdicts[rank]))
                rank++;
        return rank;
}

/* Worst first; of one verdict as they came. With --problems only what is not well. */
static json_t *findings_sorted(const json_t *findings, bool problems)
{
        return json_ranked(findings, "verdict", verdict_rank, count_of(verdicts) - problems);
}

/* ---- what several have in common ---- */

/* A finding in general: those of other accounts that say the same have the same key. */
struct group {
        char *key, *text, *remedy; /* with NAME for the account's own */
        const json_t *first;
        struct names names;
};

static void groups_free(struct group *groups, size_t count)
{
        for (size_t i = 0; i < count; i++) {
                free(groups[i].key);
                free(groups[i].text);
                free(groups[i].remedy);
                free(groups[i].names.text);
        }
        free(groups);
}

static size_t most_named(const json_t *finding)
{
        return same_text(json_text(finding, "verdict"), "ok") ? MOST_WELL : MOST_NAMED;
}

/* The account, behind its station where there are several. The caller frees. */
static char *who_of(const json_t *finding)
{
        const char *name = json_text(finding, "account"), *station = json_text(finding, "station");
        if (!station[0])
                return copy_text(name[0] ? name : "the station");
        return name[0] ? text_of("%s: %s", station, name) : copy_text(station);
}

/* The findings in their order, those that are alike as one; *out is as long as they may be. */
static size_t group_findings(const json_t *findings, struct group *out)
{
        size_t count = 0;
        for (size_t i = 0; i < json_array_size(findings); i++) {
                const json_t *finding = json_array_get(findings, i);
                const char *name = json_text(finding, "account");
                char *text = text_without_name(json_text(finding, "text"), name);
                char *remedy = text_without_name(json_text(finding, "remedy"), name);
                char *key = text_of("%s\n%s\n%s\n%s", json_text(finding, "verdict"),
                                    json_text(finding, "check"), text, remedy);
                size_t at = 0;
                while (at < count && !same_text(out[at].key, key))
                        at++;
                if (at == count) {
                        out[count++] = (struct group){
                                .key = key, .text = text, .remedy = remedy, .first = finding
                        };
                } else {
                        free(key);
                        free(text);
                        free(remedy);
                }
                scoped(scoped_free) char *who = who_of(finding);
                names_add(&out[at].names, who, most_named(finding));
        }
        return count;
}

static void show_group(struct group *group)
{
        const json_t *finding = group->first;
        const char *verdict = json_text(finding, "verdict");
        bool several = group->names.count > 1, well = same_text(verdict, "ok");
        size_t count = group->names.count;
        scoped(scoped_free) char *names = names_take(&group->names, most_named(finding));
        scoped(scoped_free) char *check = json_words(json_at(finding, "check"));
        scoped(scoped_free) char *text =
                several ? printable_text(group->text) : json_words(json_at(finding, "text"));
        scoped(scoped_free) char *who =
                several ? text_of("%zu %s: %s", count,
                                  json_text(finding, "account")[0] ? "accounts" : "stations", names)
                        : copy_text(names);
        scoped(scoped_free) char *line = well ? text_of("%s: %s  (%s)", check, text, who) : copy_text(who);
        printf("%s%-*s%s", term_tint(tint_of(verdict)), VERDICT_WIDTH, verdict, term_plain());
        show_prose(VERDICT_WIDTH, line);
        puts("");
        if (well)
                return;
        scoped(scoped_free) char *sentence = text_of("%s: %s", check, text);
        show_advice(tint_of(verdict), sentence, several ? group->remedy : json_text(finding, "remedy"));
}

static void show_groups(const struct tool *tool, const json_t *findings, const char *none)
{
        struct group *groups = new_zeroed(json_array_size(findings) + 1, sizeof(*groups));
        size_t count = group_findings(findings, groups);
        term_pager_open(tool);
        for (size_t i = 0; i < count; i++)
                show_group(&groups[i]);
        if (!count && !tool->no_legend)
                puts(none);
        groups_free(groups, count);
}

static void show_rows(const struct tool *tool, const json_t *findings, bool stations, const char *none)
{
        static const struct column columns[] = {
                { "STATION", "station", NULL, COLUMN_WHOLE },
                { "ACCOUNT", "account", NULL, COLUMN_WHOLE },
                { "CHECK", "check", NULL, 0 },
                { "VERDICT", "verdict", NULL, COLUMN_STATE },
                { "FINDING", "text", NULL, COLUMN_BELOW },
                { "WHAT TO DO", "remedy", NULL, COLUMN_BELOW },
        };
        show_list(tool, columns + !stations, count_of(columns) - !stations, findings, none);
}

size_t audit_show(const struct tool *tool, const json_t *findings, bool stations)
{
        bool problems = tool_has(tool, "problems"), person = term_output() && !tool->json;
        const char *none = problems ? "No warnings and no alerts." : "There is nothing to look at yet.";
        size_t alerts = json_count(findings, "verdict", "alert"),
               warnings = json_count(findings, "verdict", "warning");
        scoped(scoped_json) json_t *sorted = findings_sorted(findings, problems);
        if (person)
                show_groups(tool, sorted, none);
        else
                show_rows(tool, sorted, stations, none);
        if (json_array_size(sorted) && person && !tool->no_legend)
                printf("\n%zu alert%s, %zu warning%s; %zu passed\n", alerts, alerts == 1 ? "" : "s", warnings,
                       warnings == 1 ? "" : "s", json_count(findings, "verdict", "ok"));
        return alerts;
}

int run_audit(struct tool *tool)
{
        scoped(scoped_json) json_t *answer = NULL;
        int status = call_daemon(tool, EMAIL("Audit"), NULL, &answer);
        if (status)
                return status;
        return audit_show(tool, json_at(answer, "findings"), false) ? EXIT_FAILED : status;
}
