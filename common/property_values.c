/* SPDX-License-Identifier: MIT */
/* Values of properties: defaults, taking them from JSON, giving them as JSON. Each value is looked at alone.
 */
#include "common/json_fields.h"
#include "common/limits.h"
#include "common/mailboxes.h"
#include "common/names.h"
#include "common/properties.h"
#include "common/times.h"

#include <ctype.h>
#include <inttypes.h>
#include <strings.h>

/* These are kept as `number`, all other types as `text`. */
static bool is_numeric(const struct property *property)
{
        return property->type == TYPE_BOOL || property->type == TYPE_INT || property->type == TYPE_PORT;
}

static const char *kind_word(enum account_kind kind)
{
        return kind == KIND_INCOMING ? "incoming" : "outgoing";
}

/* How often to look is the one number whose default the kind decides. */
static int64_t default_number(const struct property *property, enum account_kind kind)
{
        return property_id(property) == PROP_POLL_RATE && kind == KIND_INCOMING ? property->number_incoming
                                                                                : property->number;
}

/* Never NULL. */
static const char *default_text(const struct property *property, enum account_kind kind)
{
        if (property_id(property) == PROP_KIND)
                return kind_word(kind);
        if (property_id(property) == PROP_TRANSPORT && kind == KIND_OUTGOING)
                return "smtp";
        return property->text ? property->text : "";
}

/* A default is its row's, or one of the words above: nothing of an account. */
static bool is_own(const struct property *property, const char *text)
{
        return text != default_text(property, KIND_OUTGOING) && text != default_text(property, KIND_INCOMING);
}

static void free_text(struct property_values *values, enum property_id id)
{
        const char *text = take(values->of[id].text);

        if (is_own(&properties[id], text))
                free((char *)(uintptr_t)text);
}

void prop_put_text(struct property_values *values, enum property_id id, const char *text)
{
        const char *usual = default_text(&properties[id], values->kind), *kept = NULL;

        if (text && text[0])
                kept = strcmp(text, usual) == 0 ? usual : copy_text(text); /* it may be the one that goes */
        free_text(values, id);
        values->of[id].text = kept;
}

void properties_defaults(struct property_values *values, enum account_kind kind)
{
        *values = (struct property_values){ .kind = kind };
        for (size_t i = 0; i < PROPERTIES_KEPT; i++) {
                const struct property *property = &properties[i];
                if (!(property->kinds & kind))
                        continue;
                if (is_numeric(property))
                        values->of[i].number = default_number(property, kind);
                else
                        prop_put_text(values, property_id(property), default_text(property, kind));
        }
}

void properties_done(struct property_values *values)
{
        for (size_t i = 0; i < PROPERTIES_KEPT; i++)
                if (!is_numeric(&properties[i]))
                        free_text(values, (enum property_id)i);
        *values = (struct property_values){ 0 };
}

void properties_copy(struct property_values *to, const struct property_values *from)
{
        *to = *from;
        for (size_t i = 0; i < PROPERTIES_KEPT; i++)
                if (!is_numeric(&properties[i]) && is_own(&properties[i], from->of[i].text))
                        to->of[i].text = copy_text(from->of[i].text);
}

/* A word is a property and a place among the words of its row in one number: no property can be
 * asked for a word of another. */
bool prop_is(const struct property_values *v, enum property_word word)
{
        return same_text(prop_text(v, (enum property_id)(word >> 8)),
                         properties[word >> 8].words[word & 0xff]);
}

bool prop_uses_oauth(const struct property_values *v)
{
        return prop_is(v, WORD_OAUTHBEARER) || prop_is(v, WORD_XOAUTH2);
}

bool prop_fetches_tokens(const struct property_values *v)
{
        return prop_uses_oauth(v) && prop_text(v, PROP_OAUTH_PROVIDER)[0];
}

#define bad_value(problems, property, ...) \
        cause_about(causes_add(problems), CAUSE_INVALID, (property)->name, __VA_ARGS__)

/* Numbers in the words of people: for a duration or size, of the row's unit. */
static int number_of_text(const struct property *property, const char *text, int64_t *out)
{
        uint64_t bytes = 0;

        switch (property->unit) {
        case UNIT_SECONDS:
                return duration_parse(text, out, NULL);
        case UNIT_BYTES:
                if (size_parse(text, &bytes, NULL) < 0 || bytes > INT64_MAX)
                        return -1;
                *out = (int64_t)bytes;
                return 0;
        case UNIT_NONE:
                break;
        }
        /* 18 digits fit into the number, whatever they are */
        size_t digits = strspn(text, "0123456789");
        if (digits == 0 || digits > 18 || text[digits])
                return -1;
        *out = strtoll(text, NULL, 10);
        return 0;
}

/* Programs send JSON's own true and false, the tool what was typed: a text. */
static int set_bool(struct property_values *values, const struct property *property, const json_t *value,
                    struct causes *problems)
{
        static const struct {
                const char *word;
                bool means;
        } words[] = {
                { "true", true },   { "yes", true }, { "on", true },   { "1", true },
                { "false", false }, { "no", false }, { "off", false }, { "0", false },
        };
        const char *text = json_string_value(value);

        if (json_is_boolean(value)) {
                values->of[property_id(property)].number = json_is_true(value);
                return 0;
        }
        for (size_t i = 0; text && i < count_of(words); i++)
                if (strcasecmp(text, words[i].word) == 0) {
                        values->of[property_id(property)].number = words[i].means;
                        return 0;
                }
        return bad_value(problems, property, "%s must be true or false", property->name);
}

static int set_int(struct property_values *values, const struct property *property, const json_t *value,
                   struct causes *problems)
{
        static const char *const units[] = {
                [UNIT_NONE] = "",
                [UNIT_SECONDS] = " seconds (15m, 12h and 30d are understood)",
                [UNIT_BYTES] = " bytes (64K and 50M are understood)",
        };
        int64_t least = property->min, number = 0;
        const char *text = json_string_value(value);

        if (values->kind == KIND_INCOMING && property->min_incoming > least)
                least = property->min_incoming;
        /* A text (what a person typed) may have a unit; a JSON number is in the unit of the row. */
        bool good = json_is_integer(value);
        if (good)
                number = json_integer_value(value);
        else if (text)
                good = number_of_text(property, text, &number) == 0;
        if (!good || number < least || number > property->max)
                return bad_value(problems, property, "%s must be %" PRId64 " to %" PRId64 "%s",
                                 property->name, least, property->max, units[property->unit]);
        values->of[property_id(property)].number = number;
        return 0;
}

static int set_port(struct property_values *values, const struct property *property, const json_t *value,
                    struct causes *problems)
{
        const char *text = json_string_value(value);
        int64_t number = 0;

        /* kept as 0, so that the port follows when transport or TLS change: port_in_use() */
        if (text && strcasecmp(text, "auto") == 0) {
                values->of[property_id(property)].number = 0;
                return 0;
        }
        bool good = json_is_integer(value);
        if (good)
                number = json_integer_value(value);
        else if (text)
                good = number_of_text(property, text, &number) == 0;
        if (!good || number < property->min || number > property->max)
                return bad_value(problems, property, "port must be %" PRId64 " to %" PRId64 ", or auto",
                                 property->min, property->max);
        values->of[property_id(property)].number = number;
        return 0;
}

/* The words of a row as "a, b or c"; the caller frees. */
static char *words_listed(const char *const *words)
{
        char *list = copy_text(words[0]);

        for (size_t i = 1; words[i]; i++) {
                char *longer = text_of("%s%s%s", list, words[i + 1] ? ", " : " or ", words[i]);
                free(list);
                list = longer;
        }
        return list;
}

static int check_word(const struct property *property, const char *text, struct causes *problems)
{
        struct nearest nearest = { 0 };

        if (!text[0] && !property->text && property->access == ACCESS_WRITE)
                return 0; /* empty is the default */
        for (size_t i = 0; property->words[i]; i++) {
                if (same_text(text, property->words[i]))
                        return 0;
                nearest_offer(&nearest, text, property->words[i]);
        }
        /* all of them are said: who mistyped one need not look it up */
        char *scoped(scoped_free) list = words_listed(property->words);
        bad_value(problems, property, "%s must be %s", property->name, list);
        if (nearest.word)
                cause_remedy(&problems->items[problems->count - 1], "did you mean %s?", nearest.word);
        return -1;
}

static int check_url(const struct property *property, const char *text, struct causes *problems)
{
        static const char scheme[] = "https://";
        size_t len = sizeof scheme - 1;
        uint16_t port;

        if (!text[0])
                return 0;
        if (strncasecmp(text, scheme, len) == 0 && !strpbrk(text, " #\"<>\\")) {
                char *scoped(scoped_free) place = copy_bytes(text + len, strcspn(text + len, "/?"));
                char *scoped(scoped_free) host = host_port_parse(place, &port, NULL);
                if (host)
                        return 0;
        }
        return bad_value(problems, property, "%s must be a URL: https://HOST/PATH", property->name);
}

static int check_name(const struct property *property, const char *text, struct causes *problems)
{
        if (account_name_valid(text))
                return 0;
        return bad_value(problems, property,
                         "%s is not a name for an account: letters, digits, dot, underscore and hyphen, "
                         "a letter or digit first, 64 characters at the most",
                         text);
}

/* A control byte would end a line of a protocol or a header somewhere: it is refused here, so that
 * no user of a property has to look again. */
static int check_text(const struct property *property, const char *text, struct causes *problems)
{
        if (strlen(text) > (size_t)property->max)
                return bad_value(problems, property, "%s is %zu bytes long; %" PRId64 " are the most",
                                 property->name, strlen(text), property->max);
        if (!text_is_clean(text))
                return bad_value(problems, property, "%s must not have control bytes", property->name);
        return property_id(property) == PROP_NAME ? check_name(property, text, problems) : 0;
}

/* The caller frees; NULL: a problem was added. */
static char *folders_checked(const struct property *property, const char *text, struct causes *problems)
{
        size_t count;
        char *names = folder_names_normal(text, &count);

        if (count > 0 && count <= LIMIT_FOLDERS)
                return names;
        free(names);
        if (count)
                (void)bad_value(problems, property, "%s names more than %d folders", property->name,
                                LIMIT_FOLDERS);
        else
                (void)bad_value(problems, property, "%s must not be empty", property->name);
        return NULL;
}

int properties_kept(const char *text, int64_t *seconds, int64_t *count, struct cause *cause)
{
        /* Digits alone are a number of messages, with a unit they are a duration. 15 characters fit
         * into the number, whatever they say. */
        bool number = text[strspn(text, "0123456789")] == '\0';
        int64_t value = 0;

        *seconds = *count = 0;
        if (!text[0])
                return 0;
        if (strlen(text) > 15 || duration_parse(text, &value, NULL) < 0 || value < 1)
                return cause_set(cause, CAUSE_INVALID,
                                 "\"%s\" is neither a duration with its unit (12h, 30d, 8w) nor a "
                                 "number of messages",
                                 text);
        *(number ? count : seconds) = value;
        return 0;
}

static char *senders_checked(const struct property *property, const char *text, struct causes *problems)
{
        struct cause why = { 0 };
        char *senders = sender_list_normal(text, &why);

        if (!senders)
                (void)bad_value(problems, property, "%s: %s", property->name, why.text);
        return senders;
}

/* The text as it is kept; the caller frees. NULL: it does not do, and the problems say why. */
static char *text_as_kept(const struct property *property, const char *text, struct causes *problems)
{
        struct cause why = { 0 };
        int64_t seconds, count;
        char *host;
        int result = 0;

        switch (property->type) {
        case TYPE_HOST:
                host = host_normal(text, &why);
                if (!host)
                        (void)bad_value(problems, property, "%s", why.text);
                return host;
        case TYPE_FOLDERS:
                return check_text(property, text, problems) < 0 ? NULL
                                                                : folders_checked(property, text, problems);
        case TYPE_WORD:
                result = check_word(property, text, problems);
                break;
        case TYPE_ADDRESS:
                if (address_check(text, true, &why) < 0)
                        result = bad_value(problems, property, "%s", why.text);
                break;
        case TYPE_URL:
                result = check_text(property, text, problems) < 0 ? -1 : check_url(property, text, problems);
                break;
        case TYPE_TEXT:
                result = check_text(property, text, problems);
                break;
        case TYPE_SENDERS:
                return check_text(property, text, problems) < 0 ? NULL
                                                                : senders_checked(property, text, problems);
        case TYPE_KEPT:
                if (properties_kept(text, &seconds, &count, &why) < 0)
                        result = bad_value(problems, property, "%s: %s", property->name, why.text);
                break;
        case TYPE_BOOL:
        case TYPE_INT:
        case TYPE_PORT:
        case TYPE_OBJECT:
        case TYPE_TIME:
                result = bad_value(problems, property, "%s is not a text", property->name);
        }
        return result < 0 ? NULL : copy_text(text);
}

static int set_text(struct property_values *values, const struct property *property, const char *text,
                    struct causes *problems)
{
        scoped(scoped_free) char *kept = text_as_kept(property, text, problems);

        if (!kept)
                return -1;
        prop_put_text(values, property_id(property), kept);
        return 0;
}

/* A property of the other kind is told as such: it exists, and a bare "unknown" would send people
 * looking for a misspelling. */
int property_set(struct property_values *values, const struct property *property, const json_t *value,
                 struct causes *problems)
{
        if (!(property->kinds & values->kind)) {
                (void)bad_value(problems, property, "%s is not a property of an %s account", property->name,
                                kind_word(values->kind));
                cause_remedy(&problems->items[problems->count - 1], "leave it out: it is for %s accounts",
                             kind_word((enum account_kind)property->kinds));
                return -1;
        }
        switch (property->type) {
        case TYPE_BOOL:
                return set_bool(values, property, value, problems);
        case TYPE_INT:
                return set_int(values, property, value, problems);
        case TYPE_PORT:
                return set_port(values, property, value, problems);
        case TYPE_WORD:
        case TYPE_TEXT:
        case TYPE_FOLDERS:
        case TYPE_SENDERS:
        case TYPE_KEPT:
        case TYPE_HOST:
        case TYPE_ADDRESS:
        case TYPE_URL:
                /* Programs may send a number of messages as a number. */
                if (property->type == TYPE_KEPT && json_is_integer(value)) {
                        scoped(scoped_free) char *number =
                                text_of("%" JSON_INTEGER_FORMAT, json_integer_value(value));
                        return set_text(values, property, number, problems);
                }
                if (json_is_string(value))
                        return set_text(values, property, json_string_value(value), problems);
                return bad_value(problems, property, "%s must be a text", property->name);
        case TYPE_OBJECT:
        case TYPE_TIME:
                break;
        }
        return bad_value(problems, property, "%s cannot be set", property->name);
}

/* Said for all names that a password could go by: what is on a command line is in the list of
 * processes. */
static const char never_an_argument[] = "a password is never an argument: emailsecctl account password NAME";
static const char by_command[] =
        "did you mean useSsl or useStartTls? both, with the port: emailsecctl account secure NAME "
        "ssl|starttls|none";

/* What people call a property by, from other programs. */
static const struct {
        const char *name, *meant;
} names_elsewhere[] = {
        { "host", "did you mean hostname?" },
        { "server", "did you mean hostname?" },
        { "address", "did you mean hostname, or from?" },
        { "ip", "did you mean hostname?" },
        { "domain", "did you mean hostname?" },
        { "smtp", "did you mean transport=smtp and hostname?" },
        { "imap", "did you mean transport=imap and hostname?" },
        { "pop3", "did you mean transport=pop3 and hostname?" },
        { "relay", "did you mean hostname?" },
        { "relayhost", "did you mean hostname?" },
        { "user", "did you mean account, the name to sign in by?" },
        { "username", "did you mean account, the name to sign in by?" },
        { "login", "did you mean account, the name to sign in by?" },
        { "userid", "did you mean account, the name to sign in by?" },
        { "email", "did you mean from, or account, the name to sign in by?" },
        { "mail", "did you mean from?" },
        { "password", never_an_argument },
        { "pass", never_an_argument },
        { "passwd", never_an_argument },
        { "secret", never_an_argument },
        { "credential", "a credential is named by: emailsecctl account password NAME --credential ID" },
        { "token", "a token is stored by: emailsecctl account password NAME --secret oauthRefreshToken" },
        { "protocol", "did you mean transport?" },
        { "type", "did you mean transport?" },
        { "tls", by_command },
        { "ssl", by_command },
        { "starttls", by_command },
        { "security", by_command },
        { "encryption", by_command },
        { "secure", by_command },
        { "status", "did you mean enabled?" },
        { "queueSize", "did you mean maxQueueSize?" },
        { "passwordSource", never_an_argument },
        { "tlsversion", "did you mean minTlsVersion?" },
        { "verify",
          "certificates are always verified; one that fails is decided by: emailsecctl challenge list" },
        { "insecure",
          "certificates are always verified; one that fails is decided by: emailsecctl challenge list" },
        { "certificate",
          "did you mean clientCertificate? servers' issuers are trusted by: emailsecctl trust import FILE" },
        { "cert",
          "did you mean clientCertificate? servers' issuers are trusted by: emailsecctl trust import FILE" },
        { "key", "did you mean clientCertificate?" },
        { "ca", "issuers are trusted by: emailsecctl trust import FILE" },
        { "sender", "did you mean from?" },
        { "reply", "did you mean replyTo?" },
        { "auth", "did you mean authentication?" },
        { "mechanism", "did you mean authentication?" },
        { "timeout", "did you mean connectionTimeout or commandTimeout?" },
        { "mailbox", "did you mean folder?" },
        { "folders", "did you mean folder?" },
        { "inbox", "did you mean folder?" },
        { "interval", "did you mean pollRate?" },
        { "poll", "did you mean pollRate?" },
        { "idle", "did you mean push?" },
        { "limit", "did you mean maxSendablePerDay or maxQueueSize?" },
        { "quota", "did you mean maxSendablePerDay or maxQueueSize?" },
        { "lifetime", "did you mean queueLifetime?" },
        { "expire", "did you mean queueLifetime?" },
        { "delete", "did you mean deliveryPolicy?" },
        { "keep", "did you mean deliveryPolicy?" },
        { "retention", "did you mean deliveryPolicy?" },
        { "lmtp", "did you mean deliverTo=lmtp:PATH?" },
        { "maildir", "did you mean deliverTo=maildir?" },
        { "exec", "did you mean deliverTo=exec:COMMAND?" },
        { "rule", "did you mean fileInto?" },
        { "filter", "did you mean fileInto?" },
        { "command", "did you mean deliverTo=exec:COMMAND?" },
        { "active", "did you mean enabled?" },
        { "disabled", "did you mean enabled=false?" },
        { "trace", "did you mean debug?" },
        { "log", "did you mean debug?" },
        { "postmaster", "did you mean notifyFailed?" },
        { "bounce", "did you mean notifyFailed?" },
        { "default", "mail that names no account goes by DefaultAccount= in [Service] of emailsecd.conf" },
        { "oauth", "did you mean authentication=xoauth2 or oauthbearer, and oauthProvider?" },
        { "smtpserver", "did you mean hostname?" },
        { "smtphost", "did you mean hostname?" },
        { "imaphost", "did you mean hostname?" },
        { "mailhub", "did you mean hostname?" },
        { "smarthost", "did you mean hostname?" },
        { "via", "did you mean hostname?" },
        { "proto", "did you mean transport?" },
        { "passwordeval", never_an_argument },
        { "passcmd", never_an_argument },
        { "passwordfile", "a credential is named by: emailsecctl account password NAME --credential ID" },
        { "authuser", "did you mean account, the name to sign in by?" },
        { "authpass", never_an_argument },
        { "authmechs", "did you mean authentication?" },
        { "authmethod", "did you mean authentication?" },
        { "tlsstarttls", by_command },
        { "usetls", by_command },
        { "ssltype", by_command },
        { "sslproto", by_command },
        { "tlstrustfile", "issuers are trusted by: emailsecctl trust import FILE" },
        { "certificatefile", "issuers are trusted by: emailsecctl trust import FILE" },
        { "sslcertfile", "issuers are trusted by: emailsecctl trust import FILE" },
        { "cacert", "issuers are trusted by: emailsecctl trust import FILE" },
        { "tlsfingerprint", "a certificate is approved by its fingerprint once its server has shown it: "
                            "emailsecctl challenge list" },
        { "sslfingerprint", "a certificate is approved by its fingerprint once its server has shown it: "
                            "emailsecctl challenge list" },
        { "fingerprint", "a certificate is approved by its fingerprint once its server has shown it: "
                         "emailsecctl challenge list" },
        { "tlscertcheck",
          "certificates are always verified; one that fails is decided by: emailsecctl challenge list" },
        { "sslcertck",
          "certificates are always verified; one that fails is decided by: emailsecctl challenge list" },
        { "tlskeyfile",
          "did you mean clientCertificate? the key comes by: emailsecctl trust key import KEY FILE" },
        { "envelopefrom", "did you mean from?" },
        { "mailfrom", "did you mean from?" },
        { "fromaddress", "did you mean from?" },
        { "maildomain", "the name that this station says is Hostname= in emailsecd.conf" },
        { "helo", "the name that this station says is Hostname= in emailsecd.conf" },
        { "ehlo", "the name that this station says is Hostname= in emailsecd.conf" },
        { "nokeep", "did you mean deliveryPolicy=delete?" },
        { "expunge", "did you mean deliveryPolicy=delete?" },
        { "mda", "did you mean deliverTo? a command for each message: emailsecctl monitor --name NAME --exec "
                 "COMMAND" },
        { "destination", "did you mean deliverTo?" },
        { "maxmessages", "did you mean maxQueueSize or maxSendablePerDay?" },
        { "maxsize", "did you mean maxMessageSize?" },
        { "retry", "attempts have a rhythm of their own, until queueLifetime; did you mean that?" },
        { "notify", "did you mean notifyFailed? of faults: NotifyFaults= in emailsecd.conf" },
        { "clientid", "did you mean oauthClientId?" },
        { "clientsecret",
          "a secret is never an argument: emailsecctl account password NAME --secret oauthClientSecret" },
        { "refreshtoken",
          "a token is stored by: emailsecctl account password NAME --secret oauthRefreshToken" },
        { "tenant", "did you mean oauthTenant?" },
        { "provider", "did you mean oauthProvider?" },
};

/* Alike but for capitals and what stands between words. */
static bool same_letters(const char *a, const char *b)
{
        for (;; a++, b++) {
                a += strspn(a, "-_");
                b += strspn(b, "-_");
                if (tolower((unsigned char)*a) != tolower((unsigned char)*b))
                        return false;
                if (!*a)
                        return true;
        }
}

static const char *meant_by(const char *name)
{
        for (size_t i = 0; i < count_of(names_elsewhere); i++)
                if (same_letters(names_elsewhere[i].name, name))
                        return names_elsewhere[i].meant;
        return NULL;
}

static int refuse_unknown(const struct property_values *values, const char *name, struct causes *problems)
{
        struct nearest nearest = { 0 };

        for (size_t i = 0; i < PROPERTIES; i++)
                if (properties[i].access == ACCESS_WRITE)
                        nearest_offer(&nearest, name, properties[i].name);
        struct cause *problem = causes_add(problems);
        cause_about(problem, CAUSE_INVALID, name, "there is no property %s", name);
        /* What other programs call it goes first: the nearest spelling of such a name is mostly
         * something else. */
        const char *meant = meant_by(name);
        if (meant)
                cause_remedy(problem, "%s", meant);
        else if (nearest.word)
                cause_remedy(problem, "did you mean %s?", nearest.word);
        else
                cause_remedy(problem, "see the properties there are: emailsecctl account set --help, or "
                                      "emailsec-accounts(5)");
        cause_for_account(problem, prop_text(values, PROP_NAME));
        return -1;
}

static int apply_one(struct property_values *values, const char *name, const json_t *value,
                     struct causes *problems)
{
        const struct property *property = property_named(name);

        if (!property)
                return refuse_unknown(values, name, problems);
        switch (property->access) {
        case ACCESS_WRITE:
                return property_set(values, property, value, problems);
        /* Whoever sends back a whole sheet says the fixed ones too. */
        case ACCESS_FIXED:
                if (same_text(prop_text(values, property_id(property)), json_string_value(value)))
                        return 0;
                bad_value(problems, property, "%s never changes", name);
                break;
        case ACCESS_READ:
                bad_value(problems, property, "%s is read-only", name);
                break;
        }
        struct cause *problem = &problems->items[problems->count - 1];
        const char *meant = meant_by(name);
        cause_remedy(problem, "%s", meant ? meant : "leave it out");
        cause_for_account(problem, prop_text(values, PROP_NAME));
        return -1;
}

/* All values are looked at, so that all problems are told at once. After -1 those that were good
 * are set. */
int properties_apply(struct property_values *values, const json_t *object, struct causes *problems)
{
        const char *name;
        json_t *value;
        int result = 0;

        if (!json_is_object(object))
                return cause_set(causes_add(problems), CAUSE_INVALID, "properties must be an object");
        json_object_foreach((json_t *)(uintptr_t)object, name, value)
                if (apply_one(values, name, value, problems) < 0)
                        result = -1;
        return result;
}

static bool is_default(const struct property_values *values, const struct property *property)
{
        enum property_id id = property_id(property);

        if (property->access == ACCESS_FIXED)
                return false; /* it has none */
        if (is_numeric(property))
                return values->of[id].number == default_number(property, values->kind);
        return same_text(prop_text(values, id), default_text(property, values->kind));
}

static json_t *value_json(const struct property_values *values, const struct property *property)
{
        enum property_id id = property_id(property);

        if (property->type == TYPE_BOOL)
                return json_boolean(prop_bool(values, id));
        if (property->type == TYPE_PORT && prop_number(values, id) == 0)
                return json_string("auto");
        return is_numeric(property) ? json_integer(prop_number(values, id))
                                    : json_string(prop_text(values, id));
}

json_t *properties_json(const struct property_values *values, bool changed_only)
{
        json_t *object = json_object();

        if (!object)
                abort();
        for (size_t i = 0; i < PROPERTIES; i++) {
                const struct property *property = &properties[i];
                if (property->access == ACCESS_READ || !(property->kinds & values->kind))
                        continue;
                if (!changed_only || !is_default(values, property))
                        json_put(object, property->name, value_json(values, property));
        }
        return object;
}

/* Of a new account (`from` NULL) what is not the default is a change. */
json_t *properties_differences(const struct property_values *from, const struct property_values *to)
{
        json_t *before = from ? properties_json(from, false) : json_object(),
               *after = properties_json(to, !from);
        json_t *list = json_array();

        for (size_t i = 0; i < PROPERTIES; i++) {
                const char *name = properties[i].name;
                json_t *was = json_object_get(before, name), *is = json_object_get(after, name);
                if (properties[i].access != ACCESS_WRITE || !is || json_equal(was, is))
                        continue;
                json_t *one = json_object();
                json_put_text(one, "property", name);
                json_put(one, "from", was ? json_incref(was) : json_null());
                json_put(one, "to", json_incref(is));
                (void)json_array_append_new(list, one);
        }
        json_decref(before);
        json_decref(after);
        return list;
}
