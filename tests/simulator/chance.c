/* SPDX-License-Identifier: MIT */
/* Chance from the seed: each name has a stream of its own, so that who draws less or more moves nobody
 * else's. */
#include "tests/simulator/kernel.h"

enum { STREAMS = 1024, FEATURES = 256, NAME = 40, PLACES = 2 * FEATURES };

struct stream {
        char name[NAME];
        uint64_t state;
};

static struct {
        uint64_t seed;
        struct stream streams[STREAMS];
        struct feature {
                char name[NAME];
                bool on, known, off;
        } features[FEATURES];
        size_t feature_count;
        struct feature *places[PLACES]; /* the same, by the hash of the name */
} *me;

static uint64_t hash_of(const char *text)
{
        uint64_t hash = UINT64_C(14695981039346656037);

        for (; *text; text++)
                hash = (hash ^ (uint8_t)*text) * UINT64_C(1099511628211);
        return hash;
}

static uint64_t mixed(uint64_t z)
{
        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        return z ^ (z >> 31);
}

void chance_open(uint64_t seed)
{
        me = world_alloc(sizeof *me);
        me->seed = seed;
}

static struct stream *stream_of(const char *name)
{
        uint64_t hash = hash_of(name);

        for (size_t i = 0; i < STREAMS; i++) {
                struct stream *stream = &me->streams[(hash + i) % STREAMS];
                if (!stream->name[0]) {
                        if (strlen(name) >= NAME)
                                abort();
                        strcpy(stream->name, name);
                        stream->state = mixed(me->seed ^ mixed(hash));
                        return stream;
                }
                if (strcmp(stream->name, name) == 0)
                        return stream;
        }
        abort();
}

static uint64_t next(struct stream *stream)
{
        return mixed(stream->state += UINT64_C(0x9e3779b97f4a7c15));
}

uint64_t chance(const char *stream)
{
        return next(stream_of(stream));
}

void chance_bytes(const char *name, void *bytes, size_t len)
{
        struct stream *stream = stream_of(name);
        uint8_t *to = bytes;

        for (size_t i = 0; i < len; i += 8) {
                uint64_t number = next(stream);
                memcpy(to + i, &number, len - i < 8 ? len - i : 8);
        }
}

int64_t chance_between(const char *stream, int64_t least, int64_t most)
{
        uint64_t number = chance(stream);

        return most <= least ? least : least + (int64_t)(number % (uint64_t)(most - least + 1));
}

bool chance_permille(const char *stream, unsigned permille)
{
        return chance(stream) % 1000 < permille;
}

/* -ln(1 - u) by whole numbers alone: a sum over the bits, so that no library's rounding is part of a history.
 */
int64_t chance_about(const char *stream, int64_t mean)
{
        uint64_t number = chance(stream);
        int64_t whole = 0;

        /* The number of leading ones is geometric; what follows is spread evenly within its step of ln 2. */
        while (whole < 28 && number >> 63) {
                whole++;
                number <<= 1;
        }
        int64_t part = (int64_t)((number << 1) >> 44); /* 20 bits */
        int64_t value = (whole << 20) + part;
        return (int64_t)((__int128)mean * value / ((INT64_C(1) << 20) * 1443 / 1000));
}

static struct feature *feature_named(const char *name)
{
        size_t place = hash_of(name) % PLACES;

        for (; me->places[place]; place = (place + 1) % PLACES)
                if (strcmp(me->places[place]->name, name) == 0)
                        return me->places[place];
        if (me->feature_count == FEATURES || strlen(name) >= NAME)
                abort();
        struct feature *new = &me->features[me->feature_count++];
        strcpy(new->name, name);
        return me->places[place] = new;
}

void feature_off(const char *name)
{
        feature_named(name)->off = true;
}

bool feature(const char *name, unsigned percent)
{
        struct feature *one = feature_named(name);

        if (!one->known) {
                one->known = true;
                one->on = mixed(me->seed ^ mixed(hash_of(name) + 1)) % 100 < percent && !one->off;
                history("seed", "%s %s", one->on ? "with" : "without", name);
        }
        return one->on;
}

void features_each(void (*each)(void *ctx, const char *name, bool on), void *ctx)
{
        for (size_t i = 0; i < me->feature_count; i++)
                if (me->features[i].known)
                        each(ctx, me->features[i].name, me->features[i].on);
}
