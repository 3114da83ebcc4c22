/* SPDX-License-Identifier: MIT */
/*
 * The least that a fetch to disk costs, for measuring: everything in an INBOX by one command (IMAP) or in one
 * go (POP3), by TLS from the first byte with the server's certificate checked; each message a file in tmp/
 * of a Maildir, all synced by one call at the end and only then renamed to new/. Nothing is recorded, looked
 * up, told to the server or safe before the end. Usage: fast_reader ADDRESS PORT ROOT.pem imap|pop3 USER
 * PASSWORD MAILDIR COUNT.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ = 256 * 1024 };

static SSL *ssl;
static char in[READ];
static size_t have, used; /* bytes of `in`; of these, which were looked at */
static int tmp, new;
static long count, messages;

static void fail(const char *what)
{
        (void)fprintf(stderr, "fast_reader: %s\n", what);
        exit(1);
}

static void say(const char *text)
{
        if (SSL_write(ssl, text, (int)strlen(text)) <= 0)
                fail("cannot write");
}

static void more(void)
{
        if (used) {
                have -= used;
                memmove(in, in + used, have);
                used = 0;
        }
        int got = have < sizeof in ? SSL_read(ssl, in + have, (int)(sizeof in - have)) : 0;
        if (got <= 0)
                fail("cannot read");
        have += (size_t)got;
}

/* The next line with its LF; `len` bytes, valid until the next call. */
static const char *line(size_t *len)
{
        for (;;) {
                const char *begin = in + used, *end = memchr(begin, '\n', have - used);
                if (end) {
                        *len = (size_t)(end - begin) + 1;
                        used += *len;
                        return begin;
                }
                more();
        }
}

static int file_new(void)
{
        char name[24];

        (void)snprintf(name, sizeof name, "%ld", ++messages);
        int fd = openat(tmp, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0)
                fail("cannot create a file");
        return fd;
}

static void put(int fd, const char *bytes, size_t len)
{
        if (write(fd, bytes, len) != (ssize_t)len)
                fail("cannot write a file");
}

/* Of an IMAP literal. */
static void take_bytes(size_t left)
{
        int fd = file_new();

        while (left) {
                if (used == have)
                        more();
                size_t len = have - used < left ? have - used : left;
                put(fd, in + used, len);
                used += len;
                left -= len;
        }
        (void)close(fd);
}

/* Until the line of a dot. */
static void take_lines(void)
{
        static char out[READ];
        size_t len, filled = 0;
        int fd = file_new();

        for (const char *text = line(&len); len != 3 || text[0] != '.'; text = line(&len)) {
                size_t stuffed = text[0] == '.';
                if (filled + len > sizeof out) {
                        put(fd, out, filled);
                        filled = 0;
                }
                memcpy(out + filled, text + stuffed, len - stuffed);
                filled += len - stuffed;
        }
        put(fd, out, filled);
        (void)close(fd);
}

static void wait_for(const char *begin)
{
        size_t len;
        const char *text = line(&len);

        while (len < strlen(begin) || memcmp(text, begin, strlen(begin)) != 0)
                text = line(&len);
}

static void by_imap(const char *user, const char *password)
{
        char login[256];
        size_t len;

        (void)snprintf(login, sizeof login, "a LOGIN %s %s\r\n", user, password);
        say(login);
        wait_for("a OK");
        say("b EXAMINE INBOX\r\n");
        wait_for("b OK");
        say("c FETCH 1:* BODY.PEEK[]\r\n");
        for (const char *text = line(&len); memcmp(text, "c ", 2) != 0; text = line(&len)) {
                const char *brace = memrchr(text, '{', len);
                if (brace)
                        take_bytes(strtoul(brace + 1, NULL, 10));
        }
}

static void by_pop3(const char *user, const char *password)
{
        char text[256];

        wait_for("+OK");
        (void)snprintf(text, sizeof text, "USER %s\r\n", user);
        say(text);
        wait_for("+OK");
        (void)snprintf(text, sizeof text, "PASS %s\r\n", password);
        say(text);
        wait_for("+OK");
        for (long asked = 0; messages < count;) {
                for (size_t filled = 0; asked < count && asked - messages < 100 && filled < 200; asked++)
                        filled += (size_t)snprintf(text + filled, sizeof text - filled, "RETR %ld\r\n",
                                                   asked + 1);
                if (asked > messages && text[0])
                        say(text);
                text[0] = '\0';
                wait_for("+OK");
                take_lines();
        }
}

static void keep(const char *maildir)
{
        char name[24];

        if (syncfs(tmp) < 0)
                fail("cannot sync");
        for (long i = 1; i <= messages; i++) {
                (void)snprintf(name, sizeof name, "%ld", i);
                if (renameat(tmp, name, new, name) < 0)
                        fail("cannot rename");
        }
        if (fsync(new) < 0 || messages != count)
                fail(maildir);
}

static int folder(const char *maildir, const char *name)
{
        char path[4096];

        (void)snprintf(path, sizeof path, "%s/%s", maildir, name);
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                fail("cannot open the Maildir");
        return fd;
}

int main(int argc, char **argv)
{
        struct sockaddr_in server = { .sin_family = AF_INET };
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        SSL_CTX *context = SSL_CTX_new(TLS_client_method());

        if (argc != 9 || inet_pton(AF_INET, argv[1], &server.sin_addr) != 1)
                fail("usage: fast_reader ADDRESS PORT ROOT.pem imap|pop3 USER PASSWORD MAILDIR COUNT");
        server.sin_port = htons((in_port_t)atoi(argv[2]));
        tmp = folder(argv[7], "tmp");
        new = folder(argv[7], "new");
        count = atol(argv[8]);
        if (!context || SSL_CTX_load_verify_locations(context, argv[3], NULL) != 1)
                fail("cannot begin");
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
        if (fd < 0 || connect(fd, (struct sockaddr *)&server, sizeof server) < 0 ||
            !(ssl = SSL_new(context)) || SSL_set_fd(ssl, fd) != 1 || SSL_connect(ssl) != 1)
                fail("cannot connect");
        (strcmp(argv[4], "imap") == 0 ? by_imap : by_pop3)(argv[5], argv[6]);
        keep(argv[7]);
        return 0;
}
