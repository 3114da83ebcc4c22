/* SPDX-License-Identifier: MIT */
/* Who is there, how many of a kind, and what is said of them; see slots.h. */
#include "daemon/smtpd/slots.h"

#include "common/limits.h"
#include "daemon/journal.h"
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

static struct smtpd_slot *slots; /* the newest first */

/* Of how many there may be: those like this one, and all of its side. */
struct places {
        unsigned alike, all, most_alike, most_all;
};

/* Root and the station's own user have places of their own, so that no crowd of users keeps an operator
 * out. */
static bool in_charge(const struct smtpd_slot *slot)
{
        return slot->local && (slot->uid == 0 || slot->uid == geteuid());
}

/* The one whom limits are for: a local user by uid, a peer on the network by address (IPv6 by /64, since a
 * host has as many addresses as it likes there). */
static bool are_alike(const struct smtpd_slot *a, const struct smtpd_slot *b)
{
        if (a->local != b->local)
                return false;
        return a->local ? a->uid == b->uid : memcmp(a->address, b->address, sizeof a->address) == 0;
}

static bool same_side(const struct smtpd_slot *a, const struct smtpd_slot *b)
{
        return a->local == b->local && in_charge(a) == in_charge(b);
}

/* A walk over all, at each connection: they are bounded by the three limits, and counters that could go
 * wrong are not needed. */
static struct places count(const struct smtpd_slot *slot)
{
        struct places places = { .most_alike = LIMIT_SMTP_OF_ADDRESS, .most_all = LIMIT_SMTP_NETWORK };

        if (slot->local) {
                places.most_alike = in_charge(slot) ? LIMIT_SMTP_IN_CHARGE : LIMIT_SMTP_OF_USER;
                places.most_all = in_charge(slot) ? LIMIT_SMTP_IN_CHARGE : LIMIT_SMTP_LOCAL;
        }
        for (const struct smtpd_slot *other = slots; other; other = other->next) {
                places.alike += are_alike(slot, other);
                places.all += same_side(slot, other);
        }
        return places;
}

/* The one that idles longest, among those alike or on the same side. */
static struct smtpd_slot *sleeper(const struct smtpd_slot *slot, bool alike)
{
        struct smtpd_slot *longest = NULL;

        for (struct smtpd_slot *other = slots; other; other = other->next)
                if (other->evictable && (alike ? are_alike(slot, other) : same_side(slot, other)) &&
                    (other->stranger || loop_now() - other->since >= IDLE_MS) &&
                    (!longest || other->since <= longest->since)) /* the oldest is last */
                        longest = other;
        return longest;
}

/* A full house asks those who idle to go. Where the limit of those alike is reached, only one of them may
 * go: nobody loses a place to another's crowd. */
bool smtpd_slot_take(struct smtpd_slot *slot, void (*evict)(void *owner))
{
        struct places places = count(slot);
        bool full = places.alike >= places.most_alike;

        if (full || places.all >= places.most_all) {
                struct smtpd_slot *longest = sleeper(slot, full);
                if (!longest)
                        return false;
                smtpd_slot_free(longest);
                evict(longest->owner);
        }
        slot->since = loop_now();
        slot->next = slots;
        slot->link = &slots;
        if (slots)
                slots->link = &slot->next;
        slots = slot;
        return true;
}

/* Twice is once: an evicted client gives its place back before it has left. */
void smtpd_slot_free(struct smtpd_slot *slot)
{
        if (!slot->link)
                return;
        *slot->link = slot->next;
        if (slot->next)
                slot->next->link = slot->link;
        slot->link = NULL;
}

/* IPv4 fills the last four bytes, which are 0 for IPv6: the two cannot be taken for each other. */
void smtpd_slot_address(struct smtpd_slot *slot, const struct sockaddr_storage *address)
{
        memset(slot->address, 0, sizeof slot->address);
        if (address->ss_family == AF_INET)
                memcpy(slot->address + 12, &((const struct sockaddr_in *)address)->sin_addr, 4);
        else
                memcpy(slot->address, &((const struct sockaddr_in6 *)address)->sin6_addr, 8);
}

/* ---- wrong passwords ---- */

static struct failures {
        struct smtpd_slot of; /* local, uid, address alone */
        unsigned count;
        int64_t last;
} failures[FAILURES];

/* Never NULL: a new peer takes the place of the one that failed longest ago, whose next delay is the first
 * one again. Bounded memory goes before a long one. */
static struct failures *failures_of(const struct smtpd_slot *slot)
{
        struct failures *oldest = &failures[0];

        for (size_t i = 0; i < FAILURES; i++) {
                if (failures[i].count && are_alike(&failures[i].of, slot))
                        return &failures[i];
                if (!failures[i].count || (oldest->count && failures[i].last < oldest->last))
                        oldest = &failures[i];
        }
        *oldest = (struct failures){ .of = { .local = slot->local, .uid = slot->uid } };
        memcpy(oldest->of.address, slot->address, sizeof slot->address);
        return oldest;
}

/* How long the answer is kept back, in milliseconds: doubled with each wrong password of the same peer,
 * over all its sessions. */
int64_t smtpd_slot_failed(const struct smtpd_slot *slot)
{
        struct failures *of = failures_of(slot);
        int64_t delay = DELAY_FIRST_MS;

        if (of->count && loop_now() - of->last > FAILURE_MS)
                of->count = 0;
        for (unsigned i = 0; i < of->count && delay < DELAY_MOST_MS; i++)
                delay *= 2;
        of->count++;
        of->last = loop_now();
        return delay < DELAY_MOST_MS ? delay : DELAY_MOST_MS;
}

bool smtpd_slot_is_barred(const struct smtpd_slot *slot)
{
        for (size_t i = 0; i < FAILURES; i++)
                if (failures[i].count >= FAILURES_BAR && are_alike(&failures[i].of, slot) &&
                    loop_now() - failures[i].last <= FAILURE_MS)
                        return true;
        return false;
}

/* ---- lines about them in the journal ---- */

enum { NOTICES = 20, NOTICES_MS = 60 * 1000 };

static struct {
        struct timer *minute; /* NULL: closed */
        unsigned told, more;
} notices;

static void tell_more(unused_arg void *ctx)
{
        if (notices.more)
                log_about(NULL, LOG_NOTICE, NULL, "%u more notices about SMTP clients within %d s",
                          notices.more, NOTICES_MS / 1000);
        notices.told = notices.more = 0;
}

void notices_open(void)
{
        notices.minute = timer_new(tell_more, NULL);
}

void notices_close(void)
{
        tell_more(NULL);
        timer_free(take(notices.minute));
}

void notices_tell(const char *format, ...)
{
        va_list args;

        if (!notices.minute)
                return;
        if (!timer_is_set(notices.minute))
                timer_set(notices.minute, NOTICES_MS);
        if (notices.told >= NOTICES) {
                notices.more++;
                return;
        }
        notices.told++;
        va_start(args, format);
        scoped(scoped_free) char *text = text_of_list(format, args);
        va_end(args);
        log_about(NULL, LOG_NOTICE, NULL, "%s", text);
}
