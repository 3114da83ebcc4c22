/* SPDX-License-Identifier: MIT */
/* Addresses that a lookup has found: their order and their words; see resolve.h. */
#include "daemon/wire/resolve.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>

void addresses_interleave(struct addresses *addresses)
{
        struct addresses in = *addresses;
        bool used[LIMIT_ADDRESSES] = { false };

        for (size_t i = 0; i < in.count; i++) {
                size_t pick = in.count, other = in.count;
                for (size_t j = in.count; j-- > 0;) {
                        if (used[j])
                                continue;
                        other = j;
                        if (i == 0 || in.items[j].ss_family != addresses->items[i - 1].ss_family)
                                pick = j;
                }
                if (pick == in.count) /* one family is used up */
                        pick = other;
                used[pick] = true;
                addresses->items[i] = in.items[pick];
        }
}

socklen_t address_length(const struct sockaddr_storage *address)
{
        return address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

void address_text(const struct sockaddr_storage *address, char *out, size_t size)
{
        if (getnameinfo((const struct sockaddr *)address, address_length(address), out, (socklen_t)size, NULL,
                        0, NI_NUMERICHOST))
                (void)snprintf(out, size, "?");
}
