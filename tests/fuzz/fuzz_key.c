/* SPDX-License-Identifier: MIT */
/* A client certificate with its key, as it is imported. */
#include "daemon/tls/keys.c"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct client_key *key = key_new("k", 1);
        struct cause cause = { 0 };

        if (parse_key(data, size, key, &cause) == 0)
                json_decref(key_json(key));
        else
                fuzz_must(cause.code != CAUSE_NONE);
        key_free(key);
        ERR_clear_error();
        return 0;
}
