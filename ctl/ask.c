/* SPDX-License-Identifier: MIT */
/*
 * Reading what a person types. A secret is read byte by byte, so that no buffer of stdio keeps a copy; echo
 * is off meanwhile, and a signal that ends us is raised again after the terminal has been put right.
 */
#include "ctl/ask.h"

#include "common/limits.h"
#include "common/names.h"
#include "ctl/term.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <termios.h>
#include <unistd.h>

static volatile sig_atomic_t caught;

static void remember_signal(int number)
{
        caught = number;
}

static const int ending_signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };

static void catch_signals(struct sigaction old[count_of(ending_signals)])
{
        /* No SA_RESTART: read() has to end, so that the terminal is put right before the program
         * goes. */
        struct sigaction action = { .sa_handler = remember_signal };
        sigemptyset(&action.sa_mask);
        caught = 0;
        for (size_t i = 0; i < count_of(ending_signals); i++)
                (void)sigaction(ending_signals[i], &action, &old[i]);
}

static void restore_signals(const struct sigaction old[count_of(ending_signals)])
{
        for (size_t i = 0; i < count_of(ending_signals); i++)
                (void)sigaction(ending_signals[i], &old[i], NULL);
        if (caught)
                (void)raise(caught);
}

/* Bytes up to the end of the line; -1 when it is longer than `size`, or reading failed with nothing there. */
static int read_line(char *line, size_t size, size_t *out_len)
{
        size_t len = 0;
        for (;;) {
                char byte = 0;
                ssize_t got = read(STDIN_FILENO, &byte, 1);
                if (got < 0 && errno == EINTR && !caught)
                        continue;
                if (got < 0 || (got == 0 && len == 0))
                        return -1;
                if (got == 0 || byte == '\n')
                        break;
                if (len + 1 == size)
                        return -1;
                line[len++] = byte;
        }
        line[len] = 0;
        *out_len = len;
        return 0;
}

static char *read_one_line(void)
{
        static char line[LIMIT_SECRET + 1];
        size_t len = 0;
        char *out = NULL;
        if (!read_line(line, sizeof(line), &len) && !memchr(line, 0, len)) {
                const char *bare = secret_bare(line, &len);
                out = copy_bytes(bare, len);
        }
        explicit_bzero(line, sizeof(line));
        return out;
}

/* On standard error: what is printed may be read by a program. */
char *ask_line(const char *prompt)
{
        fputs(prompt, stderr);
        fflush(stderr);
        return read_one_line();
}

char *ask_secret(const char *prompt, struct cause *cause)
{
        struct termios shown;
        struct sigaction old[count_of(ending_signals)];
        if (tcgetattr(STDIN_FILENO, &shown)) {
                (void)cause_set(cause, CAUSE_CANCELLED, "the terminal cannot be asked: %s", strerror(errno));
                return NULL;
        }
        struct termios hidden = shown;
        hidden.c_lflag &= ~(tcflag_t)ECHO;
        /* The end of the line is shown, so that what follows begins on one of its own. */
        hidden.c_lflag |= ECHONL;
        catch_signals(old);
        char *out = NULL;
        /* What was typed before the question is not the answer (TCSAFLUSH). */
        if (!tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden))
                out = ask_line(prompt);
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
        restore_signals(old);
        if (!out)
                (void)cause_set(cause, CAUSE_CANCELLED, "nothing was typed");
        return out;
}

char *read_secret(struct cause *cause)
{
        char *out = read_one_line();
        if (out && out[0])
                return out;
        free_secret(out);
        (void)cause_set(cause, CAUSE_INVALID, "standard input has no line with the secret, or one too long");
        cause_remedy(cause, "pipe one line into the command, or run it on a terminal");
        return NULL;
}

char *secret_of_person(const struct tool *tool, const char *what, const char *whom, struct cause *cause)
{
        if (!term_input())
                return read_secret(cause);
        if (tool->no_ask_password) {
                (void)cause_set(cause, CAUSE_CANCELLED, "the %s would have to be asked for", what);
                cause_remedy(cause, "leave out --no-ask-password, or pipe the %s in as one line", what);
                return NULL;
        }
        scoped(scoped_free) char *prompt = text_of("%c%s of %s: ", what[0] & ~0x20, what + 1, whom);
        return ask_secret(prompt, cause);
}
