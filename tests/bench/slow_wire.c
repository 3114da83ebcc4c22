/* SPDX-License-Identifier: MIT */
/*
 * A server far away: relays connections to a port of 127.0.0.1, each direction MS milliseconds late, whatever
 * their rate. Only the TCP handshake is not late. Usage: slow_wire PORT MS; prints its own port, ends with
 * standard input.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PIECE = 65536 };

struct piece {
        struct piece *next;
        long long due;
        ssize_t len; /* 0: the end */
        char bytes[PIECE];
};

struct way {
        int from, to;
        struct piece *first, **last;
};

static long long delay;
static struct sockaddr_in far_end = { .sin_family = AF_INET };

static long long now(void)
{
        struct timespec t;

        (void)clock_gettime(CLOCK_MONOTONIC, &t);
        return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* True when that was the end. */
static int take(struct way *way)
{
        int on = 1;
        struct piece *piece = malloc(sizeof *piece);

        if (!piece)
                exit(1);
        piece->len = recv(way->from, piece->bytes, PIECE, 0);
        (void)setsockopt(way->from, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
        piece->len = piece->len < 0 ? 0 : piece->len;
        piece->due = now() + delay;
        piece->next = NULL;
        *way->last = piece;
        way->last = &piece->next;
        return piece->len == 0;
}

/* True when that was the end. */
static int give(struct way *way)
{
        struct piece *piece = way->first;
        ssize_t len = piece->len, sent = 0;

        while (sent >= 0 && sent < len) {
                ssize_t more = send(way->to, piece->bytes + sent, (size_t)(len - sent), MSG_NOSIGNAL);
                sent = more < 0 ? -1 : sent + more;
        }
        way->first = piece->next;
        if (!way->first)
                way->last = &way->first;
        free(piece);
        return len == 0 || sent < 0;
}

static void *carry(void *argument)
{
        struct way *way = argument;
        int ended = 0, over = 0;

        while (!over) {
                long long left = way->first ? way->first->due - now() : 1000000000;
                struct timespec wait = { .tv_nsec = left > 0 ? (long)(left % 1000000000) : 0,
                                         .tv_sec = left > 0 ? left / 1000000000 : 0 };
                struct pollfd ready = { .fd = ended ? -1 : way->from, .events = POLLIN };
                if (left > 0 && ppoll(&ready, 1, &wait, NULL) > 0)
                        ended = take(way);
                else if (way->first && way->first->due <= now())
                        over = give(way);
        }
        (void)shutdown(way->to, SHUT_WR);
        (void)shutdown(way->from, SHUT_RD);
        while (way->first)
                (void)give(way);
        free(way);
        return NULL;
}

static void start(int from, int to)
{
        struct way *way = calloc(1, sizeof *way);
        pthread_t thread;

        if (!way)
                exit(1);
        way->from = from;
        way->to = to;
        way->last = &way->first;
        if (pthread_create(&thread, NULL, carry, way) || pthread_detach(thread))
                exit(1);
}

/* Descriptors stay open until the end: a benchmark has few. */
static void *listen_on(void *argument)
{
        int on = 1, listener = *(int *)argument;

        for (int near; (near = accept(listener, NULL, NULL)) >= 0;) {
                int far = socket(AF_INET, SOCK_STREAM, 0);
                if (far < 0 || connect(far, (struct sockaddr *)&far_end, sizeof far_end) < 0)
                        exit(1);
                (void)setsockopt(near, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                (void)setsockopt(far, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                start(near, far);
                start(far, near);
        }
        return NULL;
}

int main(int argc, char **argv)
{
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t len = sizeof address;
        int listener = socket(AF_INET, SOCK_STREAM, 0);
        pthread_t thread;

        (void)signal(SIGPIPE, SIG_IGN);
        far_end.sin_addr = address.sin_addr;
        far_end.sin_port = htons((in_port_t)(argc > 2 ? atoi(argv[1]) : 0));
        delay = argc > 2 ? atoll(argv[2]) * 1000000 : 0;
        if (!delay || listener < 0 || bind(listener, (struct sockaddr *)&address, len) < 0 ||
            listen(listener, 512) < 0 || getsockname(listener, (struct sockaddr *)&address, &len) < 0 ||
            pthread_create(&thread, NULL, listen_on, &listener)) {
                fprintf(stderr, "usage: slow_wire PORT MS\n");
                return 1;
        }
        printf("%u\n", ntohs(address.sin_port));
        (void)fflush(stdout);
        while (getchar() != EOF)
                ;
        return 0;
}
