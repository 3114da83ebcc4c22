/* SPDX-License-Identifier: MIT */
/*
 * The libraries allocate by the memory policy of common/cleanup.h: what cannot be had ends the process, and
 * JSON is wiped when it is freed. Without this a failed allocation inside jansson or OpenSSL leaves out a key
 * or an extension in silence, and the file written next is not what was meant. SQLite keeps its own: it
 * reports what failed and rolls back.
 */
#pragma once

/* First thing in the process: OpenSSL takes the functions only before its first allocation. */
void memory_open(void);
