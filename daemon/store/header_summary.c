/* SPDX-License-Identifier: MIT */
/* From, Subject, Date and Message-ID out of a header; see header_summary.h. Nothing is decoded. */
#include "daemon/store/header_summary.h"

#include "common/buf.h"
#include "common/printable.h"

#include <strings.h>

enum { VALUE_READ = 2 * HEADER_SUMMARY_SIZE }; /* of a value, before escaping and cutting */

/* Length of the line with its end. */
static size_t line_length(const char *bytes, size_t len)
{
        const char *lf = memchr(bytes, '\n', len);

        return lf ? (size_t)(lf - bytes) + 1 : len;
}

static bool is_blank(char c)
{
        return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Appends a line without its end and the blanks around it, after one blank. */
static void add_line(struct buf *value, const char *line, size_t len)
{
        while (len && is_blank(line[len - 1]))
                len--;
        for (; len && is_blank(*line); line++, len--)
                ;
        if (value->len && len && buf_append(value, " ", 1) < 0)
                return; /* full */
        size_t room = value->max - value->len;
        if (buf_append(value, line, len < room ? len : room) < 0)
                abort(); /* within its bound: as new_object */
}

static char **wanted(struct header_summary *summary, const char *line, size_t name)
{
        const struct {
                const char *name;
                char **value;
        } fields[] = {
                { "From", &summary->from },
                { "Subject", &summary->subject },
                { "Date", &summary->date },
                { "Message-ID", &summary->message_id },
        };

        for (size_t i = 0; i < count_of(fields); i++)
                if (strlen(fields[i].name) == name && strncasecmp(fields[i].name, line, name) == 0)
                        return *fields[i].value ? NULL : fields[i].value;
        return NULL;
}

void header_summary_read(const char *bytes, size_t len, struct header_summary *summary)
{
        char memory[HEADER_SUMMARY_SIZE];

        *summary = (struct header_summary){ 0 };
        while (len) {
                size_t line = line_length(bytes, len);
                const char *colon = memchr(bytes, ':', line);
                if (line == 0 || *bytes == '\n' || *bytes == '\r')
                        return;
                char **value = colon ? wanted(summary, bytes, (size_t)(colon - bytes)) : NULL;
                struct buf text = BUF_WITH_MAX(VALUE_READ);
                if (value)
                        add_line(&text, colon + 1, line - (size_t)(colon + 1 - bytes));
                bytes += line;
                len -= line;
                while (len && (*bytes == ' ' || *bytes == '\t')) {
                        line = line_length(bytes, len);
                        if (value)
                                add_line(&text, bytes, line);
                        bytes += line;
                        len -= line;
                }
                if (value) {
                        (void)printable_copy(memory, sizeof memory, (const char *)buf_bytes(&text), text.len);
                        *value = copy_text(memory);
                }
                buf_free(&text);
        }
}

void header_summary_free(struct header_summary *summary)
{
        free(summary->from);
        free(summary->subject);
        free(summary->date);
        free(summary->message_id);
        *summary = (struct header_summary){ 0 };
}
