/* SPDX-License-Identifier: MIT */
/* Mail addresses: RFC 5321 section 4.1.2 Mailbox with the UTF-8 of RFC 6531, and finding one in a header's
 * text. */
#include "common/limits.h"
#include "common/names.h"

#include <arpa/inet.h>
#include <strings.h>

enum { LOCAL_PART_MAX = 64 }; /* RFC 5321 section 4.5.3.1.1 */

static bool is_atom_byte(char c)
{
        return (uint8_t)c > 127 || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
               (c >= 'a' && c <= 'z') || (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

/* Length of the atom at the front, dots wherever they stand: "a..b" and "a." are no Dot-string, but large
 * providers gave them to people, and servers take them. */
static size_t dot_string_length(const char *text)
{
        size_t len = 0;

        while (is_atom_byte(text[len]) || text[len] == '.')
                len++;
        return len;
}

/* Length of a Quoted-string at the front, quotes included; 0 when there is none. The text has no control
 * bytes. */
static size_t quoted_string_length(const char *text)
{
        if (text[0] != '"')
                return 0;
        for (size_t i = 1; text[i]; i++) {
                if (text[i] == '"')
                        return i + 1;
                if (text[i] == '\\' && !text[++i])
                        break;
        }
        return 0;
}

/* [192.0.2.1] or [IPv6:2001:db8::1] */
static bool is_address_literal(const char *text)
{
        size_t len = strlen(text);
        uint8_t bytes[sizeof(struct in6_addr)];

        if (len < 3 || text[0] != '[' || text[len - 1] != ']')
                return false;
        char *scoped(scoped_free) inner = copy_bytes(text + 1, len - 2);
        if (strncasecmp(inner, "IPv6:", 5) == 0)
                return inet_pton(AF_INET6, inner + 5, bytes) == 1;
        return inet_pton(AF_INET, inner, bytes) == 1;
}

static int domain_check(const char *address, const char *domain, struct cause *cause)
{
        if (domain[0] == '[') {
                if (is_address_literal(domain))
                        return 0;
                return cause_set(cause, CAUSE_INVALID, "%s: between the brackets must stand an IP address",
                                 address);
        }
        struct cause why = { 0 };
        char *scoped(scoped_free) host = host_normal(domain, &why);
        if (!host || domain[strlen(domain) - 1] == '.')
                return cause_set(cause, CAUSE_INVALID, "%s: %s", address,
                                 host ? "the domain must not end with a dot" : why.text);
        if (host_is_address(host))
                return cause_set(cause, CAUSE_INVALID, "%s: an IP address is written in brackets here",
                                 address);
        return 0;
}

int address_check(const char *address, bool null_allowed, struct cause *cause)
{
        if (!address[0])
                return null_allowed ? 0 : cause_set(cause, CAUSE_INVALID, "the mail address is empty");
        if (strlen(address) > LIMIT_ADDRESS)
                return cause_set(cause, CAUSE_INVALID, "the mail address is longer than %d bytes",
                                 LIMIT_ADDRESS);
        if (!text_is_clean(address))
                return cause_set(cause, CAUSE_INVALID,
                                 "the mail address %s has control bytes or is not UTF-8", address);
        size_t local = address[0] == '"' ? quoted_string_length(address) : dot_string_length(address);
        if (!local)
                return cause_set(cause, CAUSE_INVALID, "%s is not a mail address: NAME@DOMAIN", address);
        if (!address[local])
                return cause_set(cause, CAUSE_INVALID, "the mail address %s has no domain: NAME@DOMAIN",
                                 address);
        if (address[local] != '@')
                return cause_set(cause, CAUSE_INVALID,
                                 "%s is not a mail address: wrong character before the @", address);
        if (local > LOCAL_PART_MAX)
                return cause_set(cause, CAUSE_INVALID, "%s: more than %d bytes before the @", address,
                                 LOCAL_PART_MAX);
        return domain_check(address, address + local + 1, cause);
}

static bool all_ascii(const char *text, size_t len)
{
        for (size_t i = 0; i < len; i++)
                if ((uint8_t)text[i] > 127)
                        return false;
        return true;
}

/* Where the domain begins: behind the last @, since a quoted local part may hold others. NULL: there is none.
 */
static const char *domain_of(const char *address)
{
        const char *at = strrchr(address, '@');

        return at ? at + 1 : NULL;
}

bool address_needs_utf8(const char *address)
{
        const char *domain = domain_of(address);

        return !all_ascii(address, domain ? (size_t)(domain - address) : strlen(address));
}

char *address_on_wire(const char *address)
{
        const char *domain = domain_of(address);
        char *scoped(scoped_free) host =
                domain && !all_ascii(domain, strlen(domain)) ? host_normal(domain, NULL) : NULL;

        return host ? text_of("%.*s%s", (int)(domain - address), address, host) : copy_text(address);
}

/* Steps over one character, quoted string or (nested) comment of RFC 5322 text; 0 when one is left open. */
static size_t step_length(const char *text)
{
        if (text[0] == '"')
                return quoted_string_length(text);
        if (text[0] != '(')
                return 1;
        size_t depth = 0;
        for (size_t i = 0; text[i]; i++) {
                if (text[i] == '\\' && text[i + 1])
                        i++;
                else if (text[i] == '(')
                        depth++;
                else if (text[i] == ')' && --depth == 0)
                        return i + 1;
        }
        return 0;
}

/* Copies [text, end) without comments and outer blanks; NULL when blanks, commas or nothing remain. */
static char *bare_address(const char *text, const char *end)
{
        char *scoped(scoped_free) bare = new_zeroed((size_t)(end - text) + 1, 1);
        size_t len = 0;
        bool gap = false;

        while (text < end) {
                size_t step = step_length(text);
                if (step == 0 || step > (size_t)(end - text))
                        return NULL;
                if (*text == '(' || strchr(" \t\r\n", *text)) {
                        gap = len > 0;
                } else if (gap || strchr("<>,;)", *text)) {
                        return NULL;
                } else {
                        memcpy(bare + len, text, step);
                        len += step;
                }
                text += step;
        }
        return len ? take(bare) : NULL;
}

char *address_of_mailbox(const char *mailbox)
{
        const char *open = NULL, *at = mailbox;

        while (*at) {
                size_t step = step_length(at);
                if (step == 0)
                        return NULL;
                if (*at == '<' && !open)
                        open = at + 1;
                else if (*at == '>')
                        return open ? bare_address(open, at) : NULL;
                at += step;
        }
        return open ? NULL : bare_address(mailbox, at);
}
