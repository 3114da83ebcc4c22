/* SPDX-License-Identifier: MIT */
/* The list behind allowed.h and its way to disk; used by allowed.c (looking, recording) and allowed_decide.c.
 */
#pragma once

#include "daemon/tls/allowed_parts.h"

/* A decision on its way to disk; applied to the entry when it has arrived. Freed by the list. */
struct decision {
        char id[13];
        const char *what; /* the word for allowed_on_change */
        bool remove;
        struct decided decided; /* else */
        json_t *ids;            /* prune: answer of the last one, else NULL */
        void (*done)(void *ctx, const struct cause *cause,
                     json_t *answer); /* NULL: not the last of a prune */
        void *ctx;
        struct cause cause; /* the outcome */
        json_t *answer;
        struct decision *next;
};

struct entry **allowed_list_entries(size_t *out_count);
struct entry *allowed_list_find(const char *id); /* the whole id */
/* By a unique beginning or HOST:PORT; NULL with a cause. */
struct entry *allowed_list_lookup(const char *text, struct cause *cause);
void allowed_list_add(struct entry *entry);    /* taken over */
void allowed_list_remove(struct entry *entry); /* freed */

/* The list will be written soon; or within a minute, when only times of last use changed. */
void allowed_list_save(void);
void allowed_list_save_some_time(void);
/* Writes the list as it will be with this decision, then applies it and answers. Taken over; call
 * allowed_list_save after. */
void allowed_list_decide(struct decision *decision);
/* Tells the subscriber, on the loop, later. */
/* `by`: who decided it, where a person did and the entry does not say; or NULL. */
void allowed_list_tell(const char *id, const char *what, const char *by);
/* trust_changed(), on the loop, later. */
void allowed_list_trust_changes(void);
