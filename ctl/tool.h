/* SPDX-License-Identifier: MIT */
/*
 * One run of emailsecctl: what the command line said, and the connection to the daemon once a command needs
 * it. Texts are borrowed from argv. Commands look at it through the functions below and return an exit
 * status.
 */
#pragma once

#include "common/cause.h"

#include <jansson.h>

enum exit_status {
        EXIT_DONE = 0,
        EXIT_FAILED = 1, /* the daemon refused, or the thing failed */
        EXIT_USAGE = 2,
        EXIT_NO_DAEMON = 3,
        EXIT_DENIED = 4,
};

/* An option of a command, or one that every command has. */
struct option_rule {
        const char *name;  /* without the dashes */
        char letter;       /* short form, or 0 */
        const char *value; /* what its value is, as in help: NAME, FILE, a|b; NULL: a switch */
        const char *help;
        size_t offset; /* of general options only: the bool or text in struct tool */
};
struct given_option {
        const struct option_rule *rule;
        const char *value; /* NULL of a switch */
};

struct command;
struct call_state;

struct tool {
        const char *socket;
        const char *host;       /* the last one given */
        const char **host_list; /* each --host, which may be several with commas between them */
        size_t host_list_count;
        const char *hosts, *hosts_group, *parallel, *timeout;
        bool json, no_pager, no_legend, no_ask_password, quiet, help, version;

        const struct command *command;
        bool bare;          /* no command was given: it is status */
        const char *group;  /* the first word when it is that of a group and no command came */
        const char **words; /* what follows the command's own words */
        size_t word_count;
        struct given_option *options;
        size_t option_count;

        struct call_state *calls; /* the connection; NULL until the first call */
};

/* Word number `index` after the command; NULL when there are fewer. */
static inline const char *tool_word(const struct tool *tool, size_t index)
{
        return index < tool->word_count ? tool->words[index] : NULL;
}
/* The last value given for an option of the command; NULL when it was not given. */
const char *tool_option(const struct tool *tool, const char *name);
bool tool_has(const struct tool *tool, const char *name);
/* Values of an option that may be repeated, in order: start with *at = 0; NULL at the end. */
const char *tool_next_option(const struct tool *tool, const char *name, size_t *at);
void tool_done(struct tool *tool);

/* All of it, whatever interrupts; -1 with errno. */
int tool_write(int fd, const void *bytes, size_t len) must_use;
struct column;
/* A call, and the list `member` of its answer by show_list(). Exit status. */
int tool_show_list(struct tool *tool, const char *method, json_t *parameters, const char *member,
                   const struct column *columns, size_t count, const char *none) must_use;

/* "emailsecctl: SENTENCE" and "  what to do: REMEDY" to standard error; gives the exit status of the cause.
 */
int tell_cause(const struct cause *cause);
/* Each problem in turn; the status is that of the first. */
int tell_causes(const struct causes *causes);
/* A sentence of the tool's own about its command line; gives EXIT_USAGE. */
int tell_usage(const struct tool *tool, const char *format, ...) printf_like(2, 3);

/* ---- commands that take several names or ids: one answer in JSON, one exit status ---- */

/* Does it for one word; what it shows as JSON goes to *out (owned by the caller) where the tool has --json.
 */
typedef int each_run(struct tool *tool, const char *word, json_t **out);

/* Does it for every word of the command line, also behind one that failed, but not behind a daemon that is
 * gone. JSON is that of the only word, or an array of all. Exit status: the first that is not 0. */
int each_word(struct tool *tool, each_run *run) must_use;

/* ---- what is done for each account of the station ---- */

/* Anything but EXIT_DONE ends it. */
typedef int each_account_run(void *arg, json_t *account);

/* Calls it for each account whose name is behind `after` (NULL: all) in the order of the names; they are
 * asked for page by page. What the last call of it gave; a failed call to the daemon is told, or where
 * `failures` is not NULL gives -1 with them. */
int each_account(struct tool *tool, const char *after, each_account_run *run, void *arg,
                 struct causes *failures) must_use;
