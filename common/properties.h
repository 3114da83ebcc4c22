/* SPDX-License-Identifier: MIT */
/*
 * THE table of account properties: name, type, range, default, access, help. The daemon parses, checks,
 * stores and prints from it; the tool takes its help and completion from it; tests hold the man page against
 * it. A new property is one row here, an enum word, a man paragraph and a test.
 */
#pragma once

#include "common/cause.h"

#include <jansson.h>

enum account_kind { KIND_OUTGOING = 1, KIND_INCOMING = 2, KIND_BOTH = 3 };

enum property_type {
        TYPE_BOOL,
        TYPE_INT,     /* min..max */
        TYPE_WORD,    /* one of `words` */
        TYPE_TEXT,    /* clean text up to max bytes */
        TYPE_FOLDERS, /* names of mailboxes parted by commas, up to max bytes; kept without blanks around
                         them, each once */
        TYPE_SENDERS, /* addresses and domains parted by commas, may be ""; kept in small letters and
                         A-labels, each once */
        TYPE_KEPT,    /* how long or how many: a duration with its unit, or a number; may be "" */
        TYPE_HOST,    /* host name or IP literal */
        TYPE_PORT,    /* 1..65535 or "auto" (0 inside) */
        TYPE_ADDRESS, /* mail address, may be "" */
        TYPE_URL,     /* https URL, may be "" */
        TYPE_OBJECT,  /* read-only structures (tls) */
        TYPE_TIME,    /* read-only */
};

enum property_unit { UNIT_NONE, UNIT_SECONDS, UNIT_BYTES }; /* what an INT counts: how people may write it */

/* What it is about: a sheet shows those of a group together, in this order. */
enum property_group {
        GROUP_NONE,
        GROUP_ACCOUNT,
        GROUP_SERVER,
        GROUP_SECURITY,
        GROUP_SIGN_IN,
        GROUP_SENDING,
        GROUP_RECEIVING,
        GROUP_HEARTBEAT,
        GROUP_OAUTH,
        GROUP_STATE, /* read-only */
        PROPERTY_GROUPS
};

enum property_access {
        ACCESS_FIXED, /* given when the account is added, never changes: name, kind */
        ACCESS_WRITE,
        ACCESS_READ, /* status, counters: the daemon's own */
};

/* clang-format off */
enum property_id {
        PROP_NAME, PROP_KIND, PROP_ENABLED, PROP_TRANSPORT, PROP_HOSTNAME, PROP_PORT, PROP_USE_SSL,
        PROP_USE_STARTTLS, PROP_MIN_TLS_VERSION, PROP_ALLOW_LEGACY_RENEGOTIATION, PROP_ACCOUNT,
        PROP_PASSWORD_SOURCE, PROP_AUTHENTICATION, PROP_ALLOW_PLAINTEXT, PROP_CONNECTION_TIMEOUT,
        PROP_COMMAND_TIMEOUT, PROP_DEBUG,
        PROP_POLL_RATE, PROP_CHECK_RATE, PROP_FROM, PROP_REPLY_TO, PROP_SENDER_POLICY, PROP_SENDS_FOR, PROP_MAX_CONNECTIONS, PROP_MAX_QUEUE_SIZE,
        PROP_MAX_SENDABLE_PER_DAY, PROP_MAX_PER_RECIPIENT, PROP_ALLOW_DISABLED_QUEUING, PROP_QUEUE_LIFETIME, PROP_NOTIFY_FAILED,
        PROP_HEARTBEAT, PROP_HEARTBEAT_RATE,
        PROP_PUSH, PROP_FOLDER, PROP_DELIVERY_POLICY, PROP_FETCH, PROP_MAX_MESSAGE_SIZE,
        PROP_DELIVER_TO, PROP_DELIVER_TO_ADDRESS, PROP_DELIVER_TIMEOUT, PROP_FILE_INTO, PROP_KEEP_RECEIVED,
        PROP_OAUTH_PROVIDER, PROP_OAUTH_GRANT, PROP_OAUTH_CLIENT_ID, PROP_OAUTH_TENANT, PROP_OAUTH_SCOPE,
        PROP_OAUTH_TOKEN_ENDPOINT, PROP_OAUTH_DEVICE_ENDPOINT, PROP_CLIENT_CERTIFICATE,
        /* read-only */
        PROP_STATUS, PROP_STATUS_TEXT, PROP_FAULT_CAUSE, PROP_LAST_CHECKED, PROP_LAST_POLL_SUCCESS, PROP_LAST_POLL_FAILURE,
        PROP_LAST_POLL_FAILURE_CAUSE, PROP_WAITING_FOR, PROP_TLS, PROP_QUEUE_SIZE, PROP_NUMBER_SENT, PROP_NUMBER_SENT_TODAY,
        PROP_NUMBER_GATHERED, PROP_LAST_GATHERED, PROP_NUMBER_DISCARDED, PROP_LAST_DISCARD, PROP_LAST_DISCARD_CAUSE, PROP_NUMBER_RECEIVED,
        PROP_LAST_RECEIVED,
        PROP_MISSING,
        PROP_HEARTBEAT_STATE, PROP_LAST_HEARTBEAT, PROP_LAST_HEARTBEAT_ARRIVED, PROP_LAST_HEARTBEAT_SECONDS,
        PROPERTIES,
        PROPERTIES_KEPT = PROP_STATUS /* those before it have values of their own; what follows is the daemon's */
};
/* clang-format on */

/* What a WORD property may be: of which property it is in the upper bits, its place among that property's
 * words below. */
/* clang-format off */
enum property_word {
        WORD_SMTP = PROP_TRANSPORT << 8, WORD_IMAP, WORD_POP3,
        WORD_AS_GIVEN = PROP_SENDER_POLICY << 8, WORD_AS_ACCOUNT,
        WORD_TLS_1_0 = PROP_MIN_TLS_VERSION << 8, WORD_TLS_1_1, WORD_TLS_1_2, WORD_TLS_1_3,
        WORD_AUTO = PROP_AUTHENTICATION << 8, WORD_PLAIN, WORD_LOGIN, WORD_CRAM_MD5, WORD_SCRAM_SHA_1,
        WORD_SCRAM_SHA_1_PLUS, WORD_SCRAM_SHA_256, WORD_SCRAM_SHA_256_PLUS, WORD_OAUTHBEARER, WORD_XOAUTH2,
        WORD_EXTERNAL,
        WORD_MARK_AS_READ = PROP_DELIVERY_POLICY << 8, WORD_MARK_AS_UNREAD, WORD_DELETE,
        WORD_NEW = PROP_FETCH << 8, WORD_UNREAD, WORD_ALL,
        WORD_GOOGLE = PROP_OAUTH_PROVIDER << 8, WORD_MICROSOFT, WORD_CUSTOM,
        WORD_DEVICE = PROP_OAUTH_GRANT << 8, WORD_REFRESH_TOKEN, WORD_CLIENT_CREDENTIALS, WORD_JWT_BEARER,
};
/* clang-format on */

struct property {
        const char *name;
        enum property_type type;
        unsigned kinds; /* KIND_*: bit set */
        enum property_access access;
        bool required;
        int64_t min, max;
        int64_t number; /* default of BOOL, INT, PORT; where outgoing and incoming differ: of outgoing */
        int64_t number_incoming;  /* pollRate: 60 */
        const char *text;         /* default of the others; NULL = "" */
        const char *const *words; /* of WORD, in the order of enum property_word, NULL-ended */
        const char *help;         /* one line */
        enum property_unit unit;
        int64_t min_incoming; /* where it is higher than min */
        enum property_group group;
        enum property_id excludes; /* of a BOOL: not both true; PROP_NAME: none */
};
extern const struct property properties[PROPERTIES];

/* What an account keeps and never shows: set by SetPassword under this name. */
enum { SECRET_PASSWORD, SECRET_OAUTH_CLIENT, SECRET_OAUTH_REFRESH, SECRET_KINDS };
struct property_secret {
        const char *name, *help;
};
extern const struct property_secret property_secrets[SECRET_KINDS];

/* The row with that name; NULL when there is none. */
const struct property *property_named(const char *name);
static inline enum property_id property_id(const struct property *property)
{
        return (enum property_id)(property - properties);
}

/* The writable and fixed values of one account: BOOL, INT and PORT have a number, all others a text: NULL for
 * "", which nearly all are; the default's own, which all accounts share; else owned. Small, for there are
 * thousands. */
struct property_values {
        union {
                const char *text; /* prop_put_text() */
                int64_t number;
        } of[PROPERTIES_KEPT];
        enum account_kind kind;
};
/* Defaults for the kind; name and hostname empty. transport: "smtp" for outgoing, "" for incoming (required).
 */
void properties_defaults(struct property_values *values, enum account_kind kind);
void properties_done(struct property_values *values);
void properties_copy(struct property_values *to, const struct property_values *from); /* `to` is raw memory */

static inline bool prop_bool(const struct property_values *v, enum property_id id)
{
        return v->of[id].number != 0;
}
static inline int64_t prop_number(const struct property_values *v, enum property_id id)
{
        return v->of[id].number;
}
static inline const char *prop_text(const struct property_values *v, enum property_id id)
{
        return v->of[id].text ? v->of[id].text : "";
}
/* As it stands, without a check; NULL is "". */
void prop_put_text(struct property_values *v, enum property_id id, const char *text);
bool prop_is(const struct property_values *v, enum property_word word);
/* The address of its own that an outgoing account sends from: `from`, else its user name where that is one;
 * "" */
const char *prop_own_address(const struct property_values *v);
/* True when it signs in by OAuth tokens. */
bool prop_uses_oauth(const struct property_values *v);
/* True when these are fetched from its oauthProvider; else the password is one. */
bool prop_fetches_tokens(const struct property_values *v);

/* Takes a JSON value for one property, checked against its row (type, range, words, kind). Texts from people
 * are accepted where a bool or number is meant ("true", "yes", "on", "993", "auto", "30d" for seconds, "50M"
 * for bytes). Bad: a problem is added, nothing changes. Does not look at other properties. */
int property_set(struct property_values *values, const struct property *property, const json_t *value,
                 struct causes *problems) must_use;
/* Every field of `object`: unknown names (with a "did you mean"), read-only and fixed ones, wrong kind and
 * bad values each give a problem. A fixed one may come along with the value it has. */
int properties_apply(struct property_values *values, const json_t *object, struct causes *problems) must_use;

/*
 * The rules between properties, for the new values against the old (NULL when the account is new): useSsl and
 * useStartTls exclude each other; a change of either while `port` stays a number needs `port` in `request`
 * (CAUSE_PORT_REQUIRED naming the table's port); required ones are there; transport fits the kind; OAuth
 * mechanisms need what they need. Bad ones are added to problems.
 */
int properties_check(const struct property_values *values, const struct property_values *old,
                     const json_t *request, struct causes *problems) must_use;
/* properties_apply(), then properties_check(). Where a value was refused, of the rules only those about
 * useSsl, useStartTls and port that do not rest on it: all that is known to be wrong is told at once. */
int properties_take(struct property_values *values, const struct property_values *old, const json_t *request,
                    struct causes *problems) must_use;
/* Whether an account of that kind may have the word: an outgoing one has transport smtp, the others the rest.
 */
bool property_word_fits(const struct property *property, const char *word, enum account_kind kind);
/* Sentences about what is allowed and unusual: unusual port, no TLS, plaintext login, TLS below 1.2, debug,
 * delete. */
json_t *properties_warnings(const struct property_values *values) must_use;

/* The port table: what `auto` means for these values. */
uint16_t port_of_table(const char *transport, bool ssl, bool starttls);
/* The other way round: what a server at that port usually speaks ("smtp", "imap", "pop3"), and how it is
 * secured ("ssl", "starttls"). False, and nothing set, for a port that is not in the table. */
bool port_means(uint16_t port, const char **transport, const char **security);
/* [{transport, none, starttls, ssl}]: the whole table. */
json_t *port_table_json(void) must_use;
/* The port to connect to. */
uint16_t port_in_use(const struct property_values *values);

/* Writable and fixed values as a JSON object in table order; `changed_only`: without those at their default
 * (for files and export). */
json_t *properties_json(const struct property_values *values, bool changed_only) must_use;
/* What differs, in table order: [{property, from, to}]; of an account that is new (`from` NULL) what is not
 * at its default, with null for what it was. */
json_t *properties_differences(const struct property_values *from, const struct property_values *to) must_use;
/* The socket of deliverTo=lmtp:PATH; NULL: mail goes to the Maildir. */
const char *properties_lmtp_socket(const struct property_values *values);
/* The command of deliverTo=exec:COMMAND; NULL: none. */
const char *properties_delivery_command(const struct property_values *values);
/* A TYPE_KEPT: one of *seconds and *count is set, the other 0; both are 0 for "". */
int properties_kept(const char *text, int64_t *seconds, int64_t *count, struct cause *cause) must_use;
/* {version..} of minTlsVersion as 10, 11, 12, 13. */
int properties_min_tls(const struct property_values *values);
/* The table, for programs that show a sheet: [{name, type, group, access, required, default, min, max,
 * maxBytes, words, unit, excludes, help}] of the kind in table order; [{name, title}] of the groups in
 * theirs; and
 * [{name, help}] of the secrets. */
json_t *properties_description(enum account_kind kind) must_use;
json_t *property_groups_description(void) must_use;
json_t *property_secrets_description(void) must_use;
