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
        return unstuff->expected && !unstuff->crlf && taken + unstuff->bare + taken / 8 + 16 >= unstuff->expected;
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

bool pop3_unstuff_next(struct pop3_unstuff *unstuff, struct pop3_input *input, struct pop3_input *out_piece)
{
        while (input->len && !unstuff->ended) {
                uint8_t next = input->bytes[0];

                switch (unstuff->state) {
                case AT_START:
                        if (next != '.') {
                                take_run(unstuff, input, out_piece);
                                return true;
                        }
                        unstuff->state = AFTER_DOT;
                        take_bytes(input, 1);
                        break;
                case AFTER_DOT:
                        unstuff->state = next == '\r' ? AFTER_DOT_CR : IN_LINE;
                        if (next == '\r')
                                take_bytes(input, 1);
                        break;
                case AFTER_DOT_CR:
                        if (next == '\n') {
                                unstuff->ended = true;
                                take_bytes(input, 1);
                                break;
                        }
                        unstuff->state = AFTER_CR;
                        *out_piece = (struct pop3_input){ (const uint8_t *)"\r", 1 };
                        return true;
                case AFTER_LF:
                        unstuff->state = next == '.' ? AFTER_LF_DOT : IN_LINE;
                        if (next == '.')
                                take_bytes(input, 1);
                        break;
                case AFTER_LF_DOT:
                        if (next == '\r' || next == '\n') {
                                unstuff->ended = next == '\n';
                                unstuff->state = AFTER_LF_DOT_CR;
                                take_bytes(input, 1);
                                break;
                        }
                        unstuff->state = IN_LINE;
                        *out_piece = (struct pop3_input){ (const uint8_t *)".", 1 };
                        return true;
                case AFTER_LF_DOT_CR:
                        if (next == '\n') {
                                unstuff->ended = true;
                                take_bytes(input, 1);
                                break;
                        }
                        unstuff->state = AFTER_CR;
                        *out_piece = (struct pop3_input){ (const uint8_t *)".\r", 2 };
                        return true;
                case IN_LINE:
                case AFTER_CR:
                        take_run(unstuff, input, out_piece);
                        return true;
                }
        }
        return false;
}
