/* SPDX-License-Identifier: MIT */
/* "Did you mean": commands and options, by what people call them elsewhere, by the table of commands, by spelling. */
#include "common/names.h"
#include "ctl/commands.h"
#include "ctl/options.h"

#include <stdio.h>

#define MOST_OFFERED 3

/* Words of other programs, and the command that does that here. `group`: within that group only; NULL: as the first word. */
static const struct other_word {
        const char *word, *group, *meant;
} others[] = {
        { "tls", NULL, "account secure" },
        { "ssl", NULL, "account secure" },
        { "starttls", NULL, "account secure" },
        { "passwd", NULL, "account password" },
        { "pass", NULL, "account password" },
        { "login", NULL, "account password" },
        { "user", NULL, "account list" },
        { "users", NULL, "account list" },
        { "config", NULL, "account set" },
        { "configure", NULL, "account set" },
        { "new", NULL, "account add" },
        { "create", NULL, "account add" },
        { "check", NULL, "account test" },
        { "diagnose", NULL, "account test" },
        { "ping", NULL, "account test" },
        { "receive", NULL, "account poll" },
        { "fetch", NULL, "account poll" },
        { "sync", NULL, "account poll" },
        { "start", NULL, "account enable" },
        { "stop", NULL, "account disable" },
        { "folders", NULL, "account folders" },
        { "health", NULL, "status --check" },
        { "list", NULL, "account list" },
        { "show", NULL, "account show" },
        { "delete", NULL, "account delete" },
        { "mail", NULL, "send" },
        { "mailq", NULL, "queue list" },
        { "messages", NULL, "inbox list" },
        { "read", NULL, "inbox show" },
        { "approve", NULL, "challenge accept" },
        { "certificate", NULL, "challenge list" },
        { "certificates", NULL, "challenge list" },
        { "cert", NULL, "challenge list" },
        { "exemptions", NULL, "allowed list" },
        { "ca", NULL, "trust list" },
        { "events", NULL, "monitor" },
        { "watch", NULL, "monitor" },
        { "journal", NULL, "log" },
        { "logs", NULL, "log" },
        { "restart", NULL, "reload" },
        { "version", NULL, "--version" },
        { "man", NULL, "help" },
        { "ls", "", "list" },
        { "rm", "", "delete" },
        { "del", "", "delete" },
        { "remove", "", "delete" },
        { "cat", "", "show" },
        { "info", "", "show" },
        { "get", "", "show" },
        { "view", "", "show" },
        { "details", "", "show" },
        { "new", "account", "add" },
        { "create", "account", "add" },
        { "change", "account", "set" },
        { "edit", "account", "set" },
        { "modify", "account", "set" },
        { "tls", "account", "secure" },
        { "ssl", "account", "secure" },
        { "starttls", "account", "secure" },
        { "passwd", "account", "password" },
        { "check", "account", "test" },
        { "verify", "account", "test" },
        { "probe", "account", "test" },
        { "fetch", "account", "poll" },
        { "receive", "account", "poll" },
        { "send", "account", "poll" },
        { "start", "account", "enable" },
        { "on", "account", "enable" },
        { "stop", "account", "disable" },
        { "off", "account", "disable" },
        { "import", "account", "apply" },
        { "login", "account", "authorize" },
        { "approve", "challenge", "accept" },
        { "allow", "challenge", "accept" },
        { "trust", "challenge", "accept" },
        { "deny", "challenge", "reject" },
        { "refuse", "challenge", "reject" },
        { "accept", "allowed", "approve" },
        { "reject", "allowed", "unapprove" },
        { "revoke", "allowed", "unapprove" },
        { "clean", "allowed", "prune" },
        { "add", "trust", "import" },
        { "certificates", "trust", "servers" },
        { "run", "queue", "flush" },
        { "send", "queue", "flush" },
        { "requeue", "queue", "retry" },
        { "resend", "queue", "retry" },
        { "move", "queue", "reroute" },
        { "purge", "queue", "delete" },
        { "pause", "queue", "hold" },
        { "read", "inbox", "show" },
};

/* Options as other programs have them. */
static const struct {
        const char *word, *meant;
} other_options[] = {
        { "user", "account" },     { "username", "account" }, { "sender", "from" },     { "recipient", "to" },
        { "rcpt", "to" },          { "file", "attach" },      { "attachment", "attach" }, { "title", "subject" },
        { "output", "json" },      { "format", "json" },      { "silent", "quiet" },    { "pager", "no-pager" },
        { "tls", "security" },     { "protocol", "transport" }, { "sha256", "fingerprint" }, { "tail", "lines" },
        { "errors", "problems" },  { "failed", "problems" },  { "comment", "reason" },  { "live", "watch" },
};

/* The word is that of a command within this group; *out: how it is written in full. */
static bool by_table(const char *group, const char *word, char **out)
{
        for (size_t i = 0; i < count_of(others); i++) {
                const struct other_word *other = &others[i];
                bool here = !other->group ? !group : group && (!other->group[0] || same_text(other->group, group));
                if (!here || !same_text(other->word, word))
                        continue;
                scoped(scoped_free) char *words = group ? text_of("%s %s", group, other->meant) : copy_text(other->meant);
                scoped(scoped_free) char *command = copy_bytes(words, strcspn(words, "-"));
                size_t len = strlen(command);
                while (len && command[len - 1] == ' ')
                        command[--len] = '\0';
                if (len && !command_named(command))
                        continue;
                *out = take(words);
                return true;
        }
        return false;
}

/* Second words that stand alone: "test" is that of "account test". */
static char *by_second_word(const char *word)
{
        char *all = NULL;
        size_t offered = 0;
        for (size_t i = 0; i < command_count && offered < MOST_OFFERED; i++) {
                const char *second = strchr(commands[i].words, ' ');
                if (!second || !same_text(second + 1, word))
                        continue;
                char *longer = all ? text_of("%s' or '%s", all, commands[i].words) : copy_text(commands[i].words);
                free(all);
                all = longer;
                offered++;
        }
        return all;
}

static char *by_spelling(const char *group, const char *word)
{
        struct nearest nearest = { 0 };
        char best[64] = "", one[64];
        for (size_t i = 0; i < command_count; i++) {
                size_t len = 0;
                const char *candidate = command_word(&commands[i], group, &len);
                const char *before = nearest.word;
                unsigned distance = nearest.distance;
                if (!candidate || commands[i].flags & COMMAND_HIDDEN)
                        continue;
                (void)snprintf(one, sizeof(one), "%.*s", (int)len, candidate);
                nearest_offer(&nearest, word, one);
                if (nearest.word != before || nearest.distance != distance)
                        memcpy(best, one, sizeof(best));
        }
        if (!best[0])
                return NULL;
        return group ? text_of("%s %s", group, best) : copy_text(best);
}

char *command_near(const char *group, const char *word)
{
        char *meant = NULL;
        if (by_table(group, word, &meant))
                return meant;
        if (!group)
                meant = by_second_word(word);
        return meant ? meant : by_spelling(group, word);
}

int command_unknown(struct tool *tool, const char *group, const char *word)
{
        scoped(scoped_free) char *near = command_near(group, word);
        const char *space = group ? " " : "";
        if (!group)
                group = "";
        return near ? tell_usage(tool, "there is no command '%s%s%s'; did you mean '%s'?", group, space, word, near)
                    : tell_usage(tool, "there is no command '%s%s%s'", group, space, word);
}

static const char *nearest_option(const struct option_rule *own, const char *name)
{
        struct nearest nearest = { 0 };
        for (size_t i = 0; i < count_of(other_options); i++)
                for (int table = 0; same_text(other_options[i].word, name) && table < 2; table++)
                        for (const struct option_rule *rule = table ? general_options : own; rule && rule->name; rule++)
                                if (same_text(rule->name, other_options[i].meant))
                                        return rule->name;
        for (const struct option_rule *rule = own; rule && rule->name; rule++)
                nearest_offer(&nearest, name, rule->name);
        for (const struct option_rule *rule = general_options; rule->name; rule++)
                nearest_offer(&nearest, name, rule->name);
        return nearest.word;
}

int option_unknown(struct tool *tool, const char *name, size_t len)
{
        scoped(scoped_free) char *word = copy_bytes(name, len);
        const char *near = nearest_option(tool->command ? tool->command->options : NULL, word);
        return near ? tell_usage(tool, "there is no option --%s here; did you mean --%s?", word, near)
                    : tell_usage(tool, "there is no option --%s here", word);
}
