/* SPDX-License-Identifier: MIT */
/* Reading emailsecd.conf and its drop-ins: an INI format in which nothing is cut, overlooked or continued.
 * What is not understood is refused with its place. */
#include "common/json_fields.h"
#include "common/limits.h"
#include "common/names.h"
#include "daemon/settings.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>

struct reading {
        FILE *file;
        const char *name;
        int line;            /* the one read last */
        const char *section; /* NULL before the first */
        bool failed;         /* `cause` says why, at `line` */
        struct settings *settings;
        struct cause *cause;
};

/* The cause is complete but for its place. Reading stops: only the first mistake is told. */
static void fail(struct reading *reading)
{
        reading->failed = true;
        cause_prefix(reading->cause, "%s:%d: ", reading->name, reading->line);
}

static void refuse_line(struct reading *reading)
{
        cause_set(reading->cause, CAUSE_INVALID, "neither [Section] nor Key=Value");
        fail(reading);
}

/* One line with its end, at most size - 1 bytes. False at the end of the file and when something is wrong. */
static bool take_line(struct reading *reading, char *to, size_t size)
{
        size_t len = 0;
        int c;

        reading->line++;
        while ((c = getc(reading->file)) != EOF) {
                /* The rest of the line would be lost unseen behind it. */
                if (c == '\0') {
                        cause_set(reading->cause, CAUSE_INVALID, "a NUL byte");
                        fail(reading);
                        return false;
                }
                if (len + 2 > size) {
                        cause_set(reading->cause, CAUSE_INVALID, "the line is longer than %zu bytes",
                                  size - 2);
                        fail(reading);
                        return false;
                }
                to[len++] = (char)c;
                if (c == '\n')
                        break;
        }
        to[len] = '\0';
        return len > 0;
}

/* In place; the result points into `text`. */
static char *trimmed(char *text)
{
        size_t len = strlen(text);

        while (len && strchr(" \t\r\n", text[len - 1]))
                text[--len] = '\0';
        return text + strspn(text, " \t");
}

static void refuse_section(struct reading *reading, const char *section)
{
        const struct settings_key_info *keys;
        size_t count = settings_keys(&keys);
        struct nearest nearest = { 0 };

        cause_set(reading->cause, CAUSE_INVALID, "there is no section [%s]", section);
        for (size_t i = 0; i < count; i++)
                nearest_offer(&nearest, section, keys[i].section);
        if (nearest.word)
                cause_remedy(reading->cause, "did you mean [%s]?", nearest.word);
        fail(reading);
}

/* `line` begins with the bracket. */
static void take_section(struct reading *reading, char *line)
{
        const struct settings_key_info *keys;
        size_t count = settings_keys(&keys);
        char *end = strchr(line, ']');

        if (!end) {
                refuse_line(reading);
                return;
        }
        *end = '\0';
        /* `section` is borrowed from the table, for the buffer of the line is used again. */
        for (size_t i = 0; i < count; i++)
                if (strcmp(keys[i].section, line + 1) == 0)
                        reading->section = keys[i].section;
        if (!reading->section || strcmp(reading->section, line + 1) != 0) {
                refuse_section(reading, line + 1);
        } else if (end[1]) {
                cause_set(reading->cause, CAUSE_INVALID, "only the name of a section may stand on its line");
                fail(reading);
        }
}

/* The first = or : divides, so a value may contain both. A key that comes twice has the last value. */
static void take_key(struct reading *reading, char *line)
{
        char *end = strpbrk(line, "=:");

        if (!end) {
                refuse_line(reading);
                return;
        }
        *end = '\0';
        const char *key = trimmed(line), *value = trimmed(end + 1);
        if (!reading->section) {
                cause_set(reading->cause, CAUSE_INVALID, "%s stands before any [Section]", key);
                fail(reading);
                return;
        }
        scoped(scoped_free) char *assignment = text_of("%s.%s=%s", reading->section, key, value);
        if (settings_set(reading->settings, assignment, reading->cause) < 0)
                fail(reading);
}

/* Lines are blank, comments (# or ; first), [Section] or Key=Value; nothing follows a value but blanks. */
static void read_lines(struct reading *reading)
{
        static const char mark[] = "\xef\xbb\xbf"; /* an editor's byte order mark */
        /* Room for the longest line, its end and a NUL. */
        char bytes[LIMIT_SETTINGS_LINE + 2];

        while (!reading->failed && take_line(reading, bytes, sizeof bytes)) {
                bool marked = reading->line == 1 && strncmp(bytes, mark, sizeof mark - 1) == 0;
                char *line = trimmed(bytes + (marked ? sizeof mark - 1 : 0));
                if (!line[0] || line[0] == '#' || line[0] == ';')
                        continue;
                if (line[0] == '[')
                        take_section(reading, line);
                else
                        take_key(reading, line);
        }
}

/* Always -1. */
static int unreadable(struct cause *cause, int error, const char *name)
{
        (void)cause_errno(cause, error, "cannot read %s", name);
        if (error == ENOENT)
                cause_remedy(cause, "name a file that is there by --config");
        else
                cause_remedy(cause, "look at that path and its rights: ls -l %s", name);
        return -1;
}

static int read_file(struct settings *settings, const char *name, bool required, struct cause *cause)
{
        FILE *file = fopen(name, "re");
        if (!file && errno == ENOENT && !required)
                return 0;
        if (!file)
                return unreadable(cause, errno, name);
        /* One of its own: the cause of the caller may be NULL, and the place is put before it. */
        struct cause why = { 0 };
        struct reading reading = { .file = file, .name = name, .settings = settings, .cause = &why };
        read_lines(&reading);
        /* Before fclose(), which may set errno. A file that was half read is as bad as none. */
        int error = ferror(file) ? errno : 0;
        (void)fclose(file);
        if (error)
                return unreadable(cause, error, name);
        if (!reading.failed)
                return 0;
        if (cause)
                *cause = why;
        return -1;
}

/* Hidden files and those with other endings are what editors and package managers leave beside. */
static int is_drop_in(const struct dirent *entry)
{
        size_t len = strlen(entry->d_name);

        return entry->d_name[0] != '.' && len > 5 && same_text(entry->d_name + len - 5, ".conf");
}

/* By bytes and not by locale: the order in which files win must be the same for every caller. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
        return strcmp((*a)->d_name, (*b)->d_name);
}

static int read_drop_ins(struct settings *settings, const char *folder, struct cause *cause)
{
        struct dirent **entries = NULL;
        /* A folder that is missing is no error. A file that goes between the listing and its reading is
         * one. */
        int count = scandir(folder, &entries, is_drop_in, by_name), result = 0;

        if (count < 0)
                return errno == ENOENT ? 0 : unreadable(cause, errno, folder);
        for (int i = 0; i < count; i++) {
                char *scoped(scoped_free) name = text_of("%s/%s", folder, entries[i]->d_name);
                if (result == 0)
                        result = read_file(settings, name, true, cause);
                free(entries[i]);
        }
        free(entries);
        return result;
}

int settings_read(struct settings *settings, const char *file, bool required, struct cause *cause)
{
        struct settings scoped(settings_done) made;
        char *scoped(scoped_free) folder = text_of("%s.d", file);

        /* Read into a copy, which takes the place of the old settings only when everything in all files
         * is right. */
        settings_copy(&made, settings);
        if (read_file(&made, file, required, cause) < 0 || read_drop_ins(&made, folder, cause) < 0)
                return -1;
        struct settings old = *settings;
        *settings = made;
        made = old; /* freed at the end */
        return 0;
}

/* ---- told to programs ----------------------------------------------------------------------- */

json_t *settings_description(const struct settings *settings)
{
        const struct settings_key_info *keys;
        const size_t count = settings_keys(&keys);
        struct settings unset;
        json_t *list = json_array();

        /* What is called changed differs from the default on this machine, with the folders of systemd,
         * and not from the text in the table. */
        settings_defaults(&unset);
        for (size_t i = 0; i < count; i++) {
                scoped(scoped_free) char *value = settings_value(settings, i);
                scoped(scoped_free) char *fallback = settings_value(&unset, i);
                json_t *row = json_object();
                json_put_text(row, "section", keys[i].section);
                json_put_text(row, "key", keys[i].key);
                json_put_text(row, "type", settings_type(i));
                json_put_text(row, "default", keys[i].fallback);
                json_put_text(row, "value", value);
                json_put(row, "changed", json_boolean(!same_text(value, fallback)));
                json_put_text(row, "help", keys[i].meaning);
                if (json_array_append_new(list, row) < 0)
                        abort();
        }
        settings_done(&unset);
        return list;
}
