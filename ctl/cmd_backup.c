/* SPDX-License-Identifier: MIT */
/*
 * `backup`: the daemon writes the archive to a file or pipe that is opened here. `restore`: the daemon's
 * program does it, with the station stopped; this one opens the archive, which the daemon's user may not be
 * able to, and starts it.
 */
#include "common/json_fields.h"
#include "ctl/call.h"
#include "ctl/cmds.h"
#include "ctl/read_file.h"
#include "ctl/show.h"
#include "ctl/term.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

static int storage(const char *what, const char *path)
{
        struct cause cause;

        (void)cause_errno(&cause, errno, "%s %s", what, path);
        cause_remedy(&cause, "name a file that you may write, on a disk with room");
        return tell_cause(&cause);
}

static int write_to(struct tool *tool, int fd, json_t **answer)
{
        scoped(causes_free) struct causes failures = { 0 };
        json_t *parameters = json_object();
        json_put(parameters, "descriptor", json_integer(0));
        parameter_flag(parameters, "secrets", tool_has(tool, "secrets"));
        if (tool_has(tool, "no-mail"))
                json_put(parameters, "mail", json_false());
        struct tool_call call = {
                .method = EMAIL("Backup"), .parameters = parameters, .fd = fd, .waits = true
        };
        return call_once(tool, call, answer, &failures) ? tell_causes(&failures) : EXIT_DONE;
}

static void tell_made(struct tool *tool, const json_t *answer, const char *name)
{
        if (tool->json) {
                show_json(answer);
                return;
        }
        show_done(tool, "%s: %lld files, %lld bytes", name,
                  (long long)json_integer_value(json_at(answer, "files")),
                  (long long)json_integer_value(json_at(answer, "bytes")));
        if (!tool_has(tool, "secrets"))
                show_done(tool, "passwords and client keys are not in it (--secrets puts them in)");
}

/* Written beside and renamed: an earlier backup of that name is there until this one is whole. */
static int backup_to_file(struct tool *tool, const char *path)
{
        scoped(scoped_json) json_t *answer = NULL;
        scoped(scoped_free) char *part = text_of("%s.part", path);
        scoped(scoped_close) int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return storage("cannot write", part);
        term_progress(tool, "writing %s ...", path);
        int status = write_to(tool, fd, &answer);
        term_progress_end();
        if (!status && (fsync(fd) || rename(part, path)))
                status = storage("cannot write", path);
        if (status)
                (void)unlink(part);
        else
                tell_made(tool, answer, path);
        return status;
}

int run_backup(struct tool *tool)
{
        const char *path = tool_word(tool, 0);
        if (!same_text(path, "-"))
                return backup_to_file(tool, path);
        if (isatty(STDOUT_FILENO))
                return tell_usage(
                        tool,
                        "an archive is nothing for a terminal: name a file, or lead the output elsewhere");
        fflush(stdout);
        scoped(scoped_json) json_t *answer = NULL;
        return write_to(tool, STDOUT_FILENO, &answer);
}

/* ---- restore ---- */

/* The daemon's program: beside this one, or where it is installed. */
static void run_daemon(char **words)
{
        static const char *const places[] = { "emailsecd", "../sbin/emailsecd" };
        char self[PATH_MAX];
        ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);

        self[len > 0 ? len : 0] = '\0';
        const char *folder = len > 0 ? dirname(self) : ".";
        for (size_t i = 0; i < count_of(places); i++) {
                scoped(scoped_free) char *path = text_of("%s/%s", folder, places[i]);
                execv(path, words);
        }
        execv("/usr/sbin/emailsecd", words);
}

int run_restore(struct tool *tool)
{
        static const char *const passed_on[] = { "state-directory", "config" };
        const char *path = tool_word(tool, 0), *words[12] = { "emailsecd", "--restore" };
        size_t count = 2;

        if (!same_text(path, "-")) {
                struct cause cause = { 0 };
                scoped(scoped_close) int fd = read_file_open(path, &cause);
                if (fd < 0 || dup2(fd, STDIN_FILENO) < 0) {
                        cause_remedy(&cause, "name an archive that `emailsecctl backup` has written");
                        return tell_cause(&cause);
                }
        } else if (isatty(STDIN_FILENO)) {
                return tell_usage(tool, "there is no archive at standard input");
        }
        if (tool_has(tool, "force"))
                words[count++] = "--force";
        for (size_t i = 0; i < count_of(passed_on); i++) {
                const char *value = tool_option(tool, passed_on[i]);
                if (value) {
                        words[count++] = i ? "--config" : "--state-directory";
                        words[count++] = value;
                }
        }
        fflush(stdout);
        run_daemon((char **)(uintptr_t)words);
        struct cause cause;
        (void)cause_set(&cause, CAUSE_STATE, "emailsecd cannot be started: %s", strerror(errno));
        cause_remedy(&cause, "install the package emailsecd on this machine: the archive is restored by it");
        return tell_cause(&cause);
}
