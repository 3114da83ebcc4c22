/* SPDX-License-Identifier: MIT */
/* Reading /etc/aliases; see alias_file.h. */
#include "daemon/alias_file.h"

#include "common/limits.h"
#include "common/mailboxes.h"
#include "common/names.h"

#include <strings.h>

void aliases_free(struct aliases *aliases)
{
        for (size_t i = 0; i < aliases->count; i++) {
                for (size_t n = 0; n < aliases->of[i].count; n++)
                        free(aliases->of[i].items[n].text);
                free(aliases->of[i].items);
                free(aliases->of[i].name);
        }
        free(aliases->of);
        *aliases = (struct aliases){ 0 };
}

static bool is_blank(char c)
{
        return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The bytes without blanks around them. */
static char *trimmed(const char *text, size_t len)
{
        while (len && is_blank(*text)) {
                text++;
                len--;
        }
        while (len && is_blank(text[len - 1]))
                len--;
        return copy_bytes(text, len);
}

/* Up to one of `stops` outside of quotes, or to the end. */
static size_t length_to(const char *text, const char *stops)
{
        bool quoted = false;
        size_t len = 0;

        for (; text[len]; len++) {
                if (text[len] == '\\' && text[len + 1])
                        len++;
                else if (text[len] == '"')
                        quoted = !quoted;
                else if (!quoted && strchr(stops, text[len]))
                        break;
        }
        return len;
}

/* "text" all in quotes, without them; else as it is. */
static char *unquoted(const char *text)
{
        size_t len = strlen(text);

        if (len < 2 || text[0] != '"' || text[len - 1] != '"')
                return copy_text(text);
        char *out = copy_bytes(text + 1, len - 2), *to = out;
        for (const char *from = out; *from; from++) {
                if (*from == '\\' && from[1])
                        from++;
                *to++ = *from;
        }
        *to = '\0';
        return out;
}

static enum alias_kind kind_of(const char *text)
{
        static const struct {
                const char *begin;
                enum alias_kind kind;
        } begins[] = { { "|", ALIAS_COMMAND },
                       { "/", ALIAS_FILE },
                       { ":include:", ALIAS_INCLUDE },
                       { "\\", ALIAS_FINAL } };

        for (size_t i = 0; i < count_of(begins); i++)
                if (strncasecmp(text, begins[i].begin, strlen(begins[i].begin)) == 0)
                        return begins[i].kind;
        if (mailbox_is_local(text) && text_is_clean(text) && strlen(text) <= LIMIT_LOCAL_NAME)
                return ALIAS_NAME;
        return address_check(text, false, NULL) == 0 ? ALIAS_ADDRESS : ALIAS_BAD;
}

/* The address in "Name <a@b>". */
static char *bare_address(const char *text)
{
        size_t at, len;

        return mailbox_find(text, strlen(text), &at, &len) ? copy_bytes(text + at, len) : copy_text(text);
}

static void add_item(struct alias *alias, const char *item)
{
        scoped(scoped_free) char *bare = unquoted(item);
        enum alias_kind kind = kind_of(bare);

        if (!bare[0])
                return;
        if (kind == ALIAS_BAD) {
                scoped(scoped_free) char *address = bare_address(item);
                kind = kind_of(address);
                free(take(bare));
                bare = take(address);
        }
        alias->items = new_resized(alias->items, alias->count + 1, sizeof *alias->items);
        alias->items[alias->count++] =
                (struct alias_item){ .kind = kind, .text = copy_text(kind == ALIAS_FINAL ? bare + 1 : bare) };
}

/* One logical line: NAME: ITEM, ITEM. */
static void add_line(struct aliases *aliases, const char *line, unsigned number)
{
        size_t name_len = length_to(line, ":");

        if (line[name_len] != ':')
                return;
        scoped(scoped_free) char *raw = trimmed(line, name_len);
        scoped(scoped_free) char *name = unquoted(raw);
        if (!name[0])
                return;
        aliases->of = new_resized(aliases->of, aliases->count + 1, sizeof *aliases->of);
        struct alias *alias = &aliases->of[aliases->count++];
        *alias = (struct alias){ .name = take(name), .line = number };
        for (const char *at = line + name_len + 1; *at;) {
                size_t len = length_to(at, ",");
                scoped(scoped_free) char *item = trimmed(at, len);
                add_item(alias, item);
                at += len + (at[len] == ',');
        }
}

static int by_name(const void *a, const void *b)
{
        const struct alias *one = a, *other = b;
        int order = strcasecmp(one->name, other->name);

        return order ? order : one->line < other->line ? -1 : one->line > other->line;
}

/* Of one name the first in the file counts. */
static void keep_first_ones(struct aliases *aliases)
{
        struct aliases kept = { 0 }, rest = { 0 };

        if (!aliases->count)
                return;
        qsort(aliases->of, aliases->count, sizeof *aliases->of, by_name);
        kept.of = new_zeroed(aliases->count, sizeof *kept.of);
        rest.of = new_zeroed(aliases->count, sizeof *rest.of);
        for (size_t i = 0; i < aliases->count; i++) {
                bool again = kept.count && strcasecmp(kept.of[kept.count - 1].name, aliases->of[i].name) == 0;
                struct aliases *to = again ? &rest : &kept;
                to->of[to->count++] = aliases->of[i];
        }
        free(aliases->of);
        aliases_free(&rest);
        *aliases = kept;
}

void aliases_parse(const char *bytes, size_t len, struct aliases *out)
{
        scoped(scoped_free) char *line = new_zeroed(len + 2, 1);
        size_t line_len = 0;
        unsigned number = 0, began = 0;

        *out = (struct aliases){ 0 };
        for (size_t at = 0; at < len; number++) {
                const char *end = memchr(bytes + at, '\n', len - at);
                size_t piece = end ? (size_t)(end - bytes) - at : len - at;
                scoped(scoped_free) char *bare = trimmed(bytes + at, piece);
                bool more = is_blank(bytes[at]);
                if (bare[0] && bare[0] != '#') {
                        if (!more) {
                                line[line_len] = '\0';
                                add_line(out, line, began + 1);
                                line_len = 0;
                                began = number;
                        }
                        size_t bare_len = strlen(bare);
                        memcpy(line + line_len, bare, bare_len);
                        line_len += bare_len;
                        line[line_len++] = ' ';
                }
                at += piece + 1;
        }
        line[line_len] = '\0';
        add_line(out, line, began + 1);
        keep_first_ones(out);
}

const struct alias *aliases_find(const struct aliases *aliases, const char *name)
{
        struct alias wanted = { .name = (char *)(uintptr_t)name };
        size_t low = 0, high = aliases->count;

        while (low < high) {
                size_t middle = low + (high - low) / 2;
                int order = strcasecmp(wanted.name, aliases->of[middle].name);
                if (order == 0)
                        return &aliases->of[middle];
                if (order < 0)
                        high = middle;
                else
                        low = middle + 1;
        }
        return NULL;
}
