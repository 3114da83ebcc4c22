/* SPDX-License-Identifier: MIT */
/*
 * How the log of station.db is written. SQLite writes a commit page by page, each by two calls of the kernel,
 * which cost more than what they do. Here what lies behind one another is held, and written together before
 * it is synced or read, or anything else is done with the file. To SQLite it is the same file: it promises
 * nothing before the sync, and a write that fails is told by the call that it was put off to.
 */
#pragma once

#include <sqlite3.h>

/* The name of a VFS of SQLite for the connection that writes; any thread. */
const char *log_writes_vfs(void);
