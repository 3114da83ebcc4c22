/* SPDX-License-Identifier: MIT */
/*
 * An SMTP server for measuring: TLS from the first byte, takes everything and keeps nothing. Usage: fast_sink
 * CHAIN.pem [plain]; plain: without CHUNKING. The first line it prints is its port. Each line on standard
 * input is answered with "MESSAGES CONNECTIONS LAST": LAST is the monotonic clock in nanoseconds at the last
 * message.
 */
#include "tests/bench/fast_server.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { INPUT = 65536, OUTPUT = 65536 };

static _Atomic long long messages, connections, last;
static int plain;

struct peer {
        SSL *ssl;
        char in[INPUT], out[OUTPUT];
        size_t have, said;
        int in_data;
        size_t chunk; /* bytes of a chunk that are still to come */
        int chunk_ends;
};

static long long now(void)
{
        struct timespec t;

        (void)clock_gettime(CLOCK_MONOTONIC, &t);
        return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int receive(SSL *ssl, char *into, size_t room)
{
        int got;

        while ((got = SSL_read(ssl, into, (int)room)) <= 0 && server_again(ssl, got))
                ;
        return got;
}

static void say(struct peer *peer, const char *text)
{
        size_t len = strlen(text);

        if (peer->said + len <= OUTPUT) {
                memcpy(peer->out + peer->said, text, len);
                peer->said += len;
        }
}

static int flush(struct peer *peer)
{
        int done = 1;

        while (peer->said && (done = SSL_write(peer->ssl, peer->out, (int)peer->said)) <= 0 &&
               server_again(peer->ssl, done))
                ;
        peer->said = 0;
        return done > 0;
}

/* 0 when the session is over. */
static int command(struct peer *peer, const char *line)
{
        if (!strncasecmp(line, "EHLO", 4)) {
                say(peer, "250-sink.example\r\n250-PIPELINING\r\n250-SIZE 100000000\r\n250-8BITMIME\r\n");
                if (!plain)
                        say(peer, "250-CHUNKING\r\n");
                say(peer, "250 ENHANCEDSTATUSCODES\r\n");
        } else if (!strncasecmp(line, "DATA", 4)) {
                say(peer, "354 go on\r\n");
                peer->in_data = 1;
        } else if (!strncasecmp(line, "BDAT", 4)) {
                peer->chunk = strtoul(line + 5, NULL, 10);
                peer->chunk_ends = memmem(line, strcspn(line, "\r\n"), "LAST", 4) != NULL;
        } else if (!strncasecmp(line, "QUIT", 4)) {
                say(peer, "221 2.0.0 bye\r\n");
                return 0;
        } else {
                say(peer, "250 2.0.0 ok\r\n");
        }
        return 1;
}

static void taken(struct peer *peer)
{
        last = now();
        messages++;
        say(peer, "250 2.0.0 taken\r\n");
}

/* What is there of a chunk; 0 when more has to come. */
static int take_chunk(struct peer *peer, size_t *from)
{
        size_t there = peer->have - *from, len = there < peer->chunk ? there : peer->chunk;

        *from += len;
        peer->chunk -= len;
        if (peer->chunk)
                return 0;
        if (peer->chunk_ends)
                taken(peer);
        else
                say(peer, "250 2.0.0 more\r\n");
        return 1;
}

static int take_lines(struct peer *peer)
{
        size_t from = 0;
        int more = 1;

        if (peer->chunk && !take_chunk(peer, &from)) {
                peer->have = 0;
                return 1;
        }
        for (char *end; more && (end = memchr(peer->in + from, '\n', peer->have - from)) != NULL;) {
                const char *line = peer->in + from;
                size_t len = (size_t)(end - line) + 1;
                from += len;
                if (!peer->in_data) {
                        more = command(peer, line);
                        if (more && peer->chunk && !take_chunk(peer, &from))
                                break;
                } else if (len == 3 && line[0] == '.') {
                        peer->in_data = 0;
                        taken(peer);
                }
        }
        memmove(peer->in, peer->in + from, peer->have - from);
        peer->have -= from;
        return more && peer->have < INPUT;
}

static void serve(SSL *ssl, int listener)
{
        struct peer *peer = calloc(1, sizeof *peer);

        (void)listener;
        if (!peer)
                exit(1);
        peer->ssl = ssl;
        connections++;
        if (server_greet(ssl)) {
                say(peer, "220 sink.example ESMTP\r\n");
                for (int more = flush(peer); more;) {
                        int got = receive(ssl, peer->in + peer->have, INPUT - peer->have);
                        if (got <= 0)
                                break;
                        peer->have += (size_t)got;
                        more = take_lines(peer);
                        /* answers go out together when nothing more is there to be read */
                        if (!more || peer->said > OUTPUT / 2 || !SSL_pending(ssl))
                                more = flush(peer) && more;
                }
        }
        (void)SSL_shutdown(ssl);
        (void)close(SSL_get_fd(ssl));
        SSL_free(ssl);
        free(peer);
}

int main(int argc, char **argv)
{
        int listener;
        unsigned port = 0;
        char line[16];

        plain = argc == 3 && strcmp(argv[2], "plain") == 0;
        if (argc != 2 + plain || server_begin(argv[1]) < 0 ||
            !(port = server_listen(&listener, "127.0.0.1", 0))) {
                fprintf(stderr, "fast_sink: cannot begin (usage: fast_sink CHAIN.pem [plain])\n");
                return 1;
        }
        printf("%u\n", port);
        (void)fflush(stdout);
        while (fgets(line, sizeof line, stdin)) {
                printf("%lld %lld %lld\n", messages, connections, last);
                (void)fflush(stdout);
        }
        return 0;
}
