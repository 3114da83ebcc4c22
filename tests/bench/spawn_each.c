/* SPDX-License-Identifier: MIT */
/*
 * A process for each message: runs a command COUNT times with a file as standard input, AT_ONCE at a time,
 * and prints the seconds it took. Small, so that what is measured is the command. Usage: spawn_each COUNT
 * AT_ONCE FILE COMMAND...
 */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

static double now(void)
{
        struct timespec t;

        (void)clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int spawn(const char *file, char **command)
{
        posix_spawn_file_actions_t actions;
        pid_t pid;

        if (posix_spawn_file_actions_init(&actions) ||
            posix_spawn_file_actions_addopen(&actions, 0, file, O_RDONLY, 0) ||
            posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0))
                return -1;
        int error = posix_spawn(&pid, command[0], &actions, NULL, command, environ);

        (void)posix_spawn_file_actions_destroy(&actions);
        return error ? -1 : 0;
}

int main(int argc, char **argv)
{
        int left = argc > 4 ? atoi(argv[1]) : 0, most = argc > 4 ? atoi(argv[2]) : 0, running = 0, status;
        double start = now();

        if (left < 1 || most < 1) {
                fprintf(stderr, "usage: spawn_each COUNT AT_ONCE FILE COMMAND...\n");
                return 2;
        }
        while (left || running) {
                for (; left && running < most; left--, running++)
                        if (spawn(argv[3], argv + 4)) {
                                fprintf(stderr, "spawn_each: cannot run %s\n", argv[4]);
                                return 1;
                        }
                if (wait(&status) < 0 || status) {
                        fprintf(stderr, "spawn_each: %s failed with status %d\n", argv[4], status);
                        return 1;
                }
                running--;
        }
        printf("%.6f\n", now() - start);
        return 0;
}
