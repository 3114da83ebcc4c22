/* SPDX-License-Identifier: MIT */
/*
 * A reply that is too long for one turn of the loop, such as a list of ten thousand accounts: written in
 * pieces, for some milliseconds of a turn, and no further ahead than the client reads. What others do in the
 * meantime is done between two pieces.
 */
#pragma once

#include "daemon/control/client.h"

struct long_reply_user {
        /* Writes the next piece of the parameters, an object's JSON text; false: it was the last one. */
        bool (*next)(void *work, struct json_writer *out);
        /* Frees it: all was written, or the client has gone. */
        void (*end)(void *work);
};

/* The end of the call, as call_reply(). `work` is the user's from here on; `user` is borrowed for good. */
void call_reply_long(struct call *call, const struct long_reply_user *user, void *work);
