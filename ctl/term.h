/* SPDX-License-Identifier: MIT */
/* The terminal, where there is one: width, colour, character set, pager, a line that shows what is waited
 * for. */
#pragma once

#include "ctl/tool.h"

enum tint { TINT_NONE, TINT_GOOD, TINT_WAIT, TINT_BAD, TINT_FAINT, TINT_STRONG };

/* Looks at the environment once; call it before anything is shown. */
void term_init(void);
bool term_output(void); /* standard output is a terminal (or a pager on one) */
bool term_input(void);  /* a person is there to answer */
bool term_utf8(void);
size_t term_width(void); /* columns; SIZE_MAX when output is no terminal */

size_t term_error_width(void); /* the same of standard error */
size_t term_rows(void);        /* lines of the terminal; 24 where nobody knows */
bool term_moves(void);         /* output is a terminal whose cursor can be moved */
void term_measure(void);       /* looks at its size anew */

/* Escape sequences to put around a text; "" without colour. */
const char *term_tint(enum tint tint);
const char *term_plain(void);

/* From here on output goes through a pager, when it is a terminal and --no-pager was not given. */
void term_pager_open(const struct tool *tool);
/* Waits for the person to leave the pager; for the end of main. */
void term_pager_close(void);

/* One line on standard error that the next one replaces; only on a terminal and without --quiet and --json.
 */
void term_progress(const struct tool *tool, const char *format, ...) printf_like(2, 3);
/* The same, and it stays. */
void term_note(const struct tool *tool, const char *format, ...) printf_like(2, 3);
void term_progress_end(void);
