/* SPDX-License-Identifier: MIT */
/* Memory that all lives share, at the same addresses: a range mapped before the first of them, with a list of
 * free pieces for each size. */
#include "tests/simulator/kernel.h"

#include <sys/mman.h>

#define ARENA_AT ((void *)UINT64_C(0x200000000000))
static const size_t ARENA_SIZE = (size_t)8 << 30;

enum { CLASSES = 160, SMALL = 1024, STEP = 16 };

struct piece {
        uint64_t class;
        struct piece *next; /* when free */
};
enum { HEAD = 16 };

static struct {
        uint8_t *at, *end;
        struct piece *free[CLASSES];
} *arena;

void arena_open(void)
{
        void *memory =
                (void *)real(SYS_mmap, ARENA_AT, ARENA_SIZE, PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1L, 0L);

        if (memory != ARENA_AT)
                abort();
        arena = memory;
        arena->at = (uint8_t *)memory + 4096;
        arena->end = (uint8_t *)memory + ARENA_SIZE;
}

const void *arena_range(size_t *len)
{
        *len = (size_t)(arena->at - (uint8_t *)arena);
        return arena;
}

/* Up to SMALL in steps, then four to each power of two. */
static unsigned class_of(size_t size, size_t *rounded)
{
        if (size <= SMALL) {
                *rounded = (size + STEP - 1) / STEP * STEP;
                return (unsigned)(*rounded / STEP);
        }
        unsigned class = SMALL / STEP + 1;
        for (size_t base = SMALL;; base *= 2)
                for (size_t quarter = 1; quarter <= 4; quarter++, class ++)
                        if (size <= base + base / 4 * quarter) {
                                *rounded = base + base / 4 * quarter;
                                return class;
                        }
}

static size_t size_of(unsigned class)
{
        if (class <= SMALL / STEP)
                return class * STEP;
        unsigned over = class - SMALL / STEP - 1;
        size_t base = (size_t)SMALL << (over / 4);
        return base + base / 4 * (over % 4 + 1);
}

void *world_alloc(size_t size)
{
        size_t rounded;
        unsigned class = class_of(size ? size : 1, &rounded);
        struct piece *piece = class < CLASSES ? arena->free[class] : NULL;

        if (class >= CLASSES)
                abort();
        if (piece) {
                arena->free[class] = piece->next;
                memset((uint8_t *)piece + HEAD, 0, rounded);
        } else {
                piece = (struct piece *)(void *)arena->at;
                if ((size_t)(arena->end - arena->at) < rounded + HEAD)
                        abort();
                arena->at += rounded + HEAD;
        }
        piece->class = class;
        piece->next = NULL;
        return (uint8_t *)piece + HEAD;
}

void world_free(void *memory)
{
        if (!memory)
                return;
        struct piece *piece = (struct piece *)(void *)((uint8_t *)memory - HEAD);
        if (piece->class >= CLASSES || piece->next)
                abort(); /* not one of these, or given back already */
        piece->next = arena->free[piece->class];
        arena->free[piece->class] = piece;
}

void *world_realloc(void *old, size_t size)
{
        if (!old)
                return world_alloc(size);
        const struct piece *piece = (const struct piece *)(const void *)((uint8_t *)old - HEAD);
        size_t had = size_of((unsigned)piece->class);
        if (size <= had)
                return old;
        void *new = world_alloc(size);
        memcpy(new, old, had);
        world_free(old);
        return new;
}

void *world_copy(const void *bytes, size_t len)
{
        char *copy = world_alloc(len + 1);

        if (len)
                memcpy(copy, bytes, len);
        return copy;
}

char *world_text(const char *format, ...)
{
        va_list args, again;

        va_start(args, format);
        va_copy(again, args);
        int len = vsnprintf(NULL, 0, format, args);
        char *text = world_alloc((size_t)len + 1);
        (void)vsnprintf(text, (size_t)len + 1, format, again);
        va_end(again);
        va_end(args);
        return text;
}
