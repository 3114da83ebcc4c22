/* SPDX-License-Identifier: MIT */
/* A message made from a text, header fields and files. */
#include "ctl/mime_part.h"

#include <gio/gio.h>
#include <stdio.h>
#include <string.h>

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

int mime_compose(const struct mime_draft *draft, char **out, size_t *out_len, char error[256])
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
