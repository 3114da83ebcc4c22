/* SPDX-License-Identifier: MIT */
/* Help, made from the tables of commands, options and properties: `help`; and `property list`, as the daemon
 * describes it. */
#include "common/properties.h"
#include "ctl/call.h"
#include "ctl/cmds.h"
#include "ctl/options.h"
#include "ctl/show.h"
#include "ctl/term.h"

#include <stdio.h>

#define LEFT_COLUMN 30 /* of options and properties */

bool arg_pattern_next(const char **at, struct arg_pattern *out)
{
        const char *from = *at + strspn(*at, " ");
        size_t len = strcspn(from, " ");
        if (!len)
                return false;
        *out = (struct arg_pattern){ 0 };
        *at = from + len;
        if (from[0] == '[') {
                out->optional = true;
                from++;
                len -= 2;
        }
        if (len > 3 && !strncmp(from + len - 3, "...", 3)) {
                out->repeats = true;
                len -= 3;
        }
        if (from[len - 1] == ']')
                len--;
        (void)snprintf(out->name, sizeof(out->name), "%.*s", (int)len, from);
        return true;
}

/* The word behind the group, or the first where no group is meant; NULL: the command is not in it. */
const char *command_word(const struct command *command, const char *group, size_t *len)
{
        const char *word = command->words;
        if (group) {
                size_t n = strlen(group);
                if (strncmp(word, group, n) != 0 || word[n] != ' ')
                        return NULL;
                word += n + 1;
        }
        *len = strcspn(word, " ");
        return word;
}

/* On a wide terminal 100 columns: longer lines are hard to read. A label that is too long has a
 * line of its own. */
static void print_row(const char *left, const char *help)
{
        size_t width = term_width() < 120 ? term_width() : 100,
               room = width > LEFT_COLUMN + 20 ? width - LEFT_COLUMN - 3 : 20;
        if (strlen(left) > LEFT_COLUMN)
                printf("  %s\n  %-*s", left, LEFT_COLUMN, "");
        else
                printf("  %-*s", LEFT_COLUMN, left);
        while (*help) { /* whole words */
                size_t len = strlen(help);
                if (len > room) {
                        for (len = room; len && help[len] != ' ';)
                                len--;
                        len = len ? len : strcspn(help, " ");
                }
                printf(" %.*s\n", (int)len, help);
                help += len;
                help += strspn(help, " ");
                if (*help)
                        printf("  %-*s", LEFT_COLUMN, "");
        }
}

/* "0..100", "a|b|c", "yes|no", "TEXT": what may be given. The caller frees. */
static char *values_words(const struct property *p)
{
        switch (p->type) {
        case TYPE_BOOL:
                return copy_text("true | false");
        case TYPE_INT:
                return text_of("%lld..%lld", (long long)p->min, (long long)p->max);
        case TYPE_WORD: {
                char *list = copy_text("");
                for (size_t i = 0; p->words && p->words[i]; i++) {
                        char *longer = text_of("%s%s%s", list, i ? " | " : "", p->words[i]);
                        free(list);
                        list = longer;
                }
                return list;
        }
        case TYPE_HOST:
                return copy_text("HOST");
        case TYPE_PORT:
                return copy_text("1..65535 | auto");
        case TYPE_ADDRESS:
                return copy_text("ADDRESS");
        case TYPE_URL:
                return copy_text("https URL");
        case TYPE_FOLDERS:
                return copy_text("FOLDER, ...");
        case TYPE_SENDERS:
                return copy_text("ADDRESS | DOMAIN, ...");
        case TYPE_KEPT:
                return copy_text("DURATION | NUMBER");
        case TYPE_TEXT:
        case TYPE_OBJECT:
        case TYPE_TIME:
                break;
        }
        return copy_text("TEXT");
}

/* What holds where nothing is given. The caller frees. */
static char *default_words(const struct property *p)
{
        if (p->required)
                return copy_text("required");
        if (p->type == TYPE_BOOL)
                return text_of("else %s", p->number ? "true" : "false");
        if (p->type == TYPE_PORT)
                return copy_text("else auto");
        if (p->type != TYPE_INT)
                return p->text && p->text[0] ? text_of("else %s", p->text) : copy_text("else none");
        if (property_id(p) == PROP_POLL_RATE)
                return text_of("else %lld, incoming %lld", (long long)p->number,
                               (long long)p->number_incoming);
        return text_of("else %lld", (long long)p->number);
}

/* Letter, name and value stand as they are typed. */
static void print_options(const char *title, const struct option_rule *rules)
{
        if (!rules || !rules->name)
                return;
        printf("\n%s:\n", title);
        for (; rules->name; rules++) {
                char left[96], letter[8] = "";
                if (rules->letter)
                        (void)snprintf(letter, sizeof(letter), "-%c, ", rules->letter);
                (void)snprintf(left, sizeof(left), "%s--%s%s%s", letter, rules->name, rules->value ? " " : "",
                               rules->value ? rules->value : "");
                print_row(left, rules->help);
        }
}

static void print_commands(const char *group)
{
        for (size_t i = 0; i < command_count; i++) {
                const struct command *c = &commands[i];
                size_t len = 0;
                if (c->flags & COMMAND_HIDDEN || !command_word(c, group, &len))
                        continue;
                char left[160];
                (void)snprintf(left, sizeof(left), "%s%s%s", c->words, c->args[0] ? " " : "", c->args);
                print_row(left, c->help);
        }
}

int help_all(void)
{
        puts("emailsecctl [OPTIONS] COMMAND ...\n\nLook after the mail station emailsecd.\n\nCommands:");
        print_commands(NULL);
        print_options("Options", general_options);
        puts("\nExit status: 0 done; 1 refused or failed; 2 usage; 3 no daemon reached;\n"
             "4 not permitted. 'emailsecctl COMMAND --help' says more; see emailsecctl(1).");
        return EXIT_DONE;
}

int help_group(const char *group)
{
        printf("emailsecctl [OPTIONS] %s ...\n\nCommands:\n", group);
        print_commands(group);
        return EXIT_DONE;
}

/* Values and default are read off the row, so that help and daemon cannot differ. */
static void print_property(const struct property *p)
{
        static const char *const kinds[] = {
                [KIND_OUTGOING] = "outgoing only; ", [KIND_INCOMING] = "incoming only; ", [KIND_BOTH] = ""
        };
        scoped(scoped_free) char *values = values_words(p);
        scoped(scoped_free) char *without = default_words(p);
        scoped(scoped_free) char *help =
                text_of("%s (%s%s; %s)", p->help ? p->help : "", kinds[p->kinds], values, without);
        print_row(p->name, help);
}

/* The properties a person may set, where the command takes PROP=VALUE. */
static void print_properties(void)
{
        puts("\nProperties:");
        for (size_t i = 0; i < PROPERTIES; i++)
                if (properties[i].access == ACCESS_WRITE)
                        print_property(&properties[i]);
}

int help_command(const struct command *command)
{
        printf("emailsecctl %s%s%s%s\n\n%s\n", command->words, command->options ? " [OPTIONS]" : "",
               command->args[0] ? " " : "", command->args, command->help);
        if (strstr(command->args, "PROP=VALUE"))
                print_properties();
        print_options("Options", command->options);
        print_options("Options of every command", general_options);
        return EXIT_DONE;
}

/* Two words, one, a group: the longest that is known is explained. */
int run_help(struct tool *tool)
{
        const char *first = tool_word(tool, 0), *second = tool_word(tool, 1);
        if (!first)
                return help_all();
        scoped(scoped_free) char *words = second ? text_of("%s %s", first, second) : copy_text(first);
        const struct command *command = command_named(words);
        if (!command && second) /* "help trust key import": the words behind are arguments */
                command = command_named(first);
        if (command)
                return help_command(command);
        if (!second && command_is_group(first))
                return help_group(first);
        return command_is_group(first) ? command_unknown(tool, first, second)
                                       : command_unknown(tool, NULL, first);
}

/* ---- what an account or the service can be told ---- */

int run_property_list(struct tool *tool)
{
        static const struct column of_account[] = {
                { "PROPERTY", "name", NULL, COLUMN_WHOLE },
                { "GROUP", "group", NULL, 0 },
                { "TYPE", "type", NULL, 0 },
                { "ACCESS", "access", NULL, 0 },
                { "DEFAULT", "default", NULL, 0 },
                { "MEANING", "help", NULL, COLUMN_BELOW },
        };
        static const struct column of_service[] = {
                { "SECTION", "section", NULL, 0 }, { "KEY", "key", NULL, COLUMN_WHOLE },
                { "VALUE", "value", NULL, 0 },     { "DEFAULT", "default", NULL, 0 },
                { "CHANGED", "changed", NULL, 0 }, { "MEANING", "help", NULL, COLUMN_BELOW },
        };
        const char *of = tool_word(tool, 0);
        bool service = same_text(of, "service");
        return tool_show_list(tool, EMAIL("DescribeProperties"), NULL, service ? "settings" : of,
                              service ? of_service : of_account,
                              service ? count_of(of_service) : count_of(of_account), "");
}
