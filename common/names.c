/* SPDX-License-Identifier: MIT */
/* Account names, clean text, fingerprints and likely spellings; hosts and addresses have files of their own.
 */
#include "common/names.h"

#include "common/limits.h"
#include "common/printable.h"

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
