/* SPDX-License-Identifier: MIT */
/* The plan of a session from its account's properties, and what can be told of one: times, channel, whether what it rests
 * on still stands; see session.h. */
#include "common/names.h"
#include "daemon/session/session_parts.h"
#include "daemon/tls/allowed.h"
#include "daemon/tls/trust.h"
#include "daemon/wire/route.h"

void link_plan_of(const struct property_values *values, struct link_plan *plan)
{
        const char *transport = prop_text(values, PROP_TRANSPORT);
        const char *client = prop_text(values, PROP_CLIENT_CERTIFICATE);

        *plan = (struct link_plan){
                .account = prop_text(values, PROP_NAME),
                .direction = values->kind == KIND_OUTGOING ? "outgoing" : "incoming",
                .host = prop_text(values, PROP_HOSTNAME),
                .port = port_in_use(values),
                .ssl = prop_bool(values, PROP_USE_SSL),
                .starttls = prop_bool(values, PROP_USE_STARTTLS),
                .min_tls = properties_min_tls(values),
                .legacy_renegotiation = prop_bool(values, PROP_ALLOW_LEGACY_RENEGOTIATION),
                .alpn = strcmp(transport, "imap") == 0 ? "imap" : strcmp(transport, "pop3") == 0 ? "pop3" : NULL,
                .client_certificate = client[0] ? client : NULL,
                .timeout_seconds = (unsigned)prop_number(values, PROP_CONNECTION_TIMEOUT),
                .debug = prop_bool(values, PROP_DEBUG),
                .auto_signin = prop_is(values, WORD_AUTO),
                .record = true,
        };
}

struct connection_times link_times(const struct link *link)
{
        return link->connection ? connection_times(link->connection) : link->times;
}

const char *link_address(const struct link *link)
{
        return link->connection ? connection_address(link->connection) : "";
}

const char *link_before(const struct link *link)
{
        return link->before;
}

bool link_tls_info(const struct link *link, struct channel_info *out)
{
        if (link->info.version[0])
                *out = link->info;
        return link->info.version[0] != '\0';
}

void link_tell_account(const struct link *link, enum link_mark mark, struct account *account)
{
        const struct property_values *values = &account->values;
        bool plain = !prop_bool(values, PROP_USE_SSL) && !prop_bool(values, PROP_USE_STARTTLS);

        if (mark == LINK_CONNECTED && plain)
                account_put_tls(account, NULL, 0);
        if (mark == LINK_SECURED && link->info.version[0])
                account_put_tls(account, &link->info, link_times(link).handshake);
}

const struct tls_facts *link_facts(const struct link *link)
{
        return link->channel ? channel_facts(link->channel) : NULL;
}

/* True when the approval that the session rests on is still there. */
static bool exemption_stands(const struct link *link)
{
        json_t *entry = allowed_get(link->allowed_id, NULL);
        bool stands = same_text(json_string_value(json_object_get(entry, "state")), "approved");

        json_decref(entry);
        return stands;
}

bool link_trust_moved(const struct link *link)
{
        return link->generation != trust_generation();
}

bool link_still_routed(const struct link *link)
{
        int fd = link->connection ? connection_fd(link->connection) : -1;

        return !link->counted || (fd >= 0 && route_is_the_same(fd)); /* one that waits for its place has no way yet */
}

bool link_still_trusted(const struct link *link)
{
        if (!link->info.version[0] || link->generation == trust_generation())
                return true;
        switch (link->verdict) {
        case VERDICT_ALLOWED:
                return exemption_stands(link);
        case VERDICT_SYSTEM:
        case VERDICT_USER:
                return link->channel && trust_anchor(channel_anchor(link->channel)) != ANCHOR_NONE;
        case VERDICT_CHALLENGE:
        case VERDICT_REJECTED:
        case VERDICT_FAULT:
                return false;
        }
        return false;
}
