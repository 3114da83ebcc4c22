/* SPDX-License-Identifier: MIT */
/* The text of a digest; see digest.h. */
#include "daemon/store/digest.h"

#include "common/names.h"
#include "common/times.h"
#include "daemon/store/header_summary.h"
#include "daemon/store/notice.h"

#include <strings.h>

enum {
        EXCERPT = 600, /* bytes of a text that are shown of it */
        EXCERPT_LINES = 12,
        LIST_MOST = 1024 * 1024,
};

/* ---- the beginning of a text ---- */

/* Where the body begins. */
static size_t body_at(const struct digest_item *item)
{
        const char *bytes = (const char *)item->bytes;
        const char *end = item->len >= 2 && memcmp(bytes, "\r\n", 2) == 0
                                  ? bytes - 2
                                  : memmem(bytes, item->len, "\r\n\r\n", 4);

        return end ? (size_t)(end - bytes) + 4 : item->len;
}

/* The value of a field on its first line; the caller frees. NULL: there is none. */
static char *field_of(const struct digest_item *item, const char *name)
{
        const char *at = (const char *)item->bytes, *end = at + body_at(item);
        size_t name_len = strlen(name);

        while (at < end) {
                const char *stop = memmem(at, (size_t)(end - at), "\r\n", 2);
                size_t len = (size_t)((stop ? stop : end) - at);
                if (len > name_len && at[name_len] == ':' && strncasecmp(at, name, name_len) == 0) {
                        const char *value = at + name_len + 1;
                        while (value < at + len && (*value == ' ' || *value == '\t'))
                                value++;
                        return copy_bytes(value, len - (size_t)(value - at));
                }
                at += len + 2;
        }
        return NULL;
}

static int hex_value(char c)
{
        const char *digits = "0123456789ABCDEF",
                   *at = c ? strchr(digits, c >= 'a' && c <= 'f' ? c - 32 : c) : NULL;

        return at ? (int)(at - digits) : -1;
}

/* Quoted-printable (RFC 2045 section 6.7) read in place; the new length. */
static size_t unquote(char *text, size_t len)
{
        size_t to = 0;

        for (size_t at = 0; at < len; at++) {
                int high = text[at] == '=' && at + 2 < len ? hex_value(text[at + 1]) : -1;
                int low = high >= 0 ? hex_value(text[at + 2]) : -1;
                if (text[at] == '=' && at + 2 < len && text[at + 1] == '\r' && text[at + 2] == '\n') {
                        at += 2;
                } else if (low >= 0) {
                        text[to++] = (char)(high << 4 | low);
                        at += 2;
                } else {
                        text[to++] = text[at];
                }
        }
        return to;
}

/* Lines, each with two blanks before it, and a mark where there is more. */
static int append_lines(const char *text, size_t len, bool more, struct buf *out)
{
        unsigned lines = 0;

        for (size_t from = 0; from < len && lines < EXCERPT_LINES; lines++) {
                const char *stop = memmem(text + from, len - from, "\r\n", 2);
                size_t line = stop ? (size_t)(stop - text) - from : len - from;
                if (buf_append_text(out, "  ") || buf_append(out, text + from, line) ||
                    buf_append_text(out, "\r\n"))
                        return -1;
                from += line + 2;
        }
        return more || lines == EXCERPT_LINES ? buf_append_text(out, "  [...]\r\n") : 0;
}

/* The beginning of the text that a person reads; nothing of what is no text. */
static int append_excerpt(const struct digest_item *item, struct buf *out)
{
        scoped(scoped_free) char *type = field_of(item, "Content-Type"),
                                 *coding = field_of(item, "Content-Transfer-Encoding");
        size_t at = body_at(item), len = item->len - at < 2 * EXCERPT ? item->len - at : 2 * EXCERPT;
        bool quoted = coding && strncasecmp(coding, "quoted-printable", 16) == 0;

        if ((type && strncasecmp(type, "text/plain", 10) != 0) ||
            (coding && strncasecmp(coding, "base64", 6) == 0))
                return buf_append_text(out, "  (see the message itself, below)\r\n");
        scoped(scoped_free) char *text = copy_bytes((const char *)item->bytes + at, len);
        len = quoted ? unquote(text, len) : len;
        bool more = len > EXCERPT || item->len - at > 2 * EXCERPT;
        return append_lines(text, len < EXCERPT ? len : EXCERPT, more, out);
}

/* ---- parts ---- */

static int append_item(const struct digest_item *item, size_t number, struct buf *out)
{
        struct header_summary summary;
        char date[48];

        time_rfc5322(item->submitted, date);
        header_summary_read((const char *)item->bytes,
                            item->len < HEADER_SUMMARY_READ ? item->len : HEADER_SUMMARY_READ, &summary);
        int failed = buf_appendf(out, "%zu. %s\r\n  %s, from %s, %s\r\n\r\n", number,
                                 summary.subject ? summary.subject : "(no subject)", date, item->submitted_by,
                                 item->id);
        header_summary_free(&summary);
        return failed || append_excerpt(item, out) ? -1 : buf_append_text(out, "\r\n");
}

/* The list, which may be anything, as ASCII. */
static int write_list(const struct digest *d, struct buf *out)
{
        scoped(buf_free) struct buf list = BUF_WITH_MAX(LIST_MOST);
        int failed = buf_appendf(&list,
                                 "%zu messages to %s came faster than account %s on %s sends them "
                                 "(maxPerRecipient: %lld an hour).\r\n"
                                 "They are listed here, and each is attached as it was.\r\n\r\n",
                                 d->count, d->to, d->account, d->hostname, (long long)d->most);

        for (size_t i = 0; i < d->count && !failed; i++)
                failed = append_item(&d->items[i], i + 1, &list);
        return failed ||
                               buf_appendf(out,
                                           "--=_%s\r\nContent-Type: text/plain; charset=utf-8\r\n"
                                           "Content-Transfer-Encoding: quoted-printable\r\n\r\n",
                                           d->token) ||
                               notice_append_quoted(out, buf_bytes(&list), list.len)
                       ? -1
                       : 0;
}

static int write_head(const struct digest *d, struct buf *out, const char *message_id)
{
        scoped(scoped_free) char *to = address_on_wire(d->to), *from = address_on_wire(d->from);
        char date[48];

        time_rfc5322(d->now, date);
        return buf_appendf(out,
                           "From: \"Mail station %s\" <%s>\r\nTo: %s\r\nDate: %s\r\nSubject: %zu messages of "
                           "%s, gathered\r\n"
                           "Message-ID: %s\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
                           "Content-Type: multipart/mixed;\r\n boundary=\"=_%s\"\r\n%s\r\n",
                           d->hostname, from, to, date, d->count, d->hostname, message_id, d->token,
                           d->eight_bit ? "Content-Transfer-Encoding: 8bit\r\n" : "");
}

int digest_write(const struct digest *digest, struct buf *out, char **message_id)
{
        scoped(scoped_free) char *id = text_of("<%s@%s>", digest->token, digest->hostname);

        if (write_head(digest, out, id) || write_list(digest, out))
                return -1;
        for (size_t i = 0; i < digest->count; i++)
                if (buf_appendf(out,
                                "\r\n--=_%s\r\nContent-Type: message/rfc822\r\n%s"
                                "Content-Disposition: attachment; filename=\"%s.eml\"\r\n\r\n",
                                digest->token, digest->eight_bit ? "Content-Transfer-Encoding: 8bit\r\n" : "",
                                digest->items[i].id) ||
                    buf_append(out, digest->items[i].bytes, digest->items[i].len))
                        return -1;
        if (buf_appendf(out, "\r\n--=_%s--\r\n", digest->token))
                return -1;
        *message_id = take(id);
        return 0;
}
