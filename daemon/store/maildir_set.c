/* SPDX-License-Identifier: MIT */
/* Files of a Maildir by name; see maildir_set.h. */
#include "daemon/store/maildir_set.h"

#include "common/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { FILES_AT_ONCE = 1 << 13, FIRST = 64 };

static size_t slot_of(const struct maildir_set *set, const char *name, size_t base)
{
        size_t at = (size_t)hash_bytes(name, base) & (set->slot_count - 1);

        for (; set->slots[at]; at = (at + 1) & (set->slot_count - 1)) {
                const struct maildir_file *file = &set->listing.files[set->slots[at] - 1];
                if (file->base == base && memcmp(file->name, name, base) == 0)
                        break;
        }
        return at;
}

static void grow(struct maildir_set *set)
{
        set->size = set->size ? 2 * set->size : FIRST;
        set->listing.files = new_resized(set->listing.files, set->size, sizeof *set->listing.files);
        free(set->slots);
        set->slot_count = 2 * set->size;
        set->slots = new_zeroed(set->slot_count, sizeof *set->slots);
        for (size_t i = 0; i < set->listing.count; i++) {
                const struct maildir_file *file = &set->listing.files[i];
                set->slots[slot_of(set, file->name, file->base)] = (uint32_t)i + 1;
        }
}

/* One that is in both folders has gone on to the second. */
static void add(struct maildir_set *set, const char *name, bool in_new)
{
        size_t base = maildir_base_length(name);

        if (set->listing.count == set->size)
                grow(set);
        uint32_t *slot = &set->slots[slot_of(set, name, base)];
        if (!*slot)
                *slot = (uint32_t)++set->listing.count;
        else
                free(set->listing.files[*slot - 1].name);
        set->listing.files[*slot - 1] =
                (struct maildir_file){ .name = copy_text(name), .base = base, .in_new = in_new };
}

int maildir_set_read(struct maildir_set *set, const struct maildir *maildir)
{
        const int folders[] = { maildir->new, maildir->cur };
        const struct dirent *entry;

        for (int count = 0; set->part < count_of(folders); count++) {
                if (count == FILES_AT_ONCE)
                        return 1;
                if (!set->directory)
                        set->directory = maildir_directory_open(folders[set->part]);
                if (!set->directory)
                        return -1;
                errno = 0;
                entry = readdir(set->directory);
                if (entry && entry->d_name[0] != '.')
                        add(set, entry->d_name, set->part == 0);
                if (entry)
                        continue;
                if (errno)
                        return -1;
                maildir_directory_close(&set->directory);
                set->part++;
        }
        set->matched = new_zeroed(set->listing.count + 1, 1);
        return 0;
}

const struct maildir_file *maildir_set_match(struct maildir_set *set, const char *name)
{
        uint32_t number = set->slots ? set->slots[slot_of(set, name, maildir_base_length(name))] : 0;

        if (!number)
                return NULL;
        set->matched_count += !set->matched[number - 1];
        set->matched[number - 1] = 1;
        return &set->listing.files[number - 1];
}

void maildir_set_keep_unmatched(struct maildir_set *set)
{
        struct maildir_listing *listing = &set->listing;
        size_t kept = 0;

        for (size_t i = 0; i < listing->count; i++) {
                if (set->matched[i])
                        free(listing->files[i].name);
                else
                        listing->files[kept++] = listing->files[i];
        }
        listing->count = kept;
        set->matched_count = 0;
        free(take(set->slots));
        free(take(set->matched));
        maildir_listing_sort(listing);
}

void maildir_set_clear(struct maildir_set *set)
{
        maildir_directory_close(&set->directory);
        maildir_listing_free(&set->listing);
        free(set->slots);
        free(set->matched);
        *set = (struct maildir_set){ 0 };
}
