/* SPDX-License-Identifier: MIT */
/* TLS of a session: begun, judged, noted; the verdict stands between the handshake and the chat. See session.h. */
#include "common/times.h"
#include "daemon/journal.h"
#include "daemon/session/server_certificates.h"
#include "daemon/session/session_parts.h"
#include "daemon/tls/clock_doubt.h"
#include "daemon/tls/trust.h"

void link_begin_tls(struct link *link, bool implicit)
{
        struct cause cause = { 0 };
        struct tls_policy policy = {
                .account = link->plan.account,
                .host = link->plan.host,
                .port = link->plan.port,
                .min_version = link->plan.min_tls,
                .legacy_renegotiation = link->plan.legacy_renegotiation,
                .alpn = link->plan.alpn,
                .client_certificate = link->plan.client_certificate,
                .implicit = implicit,
                .record = link->plan.record,
                .server_time = link->chat && link->chat->greeting ? time_in_words(link->chat->greeting) : 0,
        };

        if (!implicit && connection_has_unread(link->connection)) {
                cause_set(&cause, CAUSE_INJECTION,
                          "%s sent more after its go-ahead for STARTTLS, before TLS began", link->plan.host);
                link_end_with(link, &cause, "");
                return;
        }
        link->generation = trust_generation();
        link->channel = channel_new(&policy, connection_fd(link->connection), &cause);
        if (!link->channel) {
                link_end_with(link, &cause, "");
                return;
        }
        connection_secure(link->connection, channel_transport(link->channel), link_share(link));
}

static void log_channel(const struct link *link)
{
        struct subject subject = link_subject(link);

        subject.tls_version = link->info.version;
        subject.tls_cipher = link->info.cipher;
        subject.cert_sha256 = link->info.fingerprint;
        subject.key_sha256 = link->info.key_fingerprint;
        log_debug(&subject, "%s:%u: %s %s, %s%s", link->plan.host, link->plan.port, link->info.version,
                  link->info.cipher,
                  same_text(link->info.verified_by, "allowedHost") ? "encrypted, identity by exemption" : "verified by ",
                  same_text(link->info.verified_by, "allowedHost") ? "" : link->info.verified_by);
}

static void remember_certificate(const struct link *link)
{
        struct certificate leaf;

        if (certificates_known(link->plan.host, link->plan.port, link->info.fingerprint, link->info.verified_by) ||
            !channel_leaf(link->channel, &leaf))
                return;
        certificates_note(link->plan.host, link->plan.port, &leaf, link->info.verified_by);
        certificate_done(&leaf);
}

void link_secured(struct link *link)
{
        struct chat_channel channel = { .tls = true };
        struct verdict verdict;

        channel_verdict(link->channel, &verdict);
        link->verdict = verdict.kind;
        memcpy(link->allowed_id, verdict.allowed_id, sizeof link->allowed_id);
        channel_info(link->channel, &link->info);
        if (link->plan.record)
                remember_certificate(link);
        if (verdict_is_good(&verdict))
                link->generation = trust_generation(); /* recording it may have made an entry needless */
        if (link->user->reached)
                link->user->reached(link->ctx, LINK_SECURED, &verdict);
        if (!link->connection)
                return; /* closed */
        if (!verdict_is_good(&verdict)) {
                link_end_with(link, &verdict.cause, verdict.allowed_id);
                return;
        }
        log_channel(link);
        channel_binding(link->channel, &channel.binding);
        connection_local(link->connection, channel.local, sizeof channel.local);
        link_talk(link, &channel);
        explicit_bzero(&channel.binding, sizeof channel.binding);
}
