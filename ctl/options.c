/* SPDX-License-Identifier: MIT */
/*
 * Reading the command line. General options may stand anywhere, a command's own ones after its words, "--"
 * ends options. A value follows as --name=value, --name value, -nvalue or -n value.
 */
#include "ctl/options.h"

#include "common/limits.h"
#include "ctl/commands.h"
#include "ctl/fleet_answer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define AT(field) offsetof(struct tool, field)
/* In the order of help. `value` NULL: a flag, a bool at the offset; else a text there, borrowed
 * from argv. */
const struct option_rule general_options[] = {
        { "socket", 0, "PATH", "the daemon's socket (else $EMAILSEC_SOCKET)", AT(socket) },
        { "host", 'H', "[USER@]HOST,...", "run it there, over ssh; at several side by side", AT(host) },
        { "hosts", 0, "FILE", "the same at all hosts of a file, one a line", AT(hosts) },
        { "group", 0, "NAME,...", "of that file only those under [NAME]", AT(hosts_group) },
        { "parallel", 0, "N", "hosts at one time; else 32", AT(parallel) },
        { "timeout", 0, "DURATION", "for each of several hosts; else 30s", AT(timeout) },
        { "json", 0, NULL, "print JSON", AT(json) },
        { "no-pager", 0, NULL, "do not pipe long output into a pager", AT(no_pager) },
        { "no-legend", 0, NULL, "no headings and closing words", AT(no_legend) },
        { "no-ask-password", 0, NULL, "never ask on the terminal", AT(no_ask_password) },
        { "quiet", 'q', NULL, "print only what was asked for and errors", AT(quiet) },
        { "help", 'h', NULL, "show help", AT(help) },
        { "version", 0, NULL, "show the version", AT(version) },
        { 0 },
};

/* Where the parser is. */
struct reading {
        struct tool *tool;
        char **argv;
        int argc, next;
        bool words_only; /* "--" was there */
};

static const struct option_rule *rule_named(const struct option_rule *rules, const char *name, size_t len)
{
        for (; rules && rules->name; rules++)
                if (strlen(rules->name) == len && !strncmp(rules->name, name, len))
                        return rules;
        return NULL;
}

static const struct option_rule *rule_lettered(const struct option_rule *rules, char letter)
{
        for (; rules && rules->name; rules++)
                if (rules->letter == letter)
                        return rules;
        return NULL;
}

static const struct option_rule *own_options(const struct tool *tool)
{
        return tool->command ? tool->command->options : NULL;
}

static bool is_general(const struct option_rule *rule)
{
        return rule >= general_options && rule < general_options + count_of(general_options);
}

static void keep_option(struct tool *tool, const struct option_rule *rule, const char *value)
{
        if (is_general(rule)) {
                char *place = (char *)tool + rule->offset;
                /* Given several times: all count, and the last one is what a single host means. */
                if (rule->offset == AT(host)) {
                        tool->host_list = new_resized(tool->host_list, tool->host_list_count + 1,
                                                      sizeof(*tool->host_list));
                        tool->host_list[tool->host_list_count++] = value;
                }
                if (rule->value)
                        *(const char **)(void *)place = value;
                else
                        *(bool *)(void *)place = true;
                return;
        }
        tool->options = new_resized(tool->options, tool->option_count + 1, sizeof(*tool->options));
        tool->options[tool->option_count++] = (struct given_option){ rule, value };
}

/* What names other hosts is not for them: taken out of argv, so that what is left can be run there. */
static void drop_host_words(struct reading *r, const struct option_rule *rule, int count)
{
        static const size_t ours[] = { AT(host), AT(hosts), AT(hosts_group), AT(parallel), AT(timeout) };
        for (size_t o = 0; o < count_of(ours) && is_general(rule); o++)
                for (int i = 1; i <= count && rule->value && rule->offset == ours[o]; i++)
                        r->argv[r->next - i] = NULL;
}

/* An option of the command goes before a general one of the same name. */
static int read_long(struct reading *r, const char *arg)
{
        const char *equals = strchr(arg, '=');
        size_t len = equals ? (size_t)(equals - arg) : strlen(arg);
        const struct option_rule *rule = rule_named(own_options(r->tool), arg, len);
        if (!rule)
                rule = rule_named(general_options, arg, len);
        if (!rule)
                return option_unknown(r->tool, arg, len);
        if (!rule->value) {
                if (equals)
                        return tell_usage(r->tool, "--%s takes no value", rule->name);
                keep_option(r->tool, rule, NULL);
                return 0;
        }
        const char *value = equals ? equals + 1 : r->next < r->argc ? r->argv[r->next++] : NULL;
        if (!value)
                return tell_usage(r->tool, "--%s needs a value: %s", rule->name, rule->value);
        keep_option(r->tool, rule, value);
        drop_host_words(r, rule, equals ? 1 : 2);
        return 0;
}

/* Letters stand together up to the first that takes a value: the rest of the word, or the next
 * word. */
static int read_short(struct reading *r, const char *letters)
{
        for (; *letters; letters++) {
                const struct option_rule *rule = rule_lettered(own_options(r->tool), *letters);
                if (!rule)
                        rule = rule_lettered(general_options, *letters);
                if (!rule)
                        return tell_usage(r->tool, "there is no option -%c here", *letters);
                if (!rule->value) {
                        keep_option(r->tool, rule, NULL);
                        continue;
                }
                const char *value = letters[1] ? letters + 1 : r->next < r->argc ? r->argv[r->next++] : NULL;
                if (!value)
                        return tell_usage(r->tool, "-%c needs a value: %s", *letters, rule->value);
                keep_option(r->tool, rule, value);
                drop_host_words(r, rule, letters[1] ? 1 : 2);
                return 0;
        }
        return 0;
}

/* Words make up the command until one is known: a single word, or a group and a second one. All
 * that follow are arguments. */
static int read_word(struct reading *r, const char *word)
{
        struct tool *tool = r->tool;
        if (tool->command) {
                tool->words[tool->word_count++] = word;
                return 0;
        }
        scoped(scoped_free) char *words = tool->group ? text_of("%s %s", tool->group, word) : copy_text(word);
        tool->command = command_named(words);
        if (tool->command) {
                tool->group = NULL;
                return 0;
        }
        if (tool->group || !command_is_group(word))
                return command_unknown(tool, tool->group, word);
        tool->group = word;
        return 0;
}

/* "ssl|starttls|none" takes one of these; "FILE|-" only describes. */
static bool matches_choice(const char *choices, const char *word)
{
        size_t len = strlen(word);
        if (!strchr(choices, '|') || choices[0] < 'a')
                return true;
        for (const char *at = choices; *at;) {
                size_t choice = strcspn(at, "|");
                if (choice == len && !strncmp(at, word, len))
                        return true;
                at += choice + (at[choice] == '|');
        }
        return false;
}

/* How many words there are, and which of a choice; what they mean is judged by the daemon. */
static int check_words(const struct tool *tool)
{
        const char *at = tool->command->args;
        struct arg_pattern arg = { 0 };
        size_t seen = 0;
        while (arg_pattern_next(&at, &arg)) {
                const char *word = tool_word(tool, seen);
                if (!word && !arg.optional)
                        return tell_usage(tool, "'%s' needs %s", tool->command->words, arg.name);
                if (word && !matches_choice(arg.name, word))
                        return tell_usage(tool, "'%s' is not one of %s", word, arg.name);
                seen += word != NULL;
        }
        if (seen < tool->word_count && !arg.repeats)
                return tell_usage(tool, "unexpected argument: %s", tool_word(tool, seen));
        return 0;
}

static int read_next(struct reading *r)
{
        const char *arg = r->argv[r->next++];
        /* The sendmail form and completion read their own words. */
        bool raw = r->tool->command && (r->tool->command->flags & COMMAND_RAW);
        if (raw || r->words_only || arg[0] != '-' || !arg[1])
                return read_word(r, arg);
        if (same_text(arg, "--")) {
                r->words_only = true;
                return 0;
        }
        return arg[1] == '-' ? read_long(r, arg + 2) : read_short(r, arg + 1);
}

int options_parse(struct tool *tool, int argc, char **argv)
{
        struct reading r = { .tool = tool, .argv = argv, .argc = argc, .next = 1 };
        tool->words = new_zeroed((size_t)argc + 1, sizeof(*tool->words));
        while (r.next < argc) {
                int status = read_next(&r);
                if (status)
                        return status;
        }
        /* Asked for help, a line need not be complete. */
        if (tool->help || tool->version)
                return 0;
        if (!tool->command && tool->group)
                return tell_usage(tool, "'%s' needs a second word", tool->group);
        if (!tool->command) {
                tool->command = command_named("status");
                tool->bare = true;
        }
        return tool->command->flags & COMMAND_RAW ? 0 : check_words(tool);
}

/* Between single quotes a shell takes all as it is; one of them within becomes four characters. */
char *shell_quoted(const char *word)
{
        char *out = new_zeroed(1, 4 * strlen(word) + 3);
        char *to = out;
        *to++ = '\'';
        for (; *word; word++) {
                if (*word == '\'')
                        to = stpcpy(to, "'\\''");
                else
                        *to++ = *word;
        }
        *to++ = '\'';
        return out;
}

enum { HEARD_MOST = 16 * KIB };

/* What ssh says is passed on as it comes, and the end of it kept: it may be why. A process that it leaves
 * behind (ControlPersist) may hold the pipe, so the end is ssh's own. */
static void pass_on(int from, int ended, struct buf *heard)
{
        struct pollfd fds[2] = { { .fd = from, .events = POLLIN }, { .fd = ended, .events = POLLIN } };
        char piece[4096];
        for (bool over = false; !over;) {
                if (poll(fds, 2, -1) < 0 && errno != EINTR)
                        return;
                over = fds[1].revents != 0;
                ssize_t got = read(from, piece, sizeof piece);
                if (got > 0) {
                        over = false;
                        buf_consume(heard, heard->len > HEARD_MOST / 2 ? heard->len / 2 : 0);
                        if (buf_append(heard, piece, (size_t)got) < 0 ||
                            tool_write(STDERR_FILENO, piece, (size_t)got) < 0)
                                continue; /* nobody hears it */
                } else if (got == 0) {
                        fds[0].fd = -1; /* only its end is awaited */
                        over |= ended < 0;
                }
        }
}

/* Runs ssh with this terminal, and returns its exit status; 128 and more: a signal. */
static int run_ssh(const char *const *words, struct buf *heard)
{
        int status = 0, says[2] = { -1, -1 };
        fflush(stdout);
        bool listens = pipe2(says, O_CLOEXEC) == 0;
        pid_t pid = fork();
        if (pid == 0) {
                (void)prctl(PR_SET_PDEATHSIG, SIGTERM); /* who ends this tool ends it, too */
                if (listens)
                        (void)dup2(says[1], STDERR_FILENO);
                execvp("ssh", (char *const *)(void *)words);
        }
        if (pid <= 0) {
                struct cause cause;
                (void)cause_set(&cause, CAUSE_NO_DAEMON, "ssh cannot be started: %s", strerror(errno));
                cause_remedy(&cause, "apt install openssh-client");
                int failed = tell_cause(&cause);
                if (pid < 0)
                        return failed;
                _exit(failed);
        }
        (void)signal(SIGINT, SIG_IGN); /* keys of the terminal are for ssh */
        (void)signal(SIGQUIT, SIG_IGN);
        close_fd(&says[1]);
        scoped(scoped_close) int from = says[0], ended = pidfd_open(pid, 0);
        if (listens && fcntl(from, F_SETFL, O_NONBLOCK) == 0)
                pass_on(from, ended, heard);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
        }
        return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Beside the words of ssh, or of the shell over there. */
static int tell_remote(const char *host, int status, const char *heard)
{
        enum { SSH_FAILED = 255, NOT_EXECUTABLE = 126, NO_COMMAND = 127 };
        struct cause cause;
        if (status == SSH_FAILED && fleet_ssh_trouble(heard, host, &cause)) {
                cause_prefix(&cause, "%s: ", host);
                cause.code = CAUSE_NO_DAEMON;
                return tell_cause(&cause);
        }
        if (status == SSH_FAILED) {
                (void)cause_set(&cause, CAUSE_NO_DAEMON, "ssh did not get to %s, or was cut off", host);
                cause_remedy(&cause, "ssh says why above; to see each step: ssh -v %s true", host);
                return tell_cause(&cause);
        }
        if (status == NO_COMMAND || status == NOT_EXECUTABLE) {
                (void)cause_set(&cause, CAUSE_NO_DAEMON, "on %s there is no emailsecctl, or it cannot be run",
                                host);
                cause_remedy(&cause, "on that machine: apt install emailsecctl");
                return tell_cause(&cause);
        }
        return status;
}

int options_run_remote(struct tool *tool, int argc, char **argv)
{
        if (tool->host[0] == '-' || !tool->host[0])
                return tell_usage(tool, "'%s' is not a host", tool->host);
        /* A terminal over there only where both ends here are one: it would change line ends in
         * what is piped, and mix standard error in. */
        bool terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
        scoped(scoped_free) const char **out = new_zeroed((size_t)argc + 6, sizeof(*out));
        scoped(scoped_free) char **quoted = new_zeroed((size_t)argc + 1, sizeof(*quoted));
        size_t count = 0, quoted_count = 0;
        out[count++] = "ssh";
        if (terminal)
                out[count++] = "-t";
        /* The name was looked at, and still ends the options. */
        out[count++] = "--";
        out[count++] = tool->host;
        out[count++] = "emailsecctl";
        for (int i = 1; i < argc; i++)
                if (argv[i])
                        out[count++] = quoted[quoted_count++] = shell_quoted(argv[i]);
        scoped(buf_free) struct buf heard = BUF_WITH_MAX(HEARD_MOST);
        int status = run_ssh(out, &heard);
        scoped(scoped_free) char *words = buf_take_text(&heard);
        status = tell_remote(tool->host, status, words);
        for (size_t i = 0; i < quoted_count; i++)
                free(quoted[i]);
        return status;
}
