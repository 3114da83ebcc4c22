/* SPDX-License-Identifier: MIT */
/*
 * Growing bytes with a compulsory maximum. Bytes are appended at the end and
 * consumed at the front; consumed space is reused. A buf that is all zero bytes
 * except for `max` is a valid empty one.
 */
#pragma once

#include "common/cleanup.h"

#include <stdarg.h>
#include <sys/types.h>

struct buf {
        uint8_t *memory;
        size_t start; /* first byte not consumed */
        size_t len;   /* bytes from start */
        size_t size;  /* allocated */
        size_t max;   /* len never exceeds it */
};

#define BUF_WITH_MAX(limit) ((struct buf){ .max = (limit) })

void buf_init(struct buf *b, size_t max);

/* Frees the memory (not wiped) and leaves an empty buf with the same max. */
void buf_free(struct buf *b);
/* As buf_free, after overwriting every byte that was ever held: for secrets. */
void buf_wipe(struct buf *b);

/* Appends; 0, or -1 with nothing changed when the maximum would be passed. */
int buf_append(struct buf *b, const void *bytes, size_t len) must_use;
int buf_append_text(struct buf *b, const char *text) must_use;
int buf_appendf(struct buf *b, const char *format, ...) must_use printf_like(2, 3);
int buf_vappendf(struct buf *b, const char *format, va_list args) must_use printf_like(2, 0);

/* Room for at least `want` more bytes at the returned place (then buf_grown);
 * NULL when the maximum would be passed. */
uint8_t *buf_room(struct buf *b, size_t want) must_use;
void buf_grown(struct buf *b, size_t len);
/* It comes to `size` bytes in all before long: room for them is taken at once, since room that grows as they
 * come is taken, copied and wiped anew each time. Without that memory it grows, or fails, as it is filled. */
void buf_expect(struct buf *b, size_t size);

/* First byte; valid until the next append. NULL only when nothing was ever held. */
static inline const uint8_t *buf_bytes(const struct buf *b)
{
        return b->memory ? b->memory + b->start : NULL;
}

/* `to`, which is empty, has the content of `from`, and `from` the memory of `to`: nothing is copied. The
 * content is no longer than the maximum of `to`. */
void buf_hand_over(struct buf *from, struct buf *to);

/* Drops `len` bytes (at most all) from the front. */
void buf_consume(struct buf *b, size_t len);
/* The same, after overwriting them: for secrets on their way through. */
void buf_forget(struct buf *b, size_t len);
/* Empties, keeps the memory. */
void buf_clear(struct buf *b);
/* Gives back memory, wiped, when nothing is held: for connections that idle. */
void buf_release(struct buf *b);

/* The content as a NUL-ended string that the caller frees; the buf is empty
 * afterwards. Never NULL. */
char *buf_take_text(struct buf *b) must_use;
