/* SPDX-License-Identifier: MIT */
/* The allocation functions of jansson, OpenSSL and SQLite; see memory.h. */
#include "daemon/memory.h"

#include "common/cleanup.h"
#include "common/json_fields.h"

#include <jansson.h>
#include <malloc.h>
#include <openssl/crypto.h>
#include <sqlite3.h>

static void *json_allocate(size_t size)
{
        return new_memory(size);
}

/* JSON holds passwords on their way in. */
static void json_wipe_and_free(void *memory)
{
        if (memory)
                explicit_bzero(memory, malloc_usable_size(memory));
        free(memory);
}

/* OpenSSL's own functions give NULL for nothing. */
static void *openssl_allocate(size_t size, const char *file, int line)
{
        (void)file, (void)line;
        return size ? new_memory(size) : NULL;
}

static void openssl_free(void *memory, const char *file, int line)
{
        (void)file, (void)line;
        free(memory);
}

static void *openssl_resize(void *old, size_t size, const char *file, int line)
{
        (void)file, (void)line;
        if (size)
                return new_resized(old, size, 1);
        free(old);
        return NULL;
}

/* Large blocks, such as lists of mailboxes, are the system's own: freed, they are given back at once. Unless
 * it is set, the limit grows with the first of them, and the next ones stay in the heap. */
enum { LARGE = 256 * 1024 };

/* What lies free at the end of a heap is kept up to here while there is work, and at rest given back
 * (store/rest.c). Else each message's last buffer gives its pages to the system, and the next one's first
 * takes them back, cleared. */
enum { FREE_AT_END = 4 * 1024 * 1024 };

void memory_open(void)
{
        /* It counts what it holds under a lock, at each of its allocations. */
        (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
        (void)mallopt(M_MMAP_THRESHOLD, LARGE);
        (void)mallopt(M_TRIM_THRESHOLD, FREE_AT_END);
        json_set_alloc_funcs(json_allocate, json_wipe_and_free);
        json_seed();
        (void)CRYPTO_set_mem_functions(openssl_allocate, openssl_resize, openssl_free);
}
