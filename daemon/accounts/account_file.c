/* SPDX-License-Identifier: MIT */
/* The file of an account, accounts/NAME.json: {version, id, name, kind, properties}; see accounts_parts.h. */
#include "common/json_fields.h"
#include "common/names.h"
#include "daemon/accounts/accounts_parts.h"
#include "daemon/store/replace_file.h"
#include "daemon/store/store.h"

#include <stdio.h>

/* A valid name has no slash and begins with no dot (common/names.h), so the file is in that folder. The
 * caller frees. */
char *account_file_path(const char *name)
{
        return text_of("%s/accounts/%s.json", store_directory(), name);
}

char *account_files_folder(void)
{
        return text_of("%s/accounts", store_directory());
}

char *account_file_name(const char *name)
{
        return text_of("%s.json", name);
}

/* Without secrets, which have files of their own. The version is for a reader that may have to tell forms
 * apart. */
char *account_file_text(const struct property_values *values, const char *id)
{
        json_t *all = properties_json(values, true);
        json_t *file = json_object();

        json_put(file, "version", json_integer(1));
        if (id && *id)
                json_put_text(file, "id", id);
        json_put_text(file, "name", prop_text(values, PROP_NAME));
        json_put_text(file, "kind", prop_text(values, PROP_KIND));
        (void)json_object_del(all, "name");
        (void)json_object_del(all, "kind");
        json_put(file, "properties", all);
        char *text = json_dumps(file, JSON_INDENT(1));
        json_decref(file);
        return text;
}

/* `values` is to be freed with properties_done() in any case. All faults are gathered, so that a person
 * mends them in one go. */
void account_values_of(struct property_values *values, const char *name, const char *kind,
                       const json_t *request, struct causes *problems)
{
        bool outgoing = same_text(kind, "outgoing");

        if (!outgoing && !same_text(kind, "incoming")) {
                cause_about(causes_add(problems), CAUSE_INVALID, "kind", "\"%s\" is not outgoing or incoming",
                            kind ? kind : "");
                *values = (struct property_values){ 0 };
                return;
        }
        properties_defaults(values, outgoing ? KIND_OUTGOING : KIND_INCOMING);
        if (!account_name_valid(name))
                cause_about(causes_add(problems), CAUSE_INVALID, "name",
                            "\"%s\" is not a name: letters, digits, dot, dash and underscore, at most 64, "
                            "beginning with a letter or digit",
                            name ? name : "");
        prop_put_text(values, PROP_NAME, name);
        if ((problems->count ? properties_apply(values, request, problems)
                             : properties_take(values, NULL, request, problems)) < 0)
                return; /* with problems */
}

static void how_to_mend(struct cause *cause)
{
        cause_remedy(cause, "repair the file, which is read again every few seconds; or delete the account "
                            "and add it again");
}

/* Names every problem in one sentence: for a file, where there is one status to show. */
static void problems_cause(const char *path, const struct causes *problems, struct cause *cause)
{
        struct buf words = BUF_WITH_MAX(400);

        for (size_t i = 0; i < problems->count; i++)
                if (buf_appendf(&words, "%s%s: %s", i ? "; " : "", problems->items[i].property,
                                problems->items[i].text) < 0)
                        break;
        char *text = buf_take_text(&words);
        cause_set(cause, CAUSE_STORAGE, "%s: %s", path, text);
        how_to_mend(cause);
        free(text);
}

/* A file from before there were ids has none: that is no fault. The id ties the mail of an account to it,
 * and a foreign one would take over the mail of another. */
static bool read_id(const json_t *file, char id[OWNER_ID_SIZE])
{
        const json_t *given = json_object_get(file, "id");
        const char *text = json_string_value(given);

        id[0] = '\0';
        if (!given)
                return true;
        if (!text || strlen(text) >= OWNER_ID_SIZE || !account_name_valid(text))
                return false;
        (void)snprintf(id, OWNER_ID_SIZE, "%s", text);
        return true;
}

/* With -1 `values` holds nothing that is to be freed, and the account is shown as unreadable with the
 * cause. */
int account_file_read(const char *path, const char *name, struct property_values *values,
                      char id[OWNER_ID_SIZE], struct cause *cause)
{
        struct buf bytes;
        json_error_t error;
        struct causes problems = { 0 };
        int result = read_file(path, LIMIT_ACCOUNT_FILE, &bytes, cause);

        if (result <= 0) {
                if (result == 0)
                        cause_set(cause, CAUSE_STORAGE, "%s has gone", path);
                how_to_mend(cause);
                if (result == 0)
                        cause_remedy(cause, "put the file back, from a backup; it is read again every few "
                                            "seconds; or delete the "
                                            "account");
                buf_free(&bytes);
                return -1;
        }
        json_t *file = json_loadb((const char *)buf_bytes(&bytes), bytes.len, JSON_REJECT_DUPLICATES, &error);
        buf_free(&bytes);
        if (!file) {
                cause_set(cause, CAUSE_STORAGE, "%s is damaged: line %d: %s", path, error.line, error.text);
                how_to_mend(cause);
                return -1;
        }
        if (!same_text(json_string_value(json_object_get(file, "name")), name))
                cause_about(causes_add(&problems), CAUSE_INVALID, "name", "is not that of the file");
        else if (!read_id(file, id))
                cause_about(causes_add(&problems), CAUSE_INVALID, "id", "is not one that emailsecd gives");
        else
                account_values_of(values, name, json_string_value(json_object_get(file, "kind")),
                                  json_object_get(file, "properties"), &problems);
        json_decref(file);
        result = problems.count ? -1 : 0;
        if (result < 0) {
                problems_cause(path, &problems, cause);
                properties_done(values);
        }
        causes_free(&problems);
        return result;
}
