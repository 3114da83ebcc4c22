/* SPDX-License-Identifier: MIT */
/* Rows of `seen` and `cursor` for the delivery's commit; reader or writer thread. */
#pragma once

#include "common/line_ends.h"

#include "daemon/store/content_tag.h"
#include "daemon/store/fetched_table.h"

/* Which message: IMAP by folder, uidvalidity and uid; POP3 by uidl (folder "", the numbers 0). */
struct fetched_key {
        const char *account, *folder;
        uint64_t uidvalidity;
        uint32_t uid;
        const char *uidl;
};
struct fetched_key fetched_key_of(const char *account, const char *folder, uint64_t uidvalidity,
                                  const struct mailbox_entry *entry);

/* A key in SQL, and its values. */
#define SEEN_PLACE_IS "place = (SELECT number FROM place WHERE account = ? AND folder = ?)"
#define SEEN_KEY_IS   SEEN_PLACE_IS " AND uidvalidity = ? AND uid = ? AND uidl = ?"
/* In `missing`, with the same values. */
#define MISSING_KEY_IS "account = ? AND folder = ? AND uidvalidity = ? AND uid = ? AND uidl = ?"
#define SEEN_KEY_VALUES(key) \
        v_text((key)->account), v_text((key)->folder), v_int((int64_t)(key)->uidvalidity), \
                v_int((key)->uid), v_text((key)->uidl)

struct fetched_row {
        bool known;         /* dealt with; `told`, `file` and `generation` are its row's */
        bool told;          /* of a UIDL */
        char *file;         /* or NULL, also where it has been deleted; the caller frees */
        uint64_t left_size; /* over 0: left at the server for its size */
        int64_t generation; /* when not known: the one that a new row gets */
};
int fetched_find(struct database *db, const struct fetched_key *key, struct fetched_row *row,
                 struct cause *cause) must_use;
/* From the first to the last of several keys of one folder: most that come are new, which one look tells. */
struct fetched_range {
        struct fetched_key first, last; /* of none: account is NULL */
};
void fetched_range_add(struct fetched_range *range, const struct fetched_key *key);
/* Adds one that is above all that are in it; false: it is not, and nothing is added. */
bool fetched_range_go_on(struct fetched_range *range, const struct fetched_key *key);
/* 0 = there is no row from the first to the last, and fetched_find() would give each an empty one; 1 = there
 * are some. */
int fetched_range_has(struct database *db, const struct fetched_range *range, struct cause *cause) must_use;

/* What is known of content. Earlier versions have kept 16 bytes of SHA-256: by one byte less a tag is told
 * apart. */
enum { SEEN_TAG = 15, SEEN_SHA256 = 16 };
static inline struct value seen_tag(const uint8_t tag[CONTENT_TAG_SIZE])
{
        return v_bytes(tag, SEEN_TAG);
}
static inline struct value seen_sha256(const uint8_t digest[32])
{
        return v_bytes(digest, SEEN_SHA256);
}
/* 1 = the folder of `key` has been there before tags were, and may have rows with SHA-256; 0 = not. */
int fetched_has_sha256(struct database *db, const struct fetched_key *key, struct cause *cause) must_use;
typedef int fetched_finder(struct database *db, const struct fetched_key *key, struct value digest,
                           char **file, struct cause *cause);
/* 1 = a message of this digest is known under the key (or one of which nothing was taken), with its file or
 * NULL in *file, which the caller frees; 0 = not. */
int fetched_find_copy(struct database *db, const struct fetched_key *key, struct value digest, char **file,
                      struct cause *cause) must_use;
/* How many messages are known under the key; SIZE_MAX where nothing was taken of them. */
int fetched_count(struct database *db, const struct fetched_key *key, size_t *count, struct cause *cause)
        must_use;
/* 1 = a message of this digest was received under another UIDVALIDITY than that of `key`, under a UIDL that
 * has just gone, or under that of `key` before it went; 0 = not. *file is its file, or NULL, also where it
 * has been deleted; the caller frees. */
int fetched_find_digest(struct database *db, const struct fetched_key *key, struct value digest, char **file,
                        struct cause *cause) must_use;
/* The same of an account that deletes at the server, of whose messages those alone come again that were left
 * there on purpose: under a UIDL that has just gone, and under that of `key` before it went. How many there
 * are, each of which stands for one that comes. */
int fetched_find_left(struct database *db, const struct fetched_key *key, struct value digest, char **file,
                      struct cause *cause) must_use;
/* One of them has come, and stands for no other one. */
int fetched_left_came(struct database *db, const struct fetched_key *key, struct value digest,
                      struct cause *cause) must_use;

/* Kept in the database, of a UIDL, so the numbers never change. */
enum seen_told {
        SEEN_UNTOLD, /* the server is to be told to delete it, and has not answered that it did */
        SEEN_TOLD,   /* it has; before there was SEEN_LEFT that as well */
        SEEN_LEFT,   /* left there: by the policy, as too large, or since it was not as announced */
};

struct fetched_message {
        int64_t generation;
        enum seen_told told;
        enum {
                SEEN_NOTHING, /* nothing was taken */
                SEEN_HANDED_ON,
                SEEN_KNOWN,  /* it is in `file`, if that (it may be NULL) is still there */
                SEEN_PLACED, /* it was placed in new/ as `file` */
        } how;
        time_t received;
        const char *file;
        enum line_ends line_ends; /* of `file` */
        const char *box;          /* of the Maildir, in which it is */
        uint64_t size;
        uint64_t left_size; /* `file` is a note about a message of this size */
        const uint8_t *tag; /* of the content, or NULL */
        const char *from, *subject, *date, *message_id;
};
struct fetched_record {
        struct fetched_key key;
        struct fetched_message message;
};
/* What was left since it was not as announced has come as announced: the server is to be told now. */
int fetched_tell_now(struct database *db, int64_t place, const struct fetched_key *key, struct cause *cause)
        must_use;
/* The number of a folder, as rows have it; 0: it has none. */
int fetched_place(struct database *db, const char *account, const char *folder, int64_t *place,
                  struct cause *cause) must_use;
/* One that has none gets one, for fetched_record(): within one transaction. */
int fetched_make_place(struct database *db, const char *account, const char *folder, int64_t *place,
                       struct cause *cause) must_use;
/* Of one folder of one account, in their order; DB_MANY of them cost the least. */
int fetched_record(struct database *db, int64_t place, const struct fetched_record *records, size_t count,
                   struct cause *cause) must_use;
/* Sets the cursor; within one UIDVALIDITY it never goes back. */
int fetched_move_cursor(struct database *db, const char *account, const char *folder, uint64_t uidvalidity,
                        uint32_t uid, struct cause *cause) must_use;
