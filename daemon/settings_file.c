/* SPDX-License-Identifier: MIT */
/* Reading emailsecd.conf and its drop-ins with libinih; whatever libinih would cut or overlook is refused
 * here. */
#include "common/limits.h"
#include "common/names.h"
#include "daemon/settings.h"

#include <dirent.h>
#include <errno.h>
#include <ini.h>
#include <stdio.h>

struct reading {
        FILE *file;
        const char *name;
        int line;    /* the one read last */
        bool failed; /* `cause` says why, at `line` */
        struct settings *settings;
        struct cause *cause;
};

static void fail(struct reading *reading)
{
        reading->failed = true;
        cause_prefix(reading->cause, "%s:%d: ", reading->name, reading->line);
}

/* One line with its end, at most size - 1 bytes. False at the end of the file and when something is wrong. */
static bool take_line(struct reading *reading, char *to, size_t size)
{
        size_t len = 0;
        int c;

        reading->line++;
        while ((c = getc(reading->file)) != EOF) {
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

/* libinih tells of a section only with its first key, and overlooks what follows the bracket. */
static void check_section(struct reading *reading, const char *line)
{
        const struct settings_key_info *keys;
        const char *end;

        line += strspn(line, " \t");
        if (*line != '[' || !(end = strchr(line, ']')))
                return;
        size_t count = settings_keys(&keys), len = (size_t)(end - line - 1);
        bool known = false;
        for (size_t i = 0; i < count; i++)
                if (strlen(keys[i].section) == len && memcmp(keys[i].section, line + 1, len) == 0)
                        known = true;
        if (!known) {
                char *scoped(scoped_free) section = copy_bytes(line + 1, len);
                struct nearest nearest = { 0 };
                cause_set(reading->cause, CAUSE_INVALID, "there is no section [%s]", section);
                for (size_t i = 0; i < count; i++)
                        nearest_offer(&nearest, section, keys[i].section);
                if (nearest.word)
                        cause_remedy(reading->cause, "did you mean [%s]?", nearest.word);
                fail(reading);
        } else if (end[1 + strspn(end + 1, " \t\r\n")]) {
                cause_set(reading->cause, CAUSE_INVALID, "only the name of a section may stand on its line");
                fail(reading);
        }
}

static char *next_line(char *to, int size, void *ctx)
{
        struct reading *reading = ctx;

        if (reading->failed || !take_line(reading, to, (size_t)size))
                return NULL;
        check_section(reading, to);
        return reading->failed ? NULL : to;
}

static int key_found(void *ctx, const char *section, const char *key, const char *value)
{
        struct reading *reading = ctx;

        if (reading->failed)
                return 0;
        if (!section[0]) {
                cause_set(reading->cause, CAUSE_INVALID, "%s stands before any [Section]", key);
                fail(reading);
                return 0;
        }
        char *scoped(scoped_free) assignment = text_of("%s.%s=%s", section, key, value);
        if (settings_set(reading->settings, assignment, reading->cause) == 0)
                return 1;
        fail(reading);
        return 0;
}

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
        struct cause why = { 0 };
        struct reading reading = { .file = file, .name = name, .settings = settings, .cause = &why };
        ini_use_stack = false;
        ini_allow_realloc = false;
        ini_max_line = LIMIT_SETTINGS_LINE + 2;
        ini_initial_alloc = ini_max_line;
        ini_allow_multiline = false;       /* an indented line is a key like any other */
        ini_allow_inline_comments = false; /* a value is never cut */
        int result = ini_parse_stream(next_line, &reading, key_found, &reading);
        int error = ferror(file) ? errno : 0;
        (void)fclose(file);
        if (error)
                return unreadable(cause, error, name);
        if (result < 0)
                abort(); /* out of memory */
        if (result > 0 && (!reading.failed || result < reading.line))
                return cause_set(cause, CAUSE_INVALID, "%s:%d: neither [Section] nor Key=Value", name,
                                 result);
        if (!reading.failed)
                return 0;
        if (cause)
                *cause = why;
        return -1;
}

static int is_drop_in(const struct dirent *entry)
{
        size_t len = strlen(entry->d_name);

        return entry->d_name[0] != '.' && len > 5 && same_text(entry->d_name + len - 5, ".conf");
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
        return strcmp((*a)->d_name, (*b)->d_name);
}

static int read_drop_ins(struct settings *settings, const char *folder, struct cause *cause)
{
        struct dirent **entries = NULL;
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

        settings_copy(&made, settings);
        if (read_file(&made, file, required, cause) < 0 || read_drop_ins(&made, folder, cause) < 0)
                return -1;
        struct settings old = *settings;
        *settings = made;
        made = old; /* freed at the end */
        return 0;
}
