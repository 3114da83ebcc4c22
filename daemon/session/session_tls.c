/* SPDX-License-Identifier: MIT */
/* TLS of a session: begun, judged, noted; the verdict stands between the handshake and the engine. See
 * session.h. */
#include "common/times.h"
#include "daemon/journal.h"
#include "daemon/session/server_certificates.h"
#include "daemon/session/session_parts.h"
#include "daemon/tls/clock_doubt.h"
#include "daemon/tls/trust.h"

/* Anything that came between the go-ahead and the handshake could have been put there by an attacker and
 * would count as said within TLS (RFC 3207, 6): the session ends. */
void session_begin_tls(struct session *session, bool implicit)
{
        struct cause cause = { 0 };
        struct tls_policy policy = {
                .account = session->plan.account,
                .host = session->plan.host,
                .port = session->plan.port,
                .min_version = session->plan.min_tls,
                .legacy_renegotiation = session->plan.legacy_renegotiation,
                .alpn = session->plan.alpn,
                .client_certificate = session->plan.client_certificate,
                .implicit = implicit,
                .record = session->plan.record,
                .server_time = session->engine && session->engine->greeting
                                       ? time_in_words(session->engine->greeting)
                                       : 0,
        };

        if (!implicit && connection_has_unread(session->connection)) {
                cause_set(&cause, CAUSE_INJECTION,
                          "%s sent more after its go-ahead for STARTTLS, before TLS began",
                          session->plan.host);
                session_end_with(session, &cause, "");
                return;
        }
        session->generation = trust_generation();
        session->channel = channel_new(&policy, connection_fd(session->connection), &cause);
        if (!session->channel) {
                session_end_with(session, &cause, "");
                return;
        }
        connection_secure(session->connection, channel_transport(session->channel), session_share(session));
}

/* At debug level; the fields are those that every line about a channel has. */
static void log_channel(const struct session *session)
{
        struct subject subject = session_subject(session);

        subject.tls_version = session->info.version;
        subject.tls_cipher = session->info.cipher;
        subject.cert_sha256 = session->info.fingerprint;
        subject.key_sha256 = session->info.key_fingerprint;
        log_debug(&subject, "%s:%u: %s %s, %s%s", session->plan.host, session->plan.port,
                  session->info.version, session->info.cipher,
                  same_text(session->info.verified_by, "allowedHost") ? "encrypted, identity by exemption"
                                                                      : "verified by ",
                  same_text(session->info.verified_by, "allowedHost") ? "" : session->info.verified_by);
}

/* Most sessions see the certificate of the last one: it is decoded only when it is another, or verified in
 * another way. */
static void remember_certificate(const struct session *session)
{
        struct certificate leaf;

        if (certificates_known(session->plan.host, session->plan.port, session->info.fingerprint,
                               session->info.verified_by) ||
            !channel_leaf(session->channel, &leaf))
                return;
        certificates_note(session->plan.host, session->plan.port, &leaf, session->info.verified_by);
        certificate_done(&leaf);
}

/* The verdict falls before a byte of the engine is sent: a channel that is not trusted carries no user
 * name. `reached` may close the session, so what follows looks whether there is still a connection. */
void session_secured(struct session *session)
{
        struct engine_channel channel = { .tls = true };
        struct verdict verdict;

        channel_verdict(session->channel, &verdict);
        session->verdict = verdict.kind;
        memcpy(session->allowed_id, verdict.allowed_id, sizeof session->allowed_id);
        channel_info(session->channel, &session->info);
        if (session->plan.record)
                remember_certificate(session);
        if (verdict_is_good(&verdict))
                session->generation = trust_generation(); /* recording it may have made an entry needless */
        if (session->user->reached)
                session->user->reached(session->ctx, SESSION_SECURED, &verdict);
        if (!session->connection)
                return; /* closed */
        if (!verdict_is_good(&verdict)) {
                session_end_with(session, &verdict.cause, verdict.allowed_id);
                return;
        }
        log_channel(session);
        channel_binding(session->channel, &channel.binding);
        connection_local(session->connection, channel.local, sizeof channel.local);
        session_talk(session, &channel);
        explicit_bzero(&channel.binding, sizeof channel.binding);
}
