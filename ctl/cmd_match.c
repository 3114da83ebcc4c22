/* SPDX-License-Identifier: MIT */
/* `account export` and `account apply`: the accounts of a station as a file, and a station made like the
 * file. */
#include "common/json_fields.h"
#include "common/properties.h"
#include "ctl/apply_document.h"
#include "ctl/call.h"
#include "ctl/cmds.h"
#include "ctl/show.h"

static bool is_wanted(const struct tool *tool, const char *name)
{
        for (size_t i = 0; i < tool->word_count; i++)
                if (same_text(tool->words[i], name))
                        return true;
        return tool->word_count == 0;
}

/* The first name that was asked for and is not there; a file that lacks it must not look complete. */
static const char *missing_name(const struct tool *tool, const json_t *exports)
{
        for (size_t i = 0; i < tool->word_count; i++) {
                bool found = false;
                for (size_t e = 0; e < json_array_size(exports); e++)
                        found = found ||
                                same_text(json_text(json_array_get(exports, e), "name"), tool->words[i]);
                if (!found)
                        return tool->words[i];
        }
        return NULL;
}

int run_account_export(struct tool *tool)
{
        scoped(scoped_json) json_t *answer = NULL;
        int status = call_daemon(tool, EMAIL("ListAccounts"), NULL, &answer);
        if (status)
                return status;
        scoped(scoped_json) json_t *document = json_object();
        json_t *exports = json_array();
        json_put(document, "accounts", exports);
        const json_t *accounts = json_at(answer, "accounts");
        for (size_t i = 0; i < json_array_size(accounts); i++)
                if (is_wanted(tool, json_text(json_array_get(accounts, i), "name")))
                        (void)json_array_append_new(exports,
                                                    apply_document_account(json_array_get(accounts, i)));
        const char *missing = missing_name(tool, exports);
        if (missing) {
                struct cause cause;
                (void)cause_set(&cause, CAUSE_NOT_FOUND, "there is no account '%s'", missing);
                cause_remedy(&cause, "emailsecctl account list");
                return tell_cause(&cause);
        }
        show_json(document);
        return EXIT_DONE;
}

/* A file for several stations is refused here: its common part alone would be half of what it says. */
static json_t *read_accounts(const char *path, struct cause *cause)
{
        scoped(scoped_json) json_t *document = apply_document_read(path, cause);
        if (!document)
                return NULL;
        if (apply_document_has_hosts(document)) {
                (void)cause_set(cause, CAUSE_INVALID, "%s has parts for hosts: it is for several stations",
                                path);
                cause_remedy(cause, "name them: emailsecctl --hosts FILE account apply %s, or -H A,B,C",
                             path);
                return NULL;
        }
        json_t *accounts = apply_document_accounts(document);
        if (!accounts) {
                (void)cause_set(cause, CAUSE_INVALID, "%s holds no list of accounts", path);
                cause_remedy(cause, "it looks like what this prints: emailsecctl account export");
        }
        return accounts;
}

/* One account: what happens to it, and each value it gets. */
static bool show_change(const json_t *change)
{
        if (same_text(json_text(change, "change"), "none"))
                return false;
        const json_t *values = json_at(change, "properties");
        scoped(scoped_free) char *text = json_words(json_at(change, "text"));
        sheet_title(text);
        for (size_t i = 0; i < PROPERTIES; i++)
                sheet_value(properties[i].name, values, properties[i].name);
        return true;
}

/* One call: all of the file is applied, or nothing. */
int run_account_apply(struct tool *tool)
{
        struct cause cause = { 0 };
        json_t *accounts = read_accounts(tool_word(tool, 0), &cause);
        if (!accounts)
                return tell_cause(&cause);
        scoped(scoped_json) json_t *answer = NULL;
        json_t *parameters = json_object();
        json_put(parameters, "accounts", accounts);
        parameter_flag(parameters, "dryRun", tool_has(tool, "dry-run"));
        int status = call_daemon(tool, EMAIL("Apply"), parameters, &answer);
        if (status)
                return status;
        const json_t *changes = json_at(answer, "changes");
        if (tool->json) {
                show_json(changes);
                return status;
        }
        size_t shown = 0;
        for (size_t i = 0; i < json_array_size(changes); i++)
                shown += show_change(json_array_get(changes, i));
        if (!shown)
                show_done(tool, "nothing to change");
        return status;
}
