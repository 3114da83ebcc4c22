/* SPDX-License-Identifier: MIT */
/* "Did you mean": commands and options, by what people call them elsewhere, by the table of commands, by
 * spelling. */
#include "common/names.h"
#include "ctl/commands.h"
#include "ctl/options.h"

#include <stdio.h>

/* More would be a list to read rather than an answer. */
#define MOST_OFFERED 3

/* Words of other programs, and the command that does that here. `group`: within that group only; "": as the
 * first word; "*": within any group, where what it means is taken if that group has such a command. The texts
 * are in the row: pointers to so many would be written into memory at each start of the tool. */
static const struct other_word {
        char word[20], group[12], meant[48];
} others[] = {
        { "tls", "", "account secure" },
        { "ssl", "", "account secure" },
        { "starttls", "", "account secure" },
        { "passwd", "", "account password" },
        { "pass", "", "account password" },
        { "login", "", "account password" },
        { "user", "", "account list" },
        { "users", "", "account list" },
        { "config", "", "account set" },
        { "configure", "", "account set" },
        { "new", "", "account add" },
        { "create", "", "account add" },
        { "check", "", "account test" },
        { "diagnose", "", "account test" },
        { "ping", "", "account test" },
        { "receive", "", "account poll" },
        { "fetch", "", "account poll" },
        { "sync", "", "account poll" },
        { "start", "", "account enable' or 'systemctl start emailsecd" },
        { "stop", "", "account disable' or 'systemctl stop emailsecd" },
        { "folders", "", "account folders" },
        { "health", "", "status --check" },
        { "list", "", "account list" },
        { "show", "", "account show" },
        { "delete", "", "account delete" },
        { "mail", "", "send" },
        { "mailq", "", "queue list" },
        { "messages", "", "inbox list" },
        { "read", "", "inbox show" },
        { "approve", "", "challenge accept" },
        { "certificate", "", "challenge list" },
        { "certificates", "", "challenge list" },
        { "cert", "", "challenge list" },
        { "exemptions", "", "allowed list" },
        { "ca", "", "trust list" },
        { "events", "", "monitor" },
        { "watch", "", "monitor" },
        { "journal", "", "log" },
        { "logs", "", "log" },
        { "restart", "", "reload' or 'systemctl restart emailsecd" },
        { "kill", "", "systemctl stop emailsecd" },
        { "daemon", "", "systemctl start emailsecd" },
        { "postqueue", "", "queue list" },
        { "postsuper", "", "queue delete" },
        { "postcat", "", "queue show" },
        { "qshape", "", "queue list" },
        { "exim", "", "queue list" },
        { "newaliases", "", "sendmail" },
        { "sendmsg", "", "send" },
        { "msmtp", "", "sendmail" },
        { "mailx", "", "send" },
        { "mutt", "", "inbox list" },
        { "mbsync", "", "account poll" },
        { "fetchmail", "", "account poll" },
        { "getmail", "", "account poll" },
        { "offlineimap", "", "account poll" },
        { "pull", "", "account poll" },
        { "idle", "", "account poll" },
        { "testmail", "", "account heartbeat" },
        { "sendtest", "", "account heartbeat" },
        { "doctor", "", "status --problems" },
        { "problems", "", "status --problems" },
        { "alarms", "", "status --problems" },
        { "alarm", "", "status --problems" },
        { "alert", "", "status --problems" },
        { "top", "", "status --watch" },
        { "is-active", "", "status --check" },
        { "is-enabled", "", "account list" },
        { "list-accounts", "", "account list" },
        { "list-units", "", "account list" },
        { "verify", "", "account test" },
        { "debug", "", "account test" },
        { "trace", "", "account test" },
        { "init", "", "setup" },
        { "install", "", "setup" },
        { "settings", "", "account show" },
        { "options", "", "help" },
        { "usage", "", "help" },
        { "about", "", "--version" },
        { "get", "", "account show" },
        { "cat", "", "inbox show" },
        { "edit", "", "account set" },
        { "update", "", "account set" },
        { "info", "", "status" },
        { "statistics", "", "metrics" },
        { "prometheus", "", "metrics --prometheus" },
        { "rm", "", "account delete" },
        { "del", "", "account delete" },
        { "remove", "", "account delete" },
        { "cancel", "", "queue delete" },
        { "mailbox", "", "inbox list" },
        { "mails", "", "inbox list" },
        { "maildir", "", "inbox list" },
        { "compose", "", "send" },
        { "write", "", "send" },
        { "submit", "", "send" },
        { "reply", "", "send" },
        { "forward", "", "send" },
        { "certs", "", "trust servers" },
        { "fingerprint", "", "challenge show" },
        { "fingerprints", "", "challenge list" },
        { "pending", "", "challenge list" },
        { "cacert", "", "trust import" },
        { "root", "", "trust import" },
        { "anchors", "", "trust list" },
        { "keys", "", "trust key" },
        { "exceptions", "", "allowed list" },
        { "whitelist", "", "allowed list" },
        { "allowlist", "", "allowed list" },
        { "tail", "", "log --follow" },
        { "follow", "", "log --follow" },
        { "history", "", "log --audit" },
        { "changes", "", "log --audit" },
        { "oauth", "", "account authorize" },
        { "oauth2", "", "account authorize" },
        { "token", "", "account authorize" },
        { "notify", "", "monitor" },
        { "subscribe", "", "monitor --name" },
        { "dump", "", "backup" },
        { "save", "", "backup" },
        { "archive", "", "backup" },
        { "recover", "", "restore" },
        { "refresh", "", "reload" },
        { "load", "", "reload" },
        { "reload-or-restart", "", "reload" },
        { "version", "", "--version" },
        { "man", "", "help" },
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
        { "ls", "*", "list" },
        { "rm", "*", "delete" },
        { "del", "*", "delete" },
        { "remove", "*", "delete" },
        { "cat", "*", "show" },
        { "info", "*", "show" },
        { "get", "*", "show" },
        { "view", "*", "show" },
        { "details", "*", "show" },
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
                bool any = same_text(other->group, "*");
                bool here = !other->group[0] ? !group : group && (any || same_text(other->group, group));
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
                if (group[0] && !same_text(group, "*") && same_text(others[i].word, word))
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
