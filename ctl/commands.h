/* SPDX-License-Identifier: MIT */
/*
 * THE table of commands: words, arguments, help, options, what to run. The parser, --help, "did you mean",
 * completion and the test of the man page are made from it. A new command is a row here, a function in
 * cmd_*.c and a paragraph in emailsecctl(1).
 */
#pragma once

#include "ctl/tool.h"

typedef int command_run(struct tool *tool);

enum {
        COMMAND_HIDDEN = 1, /* not in help and completion */
        COMMAND_RAW = 2,    /* takes the rest of the command line as it is */
        COMMAND_FLEET = 4,  /* may be run at several stations side by side: asks nothing, reads no input */
};

struct command {
        const char *words; /* "account add" */
        /* Its words: NAME, [NAME], ID..., a|b, PROP=VALUE...; "" = none. Read by the parser and completion.
         */
        const char *args;
        const char *help;                  /* one line, for people */
        const struct option_rule *options; /* ended by one without name; NULL = none */
        command_run *run;
        unsigned flags;
};
extern const struct command commands[];
extern const size_t command_count;

/* The command with these words ("status", "account add"); NULL when there is none. */
const struct command *command_named(const char *words);
/* True when some command begins with this word and has a second one. */
bool command_is_group(const char *word);
/* The word of a command that stands alone or, within a group, behind it, *len bytes; NULL where it is of
 * another group. */
const char *command_word(const struct command *command, const char *group, size_t *len);
/* What may be meant by a word that is none: another word for it, the command that has it as its second one,
 * or the likeliest spelling; NULL when nothing is near. The caller frees. */
char *command_near(const char *group, const char *word) must_use;
/* Tell that there is no such command or option, and which may be meant; give EXIT_USAGE. */
int command_unknown(struct tool *tool, const char *group, const char *word);
int option_unknown(struct tool *tool, const char *name, size_t len);

/* One placeholder of `args`. */
struct arg_pattern {
        char name[64]; /* without brackets and dots */
        bool optional, repeats;
};
/* The placeholder at *at of the pattern; false at its end, *out is then still the last one. */
bool arg_pattern_next(const char **at, struct arg_pattern *out);

/* Help to standard output: everything, a group, or one command. Give EXIT_DONE. */
int help_all(void);
int help_group(const char *group);
int help_command(const struct command *command);
