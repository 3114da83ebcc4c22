/* SPDX-License-Identifier: MIT */
/*
 * The library is loaded when the first name needs it: with what it needs itself it is half of what the loader
 * has to do when the tool starts, which as sendmail starts for each message.
 */
#include "common/idn.h"

#include <dlfcn.h>
#include <idn2.h>
#include <pthread.h>

static struct {
        pthread_once_t once;
        bool there;
        int (*lookup)(const uint8_t *name, uint8_t **ascii, int flags);
        const char *(*words)(int result);
        void (*release)(void *ascii);
} library = { .once = PTHREAD_ONCE_INIT };

static bool find(void *object, const char *name, void *function, size_t size)
{
        void *symbol = object ? dlsym(object, name) : NULL;

        memcpy(function, &symbol, size);
        return symbol != NULL;
}

static void load(void)
{
        void *object = dlopen("libidn2.so.0", RTLD_NOW | RTLD_LOCAL);

        library.there = find(object, "idn2_lookup_u8", &library.lookup, sizeof library.lookup) &&
                        find(object, "idn2_strerror", &library.words, sizeof library.words) &&
                        find(object, "idn2_free", &library.release, sizeof library.release);
}

char *idn_to_ascii(const char *name, struct cause *cause)
{
        uint8_t *ascii = NULL;

        (void)pthread_once(&library.once, load);
        if (!library.there) {
                (void)cause_set(cause, CAUSE_INTERNAL,
                                "the host name %s is international, and libidn2.so.0 cannot be loaded", name);
                cause_remedy(cause, "install libidn2 (Debian: libidn2-0)");
                return NULL;
        }
        int result = library.lookup((const uint8_t *)name, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
        if (result != IDN2_OK) {
                cause_set(cause, CAUSE_INVALID, "the host name %s is not a valid international name: %s",
                          name, library.words(result));
                return NULL;
        }
        char *copy = copy_text((const char *)ascii);
        library.release(ascii);
        return copy;
}
