/* SPDX-License-Identifier: MIT */
/*
 * The words are decoded, not the secret encoded: there are many ways to write the same bytes, and one to read
 * them. See repeat.h.
 */
#include "daemon/sasl/repeat.h"

#include "common/buf.h"
#include "common/json_fields.h"

enum {
        PART = 16,         /* bytes of a long secret, that in a row give it away */
        FEWEST_DIGITS = 6, /* of base64, that are looked for inside a message */
        DEEPEST = 3,       /* escapes within escapes */
};

static bool holds(const char *words, size_t len, const char *secret)
{
        size_t count = strlen(secret);

        if (count < 2 * PART)
                return memmem(words, len, secret, count) != NULL;
        for (size_t at = 0; at + PART <= count; at += PART / 2)
                if (memmem(words, len, secret + at, PART))
                        return true;
        return memmem(words, len, secret + count - PART, PART) != NULL;
}

/* Inside a longer message the base64 of bytes has one of three forms, by what is before them modulo 3. Only
 * digits made of the secret alone are compared; too few of them would be found in any words. */
static bool holds_base64(const char *words, size_t len, const char *secret)
{
        size_t count = strlen(secret);
        char *message = new_zeroed(1, count + 3);
        bool found = false;

        for (size_t before = 0; before <= 2 && !found; before++) {
                size_t begin = (before * 8 + 5) / 6, end = (before + count) * 8 / 6;
                memcpy(message + before, secret, count);
                char *text = base64_encode(message, before + count);
                if (before == 0 && end < FEWEST_DIGITS)
                        end = strcspn(text, "="); /* all of it there is */
                text[end] = '\0';
                found = (before == 0 || end >= begin + FEWEST_DIGITS) && holds(words, len, text + begin);
                free_secret(text);
        }
        explicit_bzero(message, count + 3);
        free(message);
        return found;
}

/* ---- reading escapes ---- */

static int digit(char c)
{
        return c >= '0' && c <= '9'   ? c - '0'
               : c >= 'a' && c <= 'f' ? c - 'a' + 10
               : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                      : -1;
}

/* `count` hexadecimal digits; -1 when they are none. */
static int hex(const char *at, size_t left, size_t count)
{
        int value = 0;

        for (size_t i = 0; i < count; i++) {
                int next = i < left ? digit(at[i]) : -1;
                if (next < 0)
                        return -1;
                value = value * 16 + next;
        }
        return value;
}

static const struct {
        const char *escape;
        char means;
} entities[] = {
        { "&amp;", '&' },  { "&lt;", '<' },    { "&gt;", '>' },   { "&quot;", '"' },
        { "&#39;", '\'' }, { "&#x27;", '\'' }, { "&#x2F;", '/' }, { "&#43;", '+' },
        { "&#x2B;", '+' }, { "&#61;", '=' },   { "&#x3D;", '=' },
};

/* What the escapes of JSON and of string literals stand for. */
static size_t backslash_at(const char *at, size_t left, int *means)
{
        char kind = left > 1 ? at[1] : '\0';
        size_t digits = kind == 'u' ? 4 : kind == 'x' ? 2 : 0;

        if (digits) {
                *means = hex(at + 2, left - 2, digits);
                return *means >= 0 && *means < 256 ? 2 + digits : 0;
        }
        *means = kind;
        return kind && strchr("\"\\/'", kind) ? 2 : 0;
}

/* And those of markup. */
static size_t entity_at(const char *at, size_t left, int *means)
{
        for (size_t i = 0; i < count_of(entities); i++) {
                size_t len = strlen(entities[i].escape);
                if (left >= len && memcmp(at, entities[i].escape, len) == 0) {
                        *means = entities[i].means;
                        return len;
                }
        }
        return 0;
}

/* What one escape at the begin of `at` stands for; its length, 0 when there is none. */
static size_t escape_at(const char *at, size_t left, int *means)
{
        switch (at[0]) {
        case '%': /* of a form */
        case '=': /* quoted-printable */
                *means = hex(at + 1, left - 1, 2);
                return *means >= 0 ? 3 : 0;
        case '\\':
                return backslash_at(at, left, means);
        case '&':
                return entity_at(at, left, means);
        default:
                return 0;
        }
}

/* Unescapes in place what begins with one of these signs: the new length. */
static size_t unescape(char *words, size_t len, const char *signs)
{
        size_t to = 0;

        for (size_t at = 0; at < len;) {
                int means = 0;
                size_t taken =
                        words[at] && strchr(signs, words[at]) ? escape_at(words + at, len - at, &means) : 0;
                words[to++] = taken ? (char)means : words[at];
                at += taken ? taken : 1;
        }
        return to;
}

/* Base64 in the form of RFC 4648 section 5 as the ordinary one; of a form a plus as a blank. */
static bool holds_any(char *words, size_t len, const char *secret)
{
        if (holds(words, len, secret) || holds_base64(words, len, secret))
                return true;
        char *others = new_zeroed(1, len + 1);
        for (size_t i = 0; i < len; i++)
                others[i] = words[i] == '-' ? '+' : words[i] == '_' ? '/' : words[i];
        bool found = holds_base64(others, len, secret);
        for (size_t i = 0; i < len; i++)
                others[i] = words[i] == '+' ? ' ' : words[i];
        found = found || holds(others, len, secret);
        explicit_bzero(others, len);
        free(others);
        return found;
}

static bool repeated_behind(const char *words, size_t len, const char *secret, const char *signs)
{
        char *read = copy_bytes(words, len);
        bool found = holds_any(read, len, secret);

        for (size_t deep = 0, before = 0; !found && deep < DEEPEST && before != len; deep++) {
                before = len;
                len = unescape(read, len, signs);
                found = before != len && holds_any(read, len, secret);
        }
        free_secret(read);
        return found;
}

bool secret_repeated(const char *words, size_t len, const char *secret)
{
        if (!secret || strlen(secret) < SECRET_SHORTEST || !len)
                return false;
        return repeated_behind(words, len, secret, "%\\&") || repeated_behind(words, len, secret, "=\\");
}
