/* SPDX-License-Identifier: MIT */
/* The OCSP answer that a server staples, about a certificate and an issuer that stay the same. */
#include "daemon/tls/staple.c"

#include "../unit/pki.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static struct pki issuer, leaf;
        static struct tls_evidence evidence;

        if (!leaf.x509) {
                issuer = pki_make(
                        &(struct pki_spec){ .cn = "issuer", .ca = true, .from_days = -1, .to_days = 36500 });
                leaf = pki_make(&(struct pki_spec){ .cn = "leaf",
                                                    .san = "DNS:mail.example",
                                                    .issuer = &issuer,
                                                    .from_days = -1,
                                                    .to_days = 36500 });
        }
        evidence.error_count = 0;
        OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &data, (long)size);
        if (response) {
                const char *result = check_answer(response, leaf.x509, issuer.x509, 1790000000, &evidence);
                fuzz_must(strcmp(result, "good") != 0 || evidence.error_count == 0);
        }
        /* No input is signed by the issuer: what is behind that check is looked at by itself. */
        OCSP_BASICRESP *answer = response ? OCSP_response_get1_basic(response) : NULL;
        if (answer)
                (void)read_status(answer, leaf.x509, issuer.x509, 1790000000, &evidence);
        OCSP_BASICRESP_free(answer);
        OCSP_RESPONSE_free(response);
        ERR_clear_error();
        return 0;
}
