/* SPDX-License-Identifier: MIT */
/* A small ring, by address and port; see trouble.h. The oldest entry gives way. */
#include "daemon/wire/trouble.h"

#include "daemon/loop.h"

enum { ENTRIES = 128, KEPT_MS = 10 * 60 * 1000 };

static struct trouble_row {
        struct sockaddr_storage address;
        int64_t since, until; /* loop_now(); until 0: free */
} entries[ENTRIES];
static size_t next;

static bool stands(const struct trouble_row *entry)
{
        int64_t now = loop_now();

        return entry->until > now && entry->since <= now;
}

static struct trouble_row *entry_of(const struct sockaddr_storage *address)
{
        for (size_t i = 0; i < ENTRIES; i++)
                if (stands(&entries[i]) && memcmp(&entries[i].address, address, address_length(address)) == 0)
                        return &entries[i];
        return NULL;
}

void trouble_note(const struct sockaddr_storage *address)
{
        struct trouble_row *entry = entry_of(address);

        if (!entry) {
                entry = &entries[next];
                next = (next + 1) % ENTRIES;
        }
        *entry = (struct trouble_row){ .address = *address,
                                       .since = loop_now(),
                                       .until = loop_now() + KEPT_MS };
}

void trouble_forget(const struct sockaddr_storage *address)
{
        struct trouble_row *entry = entry_of(address);

        if (entry)
                entry->until = 0;
}

void trouble_last(struct addresses *addresses)
{
        struct addresses in = *addresses;
        size_t count = 0;

        for (int troubled = 0; troubled <= 1; troubled++)
                for (size_t i = 0; i < in.count; i++)
                        if ((entry_of(&in.items[i]) != NULL) == troubled)
                                addresses->items[count++] = in.items[i];
}
