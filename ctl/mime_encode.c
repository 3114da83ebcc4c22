/* SPDX-License-Identifier: MIT */
/* A message that SMTP could not carry as it is, encoded anew: its parts, its fields, nothing else. */
#include "ctl/mime_part.h"

#define MOST_NESTED 32 /* parts within parts; deeper ones are left as they are */

static bool is_encoded(GMimeContentEncoding encoding)
{
        return encoding == GMIME_CONTENT_ENCODING_QUOTEDPRINTABLE ||
               encoding == GMIME_CONTENT_ENCODING_BASE64;
}

static void encode_part(GMimePart *part)
{
        GMimeDataWrapper *content = g_mime_part_get_content(part);
        GMimeContentEncoding now = g_mime_part_get_content_encoding(part);
        GMimeContentType *type = g_mime_object_get_content_type(GMIME_OBJECT(part));
        GByteArray *bytes = g_byte_array_new();
        owned GMimeStream *stream = g_mime_stream_mem_new_with_byte_array(bytes);
        g_mime_stream_mem_set_owner(GMIME_STREAM_MEM(stream), FALSE);
        if (content && g_mime_data_wrapper_write_to_stream(content, stream) < 0)
                g_byte_array_set_size(bytes, 0);
        GMimeContentEncoding best = encoding_for(bytes->data, bytes->len);
        if (is_encoded(now)) {
                set_content(part, bytes, now);
                return;
        }
        if (best != GMIME_CONTENT_ENCODING_7BIT && !g_mime_content_type_is_type(type, "text", "*")) {
                set_content(part, bytes, GMIME_CONTENT_ENCODING_BASE64);
                return;
        }
        if (best != GMIME_CONTENT_ENCODING_7BIT)
                set_text(part, with_crlf((const char *)bytes->data, bytes->len));
        g_byte_array_unref(bytes);
}

static bool is_plain_line_text(const char *text)
{
        size_t line = 0;
        for (; *text; text++) {
                line = *text == '\n' ? 0 : line + 1;
                if ((*text & 0x80) || line > LONGEST_LINE)
                        return false;
        }
        return true;
}

/* Header fields with raw 8-bit text become encoded words; long ones are folded. */
static void encode_headers(GMimeObject *object)
{
        GMimeHeaderList *headers = g_mime_object_get_header_list(object);
        for (int i = 0; i < g_mime_header_list_get_count(headers); i++) {
                GMimeHeader *header = g_mime_header_list_get_header_at(headers, i);
                const char *raw = g_mime_header_get_raw_value(header);
                if (raw && is_plain_line_text(raw))
                        continue;
                char *value = g_strdup(g_mime_header_get_value(header));
                g_mime_header_set_value(header, NULL, value ? value : "", "utf-8");
                g_free(value);
        }
}

/* Text before the first and after the last part is for nobody: left out where it could not be carried. */
static void drop_bad_margins(GMimeMultipart *multipart)
{
        const char *prologue = g_mime_multipart_get_prologue(multipart);
        const char *epilogue = g_mime_multipart_get_epilogue(multipart);
        if (prologue && !is_plain_line_text(prologue))
                g_mime_multipart_set_prologue(multipart, NULL);
        if (epilogue && !is_plain_line_text(epilogue))
                g_mime_multipart_set_epilogue(multipart, NULL);
}

/* A part and the parts in it; what is signed stays as it is. */
static void encode_object(GMimeObject *object, int depth)
{
        if (!object || depth > MOST_NESTED || GMIME_IS_MULTIPART_SIGNED(object) ||
            GMIME_IS_MULTIPART_ENCRYPTED(object))
                return;
        encode_headers(object);
        if (GMIME_IS_MULTIPART(object)) {
                GMimeMultipart *multipart = GMIME_MULTIPART(object);
                drop_bad_margins(multipart);
                for (int i = 0; i < g_mime_multipart_get_count(multipart); i++)
                        encode_object(g_mime_multipart_get_part(multipart, i), depth + 1);
        } else if (GMIME_IS_PART(object)) {
                encode_part(GMIME_PART(object));
        } else if (GMIME_IS_MESSAGE_PART(object)) {
                GMimeMessage *inner = g_mime_message_part_get_message(GMIME_MESSAGE_PART(object));
                if (inner) {
                        encode_headers(GMIME_OBJECT(inner));
                        encode_object(g_mime_message_get_mime_part(inner), depth + 1);
                }
        }
}

int mime_encode(const char *bytes, size_t len, char **out, size_t *out_len, char error[256])
{
        owned GMimeStream *stream = g_mime_stream_mem_new_with_buffer(bytes, len);
        owned GMimeMessage *message = parse_message(stream, true, error);
        if (!message)
                return -1;
        GMimeObject *object = GMIME_OBJECT(message);
        encode_headers(object);
        encode_object(g_mime_message_get_mime_part(message), 0);
        if (!g_mime_object_get_header(object, "MIME-Version"))
                g_mime_object_set_header(object, "MIME-Version", "1.0", NULL);
        return take_message(message, out, out_len, error);
}
