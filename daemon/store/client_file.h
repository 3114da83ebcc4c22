/* SPDX-License-Identifier: MIT */
/*
 * Files that clients hand in. What the server of a FUSE file system has taken and does not answer, a read or
 * merely a close (FLUSH), nobody can end, not even by SIGKILL: a thread in it is lost, the loop's as well,
 * and the process cannot end before it. So such a file is not read, and closed by a process of its own that
 * shares the table of descriptors. Any thread.
 */
#pragma once

#include "common/cause.h"

/* 0, or -1 with a cause: no regular file, or one of a file system that a program serves. Does not ask that
 * program. */
int client_file_check(int fd, struct cause *cause) must_use;
/* Closes it without waiting for whoever serves it. */
void client_file_close(int fd);
/* As many closes hang as may: no further descriptors are to be taken of who is not in charge. */
bool client_files_hang(void);
