/* SPDX-License-Identifier: MIT */
/* emailsecd.conf and its drop-ins by one table of keys; an unknown section or key or a bad value is an
 * error with file and line. Read-only for the daemon. */
#pragma once

#include "common/cause.h"
#include "daemon/journal.h"

#include <jansson.h>

/* Texts are owned; hostname is a full name, or where the machine has none a stand-in that ends in
 * .localdomain; default_account, system_trust_store and revocation_lists are NULL when not set. */
struct settings {
        char *state_directory, *control_socket;
        char *hostname, *default_account;
        char *notify_faults;    /* an address, or NULL */
        char *local_recipients; /* an address, or NULL */
        char *alias_file;       /* a path, or NULL */
        int64_t max_message_size, keep_sent;
        int log_level;
        enum journal_target log_target;
        char *allow_from;  /* networks whose clients may submit by SMTP without signing in; "": none */
        char *certificate; /* of the submission listener: in the key store, or a credential; or NULL */
        char *system_trust_store, *revocation_lists;
        char *expiry_warnings; /* "30, 7, 1" */
        char *read_group, *admin_group;
        char *allow_submit; /* "all", or groups and users, comma separated; "" = readers and admins */
        int64_t max_sessions, max_sessions_per_host, queue_size_limit;
        int64_t disk_reserve; /* bytes; below 0: percent of the disk; 0: none */
};

/* Defaults with what systemd's environment says (STATE_DIRECTORY, RUNTIME_DIRECTORY). The first call may wait
 * for the resolver, to learn the machine's full name; later calls do not. */
void settings_defaults(struct settings *settings);
/* Reads FILE and FILE.d/X.conf in order of name (FILE = .../emailsecd.conf -> .../emailsecd.conf.d/).
 * `required`: a missing FILE is an error. On -1 `settings` is unchanged and the cause has file and line. */
int settings_read(struct settings *settings, const char *file, bool required, struct cause *cause) must_use;
/* --set SECTION.KEY=VALUE */
int settings_set(struct settings *settings, const char *assignment, struct cause *cause) must_use;
void settings_copy(struct settings *to, const struct settings *from); /* `to` is raw memory */
void settings_done(struct settings *settings);

/* Those that the daemon runs by: borrowed until others are put in their place. */
void settings_put_current(const struct settings *settings);
const struct settings *settings_current(void);

/* The name for EHLO; NULL: there is no full one, an address literal is said (RFC 5321 section 4.1.4). */
const char *settings_hello(const struct settings *settings);

/* Each key with its section, default as text and meaning. */
struct settings_key_info {
        const char *section, *key, *fallback, *meaning;
};
size_t settings_keys(const struct settings_key_info **out);
/* What the value of a key (its place in that list) is: "text", "path", "size" and so on. */
const char *settings_type(size_t key);
/* Its value as a file says it; the caller frees. */
char *settings_value(const struct settings *settings, size_t key) must_use;
/* [{section, key, type, default, value, changed, help}] of all: for whoever shows them. */
json_t *settings_description(const struct settings *settings) must_use;
