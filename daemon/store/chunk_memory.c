/* SPDX-License-Identifier: MIT */
/* A few chunks that are free; see chunk_memory.h. */
#include "daemon/store/chunk_memory.h"

#include "daemon/store/body_file.h"

#include <malloc.h>
#include <pthread.h>

enum {
        KEPT_MOST = 64,           /* of a drain: 20 sessions have two or three each */
        SMALLER = BODY_CHUNK / 2, /* what is as small is not worth a whole one */
        LARGER = BODY_CHUNK / 64, /* what the heap may have put to it */
};

static struct {
        pthread_mutex_t lock;
        uint8_t *chunks[KEPT_MOST];
        size_t count;
} kept = { .lock = PTHREAD_MUTEX_INITIALIZER };

static uint8_t *take_kept(void)
{
        pthread_mutex_lock(&kept.lock);
        uint8_t *chunk = kept.count ? kept.chunks[--kept.count] : NULL;
        pthread_mutex_unlock(&kept.lock);
        return chunk;
}

/* False: there are enough. */
static bool keep(uint8_t *chunk)
{
        pthread_mutex_lock(&kept.lock);
        bool room = kept.count < KEPT_MOST;
        if (room)
                kept.chunks[kept.count++] = chunk;
        pthread_mutex_unlock(&kept.lock);
        return room;
}

uint8_t *chunk_memory_new(size_t len)
{
        if (len <= SMALLER || len > BODY_CHUNK)
                return new_memory(len ? len : 1);
        uint8_t *chunk = take_kept();
        return chunk ? chunk : new_memory(BODY_CHUNK);
}

void chunk_memory_free(uint8_t *chunk)
{
        size_t size = chunk ? malloc_usable_size(chunk) : 0;

        if (size < BODY_CHUNK || size > BODY_CHUNK + LARGER || !keep(chunk))
                free(chunk);
}

void chunk_memory_done(uint8_t **chunk)
{
        chunk_memory_free(*chunk);
}

void chunk_memory_give_back(void)
{
        for (uint8_t *chunk; (chunk = take_kept()) != NULL;)
                free(chunk);
}
