/* SPDX-License-Identifier: MIT */
/* /proc/PID/loginuid of who connected; see login.h. The files of /proc are the kernel's memory: reading them
 * waits for nothing. */
#include "daemon/control/login.h"

#include "common/cleanup.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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

bool login_of_peer(int fd, pid_t pid, uid_t uid, uid_t *login)
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
