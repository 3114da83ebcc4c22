/* SPDX-License-Identifier: MIT */
/* Accounts in order of name; see sorted.h. */
#include "daemon/accounts/sorted.h"

size_t sorted_place(const struct sorted *sorted, const char *name)
{
        size_t from = 0, to = sorted->count;

        if (to && strcmp(sorted->items[to - 1]->name, name) < 0)
                return to; /* they are loaded in order */
        while (from < to) {
                size_t middle = from + (to - from) / 2;
                if (strcmp(sorted->items[middle]->name, name) < 0)
                        from = middle + 1;
                else
                        to = middle;
        }
        return from;
}

struct account *sorted_after(const struct sorted *sorted, const char *name)
{
        size_t at = sorted_place(sorted, name);

        if (at < sorted->count && strcmp(sorted->items[at]->name, name) == 0)
                at++;
        return at < sorted->count ? sorted->items[at] : NULL;
}

size_t sorted_insert(struct sorted *sorted, struct account *account)
{
        size_t at = sorted_place(sorted, account->name);

        if (sorted->count == sorted->size) {
                sorted->size = sorted->size ? 2 * sorted->size : 64;
                sorted->items = new_resized(sorted->items, sorted->size, sizeof *sorted->items);
        }
        memmove(&sorted->items[at + 1], &sorted->items[at], (sorted->count - at) * sizeof *sorted->items);
        sorted->items[at] = account;
        sorted->count++;
        return at;
}

size_t sorted_remove(struct sorted *sorted, const struct account *account)
{
        size_t at = sorted_place(sorted, account->name);

        if (at == sorted->count || sorted->items[at] != account)
                return SIZE_MAX;
        sorted->count--;
        memmove(&sorted->items[at], &sorted->items[at + 1], (sorted->count - at) * sizeof *sorted->items);
        if (sorted->count == 0) {
                free(sorted->items);
                *sorted = (struct sorted){ 0 };
        }
        return at;
}
