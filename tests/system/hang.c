/* SPDX-License-Identifier: MIT */
/*
 * Preloaded into the daemon: calls that hang while a file of their name is there, in the folder that HANG
 * names. "disk" is fsync and its like, "names" getaddrinfo of a name, "users" getpwuid, "groups" getgrnam,
 * "client" reading a file that a client handed in, "client-UID" one that belongs to this user.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

static void hang(const char *what)
{
        char path[4096];
        const char *folder = getenv("HANG");

        if (!folder)
                return;
        (void)snprintf(path, sizeof path, "%s/%s.hangs", folder, what);
        int fd = -1;
        while (snprintf(path + strlen(folder) + 1, 64, "%s", what) > 0 && access(path, F_OK) == 0) {
                (void)snprintf(path + strlen(folder) + 1, 64, "%s.hangs", what);
                if (fd < 0 && (fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0666)) >= 0)
                        (void)close(fd);
                (void)usleep(10000);
        }
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int fsync(int fd)
{
        hang("disk");
        return REAL(fsync)(fd);
}

int fdatasync(int fd)
{
        hang("disk");
        return REAL(fdatasync)(fd);
}

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
        if (!hints || !(hints->ai_flags & AI_NUMERICHOST))
                hang("names");
        return REAL(getaddrinfo)(host, service, hints, out);
}

int getpwuid_r(uid_t uid, struct passwd *user, char *memory, size_t size, struct passwd **out)
{
        hang("users");
        return REAL(getpwuid_r)(uid, user, memory, size, out);
}

struct group *getgrnam(const char *name)
{
        hang("groups");
        return REAL(getgrnam)(name);
}

static void hang_client(int fd)
{
        char thread[32] = "", one[32];
        struct stat st;

        (void)prctl(PR_GET_NAME, thread);
        if (strcmp(thread, "store-intake") != 0 || fstat(fd, &st) < 0)
                return;
        hang("client");
        (void)snprintf(one, sizeof one, "client-%u", st.st_uid);
        hang(one);
}

ssize_t pread(int fd, void *to, size_t size, off_t at)
{
        hang_client(fd);
        return REAL(pread)(fd, to, size, at);
}

ssize_t pread64(int fd, void *to, size_t size, off64_t at)
{
        hang_client(fd);
        return REAL(pread64)(fd, to, size, at);
}

ssize_t __pread_chk(int fd, void *to, size_t size, off_t at, unsigned long room)
{
        (void)room;
        return pread(fd, to, size, at);
}

ssize_t __pread64_chk(int fd, void *to, size_t size, off64_t at, unsigned long room)
{
        (void)room;
        return pread64(fd, to, size, at);
}
