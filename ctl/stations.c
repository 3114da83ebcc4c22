/* SPDX-License-Identifier: MIT */
/* Lists of stations, from words and from a file; see stations.h. */
#include "ctl/stations.h"

#include "common/limits.h"
#include "common/names.h"
#include "ctl/read_file.h"

#include <string.h>

enum { LINE_MOST = 4096, FILE_MOST = 16 * MIB }; /* bytes */

void stations_free(struct stations *stations)
{
        for (size_t i = 0; i < stations->count; i++)
                free(stations->names[i]);
        free(stations->names);
        json_decref(stations->set);
        *stations = (struct stations){ 0 };
}

/* Without scheme, user and port. A port is told from the host in a URL only: a bare IPv6 address
 * has colons of its own. */
char *station_host(const char *name)
{
        const char *from = strncmp(name, "ssh://", 6) == 0 ? name + 6 : name;
        bool url = from != name;
        const char *at = strrchr(from, '@');
        from = at ? at + 1 : from;
        if (from[0] == '[')
                return copy_bytes(from + 1, strcspn(from + 1, "]"));
        return copy_bytes(from, url ? strcspn(from, ":/") : strlen(from));
}

/* What begins with a hyphen would be an option: of ssh, or, behind USER@, of what ssh is told to run for the
 * connection. */
static bool is_destination(const char *name)
{
        if (!name[0] || name[0] == '-' || strlen(name) > 512)
                return false;
        for (const char *at = name; *at; at++)
                if ((unsigned char)*at <= ' ' || *at == 0x7f || strchr(",#'\"\\`$;&|<>(){}*?", *at))
                        return false;
        scoped(scoped_free) char *host = station_host(name);
        return host[0] && host[0] != '-';
}

bool stations_have(const struct stations *stations, const char *name)
{
        return json_object_get(stations->set, name) != NULL;
}

static int add(struct stations *stations, const char *name, struct cause *cause)
{
        if (!is_destination(name)) {
                (void)cause_set(cause, CAUSE_INVALID, "'%s' is not a host", name);
                cause_remedy(cause, "say [USER@]HOST or ssh://[USER@]HOST[:PORT]");
                return -1;
        }
        if (stations_have(stations, name))
                return 0;
        if (stations->count == STATIONS_MOST)
                return cause_set(cause, CAUSE_TOO_LARGE, "these are more than %d hosts", STATIONS_MOST);
        /* At 0 and at each power of two there is made room for twice as many: thousands of hosts
         * cost a few copies. */
        if ((stations->count & (stations->count - 1)) == 0)
                stations->names =
                        new_resized(stations->names, 2 * stations->count + 1, sizeof(*stations->names));
        if (!stations->set)
                stations->set = json_object();
        if (json_object_set_new_nocheck(stations->set, name, json_true()) < 0)
                abort(); /* out of memory: small allocations do not fail */
        stations->names[stations->count++] = copy_text(name);
        return 0;
}

int stations_add_list(struct stations *stations, const char *list, struct cause *cause)
{
        for (const char *at = list;; at++) {
                size_t len = strcspn(at, ",");
                scoped(scoped_free) char *name = copy_bytes(at, len);
                if (add(stations, name, cause) < 0)
                        return -1;
                at += len;
                if (!*at)
                        return 0;
        }
}

/* ---- a file ---- */

struct reading {
        struct stations *stations, *others;
        const char *groups; /* wanted; NULL: all */
        bool inside;        /* lines of now are wanted */
        char *known;        /* names of groups, for who names another */
};

static int begin_group(struct reading *reading, char *line, struct cause *cause)
{
        size_t len = strlen(line);
        if (len < 3 || line[len - 1] != ']')
                return cause_set(cause, CAUSE_INVALID, "'%s' is not a group: [NAME]", line);
        line[len - 1] = '\0';
        if (!account_name_valid(line + 1))
                return cause_set(
                        cause, CAUSE_INVALID,
                        "'%s' is not a name of a group: letters, digits, dots, hyphens and underscores",
                        line + 1);
        char *longer =
                text_of("%s%s%s", reading->known ? reading->known : "", reading->known ? "," : "", line + 1);
        free(reading->known);
        reading->known = longer;
        reading->inside = !reading->groups || names_have(reading->groups, line + 1);
        return 0;
}

/* Blanks at both ends, and a comment, have gone. */
static void strip(char *line)
{
        for (char *at = line; *at; at++)
                if (*at == '#' && (at == line || at[-1] == ' ' || at[-1] == '\t'))
                        *at = '\0';
        size_t len = strlen(line), lead = strspn(line, " \t");
        while (len > lead && strchr(" \t\r\n", line[len - 1]))
                len--;
        memmove(line, line + lead, len - lead);
        line[len - lead] = '\0';
}

static int read_line(struct reading *reading, char *line, struct cause *cause)
{
        strip(line);
        if (!line[0])
                return 0;
        if (line[0] == '[')
                return begin_group(reading, line, cause);
        if (reading->inside)
                return add(reading->stations, line, cause);
        struct cause ignored; /* a line of a group that is not meant is no matter of this run */
        (void)add(reading->others, line, &ignored);
        return 0;
}

/* A group that is misspelled would be a run at fewer hosts than were meant. */
static int check_groups(const struct reading *reading, const char *path, struct cause *cause)
{
        for (const char *at = reading->groups; at && *at;) {
                size_t len = strcspn(at, ",");
                scoped(scoped_free) char *name = copy_bytes(at, len);
                if (!reading->known || !names_have(reading->known, name)) {
                        (void)cause_set(cause, CAUSE_NOT_FOUND, "there is no group '%s' in %s", name, path);
                        cause_remedy(cause,
                                     reading->known ? "say one of: %s" : "begin one by a line [NAME]%s",
                                     reading->known ? reading->known : "");
                        return -1;
                }
                at += len + (at[len] == ',');
        }
        return 0;
}

static int read_lines(struct reading *reading, const struct buf *text, const char *path, struct cause *cause)
{
        const char *at = (const char *)buf_bytes(text), *over = at + text->len;
        for (size_t number = 1; at < over; number++) {
                const char *lf = memchr(at, '\n', (size_t)(over - at));
                size_t len = (size_t)((lf ? lf : over) - at);
                /* A NUL would end the text, and the rest of such a line would be lost unseen. */
                if (memchr(at, 0, len) || len > LINE_MOST)
                        return cause_set(cause, CAUSE_INVALID, "%s, line %zu: not a line of text", path,
                                         number);
                scoped(scoped_free) char *line = copy_bytes(at, len);
                at += len + (lf != NULL);
                if (read_line(reading, line, cause) < 0) {
                        cause_prefix(cause, "%s, line %zu: ", path, number);
                        return -1;
                }
        }
        return check_groups(reading, path, cause);
}

int stations_add_file(struct stations *stations, const char *path, const char *groups,
                      struct stations *others, struct cause *cause)
{
        bool input = same_text(path, "-");
        struct reading reading = {
                .stations = stations, .others = others, .groups = groups, .inside = !groups
        };
        scoped(buf_free) struct buf text = BUF_WITH_MAX(FILE_MOST);
        if (read_file_whole(path, &text, cause) < 0) {
                cause_remedy(cause, "it is a file with one [USER@]HOST a line");
                return -1;
        }
        int result = text.len ? read_lines(&reading, &text, input ? "standard input" : path, cause)
                              : check_groups(&reading, path, cause);
        free(reading.known);
        return result;
}
