/* SPDX-License-Identifier: MIT */
/* Tables, sheets and JSON. A table is aligned by the columns its characters take, not by bytes. */
#include "ctl/show.h"

#include "common/json_fields.h"
#include "common/printable.h"
#include "common/times.h"

#include <stdarg.h>
#include <unistd.h>

#define SHEET_LABEL  28 /* columns of a sheet's labels */
#define LEAST_COLUMN 8  /* a column is not cut below this */
#define COLUMN_GAP   2

const json_t *json_at(const json_t *object, const char *path)
{
        while (object) {
                size_t len = strcspn(path, ".");
                object = json_object_getn(object, path, len);
                if (!path[len])
                        break;
                path += len + 1;
        }
        return object;
}

const char *json_text(const json_t *object, const char *path)
{
        const char *text = json_string_value(json_at(object, path));
        return text ? text : "";
}

int64_t json_number(const json_t *object, const char *path)
{
        return json_integer_value(json_at(object, path));
}

bool json_flag(const json_t *object, const char *path)
{
        return json_is_true(json_at(object, path));
}

static char *joined_words(const json_t *array)
{
        char *out = copy_text("");
        for (size_t i = 0; i < json_array_size(array); i++) {
                scoped(scoped_free) char *item = json_words(json_array_get(array, i));
                scoped(scoped_free) char *before = out;
                out = text_of("%s%s%s", before, i ? ", " : "", item);
        }
        return out;
}

static char *compact(const json_t *value)
{
        scoped(scoped_free) char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
        return printable_text(text);
}

char *json_words(const json_t *value)
{
        if (!value || json_is_null(value))
                return copy_text("-");
        switch (json_typeof(value)) {
        case JSON_STRING:
                return printable_text(json_string_length(value) ? json_string_value(value) : "-");
        case JSON_TRUE:
                return copy_text("yes");
        case JSON_FALSE:
                return copy_text("no");
        case JSON_ARRAY:
                return json_array_size(value) ? joined_words(value) : copy_text("-");
        case JSON_INTEGER:
        case JSON_REAL:
        case JSON_OBJECT:
        case JSON_NULL:
                break;
        }
        return compact(value);
}

void show_json(const json_t *value)
{
        size_t flags = term_output() ? JSON_INDENT(2) : JSON_COMPACT;
        scoped(scoped_free) char *text = json_shown(value, flags | JSON_ENCODE_ANY);
        if (text)
                puts(text);
        fflush(stdout);
}

enum tint tint_of(const char *word)
{
        static const struct {
                const char *word;
                enum tint tint;
        } tints[] = {
                { "ok", TINT_GOOD },        { "sent", TINT_GOOD },      { "approved", TINT_GOOD },
                { "imported", TINT_GOOD },  { "down", TINT_WAIT },      { "connecting", TINT_WAIT },
                { "challenge", TINT_WAIT }, { "pending", TINT_WAIT },   { "deferred", TINT_WAIT },
                { "warning", TINT_WAIT },   { "changed", TINT_WAIT },   { "ambiguous", TINT_WAIT },
                { "expired", TINT_WAIT },   { "fault", TINT_BAD },      { "failed", TINT_BAD },
                { "alert", TINT_BAD },      { "rejected", TINT_BAD },   { "refused", TINT_BAD },
                { "regression", TINT_BAD }, { "disabled", TINT_FAINT }, { "held", TINT_FAINT },
                { "skipped", TINT_FAINT },  { "ended", TINT_BAD },      { "not accepted", TINT_BAD },
                { "allowedHost", TINT_WAIT },
        };
        for (size_t i = 0; i < count_of(tints); i++)
                if (same_text(word, tints[i].word))
                        return tints[i].tint;
        return TINT_NONE;
}

char *text_cut(const char *text, size_t width)
{
        if (printable_width(text) <= width)
                return copy_text(text);
        const char *mark = term_utf8() ? "\xe2\x80\xa6" : "...";
        size_t mark_width = term_utf8() ? 1 : 3;
        if (width <= mark_width)
                return copy_bytes("...", width < 3 ? width : 3);
        size_t len = 0;
        for (size_t used = 0; text[len];) {
                uint32_t point = 0;
                size_t bytes = utf8_character(text + len, strlen(text + len), &point);
                if (bytes == 0)
                        bytes = 1;
                scoped(scoped_free) char *one = copy_bytes(text + len, bytes);
                used += printable_width(one);
                if (used > width - mark_width)
                        break;
                len += bytes;
        }
        return text_of("%.*s%s", (int)len, text, mark);
}

char *date_words(const json_t *value)
{
        time_t time = 0;
        struct tm local = { 0 };
        char out[32];
        const char *text = json_string_value(value);
        if (!text || time_parse(text, &time, NULL) || !localtime_r(&time, &local))
                return json_words(value);
        if (!strftime(out, sizeof(out), "%Y-%m-%d %H:%M", &local))
                return json_words(value);
        return copy_text(out);
}

char *size_words(const json_t *value)
{
        char out[32];
        if (!json_is_integer(value) || json_integer_value(value) < 0)
                return json_words(value);
        size_text((uint64_t)json_integer_value(value), out);
        return copy_text(out);
}

char *digest_words(const json_t *value)
{
        char *out = json_words(value);
        if (strlen(out) > 16)
                out[16] = 0;
        return out;
}

/* ---- tables ---- */

static char *cell(const struct column *column, const json_t *row)
{
        const json_t *value = json_at(row, column->path);
        return column->text ? column->text(value) : json_words(value);
}

static size_t total_width(const struct listing *l)
{
        size_t total = COLUMN_GAP * (l->column_count - 1);
        for (size_t c = 0; c < l->column_count; c++)
                total += l->widths[c];
        return total;
}

/* Takes what is too much from the widest column that may be cut, one by one. */
static void fit_widths(struct listing *l)
{
        size_t total = total_width(l);
        while (total > term_width()) {
                size_t widest = SIZE_MAX;
                for (size_t c = 0; c < l->column_count; c++) {
                        if (l->columns[c].flags & COLUMN_WHOLE || l->widths[c] <= LEAST_COLUMN)
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

static void print_padded(const struct listing *l, size_t c, const char *text, enum tint tint)
{
        bool whole = l->columns[c].flags & COLUMN_WHOLE || !term_output();
        scoped(scoped_free) char *cut = whole ? copy_text(text) : text_cut(text, l->widths[c]);
        size_t width = printable_width(cut);
        size_t pad = l->widths[c] > width ? l->widths[c] - width : 0;
        bool right = l->columns[c].flags & COLUMN_RIGHT, last = c + 1 == l->column_count;
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
        for (size_t c = 0; c < l->column_count; c++) {
                size_t title = l->tool->no_legend ? 0 : strlen(l->columns[c].title);
                if (l->widths[c] < title)
                        l->widths[c] = title;
                for (size_t r = 0; r < rows; r++) {
                        size_t width = printable_width(cells[r * l->column_count + c]);
                        if (l->widths[c] < width)
                                l->widths[c] = width;
                }
        }
        if (term_output())
                fit_widths(l);
}

static void table_page(struct listing *l, const json_t *rows)
{
        size_t count = json_array_size(rows);
        char **cells = new_zeroed(count * l->column_count, sizeof(*cells));
        for (size_t r = 0; r < count; r++)
                for (size_t c = 0; c < l->column_count; c++)
                        cells[r * l->column_count + c] = cell(&l->columns[c], json_array_get(rows, r));
        measure(l, cells, count);
        if (l->shown == 0 && !l->tool->no_legend)
                print_header(l);
        for (size_t i = 0; i < count * l->column_count; i++) {
                size_t c = i % l->column_count;
                bool state = l->columns[c].flags & COLUMN_STATE;
                print_padded(l, c, cells[i], state ? tint_of(cells[i]) : TINT_NONE);
                free(cells[i]);
        }
        free(cells);
}

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

/* ---- sheets ---- */

void sheet_title(const char *title)
{
        printf("%s%s%s\n", term_tint(TINT_STRONG), title, term_plain());
}

/* Prose: on a terminal in lines of whole words that fit beside `column`; elsewhere one line, as it is. */
static void print_prose(size_t column, const char *text)
{
        size_t room = term_output() && term_width() > column + 20 ? term_width() - column : SIZE_MAX, used = 0;
        while (*text) {
                size_t blanks = strspn(text, " "), len = blanks + strcspn(text + blanks, " ");
                scoped(scoped_free) char *word = copy_bytes(text, len);
                size_t width = printable_width(word);
                if (used && used + width > room) {
                        printf("\n%*s", (int)column, "");
                        fputs(word + blanks, stdout);
                        used = width - blanks;
                } else {
                        fputs(word, stdout);
                        used += width;
                }
                text += len;
        }
}

void sheet_text(const char *label, const char *text)
{
        for (const char *line = text; line;) {
                size_t len = strcspn(line, "\n");
                scoped(scoped_free) char *raw = copy_bytes(line, len);
                scoped(scoped_free) char *safe = printable_text(raw);
                printf("  %-*s ", SHEET_LABEL, line == text ? label : "");
                print_prose(SHEET_LABEL + 3, safe);
                puts("");
                line = line[len] ? line + len + 1 : NULL;
        }
}

void sheet_format(const char *label, const char *format, ...)
{
        char text[1024];
        va_list args;
        va_start(args, format);
        (void)vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        sheet_text(label, text);
}

void sheet_value(const char *label, const json_t *object, const char *path)
{
        const json_t *value = json_at(object, path);
        if (!value || json_is_null(value))
                return;
        scoped(scoped_free) char *words = json_words(value);
        sheet_text(label, words);
}

void show_advice(enum tint tint, const char *text, const char *remedy)
{
        scoped(scoped_free) char *safe = printable_text(text);
        printf("  %s", term_tint(tint));
        print_prose(2, safe);
        printf("%s\n", term_plain());
        if (!remedy || !remedy[0])
                return;
        scoped(scoped_free) char *what = printable_text(remedy);
        fputs("    what to do: ", stdout);
        print_prose(16, what);
        puts("");
}

void show_done(const struct tool *tool, const char *format, ...)
{
        if (tool->quiet || tool->json)
                return;
        char text[1024];
        va_list args;
        va_start(args, format);
        (void)vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        scoped(scoped_free) char *safe = printable_text(text);
        printf("%s\n", safe);
}
