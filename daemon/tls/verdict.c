/* SPDX-License-Identifier: MIT */
/*
 * Who is at the other end of a channel. OpenSSL's verification only gathers; after the handshake the evidence
 * are made, judge() decides, once, and what it took to decide is given back, because thousands of sessions
 * stay open. A resumed session continues the decision that its ticket was kept under.
 */
#include "daemon/loop.h"
#include "daemon/tls/allowed.h"
#include "daemon/tls/channel_parts.h"
#include "daemon/tls/staple.h"
#include "daemon/tls/trust.h"
#include "daemon/tls/x509.h"

/* ---- evidence ------------------------------------------------------------------------------------- */

int channel_on_verification(int good, X509_STORE_CTX *verification)
{
        SSL *ssl = X509_STORE_CTX_get_ex_data(verification, SSL_get_ex_data_X509_STORE_CTX_idx());
        struct channel *channel = SSL_get_app_data(ssl);

        if (!good)
                collect(&channel->collected, verification);
        return 1;
}

/* Where the verified chain ended. The errors above should say it all; should a chain without error not end in
 * an anchor we hold, it is not believed. */
static void add_anchor(const struct channel *channel, struct tls_evidence *evidence)
{
        STACK_OF(X509) *verified = SSL_get0_verified_chain(channel->ssl);
        int count = verified ? sk_X509_num(verified) : 0;
        enum anchor_kind kind = ANCHOR_NONE;

        if (count > 0) {
                x509_digest(sk_X509_value(verified, count - 1), evidence->anchor_sha256);
                kind = trust_anchor(evidence->anchor_sha256);
        }
        evidence->anchor_is_user = kind == ANCHOR_USER;
        long result = SSL_get_verify_result(channel->ssl);
        if (evidence->error_count == 0 && result != X509_V_OK &&
            tls_problem_of_code((int)result) != TLS_PROBLEMS)
                tls_evidence_add(evidence, PROBLEM_OTHER, 0, (int)result, "%s",
                                 X509_verify_cert_error_string(result));
        if (evidence->error_count == 0 && kind == ANCHOR_NONE)
                tls_evidence_add(evidence, PROBLEM_UNKNOWN_ISSUER, count, 0,
                                 "the chain ends in no trust store");
        if (kind == ANCHOR_NONE)
                memset(evidence->anchor_sha256, 0, sizeof evidence->anchor_sha256);
}

static void add_poison(struct tls_evidence *evidence)
{
        const struct cause *fault = trust_fault() ? trust_fault() : allowed_fault();

        evidence->store_poisoned = fault != NULL;
        if (fault)
                evidence->store_cause = *fault;
}

/* The evidence of this session. A resumed one showed no certificate: its chain is that of the session it
 * continues, its errors were judged then. */
static struct channel_report *report_new(struct channel *channel)
{
        struct channel_report *report = new_object(struct channel_report);
        struct tls_evidence *evidence = &report->evidence;

        evidence->host = channel->host;
        evidence->port = channel->port;
        evidence->server_time = channel->server_time;
        report->chain = collect_chain_of(channel->ssl, &evidence->chain_count);
        evidence->chain = report->chain;
        if (evidence->chain_count == 0)
                tls_evidence_add(evidence, PROBLEM_NONE_SENT, 0, 0, "the server sent no certificate");
        if (!SSL_session_reused(channel->ssl)) {
                collect_errors(channel->collected, evidence);
                channel->staple = staple_check(channel->ssl, loop_wall(), evidence);
                add_anchor(channel, evidence);
        } else {
                evidence->anchor_is_user = channel->verdict.kind == VERDICT_USER;
                memcpy(evidence->anchor_sha256, channel->verdict.anchor, sizeof evidence->anchor_sha256);
        }
        add_poison(evidence);
        return report;
}

void channel_forget_evidence(struct channel *channel)
{
        struct channel_report *report = take(channel->report);

        if (!report)
                return;
        collect_chain_free(report->chain, report->evidence.chain_count);
        free(report);
}

const struct tls_evidence *channel_evidence(const struct channel *channel)
{
        struct channel *c = (struct channel *)(uintptr_t)channel; /* the report is a cache */

        if (!c->report)
                c->report = report_new(c);
        return &c->report->evidence;
}

/* ---- the verdict --------------------------------------------------------------------------------- */

/* Until when the decision can be repeated without a look at the certificates: the first end among the chain's
 * dates (unless expiry itself was accepted) and the exemption's. */
static time_t holds_until(const struct tls_evidence *evidence, const struct verdict *verdict,
                          const struct allowed_ruling *allowed, size_t count)
{
        time_t until = evidence->chain[0].not_after;

        for (size_t i = 1; i < evidence->chain_count; i++)
                if (evidence->chain[i].not_after < until)
                        until = evidence->chain[i].not_after;
        for (size_t i = 0; verdict->kind == VERDICT_ALLOWED && i < count; i++) {
                if (strcmp(allowed[i].id, verdict->allowed_id) != 0)
                        continue;
                if (allowed[i].errors & 1u << PROBLEM_EXPIRED)
                        until = INT64_MAX;
                if (allowed[i].expires && allowed[i].expires < until)
                        until = allowed[i].expires;
        }
        return until;
}

static void decide_afresh(struct channel *channel, const struct tls_evidence *evidence, struct verdict *out)
{
        scoped(scoped_free) struct allowed_ruling *allowed = NULL;
        size_t count = allowed_rulings(channel->host, channel->port, &allowed);

        judge(evidence, allowed, count, loop_wall(), out);
        channel->verdict = (struct ticket_verdict){ .kind = out->kind, .errors = out->errors };
        memcpy(channel->verdict.anchor, evidence->anchor_sha256, sizeof evidence->anchor_sha256);
        if (verdict_is_good(out)) {
                memcpy(channel->verdict.allowed_id, out->allowed_id, sizeof out->allowed_id);
                channel->verdict.until = holds_until(evidence, out, allowed, count);
        }
}

/* A resumed session continues the decision it was made under. */
static void decide_again(const struct channel *channel, struct verdict *out)
{
        *out = (struct verdict){ .kind = channel->verdict.kind, .errors = channel->verdict.errors };
        memcpy(out->allowed_id, channel->verdict.allowed_id, sizeof out->allowed_id);
}

static void keep_ticket(struct channel *channel, SSL_SESSION *session)
{
        if (channel->account[0] && channel->generation == trust_generation() &&
            channel->verdict.kind <= VERDICT_ALLOWED)
                tickets_put(channel->ticket_key, session, &channel->verdict);
}

const uint8_t *channel_anchor(const struct channel *channel)
{
        return channel->verdict.anchor;
}

void channel_verdict(struct channel *channel, struct verdict *out)
{
        const struct tls_evidence *evidence = channel_evidence(channel);

        channel->judged = true;
        if (channel->generation != trust_generation() && trust_fault() == NULL) {
                *out = (struct verdict){ .kind = VERDICT_FAULT };
                cause_set(&out->cause, CAUSE_CLOSED, "what is trusted changed during the TLS handshake");
                channel->verdict = (struct ticket_verdict){ .kind = VERDICT_FAULT };
        } else if (SSL_session_reused(channel->ssl) && !evidence->store_poisoned) {
                decide_again(channel, out);
        } else {
                decide_afresh(channel, evidence, out);
        }
        if (channel->record && out->cause.code != CAUSE_CLOSED)
                allowed_record(evidence, channel->account, out);
        if (channel->session) {
                keep_ticket(channel, channel->session);
                SSL_SESSION_free(take(channel->session));
        }
        if (verdict_is_good(out) && channel->record)
                channel_forget_evidence(channel);
}

/* ---- tickets --------------------------------------------------------------------------------------- */

/* Before the verdict the session waits with the channel; 1 = the reference is ours. */
int channel_on_new_session(SSL *ssl, SSL_SESSION *session)
{
        struct channel *channel = SSL_get_app_data(ssl);

        if (channel->judged) {
                keep_ticket(channel, session);
                return 0;
        }
        SSL_SESSION_free(channel->session);
        channel->session = session;
        return 1;
}

void channel_offer_ticket(struct channel *channel, const struct tls_policy *policy)
{
        struct ticket_inputs inputs = {
                .account = policy->account,
                .host = policy->host,
                .port = policy->port,
                .alpn = channel->alpn,
                .client_certificate = policy->client_certificate,
                .min_version = policy->min_version,
                .legacy_renegotiation = policy->legacy_renegotiation,
                .generation = channel->generation,
        };

        tickets_key(&inputs, channel->ticket_key);
        if (!channel->account[0])
                return;
        SSL_SESSION *session = tickets_get(channel->ticket_key, loop_wall(), &channel->verdict);
        if (!session)
                return;
        (void)SSL_set_session(channel->ssl, session);
        SSL_SESSION_free(session);
}
