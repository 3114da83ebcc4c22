/* SPDX-License-Identifier: MIT */
/*
 * The push filter of submitted messages; see intake.h. Input is cut into lines (CRLF and LF end
 * one, a CR anywhere else is refused); a line that is split between two feeds is kept, never more than a
 * legal line. In the body, lines that are right already are copied in runs. A line that is too long is
 * measured, so that the refusal can say how long it is, to its end or to MEASURED.
 */
#include "daemon/store/intake.h"

#include "common/limits.h"
#include "common/mailboxes.h"
#include "common/names.h"
#include "common/times.h"
#include "daemon/local_names.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

enum {
        MEASURED = 1000000, /* bytes of a line, from where on it does not matter how long it is */
        FOLD_AT = 78,
};

enum place { AT_START, IN_HEADER, IN_BODY };

enum field { FIELD_DATE, FIELD_MESSAGE_ID, FIELD_FROM, FIELD_REPLY_TO, FIELD_BCC, FIELD_RESENT_BCC, FIELDS };

static const struct {
        const char *name;
        size_t len;
        bool dropped;
} fields[FIELDS] = {
#define FIELD(text, drop) { text, sizeof(text) - 1, drop }
        [FIELD_DATE] = FIELD("Date", false), [FIELD_MESSAGE_ID] = FIELD("Message-ID", false),
        [FIELD_FROM] = FIELD("From", false), [FIELD_REPLY_TO] = FIELD("Reply-To", false),
        [FIELD_BCC] = FIELD("Bcc", true),    [FIELD_RESENT_BCC] = FIELD("Resent-Bcc", true),
#undef FIELD
};

struct intake {
        char *added[FIELDS]; /* what is put in where the field is missing; NULL = nothing */
        uint64_t max_size;
        enum place place;
        bool seen[FIELDS];
        enum field current; /* the field whose continuation may come; FIELDS = any other */
        bool lf_due;        /* the last line ended with the CR that was the last byte */
        uint64_t line;      /* number of the line being read, from 1 */
        uint64_t too_long;  /* its length when it is over the limit, else 0 */
        uint64_t header_size;
        char held[LIMIT_SMTP_LINE];
        size_t held_len; /* beginning of the line, from earlier feeds */
        struct buf id;   /* the Message-ID field's value, unfolded */
        struct local_names *names;
        char *trace;       /* to be put in at the top; NULL: none, or it was */
        struct buf field;  /* lines of a field of addresses, each with its CRLF, until it is over */
        size_t field_name; /* length of its name */
        struct intake_facts facts;
};

/* A domain of U-labels would need SMTPUTF8 for the header alone. */
static char *address_field(const char *name, const char *given, const struct local_names *names)
{
        scoped(scoped_free) char *address = names ? local_names_sender(names, given) : copy_text(given);
        scoped(scoped_free) char *ascii = address_on_wire(address);

        return text_of("%s: %s\r\n", name, ascii);
}

struct intake *intake_new(const struct intake_rules *rules)
{
        struct intake *intake = new_object(struct intake);
        char date[48];

        time_rfc5322(rules->now, date);
        intake->added[FIELD_DATE] = text_of("Date: %s\r\n", date);
        intake->added[FIELD_MESSAGE_ID] = text_of("Message-ID: <%s@%s>\r\n", rules->id, rules->hostname);
        if (rules->from && *rules->from)
                intake->added[FIELD_FROM] = address_field("From", rules->from, rules->names);
        if (rules->reply_to && *rules->reply_to)
                intake->added[FIELD_REPLY_TO] = address_field("Reply-To", rules->reply_to, rules->names);
        intake->facts.message_id = text_of("<%s@%s>", rules->id, rules->hostname);
        intake->max_size = rules->max_size;
        intake->line = 1;
        intake->current = FIELDS;
        intake->trace = copy_text(rules->trace);
        intake->names = local_names_hold_again(rules->names);
        buf_init(&intake->id, 2 * LIMIT_SMTP_LINE);
        buf_init(&intake->field, 2 * LIMIT_HEADER);
        return intake;
}

void intake_free(struct intake *intake)
{
        if (!intake)
                return;
        for (int field = 0; field < FIELDS; field++)
                free(intake->added[field]);
        buf_free(&intake->id);
        buf_free(&intake->field);
        local_names_release(intake->names);
        free(intake->trace);
        free(intake->facts.message_id);
        free(intake);
}

const struct intake_facts *intake_facts(const struct intake *intake)
{
        return &intake->facts;
}

/* ---- bytes over 127 ---- */

static bool has_high(const char *bytes, size_t len)
{
        uint64_t all = 0, word;

        for (; len >= sizeof word; bytes += sizeof word, len -= sizeof word) {
                memcpy(&word, bytes, sizeof word);
                all |= word;
        }
        for (; len; bytes++, len--)
                all |= (uint8_t)*bytes;
        return all & UINT64_C(0x8080808080808080);
}

/* ---- out ---- */

static int put(struct intake *intake, const char *bytes, size_t len, struct buf *out, struct cause *cause)
{
        intake->facts.size += len;
        if (intake->facts.size > intake->max_size) {
                (void)cause_set(cause, CAUSE_TOO_LARGE, "the message is larger than the limit of %llu bytes",
                                (unsigned long long)intake->max_size);
                cause_remedy(cause, "make it smaller, or raise MaxMessageSize in emailsecd.conf");
                return -1;
        }
        if (buf_append(out, bytes, len) < 0)
                return cause_set(cause, CAUSE_TOO_LARGE, "the message does not fit into memory");
        return 0;
}

static int put_line(struct intake *intake, const char *line, size_t len, struct buf *out, struct cause *cause)
{
        if (!intake->facts.eight_bit && has_high(line, len))
                intake->facts.eight_bit = true;
        if (put(intake, line, len, out, cause) < 0)
                return -1;
        return put(intake, "\r\n", 2, out, cause);
}

/* ---- header ---- */

/* The id of a message that brings its own: from < to >, or all of the value. */
static void note_message_id(struct intake *intake)
{
        scoped(scoped_free) char *value = buf_take_text(&intake->id);
        char *from = strchr(value, '<');
        char *to = from ? strchr(from, '>') : NULL;

        if (!intake->seen[FIELD_MESSAGE_ID])
                return;
        if (to) {
                to[1] = '\0';
        } else {
                from = value + strspn(value, " \t");
                for (size_t len = strlen(from); len && isspace((unsigned char)from[len - 1]); len--)
                        from[len - 1] = '\0';
        }
        free(intake->facts.message_id);
        intake->facts.message_id = copy_text(from);
}

/* A line of the header that is complete. */
static int put_field_line(struct intake *intake, const char *line, size_t len, struct buf *out,
                          struct cause *cause)
{
        if (has_high(line, len))
                intake->facts.header_utf8 = true;
        return put_line(intake, line, len, out, cause);
}

/* The bytes in lines, each ended by CRLF. */
static int put_field_lines(struct intake *intake, const char *bytes, size_t len, struct buf *out,
                           struct cause *cause)
{
        for (const char *end = bytes + len; bytes < end;) {
                const char *stop = memmem(bytes, (size_t)(end - bytes), "\r\n", 2);
                if (put_field_line(intake, bytes, (size_t)((stop ? stop : end) - bytes), out, cause) < 0)
                        return -1;
                bytes = stop ? stop + 2 : end;
        }
        return 0;
}

/* "Name: value" in lines, folded behind commas. -1 where a line would be too long. */
static int fold_addresses(const char *name, size_t name_len, const char *value, struct buf *out)
{
        size_t column = name_len + 1;

        if (buf_append(out, name, name_len) < 0 || buf_append_text(out, ":") < 0)
                return -1;
        while (*value) {
                value += strspn(value, " \t");
                size_t item = mailbox_item(value), len = item + (value[item] != '\0');
                bool folds = column > name_len + 1 && column + 1 + len > FOLD_AT;
                if (len >= LIMIT_SMTP_LINE - name_len || buf_append_text(out, folds ? "\r\n " : " ") < 0 ||
                    buf_append(out, value, len) < 0)
                        return -1;
                column = (folds ? 0 : column) + 1 + len;
                value += len;
        }
        return buf_append_text(out, "\r\n");
}

/* The field with whole addresses; empty when it stays as it is. */
static void whole_addresses(const struct intake *intake, struct buf *out)
{
        const char *bytes = (const char *)buf_bytes(&intake->field), *end = bytes + intake->field.len;
        const char *colon = memchr(bytes, ':', intake->field.len);
        scoped(scoped_free) char *value = new_zeroed(intake->field.len + 1, 1);
        size_t len = 0;

        for (const char *at = colon + 1; at < end; at++)
                if (*at != '\r' && *at != '\n')
                        value[len++] = *at;
        scoped(scoped_free) char *whole =
                local_names_in_field(intake->names, bytes, intake->field_name, value);
        if (whole && fold_addresses(bytes, intake->field_name, whole, out) < 0)
                buf_clear(out);
}

/* A field of addresses that was kept is over. */
static int flush_field(struct intake *intake, struct buf *out, struct cause *cause)
{
        if (!intake->field.len)
                return 0;
        scoped(buf_free) struct buf whole = BUF_WITH_MAX(2 * LIMIT_HEADER);
        whole_addresses(intake, &whole);
        const struct buf *made = whole.len ? &whole : &intake->field;
        int result = put_field_lines(intake, (const char *)buf_bytes(made), made->len, out, cause);
        buf_clear(&intake->field);
        return result;
}

/* Puts in what is missing and the line between header and body. */
static int end_header(struct intake *intake, struct buf *out, struct cause *cause)
{
        if (flush_field(intake, out, cause) < 0)
                return -1;
        for (int field = 0; field < FIELDS; field++) {
                const char *line = intake->added[field];
                if (intake->seen[field] || !line)
                        continue;
                if (has_high(line, strlen(line)))
                        intake->facts.eight_bit = intake->facts.header_utf8 = true;
                if (put(intake, line, strlen(line), out, cause) < 0)
                        return -1;
        }
        note_message_id(intake);
        intake->place = IN_BODY;
        return put(intake, "\r\n", 2, out, cause);
}

/* Length of the field's name when the line begins a field (RFC 5322 2.2, blanks before the colon allowed
 * as in its obsolete form), else 0. */
static size_t field_name(const char *line, size_t len)
{
        size_t name = 0, colon;

        while (name < len && line[name] > 32 && line[name] < 127 && line[name] != ':')
                name++;
        for (colon = name; colon < len && (line[colon] == ' ' || line[colon] == '\t'); colon++)
                ;
        return colon < len && line[colon] == ':' ? name : 0;
}

static enum field known_field(const char *line, size_t name)
{
        for (int field = 0; field < FIELDS; field++)
                if (fields[field].len == name && strncasecmp(fields[field].name, line, name) == 0)
                        return (enum field)field;
        return FIELDS;
}

/* A line of the field intake->current, its first or a continuation. */
static int field_line(struct intake *intake, const char *line, size_t len, size_t name, struct buf *out,
                      struct cause *cause)
{
        intake->header_size += len + 2;
        if (intake->header_size > LIMIT_HEADER) /* what is dropped counts too: it was read */
                return cause_set(cause, CAUSE_TOO_LARGE, "the header is larger than %d bytes", LIMIT_HEADER);
        if (intake->current != FIELDS && fields[intake->current].dropped)
                return 0;
        if (intake->current == FIELD_MESSAGE_ID) {
                const char *value = name ? (const char *)memchr(line, ':', len) + 1 : line;
                if (buf_append(&intake->id, value, len - (size_t)(value - line)) < 0)
                        return cause_set(cause, CAUSE_UNSENDABLE, "the Message-ID is longer than %zu bytes",
                                         intake->id.max);
        }
        if (intake->names && name && field_has_addresses(line, name)) {
                intake->field_name = name;
        } else if (!intake->field.len) {
                return put_field_line(intake, line, len, out, cause);
        }
        if (buf_append(&intake->field, line, len) < 0 || buf_append(&intake->field, "\r\n", 2) < 0)
                return cause_set(cause, CAUSE_TOO_LARGE, "the header is larger than %d bytes", LIMIT_HEADER);
        return 0;
}

static int put_trace(struct intake *intake, struct buf *out, struct cause *cause)
{
        scoped(scoped_free) char *trace = take(intake->trace);

        return trace ? put(intake, trace, strlen(trace), out, cause) : 0;
}

/* One line of the header, or the first that no longer belongs to it. */
static int header_line(struct intake *intake, const char *line, size_t len, struct buf *out,
                       struct cause *cause)
{
        bool first = intake->place == AT_START;
        size_t name = field_name(line, len);

        if (first && intake->line == 1 && len >= 5 && memcmp(line, "From ", 5) == 0)
                return 0; /* mbox */
        intake->place = IN_HEADER;
        if (put_trace(intake, out, cause) < 0)
                return -1;
        if (len == 0)
                return end_header(intake, out, cause);
        if (name) {
                if (flush_field(intake, out, cause) < 0)
                        return -1;
                intake->current = known_field(line, name);
                if (intake->current != FIELDS)
                        intake->seen[intake->current] = true;
                return field_line(intake, line, len, name, out, cause);
        }
        if (!first && (line[0] == ' ' || line[0] == '\t'))
                return field_line(intake, line, len, 0, out, cause);
        if (end_header(intake, out, cause) < 0)
                return -1;
        return put_line(intake, line, len, out, cause);
}

/* ---- lines ---- */

static int unsendable(const struct intake *intake, struct cause *cause)
{
        char number[32];
        uint64_t len = intake->too_long;

        (void)snprintf(number, sizeof number, "%llu", (unsigned long long)len);
        if (len >= 1000 && len < 1000000)
                (void)snprintf(number, sizeof number, "%llu,%03llu", (unsigned long long)len / 1000,
                               (unsigned long long)len % 1000);
        (void)cause_set(cause, CAUSE_UNSENDABLE, "line %llu is %s%s bytes long; a line may have %d",
                        (unsigned long long)intake->line, len >= MEASURED ? "over " : "",
                        len >= MEASURED ? "1,000,000" : number, LIMIT_SMTP_LINE);
        cause_remedy(cause, "send it with emailsecctl send, which re-encodes");
        return -1;
}

static int whole_line(struct intake *intake, const char *line, size_t len, struct buf *out,
                      struct cause *cause)
{
        if (len && memchr(line, '\0', len)) {
                (void)cause_set(cause, CAUSE_UNSENDABLE, "line %llu holds a NUL byte",
                                (unsigned long long)intake->line);
                cause_remedy(cause, "send it with emailsecctl send, which re-encodes");
                return -1;
        }
        int result = intake->place == IN_BODY ? put_line(intake, line, len, out, cause)
                                              : header_line(intake, line, len, out, cause);
        intake->line++;
        return result;
}

/* In the line before: its CR was taken for half of its end. */
static int bare_cr(const struct intake *intake, struct cause *cause)
{
        (void)cause_set(cause, CAUSE_UNSENDABLE, "line %llu holds a carriage return that is no end of a line",
                        (unsigned long long)intake->line - 1);
        cause_remedy(cause, "end lines by LF or CRLF, or send it with emailsecctl send, which re-encodes");
        return -1;
}

/* Keeps the beginning of a line whose end has not come. */
static void hold(struct intake *intake, const char *bytes, size_t len)
{
        if (intake->too_long || intake->held_len + len > LIMIT_SMTP_LINE) {
                intake->too_long += (intake->too_long ? 0 : intake->held_len) + len;
                return;
        }
        memcpy(intake->held + intake->held_len, bytes, len);
        intake->held_len += len;
}

/* Where the line ends: at the first CR or LF, or at len. The search is kept near: a legal line is
 * short, and looking for the LF of a message that has none must not read it all each time. */
static size_t line_length(const char *bytes, size_t len)
{
        for (size_t at = 0; at < len;) {
                size_t window = len - at < LIMIT_SMTP_LINE + 2 ? len - at : LIMIT_SMTP_LINE + 2;
                const char *lf = memchr(bytes + at, '\n', window);
                const char *cr = memchr(bytes + at, '\r', lf ? (size_t)(lf - bytes) - at : window);
                if (cr || lf)
                        return (size_t)((cr ? cr : lf) - bytes);
                at += window;
        }
        return len;
}

/* Body lines that end with CRLF and need no change are passed on together. */
static size_t good_run(struct intake *intake, const char *bytes, size_t len)
{
        size_t run = 0;

        if (intake->place != IN_BODY || intake->held_len || intake->too_long)
                return 0;
        while (run < len) {
                size_t line = line_length(bytes + run, len - run);
                if (line > LIMIT_SMTP_LINE || run + line + 2 > len ||
                    memcmp(bytes + run + line, "\r\n", 2) != 0 || memchr(bytes + run, '\0', line))
                        break;
                run += line + 2;
                intake->line++;
        }
        return run;
}

/* Takes one line, or what there is of it; how many bytes, or -1. */
static ssize_t one_line(struct intake *intake, const char *bytes, size_t len, struct buf *out,
                        struct cause *cause)
{
        size_t line = line_length(bytes, len);
        bool alone = intake->held_len == 0 && !intake->too_long && line <= LIMIT_SMTP_LINE;

        if (line == len) {
                hold(intake, bytes, line);
                return intake->too_long >= MEASURED ? unsendable(intake, cause) : (ssize_t)line;
        }
        if (!alone)
                hold(intake, bytes, line);
        if (intake->too_long)
                return unsendable(intake, cause);
        size_t whole = alone ? line : intake->held_len;
        intake->held_len = 0;
        if (whole_line(intake, alone ? bytes : intake->held, whole, out, cause) < 0)
                return -1;
        if (bytes[line] == '\n')
                return (ssize_t)line + 1;
        intake->lf_due = line + 1 == len;
        if (!intake->lf_due && bytes[line + 1] != '\n')
                return bare_cr(intake, cause);
        return (ssize_t)line + (intake->lf_due ? 1 : 2);
}

int intake_feed(struct intake *intake, const uint8_t *given, size_t len, struct buf *out, struct cause *cause)
{
        const char *bytes = (const char *)given;

        if (len && intake->lf_due) {
                intake->lf_due = false;
                if (*bytes != '\n')
                        return bare_cr(intake, cause);
                bytes++;
                len--;
        }
        while (len) {
                ssize_t used = (ssize_t)good_run(intake, bytes, len);
                if (used > 0) {
                        if (!intake->facts.eight_bit)
                                intake->facts.eight_bit = has_high(bytes, (size_t)used);
                        if (put(intake, bytes, (size_t)used, out, cause) < 0)
                                return -1;
                } else {
                        used = one_line(intake, bytes, len, out, cause);
                        if (used < 0)
                                return -1;
                }
                bytes += used;
                len -= (size_t)used;
        }
        return 0;
}

int intake_end(struct intake *intake, struct buf *out, struct cause *cause)
{
        if (intake->too_long)
                return unsendable(intake, cause);
        if (intake->lf_due)
                return bare_cr(intake, cause);
        if (intake->held_len && whole_line(intake, intake->held, intake->held_len, out, cause) < 0)
                return -1;
        intake->held_len = 0;
        if (intake->place == IN_BODY)
                return 0;
        return put_trace(intake, out, cause) < 0 ? -1 : end_header(intake, out, cause);
}
