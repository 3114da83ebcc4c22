/* SPDX-License-Identifier: MIT */
/* One entry of the Allowed Hosts: memory, the socket's JSON, the file's JSON and back. */
#include "common/json_fields.h"
#include "common/limits.h"
#include "common/names.h"
#include "common/printable.h"
#include "common/times.h"
#include "daemon/sha256.h"
#include "daemon/tls/allowed_parts.h"

const char *const allowed_state_names[3] = { "pending", "approved", "rejected" };
static const char *const class_names[] = { "new", "changed", "regression" };
static const char *const pin_names[] = { "certificate", "key" };

/* ---- memory ------------------------------------------------------------------------------------ */

void allowed_decided_copy(struct decided *to, const struct decided *from)
{
        *to = *from;
        to->by = copy_text(from->by);
        to->reason = copy_text(from->reason);
        allowed_history_copy(to, from);
}

void allowed_decided_done(struct decided *decided)
{
        free(decided->by);
        free(decided->reason);
        allowed_history_done(decided);
        *decided = (struct decided){ 0 };
}

void allowed_entry_free(struct entry *entry)
{
        if (!entry)
                return;
        for (size_t i = 0; i < entry->account_count; i++)
                free(entry->accounts[i]);
        for (size_t i = 0; i < entry->chain_count; i++)
                certificate_done(&entry->chain[i]);
        certificate_done(&entry->certificate);
        allowed_decided_done(&entry->decided);
        free(entry->accounts);
        free(entry->chain);
        free(entry->errors);
        free(entry->host);
        free(entry);
}

/* The id follows from what the entry is about. So the same certificate at the same server is the same
 * challenge after a restart, and read_entry() finds an entry whose host or certificate was changed in the
 * file. */
void allowed_entry_id(const char *host, uint16_t port, const uint8_t sha256[32], char out[13])
{
        char digits[65];
        uint8_t digest[SHA256_SIZE];

        hex_print(sha256, 32, digits);
        char *text = text_of("%s:%u:%s", host, port, digits);
        sha256_of(text, strlen(text), digest);
        free(text);
        hex_print(digest, 6, out);
}

void allowed_entry_add_account(struct entry *entry, const char *account)
{
        if (!account || !*account)
                return;
        for (size_t i = 0; i < entry->account_count; i++)
                if (strcmp(entry->accounts[i], account) == 0)
                        return;
        /* the names of accounts that have gone stay in the list */
        if (entry->account_count >= LIMIT_ACCOUNTS)
                return;
        entry->accounts = new_resized(entry->accounts, entry->account_count + 1, sizeof *entry->accounts);
        entry->accounts[entry->account_count++] = copy_text(account);
}

uint32_t allowed_entry_problems(const struct entry *entry)
{
        uint32_t set = 0;

        for (size_t i = 0; i < entry->error_count; i++)
                set |= 1u << entry->errors[i].problem;
        return set;
}

/* ---- out --------------------------------------------------------------------------------------- */

static void put_time(json_t *object, const char *name, time_t time)
{
        json_put_time(object, name, (int64_t)time);
}

static void append(json_t *array, json_t *value)
{
        if (json_array_append_new(array, value) < 0)
                abort();
}

static json_t *errors_json(const struct entry *entry)
{
        json_t *list = json_array();

        for (size_t i = 0; i < entry->error_count; i++) {
                const struct seen_error *error = &entry->errors[i];
                json_t *object = json_object();
                json_put_text(object, "code", tls_problem_name(error->problem));
                json_put(object, "depth", json_integer(error->depth));
                json_put_text(object, "text", error->text);
                json_put_text(object, "remedy", error->remedy);
                append(list, object);
        }
        return list;
}

/* What file and socket have in common. */
static json_t *common_json(const struct entry *entry, const struct decided *decided)
{
        json_t *object = json_object(), *accounts = json_array();

        for (size_t i = 0; i < entry->account_count; i++)
                append(accounts, json_string(entry->accounts[i]));
        json_put_text(object, "id", entry->id);
        json_put_text(object, "host", entry->host);
        json_put(object, "port", json_integer(entry->port));
        json_put_text(object, "state", allowed_state_names[decided->state]);
        json_put_text(object, "class", class_names[entry->class]);
        json_put(object, "accounts", accounts);
        put_time(object, "created", entry->created);
        put_time(object, "decided", decided->time);
        json_put_text(object, "decidedBy", decided->by);
        json_put_text(object, "reason", decided->reason);
        put_time(object, "expires", decided->expires);
        json_put(object, "history", allowed_history_json(decided));
        put_time(object, "lastSeen", entry->last_seen);
        json_put_text(object, "pins", pin_names[decided->pins]);
        json_put(object, "errors", errors_json(entry));
        json_put_text(object, "replaces", entry->replaces[0] ? entry->replaces : NULL);
        return object;
}

json_t *allowed_entry_json(const struct entry *entry)
{
        json_t *object = common_json(entry, &entry->decided), *chain = json_array();

        for (size_t i = 0; i < entry->chain_count; i++)
                append(chain, certificate_json(&entry->chain[i]));
        json_put(object, "needless", json_boolean(entry_is_over(entry)));
        json_put_text(object, "needlessBecause",
                      !entry_is_over(entry) ? NULL
                      : entry->needless     ? "verified"
                                            : "unused");
        json_put(object, "certificate", certificate_json(&entry->certificate));
        json_put(object, "chain", chain);
        return object;
}

static json_t *pem_json(const struct certificate *certificate)
{
        char *pem = certificate_pem(certificate);
        json_t *text = json_string(pem);

        free(pem);
        return text;
}

/* The file has the certificates as PEM, and nothing read from them: what is shown of one is read anew and
 * cannot differ from what is judged. */
json_t *allowed_entry_file_json(const struct entry *entry, const struct decided *decided)
{
        json_t *object = common_json(entry, decided), *chain = json_array(), *approved = json_array();

        for (unsigned i = 0; i < TLS_PROBLEMS; i++)
                if (decided->errors & 1u << i)
                        append(approved, json_string(tls_problem_name((enum tls_problem)i)));
        for (size_t i = 0; i < entry->chain_count; i++)
                append(chain, pem_json(&entry->chain[i]));
        json_put(object, "needless", json_boolean(entry->needless));
        json_put(object, "approvedErrors", approved);
        json_put(object, "certificate", pem_json(&entry->certificate));
        json_put(object, "chain", chain);
        return object;
}

/* ---- in ---------------------------------------------------------------------------------------- */

struct entry_fields {
        const char *id, *host, *state, *class, *created, *decided, *by, *reason, *expires, *last_seen, *pins,
                *replaces, *certificate;
        json_t *accounts, *errors, *approved, *chain, *history;
        int64_t port;
        bool needless;
};
#define AT(member) offsetof(struct entry_fields, member)
static const struct json_field entry_table[] = {
        { "id", JSON_FIELD_TEXT, AT(id), FIELD_REQUIRED, 0, 12, 0 },
        { "host", JSON_FIELD_TEXT, AT(host), FIELD_REQUIRED | FIELD_CLEAN, 0, 256, 0 },
        { "port", JSON_FIELD_INT, AT(port), FIELD_REQUIRED, 1, 65535, 0 },
        { "state", JSON_FIELD_TEXT, AT(state), FIELD_REQUIRED, 0, 0, 0 },
        { "class", JSON_FIELD_TEXT, AT(class), FIELD_REQUIRED, 0, 0, 0 },
        { "accounts", JSON_FIELD_TEXTS, AT(accounts), FIELD_REQUIRED, 0, 0, 0 },
        { "created", JSON_FIELD_TEXT, AT(created), FIELD_REQUIRED, 0, 0, 0 },
        { "decided", JSON_FIELD_TEXT, AT(decided), 0, 0, 0, 0 },
        { "decidedBy", JSON_FIELD_TEXT, AT(by), 0, 0, 0, 0 },
        { "reason", JSON_FIELD_TEXT, AT(reason), 0, 0, 0, 0 },
        { "expires", JSON_FIELD_TEXT, AT(expires), 0, 0, 0, 0 },
        { "lastSeen", JSON_FIELD_TEXT, AT(last_seen), 0, 0, 0, 0 },
        { "history", JSON_FIELD_ARRAY, AT(history), 0, 0, 0, 0 },
        { "pins", JSON_FIELD_TEXT, AT(pins), FIELD_REQUIRED, 0, 0, 0 },
        { "errors", JSON_FIELD_ARRAY, AT(errors), FIELD_REQUIRED, 0, 0, 0 },
        { "replaces", JSON_FIELD_TEXT, AT(replaces), 0, 0, 12, 0 },
        { "needless", JSON_FIELD_BOOL, AT(needless), FIELD_REQUIRED, 0, 0, 0 },
        { "approvedErrors", JSON_FIELD_TEXTS, AT(approved), FIELD_REQUIRED, 0, 0, 0 },
        { "certificate", JSON_FIELD_TEXT, AT(certificate), FIELD_REQUIRED, 0, 0, 0 },
        { "chain", JSON_FIELD_TEXTS, AT(chain), FIELD_REQUIRED, 0, 0, 0 },
};
#undef AT

struct error_fields {
        const char *code, *text, *remedy;
        int64_t depth;
};
static const struct json_field error_table[] = {
        { "code", JSON_FIELD_TEXT, offsetof(struct error_fields, code), FIELD_REQUIRED, 0, 0, 0 },
        { "text", JSON_FIELD_TEXT, offsetof(struct error_fields, text), FIELD_REQUIRED, 0, 0, 0 },
        { "remedy", JSON_FIELD_TEXT, offsetof(struct error_fields, remedy), 0, 0, 0, 0 },
        { "depth", JSON_FIELD_INT, offsetof(struct error_fields, depth), FIELD_REQUIRED, -1, 100, 0 },
};

/* All bad fields are known then; a damaged file is told by its first. */
static int read_table(const json_t *object, const struct json_field *table, size_t count, void *out,
                      struct cause *cause)
{
        struct causes problems = { 0 };
        int result = json_read_fields(object, table, count, out, &problems);

        if (result < 0 && cause && problems.count)
                *cause = problems.items[0];
        causes_free(&problems);
        return result;
}

/* Index of the word in `names`. */
static int read_word(const char *word, const char *const *names, size_t count, unsigned *out,
                     struct cause *cause)
{
        for (size_t i = 0; i < count; i++)
                if (strcmp(names[i], word) == 0) {
                        *out = (unsigned)i;
                        return 0;
                }
        return cause_set(cause, CAUSE_STORAGE, "\"%s\" is an unknown word", word);
}

static int read_time(const char *text, time_t *out, struct cause *cause)
{
        return text ? time_parse(text, out, cause) : 0;
}

static int read_errors(struct entry *entry, const json_t *list, struct cause *cause)
{
        size_t i;
        json_t *item;

        if (json_array_size(list) > 2 * count_of(((struct tls_evidence *)NULL)->errors))
                return cause_set(cause, CAUSE_STORAGE, "too many errors in one entry");
        entry->errors = new_zeroed(json_array_size(list), sizeof *entry->errors);
        json_array_foreach(list, i, item) {
                struct error_fields fields = { 0 };
                if (read_table(item, error_table, count_of(error_table), &fields, cause) < 0)
                        return -1;
                struct seen_error *error = &entry->errors[entry->error_count++];
                *error = (struct seen_error){ .problem = tls_problem_named(fields.code),
                                              .depth = (int)fields.depth };
                if (error->problem == TLS_PROBLEMS) {
                        /* no bit is shifted by a number out of range, here or later */
                        error->problem = PROBLEM_OTHER;
                        return cause_set(cause, CAUSE_STORAGE, "\"%s\" is an unknown error", fields.code);
                }
                printable_copy(error->text, sizeof error->text, fields.text, strlen(fields.text));
                const char *remedy = fields.remedy ? fields.remedy : tls_problem_remedy(error->problem);
                printable_copy(error->remedy, sizeof error->remedy, remedy, strlen(remedy));
        }
        return 0;
}

static int read_approved(struct entry *entry, const json_t *list, struct cause *cause)
{
        size_t i;
        json_t *item;

        json_array_foreach(list, i, item) {
                enum tls_problem problem = tls_problem_named(json_string_value(item));
                /* a file that was written by hand allows no more than a person at the socket may */
                if (problem == TLS_PROBLEMS || !tls_problem_is_exemptable(problem))
                        return cause_set(cause, CAUSE_STORAGE, "\"%s\" is nothing that can be approved",
                                         json_string_value(item));
                entry->decided.errors |= 1u << problem;
        }
        return 0;
}

static int read_certificates(struct entry *entry, const struct entry_fields *fields, struct cause *cause)
{
        size_t i;
        json_t *item;

        if (json_array_size(fields->chain) > LIMIT_CHAIN)
                return cause_set(cause, CAUSE_STORAGE, "too long a chain");
        if (certificate_from_pem(fields->certificate, &entry->certificate, cause) < 0)
                return -1;
        /* each is counted once it is whole: of a chain that ends in the middle the read ones are freed */
        entry->chain = new_zeroed(json_array_size(fields->chain), sizeof *entry->chain);
        json_array_foreach(fields->chain, i, item) {
                if (certificate_from_pem(json_string_value(item), &entry->chain[entry->chain_count], cause) <
                    0)
                        return -1;
                entry->chain_count++;
        }
        return 0;
}

static int read_words(struct entry *entry, const struct entry_fields *fields, struct cause *cause)
{
        unsigned state = 0, class = 0, pins = 0;

        if (read_word(fields->state, allowed_state_names, count_of(allowed_state_names), &state, cause) < 0 ||
            read_word(fields->class, class_names, count_of(class_names), &class, cause) < 0 ||
            read_word(fields->pins, pin_names, count_of(pin_names), &pins, cause) < 0)
                return -1;
        entry->decided.state = (enum allowed_state)state;
        entry->class = (enum allowed_class) class;
        entry->decided.pins = (enum allowed_pins)pins;
        return 0;
}

static int read_entry(struct entry *entry, const struct entry_fields *fields, struct cause *cause)
{
        size_t i;
        json_t *item;
        char id[13];

        entry->host = copy_text(fields->host);
        entry->port = (uint16_t)fields->port;
        entry->needless = fields->needless;
        entry->decided.by = copy_text(fields->by);
        entry->decided.reason = copy_text(fields->reason);
        json_array_foreach(fields->accounts, i, item)
                allowed_entry_add_account(entry, json_string_value(item));
        if (fields->replaces)
                memcpy(entry->replaces, fields->replaces, strlen(fields->replaces));
        if (read_words(entry, fields, cause) < 0 || read_time(fields->created, &entry->created, cause) < 0 ||
            read_time(fields->decided, &entry->decided.time, cause) < 0 ||
            read_time(fields->expires, &entry->decided.expires, cause) < 0 ||
            read_time(fields->last_seen, &entry->last_seen, cause) < 0 ||
            read_errors(entry, fields->errors, cause) < 0 ||
            read_approved(entry, fields->approved, cause) < 0 ||
            allowed_history_from_file(&entry->decided, fields->history, cause) < 0 ||
            read_certificates(entry, fields, cause) < 0)
                return -1;
        allowed_entry_id(entry->host, entry->port, entry->certificate.sha256, id);
        memcpy(entry->id, id, sizeof id);
        /* a decision holds for the very certificate and server that were shown when it was taken */
        if (strcmp(id, fields->id) != 0)
                return cause_set(cause, CAUSE_STORAGE,
                                 "entry %s does not belong to its host, port and certificate", fields->id);
        return 0;
}

struct entry *allowed_entry_from_file(const json_t *object, struct cause *cause)
{
        struct entry_fields fields = { 0 };

        if (!json_is_object(object)) {
                cause_set(cause, CAUSE_STORAGE, "an entry is not an object");
                return NULL;
        }
        if (read_table(object, entry_table, count_of(entry_table), &fields, cause) < 0)
                return NULL;
        struct entry *entry = new_object(struct entry);
        if (read_entry(entry, &fields, cause) < 0) {
                allowed_entry_free(entry);
                return NULL;
        }
        return entry;
}
