/* SPDX-License-Identifier: MIT */
/* Reading FETCH responses: a table of the items that we ask for; all others are read over. */
#include "daemon/imap/fetch_items.h"

#include "common/times.h"

#include <strings.h>

/* A number, also one between quotes. */
static bool read_number(struct imap_cursor *cursor, uint64_t max, uint64_t *out)
{
        struct imap_text text;

        if (!imap_string(cursor, &text))
                return false;
        struct imap_cursor digits = imap_cursor(text.bytes, text.len);
        return imap_number(&digits, max, out) && digits.at == digits.end;
}

static bool read_uid(struct imap_cursor *cursor, struct imap_fetch_items *items)
{
        uint64_t uid;

        if (!read_number(cursor, UINT32_MAX, &uid) || uid == 0 || (items->uid && items->uid != uid))
                return false;
        items->uid = (uint32_t)uid;
        return true;
}

/* One that is no number (NIL, -1), or beyond all sizes, is not known; between quotes it may be one. */
static bool read_size(struct imap_cursor *cursor, struct imap_fetch_items *items)
{
        uint64_t size;

        if (cursor->at < cursor->end && *cursor->at == '(')
                return imap_skip(cursor);
        if (read_number(cursor, INT64_MAX, &size)) {
                items->has_size = true;
                items->size = size;
        }
        return true;
}

/* In place of a list there may be anything; within it too. */
static bool read_flags(struct imap_cursor *cursor, struct imap_fetch_items *items)
{
        struct imap_text flag;

        items->has_flags = true;
        if (!imap_take(cursor, '(')) {
                (void)imap_skip(cursor);
                return true;
        }
        while (imap_blanks(cursor), cursor->at < cursor->end && !imap_take(cursor, ')')) {
                if (*cursor->at == '(') {
                        (void)imap_skip(cursor);
                } else if (imap_string(cursor, &flag)) {
                        items->seen |= imap_is(&flag, "\\Seen");
                        items->deleted |= imap_is(&flag, "\\Deleted");
                } else {
                        cursor->at++; /* a line end that is none of a literal */
                }
        }
        return true;
}

/* One that makes no sense is not known. */
static bool read_date(struct imap_cursor *cursor, struct imap_fetch_items *items)
{
        struct imap_text text;
        char words[48];

        if (cursor->at < cursor->end && *cursor->at == '(')
                return imap_skip(cursor);
        if (!imap_string(cursor, &text) || text.len >= sizeof words)
                return true;
        memcpy(words, text.bytes, text.len);
        words[text.len] = '\0';
        items->date = time_in_words(words + strspn(words, " "));
        return true;
}

static bool read_body(struct imap_cursor *cursor, struct imap_fetch_items *items)
{
        if (items->has_body)
                return false;
        items->has_body = true;
        return imap_string(cursor, &items->body) &&
               items->body.form != IMAP_ATOM; /* a bare word is no message */
}

static const struct {
        const char *name;
        bool (*read)(struct imap_cursor *, struct imap_fetch_items *);
} known_items[] = {
        { "UID", read_uid },
        { "FLAGS", read_flags },
        { "RFC822.SIZE", read_size },
        { "INTERNALDATE", read_date },
};

static bool names_message(const struct imap_text *name, struct imap_fetch_items *items)
{
        uint64_t origin;
        bool is_part;

        if (!imap_names_message(name, &is_part, &origin))
                return false;
        items->is_part = is_part;
        items->origin = origin;
        return true;
}

/* "BODY[HEADER.FIELDS (Date)]": servers write the fields in a way of their own. */
static bool names_head(const struct imap_text *name)
{
        static const char begin[] = "BODY[HEADER.FIELDS";

        return name->len >= sizeof begin && strncasecmp(name->bytes, begin, sizeof begin - 1) == 0;
}

static bool read_item(struct imap_cursor *cursor, const struct imap_text *name,
                      struct imap_fetch_items *items)
{
        if (names_message(name, items))
                return read_body(cursor, items);
        if (names_head(name)) {
                items->has_head = true;
                return imap_string(cursor, &items->head);
        }
        for (size_t i = 0; i < count_of(known_items); i++)
                if (imap_is(name, known_items[i].name))
                        return known_items[i].read(cursor, items);
        (void)imap_skip(cursor); /* one without a value is no matter */
        return true;
}

bool imap_fetch_items(struct imap_cursor *cursor, bool open, struct imap_fetch_items *items)
{
        struct imap_text name;

        for (;;) {
                (void)imap_blanks(cursor);
                if (imap_take(cursor, ')') || cursor->at == cursor->end)
                        return !open;
                if (*cursor->at == '(') { /* a value without a name */
                        (void)imap_skip(cursor);
                        continue;
                }
                if (!imap_item_name(cursor, &name)) {
                        cursor->at++; /* a line end that is none of a literal */
                        continue;
                }
                (void)imap_blanks(cursor);
                if (open && cursor->at == cursor->end)
                        return names_message(&name, items);
                if (!read_item(cursor, &name, items))
                        return false;
        }
}

bool imap_served(const struct imap_reply *reply)
{
        return reply->status == IMAP_OK ||
               (reply->status == IMAP_NO && imap_is(&reply->code, "EXPUNGEISSUED"));
}
