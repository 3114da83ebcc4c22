/* SPDX-License-Identifier: MIT */
/*
 * The only macro dialect of this project: scope-bound cleanup, handing over
 * ownership, array sizes, and allocation that cannot fail.
 *
 * Memory policy: a small allocation of fixed size that fails ends the process
 * (the disk holds everything that was promised; the service manager starts us
 * again). What grows with a peer's input lives in a struct buf with a maximum.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define scoped(destructor)        __attribute__((cleanup(destructor)))
#define must_use                  __attribute__((warn_unused_result))
#define printf_like(words, first) __attribute__((__format__(__printf__, words, first)))
#define unused_arg                __attribute__((unused))

#define count_of(array) (sizeof(array) / sizeof((array)[0]))

/* take(p): the pointer's value; the variable is NULL afterwards. */
#define take(pointer) \
        __extension__({ \
                __typeof__(pointer) *take_from = &(pointer); \
                __typeof__(pointer) take_value = *take_from; \
                *take_from = NULL; \
                take_value; \
        })

/* The object that embeds `member`, from a pointer to that member. */
#define container_of(pointer, type, member) ((type *)(void *)((char *)(pointer) - offsetof(type, member)))

/* Zeroed memory of count * size bytes; never NULL (ends the process instead). */
void *new_zeroed(size_t count, size_t size) must_use __attribute__((malloc));
#define new_object(type) ((type *)new_zeroed(1, sizeof(type)))

/* new_memory: malloc of `size` bytes, not zeroed, that never returns NULL. */
void *new_memory(size_t size) must_use __attribute__((malloc));

/* new_resized: realloc of count * size bytes that never returns NULL; new bytes
 * are not zeroed. */
void *new_resized(void *old, size_t count, size_t size) must_use;

/* Copies; NULL gives NULL. Never fail. The caller frees. */
char *copy_text(const char *text) must_use;
char *copy_bytes(const char *bytes, size_t len) must_use; /* adds a final NUL */
char *text_of(const char *format, ...) must_use printf_like(1, 2);
char *text_of_list(const char *format, va_list args) must_use printf_like(1, 0);

/* Frees a string after wiping it; NULL is fine. */
void free_secret(char *secret);

/* Destructors for `scoped`. */
void scoped_free(void *pointer_to_pointer);
void scoped_free_secret(char **secret);
void scoped_close(int *fd); /* closes when >= 0 */

/* Closes *fd when it is open and sets it to -1. */
void close_fd(int *fd);

/* A number for a hash table over texts that people chose (FNV-1a: not against attackers). */
uint32_t text_hash(const char *text);

/* Equal texts; NULL equals only NULL. */
bool same_text(const char *a, const char *b);
