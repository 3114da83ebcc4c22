/* SPDX-License-Identifier: MIT */
/* The header of a message that leaves under the account's own address; see sender_policy.h. RFC 5322
 * section 3.6.2. */
#include "daemon/outgoing/sender_policy.h"

#include "common/limits.h"
#include "common/mailboxes.h"
#include "common/names.h"

#include <strings.h>

enum { NAME_MAX_BYTES = 900, FOLD_AT = 76 };

void sender_policy_done(struct sender_policy *policy)
{
        buf_free(&policy->header);
}

/* ---- the header's fields ---- */

struct field {
        const char *bytes; /* with its folds and line ends */
        size_t len, name_len;
};

/* The field at *at, and on to the next; false at the end of the header. */
static bool next_field(const char *bytes, size_t len, size_t *at, struct field *out)
{
        size_t from = *at, to = from;

        if (from >= len)
                return false;
        do {
                const char *end = memmem(bytes + to, len - to, "\r\n", 2);
                to = end ? (size_t)(end - bytes) + 2 : len;
        } while (to < len && (bytes[to] == ' ' || bytes[to] == '\t'));
        *out = (struct field){ .bytes = bytes + from, .len = to - from };
        const char *colon = memchr(out->bytes, ':', out->len);
        out->name_len = colon ? (size_t)(colon - out->bytes) : 0;
        while (out->name_len && strchr(" \t", out->bytes[out->name_len - 1]))
                out->name_len--;
        *at = to;
        return true;
}

static bool field_is(const struct field *field, const char *name)
{
        return field->name_len == strlen(name) && strncasecmp(field->bytes, name, field->name_len) == 0;
}

/* On one line, without blanks around it. */
static char *value_of(const struct field *field)
{
        const char *colon = memchr(field->bytes, ':', field->len);
        char *value = new_zeroed(field->len + 1, 1);
        size_t len = 0;

        for (const char *at = colon + 1; at < field->bytes + field->len; at++)
                if (*at != '\r' && *at != '\n' && (len || (*at != ' ' && *at != '\t')))
                        value[len++] = *at;
        while (len && (value[len - 1] == ' ' || value[len - 1] == '\t'))
                value[--len] = '\0';
        return value;
}

/* Length of the header up to its blank line; SIZE_MAX: it is not all there. */
static size_t header_length(const char *bytes, size_t len)
{
        if (len >= 2 && memcmp(bytes, "\r\n", 2) == 0)
                return 0;
        const char *end = memmem(bytes, len, "\r\n\r\n", 4);
        return end ? (size_t)(end - bytes) + 2 : SIZE_MAX;
}

/* ---- who it was ---- */

/* Words and quoted strings as RFC 5322 has them in a name, dots among them; high bytes are UTF-8 of RFC 6532.
 */
static bool is_phrase(const char *text)
{
        bool quoted = false;

        for (; *text; text++) {
                if (quoted && *text == '\\' && text[1])
                        text++;
                else if (*text == '"')
                        quoted = !quoted;
                else if (!quoted && strchr("()<>[]:;@\\,", *text))
                        return false;
        }
        return !quoted;
}

static char *quoted(const char *text)
{
        struct buf out = BUF_WITH_MAX(4 * NAME_MAX_BYTES);
        int failed = buf_append_text(&out, "\"");

        for (; *text && !failed; text++)
                failed = buf_appendf(&out, *text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
        if (failed || buf_append_text(&out, "\"") < 0)
                buf_free(&out);
        return buf_take_text(&out);
}

/* "Name" of "Name <a@b>", as it stands; "" where there is none. */
static char *name_of(const char *item)
{
        size_t at, len;

        if (!mailbox_find(item, strlen(item), &at, &len) || at == 0 || item[at - 1] != '<')
                return copy_text("");
        size_t name = at - 1, from = strspn(item, " \t");
        while (name > from && strchr(" \t", item[name - 1]))
                name--;
        return copy_bytes(item + from, name > from ? name - from : 0);
}

/* The name that stands before the account's address: the sender's own, or what From said. With the address
 * where it would be nowhere else. */
static char *display_name(const char *value, const char *address, bool single, bool has_reply_to)
{
        scoped(scoped_free) char *name = single ? name_of(value) : copy_text("");
        scoped(scoped_free) char *in_brackets = text_of("(%s)", address);
        scoped(scoped_free) char *behind = has_reply_to ? quoted(in_brackets) : copy_text("");

        if (name[0] && !is_phrase(name)) {
                scoped(scoped_free) char *made = quoted(name);
                free(take(name));
                name = take(made);
        }
        if (name[0] && strlen(name) + strlen(behind) < NAME_MAX_BYTES)
                return text_of("%s%s%s", name, behind[0] ? " " : "", behind);
        return quoted(strlen(value) < NAME_MAX_BYTES && !name[0] ? value : address);
}

/* ---- the new header ---- */

struct looked_at {
        struct field from;
        bool any_from, reply_to, sender, is_signed;
};

static void look(const char *bytes, size_t len, struct looked_at *out)
{
        struct field field;

        *out = (struct looked_at){ 0 };
        for (size_t at = 0; next_field(bytes, len, &at, &field);) {
                if (field_is(&field, "From") && !out->any_from) {
                        out->from = field;
                        out->any_from = true;
                }
                out->reply_to |= field_is(&field, "Reply-To");
                out->sender |= field_is(&field, "Sender");
                out->is_signed |=
                        field_is(&field, "DKIM-Signature") || field_is(&field, "ARC-Message-Signature");
        }
}

/* The first address of From, and whether it is the only one. The caller frees; "" where there is none. */
static char *first_address(const char *value, bool *single)
{
        size_t item = mailbox_item(value), at, len;

        *single = value[item] == '\0';
        return mailbox_find(value, item, &at, &len) ? copy_bytes(value + at, len) : copy_text("");
}

static int write_from(const char *value, const char *own, bool has_reply_to, struct buf *out)
{
        bool single;
        scoped(scoped_free) char *address = first_address(value, &single);
        scoped(scoped_free) char *name =
                value[0] ? display_name(value, address, single, has_reply_to) : copy_text("");
        scoped(scoped_free) char *ascii = address_on_wire(own);
        bool folds = strlen(name) + strlen(ascii) > FOLD_AT - strlen("From:  <>");

        return buf_appendf(out, "From: %s%s<%s>\r\n", name, !name[0] ? "" : folds ? "\r\n " : " ", ascii);
}

/* The addresses that From had, in lines as they were. */
static int write_reply_to(const struct field *from, struct buf *out)
{
        const char *value = (const char *)memchr(from->bytes, ':', from->len) + 1,
                   *end = from->bytes + from->len;
        const char *stop = memmem(value, (size_t)(end - value), "\r\n", 2);
        bool blank = value < end && (*value == ' ' || *value == '\t');
        bool folds = (size_t)((stop ? stop : end) - value) >
                     LIMIT_SMTP_LINE - strlen("Reply-To: "); /* the name is longer */

        return buf_appendf(out, "Reply-To:%s%s", folds ? "\r\n" : "", blank ? "" : " ") < 0
                       ? -1
                       : buf_append(out, value, (size_t)(end - value));
}

static int write_header(const char *bytes, size_t len, const char *own, const struct looked_at *looked,
                        struct buf *out)
{
        struct field field;
        bool done = false;
        int failed = 0;

        for (size_t at = 0; !failed && next_field(bytes, len, &at, &field);) {
                if (field_is(&field, "Sender"))
                        continue;
                if (!field_is(&field, "From")) {
                        failed = buf_append(out, field.bytes, field.len);
                        continue;
                }
                scoped(scoped_free) char *value = value_of(&field);
                if (done)
                        continue; /* another From, which nothing allows */
                done = true;
                failed = write_from(value, own, looked->reply_to, out);
                if (!failed && !looked->reply_to && value[0])
                        failed = write_reply_to(&field, out);
        }
        return failed || done ? failed : write_from("", own, true, out);
}

int sender_policy_apply(const char *bytes, size_t len, const char *own, struct sender_policy *out,
                        struct cause *cause)
{
        struct looked_at looked;
        size_t header = header_length(bytes, len);
        bool single = false;

        *out = (struct sender_policy){ .header = BUF_WITH_MAX(2 * LIMIT_HEADER) };
        if (header == SIZE_MAX)
                return cause_set(cause, CAUSE_UNSENDABLE,
                                 "its header is larger than %zu bytes, and senderPolicy account has to "
                                 "write it anew",
                                 len);
        look(bytes, header, &looked);
        scoped(scoped_free) char *value = looked.any_from ? value_of(&looked.from) : copy_text("");
        scoped(scoped_free) char *first = first_address(value, &single);
        scoped(scoped_free) char *ascii = address_on_wire(own);
        if (single && !looked.sender && (strcasecmp(first, own) == 0 || strcasecmp(first, ascii) == 0))
                return 0;
        out->header_len = header;
        out->was_signed = looked.is_signed;
        if (write_header(bytes, header, own, &looked, &out->header) < 0)
                return cause_set(cause, CAUSE_UNSENDABLE, "its header cannot be written with another sender");
        return 0;
}
