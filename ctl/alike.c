/* SPDX-License-Identifier: MIT */
/* Texts that differ in an account's name only, and lists of names; see alike.h. */
#include "ctl/alike.h"

#include "common/printable.h"

char *text_without_name(const char *text, const char *name)
{
        size_t len = strlen(name);
        char *out = copy_text("");
        for (const char *at = text; *at;) {
                const char *found = len ? strstr(at, name) : NULL;
                bool word = found && (found == text || strchr(" \"'", found[-1])) &&
                            (!found[len] || strchr(" ,;:.\"')", found[len]));
                size_t plain = found ? (size_t)(found - at) + (word ? 0 : len) : strlen(at);
                char *longer = text_of("%s%.*s%s", out, (int)plain, at, word ? "NAME" : "");
                free(out);
                out = longer;
                at += plain + (word ? len : 0);
        }
        return out;
}

void names_add(struct names *names, const char *name, size_t most)
{
        if (++names->count > most)
                return;
        scoped(scoped_free) char *safe = printable_text(name);
        char *longer = names->text ? text_of("%s, %s", names->text, safe) : copy_text(safe);
        free(names->text);
        names->text = longer;
}

char *names_take(struct names *names, size_t most)
{
        scoped(scoped_free) char *text = take(names->text);
        if (names->count > most)
                return text_of("%s and %zu more", text ? text : "", names->count - most);
        return text ? take(text) : copy_text("");
}
