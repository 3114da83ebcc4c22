/* SPDX-License-Identifier: MIT */
/*
 * `challenge ...` and `allowed ...`: certificates that a person decides on. A decision names what it is about
 * by fingerprint; on a terminal it is asked for after the certificate was shown, "yes" is no answer.
 */
#include "common/json_fields.h"
#include "common/names.h"
#include "common/printable.h"
#include "common/times.h"
#include "ctl/ask.h"
#include "ctl/call.h"
#include "ctl/certificate.h"
#include "ctl/cmds.h"
#include "ctl/show.h"
#include "ctl/tool.h"

/* LEAST_DIGITS: hexadecimal, 64 bits of the digest, which nobody makes a certificate to fit.
 * MOST_TRIES at the question. */
#define LEAST_DIGITS 16
#define MOST_TRIES   3

/* Their codes. The caller decrefs. */
static json_t *error_list(const json_t *errors)
{
        json_t *codes = json_array();
        for (size_t i = 0; i < json_array_size(errors); i++)
                (void)json_array_append(codes, json_object_get(json_array_get(errors, i), "code"));
        return codes;
}

static char *error_codes(const json_t *errors)
{
        scoped(scoped_json) json_t *codes = error_list(errors);
        return json_words(codes);
}

/* What heals by itself, or concerns nobody any more, is nothing to decide. */
static void leave_out_needless(json_t *entries)
{
        for (size_t i = json_array_size(entries); i-- > 0;)
                if (json_flag(json_array_get(entries, i), "needless"))
                        (void)json_array_remove(entries, i);
}

/* Challenges and Allowed Hosts are one list of the daemon, told apart by state; `needless`: those
 * as well. */
static int list_entries(struct tool *tool, const char *state, bool needless, const struct column *columns,
                        size_t count, const char *none)
{
        scoped(scoped_json) json_t *answer = NULL;
        int status = call_daemon(tool, TRUST("ListAllowedHosts"), parameters_of("state", state), &answer);
        if (!status && !needless)
                leave_out_needless(json_object_get(answer, "entries"));
        if (!status)
                show_list(tool, columns, count, json_at(answer, "entries"), none);
        return status;
}

int run_challenge_list(struct tool *tool)
{
        static const struct column columns[] = {
                { "ID", "id", show_id_words, COLUMN_WHOLE },
                { "HOST", "host", NULL, 0 },
                { "PORT", "port", NULL, COLUMN_RIGHT },
                { "CLASS", "class", NULL, COLUMN_STATE },
                { "ACCOUNTS", "accounts", NULL, COLUMN_BELOW },
                { "SINCE", "created", date_words, 0 },
                { "ERRORS", "errors", error_codes, COLUMN_BELOW },
        };
        return list_entries(tool, "pending", false, columns, count_of(columns),
                            "No certificate waits for a decision.");
}

int run_allowed_list(struct tool *tool)
{
        static const struct column columns[] = {
                { "ID", "id", show_id_words, COLUMN_WHOLE },
                { "HOST", "host", NULL, 0 },
                { "PORT", "port", NULL, COLUMN_RIGHT },
                { "STATE", "state", NULL, COLUMN_STATE },
                { "PINS", "pins", NULL, 0 },
                { "NEEDLESS", "needless", NULL, 0 },
                { "EXPIRES", "expires", date_words, 0 },
                { "DECIDED BY", "decidedBy", NULL, COLUMN_BELOW },
        };
        return list_entries(tool, tool_option(tool, "state"), true, columns, count_of(columns),
                            "There are no Allowed Hosts.");
}

/* How it is decided, and where what must be compared comes from. */
static void show_decisions(const char *id)
{
        scoped(scoped_free) char *short_one = copy_bytes(id, strlen(id) < 12 ? strlen(id) : 12);
        scoped(scoped_free) char *safe = printable_text(short_one);
        puts("");
        sheet_title("To decide");
        scoped(scoped_free) char *accept =
                text_of("emailsecctl challenge accept %s --fingerprint SHA256, when the fingerprint is the "
                        "one that the server's operator tells you: on the server, openssl x509 -in "
                        "CERTIFICATE -noout -fingerprint -sha256",
                        safe);
        scoped(scoped_free) char *reject =
                text_of("emailsecctl challenge reject %s, when it is not, or nobody can tell", safe);
        sheet_text("to accept", accept);
        sheet_text("to reject", reject);
}

/* Of either list: an id means one entry, whatever its state is. */
static int show_one(struct tool *tool)
{
        scoped(scoped_json) json_t *answer = NULL;
        int status =
                call_daemon(tool, TRUST("GetAllowedHost"), parameters_of("id", tool_word(tool, 0)), &answer);
        if (status)
                return status;
        if (tool->json) {
                show_json(json_at(answer, "entry"));
                return status;
        }
        term_pager_open(tool);
        show_entry(json_at(answer, "entry"), json_at(answer, "replaced"));
        if (same_text(json_text(answer, "entry.state"), "pending"))
                show_decisions(json_text(answer, "entry.id"));
        return status;
}

int run_challenge_show(struct tool *tool)
{
        return show_one(tool);
}

int run_allowed_show(struct tool *tool)
{
        return show_one(tool);
}

/* ---- deciding ---- */

/* How the digits are grouped is up to the person: they are counted without what stands between. */
static bool is_enough(const char *text)
{
        scoped(scoped_free) char *digits = fingerprint_normal(text);
        return digits && strlen(digits) >= LEAST_DIGITS;
}

/* The end of an approval as RFC 3339, empty without one. */
static int approval_end(const struct tool *tool, char out[32])
{
        const char *duration = tool_option(tool, "for"), *date = tool_option(tool, "until");
        struct cause cause = { 0 };
        int64_t seconds = 0;
        time_t end = 0;
        out[0] = 0;
        if (duration && date)
                return tell_usage(tool, "--for and --until exclude each other");
        if (duration && duration_parse(duration, &seconds, &cause))
                return tell_usage(tool, "--for: %s", cause.text);
        if (duration && (__builtin_add_overflow(time(NULL), seconds, &end) || end > TIME_LAST))
                return tell_usage(tool, "--for: %s is longer than dates go; without it there is no end",
                                  duration);
        if (date && time_parse(date, &end, &cause))
                return tell_usage(tool, "--until: %s", cause.text);
        if (duration || date)
                time_rfc3339(end, out);
        if (date && !out[0]) /* the one second that has no text must not become an approval without end */
                return tell_usage(tool, "--until: %s is in the past", date);
        return EXIT_DONE;
}

/* "" where the person gives up; NULL at the end of the input, or after too many tries. The caller
 * frees. */
static char *ask_fingerprint(bool key)
{
        for (int i = 0; i < MOST_TRIES; i++) {
                char *answer = ask_line(
                        key ? "\nTo approve, type the SHA-256 of the key (16 digits or more): "
                            : "\nTo approve, type the SHA-256 of the certificate (16 digits or more): ");
                if (!answer || !answer[0] || is_enough(answer))
                        return answer;
                free(answer);
                fputs("That is no fingerprint: 'yes' is not enough here.\n", stderr);
        }
        return NULL;
}

/* What an approval is about. */
struct meant {
        char *id, *fingerprint;
        json_t *errors; /* codes of those that were shown; NULL: nothing was */
};

static void meant_done(struct meant *meant)
{
        free(meant->id);
        free(meant->fingerprint);
        json_decref(meant->errors);
}

/* Shows the entry and asks; the id becomes its whole id, so that what was shown is what is approved. */
static int show_and_ask(struct tool *tool, bool key, struct meant *meant)
{
        scoped(scoped_json) json_t *answer = NULL;
        int status =
                call_daemon(tool, TRUST("GetAllowedHost"), parameters_of("id", tool_word(tool, 0)), &answer);
        if (status)
                return status;
        show_entry(json_at(answer, "entry"), json_at(answer, "replaced"));
        fflush(stdout);
        meant->fingerprint = ask_fingerprint(key);
        if (!meant->fingerprint || !meant->fingerprint[0]) {
                struct cause cause;
                (void)cause_set(&cause, CAUSE_CANCELLED, "nothing was approved");
                return tell_cause(&cause);
        }
        meant->id = copy_text(json_text(answer, "entry.id"));
        meant->errors = error_list(json_at(answer, "entry.errors"));
        return EXIT_DONE;
}

/* From the command line or the person. */
static int what_is_meant(struct tool *tool, struct meant *meant)
{
        const char *given = tool_option(tool, "fingerprint");
        if (given && !is_enough(given))
                return tell_usage(tool, "--fingerprint needs %d or more hexadecimal digits", LEAST_DIGITS);
        if (!given && (!term_input() || tool->no_ask_password))
                return tell_usage(tool, "--fingerprint is required where nobody can be asked on a terminal");
        if (!given)
                return show_and_ask(tool, tool_has(tool, "key"), meant);
        meant->id = copy_text(tool_word(tool, 0));
        meant->fingerprint = copy_text(given);
        return EXIT_DONE;
}

static int tell_decision(struct tool *tool, const json_t *answer, const char *done)
{
        const json_t *entry = json_at(answer, "entry");
        if (tool->json)
                show_json(entry);
        else
                show_done(tool, "%s:%lld: %s", json_text(entry, "host"),
                          (long long)json_number(entry, "port"), done);
        return EXIT_DONE;
}

static int approve(struct tool *tool)
{
        char until[32];
        scoped(meant_done) struct meant meant = { 0 };
        int status = approval_end(tool, until);
        if (!status)
                status = what_is_meant(tool, &meant);
        if (status)
                return status;
        json_t *parameters = parameters_of("id", meant.id);
        parameter_text(parameters, "fingerprint", meant.fingerprint);
        if (meant.errors)
                json_put(parameters, "errors", json_incref(meant.errors));
        parameter_text(parameters, "pins", tool_has(tool, "key") ? "key" : NULL);
        parameter_text(parameters, "until", until[0] ? until : NULL);
        parameter_text(parameters, "reason", tool_option(tool, "reason"));
        scoped(scoped_json) json_t *answer = NULL;
        status = call_daemon(tool, TRUST("Approve"), parameters, &answer);
        return status ? status : tell_decision(tool, answer, "approved");
}

int run_challenge_accept(struct tool *tool)
{
        return approve(tool);
}

int run_allowed_approve(struct tool *tool)
{
        return approve(tool);
}

/* Decisions that take trust away: no fingerprint is asked for, a mistake can be taken back. */
static int decide(struct tool *tool, const char *id, const char *method, const char *done, json_t **out)
{
        json_t *parameters = parameters_of("id", id);
        parameter_text(parameters, "reason", tool_option(tool, "reason"));
        scoped(scoped_json) json_t *answer = NULL;
        int status = call_daemon(tool, method, parameters, &answer);
        if (status)
                return status;
        *out = json_incref(json_object_get(answer, "entry"));
        show_done(tool, "%s:%lld: %s", json_text(*out, "host"), (long long)json_number(*out, "port"), done);
        return status;
}

static int reject_one(struct tool *tool, const char *id, json_t **out)
{
        return decide(tool, id, TRUST("Reject"), "rejected", out);
}

static int unapprove_one(struct tool *tool, const char *id, json_t **out)
{
        return decide(tool, id, TRUST("Unapprove"), "no longer approved", out);
}

static int delete_one(struct tool *tool, const char *id, json_t **out)
{
        return decide(tool, id, TRUST("DeleteAllowedHost"), "deleted", out);
}

int run_challenge_reject(struct tool *tool)
{
        return each_word(tool, reject_one);
}

int run_allowed_unapprove(struct tool *tool)
{
        return each_word(tool, unapprove_one);
}

int run_allowed_delete(struct tool *tool)
{
        return each_word(tool, delete_one);
}

int run_allowed_prune(struct tool *tool)
{
        scoped(scoped_json) json_t *answer = NULL;
        int status = call_daemon(tool, TRUST("Prune"), NULL, &answer);
        if (status)
                return status;
        const json_t *ids = json_at(answer, "ids");
        if (tool->json) {
                show_json(ids);
                return status;
        }
        for (size_t i = 0; i < json_array_size(ids); i++) {
                scoped(scoped_free) char *id = show_id_words(json_array_get(ids, i));
                show_done(tool, "%s: deleted", id);
        }
        if (json_array_size(ids) == 0)
                show_done(tool, "every exemption is still needed");
        return status;
}
