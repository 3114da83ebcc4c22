/* SPDX-License-Identifier: MIT */
/* A message as send and sendmail take it: its recipients, and encoded anew where it must be. What comes out
 * can be carried and says the same; what is shown of both is clean text. */
#include "ctl/draft.h"
#include "ctl/encode.h"
#include "ctl/view.h"
#include "fuzz.h"

static void show(const char *bytes, size_t len)
{
        struct view view = { 0 };

        view_read(bytes, len, NULL, false, &view);
        view_done(&view);
}

static void encode(const char *bytes, size_t len, enum encode_body body)
{
        struct buf out = BUF_WITH_MAX(8 * MIB);
        struct cause cause = { 0 };
        struct draft_info after;

        if (encode_draft(bytes, len, body, &out, &cause) < 0) {
                fuzz_must(cause.code != CAUSE_NONE);
        } else {
                const char *made = (const char *)buf_bytes(&out);
                draft_look(made, out.len, &after);
                fuzz_must(!after.long_line && !after.nul_line); /* a signed body may stay 8-bit */
                fuzz_must(encode_proves(bytes, len, made, out.len));
                show(made, out.len);
        }
        buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const char *bytes = (const char *)data;
        struct draft_info info;
        struct causes bad = { 0 };
        json_t *recipients = json_array();

        (void)draft_has_header(bytes, size);
        draft_recipients(bytes, size, recipients, &bad);
        json_decref(recipients);
        causes_free(&bad);
        draft_look(bytes, size, &info);
        if (draft_needs_encoding(&info)) {
                encode(bytes, size, BODY_ENCODED);
                encode(bytes, size, BODY_8BITMIME);
        }
        show(bytes, size);
        return 0;
}
