/* SPDX-License-Identifier: MIT */
/*
 * Takes the dots off a POP3 message (RFC 1939 section 3) while it passes: a dot at the
 * beginning of a line was put in by the server, a line of a single dot ends the message.
 * Only CRLF ends a line, but in a message of line feeds alone: there a single dot is the end when about as
 * much has come as was announced. Bytes are not copied, and may be cut anywhere.
 */
#pragma once

#include "common/cleanup.h"

struct pop3_input {
        const uint8_t *bytes;
        size_t len;
};

struct pop3_unstuff {
        enum pop3_unstuff_state {
                AT_START,
                IN_LINE,
                AFTER_CR,
                AFTER_DOT,
                AFTER_DOT_CR,
                AFTER_LF,
                AFTER_LF_DOT,
                AFTER_LF_DOT_CR
        } state;
        uint64_t expected, taken,
                bare; /* bytes of the message: announced (0: unknown); handed out; line feeds alone */
        bool crlf;    /* a line ended in it */
        bool ended;   /* the final dot was seen; what follows is not the message's */
};

/* Takes from the front of `input` up to the next piece of the message; false when all was taken or it has
 * ended. The piece points into the input. */
bool pop3_unstuff_next(struct pop3_unstuff *unstuff, struct pop3_input *input, struct pop3_input *out_piece)
        must_use;
