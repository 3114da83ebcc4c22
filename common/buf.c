/* SPDX-License-Identifier: MIT */
/* Growing bytes with a maximum; see buf.h. */
#include "common/buf.h"

#include <stdio.h>

enum { BUF_FIRST_SIZE = 256 };

void buf_init(struct buf *b, size_t max)
{
        *b = BUF_WITH_MAX(max);
}

void buf_free(struct buf *b)
{
        free(b->memory);
        buf_init(b, b->max);
}

void buf_wipe(struct buf *b)
{
        if (b->memory)
                explicit_bzero(b->memory, b->size);
        buf_free(b);
}

/* Moves what is held to the beginning; what lay behind it may have been a secret. */
static void move_to_beginning(struct buf *b)
{
        if (b->len)
                memmove(b->memory, b->memory + b->start, b->len);
        explicit_bzero(b->memory + b->len, b->start);
        b->start = 0;
}

/* Doubles. A new piece in place of realloc(), which would leave the old bytes in free memory. It
 * may fail, unlike new_memory(): how much is asked for is up to a peer. */
static int enlarge(struct buf *b, size_t want)
{
        size_t size = b->size ? b->size : BUF_FIRST_SIZE;

        while (size - b->len < want)
                size *= 2;
        uint8_t *memory = malloc(size);
        if (!memory)
                return -1;
        if (b->len)
                memcpy(memory, b->memory + b->start, b->len);
        if (b->memory)
                explicit_bzero(b->memory, b->size); /* may have held a secret */
        free(b->memory);
        b->memory = memory;
        b->size = size;
        b->start = 0;
        return 0;
}

/* Room for `want` bytes within the maximum, and `spare` that do not count (the NUL of printf). */
static uint8_t *room_and_spare(struct buf *b, size_t want, size_t spare)
{
        /* In this form, as a sum could overflow. */
        if (want > b->max || b->len > b->max - want)
                return NULL;
        want += spare;
        if (b->start && b->size - b->start - b->len < want)
                move_to_beginning(b);
        if (b->size - b->start - b->len < want && enlarge(b, want) < 0)
                return NULL;
        return b->memory + b->start + b->len;
}

uint8_t *buf_room(struct buf *b, size_t want)
{
        return room_and_spare(b, want, b->memory ? 0 : 1); /* never NULL + 0 */
}

void buf_grown(struct buf *b, size_t len)
{
        b->len += len;
}

void buf_expect(struct buf *b, size_t size)
{
        if (b->len < size)
                (void)!buf_room(b, size - b->len);
}

int buf_append(struct buf *b, const void *bytes, size_t len)
{
        uint8_t *room = buf_room(b, len);

        if (!room)
                return -1;
        if (len)
                memcpy(room, bytes, len);
        b->len += len;
        return 0;
}

int buf_append_text(struct buf *b, const char *text)
{
        return buf_append(b, text, strlen(text));
}

int buf_vappendf(struct buf *b, const char *format, va_list args)
{
        va_list again;
        va_copy(again, args);
        /* Measured first: the maximum holds before anything is written. */
        int len = vsnprintf(NULL, 0, format, args);
        uint8_t *room = len < 0 ? NULL : room_and_spare(b, (size_t)len, 1);

        if (room) {
                (void)vsnprintf((char *)room, (size_t)len + 1, format, again);
                b->len += (size_t)len;
        }
        va_end(again);
        return room ? 0 : -1;
}

int buf_appendf(struct buf *b, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        int result = buf_vappendf(b, format, args);
        va_end(args);
        return result;
}

void buf_hand_over(struct buf *from, struct buf *to)
{
        struct buf held = *from;
        size_t from_max = from->max, to_max = to->max;

        *from = *to;
        from->start = from->len = 0;
        from->max = from_max;
        *to = held;
        to->max = to_max;
}

/* The bytes stay in memory: buf_forget() is for what may be a secret. */
void buf_consume(struct buf *b, size_t len)
{
        if (len > b->len)
                len = b->len;
        b->start += len;
        b->len -= len;
        if (b->len == 0)
                b->start = 0;
}

void buf_forget(struct buf *b, size_t len)
{
        if (len > b->len)
                len = b->len;
        if (len)
                explicit_bzero(b->memory + b->start, len);
        buf_consume(b, len);
}

void buf_clear(struct buf *b)
{
        b->start = 0;
        b->len = 0;
}

/* Gives back what an idle connection holds, overwritten. */
void buf_release(struct buf *b)
{
        if (b->len == 0)
                buf_wipe(b);
}

char *buf_take_text(struct buf *b)
{
        char *text = copy_bytes((const char *)buf_bytes(b), b->len);
        buf_free(b);
        return text;
}
