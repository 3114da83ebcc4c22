/* SPDX-License-Identifier: MIT */
/*
 * An SMTP server for measuring: TLS from the first byte, a thread a connection, takes everything and keeps nothing.
 * Usage: fast_sink CHAIN.pem; the first line it prints is its port. Each line on standard input is answered with
 * "MESSAGES CONNECTIONS LAST": LAST is the monotonic clock in nanoseconds at the last message.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { INPUT = 65536, OUTPUT = 65536 };

static _Atomic long long messages, connections, last;
static SSL_CTX *context;

struct peer {
        SSL *ssl;
        char in[INPUT], out[OUTPUT];
        size_t have, said;
        int in_data;
};

static long long now(void)
{
        struct timespec t;

        (void)clock_gettime(CLOCK_MONOTONIC, &t);
        return t.tv_sec * 1000000000LL + t.tv_nsec;
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
        int fine = !peer->said || SSL_write(peer->ssl, peer->out, (int)peer->said) > 0;

        peer->said = 0;
        return fine;
}

/* 0 when the session is over. */
static int command(struct peer *peer, const char *line)
{
        if (!strncasecmp(line, "EHLO", 4)) {
                say(peer, "250-sink.example\r\n250-PIPELINING\r\n250-SIZE 100000000\r\n250-8BITMIME\r\n"
                          "250 ENHANCEDSTATUSCODES\r\n");
        } else if (!strncasecmp(line, "DATA", 4)) {
                say(peer, "354 go on\r\n");
                peer->in_data = 1;
        } else if (!strncasecmp(line, "QUIT", 4)) {
                say(peer, "221 2.0.0 bye\r\n");
                return 0;
        } else {
                say(peer, "250 2.0.0 ok\r\n");
        }
        return 1;
}

static int take_lines(struct peer *peer)
{
        size_t from = 0;
        int more = 1;

        for (char *end; more && (end = memchr(peer->in + from, '\n', peer->have - from)) != NULL;) {
                const char *line = peer->in + from;
                size_t len = (size_t)(end - line) + 1;
                from += len;
                if (!peer->in_data) {
                        more = command(peer, line);
                } else if (len == 3 && line[0] == '.') {
                        peer->in_data = 0;
                        last = now();
                        messages++;
                        say(peer, "250 2.0.0 taken\r\n");
                }
        }
        memmove(peer->in, peer->in + from, peer->have - from);
        peer->have -= from;
        return more && peer->have < INPUT;
}

static void *serve(void *argument)
{
        struct peer *peer = argument;

        if (SSL_accept(peer->ssl) == 1) {
                say(peer, "220 sink.example ESMTP\r\n");
                for (int more = flush(peer); more;) {
                        int got = SSL_read(peer->ssl, peer->in + peer->have, (int)(INPUT - peer->have));
                        if (got <= 0)
                                break;
                        peer->have += (size_t)got;
                        more = take_lines(peer);
                        /* answers go out together when nothing more is there to be read */
                        if (!more || peer->said > OUTPUT / 2 || !SSL_pending(peer->ssl))
                                more = flush(peer) && more;
                }
        }
        (void)SSL_shutdown(peer->ssl);
        (void)close(SSL_get_fd(peer->ssl));
        SSL_free(peer->ssl);
        free(peer);
        return NULL;
}

static void *listen_on(void *argument)
{
        int on = 1, listener = *(int *)argument;

        for (int fd; (fd = accept(listener, NULL, NULL)) >= 0;) {
                struct peer *peer = calloc(1, sizeof *peer);
                pthread_t thread;
                if (!peer || !(peer->ssl = SSL_new(context)) || SSL_set_fd(peer->ssl, fd) != 1)
                        exit(1);
                (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                connections++;
                if (pthread_create(&thread, NULL, serve, peer) || pthread_detach(thread))
                        exit(1);
        }
        return NULL;
}

int main(int argc, char **argv)
{
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t len = sizeof address;
        int listener = socket(AF_INET, SOCK_STREAM, 0);
        pthread_t thread;
        char line[16];

        (void)signal(SIGPIPE, SIG_IGN);
        context = SSL_CTX_new(TLS_server_method());
        if (argc != 2 || !context || SSL_CTX_use_certificate_chain_file(context, argv[1]) != 1 ||
            SSL_CTX_use_PrivateKey_file(context, argv[1], SSL_FILETYPE_PEM) != 1 || listener < 0 ||
            bind(listener, (struct sockaddr *)&address, len) < 0 || listen(listener, 512) < 0 ||
            getsockname(listener, (struct sockaddr *)&address, &len) < 0 ||
            pthread_create(&thread, NULL, listen_on, &listener)) {
                fprintf(stderr, "fast_sink: cannot begin (usage: fast_sink CHAIN.pem)\n");
                return 1;
        }
        printf("%u\n", ntohs(address.sin_port));
        (void)fflush(stdout);
        while (fgets(line, sizeof line, stdin)) {
                printf("%lld %lld %lld\n", messages, connections, last);
                (void)fflush(stdout);
        }
        return 0;
}
