/* SPDX-License-Identifier: MIT */
/* The text of a notice; see notice.h. */
#include "daemon/store/notice.h"

#include "common/names.h"
#include "common/times.h"

#include <ctype.h>
#include <stdio.h>

enum {
        HEADER_MOST = 64 * 1024, /* of the failed message: whole lines up to this come along */
        QP_LINE = 72,            /* characters of an encoded line before the soft break */
};

/* ---- ASCII ---- */

/* The code point that begins at `at`, and how many bytes it takes; a byte that is no UTF-8 stands for itself.
 */
static unsigned code_point(const unsigned char *at, size_t *len)
{
        static const struct {
                unsigned char mask, lead, bits;
        } forms[] = { { 0xe0, 0xc0, 0x1f }, { 0xf0, 0xe0, 0x0f }, { 0xf8, 0xf0, 0x07 } };

        *len = 1;
        for (size_t form = 0; form < count_of(forms); form++) {
                if ((at[0] & forms[form].mask) != forms[form].lead)
                        continue;
                unsigned code = at[0] & forms[form].bits;
                for (size_t i = 1; i <= form + 1; i++) {
                        if ((at[i] & 0xc0) != 0x80)
                                return at[0];
                        code = code << 6 | (at[i] & 0x3f);
                }
                *len = form + 2;
                return code;
        }
        return at[0];
}

/* Printable ASCII; anything else as \x{HEX}, the form RFC 6533 has for addresses in a 7-bit report. */
static int append_ascii(struct buf *out, const char *text)
{
        const unsigned char *at = (const unsigned char *)text;

        while (*at) {
                size_t len = 1;
                unsigned code = code_point(at, &len);
                bool plain = code >= ' ' && code <= '~';
                if (plain ? buf_append(out, at, 1) : buf_appendf(out, "\\x{%X}", code))
                        return -1;
                at += len;
        }
        return 0;
}

/* "NAME: VALUE" folded at blanks, so that no line is long whatever the value. */
static int append_field(struct buf *out, const char *name, const char *value)
{
        scoped(buf_free) struct buf line = BUF_WITH_MAX(8 * 1024);
        size_t column = 0, at = 0;

        if (buf_appendf(&line, "%s: ", name) || append_ascii(&line, value))
                return -1;
        const char *bytes = (const char *)buf_bytes(&line);
        while (at < line.len) {
                size_t word = 1;
                while (at + word < line.len && bytes[at + word] != ' ' && word < 900)
                        word++;
                bool fold = column > strlen(name) + 2 && column + word > 78 && bytes[at] == ' ';
                if ((fold && buf_append_text(out, "\r\n")) || buf_append(out, bytes + at, word))
                        return -1;
                column = fold ? word : column + word;
                at += word;
        }
        return buf_append_text(out, "\r\n");
}

/* Nothing where there is none. */
static int append_given(struct buf *out, const char *name, const char *value)
{
        return value ? append_field(out, name, value) : 0;
}

static int append_date(struct buf *out, const char *name, time_t time)
{
        char date[48];

        time_rfc5322(time, date);
        return append_field(out, name, date);
}

/* ---- what a reply says ---- */

/* Where a server's own words begin: after "last: " in what was given up by time. NULL: they are ours. */
static const char *server_words(const char *reply)
{
        static const char last[] = "; last: ";
        const char *cut = reply ? strstr(reply, last) : NULL;
        const char *words = cut ? cut + sizeof last - 1 : reply;

        if (!words || !isdigit((unsigned char)words[0]) || !isdigit((unsigned char)words[1]) ||
            !isdigit((unsigned char)words[2]) || (words[3] && words[3] != ' '))
                return NULL;
        return words;
}

/* RFC 3463: the server's where it says that it is for good, else by what happened here. */
static const char *status_of(const struct notice_recipient *recipient)
{
        if (recipient->cause == CAUSE_EXPIRED)
                return "4.4.7";
        if (recipient->enhanced && recipient->enhanced[0] == '5')
                return recipient->enhanced;
        if (recipient->cause == CAUSE_STORAGE)
                return "5.3.0";
        return recipient->cause == CAUSE_UNSENDABLE ? "5.6.0" : "5.0.0";
}

/* ---- parts ---- */

static int write_head(const struct notice *n, struct buf *out, const char *message_id)
{
        scoped(scoped_free) char *sender = address_on_wire(n->from);
        scoped(scoped_free) char *from = text_of("\"Mail station %s\" <%s>", n->hostname, sender);
        scoped(scoped_free) char *to = address_on_wire(n->to);
        scoped(scoped_free) char *subject = text_of("Undelivered mail %s of account %s", n->id, n->account);

        if (append_field(out, "From", from) || append_field(out, "To", to) ||
            append_date(out, "Date", n->now) || append_field(out, "Subject", subject) ||
            append_field(out, "Message-ID", message_id))
                return -1;
        if (n->message_id[0] && append_field(out, "References", n->message_id))
                return -1;
        return buf_appendf(out,
                           "Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
                           "Content-Type: multipart/report; report-type=delivery-status;\r\n"
                           " boundary=\"=_%s\"\r\n\r\n",
                           n->token);
}

static int write_words(const struct notice *n, struct buf *out)
{
        char date[48];

        time_rfc5322(n->submitted, date);
        if (buf_appendf(out,
                        "--=_%s\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
                        "This is emailsecd on %s, account %s.\r\n\r\n"
                        "Message %s, accepted %s,\r\nfrom <",
                        n->token, n->hostname, n->account, n->id, date) ||
            append_ascii(out, n->sender) || buf_append_text(out, ">, could not be delivered to:\r\n"))
                return -1;
        for (size_t i = 0; i < n->recipient_count; i++)
                if (buf_append_text(out, "\r\n  <") || append_ascii(out, n->recipients[i].address) ||
                    buf_append_text(out, ">\r\n    ") ||
                    append_ascii(out, n->recipients[i].reply ? n->recipients[i].reply : "failed") ||
                    buf_append_text(out, "\r\n"))
                        return -1;
        return buf_appendf(out,
                           "\r\nIt is kept until it is deleted:\r\n\r\n"
                           "  emailsecctl queue show %s\r\n"
                           "  emailsecctl queue retry %s\r\n"
                           "  emailsecctl queue reroute %s --account NAME\r\n"
                           "  emailsecctl queue delete %s\r\n\r\n"
                           "You get this notice by the property notifyFailed of the account.\r\n",
                           n->id, n->id, n->id, n->id);
}

static int write_recipient(const struct notice *n, const struct notice_recipient *recipient, struct buf *out)
{
        bool ascii = !address_needs_utf8(recipient->address);
        scoped(scoped_free) char *address = address_on_wire(recipient->address);
        const char *words = server_words(recipient->reply),
                   *own = recipient->reply ? recipient->reply : "failed";
        const char *mark = host_is_address(n->server) ? "[" : "", *end = mark[0] ? "]" : "";
        scoped(scoped_free) char *final = text_of("%s;%s", ascii ? "rfc822" : "utf-8", address);
        scoped(scoped_free) char *diagnostic =
                text_of("%s; %s", words ? "smtp" : "X-emailsecd", words ? words : own);
        scoped(scoped_free) char *mta = text_of("dns; %s%s%s", mark, n->server, end);

        if (buf_append_text(out, "\r\n") || append_given(out, "Original-Recipient", recipient->original) ||
            append_field(out, "Final-Recipient", final) || append_field(out, "Action", "failed") ||
            append_field(out, "Status", status_of(recipient)) ||
            (words && append_field(out, "Remote-MTA", mta)) ||
            append_field(out, "Diagnostic-Code", diagnostic))
                return -1;
        return n->last_attempt ? append_date(out, "Last-Attempt-Date", n->last_attempt) : 0;
}

static int write_status(const struct notice *n, struct buf *out)
{
        scoped(scoped_free) char *mta = text_of("dns; %s", n->hostname);

        if (buf_appendf(out, "\r\n--=_%s\r\nContent-Type: message/delivery-status\r\n\r\n", n->token) ||
            append_given(out, "Original-Envelope-Id", n->envelope_id) ||
            append_field(out, "Reporting-MTA", mta) || append_date(out, "Arrival-Date", n->submitted) ||
            append_field(out, "X-Emailsecd-Queue-Id", n->id))
                return -1;
        for (size_t i = 0; i < n->recipient_count; i++)
                if (write_recipient(n, &n->recipients[i], out))
                        return -1;
        return 0;
}

/* Bytes of the header: up to the empty line, or whole lines of what is too much. */
static size_t header_len(const struct notice *n)
{
        const char *bytes = (const char *)n->header;
        size_t most = n->header_len < HEADER_MOST ? n->header_len : HEADER_MOST, last = 0;

        for (size_t at = 0; at + 1 < most; at++) {
                if (bytes[at] != '\r' || bytes[at + 1] != '\n')
                        continue;
                if (at == last)
                        return last;
                last = at + 2;
        }
        return last;
}

/* A blank at the end of a line would be lost on the way. */
static bool stands_for_itself(uint8_t c, bool before_end)
{
        bool blank = c == ' ' || c == '\t';

        return blank ? !before_end : c > ' ' && c <= '~' && c != '=';
}

/* Quoted-printable (RFC 2045 section 6.7) of whole lines. */
int notice_append_quoted(struct buf *out, const uint8_t *bytes, size_t len)
{
        size_t column = 0;

        for (size_t i = 0; i < len; i++) {
                uint8_t c = bytes[i];
                bool line_end = c == '\r' && i + 1 < len && bytes[i + 1] == '\n';
                bool before_end = i + 1 < len && bytes[i + 1] == '\r';
                if (line_end) {
                        if (buf_append_text(out, "\r\n"))
                                return -1;
                        i++;
                        column = 0;
                        continue;
                }
                if (column >= QP_LINE) {
                        if (buf_append_text(out, "=\r\n"))
                                return -1;
                        column = 0;
                }
                bool plain = stands_for_itself(c, before_end);
                if (plain ? buf_append(out, &c, 1) : buf_appendf(out, "=%02X", (unsigned)c))
                        return -1;
                column += plain ? 1 : 3;
        }
        return 0;
}

static int write_header(const struct notice *n, struct buf *out)
{
        size_t len = n->header ? header_len(n) : 0;
        bool ascii = true;

        if (!len)
                return 0;
        for (size_t i = 0; i < len; i++)
                ascii = ascii && n->header[i] < 0x80;
        if (buf_appendf(out, "\r\n--=_%s\r\nContent-Type: text/rfc822-headers%s\r\n\r\n", n->token,
                        ascii ? "" : "\r\nContent-Transfer-Encoding: quoted-printable"))
                return -1;
        return ascii ? buf_append(out, n->header, len) : notice_append_quoted(out, n->header, len);
}

int notice_write(const struct notice *notice, struct buf *out, char **message_id)
{
        scoped(scoped_free) char *id = text_of("<%s@%s>", notice->token, notice->hostname);

        if (write_head(notice, out, id) || write_words(notice, out) || write_status(notice, out) ||
            write_header(notice, out) || buf_appendf(out, "\r\n--=_%s--\r\n", notice->token))
                return -1;
        *message_id = take(id);
        return 0;
}
