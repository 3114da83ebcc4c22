/* SPDX-License-Identifier: MIT */
/* Names of hosts and of users, as the C library would tell them. */
#include "tests/simulator/kernel.h"

#include <arpa/inet.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pwd.h>
#include <strings.h>

enum { HANGS_MS = 30000, USUAL_MS = 15 };

struct name {
        char *host, *addresses;
        enum name_state state;
        struct name *next;
};
static struct name **names; /* in the arena */

static struct name *name_of(const char *host)
{
        struct name *name = names ? *names : NULL;

        while (name && strcasecmp(name->host, host) != 0)
                name = name->next;
        return name;
}

static struct name *make_name(const char *host)
{
        struct name *name = name_of(host);

        if (name)
                return name;
        name = world_alloc(sizeof *name);
        name->host = world_text("%s", host);
        name->addresses = world_text("%s", "");
        name->next = *names;
        *names = name;
        return name;
}

void names_open(void)
{
        names = world_alloc(sizeof *names);
}

void name_set(const char *host, const char *addresses)
{
        struct name *name = make_name(host);

        world_free(name->addresses);
        name->addresses = world_text("%s", addresses);
}

void name_state(const char *host, enum name_state state)
{
        make_name(host)->state = state;
}

static bool literal(const char *text, uint16_t port, struct sockaddr_storage *out)
{
        struct sockaddr_in *four = (struct sockaddr_in *)out;
        struct sockaddr_in6 *six = (struct sockaddr_in6 *)out;

        memset(out, 0, sizeof *out);
        if (inet_pton(AF_INET, text, &four->sin_addr) == 1) {
                four->sin_family = AF_INET;
                four->sin_port = htons(port);
        } else if (inet_pton(AF_INET6, text, &six->sin6_addr) == 1) {
                six->sin6_family = AF_INET6;
                six->sin6_port = htons(port);
        }
        return out->ss_family != 0;
}

static void add_address(struct addrinfo **list, const struct sockaddr_storage *address)
{
        struct addrinfo *one = calloc(1, sizeof *one + sizeof *address), **end = list;

        *one = (struct addrinfo){ .ai_family = address->ss_family,
                                  .ai_socktype = SOCK_STREAM,
                                  .ai_protocol = IPPROTO_TCP,
                                  .ai_addrlen = address->ss_family == AF_INET ? sizeof(struct sockaddr_in)
                                                                              : sizeof(struct sockaddr_in6),
                                  .ai_addr = (struct sockaddr *)(one + 1) };
        memcpy(one + 1, address, sizeof *address);
        while (*end)
                end = &(*end)->ai_next;
        *end = one;
}

int getaddrinfo(const char *restrict host, const char *restrict service,
                const struct addrinfo *restrict hints, struct addrinfo **restrict out)
{
        uint16_t port = (uint16_t)(service ? strtoul(service, NULL, 10) : 0);
        struct sockaddr_storage address;

        *out = NULL;
        if (literal(host, port, &address)) {
                add_address(out, &address);
                return 0;
        }
        if (hints && hints->ai_flags & AI_NUMERICHOST)
                return EAI_NONAME;
        job_takes(chance_about("names", USUAL_MS));
        const struct name *name = name_of(host);
        if (name && name->state != NAME_ANSWERS) {
                job_takes(name->state == NAME_HANGS ? HANGS_MS : 0);
                return EAI_AGAIN;
        }
        char *rest = strdup(name ? name->addresses : ""), *walk = rest;
        for (const char *word; (word = strsep(&walk, " ")) != NULL;)
                if (literal(word, port, &address))
                        add_address(out, &address);
        free(rest);
        return *out ? 0 : EAI_NONAME;
}

void freeaddrinfo(struct addrinfo *list)
{
        while (list) {
                struct addrinfo *next = list->ai_next;
                free(list);
                list = next;
        }
}

int gethostname(char *out, size_t size)
{
        (void)snprintf(out, size, "station");
        return 0;
}

/* ---- users ---- */

static struct passwd users[] = {
        { (char *)"root", (char *)"x", 0, 0, (char *)"", (char *)"/root", (char *)"/bin/sh" },
        { (char *)"emailsec", (char *)"x", 990, 990, (char *)"", (char *)"/", (char *)"/usr/sbin/nologin" },
        { (char *)"anna", (char *)"x", 1000, 1000, (char *)"", (char *)"/home/anna", (char *)"/bin/sh" },
        { (char *)"bert", (char *)"x", 1001, 1001, (char *)"", (char *)"/home/bert", (char *)"/bin/sh" },
        { (char *)"carla", (char *)"x", 1002, 1002, (char *)"", (char *)"/home/carla", (char *)"/bin/sh" },
};

struct passwd *getpwuid(uid_t uid)
{
        for (size_t i = 0; i < lengthof(users); i++)
                if (users[i].pw_uid == uid)
                        return &users[i];
        return NULL;
}

struct passwd *getpwnam(const char *name)
{
        for (size_t i = 0; i < lengthof(users); i++)
                if (strcmp(users[i].pw_name, name) == 0)
                        return &users[i];
        return NULL;
}

int getpwuid_r(uid_t uid, struct passwd *restrict out, char *restrict room, size_t size,
               struct passwd **restrict found)
{
        struct passwd *user = getpwuid(uid);

        (void)room;
        (void)size;
        if (user)
                *out = *user;
        *found = user ? out : NULL;
        return 0;
}

struct group *getgrnam(const char *name)
{
        static struct group group;
        const struct passwd *user = getpwnam(name);

        group = (struct group){ .gr_name = user ? user->pw_name : NULL, .gr_gid = user ? user->pw_gid : 0 };
        return user ? &group : NULL;
}

int getgrouplist(const char *name, gid_t gid, gid_t *groups, int *count)
{
        (void)name;
        if (*count < 1) {
                *count = 1;
                return -1;
        }
        groups[0] = gid;
        return *count = 1;
}

uid_t getuid(void)
{
        return shared ? 990 : (uid_t)real(SYS_getuid);
}

uid_t geteuid(void)
{
        return getuid();
}

gid_t getgid(void)
{
        return shared ? 990 : (gid_t)real(SYS_getgid);
}

gid_t getegid(void)
{
        return getgid();
}

pid_t getpid(void)
{
        return shared && in_daemon ? (pid_t)(1000 + shared->life) : (pid_t)real(SYS_getpid);
}
