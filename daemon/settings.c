/* SPDX-License-Identifier: MIT */
/* The one table of settings: keys, defaults, how a value is read. The files are read in settings_file.c. */
#include "daemon/settings.h"

#include "common/limits.h"
#include "common/names.h"
#include "common/times.h"
#include "daemon/networks.h"

#include <inttypes.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/un.h>
#include <unistd.h>

enum storage { STORE_TEXT, STORE_NUMBER, STORE_LEVEL, STORE_TARGET };
enum empty { EMPTY_REFUSED, EMPTY_IS_NONE, EMPTY_IS_TEXT, EMPTY_IS_OWN_NAME };

/* One key. `read` checks a value that is not empty and stores it; on -1 nothing is stored and the cause
 * says why, without the name of the key, which read_value() adds. */
struct row {
        struct settings_key_info info;
        size_t offset;
        enum storage storage;
        enum empty empty;
        int64_t min, max; /* of a number; max of a text: bytes */
        int (*read)(struct settings *settings, const struct row *row, const char *value, struct cause *cause);
};

/* A row has one type for reading and writing, so const is cast away here; only put_text() and
 * settings_copy() write. */
static char **text_place(const struct settings *settings, const struct row *row)
{
        return (char **)(void *)((char *)(uintptr_t)settings + row->offset);
}

static void put_text(struct settings *settings, const struct row *row, const char *value)
{
        char **place = text_place(settings, row);

        free(*place);
        *place = copy_text(value);
}

static int read_text(struct settings *settings, const struct row *row, const char *value, struct cause *cause)
{
        if (!text_is_clean(value))
                return cause_set(cause, CAUSE_INVALID, "control bytes, or not UTF-8");
        if (strlen(value) > (size_t)row->max)
                return cause_set(cause, CAUSE_INVALID, "longer than %" PRId64 " bytes", row->max);
        put_text(settings, row, value);
        return 0;
}

/* It is not looked whether the path is there: whoever opens it tells of that. */
static int read_path(struct settings *settings, const struct row *row, const char *value, struct cause *cause)
{
        if (value[0] != '/')
                return cause_set(cause, CAUSE_INVALID, "%s is not an absolute path", value);
        return read_text(settings, row, value, cause);
}

/* Servers refuse a bare word and an underscore in EHLO. */
static int read_own_name(struct settings *settings, const struct row *row, const char *value,
                         struct cause *cause)
{
        char *scoped(scoped_free) host = host_normal(value, cause);

        if (!host)
                return -1;
        if (!host_is_full(host))
                return cause_set(cause, CAUSE_INVALID,
                                 "%s is not this machine's full name: one with its domain, of letters, "
                                 "digits and hyphens, like "
                                 "plant7.example.com; without one, leave it empty",
                                 value);
        put_text(settings, row, host);
        return 0;
}

static int read_account(struct settings *settings, const struct row *row, const char *value,
                        struct cause *cause)
{
        if (!account_name_valid(value))
                return cause_set(cause, CAUSE_INVALID,
                                 "%s is not a name: letters, digits, dots, hyphens and underscores", value);
        put_text(settings, row, value);
        return 0;
}

static int read_address(struct settings *settings, const struct row *row, const char *value,
                        struct cause *cause)
{
        struct cause why;

        if (address_check(value, false, &why) < 0)
                return cause_set(cause, CAUSE_INVALID, "%s", why.text);
        put_text(settings, row, value);
        return 0;
}

static int read_networks(struct settings *settings, const struct row *row, const char *value,
                         struct cause *cause)
{
        return networks_check(value, cause) < 0 ? -1 : read_text(settings, row, value, cause);
}

/* Numbers of days with commas between them. */
static int read_days(struct settings *settings, const struct row *row, const char *value, struct cause *cause)
{
        const char *at = value;

        for (;;) {
                at += strspn(at, " ");
                /* At most four digits are converted, so the number cannot overflow. */
                size_t digits = strspn(at, "0123456789");
                unsigned long days = digits && digits <= 4 ? strtoul(at, NULL, 10) : 0;
                if (days == 0 || days > 3650)
                        return cause_set(cause, CAUSE_INVALID, "%s is not a list of days like 30, 7, 1",
                                         value);
                at += digits + strspn(at + digits, " ");
                if (!*at)
                        break;
                if (*at++ != ',')
                        return cause_set(cause, CAUSE_INVALID, "%s is not a list of days like 30, 7, 1",
                                         value);
        }
        return read_text(settings, row, value, cause);
}

/* `value` is the text as it was written, for the cause. */
static int put_number(struct settings *settings, const struct row *row, int64_t number, const char *value,
                      struct cause *cause)
{
        if (number < row->min || number > row->max)
                return cause_set(cause, CAUSE_INVALID, "%s is out of range: %" PRId64 " to %" PRId64, value,
                                 row->min, row->max);
        *(int64_t *)(void *)((char *)settings + row->offset) = number;
        return 0;
}

static int read_size(struct settings *settings, const struct row *row, const char *value, struct cause *cause)
{
        uint64_t bytes;

        if (size_parse(value, &bytes, cause) < 0)
                return -1;
        /* A size beyond int64_t is out of range of every row; it must not become negative, which means
         * percent. */
        return put_number(settings, row, bytes > INT64_MAX ? INT64_MAX : (int64_t)bytes, value, cause);
}

/* A size, or percent: kept as a number below 0. */
static int read_reserve(struct settings *settings, const struct row *row, const char *value,
                        struct cause *cause)
{
        char *end = NULL;
        long percent = strtol(value, &end, 10);

        if (value[0] < '0' || value[0] > '9' || strcmp(end, "%") != 0)
                return read_size(settings, row, value, cause);
        if (percent > 50)
                return cause_set(cause, CAUSE_INVALID, "%s is out of range: 0%% to 50%%, or a size", value);
        *(int64_t *)(void *)((char *)settings + row->offset) = -percent;
        return 0;
}

static int read_duration(struct settings *settings, const struct row *row, const char *value,
                         struct cause *cause)
{
        int64_t seconds;

        if (duration_parse(value, &seconds, cause) < 0)
                return -1;
        return put_number(settings, row, seconds, value, cause);
}

static int read_count(struct settings *settings, const struct row *row, const char *value,
                      struct cause *cause)
{
        size_t digits = strspn(value, "0123456789");

        /* 18 digits always fit into int64_t. */
        if (digits == 0 || digits > 18 || value[digits])
                return cause_set(cause, CAUSE_INVALID, "%s is not a number", value);
        return put_number(settings, row, strtoll(value, NULL, 10), value, cause);
}

static const char *const level_words[] = { "emerg",   "alert",  "crit", "err",
                                           "warning", "notice", "info", "debug" }; /* LOG_EMERG is 0 */

static int read_level(struct settings *settings, const struct row *row, const char *value,
                      struct cause *cause)
{
        (void)row;
        for (size_t i = 0; i < count_of(level_words); i++)
                if (same_text(value, level_words[i])) {
                        settings->log_level = (int)i;
                        return 0;
                }
        return cause_set(cause, CAUSE_INVALID,
                         "%s is not a level: emerg, alert, crit, err, warning, notice, info or debug", value);
}

static const char *const target_words[] = {
        [JOURNAL_AUTO] = "auto", [JOURNAL_JOURNAL] = "journal", [JOURNAL_STDERR] = "stderr"
};

static int read_target(struct settings *settings, const struct row *row, const char *value,
                       struct cause *cause)
{
        (void)row;
        for (size_t i = 0; i < count_of(target_words); i++)
                if (same_text(value, target_words[i])) {
                        settings->log_target = (enum journal_target)i;
                        return 0;
                }
        return cause_set(cause, CAUSE_INVALID, "%s is not a target: auto, journal or stderr", value);
}

/* A path of a socket is bounded by sun_path with its NUL; it is never cut. */
enum {
        PATH_BYTES = 4000,
        SOCKET_PATH_BYTES = sizeof((struct sockaddr_un *)0)->sun_path - 1,
        LIST_BYTES = 2000
};
#define SIZE_MOST     (INT64_C(1) << 50)
#define place(member) offsetof(struct settings, member)

/* In the order in which they are shown. A fallback is read like a value from a file, by its own row. 253
 * is the longest domain name as text; on the wire that is 255 octets (RFC 1035 section 2.3.4). */
/* clang-format off */
static const struct row rows[] = {
        { { "Service", "StateDirectory", "/var/lib/emailsecd", "accounts, trust, queue and received mail" },
          place(state_directory), STORE_TEXT, EMPTY_REFUSED, 0, PATH_BYTES, read_path },
        { { "Service", "ControlSocket", "/run/emailsecd/io.emailsec", "the socket emailsecctl talks to" },
          place(control_socket), STORE_TEXT, EMPTY_REFUSED, 0, SOCKET_PATH_BYTES, read_path },
        { { "Service", "Hostname", "", "name in EHLO and Message-ID; empty: the machine's own" },
          place(hostname), STORE_TEXT, EMPTY_IS_OWN_NAME, 0, 253, read_own_name },
        { { "Service", "DefaultAccount", "",
            "account for mail that names none; empty: the only outgoing one" },
          place(default_account), STORE_TEXT, EMPTY_IS_NONE, 0, LIMIT_ACCOUNT_NAME, read_account },
        { { "Service", "NotifyFaults", "", "address that is told by mail of accounts that need a person; empty: none" },
          place(notify_faults), STORE_TEXT, EMPTY_IS_NONE, 0, LIMIT_ADDRESS, read_address },
        { { "Service", "LocalRecipients", "", "address for mail to local names without an alias: root, cron's users; empty: refused" },
          place(local_recipients), STORE_TEXT, EMPTY_IS_NONE, 0, LIMIT_ADDRESS, read_address },
        { { "Service", "AliasFile", "/etc/aliases", "what local names stand for, where the file is there; empty: none" },
          place(alias_file), STORE_TEXT, EMPTY_IS_NONE, 0, PATH_BYTES, read_path },
        { { "Service", "MaxMessageSize", "50M", "largest message that is taken for sending" },
          place(max_message_size), STORE_NUMBER, EMPTY_REFUSED, 1024, SIZE_MOST, read_size },
        { { "Service", "KeepSent", "7d", "how long a sent message can still be looked up" },
          place(keep_sent), STORE_NUMBER, EMPTY_REFUSED, 0, INT64_C(3650) * 86400, read_duration },
        { { "Service", "DiskReserve", "5%", "disk space that is left free by received mail and submissions" },
          place(disk_reserve), STORE_NUMBER, EMPTY_REFUSED, 0, SIZE_MOST, read_reserve },
        { { "Service", "LogLevel", "info", "least urgent messages that are logged" },
          place(log_level), STORE_LEVEL, EMPTY_REFUSED, 0, 0, read_level },
        { { "Service", "LogTarget", "auto", "journal or stderr; auto: the journal when started by systemd" },
          place(log_target), STORE_TARGET, EMPTY_REFUSED, 0, 0, read_target },
        { { "Trust", "SystemTrustStore", "",
            "file or folder of PEM certificates; empty: OpenSSL's own places" },
          place(system_trust_store), STORE_TEXT, EMPTY_IS_NONE, 0, PATH_BYTES, read_path },
        { { "Trust", "RevocationLists", "", "folder of CRLs; empty: none" },
          place(revocation_lists), STORE_TEXT, EMPTY_IS_NONE, 0, PATH_BYTES, read_path },
        { { "Trust", "ExpiryWarnings", "30, 7, 1", "days before a server's certificate expires to warn" },
          place(expiry_warnings), STORE_TEXT, EMPTY_REFUSED, 0, 100, read_days },
        { { "Control", "ReadGroup", "emailsec", "group that may read status, queue and received mail" },
          place(read_group), STORE_TEXT, EMPTY_REFUSED, 0, 100, read_text },
        { { "Control", "AdminGroup", "emailsec-admin", "group that may change anything" },
          place(admin_group), STORE_TEXT, EMPTY_REFUSED, 0, 100, read_text },
        { { "Control", "AllowSubmit", "all",
            "users and groups that may send mail, or all; empty: readers and admins only" },
          place(allow_submit), STORE_TEXT, EMPTY_IS_TEXT, 0, LIST_BYTES, read_text },
        { { "Submission", "AllowFrom", "", "addresses and networks that may submit by SMTP without signing in; empty: none" },
          place(allow_from), STORE_TEXT, EMPTY_IS_TEXT, 0, LIST_BYTES, read_networks },
        { { "Submission", "Certificate", "", "client certificate or credential that the submission listener shows for TLS; empty: none" },
          place(certificate), STORE_TEXT, EMPTY_IS_NONE, 0, LIMIT_ACCOUNT_NAME, read_account },
        { { "Limits", "MaxSessions", "2000", "sessions with mail servers at one time" },
          place(max_sessions), STORE_NUMBER, EMPTY_REFUSED, 1, 100000, read_count },
        { { "Limits", "MaxSessionsPerHost", "64", "the same with one server" },
          place(max_sessions_per_host), STORE_NUMBER, EMPTY_REFUSED, 1, 100000, read_count },
        { { "Limits", "QueueSizeLimit", "10G", "disk space for mail that waits to be sent" },
          place(queue_size_limit), STORE_NUMBER, EMPTY_REFUSED, MIB, SIZE_MOST, read_size },
};
/* clang-format on */

/* Borrowed from whoever called service_open() or service_reload() last. */
static const struct settings *current;

void settings_put_current(const struct settings *settings)
{
        current = settings;
}

const struct settings *settings_current(void)
{
        return current;
}

/* The list has static storage and is the same at each call. */
size_t settings_keys(const struct settings_key_info **out)
{
        static struct settings_key_info infos[count_of(rows)];

        for (size_t i = 0; i < count_of(rows); i++)
                infos[i] = rows[i].info;
        *out = infos;
        return count_of(rows);
}

const char *settings_type(size_t key)
{
        static const struct {
                int (*read)(struct settings *settings, const struct row *row, const char *value,
                            struct cause *cause);
                const char *name;
        } types[] = {
                { read_path, "path" },       { read_own_name, "host" },     { read_account, "name" },
                { read_address, "address" }, { read_networks, "networks" }, { read_days, "days" },
                { read_size, "size" },       { read_reserve, "reserve" },   { read_duration, "duration" },
                { read_count, "number" },    { read_level, "level" },       { read_target, "target" },
        };

        for (size_t i = 0; i < count_of(types); i++)
                if (types[i].read == rows[key].read)
                        return types[i].name;
        return "text";
}

char *settings_value(const struct settings *settings, size_t key)
{
        const struct row *row = &rows[key];
        char text[32];
        int64_t number;

        switch (row->storage) {
        case STORE_TEXT:
                return copy_text(*text_place(settings, row) ? *text_place(settings, row) : "");
        case STORE_LEVEL:
                return copy_text(level_words[settings->log_level]);
        case STORE_TARGET:
                return copy_text(target_words[settings->log_target]);
        case STORE_NUMBER:
                break;
        }
        /* Only DiskReserve= can be below 0. The exact forms are those that the parsers take, so that what
         * is printed can be written into a file again. */
        number = *(const int64_t *)(const void *)((const char *)settings + row->offset);
        if (number < 0) /* read_reserve() */
                (void)snprintf(text, sizeof text, "%" PRId64 "%%", -number);
        else if (row->read == read_duration)
                duration_exact(number, text);
        else if (row->read == read_count)
                (void)snprintf(text, sizeof text, "%" PRId64, number);
        else
                size_exact((uint64_t)number, text);
        return copy_text(text);
}

/* Written once, by learn_own_name(); read only after that. */
static char own_name[256];

/* A stand-in for a full name, for Message-IDs; see settings_hello. */
static void put_stand_in(const char *name)
{
        /* A label has at most 63 octets (RFC 1035 section 2.3.4); a longer one becomes localhost. */
        char label[64] = "";
        size_t len = strcspn(name, ".");

        (void)snprintf(label, sizeof label, "%.*s", (int)(len < sizeof label ? len : 0), name);
        for (char *c = label; *c; c++)
                if (*c == '_')
                        *c = '-';
        bool fine = label[0] && label[0] != '-' && label[strlen(label) - 1] != '-' && !host_is_address(name);
        (void)snprintf(own_name, sizeof own_name, "%s.localdomain", fine ? label : "localhost");
}

/* The machine's name, with its domain where the resolver knows it. */
static void learn_own_name(void)
{
        char name[sizeof own_name] = "";
        struct addrinfo hints = { .ai_flags = AI_CANONNAME, .ai_socktype = SOCK_STREAM }, *found = NULL;

        if (gethostname(name, sizeof name - 1) < 0)
                name[0] = '\0';
        char *scoped(scoped_free) own = host_normal(name, NULL);
        char *scoped(scoped_free) full = NULL;
        /* The resolver is asked only for a name without a domain; it may block, which is why this is done
         * once, at the start. */
        if (own && !strchr(own, '.') && getaddrinfo(own, NULL, &hints, &found) == 0) {
                if (found->ai_canonname)
                        full = host_normal(found->ai_canonname, NULL);
                freeaddrinfo(found);
        }
        const char *best = full && host_is_full(full) ? full : own && host_is_full(own) ? own : NULL;
        if (best)
                (void)snprintf(own_name, sizeof own_name, "%s", best);
        else
                put_stand_in(own ? own : "");
}

/* A name that changes while the daemon runs is not noticed: Message-IDs and EHLO stay the same until it
 * is started again. */
static const char *learnt_own_name(void)
{
        static pthread_once_t once = PTHREAD_ONCE_INIT;

        if (pthread_once(&once, learn_own_name) != 0)
                abort();
        return own_name;
}

/* An empty value is an answer of its own for some keys, and never reaches the row's `read`. */
static int read_empty(struct settings *settings, const struct row *row, struct cause *cause)
{
        switch (row->empty) {
        case EMPTY_REFUSED:
                return cause_set(cause, CAUSE_INVALID, "the value is missing");
        case EMPTY_IS_NONE:
                put_text(settings, row, NULL);
                break;
        case EMPTY_IS_TEXT:
                put_text(settings, row, "");
                break;
        case EMPTY_IS_OWN_NAME:
                put_text(settings, row, learnt_own_name());
                break;
        }
        return 0;
}

/* The one way by which a value gets into the settings: defaults, files and --set alike. `cause` may be
 * NULL. */
static int read_value(struct settings *settings, const struct row *row, const char *value,
                      struct cause *cause)
{
        struct cause why = { 0 };
        int result = value[0] ? row->read(settings, row, value, &why) : read_empty(settings, row, &why);

        if (result == 0)
                return 0;
        char *scoped(scoped_free) name = text_of("%s.%s", row->info.section, row->info.key);
        cause_about(cause, CAUSE_INVALID, name, "%s: %s", row->info.key, why.text);
        cause_remedy(cause, "see emailsecd.conf(5)");
        return -1;
}

/* What other programs have in such a file, and where it is here. */
static const char *meant_by(const char *key)
{
        static const char account[] =
                "a server is a property of an account: emailsecctl account add outgoing NAME hostname=HOST";
        static const struct {
                const char *key, *meant;
        } others[] = {
                { "Host", account },
                { "Server", account },
                { "Relay", account },
                { "RelayHost", account },
                { "MailHub", account },
                { "User", account },
                { "Password",
                  "a password is never in a file of settings: emailsecctl account password NAME" },
                { "From", "a sender is a property of an account: emailsecctl account set NAME from=ADDRESS" },
                { "Account", "did you mean DefaultAccount?" },
                { "Default", "did you mean DefaultAccount?" },
                { "Name", "did you mean Hostname?" },
                { "MyHostname", "did you mean Hostname?" },
                { "Socket", "did you mean ControlSocket?" },
                { "StatePath", "did you mean StateDirectory?" },
                { "Root", "did you mean LocalRecipients?" },
                { "Postmaster", "did you mean LocalRecipients?" },
                { "Aliases", "did you mean AliasFile?" },
                { "MaxSize", "did you mean MaxMessageSize?" },
                { "Debug", "did you mean LogLevel=debug?" },
                { "Verbose", "did you mean LogLevel=debug?" },
                { "LogFile", "did you mean LogTarget?" },
                { "Syslog", "did you mean LogTarget?" },
                { "TrustStore", "did you mean SystemTrustStore? one certificate is trusted by: emailsecctl "
                                "trust import FILE" },
                { "CAFile", "did you mean SystemTrustStore? one certificate is trusted by: emailsecctl trust "
                            "import FILE" },
                { "CRL", "did you mean RevocationLists?" },
                { "Group", "did you mean AdminGroup or ReadGroup?" },
                { "QueueSize", "did you mean QueueSizeLimit?" },
        };

        for (size_t i = 0; i < count_of(others); i++)
                if (strcasecmp(others[i].key, key) == 0)
                        return others[i].meant;
        return NULL;
}

/* The vocabulary of other mail programs comes before the likeness of letters. */
static void did_you_mean(struct cause *cause, const char *key, const struct nearest *nearest)
{
        const char *meant = meant_by(key);

        if (meant) {
                cause_remedy(cause, "%s", meant);
                return;
        }
        if (nearest->word)
                cause_remedy(cause, "did you mean %s?", nearest->word);
        else
                cause_remedy(cause, "see emailsecd.conf(5)");
}

/* For the most helpful cause: first whether the section is wrong, then whether the key belongs to another
 * section, then which key is like it. Always -1. */
static int refuse_name(const char *section, const char *key, struct cause *cause)
{
        struct nearest sections = { 0 }, keys = { 0 };
        bool known = false;

        for (size_t i = 0; i < count_of(rows); i++) {
                if (same_text(rows[i].info.section, section))
                        known = true;
                nearest_offer(&sections, section, rows[i].info.section);
        }
        if (!known) {
                cause_set(cause, CAUSE_INVALID, "there is no section [%s]", section);
                did_you_mean(cause, "", &sections);
                return -1;
        }
        for (size_t i = 0; i < count_of(rows); i++) {
                const struct settings_key_info *info = &rows[i].info;
                if (!same_text(info->key, key)) {
                        nearest_offer(&keys, key, info->key);
                        continue;
                }
                cause_set(cause, CAUSE_INVALID, "there is no key %s in [%s]", key, section);
                cause_remedy(cause, "it belongs into [%s]", info->section);
                return -1;
        }
        cause_set(cause, CAUSE_INVALID, "there is no key %s in [%s]", key, section);
        did_you_mean(cause, key, &keys);
        return -1;
}

int settings_set(struct settings *settings, const char *assignment, struct cause *cause)
{
        /* Only the first = divides: a value may contain more of them, and dots. */
        size_t section_len = strcspn(assignment, ".=");
        size_t name_len = strcspn(assignment, "=");

        if (assignment[section_len] != '.' || !assignment[name_len])
                return cause_set(cause, CAUSE_INVALID, "%s is not of the form SECTION.KEY=VALUE", assignment);
        char *scoped(scoped_free) section = copy_bytes(assignment, section_len);
        char *scoped(scoped_free) key = copy_bytes(assignment + section_len + 1, name_len - section_len - 1);
        for (size_t i = 0; i < count_of(rows); i++)
                if (same_text(rows[i].info.section, section) && same_text(rows[i].info.key, key))
                        return read_value(settings, &rows[i], assignment + name_len + 1, cause);
        return refuse_name(section, key, cause);
}

/* The first of the folders that systemd put into a variable; NULL when there is none. The caller frees. */
static char *first_folder(const char *variable)
{
        const char *value = getenv(variable);

        return value && value[0] == '/' ? copy_bytes(value, strcspn(value, ":")) : NULL;
}

void settings_defaults(struct settings *settings)
{
        /* From zero bytes: put_text() frees what was there. Files come after this, so they win over the
         * variables of systemd. */
        *settings = (struct settings){ 0 };
        for (size_t i = 0; i < count_of(rows); i++)
                if (read_value(settings, &rows[i], rows[i].info.fallback, NULL) < 0)
                        abort(); /* a fallback in the table that its own row refuses */
        char *scoped(scoped_free) state = first_folder("STATE_DIRECTORY");
        if (state) {
                free(settings->state_directory);
                settings->state_directory = take(state);
        }
        char *scoped(scoped_free) runtime = first_folder("RUNTIME_DIRECTORY");
        if (runtime) {
                free(settings->control_socket);
                settings->control_socket = text_of("%s/io.emailsec", runtime);
        }
}

/* Numbers come with the structure; each text is duplicated, so that both can be freed on their own. */
void settings_copy(struct settings *to, const struct settings *from)
{
        *to = *from;
        for (size_t i = 0; i < count_of(rows); i++)
                if (rows[i].storage == STORE_TEXT)
                        *text_place(to, &rows[i]) = copy_text(*text_place(from, &rows[i]));
}

/* Leaves zero bytes: a second call does nothing. */
void settings_done(struct settings *settings)
{
        for (size_t i = 0; i < count_of(rows); i++)
                if (rows[i].storage == STORE_TEXT)
                        free(*text_place(settings, &rows[i]));
        *settings = (struct settings){ 0 };
}

const char *settings_hello(const struct settings *settings)
{
        return host_is_full(settings->hostname) ? settings->hostname : NULL;
}
