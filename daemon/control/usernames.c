/* SPDX-License-Identifier: MIT */
/* Names of local users by a few threads of their own, waited for with a limit; see usernames.h. */
#include "daemon/control/usernames.h"

#include "common/limits.h"
#include "daemon/journal.h"
#include "daemon/loop.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>

enum {
        THREADS = 4,
        /* A name service over the network (LDAP, SSSD) may hang: the call goes on with the bare uid by
         * then. */
        PATIENCE_MS = 1000,
        /* Who is in more groups is judged by the first so many: a right may be missing for it, none is
         * gained. */
        USER_GROUPS = 128,
        NAME_SIZE = 40,
        RECENT = 16,
        RECENT_MS = 1000, /* so long a name holds: who connects again and again costs one lookup */
};

struct username {
        struct job job;
        uid_t uid;
        char name[NAME_SIZE]; /* the thread's, until the job is done; so are: */
        gid_t groups[USER_GROUPS];
        int group_count;
        bool wants_groups;
        struct timer *patience;
        void (*told)(void *ctx, const char *name); /* NULL: nobody waits */
        void *ctx;
        /* In the list `all`. */
        struct username *next;
};

static struct workers *pool;
static struct username *all; /* under way: one that hangs has no other owner on the loop */
static unsigned under_way;
static bool slow; /* none has been told since one was waited for in vain */
static struct {
        uid_t uid;
        int64_t until;
        char name[NAME_SIZE]; /* "": none */
} recent[RECENT];             /* told last, by uid */

/* Exactly once: what is waited for is taken before it is called, so that a thread that comes back after the
 * patience has ended, or after a cancel, tells nobody. */
static void tell(struct username *username, const char *name)
{
        void (*told)(void *ctx, const char *name) = take(username->told);

        timer_stop(username->patience);
        if (told)
                told(username->ctx, name);
}

/* The job goes on in its thread and keeps the object: only looked_up() frees it. */
static void out_of_patience(void *ctx)
{
        struct username *username = ctx;

        slow = true;
        log_about(NULL, LOG_NOTICE, NULL,
                  "the system does not tell the names of its users: they are recorded by their uid");
        tell(username, NULL);
}

/* In a thread of the pool. It touches its own object only; NSS modules may block here for as long as they
 * like. */
static void look_up(struct job *job)
{
        struct username *username = container_of(job, struct username, job);
        struct passwd user, *found = NULL;
        char memory[4096];

        if (getpwuid_r(username->uid, &user, memory, sizeof memory, &found) != 0 || !found)
                return;
        username->group_count = username->wants_groups ? USER_GROUPS : 0;
        if (username->wants_groups &&
            getgrouplist(user.pw_name, user.pw_gid, username->groups, &username->group_count) < 0)
                username->group_count = USER_GROUPS; /* the first so many of them */
        (void)snprintf(username->name, sizeof username->name, "%s", user.pw_name);
}

/* A place is chosen by the uid alone: two users that share one push each other out, which costs a lookup
 * and no more. That a uid has no name is remembered as well. */
static void remember(const struct username *username)
{
        size_t at = username->uid % RECENT;

        recent[at].uid = username->uid;
        recent[at].until = loop_now() + RECENT_MS;
        memcpy(recent[at].name, username->name, sizeof recent[at].name);
}

bool username_recent(uid_t uid, const char **name)
{
        size_t at = uid % RECENT;

        *name = recent[at].name[0] ? recent[at].name : NULL;
        return recent[at].uid == uid && loop_now() < recent[at].until;
}

/* On the loop, whenever the thread has come back; nobody may wait any more. The object ends here. */
static void looked_up(struct job *job)
{
        struct username *username = container_of(job, struct username, job);

        remember(username);
        struct username **place = &all;
        while (*place != username)
                place = &(*place)->next;
        *place = username->next;
        under_way--;
        slow = false;
        tell(username, username->name[0] ? username->name : NULL);
        timer_free(username->patience);
        free(username);
}

/* NULL when too many are under way: the caller goes on by the uid at once. While the system is slow no more
 * are begun than there are threads, for those behind them would wait in vain. */
static struct username *begin(uid_t uid, bool groups, void (*told)(void *ctx, const char *name), void *ctx)
{
        if (under_way >= (slow ? THREADS : LIMIT_USERNAMES))
                return NULL;
        struct username *username = new_object(struct username);
        *username = (struct username){ .job = { .work = look_up, .done = looked_up },
                                       .uid = uid,
                                       .told = told,
                                       .ctx = ctx,
                                       .wants_groups = groups };
        username->patience = timer_new(out_of_patience, username);
        timer_set(username->patience, PATIENCE_MS);
        if (!pool)
                pool = workers_new("users", THREADS);
        username->next = all;
        all = username;
        under_way++;
        workers_run(pool, &username->job);
        return username;
}

struct username *username_look_up(uid_t uid, void (*told)(void *ctx, const char *name), void *ctx)
{
        return begin(uid, false, told, ctx);
}

struct username *username_and_groups(uid_t uid, void (*told)(void *ctx, const char *name), void *ctx)
{
        return begin(uid, true, told, ctx);
}

size_t username_groups(const struct username *username, const gid_t **out)
{
        *out = username->groups;
        return (size_t)username->group_count;
}

/* The thread cannot be called back: it keeps the object, and what it finds is told to nobody. */
void username_cancel(struct username *username)
{
        if (!username)
                return;
        username->told = NULL;
        timer_stop(username->patience);
}

/* Threads that hang in a lookup are left behind with their objects; the process ends soon after. */
void usernames_close(void)
{
        memset(recent, 0, sizeof recent);
        workers_abandon(take(pool));
}

/* Records name a caller as "NAME (uid N)" or "uid N". The end decides and not the name, which may be given
 * to another user later. */
bool username_is_of(const char *record, uid_t uid)
{
        char bare[24], with_name[24];

        (void)snprintf(bare, sizeof bare, "uid %u", uid);
        (void)snprintf(with_name, sizeof with_name, " (uid %u)", uid);
        size_t len = strlen(record), tail = strlen(with_name);
        return strcmp(record, bare) == 0 || (len > tail && strcmp(record + len - tail, with_name) == 0);
}
