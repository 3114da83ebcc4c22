/* SPDX-License-Identifier: MIT */
/*
 * The audit trail: who changed what, from what to what. Every change that a person or a program asks for is
 * told here once: to the journal, whatever LogLevel= is (EMAILSEC_AUDIT=1, the fields of struct
 * trail_fields), as the event audit.recorded, and as what `status` shows as the last change, kept across
 * restarts. What the station does by itself is told by its owner and is not of the trail.
 */
#pragma once

#include "daemon/journal.h"

#include <jansson.h>
#include <sys/types.h>

/* Whose doing it is. */
struct actor {
        char uid[12], login_uid[12]; /* decimal; "": not known */
        char who[200];               /* "root (uid 0), logged in as alice (uid 1000)" */
};

enum audit_trail_action {
        TRAIL_ACCOUNT_ADDED,
        TRAIL_ACCOUNT_CHANGED,
        TRAIL_ACCOUNT_ENABLED,
        TRAIL_ACCOUNT_DISABLED,
        TRAIL_ACCOUNT_DELETED,
        TRAIL_ACCOUNT_AUTHORIZED,
        TRAIL_SECRET_SET,
        TRAIL_SECRET_CLEARED,
        TRAIL_DEVICE_ADDED,
        TRAIL_DEVICE_DELETED,
        TRAIL_ALLOWED_APPROVED,
        TRAIL_ALLOWED_REJECTED,
        TRAIL_ALLOWED_UNAPPROVED,
        TRAIL_ALLOWED_DELETED,
        TRAIL_ALLOWED_PRUNED,
        TRAIL_ANCHOR_IMPORTED,
        TRAIL_ANCHOR_DELETED,
        TRAIL_KEY_IMPORTED,
        TRAIL_KEY_DELETED,
        TRAIL_QUEUE_RETRIED,
        TRAIL_QUEUE_HELD,
        TRAIL_QUEUE_RELEASED,
        TRAIL_QUEUE_DELETED,
        TRAIL_QUEUE_REROUTED,
        TRAIL_QUEUE_FLUSHED,
        TRAIL_MISSING_FORGOTTEN,
        TRAIL_INBOX_DELETED,
        TRAIL_INBOX_MARKED,
        TRAIL_SUBSCRIBER_FORGOTTEN,
        TRAIL_RELOADED,
        TRAIL_BACKED_UP, /* which changes nothing, and hands out all */
        TRAIL_OTHER,     /* a method that says no more */
        TRAIL_ACTIONS
};

/* The word for it in EMAILSEC_ACTION= and in the event: "account.changed". */
const char *audit_trail_action_name(enum audit_trail_action action);

struct trail {
        enum audit_trail_action action;
        struct subject about; /* account, certificate, ... as the journal names them */
        const char *object;   /* "account office": what was changed */
        const char *details;  /* what the sentence ends with after a colon, or NULL */
        json_t *data;         /* more for the event; taken over; or NULL */
};
void audit_trail_record(const struct actor *actor, const struct trail *trail);

/* "hostname "a" -> "b", port 25 -> 587"; bounded. Of properties_differences(). The caller frees. */
char *audit_trail_differences(const json_t *differences) must_use;

/* "A, B and 12 more" of texts. The caller frees. */
char *audit_trail_ids(const json_t *ids) must_use;

/* {time, action, who, uid, text}: the last change; NULL when there has been none. */
json_t *audit_trail_last(void) must_use;
