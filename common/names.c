/* SPDX-License-Identifier: MIT */
/* Names of accounts and folders, clean text, fingerprints, likely spellings, mail addresses; hosts are in
 * hosts.c. */
#include "common/names.h"

#include "common/limits.h"
#include "common/printable.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <strings.h>

/* Not isalnum(): what a name may be does not change with the locale. */
static bool is_letter_or_digit(char c)
{
        return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* Names become names of files and parts of units: a letter or digit first keeps out ".." and
 * options. */
bool account_name_valid(const char *name)
{
        if (!name || !is_letter_or_digit(name[0]))
                return false;
        size_t len = 1;
        while (is_letter_or_digit(name[len]) || (name[len] && strchr("._-", name[len])))
                len++;
        return !name[len] && len <= LIMIT_ACCOUNT_NAME;
}

bool names_have(const char *list, const char *name)
{
        size_t len = strlen(name);

        while (*list) {
                size_t one = strcspn(list, ",");
                if (one == len && memcmp(list, name, len) == 0)
                        return true;
                list += one + (list[one] == ',');
        }
        return false;
}

/* C0, DEL and C1 are control bytes; what is not UTF-8 is not clean. */
static bool is_clean(const char *text, bool tabs)
{
        size_t len = strlen(text);
        uint32_t point = 0;

        while (len) {
                size_t used = utf8_character(text, len, &point);
                if (!used || (point < 0x20 && !(tabs && point == '\t')) || (point >= 0x7f && point < 0xa0))
                        return false;
                text += used;
                len -= used;
        }
        return true;
}

bool text_is_clean(const char *text)
{
        return is_clean(text, false);
}

bool secret_is_clean(const char *secret)
{
        return is_clean(secret, true);
}

/* An editor ends a file by a line end, and some begin one by a byte order mark: neither is of the
 * secret. */
const char *secret_bare(const char *bytes, size_t *len)
{
        static const char mark[] = "\xEF\xBB\xBF";

        while (*len && (bytes[*len - 1] == '\n' || bytes[*len - 1] == '\r'))
                (*len)--;
        if (*len < strlen(mark) || memcmp(bytes, mark, strlen(mark)) != 0)
                return bytes;
        *len -= strlen(mark);
        return bytes + strlen(mark);
}

void hex_print(const uint8_t *bytes, size_t len, char *out)
{
        static const char digits[] = "0123456789abcdef";

        for (size_t i = 0; i < len; i++) {
                *out++ = digits[bytes[i] >> 4];
                *out++ = digits[bytes[i] & 15];
        }
        *out = '\0';
}

char *fingerprint_text(const uint8_t digest[32])
{
        char *text = new_zeroed(3, 32);

        /* 31 times three characters, then two and a NUL: 96 bytes. */
        for (size_t i = 0; i < 32; i++)
                (void)snprintf(text + 3 * i, 4, i < 31 ? "%02X:" : "%02X", digest[i]);
        return text;
}

char *fingerprint_normal(const char *text)
{
        /* Written before the digits by openssl and others: a line is pasted whole. */
        static const char *const labels[] = { "sha256 fingerprint=", "sha256:" };
        char digits[65] = "";
        size_t len = 0;

        while (*text == ' ')
                text++;
        for (size_t i = 0; i < count_of(labels); i++)
                if (strncasecmp(text, labels[i], strlen(labels[i])) == 0) {
                        text += strlen(labels[i]);
                        break;
                }
        for (; *text; text++) {
                if (*text == ':' || *text == ' ')
                        continue;
                if (!isxdigit((unsigned char)*text) || len == 64)
                        return NULL;
                digits[len++] = (char)tolower((unsigned char)*text);
        }
        return len ? copy_text(digits) : NULL;
}

enum { LONGEST_WORD = 40 }; /* longer words are not compared */

/* Letters to put in, take out, change or swap to get from one to the other, whatever their case. */
static unsigned spelling_distance(const char *a, const char *b)
{
        size_t a_len = strlen(a), b_len = strlen(b);
        /* Three are enough: a swap looks two rows back. */
        unsigned rows[3][LONGEST_WORD + 1];

        if (a_len > LONGEST_WORD || b_len > LONGEST_WORD)
                return LONGEST_WORD;
        for (unsigned k = 0; k <= b_len; k++)
                rows[0][k] = k;
        for (unsigned i = 1; i <= a_len; i++) {
                unsigned *row = rows[i % 3], *above = rows[(i - 1) % 3], *above2 = rows[(i + 1) % 3];
                row[0] = i;
                for (size_t k = 1; k <= b_len; k++) {
                        int x = tolower((unsigned char)a[i - 1]), y = tolower((unsigned char)b[k - 1]);
                        unsigned best = above[k - 1] + (x != y);
                        if (above[k] + 1 < best)
                                best = above[k] + 1;
                        if (row[k - 1] + 1 < best)
                                best = row[k - 1] + 1;
                        if (i > 1 && k > 1 && x == tolower((unsigned char)b[k - 2]) &&
                            y == tolower((unsigned char)a[i - 2]) && above2[k - 2] + 1 < best)
                                best = above2[k - 2] + 1;
                        row[k] = best;
                }
        }
        return rows[a_len % 3][b_len];
}

void nearest_offer(struct nearest *nearest, const char *wanted, const char *candidate)
{
        unsigned distance = spelling_distance(wanted, candidate);
        bool begins = (wanted[0] | 32) == (candidate[0] | 32); /* who slips does so behind the first letter */

        /* The longer the word, the more slips are believed; with another first letter one is all. */
        if (distance <= (begins ? 1 + strlen(candidate) / 4 : 1) &&
            (!nearest->word || distance < nearest->distance)) {
                nearest->word = candidate;
                nearest->distance = distance;
        }
}

/* ---- folders ---- */

const char *folder_name_normal(const char *name)
{
        return strcasecmp(name, "INBOX") == 0 ? "INBOX" : name;
}

char *folder_names_normal(const char *text, size_t *out_count)
{
        char *all = new_zeroed(strlen(text) + 2, 1), *to = all;

        *out_count = 0;
        while (*text) {
                size_t len = strcspn(text, ",");
                scoped(scoped_free) char *copy = copy_bytes(text, len);
                char *name = copy + strspn(copy, " "), *end = name + strlen(name);
                while (end > name && end[-1] == ' ')
                        *--end = '\0';
                const char *normal = folder_name_normal(name);
                if (normal[0] && !names_have(all, normal)) {
                        to = stpcpy(to, normal);
                        *to++ = ',';
                        ++*out_count;
                }
                text += len + (text[len] == ',');
        }
        if (to > all)
                to[-1] = '\0';
        return all;
}

/* ---- mail addresses: RFC 5321 section 4.1.2 Mailbox with the UTF-8 of RFC 6531 ---- */

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
