/* SPDX-License-Identifier: MIT */
/* The fields that are told of a received message: clean and bounded, whatever the message begins with. */
#include "common/names.h"
#include "daemon/store/header_summary.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct header_summary summary;

        header_summary_read((const char *)data, size < HEADER_SUMMARY_READ ? size : HEADER_SUMMARY_READ,
                            &summary);
        const char *values[] = { summary.from, summary.subject, summary.date, summary.message_id };
        for (size_t i = 0; i < count_of(values); i++)
                fuzz_must(!values[i] ||
                          (text_is_clean(values[i]) && strlen(values[i]) < HEADER_SUMMARY_SIZE));
        header_summary_free(&summary);
        return 0;
}
