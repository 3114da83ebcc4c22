/* SPDX-License-Identifier: MIT */
/* The table of account properties and the table of ports. Values are in property_values.c, rules in
 * property_rules.c. */
#include "common/properties.h"

#include "common/json_fields.h"
#include "common/limits.h"

/* Bounds of rows. Seconds, bytes of text, messages. */
enum {
        DAY = 24 * 60 * 60,
        NAME_MAX_BYTES = LIMIT_ACCOUNT_NAME,
        HOST_MAX_BYTES = 253,
        COUNT_MAX = 1000 * 1000 * 1000,
};
#define SIZE_MAX_BYTES (INT64_C(1) << 40)

/* Rows stay as they are written: a row names what it has, all else is 0. `number`, `text`
 * are the defaults; `min`, `max` bound a number, `max` alone the bytes of a text. */
/* clang-format off */
/* The place of a word within its row: the low byte of its enum property_word, so that neither list
 * can be put in another order alone. */
#define AT(word) ((word) & 0xff)
static const char *const kind_words[] = { "outgoing", "incoming", NULL };
static const char *const transport_words[] = {
        [AT(WORD_SMTP)] = "smtp", [AT(WORD_IMAP)] = "imap", [AT(WORD_POP3)] = "pop3",
        NULL
};
static const char *const tls_words[] = {
        [AT(WORD_TLS_1_0)] = "1.0", [AT(WORD_TLS_1_1)] = "1.1", [AT(WORD_TLS_1_2)] = "1.2",
        [AT(WORD_TLS_1_3)] = "1.3",
        NULL
};
static const char *const policy_words[] = { [AT(WORD_AS_GIVEN)] = "asGiven", [AT(WORD_AS_ACCOUNT)] = "account", NULL };
static const char *const authentication_words[] = {
        [AT(WORD_AUTO)] = "auto", [AT(WORD_PLAIN)] = "plain", [AT(WORD_LOGIN)] = "login",
        [AT(WORD_CRAM_MD5)] = "cram-md5", [AT(WORD_SCRAM_SHA_1)] = "scram-sha-1",
        [AT(WORD_SCRAM_SHA_1_PLUS)] = "scram-sha-1-plus", [AT(WORD_SCRAM_SHA_256)] = "scram-sha-256",
        [AT(WORD_SCRAM_SHA_256_PLUS)] = "scram-sha-256-plus", [AT(WORD_OAUTHBEARER)] = "oauthbearer",
        [AT(WORD_XOAUTH2)] = "xoauth2", [AT(WORD_EXTERNAL)] = "external",
        NULL
};
static const char *const delivery_words[] = {
        [AT(WORD_MARK_AS_READ)] = "markAsRead", [AT(WORD_MARK_AS_UNREAD)] = "markAsUnread",
        [AT(WORD_DELETE)] = "delete",
        NULL
};
static const char *const fetch_words[] = {
        [AT(WORD_NEW)] = "new", [AT(WORD_UNREAD)] = "unread", [AT(WORD_ALL)] = "all",
        NULL
};
static const char *const provider_words[] = {
        [AT(WORD_GOOGLE)] = "google", [AT(WORD_MICROSOFT)] = "microsoft", [AT(WORD_CUSTOM)] = "custom",
        NULL
};
static const char *const grant_words[] = {
        [AT(WORD_DEVICE)] = "device", [AT(WORD_REFRESH_TOKEN)] = "refreshToken",
        [AT(WORD_CLIENT_CREDENTIALS)] = "clientCredentials", [AT(WORD_JWT_BEARER)] = "jwtBearer",
        NULL
};
static const char *const heartbeat_words[] = { "none", "queued", "sent", "arrived", "missing", NULL };
static const char *const status_words[] = {
        "ok", "disabled", "connecting", "down", "fault", "challenge", NULL
};

const struct property properties[PROPERTIES] = {
        [PROP_NAME] = { .name = "name", .type = TYPE_TEXT, .kinds = KIND_BOTH, .access = ACCESS_FIXED, .group = GROUP_ACCOUNT,
                .required = true, .max = NAME_MAX_BYTES,
                .help = "name of the account: letters, digits, dot, underscore, hyphen" },
        [PROP_KIND] = { .name = "kind", .type = TYPE_WORD, .kinds = KIND_BOTH, .access = ACCESS_FIXED, .group = GROUP_ACCOUNT,
                .required = true, .words = kind_words, .help = "whether it sends or receives" },
        [PROP_ENABLED] = { .name = "enabled", .type = TYPE_BOOL, .kinds = KIND_BOTH, .access = ACCESS_WRITE, .group = GROUP_ACCOUNT,
                .number = true, .help = "whether the account is at work" },
        [PROP_TRANSPORT] = { .name = "transport", .type = TYPE_WORD, .kinds = KIND_BOTH,
                .access = ACCESS_WRITE, .group = GROUP_SERVER, .required = true, .words = transport_words,
                .help = "protocol: smtp to send, imap or pop3 to receive" },
        [PROP_HOSTNAME] = { .name = "hostname", .type = TYPE_HOST, .kinds = KIND_BOTH,
                .access = ACCESS_WRITE, .group = GROUP_SERVER, .required = true, .max = HOST_MAX_BYTES,
                .help = "the server, and the name its certificate must carry" },
        [PROP_PORT] = { .name = "port", .type = TYPE_PORT, .kinds = KIND_BOTH, .access = ACCESS_WRITE, .group = GROUP_SERVER,
                .min = 1, .max = 65535, .help = "port of the server; auto is the usual one" },
        [PROP_USE_SSL] = { .name = "useSsl", .type = TYPE_BOOL, .kinds = KIND_BOTH, .access = ACCESS_WRITE, .group = GROUP_SECURITY, .excludes = PROP_USE_STARTTLS,
                .number = true, .help = "TLS from the first byte" },
        [PROP_USE_STARTTLS] = { .name = "useStartTls", .type = TYPE_BOOL, .kinds = KIND_BOTH,
                .access = ACCESS_WRITE, .group = GROUP_SECURITY, .excludes = PROP_USE_SSL, .help = "TLS after STARTTLS or STLS, never optional" },
        [PROP_MIN_TLS_VERSION] = { .name = "minTlsVersion", .type = TYPE_WORD, .kinds = KIND_BOTH,
                .access = ACCESS_WRITE, .group = GROUP_SECURITY, .words = tls_words, .text = "1.2",
                .help = "lowest TLS version that is accepted" },
        [PROP_ALLOW_LEGACY_RENEGOTIATION] = { .name = "allowLegacyRenegotiation", .type = TYPE_BOOL,
                .kinds = KIND_BOTH, .access = ACCESS_WRITE, .group = GROUP_SECURITY,
                .help = "lets in a server that does not know secure renegotiation (RFC 5746)" },
        [PROP_ACCOUNT] = { .name = "account", .type = TYPE_TEXT, .kinds = KIND_BOTH, .access = ACCESS_WRITE, .group = GROUP_SIGN_IN,
                .max = 512, .help = "user name at the server; empty: do not sign in" },
        [PROP_PASSWORD_SOURCE] = { .name = "passwordSource", .type = TYPE_TEXT, .kinds = KIND_BOTH,
                .access = ACCESS_READ, .group = GROUP_SIGN_IN, .max = 512, .text = "none",
                .help = "none, stored or credential:ID" },
        [PROP_AUTHENTICATION] = { .name = "authentication", .type = TYPE_WORD, .kinds = KIND_BOTH,
                .access = ACCESS_WRITE, .group = GROUP_SIGN_IN, .words = authentication_words, .text = "auto",
                .help = "how to sign in; auto is the strongest that both sides have" },
        [PROP_ALLOW_PLAINTEXT] = { .name = "allowPlaintextAuthentication", .type = TYPE_BOOL,
                .kinds = KIND_BOTH, .access = ACCESS_WRITE, .group = GROUP_SIGN_IN,
                .help = "lets a password travel without TLS, for servers that have nothing else" },
        [PROP_CONNECTION_TIMEOUT] = { .name = "connectionTimeout", .type = TYPE_INT, .kinds = KIND_BOTH,
                .access = ACCESS_WRITE, .group = GROUP_SERVER, .min = 1, .max = 3600, .number = 30, .unit = UNIT_SECONDS,
                .help = "seconds for connecting, for the TLS handshake and for each reply" },
        [PROP_COMMAND_TIMEOUT] = { .name = "commandTimeout", .type = TYPE_INT, .kinds = KIND_OUTGOING,
                .access = ACCESS_WRITE, .group = GROUP_SERVER, .min = 0, .max = 3600, .number = 0, .unit = UNIT_SECONDS,
                .help = "seconds for each reply while a message is sent; 0: 2 to 10 minutes, as SMTP says" },
        [PROP_DEBUG] = { .name = "debug", .type = TYPE_BOOL, .kinds = KIND_BOTH, .access = ACCESS_WRITE, .group = GROUP_ACCOUNT,
                .help = "protocol trace to the journal, secrets masked" },
        [PROP_POLL_RATE] = { .name = "pollRate", .type = TYPE_INT, .kinds = KIND_BOTH,
                .access = ACCESS_WRITE, .group = GROUP_SERVER, .min = 0, .min_incoming = 1, .max = 31 * DAY, .number = 0,
                .number_incoming = 60, .unit = UNIT_SECONDS,
                .help = "seconds between looks at the server; outgoing 0: send at once" },
        [PROP_CHECK_RATE] = { .name = "checkRate", .type = TYPE_INT, .kinds = KIND_OUTGOING,
                .access = ACCESS_WRITE, .group = GROUP_SERVER, .min = 0, .max = 31 * DAY, .number = DAY, .unit = UNIT_SECONDS,
                .help = "an idle account connects, signs in and leaves once in this time; 0: never" },
        [PROP_FROM] = { .name = "from", .type = TYPE_ADDRESS, .kinds = KIND_OUTGOING,
                .access = ACCESS_WRITE, .group = GROUP_SENDING, .max = LIMIT_ADDRESS, .help = "sender of messages that name none" },
        [PROP_REPLY_TO] = { .name = "replyTo", .type = TYPE_ADDRESS, .kinds = KIND_OUTGOING,
                .access = ACCESS_WRITE, .group = GROUP_SENDING, .max = LIMIT_ADDRESS,
                .help = "Reply-To for messages that have none" },
        [PROP_SENDER_POLICY] = { .name = "senderPolicy", .type = TYPE_WORD, .kinds = KIND_OUTGOING,
                .access = ACCESS_WRITE, .group = GROUP_SENDING, .words = policy_words, .text = "asGiven",
                .help = "account: all mail leaves with the account's own address as its sender, who it was stays in Reply-To" },
        [PROP_SENDS_FOR] = { .name = "sendsFor", .type = TYPE_SENDERS, .kinds = KIND_OUTGOING,
                .access = ACCESS_WRITE, .group = GROUP_SENDING, .max = LIMIT_PROPERTY_TEXT,
                .help = "addresses and domains, comma-separated: mail of these senders that names no account goes out here" },
        [PROP_MAX_CONNECTIONS] = { .name = "maxConnections", .type = TYPE_INT, .kinds = KIND_OUTGOING,
                .access = ACCESS_WRITE, .group = GROUP_SERVER, .min = 1, .max = 64, .number = 20,
                .help = "parallel sessions to the server, at most" },
        [PROP_MAX_QUEUE_SIZE] = { .name = "maxQueueSize", .type = TYPE_INT, .kinds = KIND_OUTGOING,
                .access = ACCESS_WRITE, .group = GROUP_SENDING, .min = 1, .max = COUNT_MAX, .number = 100000,
                .help = "messages that may wait; more are refused" },
        [PROP_MAX_SENDABLE_PER_DAY] = { .name = "maxSendablePerDay", .type = TYPE_INT,
                .kinds = KIND_OUTGOING, .access = ACCESS_WRITE, .group = GROUP_SENDING, .min = 0, .max = COUNT_MAX,
                .help = "messages sent in a day, then they wait for the next; 0: no limit" },
        [PROP_MAX_PER_RECIPIENT] = { .name = "maxPerRecipient", .type = TYPE_INT,
                .kinds = KIND_OUTGOING, .access = ACCESS_WRITE, .group = GROUP_SENDING, .min = 0, .max = COUNT_MAX,
                .help = "messages an hour to one recipient, beyond it they are gathered into a digest; 0: no limit" },
        [PROP_ALLOW_DISABLED_QUEUING] = { .name = "allowDisabledQueuing", .type = TYPE_BOOL,
                .kinds = KIND_OUTGOING, .access = ACCESS_WRITE, .group = GROUP_SENDING, .number = true,
                .help = "take mail into the queue while disabled" },
        [PROP_QUEUE_LIFETIME] = { .name = "queueLifetime", .type = TYPE_INT, .kinds = KIND_OUTGOING,
                .access = ACCESS_WRITE, .group = GROUP_SENDING, .min = 1, .max = 366 * DAY, .number = 5 * DAY, .unit = UNIT_SECONDS,
                .help = "seconds until a message that cannot be sent has failed" },
        [PROP_NOTIFY_FAILED] = { .name = "notifyFailed", .type = TYPE_ADDRESS, .kinds = KIND_OUTGOING,
                .access = ACCESS_WRITE, .group = GROUP_SENDING, .max = LIMIT_ADDRESS,
                .help = "who gets a notice when mail has failed; empty: nobody" },
        [PROP_HEARTBEAT] = { .name = "heartbeat", .type = TYPE_ADDRESS, .kinds = KIND_OUTGOING,
                .access = ACCESS_WRITE, .group = GROUP_HEARTBEAT, .max = LIMIT_ADDRESS,
                .help = "where a small message goes on a schedule, to prove that alarms would; empty: none" },
        [PROP_HEARTBEAT_RATE] = { .name = "heartbeatRate", .type = TYPE_INT, .kinds = KIND_OUTGOING,
                .access = ACCESS_WRITE, .group = GROUP_HEARTBEAT, .min = 60, .max = 31 * DAY, .number = DAY, .unit = UNIT_SECONDS,
                .help = "seconds from one heartbeat to the next" },
        [PROP_PUSH] = { .name = "push", .type = TYPE_BOOL, .kinds = KIND_INCOMING, .access = ACCESS_WRITE, .group = GROUP_RECEIVING,
                .number = true, .help = "let the server announce new mail (IMAP IDLE) where it can" },
        [PROP_FOLDER] = { .name = "folder", .type = TYPE_FOLDERS, .kinds = KIND_INCOMING,
                .access = ACCESS_WRITE, .group = GROUP_RECEIVING, .max = LIMIT_FOLDERS_TEXT, .text = "INBOX",
                .help = "IMAP folders that are fetched from, comma-separated; IDLE is on the first" },
        [PROP_DELIVERY_POLICY] = { .name = "deliveryPolicy", .type = TYPE_WORD, .kinds = KIND_INCOMING,
                .access = ACCESS_WRITE, .group = GROUP_RECEIVING, .words = delivery_words, .text = "markAsRead",
                .help = "what happens to a message at the server once it is safe here" },
        [PROP_FETCH] = { .name = "fetch", .type = TYPE_WORD, .kinds = KIND_INCOMING, .access = ACCESS_WRITE, .group = GROUP_RECEIVING,
                .words = fetch_words, .text = "all",
                .help = "which messages the first look at a mailbox takes" },
        [PROP_MAX_MESSAGE_SIZE] = { .name = "maxMessageSize", .type = TYPE_INT, .kinds = KIND_INCOMING,
                .access = ACCESS_WRITE, .group = GROUP_RECEIVING, .min = 1, .max = SIZE_MAX_BYTES, .number = 50 * MIB,
                .unit = UNIT_BYTES, .help = "bytes; a larger message is left at the server and reported" },
        [PROP_DELIVER_TO] = { .name = "deliverTo", .type = TYPE_TEXT, .kinds = KIND_INCOMING,
                .access = ACCESS_WRITE, .group = GROUP_RECEIVING, .max = 1000, .text = "maildir",
                .help = "where received mail goes: maildir, lmtp:PATH, a local socket, or exec:COMMAND" },
        [PROP_DELIVER_TO_ADDRESS] = { .name = "deliverToAddress", .type = TYPE_ADDRESS, .kinds = KIND_INCOMING,
                .access = ACCESS_WRITE, .group = GROUP_RECEIVING, .max = LIMIT_ADDRESS,
                .help = "recipient that is named to the LMTP socket" },
        [PROP_DELIVER_TIMEOUT] = { .name = "deliverTimeout", .type = TYPE_INT, .kinds = KIND_INCOMING,
                .access = ACCESS_WRITE, .group = GROUP_RECEIVING, .min = 1, .max = 3600, .number = 60, .number_incoming = 60, .unit = UNIT_SECONDS,
                .help = "seconds that a command of deliverTo=exec: may take for a message" },
        [PROP_FILE_INTO] = { .name = "fileInto", .type = TYPE_TEXT, .kinds = KIND_INCOMING,
                .access = ACCESS_WRITE, .group = GROUP_RECEIVING, .max = LIMIT_PROPERTY_TEXT,
                .help = "folders for received mail: sender|subject|header TEXT FOLDER; ..." },
        [PROP_KEEP_RECEIVED] = { .name = "keepReceived", .type = TYPE_KEPT, .kinds = KIND_INCOMING,
                .access = ACCESS_WRITE, .group = GROUP_RECEIVING, .max = 24,
                .help = "how long received mail is kept here, 30d, or how many messages, 5000; empty: for ever" },
        [PROP_OAUTH_PROVIDER] = { .name = "oauthProvider", .type = TYPE_WORD, .kinds = KIND_BOTH,
                .access = ACCESS_WRITE, .group = GROUP_OAUTH, .words = provider_words, .help = "who gives the OAuth tokens" },
        [PROP_OAUTH_GRANT] = { .name = "oauthGrant", .type = TYPE_WORD, .kinds = KIND_BOTH,
                .access = ACCESS_WRITE, .group = GROUP_OAUTH, .words = grant_words, .help = "how tokens are got" },
        [PROP_OAUTH_CLIENT_ID] = { .name = "oauthClientId", .type = TYPE_TEXT, .kinds = KIND_BOTH,
                .access = ACCESS_WRITE, .group = GROUP_OAUTH, .max = 512, .help = "id of the application at the OAuth provider" },
        [PROP_OAUTH_TENANT] = { .name = "oauthTenant", .type = TYPE_TEXT, .kinds = KIND_BOTH,
                .access = ACCESS_WRITE, .group = GROUP_OAUTH, .max = 256, .help = "directory (tenant) of a microsoft account" },
        [PROP_OAUTH_SCOPE] = { .name = "oauthScope", .type = TYPE_TEXT, .kinds = KIND_BOTH,
                .access = ACCESS_WRITE, .group = GROUP_OAUTH, .max = LIMIT_PROPERTY_TEXT,
                .help = "OAuth scopes where they differ from the provider's usual ones" },
        [PROP_OAUTH_TOKEN_ENDPOINT] = { .name = "oauthTokenEndpoint", .type = TYPE_URL, .kinds = KIND_BOTH,
                .access = ACCESS_WRITE, .group = GROUP_OAUTH, .max = 2048, .help = "https URL for tokens, for provider custom" },
        [PROP_OAUTH_DEVICE_ENDPOINT] = { .name = "oauthDeviceEndpoint", .type = TYPE_URL,
                .kinds = KIND_BOTH, .access = ACCESS_WRITE, .group = GROUP_OAUTH, .max = 2048,
                .help = "https URL for device codes, for provider custom" },
        [PROP_CLIENT_CERTIFICATE] = { .name = "clientCertificate", .type = TYPE_TEXT, .kinds = KIND_BOTH,
                .access = ACCESS_WRITE, .group = GROUP_SIGN_IN, .max = 256,
                .help = "name of a certificate and key in the user key store" },
        [PROP_STATUS] = { .name = "status", .type = TYPE_WORD, .kinds = KIND_BOTH, .access = ACCESS_READ, .group = GROUP_STATE,
                .words = status_words, .help = "how the account does" },
        [PROP_STATUS_TEXT] = { .name = "statusText", .type = TYPE_OBJECT, .kinds = KIND_BOTH,
                .access = ACCESS_READ, .group = GROUP_STATE, .help = "when it last worked: what the status rests on" },
        [PROP_LAST_CHECKED] = { .name = "lastChecked", .type = TYPE_TIME, .kinds = KIND_BOTH,
                .access = ACCESS_READ, .group = GROUP_STATE, .help = "when it was last looked whether it works" },
        [PROP_FAULT_CAUSE] = { .name = "faultCause", .type = TYPE_OBJECT, .kinds = KIND_BOTH,
                .access = ACCESS_READ, .group = GROUP_STATE, .help = "why it is not ok, and what to do" },
        [PROP_LAST_POLL_SUCCESS] = { .name = "lastPollSuccess", .type = TYPE_TIME, .kinds = KIND_BOTH,
                .access = ACCESS_READ, .group = GROUP_STATE, .help = "last time the server was reached and all went well" },
        [PROP_LAST_POLL_FAILURE] = { .name = "lastPollFailure", .type = TYPE_TIME, .kinds = KIND_BOTH,
                .access = ACCESS_READ, .group = GROUP_STATE, .help = "last time it did not" },
        [PROP_LAST_POLL_FAILURE_CAUSE] = { .name = "lastPollFailureCause", .type = TYPE_OBJECT,
                .kinds = KIND_BOTH, .access = ACCESS_READ, .group = GROUP_STATE, .help = "why not" },
        [PROP_WAITING_FOR] = { .name = "waitingFor", .type = TYPE_OBJECT, .kinds = KIND_BOTH,
                .access = ACCESS_READ, .group = GROUP_STATE, .help = "what it waits for, and until when" },
        [PROP_TLS] = { .name = "tls", .type = TYPE_OBJECT, .kinds = KIND_BOTH, .access = ACCESS_READ, .group = GROUP_STATE,
                .help = "version, cipher and certificate of the last session, and what verified it" },
        [PROP_QUEUE_SIZE] = { .name = "queueSize", .type = TYPE_INT, .kinds = KIND_OUTGOING,
                .access = ACCESS_READ, .group = GROUP_STATE, .help = "messages that wait" },
        [PROP_NUMBER_SENT] = { .name = "numberSent", .type = TYPE_INT, .kinds = KIND_OUTGOING,
                .access = ACCESS_READ, .group = GROUP_STATE, .help = "messages sent" },
        [PROP_NUMBER_SENT_TODAY] = { .name = "numberSentToday", .type = TYPE_INT, .kinds = KIND_OUTGOING,
                .access = ACCESS_READ, .group = GROUP_STATE, .help = "messages sent since midnight" },
        [PROP_NUMBER_GATHERED] = { .name = "numberGathered", .type = TYPE_INT, .kinds = KIND_OUTGOING,
                .access = ACCESS_READ, .group = GROUP_STATE, .help = "messages that went into digests (maxPerRecipient)" },
        [PROP_LAST_GATHERED] = { .name = "lastGathered", .type = TYPE_TIME, .kinds = KIND_OUTGOING,
                .access = ACCESS_READ, .group = GROUP_STATE, .help = "when the last digest was made" },
        [PROP_NUMBER_DISCARDED] = { .name = "numberDiscarded", .type = TYPE_INT, .kinds = KIND_OUTGOING,
                .access = ACCESS_READ, .group = GROUP_STATE, .help = "messages that failed" },
        [PROP_LAST_DISCARD] = { .name = "lastDiscard", .type = TYPE_TIME, .kinds = KIND_OUTGOING,
                .access = ACCESS_READ, .group = GROUP_STATE, .help = "when the last of those was" },
        [PROP_LAST_DISCARD_CAUSE] = { .name = "lastDiscardCause", .type = TYPE_OBJECT,
                .kinds = KIND_OUTGOING, .access = ACCESS_READ, .group = GROUP_STATE, .help = "and why" },
        [PROP_NUMBER_RECEIVED] = { .name = "numberReceived", .type = TYPE_INT, .kinds = KIND_INCOMING,
                .access = ACCESS_READ, .group = GROUP_STATE, .help = "messages received" },
        [PROP_LAST_RECEIVED] = { .name = "lastReceived", .type = TYPE_TIME, .kinds = KIND_INCOMING,
                .access = ACCESS_READ, .group = GROUP_STATE, .help = "when the last one came" },
        [PROP_MISSING] = { .name = "missing", .type = TYPE_INT, .kinds = KIND_INCOMING,
                .access = ACCESS_READ, .group = GROUP_STATE, .help = "messages that the server lists and does not hand out" },
        [PROP_HEARTBEAT_STATE] = { .name = "heartbeatState", .type = TYPE_WORD, .kinds = KIND_OUTGOING,
                .access = ACCESS_READ, .group = GROUP_STATE, .words = heartbeat_words, .help = "what came of the last heartbeat" },
        [PROP_LAST_HEARTBEAT] = { .name = "lastHeartbeat", .type = TYPE_TIME, .kinds = KIND_OUTGOING,
                .access = ACCESS_READ, .group = GROUP_STATE, .help = "when the last heartbeat was handed in" },
        [PROP_LAST_HEARTBEAT_ARRIVED] = { .name = "lastHeartbeatArrived", .type = TYPE_TIME, .kinds = KIND_OUTGOING,
                .access = ACCESS_READ, .group = GROUP_STATE, .help = "when one was last received here" },
        [PROP_LAST_HEARTBEAT_SECONDS] = { .name = "lastHeartbeatSeconds", .type = TYPE_INT, .kinds = KIND_OUTGOING,
                .access = ACCESS_READ, .group = GROUP_STATE, .help = "how long its round trip took" },
};
/* clang-format on */

/* The names are those of the interface; the secrets themselves are in the store of secrets, never
 * here. */
const struct property_secret property_secrets[SECRET_KINDS] = {
        [SECRET_PASSWORD] = { "password", "password, or OAuth token where no provider is named" },
        [SECRET_OAUTH_CLIENT] = { "oauthClientSecret", "secret of the application at the OAuth provider" },
        [SECRET_OAUTH_REFRESH] = { "oauthRefreshToken",
                                   "OAuth refresh token; the provider's next one replaces it" },
};

const struct property *property_named(const char *name)
{
        for (size_t i = 0; i < PROPERTIES; i++)
                if (same_text(properties[i].name, name))
                        return &properties[i];
        return NULL;
}

/* RFC 8314 section 3 for `ssl`, and for submission (RFC 6409) 587; port 25 is that of a relay which
 * knows this host. */
static const struct {
        const char *transport;
        uint16_t neither, starttls, ssl;
} ports[] = {
        { "smtp", 25, 587, 465 },
        { "imap", 143, 143, 993 },
        { "pop3", 110, 110, 995 },
};

json_t *port_table_json(void)
{
        json_t *list = json_array();

        for (size_t i = 0; i < count_of(ports); i++) {
                json_t *row = json_object();
                json_put_text(row, "transport", ports[i].transport);
                json_put(row, "none", json_integer(ports[i].neither));
                json_put(row, "starttls", json_integer(ports[i].starttls));
                json_put(row, "ssl", json_integer(ports[i].ssl));
                if (json_array_append_new(list, row) < 0)
                        abort();
        }
        return list;
}

/* For a port that is given without a transport. One that is not that of TLS from the first byte
 * means STARTTLS: clear text is never guessed. */
bool port_means(uint16_t port, const char **transport, const char **security)
{
        for (size_t i = 0; i < count_of(ports); i++)
                if (port == ports[i].neither || port == ports[i].starttls || port == ports[i].ssl) {
                        *transport = ports[i].transport;
                        *security = port == ports[i].ssl ? "ssl" : "starttls";
                        return true;
                }
        return false;
}

uint16_t port_of_table(const char *transport, bool ssl, bool starttls)
{
        for (size_t i = 0; i < count_of(ports); i++)
                if (same_text(transport, ports[i].transport))
                        return ssl ? ports[i].ssl : starttls ? ports[i].starttls : ports[i].neither;
        return 0;
}

/* 0 is `auto`: the port follows transport and TLS. */
uint16_t port_in_use(const struct property_values *values)
{
        int64_t port = prop_number(values, PROP_PORT);

        if (port)
                return (uint16_t)port;
        return port_of_table(prop_text(values, PROP_TRANSPORT), prop_bool(values, PROP_USE_SSL),
                             prop_bool(values, PROP_USE_STARTTLS));
}

int properties_min_tls(const struct property_values *values)
{
        static const struct {
                enum property_word word;
                int version;
        } versions[] = {
                { WORD_TLS_1_0, 10 }, { WORD_TLS_1_1, 11 }, { WORD_TLS_1_2, 12 }, { WORD_TLS_1_3, 13 }
        };

        for (size_t i = 0; i < count_of(versions); i++)
                if (prop_is(values, versions[i].word))
                        return versions[i].version;
        return 12;
}
