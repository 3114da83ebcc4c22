/* SPDX-License-Identifier: MIT */
/* Reading FETCH responses: a table of the items that we ask for; all others are read over. */
#include "daemon/imap/fetch_items.h"

#include <strings.h>

static bool read_uid(struct imap_cursor *cursor, struct imap_fetch_items *items)
{
        uint64_t uid;

        if (!imap_number(cursor, UINT32_MAX, &uid) || uid == 0 || (items->uid && items->uid != uid))
                return false;
        items->uid = (uint32_t)uid;
        return true;
}

static bool read_size(struct imap_cursor *cursor, struct imap_fetch_items *items)
{
        items->has_size = true;
        return imap_number(cursor, UINT64_MAX, &items->size);
}

static bool read_flags(struct imap_cursor *cursor, struct imap_fetch_items *items)
{
        struct imap_text flag;

        if (!imap_take(cursor, '('))
                return false;
        while (imap_blanks(cursor), !imap_take(cursor, ')')) {
                if (!imap_word(cursor, &flag))
                        return false;
                items->seen |= imap_is(&flag, "\\Seen");
                items->deleted |= imap_is(&flag, "\\Deleted");
        }
        return true;
}

static bool read_body(struct imap_cursor *cursor, struct imap_fetch_items *items)
{
        if (items->has_body)
                return false;
        items->has_body = true;
        return imap_string(cursor, &items->body);
}

static const struct {
        const char *name;
        bool (*read)(struct imap_cursor *, struct imap_fetch_items *);
} known_items[] = {
        { "UID", read_uid },
        { "FLAGS", read_flags },
        { "RFC822.SIZE", read_size },
        { "BODY[]", read_body },
};

/* "BODY[]<17>" names a part of a message. */
static bool names_part(const struct imap_text *name, struct imap_fetch_items *items)
{
        static const char begin[] = "BODY[]<";
        const size_t len = sizeof begin - 1;
        struct imap_cursor cursor = imap_cursor(name->bytes, name->len);

        if (name->len < len + 2 || strncasecmp(name->bytes, begin, len) != 0 || name->bytes[name->len - 1] != '>')
                return false;
        cursor.at += len;
        cursor.end--;
        items->is_part = imap_number(&cursor, UINT64_MAX, &items->origin) && cursor.at == cursor.end;
        return items->is_part;
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
        if (names_part(name, items))
                return read_body(cursor, items);
        if (names_head(name)) {
                items->has_head = true;
                return imap_string(cursor, &items->head);
        }
        for (size_t i = 0; i < count_of(known_items); i++)
                if (imap_is(name, known_items[i].name))
                        return known_items[i].read(cursor, items);
        return imap_skip(cursor);
}

bool imap_fetch_items(struct imap_cursor *cursor, bool open, struct imap_fetch_items *items)
{
        struct imap_text name;

        for (;;) {
                (void)imap_blanks(cursor);
                if (imap_take(cursor, ')'))
                        return !open;
                if (!imap_word(cursor, &name))
                        return false;
                (void)imap_blanks(cursor);
                if (open && cursor->at == cursor->end) {
                        (void)names_part(&name, items);
                        return true;
                }
                if (!read_item(cursor, &name, items))
                        return false;
        }
}

bool imap_served(const struct imap_reply *reply)
{
        return reply->status == IMAP_OK ||
               (reply->status == IMAP_NO && imap_is(&reply->code, "EXPUNGEISSUED"));
}
