/* SPDX-License-Identifier: MIT */
/* THE tables of socket methods: name, who may call it, how large a call is, how it is called, who handles it,
 * what it takes; and of all that methods take. A unit test holds both against the .varlink files. */
#pragma once

#include "common/json_fields.h"
#include "common/limits.h"
#include "daemon/control/call.h"

/* ---- what methods take ---- */

/* A parameter has one type and one meaning wherever it occurs, so that all of them are members of one struct.
 * They are read and checked here alone: a handler gets values of the right type, within their bounds. */

/* X(word, type, member, name in a call, flags, min, max): type, flags and bounds as in json_fields.h. */
#define PARAMETERS(X) \
        X(ACCOUNT, TEXT, account, "account", 0, 0, 0) \
        X(ACCOUNT_LIMIT, INT, account_limit, "limit", 0, 1, LIMIT_ACCOUNTS) \
        X(ACCOUNT_LIST, OBJECTS, account_list, "accounts", 0, 0, 0) /* of Apply */ \
        X(ACCOUNTS, TEXTS, accounts, "accounts", 0, 0, 0) \
        X(AFTER, TEXT, after, "after", 0, 0, 0) \
        X(AUTHOR, TEXT, author, "author", 0, 0, 0) \
        X(CERTIFICATES, TEXT, certificates, "certificates", 0, 0, 0) \
        X(CLEAR, BOOL, clear, "clear", 0, 0, 0) \
        X(CREDENTIAL, TEXT, credential, "credential", 0, 0, 0) \
        X(CURSOR, TEXT, cursor, "cursor", 0, 0, 0) \
        X(DESCRIPTOR, INT, descriptor, "descriptor", 0, 0, LIMIT_FRAME_FDS - 1) \
        X(DOMAIN, TEXT, domain, "domain", 0, 0, 253) \
        X(DRY_RUN, BOOL, dry_run, "dryRun", 0, 0, 0) \
        X(ENVELOPE_ID, TEXT, envelope_id, "envelopeId", 0, 0, 0) \
        X(ERRORS, TEXTS, errors, "errors", 0, 0, 0) \
        X(EVENTS, TEXTS, events, "events", 0, 0, 0) \
        X(FINGERPRINT, TEXT, fingerprint, "fingerprint", 0, 0, 0) \
        X(FORCE, BOOL, force, "force", 0, 0, 0) \
        X(FROM, TEXT, from, "from", 0, 0, 0) \
        X(HOLD, BOOL, hold, "hold", 0, 0, 0) \
        X(HOST, TEXT, host, "host", 0, 0, 0) \
        X(ID, TEXT, id, "id", 0, 0, 0) \
        X(IDS, TEXTS, ids, "ids", 0, 0, 0) \
        X(INBOX_LIMIT, INT, inbox_limit, "limit", 0, 1, LIMIT_INBOX_PAGE) \
        X(INTERFACE, TEXT, interface, "interface", 0, 0, 0) \
        X(KEY, TEXT, key, "key", FIELD_CLEAN, 0, LIMIT_IDEMPOTENCY_KEY) \
        X(KIND, TEXT, kind, "kind", 0, 0, 0) \
        X(MAIL, BOOL, mail, "mail", 0, 0, 0) \
        X(MESSAGE, TEXT, message, "message", 0, 0, 0) \
        X(MINUTES, INT, minutes, "minutes", 0, 1, 24 * 60) \
        X(NAME, TEXT, name, "name", 0, 0, 0) \
        X(NOTIFY, TEXTS, notify, "notify", 0, 0, 0) \
        X(OLDER_THAN, INT, older_than, "olderThan", 0, 0, INT32_MAX) /* seconds */ \
        X(ORIGINALS, TEXTS, originals, "originals", 0, 0, 0) \
        X(PARTIAL, BOOL, partial, "partial", 0, 0, 0) \
        X(PASSWORD, TEXT, password, "password", FIELD_SECRET, 0, LIMIT_SECRET) \
        X(PINS, TEXT, pins, "pins", 0, 0, 0) \
        X(PORT, INT, port, "port", 0, 0, 65535) \
        X(PRIORITY, TEXT, priority, "priority", 0, 0, 0) \
        X(PRIVATE_KEY, TEXT, private_key, "key", FIELD_SECRET, 0, 0) /* of ImportKey */ \
        X(PROPERTIES, OBJECT, properties, "properties", 0, 0, 0) \
        X(QUEUE_LIMIT, INT, queue_limit, "limit", 0, 1, LIMIT_QUEUE_PAGE) \
        X(REASON, TEXT, reason, "reason", FIELD_CLEAN, 0, 1000) \
        X(RECIPIENTS, TEXTS, recipients, "recipients", 0, 0, 0) \
        X(RET, TEXT, ret, "ret", 0, 0, 0) \
        X(SECRET, TEXT, secret, "secret", 0, 0, 0) \
        X(SECRETS, BOOL, secrets, "secrets", 0, 0, 0) \
        X(SECURITY, TEXT, security, "security", 0, 0, 0) \
        X(SEEN, BOOL, seen, "seen", 0, 0, 0) \
        X(SINCE, TEXT, since, "since", 0, 0, 0) \
        X(STATE, TEXT, state, "state", 0, 0, 0) \
        X(STATES, TEXTS, states, "states", 0, 0, 0) \
        X(SUBSCRIBER, TEXT, subscriber, "subscriber", 0, 0, 0) \
        X(SYSTEM, BOOL, system, "system", 0, 0, 0) \
        X(TRANSPORT, TEXT, transport, "transport", 0, 0, 0) \
        X(UNTIL, TEXT, until, "until", 0, 0, 0) \
        X(WAIT, BOOL, wait, "wait", 0, 0, 0)

enum parameter {
        PARAMETER_NONE,
#define PARAMETER_WORD(word, ...) PARAMETER_##word,
        PARAMETERS(PARAMETER_WORD)
#undef PARAMETER_WORD
                           PARAMETER_COUNT,
        };

/* The types of a call in C; texts and lists are borrowed from the call. */
#define PARAMETER_C_TEXT    const char *
#define PARAMETER_C_BOOL    bool
#define PARAMETER_C_INT     int64_t
#define PARAMETER_C_OBJECT  json_t *
#define PARAMETER_C_OBJECTS json_t *
#define PARAMETER_C_TEXTS   json_t *

/* What a call says; what it does not say has its default (methods.c): else NULL, false or 0. */
struct parameters {
#define PARAMETER_MEMBER(word, type, member, ...) PARAMETER_C_##type member;
        PARAMETERS(PARAMETER_MEMBER)
#undef PARAMETER_MEMBER
        bool said[PARAMETER_COUNT]; /* by enum parameter: it was in the call */
};

/* One that a method takes; the list of them ends with PARAMETER_NONE. */
struct taken {
        enum parameter parameter;
        bool optional;
};
enum { TAKEN_MAX = 15 };

/* The type as a .varlink file writes it ("[]string"), and the name. */
const char *parameter_type(enum parameter parameter);
const char *parameter_name(enum parameter parameter);

/* Reads what is taken out of the object (NULL = {}), which must outlive `out`. 0, or -1 with a problem for
 * each that is missing, unknown, of another type or out of bounds. */
int parameters_read(const json_t *object, const struct taken *taken, struct parameters *out,
                    struct causes *problems) must_use;

/* ---- methods ---- */

enum {
        METHOD_MORE = 1,    /* must be called with `more` */
        METHOD_ENDING = 2,  /* still answered while the daemon ends */
        METHOD_WAITS = 4,   /* may wait long for something to happen */
        METHOD_EVENTS = 16, /* its client hears of the end by an event: it gets no answer then */
        METHOD_STORED =
                32, /* the store answers it when it closes: given up, nobody knows what became of it */
        METHOD_CHANGES = 8, /* changes something, or hands out all: what, and by whom, goes into the audit
                               trail (call.h) */
};

struct method {
        const char *name; /* "io.emailsec.EmailService.GetStatus" */
        enum permission permission;
        size_t size, values; /* of a call at most: bytes, and JSON values in them */
        unsigned flags;
        void (*handle)(struct call *call);
        struct taken takes[TAKEN_MAX + 1]; /* ends with PARAMETER_NONE */
};
extern const struct method methods[];
extern const size_t method_count;

const struct method *method_named(const char *name);
/* How large a call of it may be, in bytes and in JSON values; NULL: of a method that is not known (yet). */
size_t method_size(const struct method *method);
size_t method_values(const struct method *method);
/* True when the interface part of the name is one of ours. */
bool interface_known(const char *method_name);

/* Reload is main.c's: reads the settings again; a cause when they are bad (the old ones stay). */
void methods_on_reload(int (*reload)(json_t *warnings, struct cause *cause));
int methods_reload(json_t *warnings, struct cause *cause);

/* Handlers, by noun: on_account.c, on_trust.c, on_secrets.c, on_queue.c, on_mail.c, on_inbox.c,
 * on_events.c, on_status.c. */
void on_list_accounts(struct call *call);
void on_get_account(struct call *call);
void on_add_account(struct call *call);
void on_set_account(struct call *call);
void on_delete_account(struct call *call);
void on_set_password(struct call *call);
void on_poll(struct call *call);
void on_test_account(struct call *call);
void on_list_folders(struct call *call);
void on_probe(struct call *call);

/* ---- on_servers.c ---- */
void on_fetch_autoconfig(struct call *call);

void on_send_heartbeat(struct call *call);

void on_authorize_account(struct call *call);
void on_apply(struct call *call);

void on_get_status(struct call *call);
void on_audit(struct call *call);
void on_get_metrics(struct call *call);
void on_get_history(struct call *call);
void on_describe_properties(struct call *call);
void on_reload(struct call *call);

void on_backup(struct call *call);

void on_monitor(struct call *call);
void on_acknowledge(struct call *call);
void on_list_subscribers(struct call *call);
void on_forget_subscriber(struct call *call);

void on_submit(struct call *call);
void on_list_inbox(struct call *call);
void on_open_inbox_message(struct call *call);
void on_delete_inbox_messages(struct call *call);
void on_mark_inbox_messages(struct call *call);
void on_list_missing(struct call *call);
void on_forget_missing(struct call *call);

void on_list_queue(struct call *call);
void on_get_message(struct call *call);
void on_wait_message(struct call *call);
void on_retry_messages(struct call *call);
void on_hold_messages(struct call *call);
void on_release_messages(struct call *call);
void on_delete_messages(struct call *call);
void on_reroute_messages(struct call *call);
void on_flush_queue(struct call *call);

void on_list_allowed_hosts(struct call *call);
void on_get_allowed_host(struct call *call);
void on_approve(struct call *call);
void on_reject(struct call *call);
void on_unapprove(struct call *call);
void on_delete_allowed_host(struct call *call);
void on_prune(struct call *call);
void on_list_anchors(struct call *call);
void on_get_anchor(struct call *call);
void on_import_anchors(struct call *call);
void on_delete_anchor(struct call *call);
void on_list_server_certificates(struct call *call);
void on_list_keys(struct call *call);
void on_import_key(struct call *call);
void on_delete_key(struct call *call);

/* ---- on_secrets.c ---- */
void on_list_devices(struct call *call);
void on_add_device(struct call *call);
void on_set_device_password(struct call *call);
void on_delete_device(struct call *call);

void on_get_info(struct call *call);
void on_get_interface_description(struct call *call);
