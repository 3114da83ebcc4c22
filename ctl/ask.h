/* SPDX-License-Identifier: MIT */
/* Questions to a person on the terminal, and secrets from a pipe. Never from argv or the environment. */
#pragma once

#include "ctl/tool.h"

/* One line after the prompt, without its end; NULL at the end of input. The caller frees. */
char *ask_line(const char *prompt) must_use;
/* The same without echo; the terminal is put right again also when a signal ends us. free_secret. NULL with a
 * cause. */
char *ask_secret(const char *prompt, struct cause *cause) must_use;
/* One line of standard input that is no terminal; free_secret. NULL with a cause when it is empty or too
 * long. */
char *read_secret(struct cause *cause) must_use;
/* By one of these two: asked for on a terminal, else read. `what` ("password") of `whom`. free_secret. NULL
 * with a cause. */
char *secret_of_person(const struct tool *tool, const char *what, const char *whom, struct cause *cause)
        must_use;
