/* SPDX-License-Identifier: MIT */
/* What a person imports: anchors as PEM, DER and PKCS#7; client certificates with their keys. */
#include "daemon/tls/trust_import.c"
#include "fuzz.h"

static void take_anchors(const uint8_t *data, size_t size)
{
        struct import *import = new_object(struct import);
        struct cause cause = { 0 };

        import->results = json_array();
        import->input = sk_X509_new_null();
        if (take_apart(import, data, size, &cause) == 0)
                choose_all(import);
        else
                fuzz_must(cause.code != CAUSE_NONE);
        for (size_t i = 0; i < import->count; i++)
                X509_free(import->files[i].x509); /* as when they are written */
        import_free(import);
        ERR_clear_error();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        take_anchors(data, size);
        return 0;
}
