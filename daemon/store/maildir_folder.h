/* SPDX-License-Identifier: MIT */
/* One account's Maildir on disk: folders, names, listing. Worker threads, but for the last part. */
#pragma once

#include "common/cause.h"
#include "daemon/store/inbox_id.h"

#include <dirent.h>
#include <time.h>

struct maildir {
        int tmp, new, cur; /* -1 while closed */
};
#define MAILDIR_CLOSED ((struct maildir){ -1, -1, -1 })

/* What is taken in place of an account for a folder of its Maildir (box.h): "orders/.Alarms"; "orders" for
 * `box` NULL or "". The caller frees. */
char *maildir_place(const char *account, const char *box) must_use;

/* Opens the three folders of mail/ACCOUNT, `make`: making what is missing. Without it a missing Maildir gives
 * 0, an open one 1. */
int maildir_open(const char *account, bool make, struct maildir *maildir, struct cause *cause) must_use;
void maildir_close(struct maildir *maildir);
/* To read a folder from its beginning, whoever else reads it: NULL with errno. */
DIR *maildir_directory_open(int folder) must_use;
void maildir_directory_close(DIR **directory);
/* Each folder of an account's Maildir, whoever made it: first the Maildir itself, "". */
void maildir_each_box(const char *account, void (*each)(void *ctx, const char *box), void *ctx);

#define MAILDIR_NAME_SIZE 72
/* The name in new/ that follows from where a message comes from and from nothing else. `key`: owner_key():
 * another account of the same name has other names. */
void maildir_name(const char *key, const char *folder, uint64_t uidvalidity, uint32_t uid, const char *uidl,
                  int64_t generation, char name[MAILDIR_NAME_SIZE]);
/* Whether it is such a name; flags behind it do not count. */
bool maildir_is_ours(const char *file);
/* A fresh name in tmp/. */
void maildir_temporary_name(time_t now, char name[MAILDIR_NAME_SIZE]);
/* A new file there, for reading and writing, with the rights of received mail (maildir_rights.h); -1 with
 * errno. */
int maildir_create(int tmp, const char *name) must_use;

/* The id people use: 12 hex digits of the SHA-256 of the file's name without its flags. */
void maildir_id(const char *file, char id[INBOX_ID_SIZE]);

/* Length of a file's name without its flags. */
size_t maildir_base_length(const char *file);

struct maildir_file {
        char *name;  /* as it is, with flags */
        size_t base; /* length without ":2,flags" */
        bool in_new;
};
struct maildir_listing {
        struct maildir_file *files; /* sorted by base name */
        size_t count;
};
/* Adds the files of a folder (not those beginning with a dot); sorts. 0 or -1 with errno. */
int maildir_list(int folder, bool in_new, struct maildir_listing *listing) must_use;
/* Sorts what was put together otherwise. */
void maildir_listing_sort(struct maildir_listing *listing);
const struct maildir_file *maildir_find(const struct maildir_listing *listing, const char *name);
/* Leaves of a sorted listing those that the folder has too, whatever their flags there: 0 or -1 with errno. A
 * folder of a million is not held in memory. */
int maildir_keep_present(int folder, struct maildir_listing *listing) must_use;
void maildir_listing_free(struct maildir_listing *listing);

/* ---- loop ---- */
/*
 * Whether files may be there of which the database does not know: after a crash, or a commit that failed,
 * between rename and commit. They are then the first ones that are fetched again, in the same order; so once
 * a batch ended with a message that was not there, all is certain, and cur/ need not be listed any more.
 */
/* True: the database was begun anew, and nothing is ever certain. */
void maildir_trust_files(bool alone);
bool maildir_is_certain(const char *account, const char *folder);
void maildir_make_certain(const char *account, const char *folder);
/* folder NULL: all of the account's. */
void maildir_doubt(const char *account, const char *folder);
void maildir_end(void); /* forgets all: the store closes */
