/* SPDX-License-Identifier: MIT */
/* emailsecctl: reads the command line, runs the command, gives its exit status. By the names sendmail,
 * mailq and newaliases it is these. */
#include "common/json_fields.h"
#include "ctl/cmds.h"
#include "ctl/fleet.h"
#include "ctl/options.h"
#include "ctl/term.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

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

/* A descriptor of these that is closed would be given to the next thing that is opened: the message would be
 * read from the control socket, the archive of a backup written there. In its place is one that can be
 * neither read nor, but for errors, written. */
static void fill_standard_descriptors(void)
{
        static const int as[] = { O_WRONLY, O_RDONLY, O_WRONLY };

        for (int fd = 0; fd < (int)count_of(as); fd++)
                if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", as[fd]) != fd) /* the lowest that is free */
                        _exit(EXIT_FAILED);
}

/* Nobody wants to read what was printed: standard output was closed. */
static bool output_is_wanted(void)
{
        int flags = fcntl(STDOUT_FILENO, F_GETFL);

        return flags < 0 || (flags & O_ACCMODE) != O_RDONLY;
}

/* What was printed to a full disk was not done. */
static int tell_not_written(void)
{
        struct cause cause;

        if (!output_is_wanted())
                return EXIT_DONE;

        (void)cause_set(&cause, CAUSE_STORAGE, "not all of the output could be written");
        cause_remedy(&cause, "see that there is room, and a reader, where standard output goes");
        return tell_cause(&cause);
}

int main(int argc, char **argv)
{
        struct tool tool = { 0 };
        fill_standard_descriptors();
        json_seed();
        const struct mail_name *name = argc > 0 ? mail_name(argv[0]) : NULL;
        int status = name ? as_sendmail(&tool, name, argc, argv) : run(&tool, argc, argv);
        if ((fflush(stdout) || ferror(stdout)) && status == EXIT_DONE)
                status = tell_not_written();
        term_pager_close();
        tool_done(&tool);
        return status;
}
