/* SPDX-License-Identifier: MIT */
/*
 * Who is at the other end of a TCP connection within this machine: the kernel tells whose socket it is
 * (sock_diag(7)). Asked once, when the connection is accepted. An answer counts only when it is about a
 * socket that somebody holds open and that is connected to ours: of one that was closed already the kernel
 * says uid 0, and a new one on the port of an old one is not connected.
 */
#pragma once

#include "common/cause.h"

#include <netinet/in.h>
#include <sys/socket.h>

/* A descriptor to ask with, for as long as one likes; -1 with a cause. */
int peer_uid_open(struct cause *cause) must_use;
/* `peer`, `here`: the connection's addresses, as accept() and getsockname() have them. -1: nobody is told of.
 */
int peer_uid(int diag, const struct sockaddr_storage *peer, const struct sockaddr_storage *here, uid_t *uid,
             struct cause *cause) must_use;
/* 127.0.0.0/8, ::1, also as an IPv6 address of the IPv4 one. */
bool address_is_loopback(const struct sockaddr_storage *address);
/* An IPv4 address that is written as an IPv6 one becomes one of IPv4. */
void address_unmap(struct sockaddr_storage *address);
