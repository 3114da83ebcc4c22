/* SPDX-License-Identifier: MIT */
/* An entry of allowed-hosts.json as a person's editor may leave it: what is taken is written out and taken
 * again. */
#include "daemon/tls/allowed_parts.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        json_t *object = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
        struct cause cause = { 0 };
        struct entry *entry = json_is_object(object) ? allowed_entry_from_file(object, &cause) : NULL;

        json_decref(object);
        if (!entry)
                return 0;
        json_decref(allowed_entry_json(entry));
        json_t *out = allowed_entry_file_json(entry, &entry->decided), *other;
        struct entry *again = allowed_entry_from_file(out, &cause);
        fuzz_must(again);
        other = allowed_entry_file_json(again, &again->decided);
        fuzz_must(json_equal(out, other));
        json_decref(out);
        json_decref(other);
        allowed_entry_free(again);
        allowed_entry_free(entry);
        return 0;
}
