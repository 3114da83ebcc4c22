/* SPDX-License-Identifier: MIT */
/*
 * emailsec-mime.so: messages made, encoded and read by GMime. Nothing here is used by the daemon, and a
 * message's bytes are only ever data. Depends on nothing of ours but mime.h, so that it can be loaded into
 * any program.
 */
#include "ctl/mime.h"

#include <gio/gio.h>
#include <gmime/gmime.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LONGEST_LINE 998               /* RFC 5322 2.1.1 */
#define MOST_SHOWN   (4 * 1024 * 1024) /* bytes of a text part that are shown */
#define MOST_NESTED  32                /* parts within parts; deeper ones are left as they are */

static void unref_object(void *place)
{
        gpointer *object = place;
        if (*object)
                g_object_unref(*object);
}
#define owned __attribute__((cleanup(unref_object)))

static char *own_copy(const char *text)
{
        return text ? strdup(text) : NULL;
}

/* ---- bytes in and out ---- */

static GByteArray *stream_bytes(GMimeStream *stream)
{
        return g_mime_stream_mem_get_byte_array(GMIME_STREAM_MEM(stream));
}

static int take_message(GMimeMessage *message, char **out, size_t *out_len, char error[256])
{
        owned GMimeStream *stream = g_mime_stream_mem_new();
        if (g_mime_object_write_to_stream(GMIME_OBJECT(message), NULL, stream) < 0) {
                snprintf(error, 256, "the message cannot be written");
                return -1;
        }
        GByteArray *bytes = stream_bytes(stream);
        *out = malloc(bytes->len + 1U);
        if (!*out)
                return -1;
        memcpy(*out, bytes->data, bytes->len);
        (*out)[bytes->len] = 0;
        *out_len = bytes->len;
        return 0;
}

/* Text with CR LF line ends: what an encoded text part holds (RFC 2045, 6.7 and 6.8). */
static GByteArray *with_crlf(const char *text, size_t len)
{
        GByteArray *out = g_byte_array_sized_new((guint)len);
        for (size_t i = 0; i < len; i++) {
                bool bare = text[i] == '\n' && (i == 0 || text[i - 1] != '\r');
                g_byte_array_append(out, (const guint8 *)(bare ? "\r\n" : text + i), bare ? 2 : 1);
        }
        return out;
}

/* The encoding that makes these bytes short ASCII lines: as they are, quoted-printable when most is readable,
 * else base64. Quoted-printable cannot be used for text with stray CR or NUL without harm to readers. */
static GMimeContentEncoding encoding_for(const guint8 *bytes, size_t len)
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

/* Gives a part this content (the array is taken over) in this encoding. */
static void set_content(GMimePart *part, GByteArray *bytes, GMimeContentEncoding encoding)
{
        owned GMimeStream *stream = g_mime_stream_mem_new_with_byte_array(bytes);
        owned GMimeDataWrapper *content =
                g_mime_data_wrapper_new_with_stream(stream, GMIME_CONTENT_ENCODING_DEFAULT);
        g_mime_part_set_content(part, content);
        g_mime_part_set_content_encoding(part, encoding);
}

static const char *charset_of(const guint8 *bytes, size_t len)
{
        for (size_t i = 0; i < len; i++)
                if (bytes[i] & 0x80)
                        return g_utf8_validate((const char *)bytes, (gssize)len, NULL) ? "utf-8"
                                                                                       : "iso-8859-1";
        return "us-ascii";
}

static void set_text(GMimePart *part, GByteArray *bytes)
{
        GMimeObject *object = GMIME_OBJECT(part);
        if (!g_mime_object_get_content_type_parameter(object, "charset"))
                g_mime_object_set_content_type_parameter(object, "charset",
                                                         charset_of(bytes->data, bytes->len));
        GMimeContentEncoding encoding = encoding_for(bytes->data, bytes->len);
        set_content(part, bytes, encoding);
}

/* ---- making ---- */

static void add_mailboxes(InternetAddressList *to, const char *const *mailboxes)
{
        for (; mailboxes && *mailboxes; mailboxes++) {
                InternetAddressList *list = internet_address_list_parse(NULL, *mailboxes);
                if (!list)
                        continue;
                internet_address_list_append(to, list);
                g_object_unref(list);
        }
}

static void add_headers(GMimeMessage *message, const char *const *headers)
{
        for (; headers && *headers; headers++) {
                const char *colon = strchr(*headers, ':');
                if (!colon)
                        continue;
                char *name = g_strndup(*headers, (gsize)(colon - *headers));
                const char *value = colon + 1 + strspn(colon + 1, " \t");
                g_mime_object_append_header(GMIME_OBJECT(message), g_strstrip(name), value, "utf-8");
                g_free(name);
        }
}

/* "text/plain" of the file's name and first bytes. */
static char *type_of_file(const char *path, const char *bytes, size_t len)
{
        char *guess = g_content_type_guess(path, (const guchar *)bytes, len, NULL);
        char *type = guess ? g_content_type_get_mime_type(guess) : NULL;
        g_free(guess);
        /* These two may not be encoded (RFC 2046 5.1, 5.2.1): sent as files like any other. */
        if (type && (g_str_has_prefix(type, "message/") || g_str_has_prefix(type, "multipart/")))
                g_clear_pointer(&type, g_free);
        return type ? type : g_strdup("application/octet-stream");
}

static GMimePart *attachment_of(const char *path, char error[256])
{
        char *bytes = NULL;
        gsize len = 0;
        GError *failure = NULL;
        if (!g_file_get_contents(path, &bytes, &len, &failure)) {
                snprintf(error, 256, "%s", failure->message);
                g_error_free(failure);
                return NULL;
        }
        char *type = type_of_file(path, bytes, len);
        char **words = g_strsplit(type, "/", 2);
        GMimePart *part = g_mime_part_new_with_type(words[0], words[1] ? words[1] : "octet-stream");
        char *name = g_path_get_basename(path);
        g_mime_object_set_disposition(GMIME_OBJECT(part), GMIME_DISPOSITION_ATTACHMENT);
        g_mime_part_set_filename(part, name);
        /* Base64 always: an attachment arrives byte for byte as the file is, line ends too. */
        set_content(part, g_byte_array_new_take((guint8 *)bytes, len), GMIME_CONTENT_ENCODING_BASE64);
        g_free(name);
        g_strfreev(words);
        g_free(type);
        return part;
}

static int add_files(GMimeMessage *message, GMimeObject *text, const char *const *files, char error[256])
{
        owned GMimeMultipart *mixed = g_mime_multipart_new_with_subtype("mixed");
        g_mime_multipart_add(mixed, text);
        for (; *files; files++) {
                owned GMimePart *part = attachment_of(*files, error);
                if (!part)
                        return -1;
                g_mime_multipart_add(mixed, GMIME_OBJECT(part));
        }
        g_mime_message_set_mime_part(message, GMIME_OBJECT(mixed));
        return 0;
}

static int compose(const struct mime_draft *draft, char **out, size_t *out_len, char error[256])
{
        owned GMimeMessage *message = g_mime_message_new(FALSE);
        owned GMimePart *text = g_mime_part_new_with_type("text", "plain");
        const char *from[] = { draft->from, NULL };
        if (draft->from)
                add_mailboxes(g_mime_message_get_from(message), from);
        add_mailboxes(g_mime_message_get_to(message), draft->to);
        add_mailboxes(g_mime_message_get_cc(message), draft->cc);
        if (draft->subject)
                g_mime_message_set_subject(message, draft->subject, "utf-8");
        add_headers(message, draft->headers);
        set_text(text, with_crlf(draft->text, draft->text_len));
        if (!draft->files || !draft->files[0])
                g_mime_message_set_mime_part(message, GMIME_OBJECT(text));
        else if (add_files(message, GMIME_OBJECT(text), draft->files, error))
                return -1;
        return take_message(message, out, out_len, error);
}

/* ---- encoding anew ---- */

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

static GMimeMessage *parse(GMimeStream *stream, bool persist, char error[256])
{
        owned GMimeParser *parser = g_mime_parser_new_with_stream(stream);
        g_mime_parser_set_persist_stream(parser, persist);
        GMimeMessage *message = g_mime_parser_construct_message(parser, NULL);
        if (!message)
                snprintf(error, 256, "the message cannot be read as one");
        return message;
}

static int encode(const char *bytes, size_t len, char **out, size_t *out_len, char error[256])
{
        owned GMimeStream *stream = g_mime_stream_mem_new_with_buffer(bytes, len);
        owned GMimeMessage *message = parse(stream, true, error);
        if (!message)
                return -1;
        GMimeObject *object = GMIME_OBJECT(message);
        encode_headers(object);
        encode_object(g_mime_message_get_mime_part(message), 0);
        if (!g_mime_object_get_header(object, "MIME-Version"))
                g_mime_object_set_header(object, "MIME-Version", "1.0", NULL);
        return take_message(message, out, out_len, error);
}

/* ---- reading ---- */

static char *decoded_field(GMimeMessage *message, const char *name)
{
        GMimeHeaderList *headers = g_mime_object_get_header_list(GMIME_OBJECT(message));
        GMimeHeader *header = g_mime_header_list_get_header(headers, name);
        return header ? own_copy(g_mime_header_get_value(header)) : NULL;
}

static size_t decoded_size(GMimePart *part)
{
        owned GMimeStream *nowhere = g_mime_stream_null_new();
        GMimeDataWrapper *content = g_mime_part_get_content(part);
        ssize_t size = content ? g_mime_data_wrapper_write_to_stream(content, nowhere) : 0;
        return size > 0 ? (size_t)size : 0;
}

static void add_attachment(struct mime_view *view, GMimePart *part)
{
        struct mime_attachment *more =
                realloc(view->attachments, (view->attachment_count + 1) * sizeof(*more));
        if (!more)
                return;
        char *type = g_mime_content_type_get_mime_type(g_mime_object_get_content_type(GMIME_OBJECT(part)));
        view->attachments = more;
        more[view->attachment_count++] = (struct mime_attachment){
                .name = own_copy(g_mime_part_get_filename(part)),
                .type = own_copy(type),
                .size = decoded_size(part),
        };
        g_free(type);
}

static void take_text(struct mime_view *view, GMimePart *part, const char *subtype)
{
        char *text = g_mime_text_part_get_text(GMIME_TEXT_PART(part));
        free(view->text);
        free(view->text_type);
        view->text_cut = text && strlen(text) > MOST_SHOWN;
        if (view->text_cut)
                *g_utf8_find_prev_char(text, text + MOST_SHOWN) = 0;
        view->text = strdup(text ? text : "");
        view->text_type = g_strconcat("text/", subtype, NULL);
        g_free(text);
}

static void look_at_part(GMimeObject *parent, GMimeObject *object, gpointer data)
{
        struct mime_view *view = data;
        (void)parent;
        if (!GMIME_IS_PART(object))
                return;
        GMimePart *part = GMIME_PART(object);
        GMimeContentType *type = g_mime_object_get_content_type(object);
        bool html_before = view->text_type && !strcmp(view->text_type, "text/html");
        bool attached = g_mime_part_is_attachment(part);
        if (!attached && GMIME_IS_TEXT_PART(object) && g_mime_content_type_is_type(type, "text", "plain") &&
            (!view->text || html_before))
                take_text(view, part, "plain");
        else if (!attached && GMIME_IS_TEXT_PART(object) && !view->text &&
                 g_mime_content_type_is_type(type, "text", "html"))
                take_text(view, part, "html");
        else if (attached || !g_mime_content_type_is_type(type, "text", "html"))
                add_attachment(view, part);
}

static int view_message(int fd, struct mime_view *out, char error[256])
{
        *out = (struct mime_view){ 0 };
        int own = dup(fd);
        if (own < 0) {
                snprintf(error, 256, "too many open files");
                return -1;
        }
        owned GMimeStream *stream = g_mime_stream_fs_new(own);
        owned GMimeMessage *message = parse(stream, true, error);
        if (!message)
                return -1;
        out->from = decoded_field(message, "From");
        out->to = decoded_field(message, "To");
        out->cc = decoded_field(message, "Cc");
        out->date = decoded_field(message, "Date");
        out->subject = decoded_field(message, "Subject");
        g_mime_message_foreach(message, look_at_part, out);
        return 0;
}

static void view_done(struct mime_view *view)
{
        char *texts[] = { view->from,    view->to,   view->cc,       view->date,
                          view->subject, view->text, view->text_type };
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
                free(texts[i]);
        for (size_t i = 0; i < view->attachment_count; i++) {
                free(view->attachments[i].name);
                free(view->attachments[i].type);
        }
        free(view->attachments);
        *view = (struct mime_view){ 0 };
}

static char *decode(const char *value)
{
        char *text = g_mime_utils_header_decode_text(NULL, value);
        char *out = own_copy(text);
        g_free(text);
        return out;
}

__attribute__((visibility("default"))) const struct mime_functions *emailsec_mime(void)
{
        static const struct mime_functions functions = {
                .version = MIME_VERSION,
                .compose = compose,
                .encode = encode,
                .view = view_message,
                .view_done = view_done,
                .decode = decode,
        };
        static bool started;
        if (!started)
                g_mime_init();
        started = true;
        return &functions;
}
