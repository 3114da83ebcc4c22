/* SPDX-License-Identifier: MIT */
/* dlopen of the tool's parts: beside the program in a build tree, in pkglibdir when installed. */
#include "ctl/part_load.h"

#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>

#ifndef PKGLIBDIR
#define PKGLIBDIR "/usr/lib/emailsecd"
#endif

/* So that a build tree runs without being installed. The caller frees. */
static char *beside_program(const char *name)
{
        char path[4096];
        ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);
        if (len <= 0)
                return NULL;
        path[len] = 0;
        char *slash = strrchr(path, '/');
        return slash ? text_of("%.*s/%s", (int)(slash - path), path, name) : NULL;
}

/* A table begins with its version: one of another layout is not called into. */
static const void *table_in(void *object, const struct part *part)
{
        void *symbol = dlsym(object, part->entry);
        const void *(*entry)(void) = NULL;
        int version = 0;
        if (!symbol)
                return NULL;
        /* C has no conversion from a pointer to data into one to a function. */
        memcpy(&entry, &symbol, sizeof(entry));
        const void *table = entry();
        memcpy(&version, table, sizeof(version));
        return version == part->version ? table : NULL;
}

/* It stays loaded: its table is used until the program ends. */
const void *part_load(const struct part *part, struct cause *cause)
{
        scoped(scoped_free) char *near = beside_program(part->object);
        scoped(scoped_free) char *installed = text_of("%s/%s", PKGLIBDIR, part->object);
        void *object = near && access(near, R_OK) == 0 ? dlopen(near, RTLD_NOW | RTLD_LOCAL) : NULL;
        if (!object)
                object = dlopen(installed, RTLD_NOW | RTLD_LOCAL);
        if (!object) {
                const char *why = dlerror();
                (void)cause_set(cause, CAUSE_INTERNAL, "%s cannot be loaded: %s", part->what,
                                why ? why : "?");
                cause_remedy(cause, "install emailsecctl again; the library %s must be there", part->library);
                return NULL;
        }
        const void *table = table_in(object, part);
        if (!table) {
                (void)cause_set(cause, CAUSE_INTERNAL, "%s is of another version than this program",
                                part->object);
                cause_remedy(cause, "install emailsecctl again");
        }
        return table;
}

const struct mime_functions *mime_load(struct cause *cause)
{
        static const struct part part = { MIME_OBJECT, MIME_ENTRY, MIME_VERSION, "the MIME part", "GMime 3" };
        static const struct mime_functions *loaded;
        if (!loaded)
                loaded = part_load(&part, cause);
        return loaded;
}
