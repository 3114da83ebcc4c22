/* SPDX-License-Identifier: MIT */
/* Sheets, sentences and JSON; tables are in table.c. */
#include "ctl/show.h"

#include "common/json_fields.h"
#include "common/printable.h"
#include "common/times.h"

#include <stdarg.h>
#include <unistd.h>

#define SHEET_LABEL 28 /* columns of a sheet's labels */

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

size_t json_count(const json_t *rows, const char *path, const char *word)
{
        size_t count = 0;
        for (size_t i = 0; i < json_array_size(rows); i++)
                count += same_text(json_text(json_array_get(rows, i), path), word);
        return count;
}

json_t *json_ranked(const json_t *rows, const char *path, size_t (*rank)(const char *word), size_t ranks)
{
        json_t *ranked = json_array();
        for (size_t r = 0; r < ranks; r++)
                for (size_t i = 0; i < json_array_size(rows); i++) {
                        json_t *row = json_array_get(rows, i);
                        if (rank(json_text(row, path)) == r)
                                (void)json_array_append(ranked, row);
                }
        return ranked;
}

/* "a, b, c"; the caller frees. Items are escaped one by one, so that the whole is printable. */
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

/* What has no words of its own (objects, numbers), as JSON on one line; the caller frees. */
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
        /* Indented for a person; in a pipe a value is one line, for tools that read lines. */
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
                /* The words of accounts, messages, challenges and steps alike: one word has one colour
                 * everywhere. */
        } tints[] = {
                { "ok", TINT_GOOD },          { "sent", TINT_GOOD },      { "approved", TINT_GOOD },
                { "imported", TINT_GOOD },    { "down", TINT_WAIT },      { "connecting", TINT_WAIT },
                { "challenge", TINT_WAIT },   { "pending", TINT_WAIT },   { "deferred", TINT_WAIT },
                { "warning", TINT_WAIT },     { "changed", TINT_WAIT },   { "ambiguous", TINT_WAIT },
                { "expired", TINT_WAIT },     { "fault", TINT_BAD },      { "failed", TINT_BAD },
                { "alert", TINT_BAD },        { "rejected", TINT_BAD },   { "refused", TINT_BAD },
                { "regression", TINT_BAD },   { "disabled", TINT_FAINT }, { "held", TINT_FAINT },
                { "skipped", TINT_FAINT },    { "ended", TINT_BAD },      { "not accepted", TINT_BAD },
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
        /* Cut between characters and counted in columns: a wide character takes two, a combining
         * one none. */
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
        /* The local time of whoever looks; what is no time is shown as it came. */
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

char *show_id_words(const json_t *value)
{
        char *out = json_words(value);
        if (strlen(out) > 12)
                out[12] = 0;
        return out;
}

char *show_wait_words(const json_t *waiting)
{
        long long messages = json_number(waiting, "messages");
        scoped(scoped_free) char *until =
                json_text(waiting, "until")[0] ? date_words(json_at(waiting, "until")) : NULL;
        scoped(scoped_free) char *count =
                messages ? text_of("; %lld message%s wait%s", messages, messages == 1 ? "" : "s",
                                   messages == 1 ? "s" : "")
                         : copy_text("");
        if (!json_is_object(waiting))
                return NULL;
        scoped(scoped_free) char *text = text_of("%s%s%s%s", json_text(waiting, "text"), count,
                                                 until ? "; until " : "", until ? until : "");
        return printable_text(text);
}

/* ---- sheets ---- */

void sheet_title(const char *title)
{
        printf("%s%s%s\n", term_tint(TINT_STRONG), title, term_plain());
}

/* Wraps between words at `width` and goes on at `column`. Without a terminal, or where fewer than
 * 20 columns are left, lines stay whole. A word that is too long is not cut: it may be a command to
 * copy. */
static void write_prose(FILE *to, size_t width, size_t column, const char *text)
{
        size_t room = width != SIZE_MAX && width > column + 20 ? width - column : SIZE_MAX, used = 0;
        while (*text) {
                size_t blanks = strspn(text, " "), len = blanks + strcspn(text + blanks, " ");
                scoped(scoped_free) char *word = copy_bytes(text, len);
                size_t taken = printable_width(word);
                if (used && used + taken > room) {
                        fprintf(to, "\n%*s", (int)column, "");
                        fputs(word + blanks, to);
                        used = taken - blanks;
                } else {
                        fputs(word, to);
                        used += taken;
                }
                text += len;
        }
}

void show_prose(size_t column, const char *text)
{
        write_prose(stdout, term_width(), column, text);
}

void show_prose_of_failure(size_t column, const char *text)
{
        write_prose(stderr, term_error_width(), column, text);
}

void sheet_text(const char *label, const char *text)
{
        /* Each line is escaped by itself, so that the line ends that reach the terminal are those
         * made here. */
        for (const char *line = text; line;) {
                size_t len = strcspn(line, "\n");
                scoped(scoped_free) char *raw = copy_bytes(line, len);
                scoped(scoped_free) char *safe = printable_text(raw);
                printf("  %-*s ", SHEET_LABEL, line == text ? label : "");
                show_prose(SHEET_LABEL + 3, safe);
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
        const char *text = json_string_value(value);
        /* A time is told by its form (RFC 3339, UTC, as the daemon writes it): the caller does not
         * know what a field holds. */
        bool time =
                text && strlen(text) == strlen("2026-11-23T18:51:00Z") && text[10] == 'T' && text[19] == 'Z';
        if (!value || json_is_null(value))
                return;
        scoped(scoped_free) char *words = time ? date_words(value) : json_words(value);
        sheet_text(label, words);
}

void show_advice(enum tint tint, const char *text, const char *remedy)
{
        scoped(scoped_free) char *safe = printable_text(text);
        printf("  %s", term_tint(tint));
        show_prose(2, safe);
        printf("%s\n", term_plain());
        if (!remedy || !remedy[0])
                return;
        scoped(scoped_free) char *what = printable_text(remedy);
        fputs("    what to do: ", stdout);
        show_prose(16, what);
        puts("");
}

void show_done(const struct tool *tool, const char *format, ...)
{
        /* Success is a sentence for people only: for programs the reply or the exit status says it. */
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

/* ---- what is the same for several accounts ---- */

char *text_without_name(const char *text, const char *name)
{
        size_t len = strlen(name);
        char *out = copy_text("");
        for (const char *at = text; *at;) {
                const char *found = len ? strstr(at, name) : NULL;
                bool word = found && (found == text || strchr(" \"'", found[-1])) &&
                            (!found[len] || strchr(" ,;:.\"')", found[len]));
                size_t plain = found ? (size_t)(found - at) + (word ? 0 : len) : strlen(at);
                char *longer = text_of("%s%.*s%s", out, (int)plain, at, word ? "NAME" : "");
                free(out);
                out = longer;
                at += plain + (word ? len : 0);
        }
        return out;
}

void names_add(struct names *names, const char *name, size_t most)
{
        if (++names->count > most)
                return;
        scoped(scoped_free) char *safe = printable_text(name);
        char *longer = names->text ? text_of("%s, %s", names->text, safe) : copy_text(safe);
        free(names->text);
        names->text = longer;
}

char *names_take(struct names *names, size_t most)
{
        scoped(scoped_free) char *text = take(names->text);
        if (names->count > most)
                return text_of("%s and %zu more", text ? text : "", names->count - most);
        return text ? take(text) : copy_text("");
}
