/* SPDX-License-Identifier: MIT */
/*
 * A table from OpenSSL's reasons to a cause, a sentence and a remedy; never a bare code. What is not in the
 * table is told in OpenSSL's own words. Alerts that the peer sent are reasons too (1000 + number).
 */
#include "daemon/tls/handshake.h"

#include "common/printable.h"
#include "daemon/tls/collect.h"
#include "daemon/tls/context.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/sslerr.h>

enum { RECORD_ALERT = 21, RECORD_HANDSHAKE = 22 };

static const char weak_server[] =
        "the server's operator must give it stronger parameters; only where that cannot be, "
        "lower minTlsVersion";
static const char client_certificate[] = "set clientCertificate to one that this server accepts";

static const struct reason_row {
        int reason;
        enum cause_code code;
        const char *text;
        const char *remedy; /* NULL: the code's own */
        bool tell_offer;
} rows[] = {
        { SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, CAUSE_TLS_VERSION,
          "the server refused every TLS version offered", NULL, true },
        { SSL_R_UNSUPPORTED_PROTOCOL, CAUSE_TLS_VERSION, "the server speaks none of the TLS versions offered",
          NULL, true },
        { SSL_R_WRONG_SSL_VERSION, CAUSE_TLS_VERSION, "the server speaks none of the TLS versions offered",
          NULL, true },
        { SSL_R_VERSION_TOO_LOW, CAUSE_TLS_VERSION, "the server speaks none of the TLS versions offered",
          NULL, true },
        { SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE, CAUSE_TLS_VERSION,
          "the server found no cipher or parameter in common", NULL, true },
        { SSL_R_TLSV1_ALERT_INSUFFICIENT_SECURITY, CAUSE_TLS_VERSION,
          "the server demands stronger ciphers than are offered", NULL, true },
        { SSL_R_NO_CIPHERS_AVAILABLE, CAUSE_TLS_VERSION, "there is no cipher to offer", NULL, true },
        { SSL_R_WRONG_CIPHER_RETURNED, CAUSE_TLS_VERSION, "the server chose a cipher that was not offered",
          NULL, true },
        { SSL_R_UNKNOWN_CIPHER_RETURNED, CAUSE_TLS_VERSION, "the server chose a cipher that was not offered",
          NULL, true },
        { SSL_R_WRONG_SIGNATURE_TYPE, CAUSE_TLS_VERSION,
          "the server signs with an algorithm that was not offered", NULL, true },
        { SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, CAUSE_TLS_VERSION,
          "there is no signature algorithm in common", NULL, true },
        { SSL_R_INAPPROPRIATE_FALLBACK, CAUSE_TLS_VERSION, "the server saw a downgrade of the TLS version",
          NULL, true },
        { SSL_R_TLSV1_ALERT_INAPPROPRIATE_FALLBACK, CAUSE_TLS_VERSION,
          "the server saw a downgrade of the TLS version", NULL, true },
        { SSL_R_UNSAFE_LEGACY_RENEGOTIATION_DISABLED, CAUSE_TLS,
          "the server does not know secure renegotiation (RFC 5746)",
          "the server's operator must renew its TLS; only where that cannot be: emailsecctl account set NAME "
          "allowLegacyRenegotiation=true",
          false },
        { SSL_R_DH_KEY_TOO_SMALL, CAUSE_TLS, "the server's Diffie-Hellman parameters are too short",
          weak_server, false },
        { SSL_R_EE_KEY_TOO_SMALL, CAUSE_CERTIFICATE, "the key of the server's certificate is too short", NULL,
          false },
        { SSL_R_CA_KEY_TOO_SMALL, CAUSE_CERTIFICATE, "the key of the certificate's issuer is too short", NULL,
          false },
        { SSL_R_CA_MD_TOO_WEAK, CAUSE_CERTIFICATE,
          "the server's certificate is signed with too weak a digest", NULL, false },
        { SSL_R_BAD_ECPOINT, CAUSE_TLS, "the server's key exchange is malformed", NULL, false },
        { SSL_R_BAD_SIGNATURE, CAUSE_TLS, "the server could not prove that it holds the certificate's key",
          "check who answers there", false },
        { SSL_R_CERT_LENGTH_MISMATCH, CAUSE_CERTIFICATE, "the server's certificate is malformed", NULL,
          false },
        { SSL_R_EXCESSIVE_MESSAGE_SIZE, CAUSE_TLS, "the server's certificates are larger than can be right",
          NULL, false },
        { SSL_R_UNABLE_TO_FIND_PUBLIC_KEY_PARAMETERS, CAUSE_CERTIFICATE,
          "the key of the server's certificate is malformed", NULL, false },
        { SSL_R_UNKNOWN_CERTIFICATE_TYPE, CAUSE_CERTIFICATE,
          "the server's certificate has a key of an unknown kind", NULL, false },
        { SSL_R_WRONG_CERTIFICATE_TYPE, CAUSE_CERTIFICATE,
          "the server's certificate does not fit the cipher it chose", NULL, false },
        { SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, CAUSE_TLS, "the server demands a client certificate",
          client_certificate, false },
        { SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, CAUSE_TLS, "the server refused our client certificate",
          client_certificate, false },
        { SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE, CAUSE_TLS, "the server refused our client certificate",
          client_certificate, false },
        { SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED, CAUSE_TLS, "the server refused our client certificate",
          client_certificate, false },
        { SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, CAUSE_TLS,
          "the server refused our client certificate as expired", client_certificate, false },
        { SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, CAUSE_TLS, "the server refused our client certificate",
          client_certificate, false },
        { SSL_R_TLSV1_ALERT_UNKNOWN_CA, CAUSE_TLS,
          "the server does not know the issuer of our client certificate", client_certificate, false },
        { SSL_R_TLSV1_ALERT_ACCESS_DENIED, CAUSE_TLS, "the server refused this client", client_certificate,
          false },
        { SSL_R_TLSV1_UNRECOGNIZED_NAME, CAUSE_TLS, "the server does not answer to this host name",
          "set hostname to a name that the server knows", false },
        { SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL, CAUSE_TLS,
          "the server does not know the ALPN name offered", NULL, false },
        { SSL_R_TLSV1_ALERT_INTERNAL_ERROR, CAUSE_TLS, "the server reported an error of its own", NULL,
          false },
        { SSL_R_TLSV1_ALERT_DECODE_ERROR, CAUSE_TLS, "the server did not understand the handshake", NULL,
          false },
        { SSL_R_SSLV3_ALERT_UNEXPECTED_MESSAGE, CAUSE_TLS, "the server did not understand the handshake",
          NULL, false },
        { SSL_R_SSLV3_ALERT_ILLEGAL_PARAMETER, CAUSE_TLS, "the server did not understand the handshake", NULL,
          false },
        { SSL_R_TLSV1_ALERT_USER_CANCELLED, CAUSE_CLOSED, "the server broke off the handshake", NULL, false },
        { SSL_R_SSLV3_ALERT_BAD_RECORD_MAC, CAUSE_TLS, "the server received damaged bytes",
          "check the network on the way", false },
        { SSL_R_TLSV1_ALERT_DECRYPT_ERROR, CAUSE_TLS, "the server received damaged bytes",
          "check the network on the way", false },
        { SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC, CAUSE_TLS, "damaged bytes were received",
          "check the network on the way", false },
        { SSL_R_UNEXPECTED_MESSAGE, CAUSE_TLS, "the server broke the order of the handshake", NULL, false },
        { SSL_R_WRONG_VERSION_NUMBER, CAUSE_TLS_MISMATCH, "the server's answer is not TLS", NULL, false },
        { SSL_R_HTTP_REQUEST, CAUSE_TLS_MISMATCH, "the server's answer is not TLS", NULL, false },
        { SSL_R_PACKET_LENGTH_TOO_LONG, CAUSE_TLS_MISMATCH, "the server's answer is not TLS", NULL, false },
};

/* By the first byte: a TLS record is of type 22 or 21 (RFC 8446, 5.1); mail servers greet in ASCII. */
bool handshake_heard_plain_text(const struct handshake_evidence *evidence)
{
        return evidence->first_len && evidence->first[0] != RECORD_HANDSHAKE &&
               evidence->first[0] != RECORD_ALERT;
}

void handshake_plain_text(const struct handshake_evidence *evidence, struct cause *cause)
{
        char said[64];
        size_t len = 0;

        while (len < evidence->first_len && evidence->first[len] != '\r' && evidence->first[len] != '\n')
                len++;
        printable_copy(said, sizeof said, (const char *)evidence->first, len);
        if (!evidence->implicit) {
                cause_set(cause, CAUSE_TLS_MISMATCH,
                          "the server gave the go-ahead for TLS and then went on in plain text: \"%s\"",
                          said);
                cause_remedy(cause, "someone on the way may be meddling; if the server has TLS from the "
                                    "first byte: emailsecctl account secure NAME ssl");
                return;
        }
        cause_set(cause, CAUSE_TLS_MISMATCH,
                  "port %u answered in plain text (\"%s\"): this server wants useStartTls here, or another "
                  "port",
                  evidence->port, said);
}

/* The row of the first error in the queue that has one; NULL otherwise. */
static const struct reason_row *known_reason(unsigned long code)
{
        for (size_t i = 0; ERR_GET_LIB(code) == ERR_LIB_SSL && i < count_of(rows); i++)
                if (rows[i].reason == ERR_GET_REASON(code))
                        return &rows[i];
        return NULL;
}

/* Verification itself broke off (out of memory, malformed beyond collecting). */
static void verification_broke(const SSL *ssl, struct cause *cause)
{
        long code = SSL_get_verify_result(ssl);

        cause_set(cause, CAUSE_CERTIFICATE, "the server's certificate could not be checked: %s",
                  X509_verify_cert_error_string(code));
        cause_remedy(cause, "%s", tls_problem_remedy(PROBLEM_OTHER));
}

/* Empties the queue into a cause; the first error that the table knows counts, then a malformed certificate,
 * then OpenSSL's words for the first. */
static void queue_to_cause(const SSL *ssl, int min_version, struct cause *cause)
{
        const struct reason_row *row = NULL;
        unsigned long first = ERR_peek_error(), code = 0;
        bool malformed = false, unverified = false;

        while ((code = ERR_get_error()) != 0) {
                row = row ? row : known_reason(code);
                malformed =
                        malformed || ERR_GET_LIB(code) == ERR_LIB_ASN1 || ERR_GET_LIB(code) == ERR_LIB_X509;
                unverified = unverified || (ERR_GET_LIB(code) == ERR_LIB_SSL &&
                                            ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED);
        }
        if (row) {
                cause_set(cause, row->code, "%s%s%s%s", row->text, row->tell_offer ? " (" : "",
                          row->tell_offer ? context_offer(min_version) : "", row->tell_offer ? ")" : "");
                if (row->remedy)
                        cause_remedy(cause, "%s", row->remedy);
        } else if (unverified) {
                verification_broke(ssl, cause);
        } else if (malformed) {
                cause_set(cause, CAUSE_CERTIFICATE, "the server's certificate is malformed");
        } else {
                const char *words = ERR_reason_error_string(first);
                cause_set(cause, CAUSE_TLS, "TLS failed: %s",
                          words ? words : "for a reason that OpenSSL does not name");
        }
}

/* The connection itself broke; true when that was it. */
static bool connection_broke(int error, int number, const char *end, struct cause *cause)
{
        unsigned long code = ERR_peek_error();
        bool cut = ERR_GET_LIB(code) == ERR_LIB_SSL &&
                   ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING;

        if (!cut && (error != SSL_ERROR_SYSCALL || code != 0))
                return false;
        ERR_clear_error();
        if (cut || number == 0)
                cause_set(cause, CAUSE_CLOSED, "%s", end);
        else
                cause_set(cause, CAUSE_CLOSED, "the connection broke: %s", strerror(number));
        return true;
}

/* Empties OpenSSL's queue of errors, which is the thread's and not the session's: what is left in it would
 * be blamed on the next one. */
void handshake_failed(const struct handshake_evidence *evidence, const SSL *ssl, int error, int number,
                      struct cause *cause)
{
        if (connection_broke(error, number, "the server closed the connection during the TLS handshake",
                             cause)) {
                if (evidence->implicit)
                        cause_remedy(
                                cause,
                                "if it stays so, check that port %u of %s is one for TLS from the first byte",
                                evidence->port, evidence->host);
                return;
        }
        queue_to_cause(ssl, evidence->min_version, cause);
}

/* After the handshake this alert is how a server takes it that we do not renegotiate. */
static bool broke_off(void)
{
        unsigned long code = ERR_peek_error();

        return ERR_GET_LIB(code) == ERR_LIB_SSL &&
               ERR_GET_REASON(code) == SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE;
}

/* An alert that the server sent; whatever else is in the queue was found out here. */
static bool said_by_server(unsigned long code)
{
        return ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) >= SSL_AD_REASON_OFFSET &&
               ERR_GET_REASON(code) != SSL_R_SSLV3_ALERT_BAD_RECORD_MAC;
}

/* The handshake was right, so nothing of the settings is wrong: what follows may be damaged on its way, once.
 */
static void broken_within(struct cause *cause)
{
        unsigned long code = ERR_peek_error();
        const char *words = ERR_reason_error_string(code);

        if (ERR_GET_REASON(code) == SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC)
                words = "damaged bytes were received";
        else if (ERR_GET_REASON(code) == SSL_R_SSLV3_ALERT_BAD_RECORD_MAC)
                words = "the server received damaged bytes";
        cause_set(cause, CAUSE_PROTOCOL, "TLS broke in the middle of the session: %s",
                  words ? words : "for a reason that OpenSSL does not name");
        cause_remedy(cause, "check the network on the way, where somebody may be meddling, and the server");
        ERR_clear_error();
}

/* After the handshake. A connection that ends without close_notify is cut off, never an orderly end: what
 * came last may be half a message (RFC 8446, 6.1). */
void channel_failed(const SSL *ssl, int error, int number, struct cause *cause)
{
        if (connection_broke(error, number, "the connection was cut off (no close_notify)", cause))
                return;
        if (!said_by_server(ERR_peek_error())) {
                broken_within(cause);
                return;
        }
        if (!broke_off()) {
                queue_to_cause(ssl, 12, cause);
                return;
        }
        ERR_clear_error();
        cause_set(cause, CAUSE_TLS,
                  "the server broke TLS off in the middle of the session: it may want to renegotiate, "
                  "which is refused");
}

void channel_flooded(struct cause *cause)
{
        cause_set(cause, CAUSE_TLS, "the server sends TLS records without end that carry nothing");
        cause_remedy(
                cause,
                "this is no way in which a mail server behaves: check who answers there; someone on the way "
                "may be meddling");
}

bool handshake_refused_alpn(void)
{
        unsigned long code = ERR_peek_error();

        return ERR_GET_LIB(code) == ERR_LIB_SSL &&
               ERR_GET_REASON(code) == SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL;
}
