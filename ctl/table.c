/* SPDX-License-Identifier: MIT */
/*
 * Lists as tables. A table is aligned by the columns its characters take, not by bytes. Where the terminal is
 * too narrow for all of it, the columns that are prose go below the others, whole; what is still too wide is
 * cut.
 */
#include "common/json_fields.h"
#include "common/printable.h"
#include "ctl/show.h"

#define LEAST_COLUMN 8 /* a column is not cut below this */
#define COLUMN_GAP   2
#define BELOW_INDENT 4

static char *cell(const struct column *column, const json_t *row)
{
        const json_t *value = json_at(row, column->path);
        return column->text ? column->text(value) : json_words(value);
}

static bool is_below(const struct listing *l, size_t c)
{
        return l->folded && l->columns[c].flags & COLUMN_BELOW;
}

static size_t total_width(const struct listing *l)
{
        size_t total = 0, shown = 0;
        for (size_t c = 0; c < l->column_count; c++)
                if (!is_below(l, c)) {
                        total += l->widths[c];
                        shown++;
                }
        return total + COLUMN_GAP * (shown - 1);
}

/* Takes what is too much from the widest column that may be cut, one by one. */
static void fit_widths(struct listing *l)
{
        size_t total = total_width(l);
        while (total > term_width()) {
                size_t widest = SIZE_MAX;
                for (size_t c = 0; c < l->column_count; c++) {
                        if (is_below(l, c) || l->columns[c].flags & COLUMN_WHOLE ||
                            l->widths[c] <= LEAST_COLUMN)
                                continue;
                        if (widest == SIZE_MAX || l->widths[c] > l->widths[widest])
                                widest = c;
                }
                if (widest == SIZE_MAX)
                        return;
                l->widths[widest]--;
                total--;
        }
}

static bool is_last(const struct listing *l, size_t c)
{
        for (c++; c < l->column_count; c++)
                if (!is_below(l, c))
                        return false;
        return true;
}

/* Nothing stands behind the last column: no blanks are left in what is copied or piped. */
static void print_padded(const struct listing *l, size_t c, const char *text, enum tint tint)
{
        if (is_below(l, c))
                return;
        bool whole = l->columns[c].flags & COLUMN_WHOLE || !term_output();
        scoped(scoped_free) char *cut = whole ? copy_text(text) : text_cut(text, l->widths[c]);
        size_t width = printable_width(cut);
        size_t pad = l->widths[c] > width ? l->widths[c] - width : 0;
        bool right = l->columns[c].flags & COLUMN_RIGHT, last = is_last(l, c);
        printf("%*s%s%s%s%*s", right ? (int)pad : 0, "", term_tint(tint), cut, term_plain(),
               right || last ? 0 : (int)pad, "");
        fputs(last ? "\n" : "  ", stdout);
}

static void print_header(const struct listing *l)
{
        for (size_t c = 0; c < l->column_count; c++)
                print_padded(l, c, l->columns[c].title, TINT_STRONG);
}

static void measure(struct listing *l, char *const *cells, size_t rows)
{
        bool foldable = false;
        /* The widest cell so far: the rows of earlier pages stand already. */
        for (size_t c = 0; c < l->column_count; c++) {
                size_t title = l->tool->no_legend ? 0 : strlen(l->columns[c].title);
                foldable = foldable || l->columns[c].flags & COLUMN_BELOW;
                if (l->widths[c] < title)
                        l->widths[c] = title;
                for (size_t r = 0; r < rows; r++) {
                        size_t width = printable_width(cells[r * l->column_count + c]);
                        if (l->widths[c] < width)
                                l->widths[c] = width;
                }
        }
        /* A pipe gets whole cells: no width is known that they should fit. */
        if (!term_output())
                return;
        /* Decided by the first page: a table does not change its form half-way. */
        if (l->shown == 0)
                l->folded = foldable && total_width(l) > term_width();
        fit_widths(l);
}

/* What is below a row, as one piece of prose; nothing where nothing is known. */
static void print_below(const struct listing *l, char *const *row)
{
        scoped(scoped_free) char *all = copy_text("");
        for (size_t c = 0; l->folded && c < l->column_count; c++) {
                if (!is_below(l, c) || same_text(row[c], "-"))
                        continue;
                char *longer = text_of("%s%s%s", all, all[0] ? ": " : "", row[c]);
                free(all);
                all = longer;
        }
        if (!all[0])
                return;
        printf("%*s", BELOW_INDENT, "");
        show_prose(BELOW_INDENT, all);
        puts("");
}

static void table_page(struct listing *l, const json_t *rows)
{
        size_t count = json_array_size(rows), columns = l->column_count;
        char **cells = new_zeroed(count * columns, sizeof(*cells));
        for (size_t r = 0; r < count; r++)
                for (size_t c = 0; c < columns; c++)
                        cells[r * columns + c] = cell(&l->columns[c], json_array_get(rows, r));
        measure(l, cells, count);
        if (l->shown == 0 && !l->tool->no_legend)
                print_header(l);
        for (size_t r = 0; r < count; r++) {
                char **row = cells + r * columns;
                for (size_t c = 0; c < columns; c++)
                        print_padded(l, c, row[c],
                                     l->columns[c].flags & COLUMN_STATE ? tint_of(row[c]) : TINT_NONE);
                print_below(l, row);
                for (size_t c = 0; c < columns; c++)
                        free(row[c]);
        }
        free(cells);
}

/* One array over all pages: the first row opens it, listing_end() closes it. */
static void json_page(const struct listing *l, const json_t *rows)
{
        size_t flags = term_output() ? JSON_INDENT(2) : JSON_COMPACT;
        for (size_t r = 0; r < json_array_size(rows); r++) {
                fputs(l->shown + r == 0 ? "[" : ",", stdout);
                scoped(scoped_free) char *text = json_shown(json_array_get(rows, r), flags | JSON_ENCODE_ANY);
                fputs(text ? text : "null", stdout);
        }
}

void listing_page(struct listing *l, const json_t *rows)
{
        if (json_array_size(rows) == 0)
                return;
        if (l->shown == 0)
                term_pager_open(l->tool);
        if (l->tool->json)
                json_page(l, rows);
        else
                table_page(l, rows);
        l->shown += json_array_size(rows);
}

void listing_end(struct listing *l, const char *none)
{
        if (l->tool->json)
                fputs(l->shown ? "]\n" : "[]\n", stdout);
        else if (l->shown == 0 && !l->tool->no_legend && term_output())
                printf("%s\n", none);
}

void show_list(const struct tool *tool, const struct column *columns, size_t count, const json_t *rows,
               const char *none)
{
        struct listing l = { .tool = tool, .columns = columns, .column_count = count };
        listing_page(&l, rows);
        listing_end(&l, none);
}
