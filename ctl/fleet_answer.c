/* SPDX-License-Identifier: MIT */
/* Exit status and output of ssh and of the tool over there, understood; see fleet_answer.h. */
#include "ctl/fleet_answer.h"

#include "common/frame_scan.h"
#include "common/json_fields.h"
#include "common/printable.h"
#include "common/times.h"

#include <errno.h>

/* Of ssh itself (ssh(1), EXIT STATUS), and of the shell over there. */
enum { SSH_FAILED = 255, NOT_EXECUTABLE = 126, NO_COMMAND = 127 };

/* ---- why ssh did not get there ---- */

/* By words of OpenSSH, which it does not translate; the first row that fits. NAME: the host. */
static const struct {
        const char *words, *sentence, *remedy;
} troubles[] = {
        { "REMOTE HOST IDENTIFICATION HAS CHANGED", "it has another host key than the one that is known here",
          "find out why before anything else; then: ssh-keygen -R NAME" },
        { "Host key verification failed", "its host key is not known here",
          "once, comparing the fingerprint: ssh NAME" },
        { "Permission denied", "it asks for a password, or takes none of the keys", "ssh-copy-id NAME" },
        { "Too many authentication failures", "it asks for a password, or takes none of the keys",
          "ssh-copy-id NAME" },
        { "Could not resolve hostname", "there is no host of that name", "correct the name" },
        { "Connection refused", "it cannot be reached: no SSH server answers",
          "see whether sshd runs there" },
        { "Connection timed out", "it cannot be reached: it does not answer",
          "see whether it is on, and the network" },
        { "Operation timed out", "it cannot be reached: it does not answer",
          "see whether it is on, and the network" },
        { "No route to host", "it cannot be reached: there is no way there",
          "see whether it is on, and the network" },
        { "Network is unreachable", "it cannot be reached: there is no way there",
          "see the network of this machine" },
        { "Connection closed", "the connection was cut", "emailsecctl -H NAME status" },
        { "Connection reset", "the connection was cut", "emailsecctl -H NAME status" },
        { "Broken pipe", "the connection was cut", "emailsecctl -H NAME status" },
};

/* Of ssh it is the last line that says why; what comes before are banners. The caller frees. */
static char *last_line(const char *text)
{
        size_t len = strlen(text);
        while (len && strchr("\r\n \t", text[len - 1]))
                len--;
        size_t from = len;
        while (from && text[from - 1] != '\n')
                from--;
        return copy_bytes(text + from, len - from);
}

static void put_remedy(struct cause *cause, const char *remedy, const char *station)
{
        const char *name = strstr(remedy, "NAME");
        if (name)
                cause_remedy(cause, "%.*s%s%s", (int)(name - remedy), remedy, station, name + 4);
        else
                cause_remedy(cause, "%s", remedy);
}

bool fleet_ssh_trouble(const char *words, const char *station, struct cause *cause)
{
        for (size_t i = 0; i < count_of(troubles); i++)
                if (strstr(words, troubles[i].words)) {
                        (void)cause_set(cause, CAUSE_CONNECT, "%s", troubles[i].sentence);
                        put_remedy(cause, troubles[i].remedy, station);
                        return true;
                }
        return false;
}

/* No answer of the station at all. What no row knows is told in ssh's own words. */
static void not_reached(struct fleet_answer *answer, const char *words)
{
        answer->exit = EXIT_NO_DAEMON;
        if (fleet_ssh_trouble(words, answer->station, &answer->cause))
                return;
        scoped(scoped_free) char *line = last_line(words);
        (void)cause_set(&answer->cause, CAUSE_CONNECT, "ssh did not get there%s%s", line[0] ? ": " : "",
                        line);
        cause_remedy(&answer->cause, "ssh %s emailsecctl status", answer->station);
}

/* ---- what its tool said ---- */

/* The line that begins with `start`, without that; NULL: there is none. The caller frees. */
static char *line_after(const char *text, const char *start)
{
        size_t len = strlen(start);
        for (const char *at = text; at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL)
                if (!strncmp(at, start, len))
                        return copy_bytes(at + len, strcspn(at + len, "\n"));
        return NULL;
}

/* The tool over there tells failures as this one does: its sentence and its remedy are taken over. */
static void refused(struct fleet_answer *answer, int status, const char *words)
{
        static const struct {
                int status;
                enum cause_code code;
        } codes[] = {
                { EXIT_USAGE, CAUSE_INVALID },
                { EXIT_NO_DAEMON, CAUSE_NO_DAEMON },
                { EXIT_DENIED, CAUSE_PERMISSION },
        };
        enum cause_code code = CAUSE_STATE;
        scoped(scoped_free) char *sentence = line_after(words, "emailsecctl: ");
        scoped(scoped_free) char *remedy = line_after(words, "  what to do: ");
        scoped(scoped_free) char *last = last_line(words);
        for (size_t i = 0; i < count_of(codes); i++)
                code = codes[i].status == status ? codes[i].code : code;
        /* A status above those of the tool is not of the tool: a shell or a signal. */
        answer->exit = status <= EXIT_DENIED ? status : EXIT_FAILED;
        if (status == EXIT_USAGE) { /* the same command line was understood here */
                (void)cause_set(&answer->cause, code, "the tool there does not take this command: %s",
                                sentence ? sentence : last);
                cause_remedy(&answer->cause, "it may be older than this one: emailsecctl -H %s --version",
                             answer->station);
                return;
        }
        if (sentence || last[0])
                (void)cause_set(&answer->cause, code, "%s", sentence ? sentence : last);
        else
                (void)cause_set(&answer->cause, code, "it failed with exit status %d and said nothing",
                                status);
        if (remedy)
                cause_remedy(&answer->cause, "%s", remedy);
        else
                cause_remedy(&answer->cause, "emailsecctl -H %s status", answer->station);
}

/* 127 is the shell's word for a command that is not there, 126 for one it may not run. */
static void no_tool(struct fleet_answer *answer, int status)
{
        answer->exit = EXIT_NO_DAEMON;
        (void)cause_set(&answer->cause, CAUSE_NO_DAEMON,
                        status == NO_COMMAND ? "there is no emailsecctl" : "the tool there cannot be run");
        cause_remedy(&answer->cause, "on that machine: apt install emailsecctl");
}

/* The first 80 bytes are enough to know a banner by. */
static void no_answer(struct fleet_answer *answer, const char *words)
{
        scoped(scoped_free) char *first =
                copy_bytes(words, strcspn(words, "\n") < 80 ? strcspn(words, "\n") : 80);
        answer->exit = EXIT_FAILED;
        (void)cause_set(&answer->cause, CAUSE_PROTOCOL,
                        first[0] ? "what it prints is no answer: %s" : "it said nothing%s", first);
        cause_remedy(&answer->cause, "it may print something at every login: ssh %s true", answer->station);
}

void fleet_answer_is_none(struct fleet_answer *answer)
{
        scoped(scoped_free) char *words = json_shown(answer->result, JSON_COMPACT);
        json_decref(take(answer->result));
        no_answer(answer, words ? words : "");
}

/* ---- the end of a run ---- */

/* An answer may come along with a status of 1: "there are problems" is an answer. */
static void take_json(struct fleet_answer *answer, const struct fleet_task *task, const char *out,
                      const char *err)
{
        json_error_t error;
        answer->result = json_loadb(out, strlen(out), JSON_REJECT_DUPLICATES, &error);
        bool failed = task->status != 0 && !answer->result;
        if (failed || (task->status > EXIT_FAILED && answer->result))
                refused(answer, task->status, err);
        else if (!answer->result)
                no_answer(answer, out);
}

static void crowded(struct fleet_answer *answer)
{
        answer->exit = EXIT_FAILED;
        (void)cause_set(&answer->cause, CAUSE_TOO_LARGE,
                        "the answers are too long together, and this is one of the longest");
        cause_remedy(&answer->cause, "ask fewer hosts, or it alone: emailsecctl -H %s status",
                     answer->station);
}

/* A value takes far more memory than its text may be long: "{},". */
static bool has_more_values(const struct buf *out, size_t *values)
{
        struct frame_scan scan = { 0 };
        frame_scan_reset(&scan);
        frame_scan_bytes(&scan, buf_bytes(out), out->len);
        if (scan.values > *values)
                return true;
        *values -= scan.values;
        return false;
}

/* By the status first: output that comes before a failure of ssh is not of the tool. `values` is
 * what all answers together may still take. */
static void take_ended(struct fleet_answer *answer, const struct fleet_task *task, bool json, size_t *values)
{
        scoped(scoped_free) char *out = copy_bytes((const char *)buf_bytes(&task->out), task->out.len);
        scoped(scoped_free) char *err = copy_bytes((const char *)buf_bytes(&task->err), task->err.len);
        answer->exit = task->status;
        if (task->status == SSH_FAILED)
                not_reached(answer, err);
        else if (task->status == NO_COMMAND || task->status == NOT_EXECUTABLE)
                no_tool(answer, task->status);
        else if (json && has_more_values(&task->out, values))
                crowded(answer);
        else if (json)
                take_json(answer, task, out, err);
        else if (task->status != 0)
                refused(answer, task->status, err);
        free(answer->text);
        answer->text = json ? copy_text("") : printable_lines(out);
        scoped(scoped_free) char *warning = line_after(err, "warning: ");
        if (warning && !answer->cause.code) {
                free(answer->notes);
                answer->notes = printable_text(warning);
        }
}

void fleet_answer_take(struct fleet_answer *answer, const char *station, const struct fleet_task *task,
                       bool json, int64_t timeout_ms, size_t *values)
{
        char time[32];
        duration_exact(timeout_ms / 1000, time);
        *answer = (struct fleet_answer){ .station = station, .text = copy_text(""), .notes = copy_text("") };
        switch (task->end) {
        case FLEET_ENDED:
                take_ended(answer, task, json, values);
                return;
        case FLEET_CROWDED:
                crowded(answer);
                return;
        case FLEET_TOO_SLOW:
                answer->exit = EXIT_NO_DAEMON;
                (void)cause_set(&answer->cause, CAUSE_TIMEOUT, "it did not answer in %s", time);
                cause_remedy(&answer->cause, "emailsecctl -H %s status, or a longer --timeout", station);
                return;
        case FLEET_TOO_LONG:
                answer->exit = EXIT_FAILED;
                (void)cause_set(&answer->cause, CAUSE_TOO_LARGE, "what it prints is too long for an answer");
                cause_remedy(&answer->cause, "emailsecctl -H %s status", station);
                return;
        case FLEET_FAILED:
                answer->exit = EXIT_NO_DAEMON;
                (void)cause_set(&answer->cause, CAUSE_BUSY, "ssh cannot be started: %s",
                                strerror(task->status));
                cause_remedy(&answer->cause, task->status == ENOENT   ? "apt install openssh-client"
                                             : task->status == EACCES ? "see who may run ssh"
                                                                      : "a smaller --parallel");
                return;
        case FLEET_STOPPED:
        case FLEET_WAITS:
                answer->exit = EXIT_NO_DAEMON;
                (void)cause_set(&answer->cause, CAUSE_CANCELLED, "it was not waited for");
                cause_remedy(&answer->cause, "once more");
                return;
        }
}

void fleet_answer_done(struct fleet_answer *answer)
{
        json_decref(answer->result);
        free(answer->text);
        free(answer->notes);
}

/* What hides most goes first: a station that was not reached may have any trouble. */
int fleet_exit(const struct fleet_answer *answers, size_t count)
{
        static const int worst[] = { EXIT_NO_DAEMON, EXIT_DENIED, EXIT_USAGE };
        int found = EXIT_DONE;
        for (size_t w = 0; w < count_of(worst); w++)
                for (size_t i = 0; i < count; i++)
                        if (answers[i].exit == worst[w])
                                return worst[w];
        for (size_t i = 0; i < count; i++)
                found = answers[i].exit ? EXIT_FAILED : found;
        return found;
}

/* In the form of the interface, with null where a station has no result or no error. */
json_t *fleet_answers_json(const struct fleet_answer *answers, size_t count)
{
        json_t *list = json_array();
        for (size_t i = 0; i < count; i++) {
                const struct fleet_answer *answer = &answers[i];
                json_t *one = json_object();
                json_put_text(one, "station", answer->station);
                json_put(one, "exit", json_integer(answer->exit));
                json_put(one, "result", answer->result ? json_incref(answer->result) : json_null());
                json_put(one, "error", cause_json(cause_or_null(&answer->cause)));
                (void)json_array_append_new(list, one);
        }
        return list;
}
