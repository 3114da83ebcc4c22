/* SPDX-License-Identifier: MIT */
/* The plan of a session from its account's properties, and what can be told of one: times, channel, whether
 * what it rests on still stands; see session.h. */
#include "common/names.h"
#include "daemon/session/session_parts.h"
#include "daemon/tls/allowed.h"
#include "daemon/tls/trust.h"
#include "daemon/wire/route.h"

/* Borrows the texts of `values`, which are to live as long as the plan is used; session_open() copies what
 * it keeps. */
void session_plan_of(const struct property_values *values, struct session_plan *plan)
{
        const char *transport = prop_text(values, PROP_TRANSPORT);
        const char *client = prop_text(values, PROP_CLIENT_CERTIFICATE);

        *plan = (struct session_plan){
                .account = prop_text(values, PROP_NAME),
                .direction = values->kind == KIND_OUTGOING ? "outgoing" : "incoming",
                .host = prop_text(values, PROP_HOSTNAME),
                .port = port_in_use(values),
                .ssl = prop_bool(values, PROP_USE_SSL),
                .starttls = prop_bool(values, PROP_USE_STARTTLS),
                .min_tls = properties_min_tls(values),
                .legacy_renegotiation = prop_bool(values, PROP_ALLOW_LEGACY_RENEGOTIATION),
                .alpn = strcmp(transport, "imap") == 0   ? "imap"
                        : strcmp(transport, "pop3") == 0 ? "pop3"
                                                         : NULL,
                .client_certificate = client[0] ? client : NULL,
                .timeout_seconds = (unsigned)prop_number(values, PROP_CONNECTION_TIMEOUT),
                .debug = prop_bool(values, PROP_DEBUG),
                .auto_signin = prop_is(values, WORD_AUTO),
                .record = true,
        };
}

struct subject session_subject(const struct session *session)
{
        return (struct subject){
                .account = session->plan.account[0] ? session->plan.account : NULL,
                .direction = session->plan.direction,
                .host = session->plan.host,
                .port = session->plan.port,
        };
}

/* Also after the connection has been closed: its times were kept. */
struct connection_times session_times(const struct session *session)
{
        return session->connection ? connection_times(session->connection) : session->times;
}

const char *session_address(const struct session *session)
{
        return session->connection ? connection_address(session->connection) : "";
}

const char *session_before(const struct session *session)
{
        return session->before;
}

/* False without TLS, or before it is secured; `out` stays as it is then. */
bool session_tls_info(const struct session *session, struct channel_info *out)
{
        if (session->info.version)
                *out = session->info;
        return session->info.version != NULL;
}

void session_tell_account(const struct session *session, enum session_mark mark, struct account *account)
{
        const struct property_values *values = &account->values;
        bool plain = !prop_bool(values, PROP_USE_SSL) && !prop_bool(values, PROP_USE_STARTTLS);

        if (mark == SESSION_CONNECTED && plain)
                account_put_tls(account, NULL, 0);
        if (mark == SESSION_SECURED && session->info.version)
                account_put_tls(account, &session->info, session_times(session).handshake);
}

const struct tls_evidence *session_evidence(const struct session *session)
{
        return session->channel ? channel_evidence(session->channel) : NULL;
}

/* True when the approval that the session rests on is still there. */
static bool exemption_stands(const struct session *session)
{
        json_t *entry = allowed_get(session->allowed_id, NULL);
        bool stands = same_text(json_string_value(json_object_get(entry, "state")), "approved");

        json_decref(entry);
        return stands;
}

/* Cheap, for all sessions at each change: the number alone is compared. */
bool session_trust_moved(const struct session *session)
{
        return session->generation != trust_generation();
}

bool session_still_routed(const struct session *session)
{
        int fd = session->connection ? connection_fd(session->connection) : -1;

        return !session->counted ||
               (fd >= 0 && route_is_the_same(fd)); /* one that waits for its place has no way yet */
}

bool session_may_verify(const struct session *session)
{
        return session->info.version && session->verdict == VERDICT_ALLOWED &&
               session->generation < trust_anchors_generation();
}

/* After a change of trust, without another handshake: the anchor or the approval that the verdict rested on
 * must still be there. A session without TLS rests on nothing. */
bool session_still_trusted(const struct session *session)
{
        if (!session->info.version || session->generation == trust_generation())
                return true;
        switch (session->verdict) {
        case VERDICT_ALLOWED:
                return exemption_stands(session);
        case VERDICT_SYSTEM:
        case VERDICT_USER:
                return session->channel && trust_anchor(channel_anchor(session->channel)) != ANCHOR_NONE;
        case VERDICT_CHALLENGE:
        case VERDICT_REJECTED:
        case VERDICT_FAULT:
                return false;
        }
        return false;
}
