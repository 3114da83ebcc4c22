/* SPDX-License-Identifier: MIT */
/*
 * A TLS server that, after a good handshake, sends what carries nothing as fast as it is taken:
 * flood PEM key-update|key-update-asked|tickets|tickets-and-a-byte. Prints its port; serves until it is
 * killed.
 */
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PREPARED = 1024 * 1024 };
static SSL_CTX *context;
static const char *mode;

static int one(SSL *ssl)
{
        if (strcmp(mode, "key-update") == 0)
                return SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED) == 1 && SSL_do_handshake(ssl) == 1;
        if (strcmp(mode, "key-update-asked") == 0)
                return SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED) == 1 && SSL_do_handshake(ssl) == 1;
        for (int i = 0; i < 20; i++)
                if (SSL_new_session_ticket(ssl) != 1 || SSL_do_handshake(ssl) != 1)
                        return 0;
        return strcmp(mode, "tickets") == 0 || SSL_write(ssl, "*", 1) == 1;
}

/* Prepared, so that the client has more to do than we: all of it into memory, then out. */
static void *serve(void *ctx)
{
        int fd = *(int *)ctx;
        SSL *ssl = SSL_new(context);
        char *bytes;
        long len, sent = 0;

        free(ctx);
        SSL_set_fd(ssl, fd);
        if (SSL_accept(ssl) == 1) {
                BIO *out = BIO_new(BIO_s_mem());
                SSL_set0_wbio(ssl, out);
                while (BIO_pending(out) < PREPARED && one(ssl))
                        ;
                len = BIO_get_mem_data(out, &bytes);
                while (sent < len) {
                        ssize_t more = send(fd, bytes + sent, (size_t)(len - sent), MSG_NOSIGNAL);
                        if (more <= 0)
                                break;
                        sent += more;
                }
                pause();
        }
        ERR_print_errors_fp(stderr);
        return NULL;
}

int main(int count, char **args)
{
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t size = sizeof address;
        int listener = socket(AF_INET, SOCK_STREAM, 0);

        if (count != 3)
                return 2;
        mode = args[2];
        signal(SIGPIPE, SIG_IGN);
        context = SSL_CTX_new(TLS_server_method());
        if (SSL_CTX_use_certificate_chain_file(context, args[1]) != 1 ||
            SSL_CTX_use_PrivateKey_file(context, args[1], SSL_FILETYPE_PEM) != 1 ||
            bind(listener, (struct sockaddr *)&address, size) || listen(listener, 10) ||
            getsockname(listener, (struct sockaddr *)&address, &size))
                return 1;
        printf("%u\n", ntohs(address.sin_port));
        fflush(stdout);
        for (;;) {
                int *fd = malloc(sizeof *fd);
                pthread_t thread;
                *fd = accept(listener, NULL, NULL);
                if (*fd >= 0 && pthread_create(&thread, NULL, serve, fd) == 0)
                        pthread_detach(thread);
        }
}
