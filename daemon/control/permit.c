/* SPDX-License-Identifier: MIT */
/* Who may what, by uid and groups; see permit.h. */
#include "daemon/control/permit.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST_SUBMITTERS = 64 };

static struct {
        gid_t read, admin;
        bool have_read, have_admin;
        bool all_submit;
        uid_t users[MOST_SUBMITTERS];
        gid_t groups[MOST_SUBMITTERS];
        size_t user_count, group_count;
} rules;

static bool group_named(const char *name, gid_t *out)
{
        const struct group *group = name && name[0] ? getgrnam(name) : NULL;

        if (group)
                *out = group->gr_gid;
        return group != NULL;
}

static void add_submitter(const char *name)
{
        gid_t gid;
        const struct passwd *user = getpwnam(name);

        if (group_named(name, &gid) && rules.group_count < MOST_SUBMITTERS)
                rules.groups[rules.group_count++] = gid;
        if (user && rules.user_count < MOST_SUBMITTERS)
                rules.users[rules.user_count++] = user->pw_uid;
}

void permit_open(const struct settings *settings)
{
        memset(&rules, 0, sizeof rules);
        rules.have_read = group_named(settings->read_group, &rules.read);
        rules.have_admin = group_named(settings->admin_group, &rules.admin);
        rules.all_submit = same_text(settings->allow_submit, "all");
        if (rules.all_submit || !settings->allow_submit)
                return;
        char *names = copy_text(settings->allow_submit), *rest = names;
        for (char *name; (name = strsep(&rest, ", ")) != NULL;)
                if (name[0])
                        add_submitter(name);
        free(names);
}

int peer_of_socket(int fd, struct peer *out, struct cause *cause)
{
        struct ucred credentials;
        socklen_t len = sizeof credentials;
        gid_t more[PEER_GROUPS - 1];
        socklen_t more_len = sizeof more;

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &len) < 0)
                return cause_errno(cause, errno, "cannot tell who is at the control socket");
        *out = (struct peer){ .uid = credentials.uid, .group_count = 1 };
        out->groups[0] = credentials.gid;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, more, &more_len) == 0) {
                size_t count = more_len / sizeof more[0];
                memcpy(out->groups + 1, more, count * sizeof more[0]);
                out->group_count += count;
        }
        return 0;
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
        bool admin = peer->uid == 0 || peer->uid == geteuid() || (rules.have_admin && is_in(peer, rules.admin));
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
