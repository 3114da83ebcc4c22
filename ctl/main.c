/* SPDX-License-Identifier: MIT */
/* emailsecctl: reads the command line, runs the command, gives its exit status. By the names sendmail,
 * mailq and newaliases it is these. */
#include "ctl/cmds.h"
#include "ctl/fleet.h"
#include "ctl/options.h"
#include "ctl/term.h"

#include <stdio.h>

/* Its names as a mail program, and the option that each of them means; by no name at the end. */
static const struct mail_name {
        const char *name, *option;
} mail_names[] = { { "sendmail", NULL }, { "mailq", "-bp" }, { "newaliases", "-bi" }, { NULL, NULL } };

static const struct mail_name *mail_name(const char *called)
{
        const char *slash = called ? strrchr(called, '/') : NULL;
        const char *name = slash ? slash + 1 : called;
        for (const struct mail_name *one = mail_names; one->name; one++)
                if (same_text(name, one->name))
                        return one;
        return NULL;
}

static int as_sendmail(struct tool *tool, const struct mail_name *name, int argc, char **argv)
{
        tool->command = command_named("sendmail");
        tool->words = new_zeroed((size_t)argc + 1, sizeof(*tool->words));
        if (name->option)
                tool->words[tool->word_count++] = name->option;
        for (int i = 1; i < argc; i++)
                tool->words[tool->word_count++] = argv[i];
        return run_sendmail(tool);
}

static int run(struct tool *tool, int argc, char **argv)
{
        int status = options_parse(tool, argc, argv);
        if (status)
                return status;
        if (tool->version) {
                puts("emailsecctl " VERSION);
                return EXIT_DONE;
        }
        if (tool->help)
                return tool->command ? help_command(tool->command)
                       : tool->group ? help_group(tool->group)
                                     : help_all();
        bool fleet = fleet_is_meant(tool);
        if (tool->host && !fleet)
                return options_run_remote(tool, argc, argv);
        /* The sendmail form must be quick and shows nothing: it needs no terminal. */
        if (!(tool->command->flags & COMMAND_RAW))
                term_init();
        if (fleet)
                return fleet_do(tool, argc, argv);
        return tool->command->run(tool);
}

int main(int argc, char **argv)
{
        struct tool tool = { 0 };
        const struct mail_name *name = argc > 0 ? mail_name(argv[0]) : NULL;
        int status = name ? as_sendmail(&tool, name, argc, argv) : run(&tool, argc, argv);
        /* What was printed to a full disk was not done. */
        if (fflush(stdout) && status == EXIT_DONE)
                status = EXIT_FAILED;
        term_pager_close();
        tool_done(&tool);
        return status;
}
