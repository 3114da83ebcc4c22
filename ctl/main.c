/* SPDX-License-Identifier: MIT */
/* emailsecctl: reads the command line, runs the command, gives its exit status. By the name sendmail it is
 * one. */
#include "ctl/cmds.h"
#include "ctl/options.h"
#include "ctl/term.h"

#include <stdio.h>

static bool called_sendmail(const char *name)
{
        const char *slash = name ? strrchr(name, '/') : NULL;
        return same_text(slash ? slash + 1 : name, "sendmail");
}

static int as_sendmail(struct tool *tool, int argc, char **argv)
{
        tool->command = command_named("sendmail");
        tool->words = new_zeroed((size_t)argc + 1, sizeof(*tool->words));
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
        if (tool->host)
                return options_run_remote(tool, argc, argv);
        /* The sendmail form must be quick and shows nothing: it needs no terminal. */
        if (!(tool->command->flags & COMMAND_RAW))
                term_init();
        return tool->command->run(tool);
}

int main(int argc, char **argv)
{
        struct tool tool = { 0 };
        int status = argc > 0 && called_sendmail(argv[0]) ? as_sendmail(&tool, argc, argv)
                                                          : run(&tool, argc, argv);
        /* What was printed to a full disk was not done. */
        if (fflush(stdout) && status == EXIT_DONE)
                status = EXIT_FAILED;
        term_pager_close();
        tool_done(&tool);
        return status;
}
