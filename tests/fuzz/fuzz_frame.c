/* SPDX-License-Identifier: MIT */
/* Frames of the control socket: the same ones whatever the portions, and each can be written and read again.
 */
#include "common/frame.h"
#include "fuzz.h"

static void take_frames(const uint8_t *data, size_t size, size_t portion, struct buf *out)
{
        struct frame_reader reader;
        struct cause cause = { 0 };
        json_t *object;
        int got = 0;

        frame_reader_init(&reader, 64 * KIB);
        for (size_t at = 0; at < size && got >= 0; at += portion) {
                if (frame_feed(&reader, data + at, size - at < portion ? size - at : portion, &cause) < 0)
                        break;
                for (;;) {
                        struct frame_scan scan = { 0 };
                        if (frame_look(&reader))
                                scan = reader.scan;
                        if ((got = frame_next(&reader, &object, &cause)) <= 0)
                                break;
                        if (scan.has_method) /* what is decided by the beginning is what the parser sees */
                                fuzz_must(same_text(scan.method,
                                                    json_string_value(json_object_get(object, "method"))));
                        if (frame_append(out, object) < 0)
                                abort();
                        json_decref(object);
                }
        }
        fuzz_append(out, &got, sizeof got);
        frame_reader_free(&reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct buf few = BUF_WITH_MAX(64 * MIB), many = BUF_WITH_MAX(64 * MIB);

        if (size > 64 * KIB)
                return 0;
        take_frames(data, size, 64 * KIB, &few);
        take_frames(data, size, 1, &many);
        fuzz_must(fuzz_same(&few, &many));
        buf_free(&few);
        buf_free(&many);
        return 0;
}
