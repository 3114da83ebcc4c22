/* SPDX-License-Identifier: MIT */
/*
 * The story of the daemon: one line and its fields to journald (native), or to stderr with <N> prefixes where
 * there is no journal. Whoever owns the thing that happened logs it, once. No secret is ever given to a
 * function here.
 */
#pragma once

#include "common/cause.h"

#include <syslog.h>

enum journal_target { JOURNAL_AUTO, JOURNAL_JOURNAL, JOURNAL_STDERR };
void journal_open(int max_priority, enum journal_target target);
bool journal_wants(int priority);

/* What a message is about: fields that are not NULL or 0 are sent along. */
struct subject {
        const char *account;   /* ACCOUNT= */
        const char *direction; /* DIRECTION= outgoing | incoming */
        const char *host;      /* HOST= */
        uint16_t port;         /* PORT= */
        const char *tls_version, *tls_cipher;
        const char *cert_sha256, *key_sha256;
        const char *queue_id;
        const char *challenge_id;
        const char *enhanced_code;
        unsigned reply_code;
        const char *session;       /* SESSION= */
        const struct cause *cause; /* CAUSE=, REMEDY= */
        const char *file;          /* FILE= */
        /* Of the audit trail (service/audit_trail.h): `action` makes it EMAILSEC_AUDIT=1, and neither
         * LogLevel= nor repetition keeps it back. */
        const char *action;                /* EMAILSEC_ACTION= */
        const char *who, *uid, *login_uid; /* EMAILSEC_WHO=, EMAILSEC_UID=, EMAILSEC_LOGIN_UID= */
        const char *details;               /* EMAILSEC_CHANGES= */
};

/* A notice or worse that comes again and again, word for word, is told five times a minute and counted beyond
 * that. This tells the counts of minutes that are over, or of all; called once a minute and at the end. */
void journal_tell_repeats(bool all);

/* `message_id`: an ID of messages.h (lasts), or NULL. `subject` may be NULL. Control bytes are escaped. */
void log_about(const struct subject *subject, int priority, const char *message_id, const char *format, ...)
        printf_like(4, 5);
#define log_debug(subject, ...) \
        do { \
                if (journal_wants(LOG_DEBUG)) \
                        log_about((subject), LOG_DEBUG, NULL, __VA_ARGS__); \
        } while (0)
/* For tests: every message also goes here; NULL stops. */
void journal_capture(void (*capture)(int priority, const char *message_id, const char *text));
