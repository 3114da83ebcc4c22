/* SPDX-License-Identifier: MIT */
/* Bytes into parts and messages into bytes, for making, encoding and reading messages; see mime_part.h. */
#include "ctl/mime_part.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void unref_object(void *place)
{
        gpointer *object = place;
        if (*object)
                g_object_unref(*object);
}

char *own_copy(const char *text)
{
        return text ? strdup(text) : NULL;
}

GByteArray *with_crlf(const char *text, size_t len)
{
        GByteArray *out = g_byte_array_sized_new((guint)len);
        for (size_t i = 0; i < len; i++) {
                bool bare = text[i] == '\n' && (i == 0 || text[i - 1] != '\r');
                g_byte_array_append(out, (const guint8 *)(bare ? "\r\n" : text + i), bare ? 2 : 1);
        }
        return out;
}

/* A NUL or a lone CR can only travel as base64 (RFC 2045 section 2.8). Other text stays
 * quoted-printable, of which a person can read the rest, until two thirds of it are odd. */
GMimeContentEncoding encoding_for(const guint8 *bytes, size_t len)
{
        size_t odd = 0, line = 0, longest = 0;
        bool binary = false;
        for (size_t i = 0; i < len; i++) {
                bool end = bytes[i] == '\n';
                bool cr = bytes[i] == '\r';
                binary = binary || bytes[i] == 0 || (cr && (i + 1 == len || bytes[i + 1] != '\n'));
                odd += bytes[i] > 126 || (bytes[i] < 32 && !end && !cr && bytes[i] != '\t');
                line = end ? 0 : line + !cr;
                longest = MAX(longest, line);
        }
        if (binary || odd > len / 3 * 2)
                return GMIME_CONTENT_ENCODING_BASE64;
        return odd || longest > LONGEST_LINE ? GMIME_CONTENT_ENCODING_QUOTEDPRINTABLE
                                             : GMIME_CONTENT_ENCODING_7BIT;
}

void set_stream(GMimePart *part, GMimeStream *stream, GMimeContentEncoding encoding)
{
        owned GMimeDataWrapper *content =
                g_mime_data_wrapper_new_with_stream(stream, GMIME_CONTENT_ENCODING_DEFAULT);
        g_mime_part_set_content(part, content);
        g_mime_part_set_content_encoding(part, encoding);
}

void set_content(GMimePart *part, GByteArray *bytes, GMimeContentEncoding encoding)
{
        owned GMimeStream *stream = g_mime_stream_mem_new_with_byte_array(bytes);
        set_stream(part, stream, encoding);
}

/* UTF-8 that is valid is UTF-8: other charsets hardly ever pass for it. Anything else is called
 * iso-8859-1, in which every byte is a character. */
static const char *charset_of(const guint8 *bytes, size_t len)
{
        for (size_t i = 0; i < len; i++)
                if (bytes[i] & 0x80)
                        return g_utf8_validate((const char *)bytes, (gssize)len, NULL) ? "utf-8"
                                                                                       : "iso-8859-1";
        return "us-ascii";
}

void set_text(GMimePart *part, GByteArray *bytes)
{
        GMimeObject *object = GMIME_OBJECT(part);
        if (!g_mime_object_get_content_type_parameter(object, "charset"))
                g_mime_object_set_content_type_parameter(object, "charset",
                                                         charset_of(bytes->data, bytes->len));
        GMimeContentEncoding encoding = encoding_for(bytes->data, bytes->len);
        set_content(part, bytes, encoding);
}
