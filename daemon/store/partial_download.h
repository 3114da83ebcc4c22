/* SPDX-License-Identifier: MIT */
/*
 * Large messages of which only the beginning has come: files in tmp/ that outlive the session and the daemon,
 * so that a later one goes on where this one was cut. All there is to know of one stands in its name,
 * HALF.LENGTH.emailsecd: whether its line ends are LF or as they came (the first letter), which message
 * (account, folder, UIDVALIDITY, UID and the size the server gave), and how many bytes of it, as they came,
 * are durable; the rest of the file is ignored. What nobody goes on with within the life of a temporary file
 * is swept away; never are there more than LIMIT_HALVES in a Maildir.
 */
#pragma once

#include "daemon/store/maildir_folder.h"
#include "daemon/wire/mailbox.h"

#define HALF_SIZE 34
/* True for a message whose file is kept when it is cut. */
bool partial_is_kept(const struct mailbox_entry *entry);

/* ---- file pool ---- */

/* The first part of the name; `key`: owner_key(). */
void partial_of(const char *key, const char *folder, uint64_t uidvalidity, const struct mailbox_entry *entry,
                char half[HALF_SIZE]);
/* Opens the file, of which the first `from` bytes of the message must be there; 0: a new one. The descriptor,
 * for reading from its beginning and for writing, or -1 with errno. `name` becomes that of the file. Others
 * of the same message are removed. */
int partial_open(int tmp, const char *half, uint64_t from, char name[MAILDIR_NAME_SIZE]);
/* A new one for the message as it came, beside the other; the same otherwise. */
int partial_open_as_came(int tmp, const char *half, char name[MAILDIR_NAME_SIZE]);
bool partial_is_as_came(const char *name);
/* Makes the first `length` bytes safe, and the name say so; or removes the file when that is none. -1 with
 * errno. */
int partial_keep(int tmp, int fd, uint64_t length, char name[MAILDIR_NAME_SIZE]) must_use;
/* ---- loop ---- */

/* A delivery that was given up begins or ends to write what it has: partial_find waits for the end. */
void partial_keeping(bool begins);
/* How much of each message is here already: sets `from` in the entries of the answer, a copy. */
void partial_find(const char *account, const char *folder, uint64_t uidvalidity,
                  const struct mailbox_entry *entries, size_t count,
                  void (*done)(void *ctx, const struct mailbox_entry *entries, size_t count), void *ctx);
