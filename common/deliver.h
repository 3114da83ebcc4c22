/* SPDX-License-Identifier: MIT */
/*
 * What emailsecd and emailsec-deliver say to each other: the daemon runs no command itself. On a connection
 * to the Unix socket comes one JSON object, ended by a NUL byte, with a descriptor (SCM_RIGHTS) that reads
 * the message from its beginning:
 *
 *      {"command": text, "timeout": seconds, "environment": {NAME: text, ...}}
 *
 * The command is run by /bin/sh with the message on its standard input. The answer, ended by a NUL byte, then
 * the connection is closed:
 *
 *      {"status": number}   or {"signal": number}, with "timedOut": true where it was ended for its time,
 *                           and "lastLine": the last line that it wrote, printable and cut
 *
 * A connection that is closed before it is answered ends the command.
 */
#pragma once

#include "common/limits.h"

#define DELIVER_SOCKET       "deliver" /* beside the control socket */
#define LIMIT_DELIVER_CALL   (64 * KIB)
#define LIMIT_DELIVER_ANSWER (4 * KIB)
#define LIMIT_DELIVER_LINE   400 /* bytes of the last line, escapes included */
#define DELIVER_GRACE        10  /* seconds between the end of its time and SIGKILL */
