/* SPDX-License-Identifier: MIT */
/* `subscriber ...`, and `monitor --name`: each received message handed to a command, acknowledged when that
 * went well. */
#include "ctl/call.h"
#include "ctl/cmds.h"
#include "ctl/show.h"
#include "ctl/subscriber.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- one event ---- */

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

void subscriber_begin(struct subscriber *subscriber, const struct tool *tool, const char *name,
                      const char *command)
{
        *subscriber = (struct subscriber){ .name = name, .command = command, .calls = *tool };
        subscriber->calls.calls = NULL;
}

int subscriber_hear(struct subscriber *subscriber, const json_t *event)
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

void subscriber_end(struct subscriber *subscriber)
{
        call_close(&subscriber->calls);
}

/* ---- all of them ---- */

int run_subscriber_list(struct tool *tool)
{
        static const struct column columns[] = {
                { "NAME", "name", NULL, COLUMN_WHOLE },     { "UID", "uid", NULL, COLUMN_RIGHT },
                { "ACCOUNTS", "accounts", NULL, 0 },        { "CONNECTED", "connected", NULL, 0 },
                { "SEEN", "seen", date_words, 0 },          { "WAITING", "pending", NULL, COLUMN_RIGHT },
                { "MISSED", "missed", NULL, COLUMN_RIGHT },
        };
        scoped(scoped_json) json_t *answer = NULL;
        int status = call_daemon(tool, EMAIL("ListSubscribers"), NULL, &answer);
        if (!status)
                show_list(tool, columns, count_of(columns), json_at(answer, "subscribers"),
                          "There is no named subscriber.");
        return status;
}

int run_subscriber_forget(struct tool *tool)
{
        int status =
                call_daemon(tool, EMAIL("ForgetSubscriber"), parameters_of("name", tool_word(tool, 0)), NULL);
        if (!status)
                show_done(tool, "%s: forgotten, with what waited for it", tool_word(tool, 0));
        return status;
}
