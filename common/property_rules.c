/* SPDX-License-Identifier: MIT */
/* The rules between properties of one account, and what is allowed but worth a warning. */
#include "common/file_rules.h"
#include "common/json_fields.h"
#include "common/names.h"
#include "common/properties.h"

#include <inttypes.h>
#include <sys/un.h>

/* In the order of `switches`: the words and the properties of one thing. */
static const char *const switch_names[] = { "useSsl", "useStartTls" };
static const enum property_id switches[] = { PROP_USE_SSL, PROP_USE_STARTTLS };

/* "with useSsl", for sentences about the port table. */
static const char *security_words(const struct property_values *values)
{
        if (prop_bool(values, PROP_USE_SSL))
                return "with useSsl";
        return prop_bool(values, PROP_USE_STARTTLS) ? "with useStartTls" : "without TLS";
}

static uint16_t table_port(const struct property_values *values)
{
        return port_of_table(prop_text(values, PROP_TRANSPORT), prop_bool(values, PROP_USE_SSL),
                             prop_bool(values, PROP_USE_STARTTLS));
}

/* One of the problems from `first` on is about that property. */
static bool is_named(const struct causes *problems, size_t first, const char *property)
{
        for (size_t i = first; i < problems->count; i++)
                if (same_text(problems->items[i].property, property))
                        return true;
        return false;
}

static int check_switches(const struct property_values *values, const struct property_values *old,
                          const json_t *request, struct causes *problems)
{
        if (!prop_bool(values, PROP_USE_SSL) || !prop_bool(values, PROP_USE_STARTTLS))
                return 0;
        /* The other one, that was not asked for, is what must go. */
        size_t asked = json_object_get(request, "useStartTls") ? 1 : 0;
        struct cause *problem = causes_add(problems);
        cause_about(problem, CAUSE_INVALID, switch_names[asked],
                    "useSsl and useStartTls exclude each other, and both would be true");
        if (old)
                cause_remedy(problem, "emailsecctl account secure %s ssl|starttls|none, or say %s=false too",
                             prop_text(values, PROP_NAME), switch_names[!asked]);
        else
                cause_remedy(problem,
                             "say %s=false too; later emailsecctl account secure %s ssl|starttls|none "
                             "changes both together",
                             switch_names[!asked], prop_text(values, PROP_NAME));
        return -1;
}

/* A port that was a choice for the old security is hardly one for the new: TLS to a port that
 * speaks plain first, or the other way round, looks like a dead server. Whoever changes one says
 * the other. */
static int check_port(const struct property_values *values, const struct property_values *old,
                      const json_t *request, struct causes *problems)
{
        bool changed = false;

        if (!old || prop_number(values, PROP_PORT) == 0 || json_object_get(request, "port"))
                return 0;
        for (size_t i = 0; i < count_of(switches); i++)
                if (prop_bool(values, switches[i]) != prop_bool(old, switches[i]))
                        changed = true;
        if (!changed || (prop_bool(values, PROP_USE_SSL) && prop_bool(values, PROP_USE_STARTTLS)))
                return 0;
        uint16_t usual = table_port(values);
        struct cause *problem = causes_add(problems);
        cause_about(problem, CAUSE_PORT_REQUIRED, "port",
                    "port is %" PRId64
                    " now; %s the usual port is %u: say port=%u, another number, or port=auto",
                    prop_number(values, PROP_PORT), security_words(values), usual, usual);
        return -1;
}

/* All that are missing at once, each with what it is for. */
static int check_present(const struct property_values *values, struct causes *problems)
{
        int result = 0;

        for (size_t i = 0; i < PROPERTIES; i++) {
                const struct property *property = &properties[i];
                if (!property->required || !(property->kinds & values->kind) ||
                    prop_text(values, property_id(property))[0])
                        continue;
                struct cause *problem = causes_add(problems);
                result = cause_about(problem, CAUSE_INVALID, property->name, "%s is missing: %s",
                                     property->name, property->help);
                if (property_id(property) == PROP_TRANSPORT) /* smtp is the default of those that send */
                        cause_remedy(problem, "say transport=imap or transport=pop3");
                else
                        cause_remedy(problem, "say %s=...", property->name);
        }
        return result;
}

bool property_word_fits(const struct property *property, const char *word, enum account_kind kind)
{
        if (property_id(property) == PROP_KIND)
                return same_text(word, kind == KIND_OUTGOING ? "outgoing" : "incoming");
        return property_id(property) != PROP_TRANSPORT || same_text(word, "smtp") == (kind == KIND_OUTGOING);
}

static int check_transport(const struct property_values *values, struct causes *problems)
{
        const char *transport = prop_text(values, PROP_TRANSPORT);

        if (!transport[0] || property_word_fits(&properties[PROP_TRANSPORT], transport, values->kind))
                return 0;
        return cause_about(causes_add(problems), CAUSE_INVALID, "transport",
                           values->kind == KIND_OUTGOING ? "an outgoing account has transport smtp"
                                                         : "an incoming account has transport imap or pop3");
}

/* Of a property that another one makes necessary; `because` ends the sentence. */
static int need(const struct property_values *values, enum property_id id, const char *because,
                struct causes *problems)
{
        const char *name = properties[id].name;

        if (prop_text(values, id)[0])
                return 0;
        struct cause *problem = causes_add(problems);
        cause_about(problem, CAUSE_INVALID, name, "%s is needed %s", name, because);
        cause_remedy(problem, "say %s=...", name);
        return -1;
}

/* It becomes a part of a URL. */
static int check_tenant(const struct property_values *values, struct causes *problems)
{
        const char *tenant = prop_text(values, PROP_OAUTH_TENANT);

        if (!tenant[strspn(tenant, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-")])
                return 0;
        return cause_about(
                causes_add(problems), CAUSE_INVALID, "oauthTenant",
                "\"%s\" is no tenant: a domain name or an id, of letters, digits, dots and hyphens", tenant);
}

/* A mechanism that is chosen by name must find what it works with. A token may also be stored as the
 * password: then no provider is named. */
static int check_authentication(const struct property_values *values, struct causes *problems)
{
        bool oauth = prop_uses_oauth(values);
        bool external = prop_is(values, WORD_EXTERNAL);
        bool custom = prop_is(values, WORD_CUSTOM);
        int bad = 0;

        if (oauth)
                bad |= need(values, PROP_ACCOUNT, "with this authentication", problems);
        if (oauth && prop_text(values, PROP_OAUTH_PROVIDER)[0]) {
                bad |= need(values, PROP_OAUTH_GRANT, "with an oauthProvider", problems);
                bad |= need(values, PROP_OAUTH_CLIENT_ID, "with an oauthProvider", problems);
                if (custom)
                        bad |= need(values, PROP_OAUTH_TOKEN_ENDPOINT, "with oauthProvider custom", problems);
                if (custom && prop_is(values, WORD_DEVICE))
                        bad |= need(values, PROP_OAUTH_DEVICE_ENDPOINT, "with oauthGrant device", problems);
                if (prop_is(values, WORD_JWT_BEARER))
                        bad |= need(values, PROP_CLIENT_CERTIFICATE,
                                    "with oauthGrant jwtBearer: its key signs", problems);
                bad |= check_tenant(values, problems);
                if (prop_is(values, WORD_MICROSOFT) && prop_is(values, WORD_CLIENT_CREDENTIALS))
                        bad |= need(values, PROP_OAUTH_TENANT, "with oauthGrant clientCredentials", problems);
        }
        if (external)
                bad |= need(values, PROP_CLIENT_CERTIFICATE, "with authentication external", problems);
        if (external && !prop_bool(values, PROP_USE_SSL) && !prop_bool(values, PROP_USE_STARTTLS))
                bad |= cause_about(causes_add(problems), CAUSE_INVALID, "authentication",
                                   "authentication external needs TLS: useSsl or useStartTls");
        return bad;
}

/* The account's own address: `from`, else the user name where that is an address, else "". */
const char *prop_own_address(const struct property_values *values)
{
        const char *from = prop_text(values, PROP_FROM), *user = prop_text(values, PROP_ACCOUNT);

        return from[0] ? from : address_check(user, false, NULL) == 0 ? user : "";
}

const char *properties_lmtp_socket(const struct property_values *values)
{
        const char *where = prop_text(values, PROP_DELIVER_TO);

        return strncmp(where, "lmtp:", 5) == 0 ? where + 5 : NULL;
}

const char *properties_delivery_command(const struct property_values *values)
{
        const char *where = prop_text(values, PROP_DELIVER_TO);

        return strncmp(where, "exec:", 5) == 0 ? where + 5 : NULL;
}

/* Blanks alone would be run as nothing, and all mail would be taken for delivered. */
static int check_command(const char *command, struct causes *problems)
{
        if (command[strspn(command, " \t")])
                return 0;
        struct cause *problem = causes_add(problems);
        cause_about(problem, CAUSE_INVALID, "deliverTo", "deliverTo=exec: names no command");
        cause_remedy(problem, "say deliverTo='exec:/path/of/the/program ARGUMENT'");
        return -1;
}

static int check_delivery(const struct property_values *values, struct causes *problems)
{
        const char *socket = properties_lmtp_socket(values);
        /* What sun_path holds, without its NUL (unix(7)). */
        const size_t most = sizeof((struct sockaddr_un *)NULL)->sun_path - 1;

        const char *command = properties_delivery_command(values);

        if (values->kind != KIND_INCOMING || strcmp(prop_text(values, PROP_DELIVER_TO), "maildir") == 0)
                return 0;
        if (command)
                return check_command(command, problems);
        if (!socket || socket[0] != '/' || strlen(socket) > most) {
                struct cause *problem = causes_add(problems);
                cause_about(problem, CAUSE_INVALID, "deliverTo",
                            "deliverTo is maildir, or lmtp: and the absolute path of a socket (at most %zu "
                            "bytes), or exec: and a command",
                            most);
                cause_remedy(problem,
                             "say deliverTo=maildir, deliverTo=lmtp:/PATH or deliverTo='exec:COMMAND'");
                return -1;
        }
        return need(values, PROP_DELIVER_TO_ADDRESS,
                    "with deliverTo=lmtp: the mailbox that the socket delivers to", problems);
}

/* The sender of all mail must be one: `from`, or a user name that is an address. */
static int check_sender_policy(const struct property_values *values, struct causes *problems)
{
        if (!prop_is(values, WORD_AS_ACCOUNT) || prop_own_address(values)[0])
                return 0;
        return need(values, PROP_FROM, "with senderPolicy account: it becomes the sender", problems);
}

static int check_filing(const struct property_values *values, struct causes *problems)
{
        struct file_rules rules;
        struct cause cause = { 0 };

        if (values->kind != KIND_INCOMING)
                return 0;
        if (file_rules_parse(prop_text(values, PROP_FILE_INTO), &rules, &cause) < 0) {
                *causes_add(problems) = cause;
                return -1;
        }
        file_rules_done(&rules);
        return 0;
}

/* All rules are tried, so that one answer tells all problems. */
int properties_check(const struct property_values *values, const struct property_values *old,
                     const json_t *request, struct causes *problems)
{
        int bad = check_present(values, problems);

        bad |= check_transport(values, problems);
        bad |= check_switches(values, old, request, problems);
        bad |= check_port(values, old, request, problems);
        bad |= check_authentication(values, problems);
        bad |= check_delivery(values, problems);
        bad |= check_filing(values, problems);
        bad |= check_sender_policy(values, problems);
        return bad ? -1 : 0;
}

int properties_take(struct property_values *values, const struct property_values *old, const json_t *request,
                    struct causes *problems)
{
        size_t first = problems->count;

        if (properties_apply(values, request, problems) == 0)
                return properties_check(values, old, request, problems);
        /* What a value that was refused has no part in is told beside it. */
        if (is_named(problems, first, switch_names[0]) || is_named(problems, first, switch_names[1]))
                return -1;
        (void)check_switches(values, old, request, problems);
        if (!is_named(problems, first, "port"))
                (void)check_port(values, old, request, problems);
        return -1;
}

/* Takes the sentence over. */
static void warn(json_t *list, char *sentence)
{
        if (json_array_append_new(list, json_string(sentence)) < 0)
                abort();
        free(sentence);
}

/* What is allowed and makes the connection weaker than it could be; told with the account until it
 * is mended. */
static void warn_of_channel(const struct property_values *values, json_t *list)
{
        uint16_t usual = table_port(values);
        bool tls = prop_bool(values, PROP_USE_SSL) || prop_bool(values, PROP_USE_STARTTLS);

        if (prop_number(values, PROP_PORT) && prop_number(values, PROP_PORT) != usual)
                warn(list, text_of("port %" PRId64 " is unusual: the usual port for %s %s is %u",
                                   prop_number(values, PROP_PORT), prop_text(values, PROP_TRANSPORT),
                                   security_words(values), usual));
        if (!tls)
                warn(list, text_of("no TLS: mail goes over the network in clear; "
                                   "emailsecctl account secure %s ssl|starttls",
                                   prop_text(values, PROP_NAME)));
        if (properties_min_tls(values) < 12)
                warn(list, text_of("minTlsVersion %s accepts TLS versions that are broken (RFC 8996)",
                                   prop_text(values, PROP_MIN_TLS_VERSION)));
        if (prop_bool(values, PROP_ALLOW_LEGACY_RENEGOTIATION))
                warn(list, text_of("allowLegacyRenegotiation: where the server lacks RFC 5746, somebody on "
                                   "the way can put "
                                   "words of his own before those of this account"));
        if (prop_bool(values, PROP_ALLOW_PLAINTEXT))
                warn(list, text_of("allowPlaintextAuthentication: the password %s",
                                   tls ? "may be sent without TLS should TLS ever be switched off"
                                       : "is sent over the network in clear"));
}

json_t *properties_warnings(const struct property_values *values)
{
        json_t *list = json_array();

        if (!list)
                abort();
        warn_of_channel(values, list);
        if (prop_bool(values, PROP_DEBUG))
                warn(list,
                     copy_text("debug: every session is traced to the journal, mail addresses included"));
        if (prop_is(values, WORD_DELETE))
                warn(list,
                     copy_text(
                             "deliveryPolicy delete: messages are deleted at the server once they are here"));
        const char *command = properties_delivery_command(values);
        if (command)
                warn(list, text_of("deliverTo exec: a command is run for each received message, by "
                                   "emailsec-deliver@.service: %s",
                                   command));
        bool oauth = prop_uses_oauth(values);
        if (oauth && !prop_text(values, PROP_OAUTH_PROVIDER)[0])
                warn(list, copy_text("no oauthProvider: the stored password is taken as the access token, "
                                     "and whoever gets "
                                     "tokens must store each new one"));
        else if (!oauth && prop_text(values, PROP_OAUTH_PROVIDER)[0])
                warn(list,
                     copy_text("oauthProvider has no effect without authentication oauthbearer or xoauth2"));
        return list;
}
