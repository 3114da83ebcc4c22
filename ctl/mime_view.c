/* SPDX-License-Identifier: MIT */
/* A message as a person reads it: decoded fields, the first text, a list of what is attached. */
#include "ctl/mime_part.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST_SHOWN (4 * 1024 * 1024) /* bytes of a text part that are shown */

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

int mime_view(int fd, struct mime_view *out, char error[256])
{
        *out = (struct mime_view){ 0 };
        int own = dup(fd);
        if (own < 0) {
                snprintf(error, 256, "too many open files");
                return -1;
        }
        owned GMimeStream *stream = g_mime_stream_fs_new(own);
        owned GMimeMessage *message = parse_message(stream, true, error);
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

void mime_view_done(struct mime_view *view)
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

char *mime_decode(const char *value)
{
        char *text = g_mime_utils_header_decode_text(NULL, value);
        char *out = own_copy(text);
        g_free(text);
        return out;
}
