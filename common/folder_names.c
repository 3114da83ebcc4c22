/* SPDX-License-Identifier: MIT */
/* Lists of folder names; see folder_names.h. */
#include "common/folder_names.h"

#include "common/names.h"

#include <strings.h>

const char *folder_name_normal(const char *name)
{
        return strcasecmp(name, "INBOX") == 0 ? "INBOX" : name;
}

char *folder_names_normal(const char *text, size_t *out_count)
{
        char *all = new_zeroed(strlen(text) + 2, 1), *to = all;

        *out_count = 0;
        while (*text) {
                size_t len = strcspn(text, ",");
                scoped(scoped_free) char *copy = copy_bytes(text, len);
                char *name = copy + strspn(copy, " "), *end = name + strlen(name);
                while (end > name && end[-1] == ' ')
                        *--end = '\0';
                const char *normal = folder_name_normal(name);
                if (normal[0] && !names_have(all, normal)) {
                        to = stpcpy(to, normal);
                        *to++ = ',';
                        ++*out_count;
                }
                text += len + (text[len] == ',');
        }
        if (to > all)
                to[-1] = '\0';
        return all;
}
