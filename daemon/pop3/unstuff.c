/* SPDX-License-Identifier: MIT */
/* Dot-unstuffing line by line with memchr; see unstuff.h. */
#include "daemon/pop3/unstuff.h"

static void take_bytes(struct pop3_input *input, size_t len)
{
        input->bytes += len;
        input->len -= len;
}

/* Servers count line ends in one way and send them in another: a little less is all there is. */
static bool is_all(const struct pop3_unstuff *unstuff, uint64_t taken)
{
        return unstuff->expected && !unstuff->crlf &&
               taken + unstuff->bare + taken / 8 + 16 >= unstuff->expected;
}

/* Everything up to a dot at the beginning of a line, or all there is. */
static void take_run(struct pop3_unstuff *unstuff, struct pop3_input *input, struct pop3_input *out_piece)
{
        const uint8_t *begin = input->bytes, *end = begin + input->len, *at = begin;
        bool after_cr = unstuff->state == AFTER_CR;

        unstuff->state = IN_LINE;
        while (at < end) {
                const uint8_t *line_end = memchr(at, '\n', (size_t)(end - at));
                if (!line_end) {
                        at = end;
                        unstuff->state = end[-1] == '\r' ? AFTER_CR : IN_LINE;
                        break;
                }
                at = line_end + 1;
                bool whole = line_end > begin ? line_end[-1] == '\r' : after_cr;
                unstuff->bare += !whole;
                unstuff->crlf |= whole;
                if (at < end && *at != '.')
                        continue;
                if (whole || is_all(unstuff, unstuff->taken + (uint64_t)(at - begin))) {
                        unstuff->state = whole ? AT_START : AFTER_LF;
                        break;
                }
        }
        *out_piece = (struct pop3_input){ begin, (size_t)(at - begin) };
        unstuff->taken += out_piece->len;
        take_bytes(input, (size_t)(at - begin));
}

/* What a byte leads to in a state in which it counts, and is not content. */
static const struct unstuff_step {
        enum pop3_unstuff_state from;
        uint8_t byte;
        enum pop3_unstuff_state to;
        bool ends; /* that was the end of the message */
} steps[] = {
        { AT_START, '.', AFTER_DOT, false },
        { AFTER_DOT, '\r', AFTER_DOT_CR, false },
        { AFTER_DOT_CR, '\n', AFTER_DOT_CR, true },
        { AFTER_LF, '.', AFTER_LF_DOT, false },
        { AFTER_LF_DOT, '\r', AFTER_LF_DOT_CR, false },
        { AFTER_LF_DOT, '\n', AFTER_LF_DOT, true },
        { AFTER_LF_DOT_CR, '\n', AFTER_LF_DOT_CR, true },
};

/* And any other byte, before which these turn out to have been content. NULL: it is content as well. */
static const struct {
        const char *held;
        enum pop3_unstuff_state to;
} otherwise[] = {
        [AFTER_DOT] = { "", IN_LINE },
        [AFTER_DOT_CR] = { "\r", AFTER_CR },
        [AFTER_LF] = { "", IN_LINE },
        [AFTER_LF_DOT] = { ".", IN_LINE },
        [AFTER_LF_DOT_CR] = { ".\r", AFTER_CR },
        [AT_START] = { NULL, IN_LINE },
        [IN_LINE] = { NULL, IN_LINE },
        [AFTER_CR] = { NULL, IN_LINE },
};

static const struct unstuff_step *step_at(const struct pop3_unstuff *unstuff, uint8_t byte)
{
        for (size_t i = 0; i < count_of(steps); i++)
                if (steps[i].from == unstuff->state && steps[i].byte == byte)
                        return &steps[i];
        return NULL;
}

bool pop3_unstuff_next(struct pop3_unstuff *unstuff, struct pop3_input *input, struct pop3_input *out_piece)
{
        while (input->len && !unstuff->ended) {
                const struct unstuff_step *step = step_at(unstuff, input->bytes[0]);
                const char *held = otherwise[unstuff->state].held;

                if (step) {
                        unstuff->state = step->to;
                        unstuff->ended = step->ends;
                        take_bytes(input, 1);
                        continue;
                }
                if (!held) {
                        take_run(unstuff, input, out_piece);
                        return true;
                }
                unstuff->state = otherwise[unstuff->state].to;
                if (*held) {
                        *out_piece = (struct pop3_input){ (const uint8_t *)held, strlen(held) };
                        return true;
                }
        }
        return false;
}
