/* SPDX-License-Identifier: MIT */
/* Who is there, and how many of a kind; see guest_list.h. */
#include "daemon/smtpd/guest_list.h"

#include "common/limits.h"
#include "daemon/loop.h"

#include <netinet/in.h>
#include <unistd.h>

enum {
        IDLE_MS = 10 * 1000,         /* who did nothing for so long may have to go */
        FAILURES = 256,              /* addresses that are remembered for wrong passwords */
        FAILURES_BAR = 20,           /* wrong ones, from where on no more are looked at */
        FAILURE_MS = 10 * 60 * 1000, /* so long since the last of them */
        DELAY_FIRST_MS = 500,
        DELAY_MOST_MS = 30 * 1000,
};

static struct guest *guests; /* the newest first */

/* Of how many there may be: those like this one, and all of its side. */
struct places {
        unsigned alike, all, most_alike, most_all;
};

static bool in_charge(const struct guest *guest)
{
        return guest->local && (guest->uid == 0 || guest->uid == geteuid());
}

static bool are_alike(const struct guest *a, const struct guest *b)
{
        if (a->local != b->local)
                return false;
        return a->local ? a->uid == b->uid : memcmp(a->address, b->address, sizeof a->address) == 0;
}

static bool same_side(const struct guest *a, const struct guest *b)
{
        return a->local == b->local && in_charge(a) == in_charge(b);
}

static struct places count(const struct guest *guest)
{
        struct places places = { .most_alike = LIMIT_SMTP_OF_ADDRESS, .most_all = LIMIT_SMTP_NETWORK };

        if (guest->local) {
                places.most_alike = in_charge(guest) ? LIMIT_SMTP_IN_CHARGE : LIMIT_SMTP_OF_USER;
                places.most_all = in_charge(guest) ? LIMIT_SMTP_IN_CHARGE : LIMIT_SMTP_LOCAL;
        }
        for (const struct guest *other = guests; other; other = other->next) {
                places.alike += are_alike(guest, other);
                places.all += same_side(guest, other);
        }
        return places;
}

/* The one that idles longest, among those alike or on the same side. */
static struct guest *sleeper(const struct guest *guest, bool alike)
{
        struct guest *longest = NULL;

        for (struct guest *other = guests; other; other = other->next)
                if (other->evictable && (alike ? are_alike(guest, other) : same_side(guest, other)) &&
                    (other->stranger || loop_now() - other->since >= IDLE_MS) &&
                    (!longest || other->since <= longest->since)) /* the oldest is last */
                        longest = other;
        return longest;
}

bool guest_enter(struct guest *guest, void (*evict)(void *owner))
{
        struct places places = count(guest);
        bool full = places.alike >= places.most_alike;

        if (full || places.all >= places.most_all) {
                struct guest *longest = sleeper(guest, full);
                if (!longest)
                        return false;
                guest_leave(longest);
                evict(longest->owner);
        }
        guest->since = loop_now();
        guest->next = guests;
        guest->link = &guests;
        if (guests)
                guests->link = &guest->next;
        guests = guest;
        return true;
}

void guest_leave(struct guest *guest)
{
        if (!guest->link)
                return;
        *guest->link = guest->next;
        if (guest->next)
                guest->next->link = guest->link;
        guest->link = NULL;
}

void guest_address(struct guest *guest, const struct sockaddr_storage *address)
{
        memset(guest->address, 0, sizeof guest->address);
        if (address->ss_family == AF_INET)
                memcpy(guest->address + 12, &((const struct sockaddr_in *)address)->sin_addr, 4);
        else
                memcpy(guest->address, &((const struct sockaddr_in6 *)address)->sin6_addr, 8);
}

/* ---- wrong passwords ---- */

static struct failures {
        struct guest of; /* local, uid, address alone */
        unsigned count;
        int64_t last;
} failures[FAILURES];

static struct failures *failures_of(const struct guest *guest)
{
        struct failures *oldest = &failures[0];

        for (size_t i = 0; i < FAILURES; i++) {
                if (failures[i].count && are_alike(&failures[i].of, guest))
                        return &failures[i];
                if (!failures[i].count || (oldest->count && failures[i].last < oldest->last))
                        oldest = &failures[i];
        }
        *oldest = (struct failures){ .of = { .local = guest->local, .uid = guest->uid } };
        memcpy(oldest->of.address, guest->address, sizeof guest->address);
        return oldest;
}

int64_t guest_failed(const struct guest *guest)
{
        struct failures *of = failures_of(guest);
        int64_t delay = DELAY_FIRST_MS;

        if (of->count && loop_now() - of->last > FAILURE_MS)
                of->count = 0;
        for (unsigned i = 0; i < of->count && delay < DELAY_MOST_MS; i++)
                delay *= 2;
        of->count++;
        of->last = loop_now();
        return delay < DELAY_MOST_MS ? delay : DELAY_MOST_MS;
}

bool guest_is_barred(const struct guest *guest)
{
        for (size_t i = 0; i < FAILURES; i++)
                if (failures[i].count >= FAILURES_BAR && are_alike(&failures[i].of, guest) &&
                    loop_now() - failures[i].last <= FAILURE_MS)
                        return true;
        return false;
}
