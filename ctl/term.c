/* SPDX-License-Identifier: MIT */
/* What the terminal can do. Colours only on one that wants them (NO_COLOR, TERM=dumb). */
#include "ctl/term.h"

#include "common/printable.h"

#include <langinfo.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* As term_init() found it; of these only the size of the window changes while the tool runs. */
static struct {
        bool output, input, utf8, colour, progress, dumb;
        size_t width, rows;
        pid_t pager;
} term;

/* COLUMNS wins over the terminal, as in other programs. Below 20 columns nothing can be laid out. */
static size_t columns_of(int fd)
{
        const char *given = getenv("COLUMNS");
        unsigned long columns = given ? strtoul(given, NULL, 10) : 0;
        struct winsize size = { 0 };
        if (!columns && !ioctl(fd, TIOCGWINSZ, &size))
                columns = size.ws_col;
        return columns >= 20 ? columns : 80;
}

/* Again whenever the window has changed. Without a terminal a line has no limit: what reads a pipe
 * gets values whole. */
void term_measure(void)
{
        struct winsize size = { 0 };
        term.width = term.output ? columns_of(STDOUT_FILENO) : SIZE_MAX;
        term.rows = term.output && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_row >= 4 ? size.ws_row
                                                                                                : 24;
}

void term_init(void)
{
        const char *name = getenv("TERM");
        const char *no_colour = getenv("NO_COLOR");
        /* Of the locale the character set only: numbers are written the same everywhere. */
        (void)setlocale(LC_CTYPE, "");
        term.utf8 = same_text(nl_langinfo(CODESET), "UTF-8");
        term.output = isatty(STDOUT_FILENO);
        term.input = isatty(STDIN_FILENO);
        term.dumb = same_text(name, "dumb"); /* it cannot move a cursor, which the usual pager does */
        term.colour = term.output && name && !term.dumb && !(no_colour && no_colour[0]);
        term_measure();
}

bool term_output(void)
{
        return term.output;
}

bool term_input(void)
{
        return term.input;
}

bool term_utf8(void)
{
        return term.utf8;
}

size_t term_width(void)
{
        return term.width ? term.width : SIZE_MAX;
}

size_t term_error_width(void)
{
        return isatty(STDERR_FILENO) ? columns_of(STDERR_FILENO) : SIZE_MAX;
}

size_t term_rows(void)
{
        return term.rows;
}

bool term_moves(void)
{
        return term.output && !term.dumb;
}

const char *term_tint(enum tint tint)
{
        static const char *const escapes[] = {
                [TINT_NONE] = "",          [TINT_GOOD] = "\033[32m",  [TINT_WAIT] = "\033[33m",
                [TINT_BAD] = "\033[1;31m", [TINT_FAINT] = "\033[90m", [TINT_STRONG] = "\033[1m",
        };
        return term.colour ? escapes[tint] : "";
}

const char *term_plain(void)
{
        return term.colour ? "\033[0m" : "";
}

/* The child. PAGER is a command for the shell, as for man and git. LESS is set where the person has
 * none: to leave at once when all fits (F), let colours through (R), cut long lines (S) and keep
 * the screen (X). A pager of root starts no shell and no editor. */
static void be_the_pager(int from)
{
        const char *pager = getenv("PAGER");
        if (dup2(from, STDIN_FILENO) < 0)
                _exit(127);
        (void)setenv("LESS", "FRSX", 0);
        if (geteuid() == 0)
                (void)setenv("LESSSECURE", "1", 1);
        if (pager)
                execl("/bin/sh", "sh", "-c", pager, (char *)NULL);
        execlp("less", "less", "-FRSX", (char *)NULL);
        execlp("more", "more", (char *)NULL);
        execlp("cat", "cat", (char *)NULL);
        _exit(127);
}

void term_pager_open(const struct tool *tool)
{
        const char *pager = getenv("PAGER");
        int ends[2];
        /* None where nobody could page: no terminal, or one that cannot move its cursor;
         * --no-pager; a PAGER that is empty or cat; one that runs already. */
        if (!term.output || (term.dumb && !pager) || tool->no_pager || term.pager ||
            (pager && (!pager[0] || same_text(pager, "cat"))))
                return;
        /* What stdio holds must not be written by both processes. */
        fflush(stdout);
        if (pipe(ends))
                return;
        pid_t child = fork();
        if (child == 0) {
                close(ends[1]);
                be_the_pager(ends[0]);
        }
        /* Without a child the output goes where it went. */
        close(ends[0]);
        if (child > 0 && dup2(ends[1], STDOUT_FILENO) >= 0)
                term.pager = child;
        close(ends[1]);
}

void term_pager_close(void)
{
        if (!term.pager)
                return;
        /* The pager ends when its input has and the person leaves it. Who exits before lets the
         * shell write into its screen. */
        fflush(stdout);
        close(STDOUT_FILENO);
        (void)waitpid(term.pager, NULL, 0);
        term.pager = 0;
}

/* Somebody watches: a person at a terminal who wants words. */
static bool is_watched(const struct tool *tool)
{
        return !tool->quiet && !tool->json && isatty(STDERR_FILENO);
}

/* The line that is shown becomes this one; `end`: it stays, and what follows is below it. */
printf_like(3, 0) static void put_line(const struct tool *tool, bool end, const char *format, va_list args)
{
        char text[512];

        if (!is_watched(tool))
                return;
        (void)vsnprintf(text, sizeof(text), format, args);
        scoped(scoped_free) char *safe = printable_text(text);
        fprintf(stderr, end ? "\r\033[K%s\n" : "\r\033[K%s", safe);
        fflush(stderr);
        term.progress = !end;
}

/* One line that the next replaces; on standard error, so that a file or pipe gets the result alone. */
void term_progress(const struct tool *tool, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        put_line(tool, false, format, args);
        va_end(args);
}

void term_note(const struct tool *tool, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        put_line(tool, true, format, args);
        va_end(args);
}

void term_progress_end(void)
{
        if (term.progress)
                fputs("\r\033[K", stderr);
        term.progress = false;
}
