/* SPDX-License-Identifier: MIT */
/*
 * Channels against an OpenSSL server in the same thread, over a socket pair: every certificate case with its
 * exact problems and verdict, failures in words, truncation, staples, revocation lists, tickets.
 */
#include "common/limits.h"
#include "daemon/tls/allowed.h"
#include "daemon/tls/channel.c"
#include "daemon/tls/tickets.h"
#include "daemon/tls/x509.h"
#include "pki.h"
#include "state_folder.h"

#include <fcntl.h>
#include <openssl/ocsp.h>
#include <pthread.h>
#include <signal.h>

#define BIT(problem) (1u << (problem))

/* ---- the world: a system root, an imported root, an imported intermediate, an unknown root --------- */

static struct pki root, intermediate, user_root, user_intermediate, stranger, stranger_intermediate,
        user_leaf;
static struct trust_settings settings;
static char *system_file, *list_folder;

static void write_user_anchor(const struct pki *pki)
{
        uint8_t sha256[32];
        char digits[65], name[96], *pem = pki_pem(pki);

        x509_digest(pki->x509, sha256);
        hex_print(sha256, 32, digits);
        (void)snprintf(name, sizeof name, "trust/%s.pem", digits);
        folder_write(name, pem, strlen(pem));
        free(pem);
}

static void make_anchors(void)
{
        root = pki_make(&(struct pki_spec){ .cn = "System Root", .ca = true });
        intermediate =
                pki_make(&(struct pki_spec){ .cn = "System Intermediate", .ca = true, .issuer = &root });
        user_root = pki_make(&(struct pki_spec){ .cn = "Plant Root", .ca = true });
        stranger = pki_make(&(struct pki_spec){ .cn = "Stranger Root", .ca = true });
        stranger_intermediate = pki_make(
                &(struct pki_spec){ .cn = "Stranger Intermediate", .ca = true, .issuer = &stranger });
        user_intermediate =
                pki_make(&(struct pki_spec){ .cn = "Plant Intermediate", .ca = true, .issuer = &stranger });
        user_leaf = pki_make(&(struct pki_spec){ .cn = "panel", .san = "DNS:mail.example" });
}

static void setup(void)
{
        struct cause cause = { 0 };
        char *trust = NULL;

        (void)signal(SIGPIPE, SIG_IGN);
        folder_open();
        make_anchors();
        char *pem = pki_pem(&root);
        folder_write("system.pem", pem, strlen(pem));
        free(pem);
        trust = folder_path("trust");
        ck_assert_int_eq(mkdir(trust, 0700), 0);
        free(trust);
        write_user_anchor(&user_root);
        write_user_anchor(&user_intermediate);
        write_user_anchor(&user_leaf);
        system_file = folder_path("system.pem");
        list_folder = folder_path("lists");
        ck_assert_int_eq(mkdir(list_folder, 0700), 0);
        settings = (struct trust_settings){ .state_directory = state_folder, .system_store = system_file };
        ck_assert_msg(trust_open(&settings, &cause) == 0, "%s", cause.text);
        ck_assert_msg(allowed_open(state_folder, &cause) == 0, "%s", cause.text);
}

static void teardown(void)
{
        struct pki *all[] = { &root,     &intermediate,          &user_root, &user_intermediate,
                              &stranger, &stranger_intermediate, &user_leaf };

        allowed_close();
        trust_close();
        for (size_t i = 0; i < count_of(all); i++)
                pki_free(all[i]);
        free(system_file);
        free(list_folder);
        folder_close();
}

/* ---- the server ------------------------------------------------------------------------------------ */

struct server {
        const struct pki *leaf;
        const struct pki *chain[3];
        int max_version; /* 0: TLS 1.3 */
        bool refuse_alpn, demand_client;
        const uint8_t *staple;
        size_t staple_len;
        SSL_CTX *context;
        SSL *ssl;
        int fd, client_fd;
};

static int give_staple(SSL *ssl, void *arg)
{
        struct server *server = arg;

        if (!server->staple)
                return SSL_TLSEXT_ERR_NOACK;
        uint8_t *copy = OPENSSL_memdup(server->staple, server->staple_len);
        SSL_set_tlsext_status_ocsp_resp(ssl, copy, (int)server->staple_len);
        return SSL_TLSEXT_ERR_OK;
}

static int refuse_alpn(SSL *ssl, const unsigned char **out, unsigned char *len, const unsigned char *in,
                       unsigned in_len, void *arg)
{
        (void)ssl;
        (void)out;
        (void)len;
        (void)in;
        (void)in_len;
        (void)arg;
        return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* Any client certificate will do, but there must be one. */
static int accept_any(int good, X509_STORE_CTX *verification)
{
        (void)good;
        (void)verification;
        return 1;
}

static void server_context(struct server *server)
{
        server->context = SSL_CTX_new(TLS_server_method());
        SSL_CTX_set_security_level(server->context, 0);
        ck_assert_int_eq(SSL_CTX_set_cipher_list(server->context, "ALL:@SECLEVEL=0"), 1);
        ck_assert_int_eq(SSL_CTX_set_min_proto_version(server->context, TLS1_VERSION), 1);
        if (server->max_version)
                ck_assert_int_eq(SSL_CTX_set_max_proto_version(server->context, server->max_version), 1);
        if (server->refuse_alpn)
                SSL_CTX_set_alpn_select_cb(server->context, refuse_alpn, NULL);
        if (server->demand_client)
                SSL_CTX_set_verify(server->context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                                   accept_any);
        SSL_CTX_set_session_id_context(server->context, (const unsigned char *)"t", 1);
        SSL_CTX_set_tlsext_status_cb(server->context, give_staple);
        SSL_CTX_set_tlsext_status_arg(server->context, server);
        ck_assert_int_eq(SSL_CTX_use_certificate(server->context, server->leaf->x509), 1);
        ck_assert_int_eq(SSL_CTX_use_PrivateKey(server->context, server->leaf->key), 1);
        for (size_t i = 0; i < count_of(server->chain) && server->chain[i]; i++)
                ck_assert_int_eq(SSL_CTX_add1_chain_cert(server->context, server->chain[i]->x509), 1);
}

static void socket_pair(int *mine, int *other)
{
        int fds[2];

        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
        *mine = fds[0];
        *other = fds[1];
}

/* A new connection to the same server (its tickets stay good). */
static void server_accept(struct server *server)
{
        if (!server->context)
                server_context(server);
        socket_pair(&server->fd, &server->client_fd);
        server->ssl = SSL_new(server->context);
        SSL_set_fd(server->ssl, server->fd);
        SSL_set_accept_state(server->ssl);
}

static void server_hang_up(struct server *server)
{
        SSL_free(take(server->ssl));
        close_fd(&server->fd);
        close_fd(&server->client_fd);
}

static void server_done(struct server *server)
{
        SSL_CTX_free(server->context);
        server->context = NULL;
}

/* ---- the meeting ------------------------------------------------------------------------------------- */

static struct tls_policy policy_for(const char *host)
{
        return (struct tls_policy){ .account = "out",
                                    .host = host,
                                    .port = 465,
                                    .min_version = 12,
                                    .implicit = true,
                                    .record = true };
}

/* Both sides by turns; how the client's handshake ended. */
static enum transport_result shake_hands(struct transport *client, struct server *server, struct cause *cause)
{
        enum transport_result result = TRANSPORT_WANT_READ;

        for (int turn = 0; turn < 50 && (result == TRANSPORT_WANT_READ || result == TRANSPORT_WANT_WRITE);
             turn++) {
                client->taken = 0;
                result = client->handshake(client, cause);
                if (server->ssl && !SSL_is_init_finished(server->ssl))
                        (void)SSL_do_handshake(server->ssl);
        }
        if (server->ssl && !SSL_is_init_finished(server->ssl))
                (void)SSL_do_handshake(server->ssl);
        ERR_clear_error();
        return result;
}

struct outcome {
        enum transport_result result;
        struct cause cause; /* of a failed handshake */
        struct verdict verdict;
        struct channel_info info;
        char first_error[200];
};

/* One byte each way after the handshake; TLS 1.3 tickets arrive with it. */
static void exchange(struct transport *client, struct server *server)
{
        struct cause cause = { 0 };
        uint8_t bytes[64];
        size_t moved = 0;

        ck_assert_int_eq(client->write(client, (const uint8_t *)"hello", 5, &moved, &cause), TRANSPORT_DONE);
        ck_assert_uint_eq(moved, 5);
        ck_assert_int_eq(SSL_read_ex(server->ssl, bytes, sizeof bytes, &moved), 1);
        ck_assert_mem_eq(bytes, "hello", 5);
        ck_assert_int_eq(client->read(client, bytes, sizeof bytes, &moved, &cause), TRANSPORT_WANT_READ);
        ck_assert_int_eq(SSL_write_ex(server->ssl, "there", 5, &moved), 1);
        ck_assert_int_eq(client->read(client, bytes, sizeof bytes, &moved, &cause), TRANSPORT_DONE);
        ck_assert_mem_eq(bytes, "there", 5);
}

static struct outcome meet_as(const struct tls_policy *policy, struct server *server)
{
        struct outcome out = { 0 };

        server_accept(server);
        struct channel *channel = channel_new(policy, server->client_fd, &out.cause);
        ck_assert_msg(channel != NULL, "%s", out.cause.text);
        struct transport *client = channel_transport(channel);
        out.result = shake_hands(client, server, &out.cause);
        if (out.result == TRANSPORT_DONE) {
                const struct tls_evidence *evidence = channel_evidence(channel);
                if (evidence->error_count)
                        memcpy(out.first_error, evidence->errors[0].text, sizeof out.first_error);
                channel_verdict(channel, &out.verdict);
                channel_info(channel, &out.info);
                if (verdict_is_good(&out.verdict))
                        exchange(client, server);
                client->finish(client);
        }
        client->free(client);
        server_hang_up(server);
        loop_turn();
        return out;
}

static struct outcome meet(const char *host, struct server *server)
{
        struct tls_policy policy = policy_for(host);
        struct outcome out = meet_as(&policy, server);

        server_done(server);
        return out;
}

/* ---- certificate cases --------------------------------------------------------------------------------- */

enum issuer { SELF, ROOT, INTERMEDIATE, USER_ROOT, USER_INTERMEDIATE, STRANGER, STRANGER_INTERMEDIATE };
static const struct pki *const issuers[] = {
        NULL, &root, &intermediate, &user_root, &user_intermediate, &stranger, &stranger_intermediate
};

static const struct certificate_case {
        const char *what, *host, *san;
        enum issuer issuer;
        enum issuer sent[2]; /* besides the leaf; SELF: none */
        long from_days, to_days;
        const char *purpose, *extra_name, *extra_value;
        int rsa_bits;
        enum verdict_kind kind;
        uint32_t problems;
        const char *words; /* in the first error */
} cases[] = {
        { .what = "good",
          .host = "mail.example",
          .san = "DNS:mail.example",
          .issuer = ROOT,
          .kind = VERDICT_SYSTEM },
        { .what = "good through an intermediate",
          .host = "mail.example",
          .san = "DNS:mail.example",
          .issuer = INTERMEDIATE,
          .sent = { INTERMEDIATE },
          .kind = VERDICT_SYSTEM },
        { .what = "root sent too",
          .host = "mail.example",
          .san = "DNS:mail.example",
          .issuer = INTERMEDIATE,
          .sent = { INTERMEDIATE, ROOT },
          .kind = VERDICT_SYSTEM },
        { .what = "imported root",
          .host = "mail.example",
          .san = "DNS:mail.example",
          .issuer = USER_ROOT,
          .kind = VERDICT_USER },
        { .what = "imported intermediate",
          .host = "mail.example",
          .san = "DNS:mail.example",
          .issuer = USER_INTERMEDIATE,
          .kind = VERDICT_USER },
        { .what = "self-signed",
          .host = "mail.example",
          .san = "DNS:mail.example",
          .issuer = SELF,
          .kind = VERDICT_CHALLENGE,
          .problems = BIT(PROBLEM_SELF_SIGNED),
          .words = "is self-signed" },
        { .what = "unknown issuer",
          .host = "mail.example",
          .san = "DNS:mail.example",
          .issuer = STRANGER,
          .kind = VERDICT_CHALLENGE,
          .problems = BIT(PROBLEM_UNKNOWN_ISSUER),
          .words = "issuer \"Stranger Root\" is in no trust store" },
        { .what = "unknown root sent",
          .host = "mail.example",
          .san = "DNS:mail.example",
          .issuer = STRANGER,
          .sent = { STRANGER },
          .kind = VERDICT_CHALLENGE,
          .problems = BIT(PROBLEM_UNKNOWN_ISSUER),
          .words = "issuer \"Stranger Root\" is in no trust store" },
        { .what = "unknown root through an intermediate",
          .host = "mail.example",
          .san = "DNS:mail.example",
          .issuer = STRANGER_INTERMEDIATE,
          .sent = { STRANGER_INTERMEDIATE },
          .kind = VERDICT_CHALLENGE,
          .problems = BIT(PROBLEM_UNKNOWN_ISSUER),
          .words = "issuer \"Stranger Root\"" },
        { .what = "missing intermediate",
          .host = "mail.example",
          .san = "DNS:mail.example",
          .issuer = INTERMEDIATE,
          .kind = VERDICT_CHALLENGE,
          .problems = BIT(PROBLEM_UNKNOWN_ISSUER),
          .words = "issuer \"System Intermediate\" is in no trust store and was not sent: either the server "
                   "forgot" },
        { .what = "expired",
          .host = "mail.example",
          .san = "DNS:mail.example",
          .issuer = ROOT,
          .from_days = -9,
          .to_days = -1,
          .kind = VERDICT_CHALLENGE,
          .problems = BIT(PROBLEM_EXPIRED),
          .words = "expired at 20" },
        { .what = "not yet valid",
          .host = "mail.example",
          .san = "DNS:mail.example",
          .issuer = ROOT,
          .from_days = 2,
          .to_days = 9,
          .kind = VERDICT_CHALLENGE,
          .problems = BIT(PROBLEM_NOT_YET_VALID),
          .words = "is not valid before 20" },
        { .what = "wrong name",
          .host = "mail.example",
          .san = "DNS:smtp.example,DNS:imap.example",
          .issuer = ROOT,
          .kind = VERDICT_CHALLENGE,
          .problems = BIT(PROBLEM_WRONG_NAME),
          .words = "the certificate is for smtp.example, imap.example, not for \"mail.example\"" },
        { .what = "CN only",
          .host = "leaf",
          .san = NULL,
          .issuer = ROOT,
          .kind = VERDICT_CHALLENGE,
          .problems = BIT(PROBLEM_WRONG_NAME),
          .words = "names no host" },
        { .what = "wildcard",
          .host = "mail.plant.example",
          .san = "DNS:*.plant.example",
          .issuer = ROOT,
          .kind = VERDICT_SYSTEM },
        { .what = "wildcard too deep",
          .host = "a.mail.plant.example",
          .san = "DNS:*.plant.example",
          .issuer = ROOT,
          .kind = VERDICT_CHALLENGE,
          .problems = BIT(PROBLEM_WRONG_NAME) },
        { .what = "partial wildcard",
          .host = "mail.plant.example",
          .san = "DNS:m*.plant.example",
          .issuer = ROOT,
          .kind = VERDICT_CHALLENGE,
          .problems = BIT(PROBLEM_WRONG_NAME) },
        { .what = "IDN as A-label",
          .host = "xn--bcher-kva.example",
          .san = "DNS:xn--bcher-kva.example",
          .issuer = ROOT,
          .kind = VERDICT_SYSTEM },
        { .what = "IP SAN",
          .host = "127.0.0.1",
          .san = "IP:127.0.0.1",
          .issuer = ROOT,
          .kind = VERDICT_SYSTEM },
        { .what = "IPv6 SAN", .host = "::1", .san = "IP:::1", .issuer = ROOT, .kind = VERDICT_SYSTEM },
        { .what = "IP as DNS name",
          .host = "127.0.0.1",
          .san = "DNS:127.0.0.1",
          .issuer = ROOT,
          .kind = VERDICT_CHALLENGE,
          .problems = BIT(PROBLEM_WRONG_NAME) },
        { .what = "client purpose",
          .host = "mail.example",
          .san = "DNS:mail.example",
          .issuer = ROOT,
          .purpose = "clientAuth",
          .kind = VERDICT_FAULT,
          .problems = BIT(PROBLEM_PURPOSE),
          .words = "not made for a TLS server" },
        { .what = "RSA 1024",
          .host = "mail.example",
          .san = "DNS:mail.example",
          .issuer = ROOT,
          .rsa_bits = 1024,
          .kind = VERDICT_FAULT,
          .problems = BIT(PROBLEM_WEAK),
          .words = "RSA key of 1024 bits" },
        { .what = "must-staple without a staple",
          .host = "mail.example",
          .san = "DNS:mail.example",
          .issuer = ROOT,
          .extra_name = "tlsfeature",
          .extra_value = "status_request",
          .kind = VERDICT_FAULT,
          .problems = BIT(PROBLEM_STAPLE),
          .words = "demands a stapled OCSP answer" },
        { .what = "everything a person may accept",
          .host = "mail.example",
          .san = "DNS:other.example",
          .issuer = STRANGER,
          .from_days = -9,
          .to_days = -1,
          .kind = VERDICT_CHALLENGE,
          .problems = BIT(PROBLEM_UNKNOWN_ISSUER) | BIT(PROBLEM_WRONG_NAME) | BIT(PROBLEM_EXPIRED) },
        { .what = "self-signed, expired",
          .host = "mail.example",
          .san = "DNS:mail.example",
          .issuer = SELF,
          .from_days = -9,
          .to_days = -1,
          .kind = VERDICT_CHALLENGE,
          .problems = BIT(PROBLEM_SELF_SIGNED) | BIT(PROBLEM_EXPIRED) },
};

START_TEST(certificates)
{
        const struct certificate_case *c = &cases[_i];
        struct pki leaf = pki_make(&(struct pki_spec){ .cn = "leaf",
                                                       .san = c->san,
                                                       .issuer = issuers[c->issuer],
                                                       .from_days = c->from_days,
                                                       .to_days = c->to_days,
                                                       .purpose = c->purpose,
                                                       .extra_name = c->extra_name,
                                                       .extra_value = c->extra_value,
                                                       .rsa_bits = c->rsa_bits });

        for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
                struct server server = { .leaf = &leaf, .max_version = version };
                for (size_t i = 0; i < count_of(c->sent); i++)
                        server.chain[i] = issuers[c->sent[i]];
                struct outcome out = meet(c->host, &server);
                ck_assert_msg(out.result == TRANSPORT_DONE, "%s: %s", c->what, out.cause.text);
                ck_assert_msg(out.verdict.kind == c->kind, "%s: %d %s", c->what, (int)out.verdict.kind,
                              out.verdict.cause.text);
                ck_assert_msg(out.verdict.errors == c->problems, "%s: %x %s", c->what, out.verdict.errors,
                              out.verdict.cause.text);
                ck_assert_msg(!c->words || strstr(out.first_error, c->words), "%s: %s", c->what,
                              out.first_error);
                ck_assert(out.verdict.kind != VERDICT_CHALLENGE || out.verdict.allowed_id[0]);
        }
        pki_free(&leaf);
}
END_TEST

START_TEST(imported_self_signed_server)
{
        struct server server = { .leaf = &user_leaf };

        ck_assert_int_eq(meet("mail.example", &server).verdict.kind, VERDICT_USER);
        struct outcome out = meet("other.example", &server);
        ck_assert_uint_eq(out.verdict.errors, BIT(PROBLEM_WRONG_NAME));
}
END_TEST

/* A leaf under issuers with one defect each. */
START_TEST(defective_issuers)
{
        struct pki plain = pki_make(&(struct pki_spec){ .cn = "plain", .san = "DNS:plain", .issuer = &root });
        struct pki short_path = pki_make(&(struct pki_spec){ .cn = "Short",
                                                             .issuer = &root,
                                                             .extra_name = "basicConstraints",
                                                             .extra_value = "critical,CA:TRUE,pathlen:0" });
        struct pki below = pki_make(&(struct pki_spec){ .cn = "Below", .ca = true, .issuer = &short_path });
        struct pki named = pki_make(&(struct pki_spec){ .cn = "Named",
                                                        .ca = true,
                                                        .issuer = &root,
                                                        .extra_name = "nameConstraints",
                                                        .extra_value = "permitted;DNS:inside.example" });
        struct pki old = pki_make(&(struct pki_spec){
                .cn = "Old", .ca = true, .issuer = &root, .from_days = -9, .to_days = -1 });
        const struct {
                const char *what;
                const struct pki *issuer, *above;
                uint32_t problems;
        } defects[] = {
                { "leaf as issuer", &plain, NULL, BIT(PROBLEM_PURPOSE) },
                { "name constraints", &named, NULL, BIT(PROBLEM_PURPOSE) },
                { "expired issuer", &old, NULL, BIT(PROBLEM_EXPIRED) },
                { "path length", &below, &short_path, BIT(PROBLEM_PURPOSE) },
        };

        for (size_t i = 0; i < count_of(defects); i++) {
                struct pki leaf = pki_make(&(struct pki_spec){
                        .cn = "leaf", .san = "DNS:mail.example", .issuer = defects[i].issuer });
                struct server server = { .leaf = &leaf, .chain = { defects[i].issuer, defects[i].above } };
                struct outcome out = meet("mail.example", &server);
                ck_assert_msg((out.verdict.errors & defects[i].problems) == defects[i].problems, "%s: %x %s",
                              defects[i].what, out.verdict.errors, out.verdict.cause.text);
                ck_assert_int_eq(out.verdict.kind, defects[i].problems == BIT(PROBLEM_EXPIRED)
                                                           ? VERDICT_CHALLENGE
                                                           : VERDICT_FAULT);
                pki_free(&leaf);
        }
        pki_free(&plain);
        pki_free(&short_path);
        pki_free(&below);
        pki_free(&named);
        pki_free(&old);
}
END_TEST

START_TEST(weak_and_broken_signatures)
{
        const EVP_MD *digests[] = { EVP_sha1(), EVP_md5() };
        struct pki rsa = pki_make(&(struct pki_spec){ .cn = "RSA Root", .ca = true, .rsa_bits = 2048 });
        struct cause cause = { 0 };

        write_user_anchor(&rsa);
        ck_assert_int_eq(trust_reload(&settings, &cause), 0);
        for (size_t i = 0; i < count_of(digests); i++) {
                struct pki leaf = pki_make(&(struct pki_spec){
                        .cn = "leaf", .san = "DNS:mail.example", .issuer = &rsa, .digest = digests[i] });
                struct server server = { .leaf = &leaf };
                struct outcome out = meet("mail.example", &server);
                ck_assert_int_eq(out.verdict.kind, VERDICT_FAULT);
                ck_assert_uint_eq(out.verdict.errors, BIT(PROBLEM_WEAK));
                ck_assert_ptr_nonnull(strstr(out.verdict.cause.text, "which is too weak"));
                pki_free(&leaf);
        }
        pki_free(&rsa);
        struct pki leaf =
                pki_make(&(struct pki_spec){ .cn = "leaf", .san = "DNS:mail.example", .issuer = &root });
        const ASN1_BIT_STRING *signature = NULL;
        X509_get0_signature(&signature, NULL, leaf.x509);
        signature->data[signature->length - 1] ^= 1;
        struct server server = { .leaf = &leaf };
        struct outcome out = meet("mail.example", &server);
        ck_assert_int_eq(out.verdict.kind, VERDICT_FAULT);
        ck_assert_uint_eq(out.verdict.errors, BIT(PROBLEM_SIGNATURE));
        pki_free(&leaf);
}
END_TEST

/* The same key and name, once expired and sent by the server, once good and in the store. */
START_TEST(expired_root_beside_a_good_one)
{
        struct pki old = pki_make(&(struct pki_spec){
                .cn = "System Root", .ca = true, .key = root.key, .from_days = -9, .to_days = -1 });
        struct pki leaf =
                pki_make(&(struct pki_spec){ .cn = "leaf", .san = "DNS:mail.example", .issuer = &root });
        struct server server = { .leaf = &leaf, .chain = { &old } };

        ck_assert_int_eq(meet("mail.example", &server).verdict.kind, VERDICT_SYSTEM);
        pki_free(&leaf);
        pki_free(&old);
}
END_TEST

START_TEST(poisoned_store)
{
        struct pki leaf =
                pki_make(&(struct pki_spec){ .cn = "leaf", .san = "DNS:mail.example", .issuer = &root });
        struct server server = { .leaf = &leaf };
        struct cause cause = { 0 };

        folder_write("trust/00.pem", "garbage", 7);
        ck_assert_int_eq(trust_reload(&settings, &cause), -1);
        struct outcome out = meet("mail.example", &server);
        ck_assert_int_eq(out.verdict.kind, VERDICT_FAULT);
        ck_assert_int_eq(out.verdict.cause.code, CAUSE_TRUST_STORE);
        pki_free(&leaf);
}
END_TEST

/* ---- revocation ------------------------------------------------------------------------------------------
 */

/* `digest`: of the id of the certificate that it is about; NULL: SHA-1. */
static size_t make_staple(const EVP_MD *digest, const struct pki *leaf, const struct pki *issuer,
                          const struct pki *signer, int status, long age, long next, uint8_t **out)
{
        OCSP_BASICRESP *answer = OCSP_BASICRESP_new();
        OCSP_CERTID *id = OCSP_cert_to_id(digest, leaf->x509, issuer->x509);
        ASN1_TIME *from = X509_gmtime_adj(NULL, -age), *until = X509_gmtime_adj(NULL, next),
                  *revoked = X509_gmtime_adj(NULL, -age);

        ck_assert_ptr_nonnull(OCSP_basic_add1_status(answer, id, status, OCSP_REVOKED_STATUS_KEYCOMPROMISE,
                                                     status == V_OCSP_CERTSTATUS_REVOKED ? revoked : NULL,
                                                     from, until));
        ck_assert_int_eq(OCSP_basic_sign(answer, signer->x509, signer->key, EVP_sha256(), NULL, 0), 1);
        OCSP_RESPONSE *response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, answer);
        *out = NULL;
        int len = i2d_OCSP_RESPONSE(response, out);
        OCSP_RESPONSE_free(response);
        OCSP_BASICRESP_free(answer);
        OCSP_CERTID_free(id);
        ASN1_TIME_free(from);
        ASN1_TIME_free(until);
        ASN1_TIME_free(revoked);
        return (size_t)len;
}

START_TEST(staples)
{
        struct pki leaf =
                pki_make(&(struct pki_spec){ .cn = "leaf", .san = "DNS:mail.example", .issuer = &root });
        struct pki strict = pki_make(&(struct pki_spec){ .cn = "leaf",
                                                         .san = "DNS:mail.example",
                                                         .issuer = &root,
                                                         .extra_name = "tlsfeature",
                                                         .extra_value = "status_request" });
        struct pki appointed =
                pki_make(&(struct pki_spec){ .cn = "OCSP", .issuer = &root, .purpose = "OCSPSigning" });
        struct pki unknown =
                pki_make(&(struct pki_spec){ .cn = "leaf", .san = "DNS:mail.example", .issuer = &stranger });
        const struct {
                const char *word;
                const struct pki *shown, *about, *issuer, *signer;
                int status;
                long age, next;
                uint32_t problems;
        } answers[] = {
                { "good", &leaf, &leaf, &root, &root, V_OCSP_CERTSTATUS_GOOD, 60, 3600, 0 },
                { "good", &strict, &strict, &root, &root, V_OCSP_CERTSTATUS_GOOD, 60, 3600, 0 },
                { "good", &leaf, &leaf, &root, &appointed, V_OCSP_CERTSTATUS_GOOD, 60, 3600, 0 },
                { "revoked", &leaf, &leaf, &root, &root, V_OCSP_CERTSTATUS_REVOKED, 60, 3600,
                  BIT(PROBLEM_REVOKED) },
                { "stale", &leaf, &leaf, &root, &root, V_OCSP_CERTSTATUS_GOOD, 7200, -3600,
                  BIT(PROBLEM_STAPLE) },
                { "stale", &leaf, &leaf, &root, &root, V_OCSP_CERTSTATUS_GOOD, -7200, 9000,
                  BIT(PROBLEM_STAPLE) },
                { "invalid", &leaf, &strict, &root, &root, V_OCSP_CERTSTATUS_GOOD, 60, 3600,
                  BIT(PROBLEM_STAPLE) },
                { "invalid", &leaf, &leaf, &root, &stranger, V_OCSP_CERTSTATUS_GOOD, 60, 3600,
                  BIT(PROBLEM_STAPLE) },
                { "invalid", &leaf, &leaf, &root, &root, V_OCSP_CERTSTATUS_UNKNOWN, 60, 3600,
                  BIT(PROBLEM_STAPLE) },
                { "unchecked", &unknown, &unknown, &stranger, &stranger, V_OCSP_CERTSTATUS_GOOD, 60, 3600,
                  BIT(PROBLEM_UNKNOWN_ISSUER) },
        };

        const EVP_MD *const digests[] = { NULL, EVP_sha256(), EVP_sha384() };
        for (size_t n = 0; n < count_of(answers) * count_of(digests); n++) {
                size_t i = n / count_of(digests);
                uint8_t *staple = NULL;
                struct server server = { .leaf = answers[i].shown };
                server.staple_len = make_staple(digests[n % count_of(digests)], answers[i].about,
                                                answers[i].issuer, answers[i].signer, answers[i].status,
                                                answers[i].age, answers[i].next, &staple);
                server.staple = staple;
                struct outcome out = meet("mail.example", &server);
                ck_assert_msg(out.verdict.errors == answers[i].problems, "%zu: %s", i,
                              out.verdict.cause.text);
                ck_assert_str_eq(out.info.staple, answers[i].word);
                OPENSSL_free(staple);
                tickets_drop_all();
        }
        struct server server = { .leaf = &leaf, .staple = (const uint8_t *)"garbage", .staple_len = 7 };
        ck_assert_uint_eq(meet("mail.example", &server).verdict.errors, BIT(PROBLEM_STAPLE));
        pki_free(&unknown);
        pki_free(&appointed);
        pki_free(&strict);
        pki_free(&leaf);
}
END_TEST

static void write_list(const char *name, const struct pki *issuer, const struct pki *revoked, long until)
{
        X509_CRL *list = X509_CRL_new();
        ASN1_TIME *from = X509_gmtime_adj(NULL, -86400), *next = X509_gmtime_adj(NULL, until);
        uint8_t *der = NULL;

        X509_CRL_set_version(list, X509_CRL_VERSION_2);
        X509_CRL_set_issuer_name(list, X509_get_subject_name(issuer->x509));
        X509_CRL_set1_lastUpdate(list, from);
        X509_CRL_set1_nextUpdate(list, next);
        if (revoked) {
                X509_REVOKED *entry = X509_REVOKED_new();
                X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(revoked->x509));
                X509_REVOKED_set_revocationDate(entry, from);
                X509_CRL_add0_revoked(list, entry);
        }
        ck_assert_int_gt(X509_CRL_sign(list, issuer->key, EVP_sha256()), 0);
        int len = i2d_X509_CRL(list, &der);
        folder_write(name, der, (size_t)len);
        OPENSSL_free(der);
        ASN1_TIME_free(from);
        ASN1_TIME_free(next);
        X509_CRL_free(list);
}

START_TEST(revocation_lists)
{
        struct pki good =
                pki_make(&(struct pki_spec){ .cn = "good", .san = "DNS:mail.example", .issuer = &root });
        struct pki bad =
                pki_make(&(struct pki_spec){ .cn = "bad", .san = "DNS:mail.example", .issuer = &root });
        struct pki user =
                pki_make(&(struct pki_spec){ .cn = "user", .san = "DNS:mail.example", .issuer = &user_root });
        struct server good_server = { .leaf = &good }, bad_server = { .leaf = &bad },
                      user_server = { .leaf = &user };
        struct trust_settings with_lists = settings;
        struct cause cause = { 0 };

        with_lists.revocation_lists = list_folder;
        write_list("lists/root.crl", &root, &bad, 86400);
        ck_assert_msg(trust_reload(&with_lists, &cause) == 0, "%s", cause.text);
        ck_assert_int_eq(meet("mail.example", &good_server).verdict.kind, VERDICT_SYSTEM);
        ck_assert_uint_eq(meet("mail.example", &bad_server).verdict.errors, BIT(PROBLEM_REVOKED));
        /* No list of that issuer: nothing is said against it. */
        ck_assert_int_eq(meet("mail.example", &user_server).verdict.kind, VERDICT_USER);
        write_list("lists/root.crl", &root, NULL, -3600);
        ck_assert_int_eq(trust_reload(&with_lists, &cause), 0);
        ck_assert_uint_eq(meet("mail.example", &good_server).verdict.errors, BIT(PROBLEM_OTHER));
        folder_write("lists/root.crl", "garbage", 7);
        ck_assert_int_eq(trust_reload(&with_lists, &cause), -1);
        pki_free(&user);
        pki_free(&good);
        pki_free(&bad);
}
END_TEST

/* ---- failures in words
 * -------------------------------------------------------------------------------------- */

static struct pki good_leaf(void)
{
        return pki_make(&(struct pki_spec){ .cn = "leaf", .san = "DNS:mail.example", .issuer = &root });
}

/* A peer that says these bytes (NULL: nothing) and closes. */
static struct cause peer_says(const char *words, bool implicit)
{
        struct tls_policy policy = policy_for("mail.example");
        struct server none = { .fd = -1 };
        struct cause cause = { 0 };
        int mine, other;

        socket_pair(&mine, &other);
        policy.implicit = implicit;
        struct channel *channel = channel_new(&policy, mine, &cause);
        ck_assert_ptr_nonnull(channel);
        if (words)
                ck_assert_int_eq(write(other, words, strlen(words)), (ssize_t)strlen(words));
        else
                close_fd(&other);
        ck_assert_int_eq(shake_hands(channel_transport(channel), &none, &cause), TRANSPORT_FAILED);
        channel_transport(channel)->finish(channel_transport(channel));
        channel_transport(channel)->free(channel_transport(channel));
        close_fd(&mine);
        close_fd(&other);
        return cause;
}

START_TEST(plain_text_peer)
{
        struct cause cause = peer_says("220 mail.example ESMTP\r\nmore", true);

        ck_assert_int_eq(cause.code, CAUSE_TLS_MISMATCH);
        ck_assert_str_eq(cause.text, "port 465 answered in plain text (\"220 mail.example ESMTP\"): "
                                     "this server wants useStartTls here, or another port");
        cause = peer_says("* OK \x1b[2Jready\r\n", true);
        ck_assert_ptr_null(strchr(cause.text, 0x1b));
        cause = peer_says("250 go on", false);
        ck_assert_int_eq(cause.code, CAUSE_TLS_MISMATCH);
        ck_assert_ptr_nonnull(strstr(cause.text, "go-ahead"));
}
END_TEST

/* ---- a flight in pieces ---- */

/* What lies in the client's socket, to the server; what the server says to that. */
static size_t server_flight(struct server *server, int client, uint8_t *flight, size_t size)
{
        uint8_t bytes[16384];
        ssize_t got = recv(client, bytes, sizeof bytes, 0);

        ck_assert_int_gt(got, 0);
        ck_assert_int_eq(BIO_write(SSL_get_rbio(server->ssl), bytes, (int)got), (int)got);
        (void)SSL_do_handshake(server->ssl);
        int len = BIO_read(SSL_get_wbio(server->ssl), flight, (int)size);
        ck_assert_int_gt(len, 0);
        return (size_t)len;
}

/* The handshake with the server's flight cut in two at `cut`; the length of the flight. */
static size_t meet_in_two_pieces(struct server *server, size_t cut)
{
        static uint8_t flight[16384];
        struct tls_policy policy = policy_for("mail.example");
        struct cause cause = { 0 };
        int mine, other;

        socket_pair(&mine, &other);
        server->ssl = SSL_new(server->context);
        SSL_set_bio(server->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
        SSL_set_accept_state(server->ssl);
        struct channel *channel = channel_new(&policy, mine, &cause);
        struct transport *client = channel_transport(channel);
        ck_assert_int_eq(client->handshake(client, &cause), TRANSPORT_WANT_READ);
        size_t len = server_flight(server, other, flight, sizeof flight);
        ck_assert_int_eq(send(other, flight, cut, 0), (ssize_t)cut);
        client->taken = 0;
        if (cut < len) {
                ck_assert_msg(client->handshake(client, &cause) == TRANSPORT_WANT_READ, "cut at %zu: %s", cut,
                              cause.text);
                ck_assert_int_eq(send(other, flight + cut, len - cut, 0), (ssize_t)(len - cut));
        }
        client->taken = 0;
        ck_assert_msg(client->handshake(client, &cause) == TRANSPORT_DONE, "cut at %zu: %s", cut, cause.text);
        client->free(client);
        SSL_free(take(server->ssl));
        close_fd(&mine);
        close_fd(&other);
        return len;
}

enum { CUT_STEPS = 8 };

START_TEST(a_flight_cut_anywhere_is_tls)
{
        struct pki leaf =
                pki_make(&(struct pki_spec){ .cn = "leaf", .san = "DNS:mail.example", .issuer = &root });
        struct server server = { .leaf = &leaf };

        server_context(&server);
        SSL_CTX_set_num_tickets(server.context, 0);
        size_t len = 1 + (size_t)_i;
        for (size_t cut = 1 + (size_t)_i; cut <= len; cut += CUT_STEPS)
                len = meet_in_two_pieces(&server, cut); /* signatures differ in length by a byte or two */
        ck_assert_uint_gt(len, 500);
        server_done(&server);
        pki_free(&leaf);
}
END_TEST

/* The server of a race: all of its handshakes, one after the other, on its own thread. */
enum { RACES = 100 };
static int race_fds[RACES];

static void *race_server(void *ctx)
{
        struct server *server = ctx;

        for (size_t i = 0; i < RACES; i++) {
                SSL *ssl = SSL_new(server->context);
                SSL_set_fd(ssl, race_fds[i]);
                (void)SSL_accept(ssl);
                SSL_free(ssl);
        }
        return NULL;
}

START_TEST(bytes_that_come_at_any_moment_are_tls)
{
        struct pki leaf =
                pki_make(&(struct pki_spec){ .cn = "leaf", .san = "DNS:mail.example", .issuer = &root });
        struct server server = { .leaf = &leaf };
        struct tls_policy policy = policy_for("mail.example");
        struct cause cause = { 0 };
        int mine[RACES];
        pthread_t thread;

        server_context(&server);
        for (size_t i = 0; i < RACES; i++) {
                int fds[2];
                ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
                mine[i] = fds[0];
                race_fds[i] = fds[1];
        }
        ck_assert_int_eq(pthread_create(&thread, NULL, race_server, &server), 0);
        for (size_t i = 0; i < RACES; i++) {
                enum transport_result result = TRANSPORT_WANT_READ;
                struct channel *channel = channel_new(&policy, mine[i], &cause);
                struct transport *client = channel_transport(channel);
                while (result ==
                       TRANSPORT_WANT_READ) { /* asks all the time: some bytes come between two looks */
                        client->taken = 0;
                        result = client->handshake(client, &cause);
                }
                ck_assert_msg(result == TRANSPORT_DONE, "handshake %zu: %s", i, cause.text);
                client->free(client);
        }
        ck_assert_int_eq(pthread_join(thread, NULL), 0);
        for (size_t i = 0; i < RACES; i++) {
                close_fd(&mine[i]);
                close_fd(&race_fds[i]);
        }
        server_done(&server);
        pki_free(&leaf);
}
END_TEST

/* ---- floods ---- */

static void fill(int fd, const void *record, size_t len)
{
        for (size_t i = 0; i < 2 * RECORDS_PER_WAKE && send(fd, record, len, MSG_DONTWAIT) == (ssize_t)len;
             i++)
                ;
}

START_TEST(hello_requests_without_end)
{
        static const uint8_t hello_request[] = { 22, 3, 3, 0, 4, 0, 0, 0, 0 };
        struct tls_policy policy = policy_for("mail.example");
        struct cause cause = { 0 };
        enum transport_result result = TRANSPORT_WANT_READ;
        int mine, other, wakes = 0;

        socket_pair(&mine, &other);
        struct channel *channel = channel_new(&policy, mine, &cause);
        struct transport *client = channel_transport(channel);
        while (result == TRANSPORT_WANT_READ && wakes++ < LIMIT_HANDSHAKE_RECORDS) {
                fill(other, hello_request, sizeof hello_request);
                client->taken = 0;
                result = client->handshake(client, &cause);
                ck_assert_uint_le(client->taken, WIRE_PER_WAKE);
        }
        ck_assert_int_eq(result, TRANSPORT_FAILED);
        ck_assert_int_ge(wakes, LIMIT_HANDSHAKE_RECORDS / RECORDS_PER_WAKE);
        ck_assert_int_eq(cause.code, CAUSE_TLS);
        ck_assert_ptr_nonnull(strstr(cause.text, "without end"));
        client->free(client);
        close_fd(&mine);
        close_fd(&other);
}
END_TEST

/* Each round: so many updates, then application data. */
static enum transport_result key_updates(unsigned rounds, unsigned updates, struct cause *cause)
{
        struct pki leaf =
                pki_make(&(struct pki_spec){ .cn = "leaf", .san = "DNS:mail.example", .issuer = &root });
        struct server server = { .leaf = &leaf };
        struct tls_policy policy = policy_for("mail.example");
        struct verdict verdict;
        uint8_t bytes[64];
        size_t moved;
        enum transport_result result = TRANSPORT_WANT_READ;

        server_accept(&server);
        struct channel *channel = channel_new(&policy, server.client_fd, cause);
        struct transport *client = channel_transport(channel);
        ck_assert_int_eq(shake_hands(client, &server, cause), TRANSPORT_DONE);
        channel_verdict(channel, &verdict);
        for (unsigned round = 0; round < rounds; round++) {
                for (unsigned i = 0; i < updates && result == TRANSPORT_WANT_READ; i++) {
                        ck_assert_int_eq(SSL_key_update(server.ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
                        ck_assert_int_eq(SSL_do_handshake(server.ssl), 1);
                        client->taken = 0;
                        result = client->read(client, bytes, sizeof bytes, &moved, cause);
                }
                if (result != TRANSPORT_WANT_READ)
                        break;
                ck_assert_int_eq(SSL_write_ex(server.ssl, "there", 5, &moved), 1);
                ck_assert_int_eq(client->read(client, bytes, sizeof bytes, &moved, cause), TRANSPORT_DONE);
        }
        client->free(client);
        server_hang_up(&server);
        server_done(&server);
        pki_free(&leaf);
        return result;
}

START_TEST(key_updates_without_end)
{
        struct cause cause = { 0 };

        ck_assert_int_eq(key_updates(1, LIMIT_CONTROL_RECORDS + 1, &cause), TRANSPORT_FAILED);
        ck_assert_int_eq(cause.code, CAUSE_TLS);
        ck_assert_ptr_nonnull(strstr(cause.text, "without end"));
        ck_assert_int_eq(key_updates(3, LIMIT_CONTROL_RECORDS / 2, &cause), TRANSPORT_WANT_READ);
}
END_TEST

/* What is read off the socket beforehand is given out in the same portions. */
START_TEST(small_records_take_turns)
{
        enum { RECORDS = 5 * RECORDS_PER_WAKE };
        struct pki leaf =
                pki_make(&(struct pki_spec){ .cn = "leaf", .san = "DNS:mail.example", .issuer = &root });
        struct server server = { .leaf = &leaf };
        struct tls_policy policy = policy_for("mail.example");
        struct verdict verdict;
        struct cause cause = { 0 };
        uint8_t bytes[64], byte;
        size_t moved, got = 0, wakes = 0;

        server_accept(&server);
        struct channel *channel = channel_new(&policy, server.client_fd, &cause);
        struct transport *client = channel_transport(channel);
        ck_assert_int_eq(shake_hands(client, &server, &cause), TRANSPORT_DONE);
        channel_verdict(channel, &verdict);
        for (int i = 0; i < RECORDS; i++)
                ck_assert_int_eq(SSL_write_ex(server.ssl, "record", 6, &moved), 1);
        while (got < RECORDS) {
                size_t before = got;
                client->taken = 0;
                while (client->read(client, bytes, sizeof bytes, &moved, &cause) == TRANSPORT_DONE) {
                        ck_assert_uint_eq(moved, 6);
                        got++;
                }
                ck_assert_uint_le(got - before, RECORDS_PER_WAKE + 1);
                ck_assert_uint_lt(wakes++, RECORDS);
                if (got > RECORDS_PER_WAKE && got < RECORDS)
                        ck_assert(client->holds &&
                                  recv(server.client_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0);
        }
        ck_assert(!client->holds);
        client->free(client);
        server_hang_up(&server);
        server_done(&server);
        pki_free(&leaf);
}
END_TEST

START_TEST(closed_in_handshake)
{
        struct cause cause = peer_says(NULL, true);

        ck_assert_int_eq(cause.code, CAUSE_CLOSED);
        ck_assert_ptr_nonnull(strstr(cause.remedy, "port 465"));
}
END_TEST

START_TEST(old_server)
{
        struct pki leaf = pki_make(&(struct pki_spec){
                .cn = "leaf", .san = "DNS:mail.example", .issuer = &root, .rsa_bits = 2048 });
        struct server server = { .leaf = &leaf, .max_version = TLS1_1_VERSION };
        struct tls_policy policy = policy_for("mail.example");

        struct outcome out = meet_as(&policy, &server);
        ck_assert_int_eq(out.result, TRANSPORT_FAILED);
        ck_assert_msg(out.cause.code == CAUSE_TLS_VERSION, "%s", out.cause.text);
        ck_assert_ptr_nonnull(strstr(out.cause.text, "TLS 1.2 and 1.3"));
        policy.min_version = 10;
        out = meet_as(&policy, &server);
        ck_assert_msg(out.result == TRANSPORT_DONE, "%s", out.cause.text);
        ck_assert_int_eq(out.verdict.kind, VERDICT_SYSTEM);
        ck_assert_str_eq(out.info.version, "TLSv1.1");
        server_done(&server);
        server.max_version = TLS1_2_VERSION;
        policy.min_version = 13;
        out = meet_as(&policy, &server);
        ck_assert_int_eq(out.cause.code, CAUSE_TLS_VERSION);
        server_done(&server);
        pki_free(&leaf);
}
END_TEST

/* A lowered floor lowers the security level of that account too. */
START_TEST(weak_key_with_lowered_floor)
{
        struct pki leaf = pki_make(&(struct pki_spec){
                .cn = "leaf", .san = "DNS:mail.example", .issuer = &root, .rsa_bits = 1024 });
        struct server server = { .leaf = &leaf };
        struct tls_policy policy = policy_for("mail.example");

        policy.min_version = 11;
        ck_assert_int_eq(meet_as(&policy, &server).verdict.kind, VERDICT_SYSTEM);
        server_done(&server);
        pki_free(&leaf);
}
END_TEST

START_TEST(alpn_refused_then_left_out)
{
        struct pki leaf = good_leaf();
        struct server server = { .leaf = &leaf, .refuse_alpn = true };
        struct tls_policy policy = policy_for("mail.example");

        policy.alpn = "imap";
        struct outcome out = meet_as(&policy, &server);
        ck_assert_int_eq(out.result, TRANSPORT_FAILED);
        ck_assert_msg(out.cause.code == CAUSE_CLOSED, "%s", out.cause.text);
        ck_assert_ptr_nonnull(strstr(out.cause.text, "\"imap\""));
        out = meet_as(&policy, &server);
        ck_assert_int_eq(out.verdict.kind, VERDICT_SYSTEM);
        server_done(&server);
        pki_free(&leaf);
}
END_TEST

START_TEST(client_certificate_demanded)
{
        struct pki leaf = good_leaf(), client = pki_make(&(struct pki_spec){ .cn = "station" });
        char *folder = folder_path("keys"), *pem = pki_pem(&client), *key = pki_key_pem(&client);
        char *both = text_of("%s%s", pem, key);
        struct tls_policy policy = policy_for("mail.example");
        struct cause cause = { 0 };

        struct server server = { .leaf = &leaf, .demand_client = true, .max_version = TLS1_2_VERSION };
        struct outcome out = meet_as(&policy, &server);
        ck_assert_int_eq(out.result, TRANSPORT_FAILED);
        ck_assert_int_ne(out.cause.code, CAUSE_NONE);
        ck_assert_int_eq(mkdir(folder, 0700), 0);
        folder_write("keys/box.pem", both, strlen(both));
        folder_write("keys/lone.pem", pem, strlen(pem));
        ck_assert_int_eq(trust_reload(&settings, &cause), 0);
        policy.client_certificate = "box";
        out = meet_as(&policy, &server);
        ck_assert_msg(out.result == TRANSPORT_DONE, "%s", out.cause.text);
        ck_assert_int_eq(out.verdict.kind, VERDICT_SYSTEM);
        static const char *const unusable[] = { "lone", "nobody" };
        for (size_t i = 0; i < count_of(unusable); i++) {
                policy.client_certificate = unusable[i];
                ck_assert_ptr_null(channel_new(&policy, -1, &cause));
                ck_assert_int_eq(cause.code, CAUSE_SECRET);
        }
        server_done(&server);
        free(both);
        free(key);
        free(pem);
        free(folder);
        pki_free(&client);
        pki_free(&leaf);
}
END_TEST

START_TEST(bad_names)
{
        static const char *const names[] = { "", ".example" };

        for (size_t i = 0; i < count_of(names); i++) {
                struct tls_policy policy = policy_for(names[i]);
                struct cause cause = { 0 };
                ck_assert_ptr_null(channel_new(&policy, -1, &cause));
                ck_assert_int_eq(cause.code, CAUSE_INVALID);
        }
}
END_TEST

/* Cut off with and without close_notify. */
START_TEST(the_end)
{
        struct pki leaf = good_leaf();

        for (int orderly = 0; orderly < 2; orderly++) {
                struct server server = { .leaf = &leaf };
                struct tls_policy policy = policy_for("mail.example");
                struct cause cause = { 0 };
                struct verdict verdict;
                uint8_t bytes[16];
                size_t moved = 0;
                server_accept(&server);
                struct channel *channel = channel_new(&policy, server.client_fd, &cause);
                struct transport *client = channel_transport(channel);
                ck_assert_int_eq(shake_hands(client, &server, &cause), TRANSPORT_DONE);
                channel_verdict(channel, &verdict);
                ck_assert(verdict_is_good(&verdict));
                exchange(client, &server);
                if (orderly)
                        (void)SSL_shutdown(server.ssl);
                close_fd(&server.fd);
                enum transport_result result = client->read(client, bytes, sizeof bytes, &moved, &cause);
                ck_assert_int_eq(result, orderly ? TRANSPORT_END : TRANSPORT_FAILED);
                if (!orderly) {
                        ck_assert_int_eq(cause.code, CAUSE_CLOSED);
                        ck_assert_str_eq(cause.text, "the connection was cut off (no close_notify)");
                }
                client->finish(client);
                client->free(client);
                server_hang_up(&server);
                server_done(&server);
        }
        pki_free(&leaf);
}
END_TEST

/* ---- long writes: records are gathered -------------------------------------------------------------------
 */

enum { LONG = 300 * KIB };

/* A client whose socket is soon full, its server, and what each has said and heard. */
struct upload {
        struct pki leaf;
        struct server server;
        struct channel *channel;
        struct transport *client;
        uint8_t text[LONG], heard[LONG + 1];
        size_t told, heard_len; /* told as written; heard by the server */
};

static void set_room(const struct upload *upload, int bytes)
{
        ck_assert_int_eq(setsockopt(upload->server.client_fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes),
                         0);
}

static struct upload *upload_begin(void)
{
        struct upload *upload = new_object(struct upload);
        struct tls_policy policy = policy_for("mail.example");
        struct cause cause = { 0 };
        struct verdict verdict;

        for (size_t i = 0; i < LONG; i++)
                upload->text[i] = (uint8_t)(i * 7 + i / 251);
        upload->leaf = good_leaf();
        upload->server.leaf = &upload->leaf;
        server_accept(&upload->server);
        upload->channel = channel_new(&policy, upload->server.client_fd, &cause);
        upload->client = channel_transport(upload->channel);
        ck_assert_int_eq(shake_hands(upload->client, &upload->server, &cause), TRANSPORT_DONE);
        channel_verdict(upload->channel, &verdict);
        exchange(upload->client, &upload->server);
        set_room(upload, 24 * KIB);
        return upload;
}

static void upload_end(struct upload *upload)
{
        upload->client->free(upload->client);
        server_hang_up(&upload->server);
        server_done(&upload->server);
        pki_free(&upload->leaf);
        free(upload);
}

/* All that has come; whatever was told as written is in it. How OpenSSL calls its end. */
static int upload_hear(struct upload *upload)
{
        size_t got = 0;
        int result;

        while ((result = SSL_read_ex(upload->server.ssl, upload->heard + upload->heard_len,
                                     sizeof upload->heard - upload->heard_len, &got)) == 1)
                upload->heard_len += got;
        ck_assert_uint_ge(upload->heard_len, upload->told);
        ck_assert_mem_eq(upload->heard, upload->text, upload->heard_len);
        return SSL_get_error(upload->server.ssl, result);
}

/* Until the socket takes no more, or all is written: true. */
static bool upload_write(struct upload *upload)
{
        struct cause cause = { 0 };
        size_t moved = 0;

        while (upload->told < LONG) {
                enum transport_result result = upload->client->write(
                        upload->client, upload->text + upload->told, LONG - upload->told, &moved, &cause);
                if (result == TRANSPORT_WANT_WRITE) {
                        ck_assert_uint_eq(moved, 0);
                        return false;
                }
                ck_assert_int_eq(result, TRANSPORT_DONE);
                ck_assert_uint_gt(moved, 0);
                upload->told += moved;
        }
        return true;
}

START_TEST(gathered_records_leave_in_order)
{
        struct upload *upload = upload_begin();
        size_t full = 0, cut = 0;

        for (; !upload_write(upload); full++) {
                cut += upload->channel->gathered_at > 0;
                ck_assert_int_eq(upload_hear(upload), SSL_ERROR_WANT_READ);
        }
        ck_assert_uint_gt(full, 0);
        ck_assert_uint_gt(cut, 0);
        ck_assert_ptr_null(upload->channel->gathered);
        ck_assert_int_eq(upload_hear(upload), SSL_ERROR_WANT_READ);
        ck_assert_uint_eq(upload->heard_len, LONG);
        upload_end(upload);
}
END_TEST

/* What is gathered goes ahead of close_notify; where it cannot leave, that does not either. */
START_TEST(the_end_behind_gathered_records)
{
        for (int full = 0; full < 2; full++) {
                struct upload *upload = upload_begin();
                ck_assert(!upload_write(upload));
                size_t all = upload->told + upload->channel->sealed;
                ck_assert_uint_gt(upload->channel->sealed, 0);
                if (!full)
                        set_room(upload, (int)MIB);
                upload->client->finish(upload->client);
                ck_assert_int_eq(upload_hear(upload), full ? SSL_ERROR_WANT_READ : SSL_ERROR_ZERO_RETURN);
                if (full)
                        ck_assert_uint_lt(upload->heard_len, all);
                else
                        ck_assert_uint_eq(upload->heard_len, all);
                upload_end(upload);
        }
}
END_TEST

/* The answer to a KeyUpdate, too: what follows has the new key. */
START_TEST(a_key_update_amid_gathered_records)
{
        struct upload *upload = upload_begin();
        SSL *ssl = upload->server.ssl;
        struct cause cause = { 0 };
        uint8_t bytes[16];
        size_t moved;

        ck_assert(!upload_write(upload));
        ck_assert_uint_gt(upload->channel->sealed, 0);
        ck_assert_int_eq(SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        ck_assert_int_eq(SSL_do_handshake(ssl), 1);
        upload->client->taken = 0;
        enum transport_result result =
                upload->client->read(upload->client, bytes, sizeof bytes, &moved, &cause);
        ck_assert(result == TRANSPORT_WANT_WRITE || result == TRANSPORT_WANT_READ);
        while (!upload_write(upload))
                ck_assert_int_eq(upload_hear(upload), SSL_ERROR_WANT_READ);
        ck_assert_int_eq(upload_hear(upload), SSL_ERROR_WANT_READ);
        ck_assert_uint_eq(upload->heard_len, LONG);
        exchange(upload->client, &upload->server);
        upload_end(upload);
}
END_TEST

/* A peer that has gone is told of in the same words, and nothing is told as written. */
START_TEST(gone_amid_gathered_records)
{
        struct upload *upload = upload_begin();
        struct cause cause = { 0 };
        size_t moved = 0;

        ck_assert(!upload_write(upload));
        close_fd(&upload->server.fd);
        ck_assert_int_eq(upload->client->write(upload->client, upload->text + upload->told,
                                               LONG - upload->told, &moved, &cause),
                         TRANSPORT_FAILED);
        ck_assert_uint_eq(moved, 0);
        ck_assert_int_eq(cause.code, CAUSE_CLOSED);
        upload->client->finish(upload->client);
        upload_end(upload);
}
END_TEST

START_TEST(what_was_negotiated)
{
        struct pki leaf = good_leaf();
        struct server server = { .leaf = &leaf };
        struct tls_policy policy = policy_for("mail.example");
        struct cause cause = { 0 };
        struct verdict verdict;
        struct channel_info info;
        struct engine_binding binding;
        uint8_t theirs[32];

        server_accept(&server);
        struct channel *channel = channel_new(&policy, server.client_fd, &cause);
        struct transport *client = channel_transport(channel);
        channel_binding(channel, &binding);
        ck_assert(!binding.present);
        ck_assert_int_eq(shake_hands(client, &server, &cause), TRANSPORT_DONE);
        channel_verdict(channel, &verdict);
        channel_info(channel, &info);
        ck_assert_str_eq(info.version, "TLSv1.3");
        ck_assert_str_eq(info.cipher, "TLS_AES_256_GCM_SHA384");
        ck_assert_str_eq(info.group, "x25519");
        ck_assert_str_eq(info.verified_by, "system");
        ck_assert_uint_eq(strlen(info.fingerprint), 64);
        ck_assert_str_eq(SSL_get_servername(server.ssl, TLSEXT_NAMETYPE_host_name), "mail.example");
        channel_binding(channel, &binding);
        ck_assert(binding.present);
        ck_assert_int_eq(SSL_export_keying_material(server.ssl, theirs, 32, "EXPORTER-Channel-Binding", 24,
                                                    NULL, 0, 0),
                         1);
        ck_assert_mem_eq(theirs, binding.exporter, 32);
        /* The evidence can still be asked for, after the verdict gave them back. */
        ck_assert_uint_eq(channel_evidence(channel)->chain_count, 1);
        ck_assert_int_eq(trust_anchor(channel_anchor(channel)), ANCHOR_SYSTEM);
        ck_assert_mem_eq(channel_evidence(channel)->anchor_sha256, channel_anchor(channel), 32);
        client->free(client);
        server_hang_up(&server);
        server_done(&server);
        pki_free(&leaf);
}
END_TEST

/* Of sessions with one server each certificate is in memory once; of another one, another. A chain whose
 * certificate is here already is judged by its own sight: the name is wrong all the same. */
START_TEST(certificates_are_shared)
{
        struct pki leaf = pki_make(&(struct pki_spec){
                           .cn = "leaf", .san = "DNS:mail.example", .issuer = &intermediate }),
                   strange = good_leaf();
        struct cause cause = { 0 };
        struct server servers[] = {
                { .leaf = &leaf, .chain = { &intermediate } },
                { .leaf = &leaf, .chain = { &intermediate }, .max_version = TLS1_2_VERSION },
                { .leaf = &leaf, .chain = { &intermediate } },
                { .leaf = &strange },
        };
        struct channel *channels[count_of(servers)];
        struct verdict verdict;

        for (size_t i = 0; i < count_of(servers); i++) {
                struct tls_policy policy = policy_for(i == 2 ? "other.example" : "mail.example");
                policy.account = "";
                policy.record = false;
                server_accept(&servers[i]);
                channels[i] = channel_new(&policy, servers[i].client_fd, &cause);
                ck_assert_int_eq(shake_hands(channel_transport(channels[i]), &servers[i], &cause),
                                 TRANSPORT_DONE);
                channel_verdict(channels[i], &verdict);
                ck_assert_int_eq(verdict_is_good(&verdict), i != 2);
        }
        for (size_t i = 1; i < count_of(servers); i++) {
                STACK_OF(X509) *one = SSL_get_peer_cert_chain(channels[0]->ssl),
                               *other = SSL_get_peer_cert_chain(channels[i]->ssl);
                bool same = i < 3;
                ck_assert((SSL_get0_peer_certificate(channels[i]->ssl) ==
                           SSL_get0_peer_certificate(channels[0]->ssl)) == same);
                ck_assert((sk_X509_value(one, 0) == sk_X509_value(other, 0)) == same);
                ck_assert(!same || sk_X509_value(one, 1) == sk_X509_value(other, 1));
        }
        for (size_t i = 0; i < count_of(servers); i++) {
                channel_transport(channels[i])->free(channel_transport(channels[i]));
                server_hang_up(&servers[i]);
                server_done(&servers[i]);
        }
        pki_free(&leaf);
        pki_free(&strange);
}
END_TEST

/* ---- tickets
 * -------------------------------------------------------------------------------------------------- */

START_TEST(tickets)
{
        struct pki leaf = good_leaf();
        struct tls_policy policy = policy_for("mail.example"), other = policy;

        for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
                struct server server = { .leaf = &leaf, .max_version = version };
                struct outcome out = meet_as(&policy, &server);
                ck_assert(!out.info.resumed);
                ck_assert_uint_eq(tickets_count(), 1);
                out = meet_as(&policy, &server);
                ck_assert(out.info.resumed);
                ck_assert_int_eq(out.verdict.kind, VERDICT_SYSTEM);
                ck_assert_str_eq(out.info.verified_by, "system");
                ck_assert_uint_eq(strlen(out.info.fingerprint), 64);
                /* Another account, name, port or floor does not resume it. */
                other = policy;
                other.account = "in";
                ck_assert(!meet_as(&other, &server).info.resumed);
                other = policy;
                other.port = 993;
                ck_assert(!meet_as(&other, &server).info.resumed);
                other = policy;
                other.account = ""; /* a probe */
                size_t before = tickets_count();
                ck_assert(!meet_as(&other, &server).info.resumed);
                ck_assert_uint_eq(tickets_count(), before);
                trust_changed("test");
                ck_assert_uint_eq(tickets_count(), 0);
                ck_assert(!meet_as(&policy, &server).info.resumed);
                ck_assert(meet_as(&policy, &server).info.resumed);
                trust_changed("next version");
                server_done(&server);
        }
        pki_free(&leaf);
}
END_TEST

static bool answered;
static void on_answer(void *ctx, const struct cause *cause, json_t *entry)
{
        (void)ctx;
        (void)entry;
        ck_assert_msg(!cause, "%s", cause ? cause->text : "");
        answered = true;
        loop_end();
}

/* The life of an exemption, over real handshakes. */
START_TEST(exemption)
{
        struct pki leaf = pki_make(&(struct pki_spec){ .cn = "panel", .san = "DNS:mail.example" });
        struct server server = { .leaf = &leaf };
        struct tls_policy policy = policy_for("mail.example");
        struct outcome out = meet_as(&policy, &server);

        ck_assert_int_eq(out.verdict.kind, VERDICT_CHALLENGE);
        ck_assert_ptr_nonnull(strstr(out.verdict.cause.remedy, out.verdict.allowed_id));
        ck_assert_uint_eq(tickets_count(), 0);
        struct allowed_decision decision = { .id = out.verdict.allowed_id,
                                             .what = DECIDE_APPROVE,
                                             .fingerprint = out.info.fingerprint,
                                             .who = "root" };
        answered = false;
        allowed_decide(&decision, on_answer, NULL);
        run_until_end();
        ck_assert(answered);
        ck_assert_int_eq(meet_as(&policy, &server).verdict.kind, VERDICT_ALLOWED);
        out = meet_as(&policy, &server);
        ck_assert(out.info.resumed);
        ck_assert_int_eq(out.verdict.kind, VERDICT_ALLOWED);
        ck_assert_str_eq(out.info.verified_by, "allowedHost");
        decision.id = out.verdict.allowed_id;
        decision.what = DECIDE_DELETE;
        allowed_decide(&decision, on_answer, NULL);
        run_until_end();
        out = meet_as(&policy, &server);
        ck_assert(!out.info.resumed);
        ck_assert_int_eq(out.verdict.kind, VERDICT_CHALLENGE);
        /* A probe leaves no trace. */
        policy.record = false;
        policy.host = "other.example";
        ck_assert_str_eq(meet_as(&policy, &server).verdict.allowed_id, "");
        ck_assert_uint_eq(allowed_count(NULL, false), 1);
        server_done(&server);
        pki_free(&leaf);
}
END_TEST

/* Trust that changes between the handshake's begin and the verdict is not guessed at: the session is tried
 * again. */
START_TEST(trust_changes_meanwhile)
{
        struct pki leaf = good_leaf();
        struct server server = { .leaf = &leaf };
        struct tls_policy policy = policy_for("mail.example");
        struct cause cause = { 0 };
        struct verdict verdict;

        server_accept(&server);
        struct channel *channel = channel_new(&policy, server.client_fd, &cause);
        ck_assert_int_eq(shake_hands(channel_transport(channel), &server, &cause), TRANSPORT_DONE);
        trust_changed("just now");
        channel_verdict(channel, &verdict);
        ck_assert(!verdict_is_good(&verdict));
        ck_assert(cause_retries(&verdict.cause));
        channel_transport(channel)->free(channel_transport(channel));
        server_hang_up(&server);
        server_done(&server);
        pki_free(&leaf);
}
END_TEST

/* What is offered at all, by accounts of every class: a suite that checks no server or hides nothing is in
 * none. */
START_TEST(suites_offered)
{
        static const int versions[][2] = {
                { 10, TLS1_VERSION }, { 11, TLS1_1_VERSION }, { 12, TLS1_2_VERSION }, { 13, TLS1_3_VERSION }
        };
        struct cause cause = { 0 };
        SSL *ssl = context_ssl(versions[_i][0], channel_on_new_session, &cause);

        ck_assert_ptr_nonnull(ssl);
        ck_assert_int_eq(SSL_get_min_proto_version(ssl), versions[_i][1]);
        const uint64_t demanded = SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION;
        const uint64_t refused = SSL_OP_LEGACY_SERVER_CONNECT | SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION |
                                 SSL_OP_IGNORE_UNEXPECTED_EOF;
        ck_assert_uint_eq(SSL_get_options(ssl) & (demanded | refused), demanded);
        STACK_OF(SSL_CIPHER) *suites = SSL_get1_supported_ciphers(ssl);
        ck_assert_int_ge(sk_SSL_CIPHER_num(suites), 3);
        for (int i = 0; i < sk_SSL_CIPHER_num(suites); i++) {
                const SSL_CIPHER *suite = sk_SSL_CIPHER_value(suites, i);
                const char *name = SSL_CIPHER_get_name(suite);
                int kx = SSL_CIPHER_get_kx_nid(suite);

                ck_assert_msg(SSL_CIPHER_get_cipher_nid(suite) != NID_undef, "%s: NULL", name);
                ck_assert_msg(SSL_CIPHER_get_auth_nid(suite) != NID_auth_null, "%s: anonymous", name);
                ck_assert_msg(SSL_CIPHER_get_auth_nid(suite) != NID_auth_psk && kx != NID_kx_psk &&
                                      kx != NID_kx_srp,
                              "%s: by a shared secret", name);
                ck_assert_msg(SSL_CIPHER_get_bits(suite, NULL) >= 112, "%s: short keys", name);
        }
        sk_SSL_CIPHER_free(suites);
        SSL_free(ssl);
}
END_TEST

int main(void)
{
        Suite *suite = suite_create("channel");
        TCase *tests = tcase_create("channel");

        tcase_set_timeout(tests, 120); /* of handshakes by the hundred, on a busy machine */

        tcase_add_checked_fixture(tests, setup, teardown);
        tcase_add_loop_test(tests, certificates, 0, (int)count_of(cases));
        tcase_add_test(tests, imported_self_signed_server);
        tcase_add_test(tests, defective_issuers);
        tcase_add_test(tests, weak_and_broken_signatures);
        tcase_add_test(tests, expired_root_beside_a_good_one);
        tcase_add_test(tests, poisoned_store);
        tcase_add_test(tests, staples);
        tcase_add_test(tests, revocation_lists);
        tcase_add_test(tests, plain_text_peer);
        tcase_add_test(tests, closed_in_handshake);
        tcase_add_loop_test(tests, a_flight_cut_anywhere_is_tls, 0, CUT_STEPS);
        tcase_add_test(tests, bytes_that_come_at_any_moment_are_tls);
        tcase_add_test(tests, hello_requests_without_end);
        tcase_add_test(tests, key_updates_without_end);
        tcase_add_test(tests, small_records_take_turns);
        tcase_add_test(tests, old_server);
        tcase_add_loop_test(tests, suites_offered, 0, 4);
        tcase_add_test(tests, weak_key_with_lowered_floor);
        tcase_add_test(tests, alpn_refused_then_left_out);
        tcase_add_test(tests, client_certificate_demanded);
        tcase_add_test(tests, bad_names);
        tcase_add_test(tests, the_end);
        tcase_add_test(tests, gathered_records_leave_in_order);
        tcase_add_test(tests, the_end_behind_gathered_records);
        tcase_add_test(tests, a_key_update_amid_gathered_records);
        tcase_add_test(tests, gone_amid_gathered_records);
        tcase_add_test(tests, what_was_negotiated);
        tcase_add_test(tests, certificates_are_shared);
        tcase_add_test(tests, tickets);
        tcase_add_test(tests, exemption);
        tcase_add_test(tests, trust_changes_meanwhile);
        suite_add_tcase(suite, tests);
        SRunner *runner = srunner_create(suite);
        srunner_run_all(runner, CK_ENV);
        int failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
