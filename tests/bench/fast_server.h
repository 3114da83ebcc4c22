/* SPDX-License-Identifier: MIT */
/*
 * What the servers for measuring share: TLS from the first byte, a thread a connection. What comes is
 * acknowledged at once, also within a TLS record: with delayed ACKs a client that writes a message in several
 * pieces and leaves Nagle's algorithm on (Postfix, msmtp, nullmailer) would be measured at 40 ms a message.
 * A program that includes this has its own serve().
 */
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static SSL_CTX *server_context;

/* One connection that was accepted at this listener, not yet through its handshake; frees `ssl` and closes
 * its descriptor. */
static void serve(SSL *ssl, int listener);

/* Waits until SSL can go on after a call that failed like this (SSL_get_error); 0 when it cannot. */
static inline int server_wait(const SSL *ssl, int error)
{
        int on = 1, fd = SSL_get_fd(ssl);
        struct pollfd ready = { .fd = fd, .events = error == SSL_ERROR_WANT_WRITE ? POLLOUT : POLLIN };

        if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
                return 0;
        /* not kept by the kernel: said anew each time */
        (void)setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
        return poll(&ready, 1, -1) == 1;
}

/* The same after a call that gave `result`. */
static inline int server_again(const SSL *ssl, int result)
{
        return server_wait(ssl, SSL_get_error(ssl, result));
}

/* 0 when the client cannot be secured. */
static inline int server_greet(SSL *ssl)
{
        int done;

        while ((done = SSL_accept(ssl)) <= 0 && server_again(ssl, done))
                ;
        return done == 1;
}

struct server_connection {
        SSL *ssl;
        int listener;
};

static void *server_serve(void *argument)
{
        struct server_connection connection = *(struct server_connection *)argument;

        free(argument);
        serve(connection.ssl, connection.listener);
        return NULL;
}

static void *server_accept(void *argument)
{
        int on = 1, listener = *(int *)argument;

        for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
                struct server_connection *connection = malloc(sizeof *connection);
                SSL *ssl = SSL_new(server_context);
                pthread_t thread;
                if (!connection || !ssl || SSL_set_fd(ssl, fd) != 1)
                        exit(1);
                *connection = (struct server_connection){ ssl, listener };
                (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                if (pthread_create(&thread, NULL, server_serve, connection) || pthread_detach(thread))
                        exit(1);
        }
        return NULL;
}

/* Certificate and key, before the first server_listen(); -1 when they cannot be used. */
static inline int server_begin(const char *chain)
{
        (void)signal(SIGPIPE, SIG_IGN);
        server_context = SSL_CTX_new(TLS_server_method());
        return server_context && SSL_CTX_use_certificate_chain_file(server_context, chain) == 1 &&
                               SSL_CTX_use_PrivateKey_file(server_context, chain, SSL_FILETYPE_PEM) == 1
                       ? 0
                       : -1;
}

/* Listens at a free port there: which; 0 when it cannot. `listener` is to outlive the process's threads;
 * `room`: bytes that a client may send ahead of being read, 0 for the system's. */
static inline unsigned server_listen(int *listener, const char *where, int room)
{
        struct sockaddr_in address = { .sin_family = AF_INET };
        socklen_t len = sizeof address;
        pthread_t thread;

        *listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (*listener < 0 || inet_pton(AF_INET, where, &address.sin_addr) != 1 ||
            (room && setsockopt(*listener, SOL_SOCKET, SO_RCVBUF, &room, sizeof room) < 0) ||
            bind(*listener, (struct sockaddr *)&address, len) < 0 || listen(*listener, 512) < 0 ||
            getsockname(*listener, (struct sockaddr *)&address, &len) < 0 ||
            pthread_create(&thread, NULL, server_accept, listener))
                return 0;
        return ntohs(address.sin_port);
}
