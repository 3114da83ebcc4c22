/* SPDX-License-Identifier: MIT */
/* A server's certificate: DER to plain data, to JSON, to PEM and back. */
#include "common/names.h"
#include "daemon/tls/certificate.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct certificate certificate, again;
        struct cause cause = { 0 };

        if (certificate_from_der(data, size, &certificate, &cause) < 0) {
                fuzz_must(cause.code != CAUSE_NONE);
                return 0;
        }
        fuzz_must(text_is_clean(certificate.subject) && text_is_clean(certificate.issuer));
        for (char **name = certificate.alt_names; *name; name++)
                fuzz_must(text_is_clean(*name));
        json_decref(certificate_json(&certificate));
        char *pem = certificate_pem(&certificate);
        fuzz_must(certificate_from_pem(pem, &again, &cause) == 0);
        fuzz_must(memcmp(certificate.sha256, again.sha256, sizeof again.sha256) == 0);
        free(pem);
        certificate_done(&again);
        certificate_done(&certificate);
        return 0;
}
