/* SPDX-License-Identifier: MIT */
/* What the files behind allowed.h share: an entry in memory, and its forms in the file and on the socket. */
#pragma once

#include "daemon/tls/allowed.h"

enum allowed_class { CLASS_OF_NEW, CLASS_OF_CHANGED, CLASS_OF_REGRESSION };

enum past_what { PAST_APPROVED, PAST_REJECTED, PAST_UNAPPROVED, PAST_EXPIRED };

struct past { /* one step of an entry's history */
        enum past_what what;
        time_t time, expires; /* expires 0: none */
        char *by, *reason;    /* or NULL */
};

/* What a person decides about an entry; swapped as a whole once it is on disk. */
struct decided {
        enum allowed_state state;
        enum allowed_pins pins;
        uint32_t errors; /* bit set of problems approved */
        time_t expires;  /* 0: none */
        int warned;      /* the days before that end that were told; not on disk */
        time_t time;     /* of the decision; 0: never decided */
        char *by, *reason;
        struct past *past; /* how it came to this, oldest first, at most LIMIT_HISTORY */
        size_t past_count;
};

struct seen_error {
        enum tls_problem problem;
        int depth;
        char text[200], remedy[152]; /* as in struct tls_error */
};

struct entry {
        char id[13];
        char *host;
        uint16_t port;
        enum allowed_class class;
        struct decided decided;
        char **accounts;
        size_t account_count;
        time_t created, last_seen;
        struct seen_error *errors;
        size_t error_count;
        char replaces[13];
        bool needless; /* its server verifies without help */
        bool unused;   /* no account uses its host and port; known while running only */
        struct certificate certificate;
        struct certificate *chain; /* as sent, without the leaf */
        size_t chain_count;
};

void allowed_decided_copy(struct decided *to, const struct decided *from); /* `to` is raw memory */
void allowed_decided_done(struct decided *decided);
void allowed_entry_free(struct entry *entry);
/* First 12 hex digits of SHA-256 over "host:port:certificate SHA-256". */
void allowed_entry_id(const char *host, uint16_t port, const uint8_t sha256[32], char out[13]);
void allowed_entry_add_account(struct entry *entry, const char *account);
uint32_t allowed_entry_problems(const struct entry *entry);
/* Nothing rests on it and nobody has to decide it: its server verifies without help, or nobody uses that
 * server. What a person has rejected stays. */
static inline bool entry_is_over(const struct entry *entry)
{
        return (entry->needless || entry->unused) && entry->decided.state != ALLOWED_REJECTED;
}

/* Such an approval ends with the certificate at the latest: expiry itself is not among the accepted errors.
 * With a pinned key the certificate may have been renewed since; judge() sees to that one. */
static inline bool entry_ends_with_certificate(enum allowed_pins pins, uint32_t errors)
{
        return pins == PINS_CERTIFICATE && !(errors & 1u << PROBLEM_EXPIRED);
}

extern const char *const allowed_state_names[3];

/* The object of the Varlink interface. */
json_t *allowed_entry_json(const struct entry *entry) must_use;
/* The object of the file, with `decided` in place of the entry's own. */
json_t *allowed_entry_file_json(const struct entry *entry, const struct decided *decided) must_use;
/* Reads an object of the file strictly; NULL with a cause. */
struct entry *allowed_entry_from_file(const json_t *object, struct cause *cause) must_use;

/* ---- history ---- */

void allowed_history_add(struct decided *decided, const struct past *step); /* texts are copied */
void allowed_history_copy(struct decided *to,
                          const struct decided *from); /* what was in `to` is overwritten */
void allowed_history_done(struct decided *decided);
/* [{what: "approved"|"rejected"|"unapproved"|"expired", time, by, reason, expires}] and back. */
json_t *allowed_history_json(const struct decided *decided) must_use;
int allowed_history_from_file(struct decided *decided, const json_t *list, struct cause *cause) must_use;

/* ---- hosts that verified without help: memory of rule 14a, in the same file ---- */

/* Remembers; true when the file should be written some time (first sight, another certificate, a day later).
 */
bool allowed_verified_note(const char *host, uint16_t port, const uint8_t sha256[32], time_t now);
/* When that host and port last verified; 0: never. */
time_t allowed_verified_when(const char *host, uint16_t port);
/* The latest of all those times; 0: none. */
time_t allowed_verified_latest(void);
json_t *allowed_verified_json(void) must_use;
int allowed_verified_from_file(const json_t *list, struct cause *cause) must_use;
void allowed_verified_forget_all(void);
