/* SPDX-License-Identifier: MIT */
/*
 * The least that sending costs, for measuring: one message, in memory, handed COUNT times to a server at a
 * port of 127.0.0.1, by TLS from the first byte with its certificate checked. No queue, no disk. Commands are
 * pipelined: with CHUNKING message after message with few answers awaited, else the envelope of the next one
 * in one group with the end of the last (RFC 2920). Each answer is looked at. Usage: fast_writer PORT
 * ROOT.pem CONNECTIONS COUNT MESSAGE; the message has CRLF, and no line begins with a dot.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WRITE = 65536, WINDOW = 100, CONNECTIONS_MOST = 64, ANSWERS = 3, MESSAGE_MOST = 16 << 20 };

static SSL_CTX *context;
static struct sockaddr_in server = { .sin_family = AF_INET };
static char *message;
static size_t message_len;
static long share; /* messages of each connection */

struct writer {
        SSL *ssl;
        char out[WRITE], in[WRITE];
        size_t said, have;
};

static void fail(const char *what)
{
        (void)fprintf(stderr, "fast_writer: %s\n", what);
        exit(1);
}

static void flush(struct writer *w)
{
        if (w->said && SSL_write(w->ssl, w->out, (int)w->said) <= 0)
                fail("cannot write");
        w->said = 0;
}

/* What is large goes as it lies there. */
static void say(struct writer *w, const char *bytes, size_t len)
{
        if (w->said + len > WRITE)
                flush(w);
        if (len > WRITE) {
                if (SSL_write(w->ssl, bytes, (int)len) <= 0)
                        fail("cannot write");
                return;
        }
        memcpy(w->out + w->said, bytes, len);
        w->said += len;
}

static void say_text(struct writer *w, const char *text)
{
        say(w, text, strlen(text));
}

/* Reads lines until so many answers have come, each of them good. */
static void hear(struct writer *w, long answers)
{
        while (answers) {
                char *end = memchr(w->in, '\n', w->have);
                if (!end) {
                        int got = SSL_read(w->ssl, w->in + w->have, (int)(sizeof w->in - w->have));
                        if (got <= 0)
                                fail("cannot read");
                        w->have += (size_t)got;
                        continue;
                }
                size_t len = (size_t)(end - w->in) + 1;
                if (len < 5 || (w->in[0] != '2' && w->in[0] != '3'))
                        fail("a bad answer");
                answers -= w->in[3] == ' ';
                w->have -= len;
                memmove(w->in, w->in + len, w->have);
        }
}

static int offers_chunking(struct writer *w)
{
        int got;

        hear(w, 1);
        say_text(w, "EHLO bench\r\n");
        flush(w);
        got = SSL_read(w->ssl, w->in, sizeof w->in); /* the sink says it in one piece */
        w->have = got > 0 ? (size_t)got : 0;
        int found = memmem(w->in, w->have, "CHUNKING", 8) != NULL;
        hear(w, 1);
        return found;
}

static void say_envelope(struct writer *w)
{
        char size[32];

        (void)snprintf(size, sizeof size, "%zu", message_len);
        say_text(w, "MAIL FROM:<a@example.test> SIZE=");
        say_text(w, size);
        say_text(w, "\r\nRCPT TO:<box@example.test>\r\n");
}

static void by_chunks(struct writer *w)
{
        char chunk[40];
        long flying = 0;

        (void)snprintf(chunk, sizeof chunk, "BDAT %zu LAST\r\n", message_len);
        for (long i = 0; i < share; i++) {
                for (; flying == WINDOW; flying -= WINDOW / 2) {
                        flush(w);
                        hear(w, (long)ANSWERS * (WINDOW / 2));
                }
                say_envelope(w);
                say_text(w, chunk);
                say(w, message, message_len);
                flying++;
        }
        flush(w);
        hear(w, ANSWERS * flying);
}

static void by_data(struct writer *w)
{
        for (long i = 0; i < share; i++) {
                say_envelope(w);
                say_text(w, "DATA\r\n");
                flush(w);
                hear(w, ANSWERS + (i > 0)); /* that the last one was taken, too */
                say(w, message, message_len);
                say_text(w, ".\r\n");
        }
        flush(w);
        hear(w, 1);
}

static void *run(void *unused)
{
        int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
        struct writer *w = calloc(1, sizeof *w);

        (void)unused;
        if (!w || fd < 0 || connect(fd, (struct sockaddr *)&server, sizeof server) < 0 ||
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 || !(w->ssl = SSL_new(context)) ||
            SSL_set_fd(w->ssl, fd) != 1 || SSL_set1_host(w->ssl, "localhost") != 1 ||
            SSL_connect(w->ssl) != 1)
                fail("cannot connect");
        if (offers_chunking(w))
                by_chunks(w);
        else
                by_data(w);
        say_text(w, "QUIT\r\n");
        flush(w);
        hear(w, 1);
        SSL_free(w->ssl);
        (void)close(fd);
        free(w);
        return NULL;
}

static void read_message(const char *path)
{
        FILE *file = fopen(path, "rb");

        message = malloc(MESSAGE_MOST);
        message_len = file && message ? fread(message, 1, MESSAGE_MOST, file) : 0;
        if (!message_len || fclose(file))
                fail("cannot read the message");
}

int main(int argc, char **argv)
{
        long connections = argc == 6 ? atol(argv[3]) : 0;
        pthread_t threads[CONNECTIONS_MOST];

        (void)signal(SIGPIPE, SIG_IGN);
        if (connections < 1 || connections > CONNECTIONS_MOST)
                fail("usage: fast_writer PORT ROOT.pem CONNECTIONS COUNT MESSAGE");
        server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        server.sin_port = htons((in_port_t)atoi(argv[1]));
        share = atol(argv[4]) / connections;
        read_message(argv[5]);
        context = SSL_CTX_new(TLS_client_method());
        if (!context || SSL_CTX_load_verify_locations(context, argv[2], NULL) != 1)
                fail("cannot begin");
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
        for (long i = 0; i < connections; i++)
                if (pthread_create(&threads[i], NULL, run, NULL))
                        fail("cannot begin a thread");
        for (long i = 0; i < connections; i++)
                (void)pthread_join(threads[i], NULL);
        return 0;
}
