/* SPDX-License-Identifier: MIT */
/* A message as a person reads it; see view.h. */
#include "ctl/view.h"

#include "common/buf.h"
#include "common/json_fields.h"
#include "common/printable.h"
#include "ctl/entity.h"

#include <errno.h>
#include <iconv.h>
#include <stdio.h>
#include <strings.h>

/* ---- text of any charset as UTF-8 ---- */

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* What senders mean by a name: others use the larger charset for the smaller, and labels that are none. */
static const struct {
        const char *name, *meant; /* NULL: nothing that can be relied upon */
} charset_names[] = {
        { "", NULL },
        { "us-ascii", NULL },
        { "ascii", NULL },
        { "binary", NULL },
        { "unknown", NULL },
        { "x-unknown", NULL },
        { "unknown-8bit", NULL },
        { "default", NULL },
        { "iso-8859-1", NULL }, /* with the quotation marks of Windows, or UTF-8 in truth */
        { "latin1", NULL },
        { "utf8", "utf-8" },
        { "utf-8", "utf-8" },
        { "iso-8859-8-i", "iso-8859-8" },
        { "iso-8859-8-e", "iso-8859-8" },
        { "iso-8859-6-i", "iso-8859-6" },
        { "gb2312", "gb18030" },
        { "gbk", "gb18030" },
        { "x-gbk", "gb18030" },
        { "ks_c_5601-1987", "cp949" },
        { "euc-kr", "cp949" },
        { "x-sjis", "cp932" },
        { "shift_jis", "cp932" },
        { "cp-850", "cp850" },
        { "unicode-1-1-utf-7", "utf-7" },
        { "x-mac-roman", "macintosh" },
};

static void put(struct buf *out, const char *bytes, size_t len)
{
        if (buf_append(out, bytes, len))
                return; /* not reached: there is room for three bytes of each */
}

static char *utf8_repaired(const char *bytes, size_t len, bool *odd)
{
        struct buf out = BUF_WITH_MAX(3 * len + 1);
        for (size_t at = 0; at < len;) {
                uint32_t point;
                size_t step = utf8_character(bytes + at, len - at, &point);
                bool good = step && bytes[at];
                put(&out, good ? bytes + at : REPLACEMENT, good ? step : 3);
                *odd = *odd || !good;
                at += step ? step : 1;
        }
        return buf_take_text(&out);
}

/* By iconv; NULL when it does not know the charset. */
static char *converted(const char *bytes, size_t len, const char *charset, bool *odd)
{
        iconv_t with = iconv_open("UTF-8", charset);
        if (with == (iconv_t)-1)
                return NULL;
        struct buf out = BUF_WITH_MAX(8 * len + 64);
        char *from = (char *)(uintptr_t)bytes;
        while (len) {
                char piece[4096], *to = piece;
                size_t room = sizeof(piece);
                size_t result = iconv(with, &from, &len, &to, &room);
                put(&out, piece, (size_t)(to - piece));
                if (result != (size_t)-1 || errno == E2BIG)
                        continue;
                put(&out, REPLACEMENT, 3);
                *odd = true;
                if (errno == EINVAL)
                        break; /* the end, in the middle of a character */
                from++;
                len--;
        }
        (void)iconv_close(with);
        scoped(scoped_free) char *text = NULL;
        bool ignored = false;
        size_t made = out.len;
        text = utf8_repaired(made ? (const char *)buf_bytes(&out) : "", made, &ignored); /* NUL */
        buf_free(&out);
        return take(text);
}

/* What senders mean by the name of a charset; NULL: nothing that could be told, or there is none. */
static const char *charset_meant(const char *charset)
{
        const char *name = charset ? charset : "";
        for (size_t i = 0; i < count_of(charset_names); i++)
                if (!strcasecmp(charset_names[i].name, name))
                        return charset_names[i].meant;
        return name;
}

/* What a reader is to know of how the text was read; NULL: nothing. */
static char *remark_on(const char *charset, const char *meant, bool unknown, bool odd, bool guessed)
{
        scoped(scoped_free) char *name = printable_text(charset ? charset : "");
        if (unknown)
                return text_of("the charset %s is not known here; shown as %s", name,
                               guessed ? "windows-1252" : "utf-8");
        if (odd)
                return text_of("what is not %s is shown as " REPLACEMENT, meant ? meant : "readable");
        if (guessed && (!charset || strcasecmp(charset, "iso-8859-1") != 0))
                return text_of("it does not say its charset; shown as windows-1252");
        return NULL;
}

char *view_text(const char *bytes, size_t len, const char *charset, char **remark)
{
        bool odd = false;
        const char *meant = charset_meant(charset);
        bool other = meant && strcasecmp(meant, "utf-8") != 0;
        char *text = other ? converted(bytes, len, meant, &odd) : NULL;
        bool unknown = other && !text;
        if (!text && ((meant && !unknown) || utf8_valid(bytes, len)))
                text = utf8_repaired(bytes, len, &odd);
        bool guessed = !text;
        if (!text)
                text = converted(bytes, len, "windows-1252", &odd);
        if (!text)
                text = utf8_repaired(bytes, len, &odd);
        *remark = remark_on(charset, meant, unknown, odd, guessed);
        return text;
}

/* ---- a message ---- */

#define MOST_SHOWN (4 * 1024 * 1024) /* bytes of a text that are shown */

struct reading {
        struct view *view;
        char *(*decode)(const char *text);
        bool keep;
};

/* ---- fields ---- */

static char *readable(const struct reading *reading, const char *value)
{
        char *remark = NULL;
        scoped(scoped_free) char *text = view_text(value, strlen(value), "", &remark);
        free(remark);
        char *decoded = reading->decode && strstr(text, "=?") ? reading->decode(text) : NULL;
        return decoded ? decoded : take(text);
}

static char *field_text(const struct reading *reading, struct span head, const char *name)
{
        scoped(scoped_free) char *value = draft_find(head.at, head.len, name);
        return value ? readable(reading, value) : NULL;
}

static char *unquoted(const char *value, size_t len)
{
        char *out = new_zeroed(len + 1, 1);
        size_t used = 0;
        bool quoted = len && value[0] == '"';
        for (size_t i = quoted; i < len && !(quoted && value[i] == '"'); i++) {
                i += quoted && value[i] == '\\' && i + 1 < len;
                if (value[i] != '\r' && value[i] != '\n')
                        out[used++] = value[i];
        }
        return out;
}

/* %XX of RFC 2231, in place. */
static void decode_percent(char *text)
{
        char *to = text;
        for (const char *at = text; *at; at++) {
                char digits[3] = { at[0] == '%' ? at[1] : 0, at[0] == '%' && at[1] ? at[2] : 0, 0 }, *end;
                long value = strtol(digits, &end, 16);
                bool is = digits[0] && digits[1] && end == digits + 2;
                *to++ = is ? (char)value : *at;
                at += is ? 2 : 0;
        }
        *to = 0;
}

/* Its piece number `i` in whichever form it is there; NULL: there is none. *extended where it is one with
 * %XX. */
static const char *parameter_piece(const struct draft_field *field, const char *name, unsigned i, size_t *len,
                                   bool *extended)
{
        for (unsigned form = 0; form < (i ? 2 : 4); form++) { /* name*0*, name*0, name*, name */
                bool coded = form == 0 || form == 2;
                char word[64], number[16] = "";
                if (form < 2)
                        (void)snprintf(number, sizeof number, "*%u", i);
                (void)snprintf(word, sizeof word, "%s%s%s", name, number, coded ? "*" : "");
                const char *value = entity_parameter(field, word, len);
                *extended = *extended || (value && coded);
                if (value)
                        return value;
        }
        return NULL;
}

/* A parameter in any of its forms: name=, name*=charset''%XX, name*0= name*1=, name*0*= ... (RFC 2231); NULL
 * when none. */
static char *parameter(const struct reading *reading, const struct draft_field *field, const char *name)
{
        size_t len = 0;
        struct buf joined = BUF_WITH_MAX(64 * 1024);
        bool extended = false;
        for (unsigned i = 0; i < 100; i++) {
                const char *value = parameter_piece(field, name, i, &len, &extended);
                if (!value)
                        break;
                scoped(scoped_free) char *piece = unquoted(value, len);
                if (buf_append_text(&joined, piece))
                        break;
        }
        if (!joined.len) {
                buf_free(&joined);
                return NULL;
        }
        scoped(scoped_free) char *text = buf_take_text(&joined);
        char *first = extended ? strchr(text, '\'') : NULL, *second = first ? strchr(first + 1, '\'') : NULL;
        if (!second)
                return readable(reading, text);
        *first = 0;
        decode_percent(second + 1);
        char *remark = NULL, *out = view_text(second + 1, strlen(second + 1), text, &remark);
        free(remark);
        return out;
}

/* ---- leaves ---- */

/* Base64 as tolerant readers take it: what is no digit is passed over, a "=" begins anew. */
static char *loose_base64(const char *bytes, size_t len, size_t *out_len)
{
        static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        char *out = new_zeroed(len + 1, 1);
        uint32_t bits = 0;
        unsigned have = 0;
        *out_len = 0;
        for (size_t i = 0; i < len; i++) {
                const char *digit = bytes[i] ? strchr(digits, bytes[i]) : NULL;
                if (bytes[i] == '=')
                        have = 0;
                if (!digit)
                        continue;
                bits = bits << 6 | (uint32_t)(digit - digits);
                have += 6;
                if (have < 8)
                        continue;
                have -= 8;
                out[(*out_len)++] = (char)(bits >> have);
        }
        return out;
}

/* Declared base64 that is a text: bytes that base64 never has, or blanks between words. */
static bool is_plain_text(struct span body)
{
        for (size_t i = 0; i + 1 < body.len; i++)
                if ((body.at[i] & 0x80) || (body.at[i] == ' ' && !strchr(" \r\n", body.at[i + 1])))
                        return true;
        return false;
}

static char *leaf_bytes(const struct entity *entity, size_t *len)
{
        bool base64 = entity->transfer == TRANSFER_BASE64;
        if (base64 && !base64_is(entity->body.at, entity->body.len) && !is_plain_text(entity->body))
                return loose_base64(entity->body.at, entity->body.len, len);
        return transfer_decode(entity->transfer, entity->body.at, entity->body.len, len);
}

static void take_text(const struct reading *reading, const struct entity *entity, bool html)
{
        struct view *view = reading->view;
        size_t len = 0, charset_len = 0;
        scoped(scoped_free) char *bytes = leaf_bytes(entity, &len);
        const char *value =
                entity->type_valid ? entity_parameter(&entity->type, "charset", &charset_len) : NULL;
        scoped(scoped_free) char *named = unquoted(value ? value : "", charset_len);
        char *charset = named + strspn(named, " \t");
        charset[strcspn(charset, " \t")] = 0;
        free(view->text);
        free(view->remark);
        view->cut = len > MOST_SHOWN;
        if (view->cut)
                for (len = MOST_SHOWN; len > MOST_SHOWN - 4 && (bytes[len] & 0xc0) == 0x80;)
                        len--;
        view->text = view_text(bytes, len, charset, &view->remark);
        view->html = html;
}

static void add_attachment(const struct reading *reading, const struct entity *entity, const char *type,
                           const struct draft_field *disposition)
{
        struct view *view = reading->view;
        size_t len = 0;
        char *bytes = leaf_bytes(entity, &len);
        if (!reading->keep)
                free(take(bytes)); /* its length alone is told */
        char *name = disposition->name ? parameter(reading, disposition, "filename") : NULL;
        if (!name && entity->type.name)
                name = parameter(reading, &entity->type, "name");
        view->attachments =
                new_resized(view->attachments, view->attachment_count + 1, sizeof(*view->attachments));
        view->attachments[view->attachment_count++] =
                (struct attachment){ name, copy_text(type), len, bytes, entity->transfer };
}

/* Content-Disposition, the last one; its name is NULL where there is none. */
static struct draft_field disposition_of(const struct entity *entity)
{
        struct draft_field field, disposition = { 0 };
        for (size_t at = 0; draft_next(entity->head.at, entity->head.len, &at, &field);)
                if (draft_field_is(&field, "Content-Disposition"))
                        disposition = field;
        return disposition;
}

/* Nothing to read in it: programs put an empty text beside their HTML. */
static bool is_blank(const char *text)
{
        return !text || !text[strspn(text, " \t\r\n")];
}

static void look_at_leaf(const struct reading *reading, const struct entity *entity, bool alternative)
{
        struct view *view = reading->view;
        struct draft_field disposition = disposition_of(entity);
        scoped(scoped_free) char *value = entity->type_valid && entity->type.name ? draft_value(&entity->type)
                                                                                  : copy_text("text/plain");
        value[strcspn(value, " \t;(")] = 0;
        scoped(scoped_free) char *how = disposition.name ? draft_value(&disposition) : copy_text("");
        bool attached = !strncasecmp(how, "attachment", 10), html = !strcasecmp(value, "text/html");
        bool text = entity->kind == ENTITY_TEXT || !strncasecmp(value, "text/", 5);
        if (!attached && text && !html && (is_blank(view->text) || view->html))
                take_text(reading, entity, false);
        else if (!attached && html && is_blank(view->text))
                take_text(reading, entity, true);
        else if (attached || !html || !alternative)
                add_attachment(reading, entity, value, &disposition);
}

static void look_at(const struct reading *reading, struct span bytes, enum entity_default without,
                    bool alternative, unsigned depth)
{
        struct entity entity;
        entity_read(bytes, without, depth, &entity);
        if (entity.kind == ENTITY_MESSAGE && depth) {
                look_at(reading, entity.body, DEFAULT_TEXT, false, depth + 1);
        } else if (entity.kind != ENTITY_MULTIPART) {
                look_at_leaf(reading, &entity, alternative);
        } else {
                enum entity_default inner = entity.digest ? DEFAULT_MESSAGE : DEFAULT_TEXT;
                for (struct entity_piece piece = { 0 }; entity_next_piece(&entity, &piece);)
                        if (piece.kind == PIECE_PART)
                                look_at(reading, piece.bytes, inner, entity.alternative, depth + 1);
        }
}

void view_read(const char *bytes, size_t len, char *(*decode)(const char *text), bool keep, struct view *out)
{
        struct entity entity;
        struct reading reading = { out, decode, keep };
        *out = (struct view){ 0 };
        entity_read((struct span){ bytes, len }, DEFAULT_TEXT, 0, &entity);
        out->from = field_text(&reading, entity.head, "From");
        out->to = field_text(&reading, entity.head, "To");
        out->cc = field_text(&reading, entity.head, "Cc");
        out->date = field_text(&reading, entity.head, "Date");
        out->subject = field_text(&reading, entity.head, "Subject");
        look_at(&reading, (struct span){ bytes, len }, DEFAULT_TEXT, false, 0);
}

void view_done(struct view *view)
{
        char *texts[] = {
                view->from, view->to, view->cc, view->date, view->subject, view->text, view->remark
        };
        for (size_t i = 0; i < count_of(texts); i++)
                free(texts[i]);
        for (size_t i = 0; i < view->attachment_count; i++) {
                free(view->attachments[i].name);
                free(view->attachments[i].type);
                free(view->attachments[i].bytes);
        }
        free(view->attachments);
        *view = (struct view){ 0 };
}
