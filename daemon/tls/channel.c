/* SPDX-License-Identifier: MIT */
/*
 * One TLS session with a mail server: an SSL on the connection's socket behind the transport interface. Makes
 * it from the account's policy, moves the bytes, puts failures into words, tells what was negotiated. Who is
 * there is verdict.c's part.
 */
#include "common/names.h"
#include "daemon/loop.h"
#include "daemon/tls/channel_parts.h"
#include "daemon/tls/context.h"
#include "daemon/tls/handshake.h"
#include "daemon/tls/keys.h"
#include "daemon/tls/trust.h"
#include "daemon/tls/x509.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>

/* ---- servers that refuse ALPN ------------------------------------------------------------------ */

/* ALPN is a courtesy here: a server that refuses the handshake over it is tried without (S16). A small ring,
 * by host and port, forgotten with the process. */
enum { ALPN_REFUSERS = 32 };
static struct {
        char host[256];
        uint16_t port;
} alpn_refusers[ALPN_REFUSERS];
static size_t alpn_next;

static bool refuses_alpn(const char *host, uint16_t port)
{
        for (size_t i = 0; i < ALPN_REFUSERS; i++)
                if (alpn_refusers[i].port == port && strcmp(alpn_refusers[i].host, host) == 0)
                        return true;
        return false;
}

static void remember_refusal(const struct channel *channel, struct cause *cause)
{
        (void)snprintf(alpn_refusers[alpn_next].host, sizeof alpn_refusers[alpn_next].host, "%s",
                       channel->host);
        alpn_refusers[alpn_next].port = channel->port;
        alpn_next = (alpn_next + 1) % ALPN_REFUSERS;
        ERR_clear_error();
        cause_set(cause, CAUSE_CLOSED, "the server refused the ALPN name \"%s\"; it is left out from now on",
                  channel->alpn);
}

/* ---- the transport ---------------------------------------------------------------------------------- */

static struct channel *channel_of(struct transport *transport)
{
        return container_of(transport, struct channel, transport);
}

static struct handshake_evidence failure_evidence(const struct channel *channel)
{
        return (struct handshake_evidence){ .host = channel->host,
                                            .port = channel->port,
                                            .min_version = channel->min_version,
                                            .implicit = channel->implicit,
                                            .first = channel->first,
                                            .first_len = channel->first_len };
}

bool channel_heard_plain_text(const struct channel *channel)
{
        struct handshake_evidence evidence = failure_evidence(channel);

        return handshake_heard_plain_text(&evidence);
}

static void explain_failed_handshake(struct channel *channel, int error, struct cause *cause)
{
        struct handshake_evidence evidence = failure_evidence(channel);

        if (channel->flooded)
                channel_flooded(cause);
        else if (handshake_heard_plain_text(&evidence))
                handshake_plain_text(&evidence, cause);
        else if (channel->alpn && handshake_refused_alpn())
                remember_refusal(channel, cause);
        else
                handshake_failed(&evidence, channel->ssl, error, channel->number, cause);
        ERR_clear_error();
}

static enum transport_result on_handshake(struct transport *transport, struct cause *cause)
{
        struct channel *channel = channel_of(transport);

        ERR_clear_error();
        channel->number = 0;
        int result = SSL_do_handshake(channel->ssl);
        int error = SSL_get_error(channel->ssl, result);
        if (result == 1) {
                channel->finished = true;
                channel->records = 0;
                return TRANSPORT_DONE;
        }
        if (error == SSL_ERROR_WANT_READ)
                return TRANSPORT_WANT_READ;
        if (error == SSL_ERROR_WANT_WRITE)
                return TRANSPORT_WANT_WRITE;
        channel->broken = true;
        explain_failed_handshake(channel, error, cause);
        return TRANSPORT_FAILED;
}

/* What a failed read or write means. */
static enum transport_result not_moved(struct channel *channel, int result, struct cause *cause)
{
        int error = SSL_get_error(channel->ssl, result);

        switch (error) {
        case SSL_ERROR_WANT_READ:
                return TRANSPORT_WANT_READ;
        case SSL_ERROR_WANT_WRITE:
                return TRANSPORT_WANT_WRITE;
        case SSL_ERROR_ZERO_RETURN:
                return TRANSPORT_END;
        default: /* OpenSSL's numbers, not an enum of ours */
                channel->broken = true;
                if (channel->flooded)
                        channel_flooded(cause);
                else
                        channel_failed(channel->ssl, error, channel->number, cause);
                ERR_clear_error();
                return TRANSPORT_FAILED;
        }
}

static enum transport_result on_read(struct transport *transport, uint8_t *to, size_t size, size_t *moved,
                                     struct cause *cause)
{
        struct channel *channel = channel_of(transport);

        *moved = 0;
        ERR_clear_error();
        channel->number = 0;
        int result = SSL_read_ex(channel->ssl, to, size, moved);
        if (result != 1)
                return not_moved(channel, result, cause);
        channel->records = 0;
        return TRANSPORT_DONE;
}

/* Sends what was gathered. What is in it is told as written when all of it has left, and not before. */
static enum transport_result let_leave(struct channel *channel, size_t len, size_t *moved,
                                       struct cause *cause)
{
        channel->number = channel_send_gathered(channel, channel->sealed < len);
        if (channel->number == EAGAIN || channel->number == EINTR)
                return TRANSPORT_WANT_WRITE;
        if (channel->number) {
                channel->broken = true;
                channel_failed(channel->ssl, SSL_ERROR_SYSCALL, channel->number, cause);
                return TRANSPORT_FAILED;
        }
        *moved = channel->sealed;
        channel->sealed = 0;
        return TRANSPORT_DONE;
}

/* OpenSSL writes one record each time. */
static enum transport_result on_write(struct transport *transport, const uint8_t *from, size_t len,
                                      size_t *moved, struct cause *cause)
{
        struct channel *channel = channel_of(transport);
        enum transport_result result = TRANSPORT_DONE;

        *moved = 0;
        if (len == 0)
                return TRANSPORT_DONE;
        ERR_clear_error();
        channel->number = 0;
        if (channel->sealed) /* of the last time: the same bytes again, and perhaps more behind them */
                return let_leave(channel, len, moved, cause);
        channel->gathers = len > SSL3_RT_MAX_PLAIN_LENGTH;
        do {
                size_t written = 0;
                int done =
                        SSL_write_ex(channel->ssl, from + channel->sealed, len - channel->sealed, &written);
                if (done != 1)
                        result = not_moved(channel, done, cause);
                channel->sealed += written;
        } while (result == TRANSPORT_DONE && channel->gathers && channel->sealed < len &&
                 channel_gathers_more(channel));
        channel->gathers = false;
        /* What stopped it, unless it has failed, is met again by the next call. */
        bool leaves = result != TRANSPORT_FAILED && (channel->sealed || channel->gathered_len);
        return leaves ? let_leave(channel, len, moved, cause) : result;
}

static void on_finish(struct transport *transport)
{
        struct channel *channel = channel_of(transport);

        if (!channel->finished || channel->broken)
                return;
        channel->broken = true;
        ERR_clear_error();
        (void)SSL_shutdown(channel->ssl);
        ERR_clear_error();
}

static void channel_free(struct transport *transport)
{
        struct channel *channel = channel_of(transport);

        /* A session freed without close_notify would be marked as not resumable; the decision rests on the
         * certificate, not on how the connection ended. */
        if (channel->finished)
                SSL_set_shutdown(channel->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        SSL_free(channel->ssl);
        SSL_SESSION_free(channel->session);
        collect_free(channel->collected);
        channel_forget_evidence(channel);
        free(channel->ahead);
        channel_drop_gathered(channel);
        free(channel->account);
        free(channel->host);
        free(channel);
}

struct transport *channel_transport(struct channel *channel)
{
        return &channel->transport;
}

/* ---- making one -------------------------------------------------------------------------------------- */

/* The wire form of the one name offered; it lives as long as the process. */
static const char *alpn_name(const char *name)
{
        static const char *const known[] = { "imap", "pop3" };

        for (size_t i = 0; name && i < count_of(known); i++)
                if (strcmp(known[i], name) == 0)
                        return known[i];
        return NULL;
}

/* Reference identity: the name (or address) that the certificate must carry, as RFC 9525 has it. */
static int set_identity(const struct channel *channel)
{
        X509_VERIFY_PARAM *param = SSL_get0_param(channel->ssl);

        X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                                       X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
        X509_VERIFY_PARAM_set_time(param, loop_wall());
        if (X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_SERVER) != 1)
                return -1;
        if (host_is_address(channel->host))
                return X509_VERIFY_PARAM_set1_ip_asc(param, channel->host) == 1 ? 0 : -1;
        return X509_VERIFY_PARAM_set1_host(param, channel->host, 0) == 1 &&
                               SSL_set_tlsext_host_name(channel->ssl, channel->host) == 1
                       ? 0
                       : -1;
}

static int set_up(struct channel *channel, const struct tls_policy *policy, struct cause *cause)
{
        SSL *ssl = channel->ssl;

        SSL_set_app_data(ssl, channel);
        SSL_set_verify(ssl, SSL_VERIFY_PEER, channel_on_verification);
        SSL_set_connect_state(ssl);
        if (policy->legacy_renegotiation)
                (void)SSL_set_options(ssl, SSL_OP_LEGACY_SERVER_CONNECT);
        if (channel_use_wire(channel) < 0 || SSL_set_tlsext_status_type(ssl, TLSEXT_STATUSTYPE_ocsp) != 1)
                return cause_set(cause, CAUSE_INTERNAL, "OpenSSL cannot make a TLS session");
        if (set_identity(channel) < 0)
                return cause_about(cause, CAUSE_INVALID, "hostname",
                                   "\"%s\" is no name that a certificate can carry", channel->host);
        if (channel->alpn) {
                uint8_t wire[16] = { (uint8_t)strlen(channel->alpn) };
                memcpy(wire + 1, channel->alpn, wire[0]);
                if (SSL_set_alpn_protos(ssl, wire, wire[0] + 1u) != 0)
                        return cause_set(cause, CAUSE_INTERNAL, "OpenSSL cannot offer ALPN");
        }
        if (policy->client_certificate && policy->client_certificate[0])
                return keys_use(ssl, policy->client_certificate, cause);
        return 0;
}

/* Called where a server asks for a client certificate and none is set: it gets none, and that is remembered.
 */
static int on_certificate_asked(SSL *ssl, X509 **certificate, EVP_PKEY **key)
{
        struct channel *channel = SSL_get_app_data(ssl);

        (void)certificate;
        (void)key;
        channel->asked = true;
        return 0;
}

static struct transport transport_here(void)
{
        return (struct transport){ .handshake = on_handshake,
                                   .read = on_read,
                                   .write = on_write,
                                   .finish = on_finish,
                                   .free = channel_free };
}

struct channel *channel_accepting(const char *certificate, int fd, struct cause *cause)
{
        SSL *ssl = context_server_ssl(cause);

        if (!ssl)
                return NULL;
        struct channel *channel = new_object(struct channel);
        *channel = (struct channel){ .transport = transport_here(),
                                     .ssl = ssl,
                                     .fd = fd,
                                     .min_version = 12,
                                     .implicit = true,
                                     .account = copy_text(""),
                                     .host = copy_text("a client"),
                                     .staple = "none" };
        SSL_set_app_data(ssl, channel);
        SSL_set_accept_state(ssl);
        if (channel_use_wire(channel) == 0 && keys_use(ssl, certificate, cause) == 0)
                return channel;
        if (!cause_happened(cause))
                cause_set(cause, CAUSE_INTERNAL, "OpenSSL cannot make a TLS session");
        channel_free(&channel->transport);
        return NULL;
}

struct channel *channel_new(const struct tls_policy *policy, int fd, struct cause *cause)
{
        if (!policy->host[0] || policy->host[0] == '.') {
                cause_about(cause, CAUSE_INVALID, "hostname",
                            "a certificate cannot be checked without a host name");
                return NULL;
        }
        SSL *ssl = context_ssl(policy->min_version, channel_on_new_session, cause);
        if (ssl)
                SSL_CTX_set_client_cert_cb(SSL_get_SSL_CTX(ssl), on_certificate_asked);
        if (!ssl)
                return NULL;
        struct channel *channel = new_object(struct channel);
        *channel = (struct channel){
                .transport = transport_here(),
                .ssl = ssl,
                .fd = fd,
                .port = policy->port,
                .min_version = (uint8_t)policy->min_version,
                .account = copy_text(policy->account ? policy->account : ""),
                .host = copy_text(policy->host),
                .alpn = refuses_alpn(policy->host, policy->port) ? NULL : alpn_name(policy->alpn),
                .implicit = policy->implicit,
                .record = policy->record,
                .server_time = policy->server_time,
                .staple = "none",
                .generation = trust_generation(),
                .verdict = { .kind = VERDICT_FAULT },
        };
        if (set_up(channel, policy, cause) < 0) {
                channel_free(&channel->transport);
                return NULL;
        }
        channel_offer_ticket(channel, policy);
        return channel;
}

/* ---- telling --------------------------------------------------------------------------------------- */

bool channel_leaf(const struct channel *channel, struct certificate *out)
{
        X509 *leaf = SSL_get0_peer_certificate(channel->ssl);

        if (leaf)
                certificate_from_x509(leaf, out);
        return leaf != NULL;
}

void channel_info(const struct channel *channel, struct channel_info *out)
{
        SSL *ssl = channel->ssl;
        struct certificate leaf;
        int group = (int)SSL_get_negotiated_group(ssl);
        const char *group_name = group ? SSL_group_to_name(ssl, group) : NULL;
        const char *by = channel->judged ? verdict_verified_by(channel->verdict.kind) : NULL;

        *out = (struct channel_info){ .version = SSL_get_version(ssl),
                                      .cipher = SSL_get_cipher_name(ssl),
                                      .group = group_name ? group_name : "",
                                      .staple = channel->staple,
                                      .verified_by = by ? by : "",
                                      .resumed = SSL_session_reused(ssl) == 1,
                                      .asked_certificate = channel->asked };
        if (!channel_leaf(channel, &leaf))
                return;
        hex_print(leaf.sha256, 32, out->fingerprint);
        hex_print(leaf.key_sha256, 32, out->key_fingerprint);
        out->not_after = leaf.not_after;
        certificate_done(&leaf);
}

void channel_binding(struct channel *channel, struct engine_binding *out)
{
        static const char label[] = "EXPORTER-Channel-Binding";

        *out = (struct engine_binding){ 0 };
        if (channel->finished && SSL_version(channel->ssl) == TLS1_3_VERSION)
                out->present = SSL_export_keying_material(channel->ssl, out->exporter, sizeof out->exporter,
                                                          label, sizeof label - 1, NULL, 0, 0) == 1;
}
