/* SPDX-License-Identifier: MIT */
/*
 * Clients that hand mail in: so many connections of one thread, each of which waits for its answer before it
 * goes on, until COUNT messages are taken. Small, so that what is measured is the server. What is said comes
 * on standard input, one step behind the other; prints when it began (seconds of the monotonic clock), the
 * seconds it took, and after how many milliseconds of its first step a message was answered: p50, p99. Usage:
 * clients ADDRESS COUNT CLIENTS FIRST {LENGTH FILE ANSWER}... ADDRESS: path of a socket, or a port of
 * 127.0.0.1. FIRST: the step that each further message begins with. Of a step: LENGTH of what is said; FILE
 * whose descriptor goes along, or ""; ANSWER: how the last line of what is answered begins, or "": a reply of
 * Varlink, no error.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { STEPS_MOST = 8, CLIENTS_MOST = 1024, ANSWER_MOST = 65536 };

struct step {
        const char *said, *file, *answer;
        size_t len;
};
struct client {
        int fd, step;
        size_t sent, got;
        bool waits_to_write;
        double begun;
        char answer[ANSWER_MOST];
};

static struct {
        struct step steps[STEPS_MOST];
        int step_count, first, count, begun, finished, epoll;
        double *took;
} all;

static double now(void)
{
        struct timespec t;

        (void)clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static _Noreturn void fail(const char *what)
{
        fprintf(stderr, "clients: %s: %s\n", what, strerror(errno));
        exit(1);
}

static void watch(struct client *client, int how, bool write)
{
        struct epoll_event event = { .events = EPOLLIN | (write ? EPOLLOUT : 0u), .data.ptr = client };

        if (epoll_ctl(all.epoll, how, client->fd, &event) < 0)
                fail("epoll_ctl");
        client->waits_to_write = write;
}

/* The descriptor goes with the first byte. */
static ssize_t send_some(const struct client *client, const struct step *step)
{
        struct iovec part = { .iov_base = (char *)(uintptr_t)step->said + client->sent,
                              .iov_len = step->len - client->sent };
        union {
                struct cmsghdr header;
                char room[CMSG_SPACE(sizeof(int))];
        } control = { 0 };
        struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
        int file = -1;

        if (step->file[0] && client->sent == 0) {
                file = open(step->file, O_RDONLY | O_CLOEXEC);
                if (file < 0)
                        fail(step->file);
                message.msg_control = control.room;
                message.msg_controllen = sizeof control.room;
                struct cmsghdr *header = CMSG_FIRSTHDR(&message);
                *header = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof file),
                                            .cmsg_level = SOL_SOCKET,
                                            .cmsg_type = SCM_RIGHTS };
                memcpy(CMSG_DATA(header), &file, sizeof file);
        }
        ssize_t sent = sendmsg(client->fd, &message, MSG_NOSIGNAL);
        if (file >= 0)
                (void)close(file);
        return sent;
}

static void say(struct client *client)
{
        const struct step *step = &all.steps[client->step];

        while (client->sent < step->len) {
                ssize_t sent = send_some(client, step);
                if (sent < 0 && errno != EAGAIN)
                        fail("send");
                if (sent < 0)
                        break;
                client->sent += (size_t)sent;
        }
        bool more = client->sent < step->len;
        if (more != client->waits_to_write)
                watch(client, EPOLL_CTL_MOD, more);
}

/* False when there is no message left to begin with. */
static bool take_step(struct client *client, int number)
{
        client->step = number == all.step_count ? all.first : number;
        client->sent = client->got = 0;
        if (client->step == all.first) {
                if (all.begun == all.count)
                        return false;
                all.begun++;
                client->begun = now();
        }
        say(client);
        return true;
}

static const char *last_line(const char *answer, size_t len)
{
        const char *before = memrchr(answer, '\n', len - 1);

        return before ? before + 1 : answer;
}

/* Whether what has come is the whole answer; an error ends the program. */
static bool is_answered(const struct client *client)
{
        const char *awaited = all.steps[client->step].answer, *answer = client->answer;
        size_t len = client->got;

        if (answer[len - 1] != (awaited[0] ? '\n' : '\0'))
                return false;
        const char *line = last_line(answer, len);
        if (awaited[0] ? line[0] == '4' || line[0] == '5' : memmem(answer, len, "\"error\"", 7) != NULL) {
                fprintf(stderr, "clients: answered %.*s\n", (int)len, answer);
                exit(1);
        }
        return strncmp(line, awaited, strlen(awaited)) == 0;
}

static void hear(struct client *client)
{
        ssize_t got =
                recv(client->fd, client->answer + client->got, sizeof client->answer - 1 - client->got, 0);

        if (got < 0 && errno == EAGAIN)
                return;
        if (got <= 0)
                fail("the server hung up");
        client->got += (size_t)got;
        client->answer[client->got] = '\0';
        if (!is_answered(client))
                return;
        if (client->step == all.step_count - 1)
                all.took[all.finished++] = now() - client->begun;
        if (!take_step(client, client->step + 1)) {
                (void)close(client->fd);
                client->fd = -1;
        }
}

static int connected(const char *address)
{
        struct sockaddr_un local = { .sun_family = AF_UNIX };
        struct sockaddr_in port = { .sin_family = AF_INET,
                                    .sin_port = htons((uint16_t)atoi(address)),
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        bool is_path = address[0] == '/';
        int fd = socket(is_path ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        (void)snprintf(local.sun_path, sizeof local.sun_path, "%s", address);
        if (fd < 0 || (is_path ? connect(fd, (struct sockaddr *)&local, sizeof local)
                               : connect(fd, (struct sockaddr *)&port, sizeof port)) < 0)
                fail(address);
        if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
                fail("fcntl");
        return fd;
}

static void run(const char *address, int clients)
{
        static struct client each[CLIENTS_MOST];
        struct epoll_event events[64];

        for (int i = 0; i < clients; i++) {
                each[i].fd = connected(address);
                watch(&each[i], EPOLL_CTL_ADD, false);
                if (!take_step(&each[i], 0))
                        (void)close(each[i].fd);
        }
        while (all.finished < all.count) {
                int ready = epoll_wait(all.epoll, events, 64, 30000);
                if (ready == 0)
                        errno = ETIMEDOUT;
                if (ready == 0 || (ready < 0 && errno != EINTR))
                        fail("waiting");
                for (int i = 0; i < ready; i++) {
                        struct client *client = events[i].data.ptr;
                        if (events[i].events & EPOLLOUT)
                                say(client);
                        if (events[i].events & ~(unsigned)EPOLLOUT)
                                hear(client);
                }
        }
}

static void read_steps(char **words, int count)
{
        for (int i = 0; i < count; i++, words += 3) {
                struct step *step = &all.steps[i];
                *step = (struct step){ .len = (size_t)atol(words[0]), .file = words[1], .answer = words[2] };
                char *said = calloc(1, step->len + 1);
                if (!said || fread(said, 1, step->len, stdin) != step->len)
                        fail("standard input");
                step->said = said;
        }
        all.step_count = count;
}

static int by_size(const void *a, const void *b)
{
        double one = *(const double *)a, other = *(const double *)b;

        return (one > other) - (one < other);
}

int main(int argc, char **argv)
{
        int clients = argc > 7 ? atoi(argv[3]) : 0;

        all.count = clients > 0 ? atoi(argv[2]) : 0;
        if (all.count < 1 || clients > CLIENTS_MOST || (argc - 5) % 3 || (argc - 5) / 3 > STEPS_MOST) {
                fprintf(stderr, "usage: clients ADDRESS COUNT CLIENTS FIRST {LENGTH FILE ANSWER}...\n");
                return 2;
        }
        all.first = atoi(argv[4]);
        all.took = calloc((size_t)all.count, sizeof *all.took);
        all.epoll = epoll_create1(EPOLL_CLOEXEC);
        if (!all.took || all.epoll < 0)
                fail("beginning");
        read_steps(argv + 5, (argc - 5) / 3);
        double start = now();
        run(argv[1], clients);
        double seconds = now() - start;
        qsort(all.took, (size_t)all.count, sizeof *all.took, by_size);
        printf("%.6f %.6f %.3f %.3f\n", start, seconds, all.took[all.count / 2] * 1000,
               all.took[all.count - 1 - all.count / 100] * 1000);
        return 0;
}
