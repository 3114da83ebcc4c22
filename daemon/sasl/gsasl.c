/* SPDX-License-Identifier: MIT */
/*
 * Exchanges done by GNU SASL: PLAIN, CRAM-MD5, EXTERNAL and SCRAM, with the
 * tls-exporter channel binding (RFC 9266). One library context for the process. What
 * a server may choose is checked here before the library computes with it (S25).
 */
#include "common/json_fields.h"
#include "common/limits.h"
#include "common/names.h"
#include "daemon/sasl/exchange.h"

#include <gsasl.h>
#include <openssl/evp.h>

enum { SCRAM_ITERATIONS_LEAST = 4096 }; /* RFC 7677 section 4 */

/* NULL when the library cannot start. Kept until the process ends. */
static Gsasl *library(void)
{
        static Gsasl *context;

        if (!context && gsasl_init(&context) != GSASL_OK)
                context = NULL;
        return context;
}

static int set_property(Gsasl_session *session, Gsasl_property property, const char *value,
                        struct cause *cause)
{
        if (gsasl_property_set(session, property, value) == GSASL_OK)
                return 0;
        return cause_set(cause, CAUSE_INTERNAL, "the SASL library has no memory");
}

/* The library frees its copies as they are; what is secret in them goes first. */
static void wipe_property(Gsasl_session *session, Gsasl_property property)
{
        char *held = (char *)gsasl_property_fast(session, property);

        if (held)
                explicit_bzero(held, strlen(held));
}

static void library_end(struct sasl *sasl)
{
        if (!sasl->session)
                return;
        wipe_property(sasl->session, GSASL_PASSWORD);
        wipe_property(sasl->session, GSASL_SCRAM_SALTED_PASSWORD);
        gsasl_finish(sasl->session);
        sasl->session = NULL;
}

/* Printable ASCII is its own preparation (RFC 4013); the library's walk through its tables is saved, which is
 * done for each mechanism that a server offers. */
static bool is_printable(const char *text)
{
        const char *at = text;

        while (*at >= ' ' && *at <= '~')
                at++;
        return at != text && !*at;
}

/* As SCRAM has it done: the flag of the library (2.2) refuses unassigned characters, against its name. */
static bool prepares(const char *text)
{
        char *prepared = NULL;

        if (is_printable(text))
                return true;
        bool good = gsasl_saslprep(text, GSASL_ALLOW_UNASSIGNED, &prepared, NULL) == GSASL_OK;

        if (prepared)
                explicit_bzero(prepared, strlen(prepared));
        gsasl_free(prepared);
        return good;
}

char *sasl_prepared(const char *text)
{
        char *prepared = NULL, *copy = NULL;

        if (is_printable(text))
                return copy_text(text);
        if (gsasl_saslprep(text, GSASL_ALLOW_UNASSIGNED, &prepared, NULL) == GSASL_OK)
                copy = copy_text(prepared);
        if (prepared)
                explicit_bzero(prepared, strlen(prepared));
        gsasl_free(prepared);
        return copy;
}

bool sasl_prepares(const struct signin *signin)
{
        return prepares(signin->user) && (!signin->secret || prepares(signin->secret));
}

/* The library wants the binding in base64. Only -PLUS gets it: without -PLUS the library (2.2) fails
 * instead of saying "y" (RFC 5802 section 6) when it knows a binding. */
static int set_binding(Gsasl_session *session, const struct engine_binding *binding, struct cause *cause)
{
        char *text = base64_encode(binding->exporter, sizeof binding->exporter);
        int result = set_property(session, GSASL_CB_TLS_EXPORTER, text, cause);

        free_secret(text);
        return result;
}

static int library_begin(struct sasl *sasl, const struct signin *signin, const struct engine_channel *channel,
                         struct cause *cause)
{
        const struct sasl_mechanism *mechanism = sasl->mechanism;
        Gsasl_session *session = NULL;
        int code = library() ? gsasl_client_start(library(), mechanism->name, &session) : GSASL_MALLOC_ERROR;

        if (code != GSASL_OK)
                return cause_set(cause, CAUSE_INTERNAL, "the SASL library does not do %s: %s",
                                 mechanism->name, gsasl_strerror(code));
        sasl->session = session;
        if (mechanism->flags & SASL_SECRETLESS)
                return set_property(session, GSASL_AUTHZID, signin->user, cause);
        if (set_property(session, GSASL_AUTHID, signin->user, cause) ||
            set_property(session, GSASL_PASSWORD, signin->secret, cause) ||
            set_property(session, GSASL_SERVICE, signin->service, cause) ||
            set_property(session, GSASL_HOSTNAME, signin->host, cause))
                return -1;
        if (mechanism->flags & SASL_BINDS)
                return set_binding(session, &channel->binding, cause);
        return 0;
}

/* The value of ",i=" in a server-first message; 0 when there is none or it is no number. */
static unsigned long scram_iterations(const char *text)
{
        const char *at = strstr(text, ",i=");

        if (!at || at[3] < '1' || at[3] > '9')
                return 0;
        char *end;
        unsigned long count = strtoul(at + 3, &end, 10); /* ULONG_MAX when it does not fit */
        return *end == '\0' || *end == ',' ? count : 0;
}

/* The server's error of RFC 5802 section 7, one of its words: what else a server writes there may be a secret
 * of ours. */
static const char *scram_error(const char *text)
{
        static const char *const words[] = {
                "invalid-encoding",
                "extensions-not-supported",
                "invalid-proof",
                "channel-bindings-dont-match",
                "server-does-support-channel-binding",
                "channel-binding-not-supported",
                "unsupported-channel-binding-type",
                "unknown-user",
                "invalid-username-encoding",
                "no-resources",
                "other-error",
        };

        for (size_t i = 0; i < count_of(words); i++)
                if (strncmp(text, words[i], strlen(words[i])) == 0 && strchr(",", text[strlen(words[i])]))
                        return words[i];
        return "a reason that RFC 5802 does not have";
}

static int check_scram(const struct sasl *sasl, const char *text, struct cause *cause)
{
        if (strncmp(text, "e=", 2) == 0)
                return cause_set(cause, CAUSE_AUTHENTICATION, "the server refused the %s sign-in: %s",
                                 sasl->mechanism->name, scram_error(text + 2));
        if (sasl->rounds > 1)
                return 0;
        unsigned long count = scram_iterations(text);
        if (count == 0)
                return cause_set(cause, CAUSE_PROTOCOL, "the server's %s challenge has no iteration count",
                                 sasl->mechanism->name);
        if (count < SCRAM_ITERATIONS_LEAST || count > LIMIT_SCRAM_ITERATIONS)
                return cause_set(cause, CAUSE_PROTOCOL,
                                 "the server asks for %lu rounds of hashing in %s; from %d to %d are done",
                                 count, sasl->mechanism->name, SCRAM_ITERATIONS_LEAST,
                                 LIMIT_SCRAM_ITERATIONS);
        return 0;
}

static int explain(const struct sasl *sasl, int code, struct cause *cause)
{
        const char *name = sasl->mechanism->name;

        if (code == GSASL_SASLPREP_ERROR) {
                cause_set(cause, CAUSE_SECRET,
                          "the account name or its password holds characters that %s cannot carry", name);
                cause_remedy(cause, "use a password without control, unassigned and newer characters "
                                    "(emoji), or, within TLS, "
                                    "authentication=plain");
                return -1;
        }
        if (code == GSASL_AUTHENTICATION_ERROR && (sasl->mechanism->flags & SASL_PROVES_SERVER))
                return cause_set(cause, CAUSE_SERVER_SIGNATURE, "%s",
                                 sasl->rounds > 1
                                         ? "the server's SCRAM signature does not verify: it does not know "
                                           "the password"
                                         : "the server's SCRAM challenge does not continue our exchange");
        if (code == GSASL_MALLOC_ERROR || code == GSASL_CRYPTO_ERROR)
                return cause_set(cause, CAUSE_INTERNAL, "%s: %s", name, gsasl_strerror(code));
        return cause_set(cause, CAUSE_PROTOCOL, "the server's %s challenge makes no sense: %s", name,
                         gsasl_strerror(code));
}

static int library_step(struct sasl *sasl, const uint8_t *challenge, size_t len, struct buf *out,
                        struct cause *cause)
{
        if ((sasl->mechanism->flags & SASL_SCRAM) && sasl->rounds > 0) {
                char *text = copy_bytes((const char *)challenge, len);
                /* Once through, only the empty challenge that lets the server say success is legal. */
                int bad = sasl->through ? (len ? explain(sasl, GSASL_MECHANISM_PARSE_ERROR, cause) : 0)
                                        : check_scram(sasl, text, cause);
                free(text);
                if (bad || sasl->through)
                        return bad;
        }
        char *answer = NULL;
        size_t answer_len = 0;
        int code = gsasl_step(sasl->session, (const char *)challenge, len, &answer, &answer_len);
        if (code != GSASL_OK && code != GSASL_NEEDS_MORE)
                return explain(sasl, code, cause);
        sasl->through = code == GSASL_OK;
        int result = buf_append(out, answer, answer_len);
        if (answer)
                explicit_bzero(answer, answer_len);
        gsasl_free(answer);
        return result ? cause_set(cause, CAUSE_SECRET, "the stored password is too long to send") : 0;
}

/* ---- the rounds of hashing of SCRAM (RFC 5802 section 3: Hi), off the loop ---- */

/* By OpenSSL, whose digests take a third of the time of the library's. */
struct salting {
        struct calculation calculation;
        const EVP_MD *hash;
        int iterations;
        char *password;
        uint8_t *salt;
        size_t salt_len;
        int code; /* of the library */
        uint8_t salted[EVP_MAX_MD_SIZE];
};

static void salting_free(struct calculation *calculation)
{
        struct salting *salting = container_of(calculation, struct salting, calculation);

        free_secret(salting->password);
        free(salting->salt);
        explicit_bzero(salting->salted, sizeof salting->salted);
        free(salting);
}

static void salting_work(struct calculation *calculation)
{
        struct salting *salting = container_of(calculation, struct salting, calculation);
        scoped(scoped_free_secret) char *prepared = sasl_prepared(salting->password);

        if (!prepared)
                salting->code = GSASL_SASLPREP_ERROR;
        else if (PKCS5_PBKDF2_HMAC(prepared, (int)strlen(prepared), salting->salt, (int)salting->salt_len,
                                   salting->iterations, salting->hash, EVP_MD_get_size(salting->hash),
                                   salting->salted) != 1)
                salting->code = GSASL_CRYPTO_ERROR;
}

/* NULL for a server-first message that is not right: library_step() says what is wrong with it. */
static struct calculation *library_calculation(const struct sasl *sasl, const char *challenge)
{
        unsigned long iterations = scram_iterations(challenge);
        const char *salt = strstr(challenge, ",s=");
        uint8_t *bytes;
        size_t len;

        if (!(sasl->mechanism->flags & SASL_SCRAM) || sasl->rounds > 0 || !salt ||
            iterations < SCRAM_ITERATIONS_LEAST || iterations > LIMIT_SCRAM_ITERATIONS)
                return NULL;
        salt += strlen(",s=");
        if (base64_decode(salt, strcspn(salt, ","), &bytes, &len))
                return NULL;
        struct salting *salting = new_object(struct salting);
        *salting = (struct salting){
                .calculation = { .work = salting_work, .free = salting_free },
                .hash = strstr(sasl->mechanism->name, "SHA-256") ? EVP_sha256() : EVP_sha1(),
                .iterations = (int)iterations,
                .password = copy_text(gsasl_property_fast(sasl->session, GSASL_PASSWORD)),
                .salt = bytes,
                .salt_len = len,
        };
        return &salting->calculation;
}

static int library_calculated(struct sasl *sasl, const struct calculation *calculation, struct cause *cause)
{
        const struct salting *salting = container_of(calculation, const struct salting, calculation);
        char hex[2 * EVP_MAX_MD_SIZE + 1];

        if (salting->code != GSASL_OK)
                return explain(sasl, salting->code, cause);
        hex_print(salting->salted, (size_t)EVP_MD_get_size(salting->hash), hex);
        int result = set_property(sasl->session, GSASL_SCRAM_SALTED_PASSWORD, hex, cause);
        explicit_bzero(hex, sizeof hex);
        return result;
}

const struct sasl_class sasl_by_library = { library_begin, library_step, library_end, library_calculation,
                                            library_calculated };
