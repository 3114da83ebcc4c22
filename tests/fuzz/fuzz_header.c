/* SPDX-License-Identifier: MIT */
/* The fields that are told of a received message: clean and bounded, whatever the message begins with. */
#include "common/names.h"
#include "daemon/store/header_facts.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct header_facts facts;

        header_facts_read((const char *)data, size < HEADER_FACTS_READ ? size : HEADER_FACTS_READ, &facts);
        const char *values[] = { facts.from, facts.subject, facts.date, facts.message_id };
        for (size_t i = 0; i < count_of(values); i++)
                fuzz_must(!values[i] || (text_is_clean(values[i]) && strlen(values[i]) < HEADER_FACT_SIZE));
        header_facts_free(&facts);
        return 0;
}
