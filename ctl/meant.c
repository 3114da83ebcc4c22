/* SPDX-License-Identifier: MIT */
/* "Did you mean": commands and options, by what people call them elsewhere, by the table of commands, by
 * spelling. */
#include "common/names.h"
#include "ctl/commands.h"
#include "ctl/options.h"

#include <stdio.h>

/* More would be a list to read rather than an answer. */
#define MOST_OFFERED 3

/* Words of other programs, and the command that does that here. `group`: within that group only; NULL: as the
 * first word. */
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
        { "start", NULL, "account enable' or 'systemctl start emailsecd" },
        { "stop", NULL, "account disable' or 'systemctl stop emailsecd" },
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
        { "restart", NULL, "reload' or 'systemctl restart emailsecd" },
        { "kill", NULL, "systemctl stop emailsecd" },
        { "daemon", NULL, "systemctl start emailsecd" },
        { "postqueue", NULL, "queue list" },
        { "postsuper", NULL, "queue delete" },
        { "postcat", NULL, "queue show" },
        { "qshape", NULL, "queue list" },
        { "exim", NULL, "queue list" },
        { "newaliases", NULL, "sendmail" },
        { "sendmsg", NULL, "send" },
        { "msmtp", NULL, "sendmail" },
        { "mailx", NULL, "send" },
        { "mutt", NULL, "inbox list" },
        { "mbsync", NULL, "account poll" },
        { "fetchmail", NULL, "account poll" },
        { "getmail", NULL, "account poll" },
        { "offlineimap", NULL, "account poll" },
        { "pull", NULL, "account poll" },
        { "idle", NULL, "account poll" },
        { "testmail", NULL, "account heartbeat" },
        { "sendtest", NULL, "account heartbeat" },
        { "doctor", NULL, "status --problems" },
        { "problems", NULL, "status --problems" },
        { "alarms", NULL, "status --problems" },
        { "alarm", NULL, "status --problems" },
        { "alert", NULL, "status --problems" },
        { "top", NULL, "status --watch" },
        { "is-active", NULL, "status --check" },
        { "is-enabled", NULL, "account list" },
        { "list-accounts", NULL, "account list" },
        { "list-units", NULL, "account list" },
        { "verify", NULL, "account test" },
        { "debug", NULL, "account test" },
        { "trace", NULL, "account test" },
        { "init", NULL, "setup" },
        { "install", NULL, "setup" },
        { "settings", NULL, "account show" },
        { "options", NULL, "help" },
        { "usage", NULL, "help" },
        { "about", NULL, "--version" },
        { "get", NULL, "account show" },
        { "cat", NULL, "inbox show" },
        { "edit", NULL, "account set" },
        { "update", NULL, "account set" },
        { "info", NULL, "status" },
        { "statistics", NULL, "metrics" },
        { "prometheus", NULL, "metrics --prometheus" },
        { "rm", NULL, "account delete" },
        { "del", NULL, "account delete" },
        { "remove", NULL, "account delete" },
        { "cancel", NULL, "queue delete" },
        { "mailbox", NULL, "inbox list" },
        { "mails", NULL, "inbox list" },
        { "maildir", NULL, "inbox list" },
        { "compose", NULL, "send" },
        { "write", NULL, "send" },
        { "submit", NULL, "send" },
        { "reply", NULL, "send" },
        { "forward", NULL, "send" },
        { "certs", NULL, "trust servers" },
        { "fingerprint", NULL, "challenge show" },
        { "fingerprints", NULL, "challenge list" },
        { "pending", NULL, "challenge list" },
        { "cacert", NULL, "trust import" },
        { "root", NULL, "trust import" },
        { "anchors", NULL, "trust list" },
        { "keys", NULL, "trust key" },
        { "exceptions", NULL, "allowed list" },
        { "whitelist", NULL, "allowed list" },
        { "allowlist", NULL, "allowed list" },
        { "tail", NULL, "log --follow" },
        { "follow", NULL, "log --follow" },
        { "history", NULL, "log --audit" },
        { "changes", NULL, "log --audit" },
        { "oauth", NULL, "account authorize" },
        { "oauth2", NULL, "account authorize" },
        { "token", NULL, "account authorize" },
        { "notify", NULL, "monitor" },
        { "subscribe", NULL, "monitor --name" },
        { "dump", NULL, "backup" },
        { "save", NULL, "backup" },
        { "archive", NULL, "backup" },
        { "recover", NULL, "restore" },
        { "refresh", NULL, "reload" },
        { "load", NULL, "reload" },
        { "reload-or-restart", NULL, "reload" },
        { "version", NULL, "--version" },
        { "man", NULL, "help" },
        { "verify", "challenge", "show" },
        { "yes", "challenge", "accept" },
        { "no", "challenge", "reject" },
        { "auth", "account", "password" },
        { "credentials", "account", "password" },
        { "props", "account", "show" },
        { "properties", "account", "show" },
        { "status", "account", "show" },
        { "config", "account", "set" },
        { "unset", "account", "set" },
        { "reset", "account", "set" },
        { "rename", "account", "export" },
        { "mv", "account", "export" },
        { "copy", "account", "export" },
        { "clone", "account", "export" },
        { "sync", "account", "poll" },
        { "pull", "account", "poll" },
        { "run", "account", "poll" },
        { "ping", "account", "test" },
        { "sendtest", "account", "heartbeat" },
        { "mailboxes", "account", "folders" },
        { "add", "allowed", "approve" },
        { "cleanup", "allowed", "prune" },
        { "forget", "allowed", "delete" },
        { "install", "trust", "import" },
        { "update", "trust", "import" },
        { "get", "trust", "show" },
        { "certs", "trust", "servers" },
        { "cancel", "queue", "delete" },
        { "clear", "queue", "delete" },
        { "drop", "queue", "delete" },
        { "status", "queue", "list" },
        { "print", "queue", "list" },
        { "resume", "queue", "release" },
        { "unhold", "queue", "release" },
        { "stop", "queue", "hold" },
        { "open", "inbox", "show" },
        { "save", "inbox", "show" },
        { "export", "inbox", "show" },
        { "fetch", "inbox", "list" },
        { "unread", "inbox", "list" },
        { "new", "inbox", "list" },
        { "expunge", "inbox", "delete" },
        { "purge", "inbox", "delete" },
        { "rm", "subscriber", "forget" },
        { "delete", "subscriber", "forget" },
        { "remove", "subscriber", "forget" },
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
        { "user", "account" },         { "username", "account" },    { "name", "account" },
        { "mailbox", "account" },      { "recipients", "to" },       { "mail-to", "to" },
        { "mail-from", "from" },       { "body", "subject" },        { "dry", "dry-run" },
        { "simulate", "dry-run" },     { "yes", "force" },           { "no-confirm", "force" },
        { "follow", "watch" },         { "since", "lines" },         { "number", "lines" },
        { "count", "limit" },          { "older", "older-than" },    { "before", "older-than" },
        { "plain", "no-legend" },      { "no-header", "no-legend" }, { "verbose", "json" },
        { "with-secrets", "secrets" }, { "passwords", "secrets" },   { "status", "state" },
        { "expires", "until" },        { "duration", "for" },        { "nagios", "check" },
        { "once", "check" },           { "starttls", "security" },   { "ssl", "security" },
        { "sender", "from" },          { "recipient", "to" },        { "rcpt", "to" },
        { "file", "attach" },          { "attachment", "attach" },   { "title", "subject" },
        { "output", "json" },          { "format", "json" },         { "silent", "quiet" },
        { "pager", "no-pager" },       { "tls", "security" },        { "protocol", "transport" },
        { "sha256", "fingerprint" },   { "tail", "lines" },          { "errors", "problems" },
        { "failed", "problems" },      { "comment", "reason" },      { "live", "watch" },
};

/* The word is that of a command within this group; *out: how it is written in full. */
static bool by_table(const char *group, const char *word, char **out)
{
        for (size_t i = 0; i < count_of(others); i++) {
                const struct other_word *other = &others[i];
                /* "" in a row stands for any group: what it means is taken where that group has such a
                 * command. */
                bool any = other->group && !other->group[0];
                bool here = !other->group ? !group : group && (any || same_text(other->group, group));
                if (!here || !same_text(other->word, word))
                        continue;
                scoped(scoped_free) char *words =
                        group ? text_of("%s %s", group, other->meant) : copy_text(other->meant);
                /* A row for any group may not fit this one. */
                if (any && !command_named(words)) /* this group has none of these */
                        continue;
                *out = take(words);
                return true;
        }
        return false;
}

/* The word alone is that of a command within some group: "deny" is "challenge reject". */
static char *by_other_group(const char *word)
{
        for (size_t i = 0; i < count_of(others); i++) {
                const char *group = others[i].group;
                if (group && group[0] && same_text(others[i].word, word))
                        return text_of("%s %s", group, others[i].meant);
        }
        return NULL;
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
                char *longer =
                        all ? text_of("%s' or '%s", all, commands[i].words) : copy_text(commands[i].words);
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

/* What other programs call it goes before what is merely spelled alike. */
char *command_near(const char *group, const char *word)
{
        char *meant = NULL;
        if (by_table(group, word, &meant))
                return meant;
        if (!group)
                meant = by_second_word(word);
        if (!group && !meant)
                meant = by_other_group(word);
        return meant ? meant : by_spelling(group, word);
}

int command_unknown(struct tool *tool, const char *group, const char *word)
{
        scoped(scoped_free) char *near = command_near(group, word);
        const char *space = group ? " " : "";
        if (!group)
                group = "";
        return near ? tell_usage(tool, "there is no command '%s%s%s'; did you mean '%s'?", group, space, word,
                                 near)
                    : tell_usage(tool, "there is no command '%s%s%s'", group, space, word);
}

/* A name of others first, among the command's own options, then the general ones; only then by
 * spelling. */
static const char *nearest_option(const struct option_rule *own, const char *name)
{
        struct nearest nearest = { 0 };
        for (size_t i = 0; i < count_of(other_options); i++)
                for (int table = 0; same_text(other_options[i].word, name) && table < 2; table++)
                        for (const struct option_rule *rule = table ? general_options : own;
                             rule && rule->name; rule++)
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
