/* SPDX-License-Identifier: MIT */
/* The messages of the simulation; see letter.h. What a message looks like is drawn from its own number. */
#include "tests/simulator/letter.h"

#include "common/buf.h"
#include "tests/simulator/world.h"

#include <stdio.h>

enum { LETTER_MOST = 4 << 20 };

/* A stream of numbers of the message's own (splitmix64). */
static uint64_t next(uint64_t *state)
{
        uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        return z ^ (z >> 31);
}

static void put(struct buf *to, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        if (buf_vappendf(to, format, args) < 0)
                abort();
        va_end(args);
}

/* Lines that a transport may spoil: dots at the beginning, none at all, very long ones, what looks like the
 * protocol's own. */
static void put_line(struct buf *to, uint64_t *state)
{
        static const char *const odd[] = { ".",          "..",   ".QUIT", "",    " ",   "From here", "--",
                                           "A1 OK done", "RSET", "* BYE", "=20", "{5}", ")" };
        uint64_t kind = next(state) % 8;
        size_t len = kind == 7 ? 900 + next(state) % 90 : next(state) % 72;

        if (kind < 2) {
                put(to, "%s\r\n", odd[next(state) % count_of(odd)]);
                return;
        }
        char line[1000];
        uint64_t bits = 0;
        for (size_t i = 0; i < len; i++, bits >>= 8) {
                if (i % 8 == 0)
                        bits = next(state);
                line[i] = (char)(' ' + (bits & 255) * 95 / 256);
        }
        line[len] = '\r';
        line[len + 1] = '\n';
        if (buf_append(to, line, len + 2) < 0)
                abort();
}

char *letter_bytes(uint32_t number, size_t *len)
{
        uint64_t state = number * UINT64_C(0x1234567) + 1;
        struct buf all = BUF_WITH_MAX(LETTER_MOST);
        uint64_t kind = next(&state) % 100;
        size_t lines = kind < 5 ? 0 : kind < 97 ? next(&state) % 30 : 200 + next(&state) % 1500;
        if (kind == 99 && next(&state) % 6 == 0)
                lines += 2000; /* of those whose body is a file in the queue */

        put(&all, "From: Alarm <alarm@plant.example>\r\nTo: you@office.example\r\n");
        put(&all, "Subject: number %u\r\nMessage-ID: <sim-%u@sim.example>\r\n", number, number);
        put(&all, "Date: Mon, 2 Nov 2026 10:00:00 +0000\r\n\r\n");
        while (lines--)
                put_line(&all, &state);
        *len = all.len;
        return buf_take_text(&all);
}

uint32_t letter_number(const char *bytes, size_t len)
{
        static const char mark[] = "Message-ID: <sim-";
        const char *at = len ? memmem(bytes, len, mark, sizeof mark - 1) : NULL;
        uint32_t number = 0;

        for (at = at ? at + sizeof mark - 1 : bytes + len; at < bytes + len && *at >= '0' && *at <= '9'; at++)
                number = number * 10 + (uint32_t)(*at - '0');
        return number;
}

bool letter_is(uint32_t number, const char *bytes, size_t len, bool lf)
{
        size_t whole = 0, at = 0, i = 0;
        scoped(scoped_free) char *right = letter_bytes(number, &whole);

        for (; i < whole && at < len; i++) {
                if (lf && right[i] == '\r')
                        continue;
                if (right[i] != bytes[at++])
                        return false;
        }
        return i == whole && at == len;
}

struct letter_item *letter_box_add(struct letter_box *box, uint32_t number, int64_t now)
{
        box->items = world_realloc(box->items, (box->count + 1) * sizeof *box->items);
        struct letter_item *item = &box->items[box->count++];
        uint64_t state = ((uint64_t)number << 32) + (uint64_t)box->count;
        if (!box->uidnext)
                box->uidnext = 1;
        if (!box->uidvalidity)
                box->uidvalidity = 1000;
        *item = (struct letter_item){
                .number = number, .uid = box->uidnext++, .uidl = next(&state), .came = now
        };
        free(letter_bytes(number, &item->size));
        return item;
}

void letter_item_goes(struct letter_item *item, int64_t now)
{
        if (!item->deleted)
                item->went = now;
        item->gone = true;
}

struct letter_item *letter_box_at(const struct letter_box *box, size_t place)
{
        for (size_t i = 0; i < box->count; i++)
                if (!box->items[i].gone && --place == 0)
                        return &box->items[i];
        return NULL;
}

size_t letter_box_there(const struct letter_box *box)
{
        size_t there = 0;

        for (size_t i = 0; i < box->count; i++)
                there += !box->items[i].gone;
        return there;
}

void letter_box_renumber(struct letter_box *box, bool uidls, uint64_t salt)
{
        for (size_t i = 0; i < box->count; i++) {
                if (uidls) {
                        salt += i;
                        box->items[i].uidl = next(&salt);
                } else {
                        box->items[i].uid = (uint32_t)i + 1 + (uint32_t)(salt % 5) * 10;
                }
        }
        if (!uidls) {
                box->uidnext = box->count ? box->items[box->count - 1].uid + 1 : 1;
                box->uidvalidity++;
        }
}
