/* SPDX-License-Identifier: MIT */
/*
 * `complete -- WORDS...`: what could stand for the last word, one candidate a line, a tab and its meaning
 * after it.
 * ":files" says that file names could. The shells' own files only call this. Never says a word on standard
 * error, never waits for a person, and gives nothing where the daemon cannot be asked.
 */
#include "common/json_fields.h"
#include "common/printable.h"
#include "common/properties.h"
#include "ctl/call.h"
#include "ctl/cmds.h"
#include "ctl/options.h"
#include "ctl/show.h"

/* The command line so far. */
struct typed {
        struct tool tool; /* general options that matter here: socket */
        const struct command *command;
        const char *group;
        const char *words[64]; /* what follows the command's words */
        size_t word_count;
        const struct option_rule *awaiting; /* the option whose value comes next */
        bool options_over;
};

static void offer(const char *prefix, const char *candidate, const char *meaning)
{
        if (strncmp(candidate, prefix, strlen(prefix)) != 0)
                return;
        scoped(scoped_free) char *safe = printable_text(candidate);
        printf("%s\t%s\n", safe, meaning ? meaning : "");
}

static void offer_choices(const char *prefix, const char *choices)
{
        for (const char *at = choices; *at;) {
                size_t len = strcspn(at, "|");
                scoped(scoped_free) char *one = copy_bytes(at, len);
                if (at[0] >= 'a' && at[0] <= 'z') /* in capitals it stands for something: N, FILE, - */
                        offer(prefix, one, NULL);
                at += len + (at[len] == '|');
        }
}

/* ---- what the daemon knows ---- */

static const struct source {
        const char *placeholder, *first_words; /* of the command; NULL = any */
        const char *method, *list, *key, *meaning;
        const char *kind; /* of accounts: only these; NULL = both */
} sources[] = {
        { "NAME", "inbox", EMAIL("ListAccounts"), "accounts", "name", "kind", "incoming" },
        { "NAME", "account folders", EMAIL("ListAccounts"), "accounts", "name", "kind", "incoming" },
        { "NAME", "queue", EMAIL("ListAccounts"), "accounts", "name", "kind", "outgoing" },
        { "NAME", "send", EMAIL("ListAccounts"), "accounts", "name", "kind", "outgoing" },
        { "NAME", "device", EMAIL("ListAccounts"), "accounts", "name", "kind", "outgoing" },
        { "NAME", "trust key", TRUST("ListKeys"), "keys", "name", "certificate.subject", NULL },
        { "NAME", NULL, EMAIL("ListAccounts"), "accounts", "name", "kind", NULL },
        { "DEVICE", NULL, EMAIL("ListDevices"), "devices", "name", "account", NULL },
        { "SUBSCRIBER", NULL, EMAIL("ListSubscribers"), "subscribers", "name", "seen", NULL },
        { "ID", "queue", EMAIL("ListQueue"), "messages", "id", "state", NULL },
        { "ID", "challenge", TRUST("ListAllowedHosts"), "entries", "id", "host", NULL },
        { "ID", "allowed", TRUST("ListAllowedHosts"), "entries", "id", "host", NULL },
        { "ID", "inbox", EMAIL("ListInbox"), "messages", "id", "subject", NULL },
        { "FINGERPRINT", "trust", TRUST("ListAnchors"), "anchors", "fingerprintSha256", "certificate.subject",
          NULL },
};

static const struct source *source_of(const char *placeholder, const char *words)
{
        for (size_t i = 0; i < count_of(sources); i++) {
                const char *first = sources[i].first_words;
                if (same_text(sources[i].placeholder, placeholder) &&
                    (!first || (words && !strncmp(words, first, strlen(first)))))
                        return &sources[i];
        }
        return NULL;
}

struct offering {
        const struct source *source;
        const char *prefix;
};

/* In the order of their names those that begin alike stand together, and nothing behind them is wanted. */
static int offer_account(void *arg, json_t *account)
{
        const struct offering *offering = arg;
        const char *name = json_text(account, "name"), *kind = offering->source->kind;
        if (strncmp(name, offering->prefix, strlen(offering->prefix)) > 0)
                return EXIT_FAILED;
        if (!kind || same_text(json_text(account, "kind"), kind))
                offer(offering->prefix, name, json_text(account, "kind"));
        return EXIT_DONE;
}

static void offer_accounts(struct typed *typed, const struct source *source, const char *prefix)
{
        scoped(causes_free) struct causes unheard = { 0 };
        struct offering offering = { source, prefix };
        /* the last name that could stand before those that begin so: no name has a tilde */
        scoped(scoped_free) char *after = prefix[0] ? text_of("%s~", prefix) : NULL;
        if (after)
                after[strlen(prefix) - 1]--;
        int status = each_account(&typed->tool, after, offer_account, &offering, &unheard);
        (void)status; /* where the daemon cannot be asked there is nothing to offer */
}

static void offer_from(struct typed *typed, const struct source *source, const char *prefix)
{
        scoped(causes_free) struct causes unheard = { 0 };
        scoped(scoped_json) json_t *answer = NULL;
        json_t *parameters = json_object();
        if (same_text(source->placeholder, "ID") && same_text(source->first_words, "inbox"))
                parameter_text(parameters, "name", typed->word_count ? typed->words[0] : "");
        if (same_text(source->first_words, "challenge"))
                parameter_text(parameters, "state", "pending");
        struct tool_call call = { .method = source->method, .parameters = parameters, .fd = -1 };
        if (call_once(&typed->tool, call, &answer, &unheard))
                return;
        const json_t *list = json_at(answer, source->list);
        for (size_t i = 0; i < json_array_size(list); i++) {
                const json_t *item = json_array_get(list, i);
                if (source->kind && !same_text(json_text(item, "kind"), source->kind))
                        continue;
                scoped(scoped_free) char *meaning = json_words(json_at(item, source->meaning));
                offer(prefix, json_text(item, source->key), meaning);
        }
}

/* Which kind the account has that the properties are for: what `account add` says, what the daemon knows;
 * else both. */
static unsigned kind_meant(struct typed *typed)
{
        scoped(causes_free) struct causes unheard = { 0 };
        scoped(scoped_json) json_t *answer = NULL;
        const char *kind = typed->word_count ? typed->words[0] : "";
        if (same_text(typed->command->words, "account set") && typed->word_count) {
                struct tool_call call = { .method = EMAIL("GetAccount"),
                                          .parameters = parameters_of("name", kind),
                                          .fd = -1 };
                kind = call_once(&typed->tool, call, &answer, &unheard) ? ""
                                                                        : json_text(answer, "account.kind");
        }
        return same_text(kind, "outgoing")   ? KIND_OUTGOING
               : same_text(kind, "incoming") ? KIND_INCOMING
                                             : KIND_BOTH;
}

/* `kind`: a bit set. */
static bool fits_kind(const struct property *property, const char *word, unsigned kind)
{
        return (kind & KIND_OUTGOING && property_word_fits(property, word, KIND_OUTGOING)) ||
               (kind & KIND_INCOMING && property_word_fits(property, word, KIND_INCOMING));
}

static void offer_property_values(const struct property *property, const char *prefix, unsigned kind)
{
        const char *const *words = property->words;
        static const char *const truths[] = { "true", "false", NULL };
        if (property->type == TYPE_BOOL)
                words = truths;
        for (; words && *words; words++) {
                if (!fits_kind(property, *words, kind))
                        continue;
                scoped(scoped_free) char *whole = text_of("%s=%s", property->name, *words);
                offer(prefix, whole, NULL);
        }
}

static void offer_properties(struct typed *typed, const char *prefix)
{
        unsigned kind = kind_meant(typed);
        const char *equals = strchr(prefix, '=');
        scoped(scoped_free) char *name = equals ? copy_bytes(prefix, (size_t)(equals - prefix)) : NULL;
        const struct property *named = name ? property_named(name) : NULL;
        if (named)
                offer_property_values(named, prefix, kind);
        for (size_t i = 0; i < PROPERTIES && !equals; i++) {
                scoped(scoped_free) char *start = text_of("%s=", properties[i].name);
                if (properties[i].access == ACCESS_WRITE && properties[i].kinds & kind)
                        offer(prefix, start, properties[i].help);
        }
}

static void offer_commands(const char *group, const char *prefix)
{
        scoped(scoped_free) char *before = copy_text("");
        size_t skip = group ? strlen(group) + 1 : 0;
        for (size_t i = 0; i < command_count; i++) {
                const struct command *command = &commands[i];
                bool inside =
                        !group || (command_is_group(group) && !strncmp(command->words, group, skip - 1) &&
                                   command->words[skip - 1] == ' ');
                if (command->flags & COMMAND_HIDDEN || !inside)
                        continue;
                const char *word = command->words + skip;
                char *one = copy_bytes(word, strcspn(word, " "));
                /* What begins alike stands together in the table: a group is offered once. */
                if (!same_text(one, before))
                        offer(prefix, one, strchr(word, ' ') ? "" : command->help);
                free(before);
                before = one;
        }
}

/* Candidates for one placeholder of an argument or an option's value. */
static void offer_placeholder(struct typed *typed, const char *placeholder, const char *prefix)
{
        const char *words = typed->command ? typed->command->words : NULL;
        /* A new account's name is for the person to make up. */
        bool made_up = same_text(words, "account add") && same_text(placeholder, "NAME");
        const struct source *source = made_up ? NULL : source_of(placeholder, words);
        if (source && same_text(source->method, EMAIL("ListAccounts")))
                offer_accounts(typed, source, prefix);
        else if (source)
                offer_from(typed, source, prefix);
        else if (same_text(placeholder, "PROP=VALUE"))
                offer_properties(typed, prefix);
        else if (same_text(placeholder, "COMMAND"))
                offer_commands(typed->word_count ? typed->words[0] : NULL, prefix);
        else if (!strncmp(placeholder, "FILE", 4) || same_text(placeholder, "PATH"))
                puts(":files");
        else if (strchr(placeholder, '|'))
                offer_choices(prefix, placeholder);
}

/* ---- where we are ---- */

static const struct option_rule *rule_of(const struct option_rule *rules, const char *word)
{
        for (; rules && rules->name; rules++) {
                bool as_long = !strncmp(word, "--", 2) && same_text(word + 2, rules->name);
                bool as_short = rules->letter && word[1] == rules->letter && !word[2];
                if (as_long || as_short)
                        return rules;
        }
        return NULL;
}

static void take_option_word(struct typed *typed, const char *word)
{
        if (same_text(word, "--")) {
                typed->options_over = true;
                return;
        }
        /* Candidates come from the daemon that the line being typed is for. */
        if (!strncmp(word, "--socket=", 9))
                typed->tool.socket = word + 9;
        const struct option_rule *rule = rule_of(typed->command ? typed->command->options : NULL, word);
        if (!rule)
                rule = rule_of(general_options, word);
        typed->awaiting = rule && rule->value ? rule : NULL;
}

static void take_plain_word(struct typed *typed, const char *word)
{
        if (typed->command) {
                if (typed->word_count < count_of(typed->words))
                        typed->words[typed->word_count++] = word;
                return;
        }
        scoped(scoped_free) char *words =
                typed->group ? text_of("%s %s", typed->group, word) : copy_text(word);
        typed->command = command_named(words);
        if (!typed->command && command_is_group(word))
                typed->group = word;
}

static void take_word(struct typed *typed, const char *word)
{
        const struct option_rule *awaited = take(typed->awaiting);
        if (awaited && same_text(awaited->name, "socket"))
                typed->tool.socket = word;
        if (awaited)
                return;
        if (word[0] == '-' && word[1] && !typed->options_over)
                take_option_word(typed, word);
        else
                take_plain_word(typed, word);
}

static void offer_options(const struct option_rule *rules, const char *prefix)
{
        for (; rules && rules->name; rules++) {
                scoped(scoped_free) char *name = text_of("--%s", rules->name);
                offer(prefix, name, rules->help);
        }
}

static void offer_argument(struct typed *typed, const char *prefix)
{
        const char *at = typed->command->args;
        struct arg_pattern arg = { 0 };
        size_t index = 0;
        while (arg_pattern_next(&at, &arg)) {
                if (index++ == typed->word_count) {
                        offer_placeholder(typed, arg.name, prefix);
                        return;
                }
        }
        if (arg.repeats)
                offer_placeholder(typed, arg.name, prefix);
}

int run_complete(struct tool *tool)
{
        struct typed typed = { .tool = { .socket = tool->socket } };
        size_t first = tool->word_count && same_text(tool->words[0], "--") ? 1 : 0;
        if (tool->word_count <= first)
                return EXIT_DONE;
        /* Words before the last are read as the tool would read them; the last is the one to
         * complete. */
        for (size_t i = first; i + 1 < tool->word_count; i++)
                take_word(&typed, tool->words[i]);
        const char *prefix = tool->words[tool->word_count - 1];
        if (typed.awaiting) {
                offer_placeholder(&typed, typed.awaiting->value, prefix);
        } else if (prefix[0] == '-' && !typed.options_over) {
                offer_options(typed.command ? typed.command->options : NULL, prefix);
                offer_options(general_options, prefix);
        } else if (typed.command) {
                offer_argument(&typed, prefix);
        } else {
                offer_commands(typed.group, prefix);
        }
        tool_done(&typed.tool);
        return EXIT_DONE;
}
