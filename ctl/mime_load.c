/* SPDX-License-Identifier: MIT */
/* The MIME part, kept once it is there. */
#include "ctl/mime_load.h"

#include "ctl/part_load.h"

const struct mime_functions *mime_load(struct cause *cause)
{
        static const struct part part = { MIME_OBJECT, MIME_ENTRY, MIME_VERSION, "the MIME part", "GMime 3" };
        static const struct mime_functions *loaded;
        if (!loaded)
                loaded = part_load(&part, cause);
        return loaded;
}
