/* SPDX-License-Identifier: MIT */
/* `monitor`: events as they happen. `log`: the journal, by journalctl. */
#include "common/json_fields.h"
#include "common/names.h"
#include "ctl/call.h"
#include "ctl/cmds.h"
#include "ctl/show.h"
#include "ctl/subscriber.h"

#include <errno.h>
#include <unistd.h>

#define UNIT "emailsecd"

/* An option that may be given several times, as a list; absent where it was not, which means all. */
static void put_values(json_t *parameters, const char *key, const struct tool *tool, const char *option)
{
        if (!tool_has(tool, option))
                return;
        json_t *values = json_array();
        size_t at = 0;
        for (const char *value; (value = tool_next_option(tool, option, &at));)
                (void)json_array_append_new(values, json_string(value));
        json_put(parameters, key, values);
}

/* Columns of a table that has no end: the widths are fixed. */
static void show_event(const json_t *event)
{
        const char *name = json_text(event, "event");
        const char *last = strrchr(name, '.');
        scoped(scoped_free) char *time = date_words(json_at(event, "time"));
        scoped(scoped_free) char *what = json_words(json_at(event, "event"));
        scoped(scoped_free) char *account = json_words(json_at(event, "account"));
        scoped(scoped_free) char *text = json_words(json_at(event, "text"));
        printf("%s  %s%-18s%s  %-12s  %s\n", time, term_tint(tint_of(last ? last + 1 : name)), what,
               term_plain(), account, text);
}

/* One object a line, so that a program can read them as they come. */
static int hear_event(struct tool *tool, const json_t *answer, void *arg)
{
        const json_t *event = json_at(answer, "event");
        struct subscriber *subscriber = arg;
        if (!json_is_object(event))
                return EXIT_DONE;
        scoped(scoped_free) char *text = tool->json ? json_shown(event, JSON_COMPACT) : NULL;
        if (!tool->json)
                show_event(event);
        /* A reader that has gone ends the stream: nothing would be heard any more. */
        else if (!text || puts(text) == EOF)
                return EXIT_FAILED;
        if (fflush(stdout))
                return EXIT_FAILED;
        return subscriber ? subscriber_hear(subscriber, event) : EXIT_DONE;
}

/* Under a name the daemon keeps what was not acknowledged and tells it again: without it a command
 * that failed would be lost. */
int run_monitor(struct tool *tool)
{
        const char *name = tool_option(tool, "name"), *command = tool_option(tool, "exec");
        struct subscriber subscriber;
        if (command && !name)
                return tell_usage(tool,
                                  "--exec needs --name: what was not done is told again under that name");
        json_t *parameters = parameters_of("since", tool_option(tool, "since"));
        parameter_text(parameters, "subscriber", name);
        put_values(parameters, "events", tool, "event");
        put_values(parameters, "accounts", tool, "account");
        if (!name)
                return call_stream(tool, EMAIL("Monitor"), parameters, hear_event, NULL);
        subscriber_begin(&subscriber, tool, name, command);
        int status = call_stream(tool, EMAIL("Monitor"), parameters, hear_event, &subscriber);
        subscriber_end(&subscriber);
        return status;
}

int run_log(struct tool *tool)
{
        const char *name = tool_word(tool, 0), *lines = tool_option(tool, "lines"),
                   *words[14] = { "journalctl", "--unit", UNIT };
        size_t count = 3;
        /* The name becomes a match of journalctl: nothing but a name may be put there. */
        if (name && !account_name_valid(name))
                return tell_usage(tool, "'%s' is not the name of an account", name);
        if (lines && (!lines[0] || lines[strspn(lines, "0123456789")]))
                return tell_usage(tool, "'%s' is no number of lines", lines);
        scoped(scoped_free) char *field = name ? text_of("ACCOUNT=%s", name) : NULL;
        scoped(scoped_free) char *count_option = lines ? text_of("--lines=%s", lines) : NULL;
        if (lines)
                words[count++] = count_option;
        if (tool_has(tool, "follow"))
                words[count++] = "--follow";
        if (tool->no_pager)
                words[count++] = "--no-pager";
        if (tool->quiet)
                words[count++] = "--quiet";
        if (tool->json)
                words[count++] = "--output=json";
        if (tool_has(tool, "audit"))
                words[count++] = "EMAILSEC_AUDIT=1"; /* with another field: both */
        if (field)
                words[count++] = field;
        /* The program is replaced: pager, signals and exit status are those of journalctl. */
        fflush(stdout);
        execvp("journalctl", (char *const *)(void *)words);
        struct cause cause;
        (void)cause_set(&cause, CAUSE_STATE, "journalctl cannot be started: %s", strerror(errno));
        cause_remedy(&cause, "without systemd's journal the daemon logs to its standard error");
        return tell_cause(&cause);
}
