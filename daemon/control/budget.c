/* SPDX-License-Identifier: MIT */
/* Shares of the control socket by user; see budget.h. */
#include "daemon/control/budget.h"

#include "common/limits.h"
#include "common/times.h"
#include "daemon/journal.h"
#include "daemon/loop.h"

#include <stdarg.h>
#include <stdio.h>

enum {
        TURN_MICROS = 20 * 1000,      /* of one turn of the loop for all who are not in charge */
        TURN_SHARE_MICROS = 8 * 1000, /* and for one of them */
        NOTICES = 5,                  /* of one user within a minute; then they are counted */
        NOTICES_ALL = 40,             /* of all users who are not in charge */
        NOTICES_SECONDS = 60,
};

/* THE table: what one user may have, what all of them together, and what the people in charge have beyond
 * that; one of these half of it, so that a program of theirs gone wild leaves the others something. */
static const struct {
        size_t share, whole, reserve;
} table[BUDGET_KINDS] = {
        [BUDGET_CONNECTIONS] = { 128, 512, 1024 },
        [BUDGET_INPUT] = { 16 * MIB, 64 * MIB, 128 * MIB },
        [BUDGET_OUTPUT] = { 24 * MIB, 96 * MIB, 256 * MIB },
        [BUDGET_DESCRIPTORS] = { 256, 1024, 256 },
        [BUDGET_WAITING] = { 32, 256, 256 },
};

struct share {
        uid_t uid;
        bool in_charge;
        unsigned holders;
        size_t used[BUDGET_KINDS];
        int64_t micros; /* of this turn */
        int64_t started;
        struct share *next;
};

/* Notices within a minute: of one user (of few, where their numbers meet in the table), and of all. */
struct notices {
        uid_t uid;
        unsigned told, more;
};
enum { NOTICES_OF = 64 };

static struct {
        struct share *shares;      /* of those who are connected */
        size_t used[BUDGET_KINDS]; /* by all who are not in charge */
        size_t reserve_used[BUDGET_KINDS];
        int64_t micros; /* of this turn, likewise */
        bool in_turn, opened;
        struct timer *minute; /* what was held back is told */
        struct notices notices[NOTICES_OF], all;
} budget;

/* ---- notices ---- */

/* A minute is over: what was held back is told. */
static void tell_more(struct notices *notices, const char *of)
{
        if (notices->more)
                log_about(NULL, LOG_NOTICE, NULL, "%u more notices about control clients of %s within %d s",
                          notices->more, of, NOTICES_SECONDS);
        *notices = (struct notices){ 0 };
}

static void tell_all_more(void *ctx unused_arg)
{
        for (size_t i = 0; i < NOTICES_OF; i++) {
                scoped(scoped_free) char *of = text_of("uid %u", budget.notices[i].uid);
                tell_more(&budget.notices[i], of);
        }
        tell_more(&budget.all, "all users");
}

static void forget_minute(void *ctx unused_arg)
{
        tell_all_more(NULL);
        timer_free(take(budget.minute));
        budget.opened = budget.in_turn = false;
        budget.micros = 0;
}

static bool may_tell(struct notices *notices, uid_t uid, unsigned most)
{
        if (notices->told == 0)
                notices->uid = uid;
        if (notices->told < most) {
                notices->told++;
                return true;
        }
        notices->more++;
        return false;
}

void share_notice(struct share *share, const char *format, ...)
{
        scoped(scoped_free) char *text = NULL;
        va_list args;

        if (!timer_is_set(budget.minute))
                timer_set(budget.minute, NOTICES_SECONDS * 1000);
        if (!may_tell(&budget.notices[share->uid % NOTICES_OF], share->uid, NOTICES) ||
            (!share->in_charge && !may_tell(&budget.all, 0, NOTICES_ALL)))
                return;
        va_start(args, format);
        text = text_of_list(format, args);
        va_end(args);
        log_about(NULL, LOG_NOTICE, NULL, "%s", text);
}

/* ---- shares ---- */

struct share *share_keep(struct share *share)
{
        share->holders++;
        return share;
}

struct share *share_hold(const struct peer *peer)
{
        bool in_charge = permit(peer, PERMIT_ADMIN);
        struct share *share = budget.shares;

        if (!budget.opened) {
                budget.opened = true;
                budget.minute = timer_new(tell_all_more, NULL);
                loop_on_close(forget_minute, NULL);
        }
        while (share && (share->uid != peer->uid || share->in_charge != in_charge))
                share = share->next;
        if (!share) {
                share = new_object(struct share);
                *share = (struct share){ .uid = peer->uid, .in_charge = in_charge, .next = budget.shares };
                budget.shares = share;
        }
        return share_keep(share);
}

void share_drop(struct share *share)
{
        struct share **at = &budget.shares;

        if (--share->holders)
                return;
        while (*at != share)
                at = &(*at)->next;
        *at = share->next;
        free(share);
}

bool share_in_charge(const struct share *share)
{
        return share->in_charge;
}

bool share_whole_is_out(const struct share *share, enum budget_kind kind, size_t amount)
{
        if (share->in_charge) /* what the others have not used is theirs as well */
                return budget.used[kind] + budget.reserve_used[kind] + amount >
                       table[kind].whole + table[kind].reserve;
        return budget.used[kind] + amount > table[kind].whole;
}

bool share_is_out(const struct share *share, enum budget_kind kind, size_t amount)
{
        size_t own = share->in_charge ? table[kind].reserve / 2 : table[kind].share;

        return share->used[kind] + amount > own || share_whole_is_out(share, kind, amount);
}

/* Counts in any case, so that the sums stay right; false says that the holder must give something up. Less
 * is always allowed. */
bool share_count(struct share *share, enum budget_kind kind, size_t *has, size_t now)
{
        size_t *all = share->in_charge ? &budget.reserve_used[kind] : &budget.used[kind];
        bool more = now > *has;

        share->used[kind] += now - *has;
        *all += now - *has;
        *has = now;
        return !more || !share_is_out(share, kind, 0);
}

/* ---- time ---- */

static void end_turn(void *ctx unused_arg)
{
        budget.in_turn = false;
        budget.micros = 0;
        for (struct share *share = budget.shares; share; share = share->next)
                share->micros = 0;
}

bool share_has_time(const struct share *share)
{
        return share->in_charge || (share->micros < TURN_SHARE_MICROS && budget.micros < TURN_MICROS);
}

/* Held until share_stop(): the client may go while its call is at work. */
void share_start(struct share *share)
{
        if (!budget.in_turn)
                loop_later(end_turn, NULL);
        budget.in_turn = true;
        share->holders++;
        share->started = time_monotonic_us();
}

void share_stop(struct share *share)
{
        int64_t took = time_monotonic_us() - share->started;

        share->micros += took;
        if (!share->in_charge)
                budget.micros += took;
        share_drop(share);
}
