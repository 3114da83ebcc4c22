/* SPDX-License-Identifier: MIT */
/* Text of any charset as UTF-8, for a person; see view.h. */
#include "common/buf.h"
#include "common/printable.h"
#include "ctl/view.h"

#include <errno.h>
#include <iconv.h>
#include <strings.h>

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* What senders mean by a name: others use the larger charset for the smaller, and labels that are none. */
static const struct {
        const char *name, *meant; /* NULL: nothing that can be relied upon */
} charset_names[] = {
        { "", NULL },
        { "us-ascii", NULL },
        { "ascii", NULL },
        { "binary", NULL },
        { "unknown", NULL },
        { "x-unknown", NULL },
        { "unknown-8bit", NULL },
        { "default", NULL },
        { "iso-8859-1", NULL }, /* with the quotation marks of Windows, or UTF-8 in truth */
        { "latin1", NULL },
        { "utf8", "utf-8" },
        { "utf-8", "utf-8" },
        { "iso-8859-8-i", "iso-8859-8" },
        { "iso-8859-8-e", "iso-8859-8" },
        { "iso-8859-6-i", "iso-8859-6" },
        { "gb2312", "gb18030" },
        { "gbk", "gb18030" },
        { "x-gbk", "gb18030" },
        { "ks_c_5601-1987", "cp949" },
        { "euc-kr", "cp949" },
        { "x-sjis", "cp932" },
        { "shift_jis", "cp932" },
        { "cp-850", "cp850" },
        { "unicode-1-1-utf-7", "utf-7" },
        { "x-mac-roman", "macintosh" },
};

static void put(struct buf *out, const char *bytes, size_t len)
{
        if (buf_append(out, bytes, len))
                return; /* not reached: there is room for three bytes of each */
}

static char *utf8_repaired(const char *bytes, size_t len, bool *odd)
{
        struct buf out = BUF_WITH_MAX(3 * len + 1);
        for (size_t at = 0; at < len;) {
                uint32_t point;
                size_t step = utf8_character(bytes + at, len - at, &point);
                bool good = step && bytes[at];
                put(&out, good ? bytes + at : REPLACEMENT, good ? step : 3);
                *odd = *odd || !good;
                at += step ? step : 1;
        }
        return buf_take_text(&out);
}

/* By iconv; NULL when it does not know the charset. */
static char *converted(const char *bytes, size_t len, const char *charset, bool *odd)
{
        iconv_t with = iconv_open("UTF-8", charset);
        if (with == (iconv_t)-1)
                return NULL;
        struct buf out = BUF_WITH_MAX(8 * len + 64);
        char *from = (char *)(uintptr_t)bytes;
        while (len) {
                char piece[4096], *to = piece;
                size_t room = sizeof(piece);
                size_t result = iconv(with, &from, &len, &to, &room);
                put(&out, piece, (size_t)(to - piece));
                if (result != (size_t)-1 || errno == E2BIG)
                        continue;
                put(&out, REPLACEMENT, 3);
                *odd = true;
                if (errno == EINVAL)
                        break; /* the end, in the middle of a character */
                from++;
                len--;
        }
        (void)iconv_close(with);
        scoped(scoped_free) char *text = NULL;
        bool ignored = false;
        size_t made = out.len;
        text = utf8_repaired(made ? (const char *)buf_bytes(&out) : "", made, &ignored); /* NUL */
        buf_free(&out);
        return take(text);
}

/* What senders mean by the name of a charset; NULL: nothing that could be told, or there is none. */
static const char *charset_meant(const char *charset)
{
        const char *name = charset ? charset : "";
        for (size_t i = 0; i < count_of(charset_names); i++)
                if (!strcasecmp(charset_names[i].name, name))
                        return charset_names[i].meant;
        return name;
}

/* What a reader is to know of how the text was read; NULL: nothing. */
static char *remark_on(const char *charset, const char *meant, bool unknown, bool odd, bool guessed)
{
        scoped(scoped_free) char *name = printable_text(charset ? charset : "");
        if (unknown)
                return text_of("the charset %s is not known here; shown as %s", name,
                               guessed ? "windows-1252" : "utf-8");
        if (odd)
                return text_of("what is not %s is shown as " REPLACEMENT, meant ? meant : "readable");
        if (guessed && (!charset || strcasecmp(charset, "iso-8859-1") != 0))
                return text_of("it does not say its charset; shown as windows-1252");
        return NULL;
}

char *view_text(const char *bytes, size_t len, const char *charset, char **remark)
{
        bool odd = false;
        const char *meant = charset_meant(charset);
        bool other = meant && strcasecmp(meant, "utf-8") != 0;
        char *text = other ? converted(bytes, len, meant, &odd) : NULL;
        bool unknown = other && !text;
        if (!text && ((meant && !unknown) || utf8_valid(bytes, len)))
                text = utf8_repaired(bytes, len, &odd);
        bool guessed = !text;
        if (!text)
                text = converted(bytes, len, "windows-1252", &odd);
        if (!text)
                text = utf8_repaired(bytes, len, &odd);
        *remark = remark_on(charset, meant, unknown, odd, guessed);
        return text;
}
