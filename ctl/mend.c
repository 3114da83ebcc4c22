/* SPDX-License-Identifier: MIT */
/* A message made whole; see mend.h. */
#include "ctl/mend.h"

#include "ctl/draft.h"

static const char *bytes_of(const struct buf *text)
{
        return text->len ? (const char *)buf_bytes(text) : "";
}

static int too_large(struct cause *cause)
{
        return cause_set(cause, CAUSE_TOO_LARGE, "the message is larger than 1 GiB");
}

/* Where no LF is, CR is what ends the lines; elsewhere a CR alone is a byte like any other. */
static void end_lines_by_lf(struct buf *text)
{
        if (!text->len || memchr(buf_bytes(text), '\n', text->len))
                return;
        char *at = (char *)text->memory + text->start, *end = at + text->len;
        while ((at = memchr(at, '\r', (size_t)(end - at))))
                *at++ = '\n';
}

static bool begins_a_header(const char *bytes, size_t len)
{
        struct draft_field field;
        size_t at = 0;
        return draft_next(bytes, len, &at, &field);
}

/* "From someone Mon Jan  5 ..." before a header, as an mbox has it; a text may begin with that word as well.
 */
static size_t mbox_line(const char *bytes, size_t len)
{
        static const char *const days[] = { " Mon ", " Tue ", " Wed ", " Thu ", " Fri ", " Sat ", " Sun " };
        size_t quote = len && bytes[0] == '>', line = draft_line(bytes, len);
        if (len < quote + 5 || memcmp(bytes + quote, "From ", 5) != 0)
                return 0;
        const char *rest = bytes + line;
        if (draft_has_header(rest, len - line))
                return line;
        for (size_t i = 0; i < count_of(days); i++)
                if (memmem(bytes, line, days[i], 5) &&
                    (draft_is_blank(rest, len - line) || begins_a_header(rest, len - line)))
                        return line;
        return 0;
}

void draft_mend_front(struct buf *text)
{
        end_lines_by_lf(text);
        const char *bytes = bytes_of(text);
        if (text->len > 3 && !memcmp(bytes, "\xef\xbb\xbf", 3) &&
            (begins_a_header(bytes + 3, text->len - 3) || mbox_line(bytes + 3, text->len - 3)))
                buf_consume(text, 3);
        buf_consume(text, mbox_line(bytes_of(text), text->len));
}

/* A From, Sender or Reply-To without anybody in it. */
static bool names_nobody(const struct draft_field *field)
{
        if (!draft_field_is(field, "From") && !draft_field_is(field, "Sender") &&
            !draft_field_is(field, "Reply-To"))
                return false;
        scoped(scoped_free) char *value = draft_value(field);
        return !value[0];
}

static int drop_empty_fields(struct buf *text, struct cause *cause)
{
        scoped(buf_free) struct buf head = BUF_WITH_MAX(text->max);
        struct draft_field field;
        const char *bytes = bytes_of(text);
        size_t end = 0;
        bool any = false;
        for (size_t at = 0; draft_next(bytes, text->len, &at, &field); end = at) {
                bool dropped = names_nobody(&field);
                any = any || dropped;
                if (!dropped && buf_append(&head, bytes + end, at - end))
                        return too_large(cause);
        }
        if (!any)
                return 0;
        if (buf_append(&head, bytes + end, text->len - end))
                return too_large(cause);
        struct buf old = *text;
        *text = head;
        head = old;
        return 0;
}

/* Puts bytes in at a place. */
static int insert_at(struct buf *text, size_t at, const char *bytes, struct cause *cause)
{
        size_t more = strlen(bytes);
        if (!buf_room(text, more))
                return too_large(cause);
        uint8_t *from = text->memory + text->start + at;
        memmove(from + more, from, text->len - at);
        memcpy(from, bytes, more);
        buf_grown(text, more);
        return 0;
}

int draft_mend(struct buf *text, struct cause *cause)
{
        struct draft_field field;
        size_t at = 0;
        draft_mend_front(text);
        if (drop_empty_fields(text, cause))
                return -1;
        const char *bytes = bytes_of(text);
        while (draft_next(bytes, text->len, &at, &field))
                ;
        bool line_open = at && bytes[at - 1] != '\n';
        return draft_is_blank(bytes + at, text->len - at)
                       ? 0
                       : insert_at(text, at, line_open ? "\n\n" : "\n", cause);
}
