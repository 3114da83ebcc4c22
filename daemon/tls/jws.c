/* SPDX-License-Identifier: MIT */
/* RSASSA-PKCS1-v1_5 and ECDSA over SHA-256 by OpenSSL; see jws.h. */
#include "daemon/tls/jws.h"

#include <openssl/ec.h>
#include <openssl/err.h>

enum { P256_BYTES = 32 };

const char *jws_algorithm(const EVP_PKEY *key, struct cause *cause)
{
        char group[32] = "";

        if (EVP_PKEY_is_a(key, "RSA"))
                return "RS256";
        if (EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_group_name(key, group, sizeof group, NULL) == 1 &&
            same_text(group, "prime256v1"))
                return "ES256";
        cause_about(cause, CAUSE_SECRET, "clientCertificate",
                    "the key of clientCertificate cannot sign for oauthGrant jwtBearer");
        cause_remedy(cause, "use an RSA key, or one on the curve P-256");
        return NULL;
}

/* RFC 7518 section 3.4: both numbers at their full length, one behind the other, in place of the DER of
 * OpenSSL. */
static int split_ecdsa(const uint8_t *der, size_t len, uint8_t *out)
{
        ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &der, (long)len);
        int result = pair && BN_bn2binpad(ECDSA_SIG_get0_r(pair), out, P256_BYTES) == P256_BYTES &&
                                     BN_bn2binpad(ECDSA_SIG_get0_s(pair), out + P256_BYTES, P256_BYTES) ==
                                             P256_BYTES
                             ? 0
                             : -1;

        ECDSA_SIG_free(pair);
        return result;
}

int jws_sign(EVP_PKEY *key, const char *text, uint8_t **out, size_t *out_len, struct cause *cause)
{
        EVP_MD_CTX *context = EVP_MD_CTX_new();
        size_t len = (size_t)EVP_PKEY_get_size(key);
        uint8_t *signature = new_zeroed(1, len + 2 * (size_t)P256_BYTES);
        bool good = context && EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
                    EVP_DigestSign(context, signature, &len, (const uint8_t *)text, strlen(text)) == 1;

        EVP_MD_CTX_free(context);
        if (good && EVP_PKEY_is_a(key, "EC")) {
                uint8_t *pair = new_zeroed(2, P256_BYTES);
                good = split_ecdsa(signature, len, pair) == 0;
                free(signature);
                signature = pair;
                len = 2 * (size_t)P256_BYTES;
        }
        if (good) {
                *out = signature;
                *out_len = len;
                return 0;
        }
        free(signature);
        ERR_clear_error();
        return cause_set(cause, CAUSE_SECRET, "the key of clientCertificate does not sign");
}
