/* SPDX-License-Identifier: MIT */
/* Requests for delivery reports; see dsn.h. */
#include "common/dsn.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

/* Address types are registered with IANA (RFC 3464 section 9.1). */
enum { TYPE_MOST = 23 }; /* characters of an address type; rfc822, utf-8 and x400 are known ones */

/* In the order in which they are written out. The first stands alone (RFC 3461 section 4.1). */
static const char *const notify_words[] = { "NEVER", "SUCCESS", "FAILURE", "DELAY" };

static int bad_notify(const char *words, struct cause *cause)
{
        return cause_set(cause, CAUSE_INVALID,
                         "\"%s\" is neither never nor a list of success, failure and delay", words);
}

/* The bit of a word of `len` bytes; 0 for any other. */
static unsigned notify_bit(const char *word, size_t len)
{
        for (size_t i = 0; i < count_of(notify_words); i++)
                if (strlen(notify_words[i]) == len && strncasecmp(notify_words[i], word, len) == 0)
                        return 1u << i;
        return 0;
}

/* Any case, any order, blanks around; written as NOTIFY takes it. */
int dsn_notify(const char *words, char out[DSN_NOTIFY_SIZE], struct cause *cause)
{
        unsigned seen = 0;

        for (const char *at = words;; at++) {
                at += strspn(at, " \t");
                size_t len = strcspn(at, ","), word = len;
                while (word && isblank((unsigned char)at[word - 1]))
                        word--;
                unsigned bit = notify_bit(at, word);
                if (!bit || (seen & bit))
                        return bad_notify(words, cause);
                seen |= bit;
                at += len;
                if (!*at)
                        break;
        }
        if ((seen & 1) && seen != 1)
                return bad_notify(words, cause);
        out[0] = '\0';
        for (size_t i = 0; i < count_of(notify_words); i++) {
                size_t len = strlen(out);
                if (seen & (1u << i))
                        (void)snprintf(out + len, DSN_NOTIFY_SIZE - len, "%s%s", len ? "," : "",
                                       notify_words[i]);
        }
        return 0;
}

int dsn_return(const char *word, char out[DSN_RETURN_SIZE], struct cause *cause)
{
        bool full = strcasecmp(word, "full") == 0;

        if (!full && strcasecmp(word, "hdrs") != 0)
                return cause_set(cause, CAUSE_INVALID, "\"%s\" is neither full nor hdrs", word);
        (void)snprintf(out, DSN_RETURN_SIZE, "%s", full ? "FULL" : "HDRS");
        return 0;
}

/* xtext (RFC 3461 section 4): "+" and "=" as three characters, and here the blank, which would end
 * a parameter. */
/* How many characters it takes as xtext; 0: it is not printable ASCII. */
static size_t xtext_length(const char *text)
{
        size_t len = 0;

        for (const char *at = text; *at; at++) {
                if (*at < ' ' || *at > '~')
                        return 0;
                len += *at == ' ' || *at == '+' || *at == '=' ? 3 : 1;
        }
        return len;
}

int dsn_envelope_id(const char *id, struct cause *cause)
{
        size_t len = xtext_length(id);

        if (!len && id[0])
                return cause_set(cause, CAUSE_INVALID, "\"%s\" is not printable ASCII", id);
        if (!len || len > DSN_ENVELOPE_ID_MAX)
                return cause_set(cause, CAUSE_INVALID, "it takes %zu characters in the envelope: 1 to %d fit",
                                 len, DSN_ENVELOPE_ID_MAX);
        return 0;
}

/* ORCPT (RFC 3461 section 4.2): a type of letters, digits and hyphens, a semicolon, an address as
 * xtext. */
int dsn_original(const char *original, struct cause *cause)
{
        static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-";
        size_t type = strspn(original, letters), len = xtext_length(original);

        if (!type || type > TYPE_MOST || original[type] != ';' || !original[type + 1] || !len)
                return cause_set(cause, CAUSE_INVALID,
                                 "\"%s\" is no address type and address, as rfc822;a@b.example", original);
        if (len > DSN_ORIGINAL_MAX)
                return cause_set(cause, CAUSE_INVALID, "it takes %zu characters in the envelope: %d fit", len,
                                 DSN_ORIGINAL_MAX);
        return 0;
}
