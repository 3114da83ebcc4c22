/* SPDX-License-Identifier: MIT */
/*
 * What was fetched, and how far: the cursor by (account, folder, UIDVALIDITY, UID) or UIDL, the
 * received messages with digest and file, and what still has to be told to the server.
 */
#pragma once

#include "daemon/store/store.h"
#include "daemon/store/uidl_set.h"
#include "daemon/wire/mailbox.h"

#include <jansson.h>

struct missing;

struct fetched_cursor {
        bool known; /* false: the first look at this folder */
        uint64_t uidvalidity;
        uint32_t uid;                  /* every UID up to this one was dealt with */
        const struct missing *missing; /* what was asked for in vain, by UID (missing_table.h); borrowed */
        size_t missing_count;
};
/* Where to go on; what was asked for in vain under the present `uidvalidity` (0: that of the cursor); with
 * what is safe here but was not yet told to the server (marked = 0), with those that were left there as too
 * large (`left` is set, `size` theirs), and with those above the cursor that are safe here all the same
 * (`here`): a poll was cut off behind one that it had not got. Messages may be told in more than one of these
 * kinds. */
void fetched_cursor(const char *account, const char *folder, uint64_t uidvalidity,
                    void (*done)(void *ctx, const struct fetched_cursor *cursor,
                                 const struct mailbox_entry *untold, size_t untold_count,
                                 const struct cause *cause),
                    void *ctx);
/* Which of these UIDLs are known: a bool for each. One that was left as too large is not, when its size was
 * at most `most`. The entries stay as they
 * are until then. Known ones that were not yet told to the server (delete policy) have untold set. */
void fetched_uidls(const char *account, const struct mailbox_entry *entries, size_t count, uint64_t most,
                   void (*done)(void *ctx, const bool *known, const bool *untold, size_t count,
                                const struct cause *cause),
                   void *ctx);
/* Sets the cursor without a message (fetch=new at the first poll; UIDs that were skipped). */
void fetched_set_cursor(const char *account, const char *folder, uint64_t uidvalidity, uint32_t uid,
                        void (*done)(void *ctx, const struct cause *cause), void *ctx);
/* Records UIDLs as dealt with, without a message; and, at once with them, that the account was looked at: its
 * cursor of the folder "" is known from then on. `more`: not yet, there are more of them. */
void fetched_skip_uidls(const char *account, const struct mailbox_entry *entries, size_t count, bool more,
                        void (*done)(void *ctx, const struct cause *cause), void *ctx);
/* These, which were left as too large, were asked for: they are here now, or have gone. */
void fetched_not_left(const char *account, const char *folder, uint64_t uidvalidity,
                      const struct mailbox_entry *entries, size_t count);
/* The server was told (flagged, deleted). UID for IMAP, UIDL for POP3. */
void fetched_told(const char *account, const char *folder, uint64_t uidvalidity,
                  const struct mailbox_entry *entries, size_t count,
                  void (*done)(void *ctx, const struct cause *cause), void *ctx);
/* At the server, of those that it had. */
enum uidls_gone {
        NONE_GONE,
        SOME_GONE,
        LEFT_GONE /* some that it was not told to delete */
};
/* Forgets UIDLs that the server no longer has: `set`, the caller's until `done`, is the complete present
 * list; it is sorted, and those that are here are noted as known (left ones are not; with `untold_is_open`
 * nor those that the server was not told of). `gone`: where there are such, until fetched_look_over() their
 * messages are known by digest, should they come again under other UIDLs, as those of a mailbox do that was
 * numbered anew or moved to another server. After it, under their own UIDLs alone. */
void fetched_prune_uidls(const char *account, struct uidl_set *set, bool untold_is_open,
                         void (*done)(void *ctx, enum uidls_gone gone, const struct cause *cause), void *ctx);
/* All that the server lists has come. Of no effect while one is missing (missing_table.h): it may be one of
 * those that have gone, under another UIDL. */
void fetched_look_over(const char *account);
