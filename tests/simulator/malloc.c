/* SPDX-License-Identifier: MIT */
/* malloc() and free() of a life: memory that is freed is overwritten, so that who uses it afterwards fails in
 * a plain build too, and new memory holds nothing that could be taken for zero. Only the beginning of a large
 * piece is: TLS takes and gives back its buffers with each record. The sanitizers have their own. */
#include <malloc.h>
#include <string.h>

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

enum { FILLED = 1024, NEW = 0x5a, FREED = 0xa5 };

void *__libc_malloc(size_t size);
void __libc_free(void *memory);

static void fill(void *memory, size_t size, int byte)
{
        memset(memory, byte, size < FILLED ? size : FILLED);
}

void *malloc(size_t size)
{
        void *memory = __libc_malloc(size);

        if (memory)
                fill(memory, size, NEW);
        return memory;
}

void free(void *memory)
{
        if (memory)
                fill(memory, malloc_usable_size(memory), FREED);
        __libc_free(memory);
}

#endif
