/* SPDX-License-Identifier: MIT */
/*
 * One display for everything the tool prints: lists as tables, one thing as a sheet, both as JSON with
 * --json. What is shown came from outside and is made printable here; nothing else prints a daemon's text.
 */
#pragma once

#include "common/cleanup.h"
#include "ctl/term.h"
#include "ctl/tool.h"

#include <stdio.h>

/* The value at "a.b.c" of an object; NULL when there is none. */
const json_t *json_at(const json_t *object, const char *path);
/* The text there, as it is; "" when there is none. */
const char *json_text(const json_t *object, const char *path);
int64_t json_number(const json_t *object, const char *path);
bool json_flag(const json_t *object, const char *path);
/* How many rows of an array have this text at `path`. */
size_t json_count(const json_t *rows, const char *path, const char *word);
/* The rows whose text at `path` has a rank below `ranks`, those of the lowest first, of one rank as they
 * came. The caller owns it. */
json_t *json_ranked(const json_t *rows, const char *path, size_t (*rank)(const char *word), size_t ranks)
        must_use;
/* A value as a person reads it: text, number, yes or no, items joined by ", "; "-" for nothing. Printable;
 * the caller frees. */
char *json_words(const json_t *value) must_use;

/* JSON: short when piped, pretty on a terminal. */
void show_json(const json_t *value);

enum {
        COLUMN_WHOLE = 1, /* never cut: ids and names that are typed again */
        COLUMN_RIGHT = 2,
        COLUMN_STATE = 4, /* coloured by its word */
        COLUMN_BELOW =
                8, /* goes to a line of its own under the others where the terminal is too narrow for all */
};
struct column {
        const char *title;
        const char *path;                   /* into the row */
        char *(*text)(const json_t *value); /* NULL = json_words */
        unsigned flags;
};
#define MOST_COLUMNS 10

/* A list, shown page by page; with --json as one array. */
struct listing {
        const struct tool *tool;
        const struct column *columns;
        size_t column_count;
        size_t widths[MOST_COLUMNS];
        size_t shown;
        bool folded; /* COLUMN_BELOW columns are below */
};
void listing_page(struct listing *listing, const json_t *rows);
/* `none`: what to say to a person when nothing was in it. */
void listing_end(struct listing *listing, const char *none);
/* The whole list at once. */
void show_list(const struct tool *tool, const struct column *columns, size_t count, const json_t *rows,
               const char *none);

/* Texts for columns: dates and sizes as people read them, the first 16 digits of a fingerprint, as much of an
 * id of an Allowed Host as is typed again. */
char *date_words(const json_t *value) must_use;
char *size_words(const json_t *value) must_use;
char *digest_words(const json_t *value) must_use;
char *show_id_words(const json_t *value) must_use;

/* A WaitingFor: what it is, how many messages wait, until when; NULL for null. */
char *show_wait_words(const json_t *waiting) must_use;

/* The colour of a state's or verdict's word. */
enum tint tint_of(const char *word);
/* Fits `text` into `width` columns, with an ellipsis where it was cut; the caller frees. */
char *text_cut(const char *text, size_t width) must_use;

/* Printable prose: on a terminal in lines of whole words that begin at `column`; elsewhere one line, as it
 * is. */
void show_prose(size_t column, const char *text);
/* The same on standard error. */
void show_prose_of_failure(size_t column, const char *text);
/* A line of a sheet: "label  text"; several lines of text stay aligned. The text is made printable. */
void sheet_text(const char *label, const char *text);
void sheet_format(const char *label, const char *format, ...) printf_like(2, 3);
/* The value at `path`, left out when there is none; a time as date_words() has it. */
void sheet_value(const char *label, const json_t *object, const char *path);
void sheet_title(const char *title);
/* A sentence (printable) with what to do under it; remedy NULL or "" = none. */
void show_advice(enum tint tint, const char *text, const char *remedy);
/* Done: a sentence unless --quiet or --json. */
void show_done(const struct tool *tool, const char *format, ...) printf_like(2, 3);

/* ---- what is the same for several accounts, told once for all of them ---- */

enum {
        MOST_NAMED = 48,  /* accounts whose names are said where they have a fault in common; of the rest only
                             the number */
        MOST_ADVISED = 8, /* the same in To do */
};

/* The text without the account's own name, so that the same of another account is the same: "account secure
 * NAME ssl". The caller frees. */
char *text_without_name(const char *text, const char *name) must_use;

/* Names of accounts in a line of prose. */
struct names {
        char *text; /* the first of them, printable; NULL: none */
        size_t count;
};
/* At most `most` are said. */
void names_add(struct names *names, const char *name, size_t most);
/* "a, b, c and 12 more"; frees what it was made of. The caller frees. */
char *names_take(struct names *names, size_t most) must_use;
