/* SPDX-License-Identifier: MIT */
/*
 * Files that clients hand in. What the server of a FUSE file system has taken and does not answer, a read or
 * merely a close (FLUSH), nobody can end, not even by SIGKILL: a thread in it is lost, the loop's as well,
 * and the process cannot end before it. So such a file is not read, and closed by a process of its own
 * (closers.h). So is a socket, whose end can wait for its peer for as long as the client has said
 * (SO_LINGER), and a device. Any thread, unless it is said otherwise.
 */
#pragma once

#include "common/cause.h"

/* 0, or -1 with a cause: no regular file, or one of a file system that a program serves. Does not ask that
 * program. */
int client_file_check(int fd, struct cause *cause) must_use;
/* Closes it without waiting for whoever serves it. */
void client_file_close(int fd);
/* The loop's thread, around what receives from a client or ends its connection: descriptors that nobody takes
 * the kernel closes then and there, and whoever has sent a socket can have it wait. With `on` it waits for
 * some milliseconds at most. */
void client_files_patience(bool on);
