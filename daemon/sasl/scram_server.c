/* SPDX-License-Identifier: MIT */
/* SCRAM-SHA-256 as a server; see scram_server.h. */
#include "daemon/sasl/scram_server.h"

#include "common/json_fields.h"
#include "daemon/random.h"
#include "daemon/sasl/exchange.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdio.h>

enum { MESSAGE_MOST = 1024, NONCE = 24, NONCE_MOST = 256 };

struct scram_server {
        char *header; /* "n,," */
        char *bare;   /* of the client's first message */
        char *user;
        char *nonce; /* the client's, then with the server's behind it */
        char *challenge, *last;
        struct scram_keys keys;
};

/* ---- keys ---- */

static void hmac(const uint8_t *key, size_t key_len, const char *text, uint8_t out[SCRAM_KEY])
{
        unsigned len = 0;

        if (!HMAC(EVP_sha256(), key, (int)key_len, (const uint8_t *)text, strlen(text), out, &len))
                abort();
}

static void digest(const uint8_t in[SCRAM_KEY], uint8_t out[SCRAM_KEY])
{
        if (EVP_Digest(in, SCRAM_KEY, out, NULL, EVP_sha256(), NULL) != 1)
                abort();
}

static int derive(const char *password, struct scram_keys *keys, struct cause *cause)
{
        scoped(scoped_free_secret) char *prepared = sasl_prepared(password);
        uint8_t salted[SCRAM_KEY], client[SCRAM_KEY];

        if (!prepared || !prepared[0])
                return cause_about(cause, CAUSE_INVALID, "password", "this cannot be a password (RFC 4013)");
        if (PKCS5_PBKDF2_HMAC(prepared, (int)strlen(prepared), keys->salt, SCRAM_SALT, (int)keys->rounds,
                              EVP_sha256(), SCRAM_KEY, salted) != 1)
                return cause_set(cause, CAUSE_INTERNAL, "the password cannot be hashed");
        hmac(salted, SCRAM_KEY, "Client Key", client);
        digest(client, keys->stored);
        hmac(salted, SCRAM_KEY, "Server Key", keys->server);
        explicit_bzero(salted, sizeof salted);
        explicit_bzero(client, sizeof client);
        return 0;
}

int scram_keys_make(const char *password, struct scram_keys *out, struct cause *cause)
{
        *out = (struct scram_keys){ .rounds = SCRAM_ROUNDS };
        if (RAND_bytes(out->salt, SCRAM_SALT) != 1)
                return cause_set(cause, CAUSE_INTERNAL, "there are no random numbers");
        return derive(password, out, cause);
}

bool scram_keys_fit(const struct scram_keys *keys, const char *password)
{
        struct scram_keys made = { .rounds = keys->rounds };

        memcpy(made.salt, keys->salt, SCRAM_SALT);
        bool fits = derive(password, &made, NULL) == 0 &&
                    CRYPTO_memcmp(made.stored, keys->stored, SCRAM_KEY) == 0;
        explicit_bzero(&made, sizeof made);
        return fits;
}

static uint8_t invention[SCRAM_KEY]; /* of this process */

static void make_invention(void)
{
        if (RAND_bytes(invention, sizeof invention) != 1)
                abort();
}

void scram_keys_invent(const char *name, struct scram_keys *out)
{
        static pthread_once_t once = PTHREAD_ONCE_INIT;
        uint8_t salt[SCRAM_KEY];

        (void)pthread_once(&once, make_invention);
        *out = (struct scram_keys){ .rounds = SCRAM_ROUNDS };
        hmac(invention, sizeof invention, name, salt);
        memcpy(out->salt, salt, SCRAM_SALT);
        hmac(salt, sizeof salt, "stored", out->stored);
        hmac(salt, sizeof salt, "server", out->server);
}

/* ---- messages ---- */

/* As a text; NULL: too long, or with bytes in it that no message has. */
static char *message_text(const uint8_t *bytes, size_t len)
{
        if (len > MESSAGE_MOST)
                return NULL;
        for (size_t i = 0; i < len; i++)
                if (bytes[i] < 0x20 || bytes[i] == 0x7f)
                        return NULL;
        return copy_bytes((const char *)bytes, len);
}

/* The value of "x=..." at the front up to the next comma; *at moves behind it. NULL: it is not there. The
 * caller frees. */
static char *attribute(const char **at, char name)
{
        if ((*at)[0] != name || (*at)[1] != '=')
                return NULL;
        size_t len = strcspn(*at + 2, ",");
        char *value = copy_bytes(*at + 2, len);
        *at += 2 + len;
        *at += **at == ',';
        return value;
}

void scram_server_free(struct scram_server *server)
{
        if (!server)
                return;
        free(server->header);
        free(server->bare);
        free(server->user);
        free(server->nonce);
        free(server->challenge);
        free(server->last);
        explicit_bzero(&server->keys, sizeof server->keys);
        free(server);
}

/* "n,," or "y,,", or with the user as whom to act, which may be the same one only: false is any other. */
static bool read_header(const char **at, char **authzid)
{
        if ((*at)[0] != 'n' && (*at)[0] != 'y')
                return false;
        if ((*at)[1] != ',')
                return false;
        *at += 2;
        *authzid = attribute(at, 'a');
        if (!*authzid) {
                bool bare = **at == ',';
                *at += bare;
                return bare;
        }
        return (*at)[-1] == ',';
}

struct scram_server *scram_server_new(const uint8_t *bytes, size_t len)
{
        scoped(scoped_free) char *text = message_text(bytes, len);
        scoped(scoped_free) char *authzid = NULL;
        const char *at = text;

        if (!text || !read_header(&at, &authzid))
                return NULL;
        struct scram_server *server = new_object(struct scram_server);
        server->header = copy_bytes(text, (size_t)(at - text));
        server->bare = copy_text(at);
        server->user = attribute(&at, 'n');
        server->nonce = server->user ? attribute(&at, 'r') : NULL;
        bool fine = server->nonce && server->nonce[0] && strlen(server->nonce) <= NONCE_MOST && !*at &&
                    server->user[0] && strlen(server->user) <= SCRAM_USER && !strchr(server->user, '=') &&
                    (!authzid || strcmp(authzid, server->user) == 0);
        if (fine)
                return server;
        scram_server_free(server);
        return NULL;
}

const char *scram_server_user(const struct scram_server *server)
{
        return server->user;
}

const char *scram_server_challenge(struct scram_server *server, const struct scram_keys *keys)
{
        char token[NONCE + 1];
        scoped(scoped_free) char *salt = base64_encode(keys->salt, SCRAM_SALT);
        char *before = server->nonce;

        random_token(token, NONCE);
        server->keys = *keys;
        server->nonce = text_of("%s%s", before, token);
        free(before);
        free(server->challenge);
        server->challenge = text_of("r=%s,s=%s,i=%u", server->nonce, salt, keys->rounds);
        return server->challenge;
}

/* RFC 5802 section 3: the proof is the client's key, xored with what the stored key signs. */
static bool check_proof(struct scram_server *server, const char *proof, const char *signed_text)
{
        uint8_t signature[SCRAM_KEY], key[SCRAM_KEY], stored[SCRAM_KEY], *given = NULL;
        size_t len = 0;

        if (base64_decode(proof, strlen(proof), &given, &len) < 0)
                return false;
        bool fits = len == SCRAM_KEY;
        hmac(server->keys.stored, SCRAM_KEY, signed_text, signature);
        for (size_t i = 0; fits && i < SCRAM_KEY; i++)
                key[i] = given[i] ^ signature[i];
        if (fits) {
                digest(key, stored);
                fits = CRYPTO_memcmp(stored, server->keys.stored, SCRAM_KEY) == 0;
        }
        explicit_bzero(key, sizeof key);
        free(given);
        return fits;
}

bool scram_server_proven(struct scram_server *server, const uint8_t *bytes, size_t len, const char **last)
{
        scoped(scoped_free) char *text = message_text(bytes, len);
        scoped(scoped_free) char *binding = NULL, *nonce = NULL, *proof = NULL, *signed_text = NULL;
        scoped(scoped_free) char *header = base64_encode(server->header, strlen(server->header));
        const char *at = text;

        if (!text || !server->challenge)
                return false;
        binding = attribute(&at, 'c');
        nonce = binding ? attribute(&at, 'r') : NULL;
        const char *front_end = at;
        proof = nonce ? attribute(&at, 'p') : NULL;
        if (!proof || *at || strcmp(binding, header) != 0 || strcmp(nonce, server->nonce) != 0)
                return false;
        signed_text =
                text_of("%s,%s,%.*s", server->bare, server->challenge, (int)(front_end - text - 1), text);
        if (!check_proof(server, proof, signed_text))
                return false;
        uint8_t signature[SCRAM_KEY];
        hmac(server->keys.server, SCRAM_KEY, signed_text, signature);
        scoped(scoped_free) char *signature_text = base64_encode(signature, sizeof signature);
        free(server->last);
        server->last = text_of("v=%s", signature_text);
        *last = server->last;
        return true;
}
