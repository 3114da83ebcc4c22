/* SPDX-License-Identifier: MIT */
/* Lists of addresses; see mailboxes.h. */
#include "common/mailboxes.h"

#include "common/buf.h"
#include "common/limits.h"
#include "common/names.h"

#include <strings.h>

/* Outside of quotes and comments: true when the item ends before this. */
static bool item_ends(char c, bool *angle, bool *literal)
{
        if (c == '<' || c == '>')
                *angle = c == '<';
        else if (c == '[' || c == ']')
                *literal = c == '[';
        else
                return !*angle && (c == ',' || c == ';' || (c == ':' && !*literal));
        return false;
}

size_t mailbox_item(const char *list)
{
        bool quoted = false, angle = false, literal = false;
        size_t depth = 0, n = 0;
        for (; list[n]; n++) {
                char c = list[n];
                if (c == '\\' && list[n + 1] && (quoted || depth))
                        n++;
                else if (depth)
                        depth += c == '(' ? 1 : c == ')' ? SIZE_MAX : 0;
                else if (c == '"')
                        quoted = !quoted;
                else if (quoted)
                        continue;
                else if (c == '(')
                        depth = 1;
                else if (item_ends(c, &angle, &literal))
                        break;
        }
        return n;
}

static bool is_blank(char c)
{
        return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Past a quoted string or comment at `at`, or one byte. */
static size_t step(const char *item, size_t len, size_t at)
{
        char open = item[at], close = open == '"' ? '"' : ')';
        size_t depth = 0;
        if (open != '"' && open != '(')
                return at + 1;
        for (; at < len; at++) {
                if (item[at] == '\\' && depth)
                        at++;
                else if (item[at] == close && depth && --depth == 0)
                        return at + 1;
                else if (item[at] == open && (open == '(' || !depth))
                        depth++;
        }
        return len;
}

/* "@relay,@other:a@b": the part before the colon is a route, which nobody goes by (RFC 5321 section 4.1.1.3).
 */
static size_t route_length(const char *address, size_t len)
{
        const char *colon = len && address[0] == '@' ? memchr(address, ':', len) : NULL;
        return colon ? (size_t)(colon - address) + 1 : 0;
}

bool mailbox_find(const char *item, size_t len, size_t *at, size_t *address_len)
{
        size_t from = 0, to = 0, open = len;
        for (size_t i = 0; i < len; i = step(item, len, i))
                if (item[i] == '<' && open == len)
                        open = i;
        if (open < len) {
                const char *close = memchr(item + open, '>', len - open);
                from = open + 1;
                to = close ? (size_t)(close - item) : len;
        } else {
                bool any = false;
                for (size_t i = 0; i < len;) {
                        size_t next = step(item, len, i);
                        if (item[i] != '(' && !is_blank(item[i])) {
                                from = any ? from : i;
                                to = next;
                                any = true;
                        }
                        i = next;
                }
        }
        while (from < to && is_blank(item[from]))
                from++;
        from += route_length(item + from, to - from);
        while (to > from && is_blank(item[to - 1]))
                to--;
        *at = from;
        *address_len = to - from;
        return to > from;
}

bool mailbox_is_local(const char *address)
{
        return address[0] && !strpbrk(address, "@<>\"()[]\\, \t\r\n;:");
}

static bool is_blank_text(const char *text)
{
        return text[strspn(text, " \t\r\n")] == 0;
}

/* The address of an item as the envelope has it. The caller frees; NULL when there is none. */
static char *address_of(const char *item)
{
        size_t at, len;
        if (!mailbox_find(item, strlen(item), &at, &len))
                return NULL;
        scoped(scoped_free) char *bare = copy_bytes(item + at, len);
        if (strchr(bare, '(')) {
                scoped(scoped_free) char *inner = address_of_mailbox(bare);
                return take(inner);
        }
        if (len > 1 && bare[len - 1] == '.' && strchr(bare, '@') && bare[len - 2] != '.' &&
            bare[len - 2] != '@')
                bare[len - 1] = 0; /* the root of the domain names, said or not */
        return take(bare);
}

static void tell_bad(struct causes *bad, const char *item, const struct cause *why)
{
        struct cause *cause = causes_add(bad);
        const char *from = item + strspn(item, " \t\r\n");
        size_t len = strlen(from);
        while (len && is_blank(from[len - 1]))
                len--;
        (void)cause_set(cause, CAUSE_INVALID, "'%.*s' is not a mail address%s%s",
                        (int)(len < 200 ? len : 200), from, why ? ": " : "", why ? why->text : "");
        cause_remedy(cause, "write it as user@example.com or Name <user@example.com>");
}

/* Who is more than there may be is no bad address among good ones: the message would lack any number of them.
 */
static void tell_too_many(struct causes *bad)
{
        struct cause *cause = causes_add(bad), told = { 0 };

        (void)cause_set(&told, CAUSE_TOO_LARGE, "there are more than %d recipients", LIMIT_RECIPIENTS);
        cause_remedy(&told, "send it to at most %d of them at a time", LIMIT_RECIPIENTS);
        *cause = bad->items[0];
        bad->items[0] = told;
}

bool mailboxes_too_many(const struct causes *bad)
{
        return bad->count && bad->items[0].code == CAUSE_TOO_LARGE;
}

static bool is_there(const json_t *into, const char *address)
{
        for (size_t i = 0; i < json_array_size(into); i++)
                if (same_text(json_string_value(json_array_get(into, i)), address))
                        return true;
        return false;
}

static int add_address(const char *address, json_t *into, struct cause *cause)
{
        bool local =
                mailbox_is_local(address) && strlen(address) <= LIMIT_LOCAL_NAME && text_is_clean(address);
        if (!local && address_check(address, false, cause))
                return -1;
        if (is_there(into, address))
                return 0;
        if (json_array_size(into) >= LIMIT_RECIPIENTS)
                return cause_set(cause, CAUSE_TOO_LARGE, "there are more than %d recipients",
                                 LIMIT_RECIPIENTS);
        return json_array_append_new(into, json_string(address))
                       ? cause_set(cause, CAUSE_INVALID, "it is not UTF-8")
                       : 0;
}

/* "a@b c@d": whole addresses with nothing but blanks between them; all of them or none. */
static bool add_by_blanks(const char *item, json_t *into)
{
        size_t count = 0;
        if (strpbrk(item, "<>()\""))
                return false;
        for (int adding = 0; adding < 2; adding++) {
                for (const char *at = item + strspn(item, " \t\r\n"); *at; at += strspn(at, " \t\r\n")) {
                        struct cause cause = { 0 };
                        size_t len = strcspn(at, " \t\r\n");
                        scoped(scoped_free) char *word = copy_bytes(at, len);
                        if (adding ? add_address(word, into, &cause) : address_check(word, false, &cause))
                                return false;
                        count++;
                        at += len;
                }
        }
        return count > 0;
}

static void add_item(const char *item, json_t *into, struct causes *bad)
{
        struct cause cause = { 0 };
        scoped(scoped_free) char *address = address_of(item);
        if (address && !add_address(address, into, &cause))
                return;
        if (add_by_blanks(item, into))
                return;
        if (json_array_size(into) >= LIMIT_RECIPIENTS)
                tell_too_many(bad);
        else
                tell_bad(bad, item, address ? &cause : NULL);
}

/* A header comes unfolded: this is an address in which somebody would begin another field. */
static bool has_line_end(const char *item)
{
        return strpbrk(item, "\r\n") != NULL;
}

void mailboxes_add(const char *list, json_t *into, struct causes *bad)
{
        while (*list && !mailboxes_too_many(bad)) {
                size_t len = mailbox_item(list);
                scoped(scoped_free) char *item = copy_bytes(list, len);
                /* The name of a group; its members are items of their own (RFC 5322 section 3.4). */
                bool group_name = list[len] == ':' && !has_line_end(item);
                if (!group_name && !is_blank_text(item))
                        add_item(item, into, bad);
                list += len + (list[len] != 0);
        }
}

/* ---- fields of a header ---- */

bool field_has_addresses(const char *name, size_t len)
{
        static const char *const names[] = { "From",       "Sender",      "Reply-To",     "To",
                                             "Cc",         "Bcc",         "Resent-To",    "Resent-Cc",
                                             "Resent-Bcc", "Resent-From", "Resent-Sender" };
        for (size_t i = 0; i < count_of(names); i++)
                if (strlen(names[i]) == len && !strncasecmp(names[i], name, len))
                        return true;
        return false;
}

char *mailboxes_replace(const char *value, char *(*other)(void *ctx, const char *address), void *ctx)
{
        scoped(buf_free) struct buf out = BUF_WITH_MAX((size_t)LIMIT_HEADER);
        bool any = false, full = false;

        while (*value && !full) {
                size_t len = mailbox_item(value), at = 0, address_len = 0;
                bool found = value[len] != ':' && mailbox_find(value, len, &at, &address_len);
                scoped(scoped_free) char *address = copy_bytes(value + at, address_len);
                scoped(scoped_free) char *instead = found ? other(ctx, address) : NULL;
                /* Where several come in place of one, the first takes its name and brackets, the
                 * others follow. */
                size_t first = instead ? strcspn(instead, ",") : 0;
                full |= buf_append(&out, value, instead ? at : len) < 0;
                if (instead) {
                        full |= buf_append(&out, instead, first) < 0 ||
                                buf_append(&out, value + at + address_len, len - at - address_len) < 0 ||
                                buf_append_text(&out, instead + first) < 0;
                }
                full |= buf_append(&out, value + len, value[len] != 0) < 0;
                any = any || instead;
                value += len + (value[len] != 0);
        }
        return any && !full ? buf_take_text(&out) : NULL;
}

/* ---- lists of senders ---- */

int sender_list_has(const char *list, const char *address)
{
        const char *at = strrchr(address, '@'), *domain = at ? at + 1 : "";
        int best = 0;

        while (*list) {
                size_t len = strcspn(list, ",");
                if (strlen(address) == len && strncasecmp(list, address, len) == 0)
                        return 2;
                if (len && strlen(domain) == len && strncasecmp(list, domain, len) == 0)
                        best = 1;
                list += len + (list[len] == ',');
        }
        return best;
}

/* One address or domain; NULL when it is neither. */
static char *item_normal(const char *item, struct cause *cause)
{
        const char *at = strrchr(item, '@');

        if (!at || at == item) {
                char *host = host_normal(at ? at + 1 : item, cause);
                if (host && host_is_address(host)) {
                        (void)cause_set(cause, CAUSE_INVALID, "%s is neither a mail address nor a domain",
                                        item);
                        free(take(host));
                }
                return host;
        }
        return address_check(item, false, cause) < 0 ? NULL : address_on_wire(item);
}

char *sender_list_normal(const char *text, struct cause *cause)
{
        scoped(buf_free) struct buf all = BUF_WITH_MAX(2 * LIMIT_PROPERTY_TEXT);
        bool full = false;

        while (*text) {
                text += strspn(text, " \t");
                size_t len = strcspn(text, ","), bare = len;
                while (bare && (text[bare - 1] == ' ' || text[bare - 1] == '\t'))
                        bare--;
                scoped(scoped_free) char *item = copy_bytes(text, bare);
                scoped(scoped_free) char *normal = bare ? item_normal(item, cause) : NULL;
                if (bare && !normal)
                        return NULL;
                scoped(scoped_free) char *so_far =
                        copy_bytes(all.len ? (const char *)buf_bytes(&all) : "", all.len);
                if (normal && sender_list_has(so_far, normal) < 2)
                        full |= buf_appendf(&all, "%s%s", all.len ? "," : "", normal) < 0;
                text += len + (text[len] == ',');
        }
        if (full) {
                (void)cause_set(cause, CAUSE_INVALID, "the list is longer than %d bytes",
                                LIMIT_PROPERTY_TEXT);
                return NULL;
        }
        return buf_take_text(&all);
}
