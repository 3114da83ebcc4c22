/* SPDX-License-Identifier: MIT */
/* `account ...`: the property sheets. Values are typed by the common table and judged by the daemon alone. */
#include "common/json_fields.h"
#include "common/printable.h"
#include "common/properties.h"
#include "ctl/ask.h"
#include "ctl/call.h"
#include "ctl/cmds.h"
#include "ctl/show.h"
#include "ctl/status_view.h"
#include "ctl/tool.h"

#include <errno.h>

static void tell_warnings(const json_t *account)
{
        const json_t *warnings = json_at(account, "warnings");
        for (size_t i = 0; i < json_array_size(warnings); i++) {
                scoped(scoped_free) char *text = json_words(json_array_get(warnings, i));
                fflush(stdout);
                fprintf(stderr, "warning: %s\n", text);
        }
}

/* ---- looking ---- */

/* What the table shows of it; all of it where that is wanted. */
static json_t *listed(json_t *account, bool all)
{
        static const char *const shown[] = { "transport", "hostname", "port", "status" };
        if (all)
                return json_incref(account);
        json_t *row = json_object(), *values = json_object();
        for (size_t i = 0; i < count_of(shown); i++) {
                json_t *value = json_object_get(json_at(account, "properties"), shown[i]);
                if (value)
                        json_put(values, shown[i], json_incref(value));
        }
        json_put_text(row, "name", json_text(account, "name"));
        json_put_text(row, "kind", json_text(account, "kind"));
        json_put(row, "properties", values);
        return row;
}

struct account_rows {
        json_t *list;
        bool all;
};

static int add_listed(void *arg, json_t *account)
{
        struct account_rows *rows = arg;
        (void)json_array_append_new(rows->list, listed(account, rows->all));
        return EXIT_DONE;
}

int run_account_list(struct tool *tool)
{
        static const struct column columns[] = {
                { "NAME", "name", NULL, COLUMN_WHOLE },
                { "KIND", "kind", NULL, 0 },
                { "TRANSPORT", "properties.transport", NULL, 0 },
                { "HOSTNAME", "properties.hostname", NULL, 0 },
                { "PORT", "properties.port", NULL, COLUMN_RIGHT },
                { "STATUS", "properties.status", NULL, COLUMN_STATE },
        };
        scoped(scoped_json) json_t *list = json_array();
        int status = each_account(tool, NULL, add_listed, &(struct account_rows){ list, tool->json }, NULL);
        if (status)
                return status;
        scoped(scoped_json) json_t *sorted = status_sorted(list, "properties.status");
        show_list(tool, columns, count_of(columns), tool->json ? list : sorted,
                  "There are no accounts yet: emailsecctl account add --help");
        if (json_array_size(sorted) && !tool->json && !tool->no_legend && term_output()) {
                scoped(scoped_free) char *totals = status_totals(sorted, "properties.status");
                printf("\n%s\n", totals);
        }
        return status;
}

/* "TLSv1.3, TLS_AES_256_GCM_SHA384, verified by system, certificate until ..." of the structure. */
static char *tls_words(const json_t *tls)
{
        const char *version = json_text(tls, "version"), *cipher = json_text(tls, "cipher"),
                   *by = json_text(tls, "verifiedBy");
        bool dated = json_is_string(json_at(tls, "notAfter"));
        scoped(scoped_free) char *until = dated ? date_words(json_at(tls, "notAfter")) : copy_text("");
        scoped(scoped_free) char *text =
                text_of("%s%s%s%s%s%s%s", version, cipher[0] ? ", " : "", cipher,
                        by[0] ? ", verified by " : "", same_text(by, "allowedHost") ? "an exemption" : by,
                        dated ? ", certificate until " : "", until);
        return printable_text(text);
}

static void show_property(const json_t *values, const struct property *property)
{
        const json_t *value = json_object_get(values, property->name);
        if (!value || json_is_null(value) || same_text(property->name, "name"))
                return;
        scoped(scoped_free) char *words = property->type == TYPE_TIME               ? date_words(value)
                                          : same_text(property->name, "tls")        ? tls_words(value)
                                          : same_text(property->name, "waitingFor") ? show_wait_words(value)
                                                                                    : json_words(value);
        sheet_text(property->name, words);
}

/* What is set, then what is: the properties a person may change, then those of the daemon. */
static void show_sheet(const json_t *account)
{
        const json_t *values = json_at(account, "properties");
        scoped(scoped_free) char *name = json_words(json_at(account, "name"));
        sheet_title(name);
        for (size_t i = 0; i < PROPERTIES; i++)
                if (properties[i].access != ACCESS_READ)
                        show_property(values, &properties[i]);
        puts("");
        for (size_t i = 0; i < PROPERTIES; i++)
                if (properties[i].access == ACCESS_READ)
                        show_property(values, &properties[i]);
        const json_t *warnings = json_at(account, "warnings");
        for (size_t i = 0; i < json_array_size(warnings); i++) {
                scoped(scoped_free) char *text = json_words(json_array_get(warnings, i));
                show_advice(TINT_WAIT, text, NULL);
        }
}

int run_account_show(struct tool *tool)
{
        scoped(scoped_json) json_t *answer = NULL;
        int status =
                call_daemon(tool, EMAIL("GetAccount"), parameters_of("name", tool_word(tool, 0)), &answer);
        if (status)
                return status;
        const json_t *account = json_at(answer, "account");
        if (tool->json)
                show_json(account);
        else
                show_sheet(account);
        return status;
}

int run_account_folders(struct tool *tool)
{
        static const struct column columns[] = {
                { "FOLDER", "name", NULL, COLUMN_WHOLE },
                { "FETCHED", "fetched", NULL, 0 },
                { "CAN BE OPENED", "selectable", NULL, 0 },
        };
        return tool_show_list(tool, EMAIL("ListFolders"), parameters_of("name", tool_word(tool, 0)),
                              "folders", columns, count_of(columns), "The server lists no folders.");
}

/* ---- changing ---- */

/* The whole of the text is a number: strtoll() alone takes "1x" for 1. */
static bool whole_number(const char *text, int64_t *out)
{
        char *end = NULL;
        errno = 0;
        long long number = strtoll(text, &end, 10);
        if (errno || end == text || *end)
                return false;
        *out = number;
        return true;
}

/* The value as its property wants it; what does not fit goes as text, for the daemon to take or refuse. */
static json_t *typed_value(const char *name, const char *text)
{
        const struct property *property = property_named(name);
        int64_t number = 0;
        if (property && property->type == TYPE_BOOL && same_text(text, "true"))
                return json_true();
        if (property && property->type == TYPE_BOOL && same_text(text, "false"))
                return json_false();
        if (property && (property->type == TYPE_INT || property->type == TYPE_PORT) &&
            whole_number(text, &number))
                return json_integer(number);
        scoped(scoped_free) char *safe = utf8_valid(text, strlen(text)) ? NULL : printable_text(text);
        return json_string(safe ? safe : text);
}

/* PROP=VALUE words from number `first` on, as an object; NULL when one is not of that form (told). */
static json_t *properties_given(const struct tool *tool, size_t first)
{
        json_t *given = json_object();
        for (size_t i = first; i < tool->word_count; i++) {
                const char *word = tool->words[i], *equals = strchr(word, '=');
                scoped(scoped_free) char *name = equals ? copy_bytes(word, (size_t)(equals - word)) : NULL;
                if (!name || !name[0]) {
                        (void)tell_usage(tool, "'%s' is not PROPERTY=VALUE", word);
                        json_decref(given);
                        return NULL;
                }
                json_put(given, name, typed_value(name, equals + 1));
        }
        return given;
}

/* Sends a change and tells its warnings; the account goes to *out. */
static int make_change(struct tool *tool, const char *method, json_t *parameters, const char *done,
                       json_t **out)
{
        scoped(scoped_json) json_t *answer = NULL;
        int status = call_daemon(tool, method, parameters, &answer);
        if (status)
                return status;
        json_t *account = json_object_get(answer, "account");
        if (!tool->json && !tool->quiet)
                tell_warnings(account);
        show_done(tool, "%s: %s", json_text(account, "name"), done);
        *out = json_incref(account);
        return status;
}

/* The same, and the account with --json. */
static int change_account(struct tool *tool, const char *method, json_t *parameters, const char *done)
{
        scoped(scoped_json) json_t *account = NULL;
        int status = make_change(tool, method, parameters, done, &account);
        if (!status && tool->json)
                show_json(account);
        return status;
}

int run_account_add(struct tool *tool)
{
        json_t *given = properties_given(tool, 2);
        if (!given)
                return EXIT_USAGE;
        json_t *parameters = parameters_of("name", tool_word(tool, 1));
        parameter_text(parameters, "kind", tool_word(tool, 0));
        json_put(parameters, "properties", given);
        return change_account(tool, EMAIL("AddAccount"), parameters, "added");
}

static int set_properties(struct tool *tool, json_t *given, const char *done)
{
        json_t *parameters = parameters_of("name", tool_word(tool, 0));
        json_put(parameters, "properties", given);
        return change_account(tool, EMAIL("SetAccount"), parameters, done);
}

int run_account_set(struct tool *tool)
{
        json_t *given = properties_given(tool, 1);
        return given ? set_properties(tool, given, "changed") : EXIT_USAGE;
}

int run_account_delete(struct tool *tool)
{
        json_t *parameters = parameters_of("name", tool_word(tool, 0));
        parameter_flag(parameters, "force", tool_has(tool, "force"));
        int status = call_daemon(tool, EMAIL("DeleteAccount"), parameters, NULL);
        if (!status)
                show_done(tool, "%s: deleted", tool_word(tool, 0));
        return status;
}

/* Three properties in one request: each alone would be refused, or leave a port that speaks
 * otherwise (properties_check()). */
int run_account_secure(struct tool *tool)
{
        const char *how = tool_word(tool, 1), *port = tool_option(tool, "port");
        json_t *given = json_object();
        json_put(given, "useSsl", json_boolean(same_text(how, "ssl")));
        json_put(given, "useStartTls", json_boolean(same_text(how, "starttls")));
        json_put(given, "port", typed_value("port", port ? port : "auto"));
        scoped(scoped_free) char *done = text_of("secured by %s", how);
        return set_properties(tool, given,
                              same_text(how, "none") ? "not secured: everything goes in clear" : done);
}

static int set_enabled(struct tool *tool, const char *name, bool enabled, json_t **out)
{
        json_t *parameters = parameters_of("name", name), *given = json_object();
        json_put(given, "enabled", json_boolean(enabled));
        json_put(parameters, "properties", given);
        return make_change(tool, EMAIL("SetAccount"), parameters, enabled ? "enabled" : "disabled", out);
}

static int enable_one(struct tool *tool, const char *name, json_t **out)
{
        return set_enabled(tool, name, true, out);
}

static int disable_one(struct tool *tool, const char *name, json_t **out)
{
        return set_enabled(tool, name, false, out);
}

int run_account_enable(struct tool *tool)
{
        return each_word(tool, enable_one);
}

int run_account_disable(struct tool *tool)
{
        return each_word(tool, disable_one);
}

/* ---- secrets ---- */

static int send_secret(struct tool *tool, json_t *parameters)
{
        scoped(causes_free) struct causes failures = { 0 };
        struct tool_call call = {
                .method = EMAIL("SetPassword"), .parameters = parameters, .fd = -1, .secret = true
        };
        scoped(scoped_json) json_t *answer = NULL;
        if (call_once(tool, call, &answer, &failures))
                return tell_causes(&failures);
        const char *credential = tool_option(tool, "credential");
        if (credential)
                show_done(tool, "%s: credential %s", tool_word(tool, 0), credential);
        else
                show_done(tool, "%s: %s", tool_word(tool, 0),
                          tool_has(tool, "clear") ? "forgotten" : "stored");
        struct cause warning = { 0 };
        cause_from_json(json_at(answer, "warning"), &warning);
        if (cause_happened(&warning))
                (void)tell_cause(&warning); /* it was done all the same */
        return EXIT_DONE;
}

int run_account_password(struct tool *tool)
{
        const char *credential = tool_option(tool, "credential");
        bool clear = tool_has(tool, "clear");
        if (credential && clear)
                return tell_usage(tool, "--credential and --clear exclude each other");
        json_t *parameters = parameters_of("name", tool_word(tool, 0));
        parameter_text(parameters, "secret", tool_option(tool, "secret"));
        parameter_text(parameters, "credential", credential);
        parameter_flag(parameters, "clear", clear);
        if (credential || clear)
                return send_secret(tool, parameters);
        struct cause cause = { 0 };
        char *secret = secret_of_person(tool, "password", tool_word(tool, 0), &cause);
        /* JSON holds UTF-8 only, and a secret that was escaped like other texts would be another
         * secret. */
        if (secret && !utf8_valid(secret, strlen(secret))) {
                (void)cause_set(&cause, CAUSE_INVALID, "the password is not UTF-8");
                free_secret(take(secret));
        }
        if (!secret) {
                json_decref(parameters);
                return tell_cause(&cause);
        }
        /* Two copies of it: this one goes here, that of the call in begin_call(). */
        json_put(parameters, "password", json_string(secret));
        free_secret(secret);
        return send_secret(tool, parameters);
}

static int poll_one(struct tool *tool, const char *name, json_t **out)
{
        bool wait = !tool_has(tool, "no-wait"), several = tool->word_count > 1;
        json_t *parameters = parameters_of("name", name);
        json_put(parameters, "wait", json_boolean(wait));
        scoped(scoped_json) json_t *answer = NULL;
        if (wait)
                term_progress(tool, "polling %s ...", name);
        /* The reply comes when the poll has ended, which a large mailbox makes minutes: there is no
         * deadline. */
        int status = call_waiting(tool, EMAIL("Poll"), parameters, &answer);
        term_progress_end();
        if (status)
                return status;
        if (several && !tool->json)
                show_done(tool, "%s: %s", name, json_text(answer, "text"));
        else
                show_done(tool, "%s", json_text(answer, "text"));
        *out = json_incref(answer);
        return status;
}

int run_account_poll(struct tool *tool)
{
        return each_word(tool, poll_one);
}
