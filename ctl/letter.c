/* SPDX-License-Identifier: MIT */
/* Header fields and lines of a message, and the address lists in them. */
#include "ctl/letter.h"

#include "common/limits.h"
#include "common/names.h"

#include <netdb.h>
#include <stdio.h>
#include <strings.h>
#include <unistd.h>

/* ---- fields ---- */

/* Looks near first: a legal line is short, and a text that has but one kind of line end must not be read all each
 * time for the other. */
size_t letter_line(const char *bytes, size_t len)
{
        for (size_t at = 0; at < len;) {
                size_t window = len - at < LIMIT_SMTP_LINE + 2 ? len - at : LIMIT_SMTP_LINE + 2;
                const char *lf = memchr(bytes + at, '\n', window);
                const char *cr = memchr(bytes + at, '\r', lf ? (size_t)(lf - bytes) - at : window);
                if (cr || lf) {
                        size_t end = (size_t)((cr ? cr : lf) - bytes) + 1;
                        return end + (cr && end < len && bytes[end] == '\n');
                }
                at += window;
        }
        return len;
}

/* Length of the field name at the front (RFC 5322 3.6.8: printable without colon); 0 when there is none. */
static size_t name_length(const char *bytes, size_t len)
{
        size_t n = 0;
        while (n < len && bytes[n] > ' ' && bytes[n] < 127 && bytes[n] != ':')
                n++;
        size_t colon = n;
        while (colon < len && (bytes[colon] == ' ' || bytes[colon] == '\t'))
                colon++;
        return n && colon < len && bytes[colon] == ':' ? n : 0;
}

bool letter_next(const char *bytes, size_t len, size_t *at, struct letter_field *out)
{
        size_t from = *at;
        size_t name = from < len ? name_length(bytes + from, len - from) : 0;
        if (!name)
                return false;
        size_t to = from + letter_line(bytes + from, len - from);
        while (to < len && (bytes[to] == ' ' || bytes[to] == '\t'))
                to += letter_line(bytes + to, len - to);
        const char *colon = memchr(bytes + from + name, ':', to - from - name);
        size_t end = to;
        while (end > from && (bytes[end - 1] == '\n' || bytes[end - 1] == '\r'))
                end--;
        const char *value = colon + 1;
        *out = (struct letter_field){ .name = bytes + from, .name_len = name, .value = value };
        out->value_len = bytes + end > value ? (size_t)(bytes + end - value) : 0;
        *at = to;
        return true;
}

bool letter_field_is(const struct letter_field *field, const char *name)
{
        return strlen(name) == field->name_len && !strncasecmp(field->name, name, field->name_len);
}

char *letter_value(const struct letter_field *field)
{
        char *out = new_zeroed(1, field->value_len + 1);
        size_t len = 0;
        for (size_t i = 0; i < field->value_len; i++) {
                char c = field->value[i];
                if (c == '\r' || c == '\n' || c == '\0' || (len == 0 && (c == ' ' || c == '\t')))
                        continue;
                out[len++] = c;
        }
        while (len && (out[len - 1] == ' ' || out[len - 1] == '\t'))
                len--;
        out[len] = 0;
        return out;
}

char *letter_find(const char *bytes, size_t len, const char *name)
{
        struct letter_field field;
        for (size_t at = 0; letter_next(bytes, len, &at, &field);)
                if (letter_field_is(&field, name))
                        return letter_value(&field);
        return NULL;
}

static bool is_known_field(const struct letter_field *field)
{
        static const char *const known[] = { "From",       "To",           "Cc",           "Bcc",
                                             "Subject",    "Date",         "Message-ID",   "Sender",
                                             "Reply-To",   "MIME-Version", "Content-Type", "Received",
                                             "Return-Path" };
        for (size_t i = 0; i < count_of(known); i++)
                if (letter_field_is(field, known[i]))
                        return true;
        return false;
}

static bool is_blank_line(const char *bytes, size_t len)
{
        return len && (bytes[0] == '\n' || bytes[0] == '\r');
}

bool letter_has_header(const char *bytes, size_t len)
{
        struct letter_field field;
        bool known = false;
        size_t at = 0;
        while (letter_next(bytes, len, &at, &field))
                known = known || is_known_field(&field);
        return known && (at == len || is_blank_line(bytes + at, len - at));
}

/* ---- what SMTP can carry ---- */

static bool has_eight_bit(const char *bytes, size_t len)
{
        for (size_t i = 0; i < len; i++)
                if (bytes[i] & 0x80)
                        return true;
        return false;
}

static void look_at_lines(const char *bytes, size_t len, struct letter_facts *out)
{
        size_t number = 0;
        for (size_t at = 0; at < len;) {
                size_t line = letter_line(bytes + at, len - at), bare = line;
                bool header = at < out->body;
                number++;
                while (bare && (bytes[at + bare - 1] == '\n' || bytes[at + bare - 1] == '\r'))
                        bare--;
                if (bare > LIMIT_SMTP_LINE && !out->long_line)
                        out->long_line = number;
                if (memchr(bytes + at, 0, line) && !out->nul_line)
                        out->nul_line = number;
                if (header && (out->long_line || out->nul_line))
                        out->header_bad = true;
                at += line;
        }
}

static bool begins(const char *value, const char *with)
{
        return !strncasecmp(value, with, strlen(with));
}

static void look_at_fields(const char *bytes, size_t len, struct letter_facts *out)
{
        scoped(scoped_free) char *encoding = letter_find(bytes, len, "Content-Transfer-Encoding");
        scoped(scoped_free) char *type = letter_find(bytes, len, "Content-Type");
        out->declared = encoding && type && (begins(encoding, "8bit") || begins(encoding, "binary"));
        out->sealed = type && (begins(type, "multipart/signed") || begins(type, "multipart/encrypted") ||
                               begins(type, "application/pkcs7") || begins(type, "application/x-pkcs7"));
}

void letter_look(const char *bytes, size_t len, struct letter_facts *out)
{
        struct letter_field field;
        *out = (struct letter_facts){ 0 };
        while (letter_next(bytes, len, &out->body, &field))
                ;
        look_at_fields(bytes, out->body, out);
        out->header_eight_bit = has_eight_bit(bytes, out->body);
        out->blank_line = is_blank_line(bytes + out->body, len - out->body);
        if (out->blank_line)
                out->body += letter_line(bytes + out->body, len - out->body);
        out->body_eight_bit = has_eight_bit(bytes + out->body, len - out->body);
        look_at_lines(bytes, len, out);
}

bool letter_needs_encoding(const struct letter_facts *facts)
{
        return !facts->sealed && (facts->long_line || facts->nul_line || facts->header_eight_bit ||
                                  (facts->body_eight_bit && !facts->declared));
}

int letter_check_sealed(const struct letter_facts *facts, struct cause *cause)
{
        size_t line = facts->nul_line ? facts->nul_line : facts->long_line;
        if (!facts->sealed || !line)
                return 0;
        (void)cause_set(cause, CAUSE_UNSENDABLE,
                        "line %zu %s, and the message is signed or encrypted: it "
                        "cannot be encoded anew without breaking that",
                        line, facts->nul_line ? "has a NUL byte" : "is longer than 998 bytes");
        cause_remedy(cause, "sign a message whose parts are encoded as quoted-printable or base64");
        return -1;
}

/* ---- addresses ---- */

/* Length of one item of an address list: up to a comma, semicolon or group colon outside quotes, comments and
 * angle brackets. */
static size_t item_length(const char *list)
{
        bool quoted = false, angle = false;
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
                else if (c == '<' || c == '>')
                        angle = c == '<';
                else if (!angle && (c == ',' || c == ';' || c == ':'))
                        break;
        }
        return n;
}

static bool is_blank_text(const char *text)
{
        return text[strspn(text, " \t\r\n")] == 0;
}

/* A bare local name: no domain, nothing that a mailbox would need quoting for. */
static bool is_local_name(const char *text)
{
        return text[0] && !strpbrk(text, "@<>\"()[]\\, \t");
}

static char *mailbox_address(const char *item, const char *domain)
{
        scoped(scoped_free) char *trimmed = copy_text(item + strspn(item, " \t\r\n"));
        for (size_t len = strlen(trimmed); len && strchr(" \t\r\n", trimmed[len - 1]);)
                trimmed[--len] = 0;
        if (is_local_name(trimmed))
                return text_of("%s@%s", trimmed, domain);
        char *address = address_of_mailbox(trimmed);
        if (address && is_local_name(address)) {
                scoped(scoped_free) char *local = address;
                return text_of("%s@%s", local, domain);
        }
        if (address)
                return address;
        /* "root (Cron Daemon)", "Name <root>" */
        const char *open = strchr(trimmed, '<');
        size_t len = open ? strcspn(open + 1, ">") : strcspn(trimmed, " \t(");
        scoped(scoped_free) char *local = copy_bytes(open ? open + 1 : trimmed, len);
        bool whole = open || trimmed[len + strspn(trimmed + len, " \t")] == '(';
        return whole && is_local_name(local) ? text_of("%s@%s", local, domain) : NULL;
}

static int add_address(const char *item, const char *domain, json_t *into, struct cause *cause)
{
        scoped(scoped_free) char *address = mailbox_address(item, domain);
        if (!address) {
                (void)cause_set(cause, CAUSE_INVALID, "'%s' is not a mail address", item);
                cause_remedy(cause, "write it as user@example.com or Name <user@example.com>");
                return -1;
        }
        if (address_check(address, false, cause))
                return -1;
        if (json_array_size(into) >= LIMIT_RECIPIENTS)
                return cause_set(cause, CAUSE_TOO_LARGE, "more than %d recipients", LIMIT_RECIPIENTS);
        for (size_t i = 0; i < json_array_size(into); i++)
                if (same_text(json_string_value(json_array_get(into, i)), address))
                        return 0;
        if (json_array_append_new(into, json_string(address)))
                return cause_set(cause, CAUSE_INVALID, "'%s' is not UTF-8", address);
        return 0;
}

int letter_addresses(const char *list, const char *domain, json_t *into, struct cause *cause)
{
        while (*list) {
                size_t len = item_length(list);
                scoped(scoped_free) char *item = copy_bytes(list, len);
                bool group_name = list[len] == ':';
                if (!group_name && !is_blank_text(item) && add_address(item, domain, into, cause))
                        return -1;
                list += len + (list[len] != 0);
        }
        return 0;
}

static int add_fields(const char *bytes, size_t len, const char *const names[3], const char *domain,
                      json_t *into, struct cause *cause)
{
        struct letter_field field;
        for (size_t at = 0; letter_next(bytes, len, &at, &field);) {
                bool wanted = false;
                for (size_t i = 0; i < 3; i++)
                        wanted = wanted || letter_field_is(&field, names[i]);
                scoped(scoped_free) char *value = wanted ? letter_value(&field) : NULL;
                if (value && letter_addresses(value, domain, into, cause))
                        return -1;
        }
        return 0;
}

int letter_recipients(const char *bytes, size_t len, const char *domain, json_t *into, struct cause *cause)
{
        static const char *const resent[3] = { "Resent-To", "Resent-Cc", "Resent-Bcc" };
        static const char *const usual[3] = { "To", "Cc", "Bcc" };
        size_t before = json_array_size(into);
        if (add_fields(bytes, len, resent, domain, into, cause))
                return -1;
        if (json_array_size(into) > before)
                return 0;
        return add_fields(bytes, len, usual, domain, into, cause);
}

static char *mailname(void)
{
        char line[300] = "";
        FILE *file = fopen("/etc/mailname", "re");
        if (!file)
                return NULL;
        char *got = fgets(line, sizeof(line), file);
        (void)fclose(file);
        line[strcspn(line, " \t\r\n")] = 0;
        return got && line[0] ? copy_text(line) : NULL;
}

static char *full_name_of(const char *host)
{
        struct addrinfo hints = { .ai_flags = AI_CANONNAME, .ai_socktype = SOCK_STREAM }, *found = NULL;
        if (strchr(host, '.') || getaddrinfo(host, NULL, &hints, &found))
                return copy_text(host);
        char *name = copy_text(found->ai_canonname ? found->ai_canonname : host);
        freeaddrinfo(found);
        return name;
}

char *letter_domain(void)
{
        char host[256] = "localhost";
        char *name = mailname();
        if (name)
                return name;
        (void)gethostname(host, sizeof(host) - 1);
        return full_name_of(host);
}
