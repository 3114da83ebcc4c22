/* SPDX-License-Identifier: MIT */
/*
 * emailsec-mime.so: messages made, and fields read, by GMime. Nothing here is used by the daemon, and a
 * message's bytes are only ever data. It depends on nothing of ours but mime.h, so that the object
 * can be loaded into any program.
 */
#include "ctl/mime.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <gmime/gmime.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LONGEST_LINE 998 /* RFC 5322 2.1.1 */

/* ---- texts and parts in the encodings that mail wants ---- */

/* A GObject pointer that is let go at the end of its scope. */
static void unref_object(void *place)
{
        gpointer *object = place;
        if (*object)
                g_object_unref(*object);
}

#define owned __attribute__((cleanup(unref_object)))

/* For free(), as all that leaves this object. NULL stays NULL. */
static char *own_copy(const char *text)
{
        return text ? strdup(text) : NULL;
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

/* The encoding that makes these bytes short ASCII lines. A NUL or a lone CR can only travel as base64 (RFC
 * 2045 section 2.8). Other text stays quoted-printable, of which a person can read the rest, until two thirds
 * of it are odd. */
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

/* Gives a part the content of a stream, which is read when the part is written, in this encoding. */
static void set_stream(GMimePart *part, GMimeStream *stream, GMimeContentEncoding encoding)
{
        owned GMimeDataWrapper *content =
                g_mime_data_wrapper_new_with_stream(stream, GMIME_CONTENT_ENCODING_DEFAULT);
        g_mime_part_set_content(part, content);
        g_mime_part_set_content_encoding(part, encoding);
}

/* The same with bytes; the array is taken over. */
static void set_content(GMimePart *part, GByteArray *bytes, GMimeContentEncoding encoding)
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

/* The same for text: in the encoding that fits it, with a charset where the part names none. */
static void set_text(GMimePart *part, GByteArray *bytes)
{
        GMimeObject *object = GMIME_OBJECT(part);
        if (!g_mime_object_get_content_type_parameter(object, "charset"))
                g_mime_object_set_content_type_parameter(object, "charset",
                                                         charset_of(bytes->data, bytes->len));
        GMimeContentEncoding encoding = encoding_for(bytes->data, bytes->len);
        set_content(part, bytes, encoding);
}

/* ---- a message made from a text, header fields and files, written as it is made ---- */

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

/* What cannot be read twice, a pipe say, is held in memory: no more than `most` bytes and a piece. */
static GMimeStream *stream_of_other(int fd, uint64_t most)
{
        owned GMimeStream *source = g_mime_stream_pipe_new(fd);
        GMimeStream *held = g_mime_stream_mem_new();
        char piece[65536];
        ssize_t got;
        uint64_t all = 0;
        while (all <= most && (got = g_mime_stream_read(source, piece, sizeof piece)) > 0 &&
               g_mime_stream_write(held, piece, (size_t)got) == got)
                all += (uint64_t)got;
        if (all > most || got == 0)
                return held;
        g_object_unref(held);
        return NULL;
}

/* A file's bytes as a stream; a regular one's are read when the message is written. *left: what may still
 * come.
 */
static GMimeStream *stream_of_file(const struct mime_draft *draft, const char *path, uint64_t *left,
                                   char error[256])
{
        struct stat facts;
        int fd = draft->open_file(path, error);
        if (fd < 0)
                return NULL;
        if (fstat(fd, &facts) || S_ISDIR(facts.st_mode)) {
                snprintf(error, 256, "%s: %s", path, strerror(S_ISDIR(facts.st_mode) ? EISDIR : errno));
                close(fd);
                return NULL;
        }
        GMimeStream *stream = S_ISREG(facts.st_mode) ? g_mime_stream_fs_new(fd) : stream_of_other(fd, *left);
        gint64 len = stream ? g_mime_stream_length(stream) : -1;
        if (len >= 0 && (uint64_t)len <= *left) {
                *left -= (uint64_t)len;
                return stream;
        }
        snprintf(error, 256, "%s: %s", path, len < 0 ? "cannot be read" : "too large to be attached");
        if (stream)
                g_object_unref(stream);
        return NULL;
}

/* The charset of a whole text: "us-ascii", "utf-8", "" when it is neither, or NULL when this is no text after
 * all. */
static const char *charset_of_stream(GMimeStream *stream)
{
        char piece[65536];
        gint64 kept = 0; /* the begun character at the end of the piece before */
        bool ascii = true, utf8 = true;

        g_mime_stream_reset(stream);
        for (ssize_t len;
             (len = g_mime_stream_read(stream, piece + kept, sizeof piece - (size_t)kept)) > 0;) {
                const char *end = piece, *over = piece + kept + len;
                if (memchr(piece, 0, (size_t)(over - piece)))
                        return NULL;
                for (const char *at = piece; ascii && at < over; at++)
                        ascii = !(*at & 0x80);
                utf8 = utf8 && (g_utf8_validate(piece, over - piece, &end) || over - end < 4);
                kept = utf8 ? over - end : 0;
                memmove(piece, end, (size_t)kept);
        }
        return ascii ? "us-ascii" : utf8 && !kept ? "utf-8" : "";
}

static GMimePart *part_of_type(const char *type, GMimeStream *stream)
{
        const char *charset = g_str_has_prefix(type, "text/") ? charset_of_stream(stream) : "";

        if (!charset) /* a guess by the first bytes, and a wrong one */
                return g_mime_part_new_with_type("application", "octet-stream");
        char **words = g_strsplit(type, "/", 2);
        GMimePart *part = g_mime_part_new_with_type(words[0], words[1] ? words[1] : "octet-stream");
        if (charset[0])
                g_mime_object_set_content_type_parameter(GMIME_OBJECT(part), "charset", charset);
        g_strfreev(words);
        return part;
}

static GMimePart *attachment_of(const struct mime_draft *draft, const char *path, uint64_t *left,
                                char error[256])
{
        char start[4096];
        owned GMimeStream *stream = stream_of_file(draft, path, left, error);
        ssize_t len = stream ? g_mime_stream_read(stream, start, sizeof(start)) : -1;
        if (len < 0) {
                if (stream)
                        snprintf(error, 256, "%s: %s", path, strerror(errno));
                return NULL;
        }
        char *type = type_of_file(path, start, (size_t)len);
        GMimePart *part = part_of_type(type, stream);
        char *name = g_path_get_basename(path);
        g_mime_object_set_disposition(GMIME_OBJECT(part), GMIME_DISPOSITION_ATTACHMENT);
        g_mime_part_set_filename(part, name);
        /* Base64 always: an attachment arrives byte for byte as the file is, line ends too. */
        set_stream(part, stream, GMIME_CONTENT_ENCODING_BASE64);
        g_free(name);
        g_free(type);
        return part;
}

static int add_files(GMimeMessage *message, GMimeObject *text, const struct mime_draft *draft,
                     char error[256])
{
        uint64_t left = draft->most;
        owned GMimeMultipart *mixed = g_mime_multipart_new_with_subtype("mixed");
        g_mime_multipart_add(mixed, text);
        for (const char *const *file = draft->files; *file; file++) {
                owned GMimePart *part = attachment_of(draft, *file, &left, error);
                if (!part)
                        return -1;
                g_mime_multipart_add(mixed, GMIME_OBJECT(part));
        }
        g_mime_message_set_mime_part(message, GMIME_OBJECT(mixed));
        return 0;
}

/* Piece by piece, so that no attachment is ever whole in memory. */
static int write_message(GMimeMessage *message, int fd, char error[256])
{
        owned GMimeStream *stream = g_mime_stream_fs_new(fd);
        g_mime_stream_fs_set_owner(GMIME_STREAM_FS(stream), FALSE);
        owned GMimeStream *pieces = g_mime_stream_buffer_new(stream, GMIME_STREAM_BUFFER_BLOCK_WRITE);
        if (g_mime_object_write_to_stream(GMIME_OBJECT(message), NULL, pieces) >= 0 &&
            !g_mime_stream_flush(pieces))
                return 0;
        snprintf(error, 256, "the message cannot be written: %s", strerror(errno));
        return -1;
}

static int mime_compose(const struct mime_draft *draft, int fd, char error[256])
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
        else if (add_files(message, GMIME_OBJECT(text), draft, error))
                return -1;
        return write_message(message, fd, error);
}

/* ---- the entry ---- */

/* An encoded word is ASCII (RFC 2047 section 2). Of one that is not, GMime would leave out the other bytes
 * and show nonsense: it is shown as it stands. */
static bool words_are_ascii(const char *value)
{
        for (const char *word = strstr(value, "=?"); word; word = strstr(word, "=?"))
                for (word += 2; *word && !strchr(" \t\r\n\"", *word); word++)
                        if (*word & 0x80)
                                return false;
        return true;
}

static char *mime_decode(const char *value)
{
        char *text = words_are_ascii(value) ? g_mime_utils_header_decode_text(NULL, value) : g_strdup(value);
        char *out = own_copy(text);
        g_free(text);
        return out;
}

__attribute__((visibility("default"))) const struct mime_functions *emailsec_mime(void)
{
        static const struct mime_functions functions = {
                .version = MIME_VERSION,
                .compose = mime_compose,
                .decode = mime_decode,
        };
        static bool started;
        if (!started)
                g_mime_init();
        started = true;
        return &functions;
}
