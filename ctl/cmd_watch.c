/* SPDX-License-Identifier: MIT */
/*
 * `monitor`: events as they happen; with --name as a named subscriber of received mail, each message handed
 * to a command and acknowledged when that went well. `subscriber ...`: all of those. `log`: the journal, by
 * journalctl.
 */
#include "common/json_fields.h"
#include "common/names.h"
#include "ctl/call.h"
#include "ctl/cmds.h"
#include "ctl/show.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- one event for a named subscriber ---- */

struct subscriber {
        const char *name;
        const char *command; /* run for each event, the message on its standard input; NULL: none */
        struct tool calls;   /* a connection beside that of the stream */
};

/* Its message, open; -1 when there is none (what was missed) or it is in the inbox no more. -2: told. */
static int open_message(struct subscriber *subscriber, const json_t *event, int *status)
{
        scoped(causes_free) struct causes failures = { 0 };
        scoped(scoped_json) json_t *answer = NULL;
        const char *id = json_text(event, "data.id");
        json_t *parameters = parameters_of("name", json_text(event, "account"));

        parameter_text(parameters, "id", id);
        struct tool_call call = { .method = EMAIL("OpenInboxMessage"), .parameters = parameters, .fd = -1 };
        if (!id[0]) {
                json_decref(parameters);
                return -1;
        }
        if (!call_once(&subscriber->calls, call, &answer, &failures))
                return call_take_fd(&subscriber->calls, (size_t)json_number(answer, "descriptor"));
        if (failures.items[0].code == CAUSE_NOT_FOUND)
                return -1;
        *status = tell_causes(&failures);
        return -2;
}

static void run_command(const char *command, const json_t *event, int message)
{
        scoped(scoped_free) char *text = json_dumps(event, JSON_COMPACT);
        scoped(scoped_close) int nothing = message < 0 ? open("/dev/null", O_RDONLY | O_CLOEXEC) : -1;

        if (!text || dup2(message < 0 ? nothing : message, STDIN_FILENO) < 0 ||
            setenv("EMAILSEC_EVENT", text, 1) || setenv("EMAILSEC_ACCOUNT", json_text(event, "account"), 1) ||
            setenv("EMAILSEC_ID", json_text(event, "data.id"), 1))
                _exit(126);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
}

static int tell_failed(const struct subscriber *subscriber, const json_t *event, const char *what, int number)
{
        struct cause cause;

        (void)cause_set(&cause, CAUSE_STATE, "the command %s %d at event %s", what, number,
                        json_text(event, "cursor"));
        cause_remedy(&cause, "it is told that event again the next time: emailsecctl monitor --name %s",
                     subscriber->name);
        return tell_cause(&cause);
}

static int execute(const struct subscriber *subscriber, const json_t *event, int message)
{
        int ended = 0;

        if (fflush(stdout))
                return EXIT_FAILED;
        pid_t child = fork();
        if (child == 0)
                run_command(subscriber->command, event, message);
        while (child > 0 && waitpid(child, &ended, 0) < 0)
                if (errno != EINTR)
                        child = -1;
        if (child < 0) {
                struct cause cause;
                (void)cause_errno(&cause, errno, "the command cannot be started");
                return tell_cause(&cause);
        }
        if (WIFSIGNALED(ended))
                return tell_failed(subscriber, event, "was ended by signal", WTERMSIG(ended));
        return WEXITSTATUS(ended) ? tell_failed(subscriber, event, "failed with", WEXITSTATUS(ended))
                                  : EXIT_DONE;
}

static void subscriber_begin(struct subscriber *subscriber, const struct tool *tool, const char *name,
                             const char *command)
{
        *subscriber = (struct subscriber){ .name = name, .command = command, .calls = *tool };
        subscriber->calls.calls = NULL;
}

/* Runs the command where there is one, and acknowledges what went well. Exit status; failures are told. */
static int subscriber_hear(struct subscriber *subscriber, const json_t *event)
{
        int status = EXIT_DONE;

        if (subscriber->command) {
                scoped(scoped_close) int message = open_message(subscriber, event, &status);
                if (!status)
                        status = execute(subscriber, event, message);
        }
        if (status)
                return status;
        json_t *parameters = parameters_of("subscriber", subscriber->name);
        parameter_text(parameters, "cursor", json_text(event, "cursor"));
        return call_daemon(&subscriber->calls, EMAIL("Acknowledge"), parameters, NULL);
}

static void subscriber_end(struct subscriber *subscriber)
{
        call_close(&subscriber->calls);
}

/* ---- all named subscribers ---- */

int run_subscriber_list(struct tool *tool)
{
        static const struct column columns[] = {
                { "NAME", "name", NULL, COLUMN_WHOLE },     { "UID", "uid", NULL, COLUMN_RIGHT },
                { "ACCOUNTS", "accounts", NULL, 0 },        { "CONNECTED", "connected", NULL, 0 },
                { "SEEN", "seen", date_words, 0 },          { "WAITING", "pending", NULL, COLUMN_RIGHT },
                { "MISSED", "missed", NULL, COLUMN_RIGHT },
        };
        return tool_show_list(tool, EMAIL("ListSubscribers"), NULL, "subscribers", columns, count_of(columns),
                              "There is no named subscriber.");
}

int run_subscriber_forget(struct tool *tool)
{
        int status =
                call_daemon(tool, EMAIL("ForgetSubscriber"), parameters_of("name", tool_word(tool, 0)), NULL);
        if (!status)
                show_done(tool, "%s: forgotten, with what waited for it", tool_word(tool, 0));
        return status;
}

/* ---- monitor and log ---- */

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
