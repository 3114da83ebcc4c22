/* SPDX-License-Identifier: MIT */
/* Who is at a socket, and who may what by uid and groups; see permit.h. */
#include "daemon/control/permit.h"

#include "common/cleanup.h"
#include "common/limits.h"
#include "daemon/journal.h"
#include "daemon/loop.h"
#include "daemon/store/maildir_rights.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* ---- /proc/PID/loginuid of who connected: the files of /proc are the kernel's memory, reading them waits
 * for nothing ---- */

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

static ssize_t read_proc(pid_t pid, const char *name, char *text, size_t size)
{
        char path[64];

        (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
        scoped(scoped_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -1;
        ssize_t got = read(fd, text, size - 1);
        if (got >= 0)
                text[got] = '\0';
        return got;
}

/* The process has not ended, so its number has been nobody else's up to now. */
static bool still_runs(int pidfd)
{
        struct pollfd one = { .fd = pidfd, .events = POLLIN };

        return poll(&one, 1, 0) == 0;
}

/* Without a descriptor: one of the same effective user has the number. */
static bool is_of_user(pid_t pid, uid_t uid)
{
        char text[4096];
        unsigned long real, effective;

        if (read_proc(pid, "status", text, sizeof text) <= 0)
                return false;
        const char *line = strstr(text, "\nUid:");
        return line && sscanf(line, "\nUid: %lu %lu", &real, &effective) == 2 && effective == uid;
}

/* False where nobody is known. */
static bool login_of_peer(int fd, pid_t pid, uid_t uid, uid_t *login)
{
        scoped(scoped_close) int pidfd = -1;
        socklen_t len = sizeof pidfd;
        char text[32], *end;

        if (pid <= 0)
                return false; /* of another pid namespace */
        if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len) < 0)
                pidfd = -1;
        if (read_proc(pid, "loginuid", text, sizeof text) <= 0)
                return false;
        if (pidfd >= 0 ? !still_runs(pidfd) : !is_of_user(pid, uid))
                return false;
        unsigned long value = strtoul(text, &end, 10);
        if (end == text || value >= UINT32_MAX)
                return false;
        *login = (uid_t)value;
        return true;
}

enum {
        MOST_SUBMITTERS = 64,
        PATIENCE_SECONDS =
                2, /* so long the names of the settings are waited for; the directory may be a server */
};

struct rules {
        gid_t read, admin;
        bool have_read, have_admin;
        bool all_submit;
        uid_t users[MOST_SUBMITTERS];
        gid_t groups[MOST_SUBMITTERS];
        size_t user_count, group_count;
};
/* Of the loop alone; a thread fills in its own and hands them over. */
static struct rules rules;

/* The names of the settings being looked up by a thread. */
struct naming {
        struct job job;
        char *read_group, *admin_group, *allow_submit;
        struct rules found;
        bool over; /* under the lock */
        struct naming *next;
};
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t told;
static struct workers *pool;
static struct naming
        *namings; /* all there are, the newest first: one that hangs has no other owner on the loop */

/* ---- names, on the thread ---- */

/* On the pool's only thread: getgrnam() and getpwnam() use static memory. */
static bool group_named(const char *name, gid_t *out)
{
        const struct group *group = name && name[0] ? getgrnam(name) : NULL;

        if (group)
                *out = group->gr_gid;
        return group != NULL;
}

/* A name may be a user's, a group's, or both. */
static void add_submitter(struct rules *found, const char *name)
{
        gid_t gid;
        const struct passwd *user = getpwnam(name);

        if (group_named(name, &gid) && found->group_count < MOST_SUBMITTERS)
                found->groups[found->group_count++] = gid;
        if (user && found->user_count < MOST_SUBMITTERS)
                found->users[found->user_count++] = user->pw_uid;
}

static void look_up(struct job *job)
{
        struct naming *naming = container_of(job, struct naming, job);
        struct rules *found = &naming->found;

        found->have_read = group_named(naming->read_group, &found->read);
        found->have_admin = group_named(naming->admin_group, &found->admin);
        char *rest = naming->allow_submit;
        for (char *name; !found->all_submit && rest && (name = strsep(&rest, ", ")) != NULL;)
                if (name[0])
                        add_submitter(found, name);
        pthread_mutex_lock(&lock);
        naming->over = true;
        pthread_cond_signal(&told);
        pthread_mutex_unlock(&lock);
}

/* ---- on the loop ---- */

/* Who reads the maildirs follows the same settings. */
static void settle(const struct naming *naming)
{
        rules = naming->found;
        maildir_readers(rules.have_read, rules.read, naming->read_group);
}

static void looked_up(struct job *job)
{
        struct naming *naming = container_of(job, struct naming, job), **place = &namings;

        if (naming == namings && naming->over) /* not one that was abandoned, and not of older settings */
                settle(naming);
        while (*place != naming)
                place = &(*place)->next;
        *place = naming->next;
        free(naming->read_group);
        free(naming->admin_group);
        free(naming->allow_submit);
        free(naming);
}

static void forget_pool(unused_arg void *ctx)
{
        workers_abandon(take(pool));
}

/* True when it was over in time. */
static bool await_names(const struct naming *naming)
{
        struct timespec until;
        int late = 0;

        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += PATIENCE_SECONDS;
        pthread_mutex_lock(&lock);
        while (!naming->over && late == 0)
                late = pthread_cond_timedwait(&told, &lock, &until);
        bool over = naming->over;
        pthread_mutex_unlock(&lock);
        return over;
}

static void make_pool(void)
{
        pthread_condattr_t by_clock;

        pthread_condattr_init(&by_clock);
        pthread_condattr_setclock(&by_clock, CLOCK_MONOTONIC);
        pthread_cond_init(&told, &by_clock);
        pthread_condattr_destroy(&by_clock);
        pool = workers_new("permit", 1);
        loop_on_close(forget_pool, NULL);
}

/* At start and at reload. Until the names are known the rules are the narrowest (AllowSubmit=all needs
 * none): a directory that hangs takes rights away and never gives any. It is waited for briefly, or the
 * first callers after a start would be refused. */
void permit_open(const struct settings *settings)
{
        struct naming *naming = new_object(struct naming);

        naming->job = (struct job){ .work = look_up, .done = looked_up };
        naming->read_group = copy_text(settings->read_group);
        naming->admin_group = copy_text(settings->admin_group);
        naming->allow_submit = copy_text(settings->allow_submit);
        naming->found.all_submit = same_text(settings->allow_submit, "all");
        rules = (struct rules){ .all_submit = naming->found.all_submit };
        if (!pool)
                make_pool();
        naming->next = namings;
        namings = naming;
        workers_run(pool, &naming->job);
        if (await_names(naming))
                settle(naming);
        else
                log_about(NULL, LOG_WARNING, NULL,
                          "the system does not tell who is in the groups of the settings: until it does, "
                          "only root and the daemon's own user may manage this station");
}

/* ---- peers ---- */

static bool in_rules(gid_t gid)
{
        bool found = (rules.have_read && rules.read == gid) || (rules.have_admin && rules.admin == gid);

        for (size_t i = 0; i < rules.group_count && !found; i++)
                found = rules.groups[i] == gid;
        return found;
}

/* Somebody in very many groups: those that give something come first. */
static void add_groups(int fd, struct peer *out)
{
        socklen_t len = 0;

        if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &len) == 0 || errno != ERANGE)
                return; /* none, or a kernel that does not tell */
        size_t count = len / sizeof(gid_t);
        scoped(scoped_free) gid_t *all = new_zeroed(count, sizeof *all);
        if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, all, &len) < 0)
                return;
        for (int first = 1; first >= 0; first--)
                for (size_t i = 0; i < count && out->group_count < PEER_GROUPS; i++)
                        if (in_rules(all[i]) == (first == 1))
                                out->groups[out->group_count++] = all[i];
}

/* Credentials of the moment of connect(), as the kernel noted them: a process that changes its user later,
 * or ends and leaves its number to another, changes nothing. */
int peer_of_socket(int fd, struct peer *out, struct cause *cause)
{
        struct ucred credentials;
        socklen_t len = sizeof credentials;

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &len) < 0)
                return cause_errno(cause, errno, "cannot tell who is at the control socket");
        *out = (struct peer){ .uid = credentials.uid, .group_count = 1 };
        out->groups[0] = credentials.gid;
        add_groups(fd, out);
        out->pid = credentials.pid;
        return 0;
}

void peer_find_login(int fd, struct peer *peer)
{
        peer->has_login = login_of_peer(fd, peer->pid, peer->uid, &peer->login) && peer->login != peer->uid;
}

static bool is_in(const struct peer *peer, gid_t gid)
{
        for (size_t i = 0; i < peer->group_count; i++)
                if (peer->groups[i] == gid)
                        return true;
        return false;
}

static bool may_submit(const struct peer *peer)
{
        if (rules.all_submit)
                return true;
        for (size_t i = 0; i < rules.user_count; i++)
                if (rules.users[i] == peer->uid)
                        return true;
        for (size_t i = 0; i < rules.group_count; i++)
                if (is_in(peer, rules.groups[i]))
                        return true;
        return false;
}

bool permit(const struct peer *peer, enum permission wanted)
{
        bool admin =
                peer->uid == 0 || peer->uid == geteuid() || (rules.have_admin && is_in(peer, rules.admin));
        bool reader = admin || (rules.have_read && is_in(peer, rules.read));

        switch (wanted) {
        case PERMIT_NONE:
                return true;
        case PERMIT_SUBMIT:
                return reader || may_submit(peer);
        case PERMIT_READ:
                return reader;
        case PERMIT_ADMIN:
                return admin;
        }
        return false;
}
