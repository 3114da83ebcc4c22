/* SPDX-License-Identifier: MIT */
/* Allocation that cannot fail, and the destructors behind `scoped`. */
#include "common/cleanup.h"

#include <stdio.h>
#include <unistd.h>

/* No stdio here: it would allocate. "<2>" is the priority that the journal reads (sd-daemon(3)). */
static void out_of_memory(void)
{
        static const char words[] = "<2>out of memory: ending, everything accepted is on disk\n";
        (void)!write(STDERR_FILENO, words, sizeof words - 1);
        abort();
}

/* At least one byte, so that NULL can only mean failure; calloc() looks after the product. */
void *new_zeroed(size_t count, size_t size)
{
        void *memory = calloc(count ? count : 1, size ? size : 1);
        if (!memory)
                out_of_memory();
        return memory;
}

void *new_memory(size_t size)
{
        void *memory = malloc(size ? size : 1);
        if (!memory)
                out_of_memory();
        return memory;
}

void *new_resized(void *old, size_t count, size_t size)
{
        void *memory = reallocarray(old, count ? count : 1, size ? size : 1);
        if (!memory)
                out_of_memory();
        return memory;
}

char *copy_bytes(const char *bytes, size_t len)
{
        char *copy = new_zeroed(len + 1, 1);
        if (len)
                memcpy(copy, bytes, len);
        return copy;
}

char *copy_text(const char *text)
{
        return text ? copy_bytes(text, strlen(text)) : NULL;
}

char *text_of_list(const char *format, va_list args)
{
        char *text = NULL;

        if (vasprintf(&text, format, args) < 0)
                out_of_memory();
        return text;
}

char *text_of(const char *format, ...)
{
        va_list args;

        va_start(args, format);
        char *text = text_of_list(format, args);
        va_end(args);
        return text;
}

/* explicit_bzero(), as a compiler leaves out a memset() before free(). */
void free_secret(char *secret)
{
        if (secret)
                explicit_bzero(secret, strlen(secret));
        free(secret);
}

void scoped_free(void *pointer_to_pointer)
{
        free(*(void **)pointer_to_pointer);
}

void scoped_free_secret(char **secret)
{
        free_secret(*secret);
}

void close_fd(int *fd)
{
        if (*fd >= 0)
                (void)close(*fd);
        *fd = -1;
}

void scoped_close(int *fd)
{
        close_fd(fd);
}

/* FNV-1a of 32 bits: it spreads texts, and resists nobody who chooses them. */
uint32_t text_hash(const char *text)
{
        uint32_t hash = 2166136261u;

        for (; *text; text++)
                hash = (hash ^ (uint8_t)*text) * 16777619u;
        return hash;
}

bool same_text(const char *a, const char *b)
{
        return a == b || (a && b && strcmp(a, b) == 0);
}
