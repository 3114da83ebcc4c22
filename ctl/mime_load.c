/* SPDX-License-Identifier: MIT */
/* dlopen of emailsec-mime.so: beside the program in a build tree, in pkglibdir when installed. */
#include "ctl/mime_load.h"

#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>

#ifndef PKGLIBDIR
#define PKGLIBDIR "/usr/lib/emailsecd"
#endif

static char *beside_program(void)
{
        char path[4096];
        ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);
        if (len <= 0)
                return NULL;
        path[len] = 0;
        char *slash = strrchr(path, '/');
        return slash ? text_of("%.*s/" MIME_OBJECT, (int)(slash - path), path) : NULL;
}

static const struct mime_functions *functions_in(void *object)
{
        void *symbol = dlsym(object, MIME_ENTRY);
        mime_entry *entry = NULL;
        if (!symbol)
                return NULL;
        memcpy(&entry, &symbol, sizeof(entry));
        const struct mime_functions *functions = entry();
        return functions->version == MIME_VERSION ? functions : NULL;
}

const struct mime_functions *mime_load(struct cause *cause)
{
        static const struct mime_functions *loaded;
        if (loaded)
                return loaded;
        scoped(scoped_free) char *near = beside_program();
        void *object = near && access(near, R_OK) == 0 ? dlopen(near, RTLD_NOW | RTLD_LOCAL) : NULL;
        if (!object)
                object = dlopen(PKGLIBDIR "/" MIME_OBJECT, RTLD_NOW | RTLD_LOCAL);
        if (!object) {
                const char *why = dlerror();
                (void)cause_set(cause, CAUSE_INTERNAL, "the MIME part cannot be loaded: %s", why ? why : "?");
                cause_remedy(cause, "install emailsecctl again; the library GMime 3 must be there");
                return NULL;
        }
        loaded = functions_in(object);
        if (!loaded) {
                (void)cause_set(cause, CAUSE_INTERNAL, "%s is of another version than this program",
                                MIME_OBJECT);
                cause_remedy(cause, "install emailsecctl again");
        }
        return loaded;
}
