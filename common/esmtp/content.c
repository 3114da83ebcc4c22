/* SPDX-License-Identifier: MIT */
/*
 * The message: DATA up to its dot, or BDAT chunks by their length. Dots are taken off; a CR or an LF that is
 * no end of a line ends the session, for what follows it could be read as the next command by one server and
 * as text by another (SMTP smuggling).
 */
#include "common/esmtp/parts.h"

#include <stdio.h>
#include <strings.h>

static const char bare[] = "a CR or LF stands alone in the message: a line ends with CR LF";

/* The first refusal counts. What is left of the message is read and dropped, and the refusal said
 * at its end, where the client looks for a reply. */
static void refuse_message(struct esmtp *esmtp, int code, const char *enhanced, const char *text)
{
        if (esmtp->skipping)
                return;
        esmtp->skipping = true;
        esmtp->refusal.code = code;
        (void)snprintf(esmtp->refusal.enhanced, sizeof esmtp->refusal.enhanced, "%s", enhanced);
        (void)snprintf(esmtp->refusal.text, sizeof esmtp->refusal.text, "%s", text);
        esmtp->user->forget(esmtp->ctx);
}

static void say_refusal(struct esmtp *esmtp)
{
        struct refusal refusal = esmtp->refusal;

        esmtp_reset(esmtp);
        esmtp->state = STATE_COMMAND;
        esmtp_wrong(esmtp, refusal.code, refusal.enhanced, "%s", refusal.text);
}

/* Bytes of the message, or of one that is not wanted. */
static void give(struct esmtp *esmtp, const uint8_t *bytes, size_t len)
{
        if (!len)
                return;
        esmtp->taken += len;
        if (esmtp->taken > esmtp->max_size + LIMIT_HEADER) /* of the header fields may be dropped */
                refuse_message(esmtp, 552, "5.3.4", "the message is larger than the limit that SIZE tells");
        if (esmtp->taken > 2 * esmtp->max_size + LIMIT_HEADER)
                esmtp_offended(esmtp, "5.3.4", "a message without end");
        if (!esmtp->skipping)
                esmtp->user->body(esmtp->ctx, bytes, len);
}

/* The end of a line from `at` on, within IN_LINE: the place behind what was looked at; false: a CR or LF
 * stands alone. */
static bool to_line_end(struct esmtp *esmtp, const uint8_t *bytes, size_t len, size_t *at)
{
        bool by_lf = esmtp->line_end == ENDS_BY_LF;
        const uint8_t *from = bytes + *at;
        const uint8_t *end = memchr(from, by_lf ? '\n' : '\r', len - *at);
        size_t line = end ? (size_t)(end - from) : len - *at;

        if (memchr(from, by_lf ? '\r' : '\n', line))
                return false;
        *at += line + (end ? 1 : 0);
        if (end)
                esmtp->place = by_lf ? LINE_START : AFTER_CR;
        return true;
}

/* One step in DATA from `at` on. 1: the message has ended, behind *at; -1: a CR or LF stands alone. */
static int data_step(struct esmtp *esmtp, const uint8_t *bytes, size_t len, size_t *at, size_t *run)
{
        uint8_t end = esmtp->line_end == ENDS_BY_LF ? '\n' : '\r';

        switch (esmtp->place) {
        case LINE_START:
                esmtp->place = IN_LINE;
                if (bytes[*at] != '.')
                        return 0;
                give(esmtp, bytes + *run, *at - *run);
                *run = ++*at;
                esmtp->place = AFTER_DOT;
                return 0;
        case IN_LINE:
                return to_line_end(esmtp, bytes, len, at) ? 0 : -1;
        case AFTER_CR:
                esmtp->place = LINE_START;
                return bytes[(*at)++] == '\n' ? 0 : -1;
        case AFTER_DOT:
                *run = *at;
                esmtp->place = IN_LINE;
                if (bytes[*at] != end)
                        return 0;
                *run = ++*at;
                esmtp->place = AFTER_DOT_CR;
                return end == '\n' ? 1 : 0;
        case AFTER_DOT_CR:
                *run = *at + 1;
                return bytes[(*at)++] == '\n' ? 1 : -1;
        }
        return -1;
}

size_t esmtp_take_data(struct esmtp *esmtp, const uint8_t *bytes, size_t len)
{
        size_t at = 0, run = 0;
        int result = 0;

        while (at < len && result == 0)
                result = data_step(esmtp, bytes, len, &at, &run);
        if (result < 0) {
                esmtp_offended(esmtp, "5.5.2", bare);
                return len;
        }
        give(esmtp, bytes + run, result ? 0 : at - run);
        if (!result || esmtp->state == STATE_OVER)
                return at;
        if (esmtp->skipping)
                say_refusal(esmtp);
        else
                esmtp_wish(esmtp, ESMTP_COMMIT);
        return at;
}

/* ---- BDAT ---- */

static void end_chunk(struct esmtp *esmtp)
{
        esmtp->state = STATE_COMMAND;
        /* A message that ends in half of a line end. */
        if (esmtp->last_chunk && esmtp->place == AFTER_CR && !esmtp->skipping) {
                esmtp_offended(esmtp, "5.5.2", bare);
        } else if (esmtp->skipping && (esmtp->last_chunk || !esmtp->in_message)) {
                say_refusal(esmtp);
        } else if (esmtp->skipping) { /* the rest of the chunks comes all the same */
                esmtp_reply(esmtp, esmtp->refusal.code, esmtp->refusal.enhanced, "%s", esmtp->refusal.text);
        } else if (esmtp->last_chunk) {
                esmtp_wish(esmtp, ESMTP_COMMIT);
        } else {
                esmtp_reply(esmtp, 250, "2.0.0", "%llu bytes so far", (unsigned long long)esmtp->taken);
        }
}

size_t esmtp_take_chunk(struct esmtp *esmtp, const uint8_t *bytes, size_t len)
{
        size_t piece = len < esmtp->chunk_left ? len : (size_t)esmtp->chunk_left, at = 0;

        while (at < piece && !esmtp->skipping) {
                if (esmtp->place == LINE_START)
                        esmtp->place = IN_LINE;
                if (esmtp->place == AFTER_CR ? bytes[at] != '\n' : !to_line_end(esmtp, bytes, piece, &at)) {
                        esmtp_offended(esmtp, "5.5.2", bare);
                        return len;
                }
                if (esmtp->place == AFTER_CR && at < piece && bytes[at] == '\n') {
                        at++;
                        esmtp->place = LINE_START;
                }
        }
        esmtp->chunk_left -= piece;
        give(esmtp, bytes, piece);
        if (!esmtp->chunk_left && esmtp->state == STATE_CHUNK)
                end_chunk(esmtp);
        return piece;
}

/* ---- commands ---- */

static const char *not_ready(const struct esmtp *esmtp)
{
        if (!esmtp->has_mail)
                return "say MAIL first";
        return esmtp->envelope.recipient_count ? NULL : "there is no recipient";
}

/* What was sent ahead of the go-ahead would be read as commands, were DATA refused (RFC 2920 section 3.1). */
void esmtp_on_data(struct esmtp *esmtp, unused_arg char *rest)
{
        const char *why = not_ready(esmtp);

        if (esmtp->ahead && (!esmtp->standard_input || why))
                esmtp_offended(esmtp, "5.5.0", why ? why : "bytes came behind DATA, ahead of its go-ahead");
        else if (why || esmtp->in_message)
                esmtp_wrong(esmtp, why && esmtp->has_mail ? 554 : 503, "5.5.1", "%s",
                            why ? why : "BDAT was said already");
        else
                esmtp_wish(esmtp, ESMTP_DATA);
}

void esmtp_on_bdat(struct esmtp *esmtp, char *rest)
{
        size_t digits = strspn(rest, "0123456789"), blanks = strspn(rest + digits, " ");
        const char *word = rest + digits + blanks, *why = not_ready(esmtp);
        bool last = blanks && strcasecmp(word, "LAST") == 0;

        if (!digits || digits > 18 || (word[0] && !last)) { /* where the next command begins is not known */
                esmtp_offended(esmtp, "5.5.4", "write BDAT LENGTH, or BDAT LENGTH LAST");
                return;
        }
        esmtp->chunk_left = strtoull(rest, NULL, 10);
        esmtp->chunked = true;
        esmtp->last_chunk = last;
        if (why) {
                refuse_message(esmtp, 503, "5.5.1", why);
                esmtp->state = STATE_CHUNK;
        } else if (!esmtp->in_message) {
                esmtp_wish(esmtp, ESMTP_DATA);
        } else {
                esmtp->state = STATE_CHUNK;
        }
}

void esmtp_begin_message(struct esmtp *esmtp, const struct esmtp_answer *answer)
{
        esmtp->taken = 0;
        /* A chunk has no dots that would have to be taken off (RFC 3030). */
        esmtp->place = esmtp->chunked ? IN_LINE : LINE_START;
        if (!esmtp->chunked && answer->code) {
                esmtp->state = STATE_COMMAND;
                esmtp_say_answer(esmtp, answer);
                esmtp_reset(esmtp);
                if (esmtp->ahead) /* the message, on standard input: no commands */
                        esmtp->state = STATE_OVER;
                return;
        }
        esmtp->in_message = true;
        esmtp->skipping = false;
        if (!esmtp->chunked) {
                esmtp->state = STATE_DATA;
                esmtp_reply(esmtp, 354, NULL, "end the message with a dot on a line of its own");
                return;
        }
        esmtp->state = STATE_CHUNK;
        if (answer->code)
                refuse_message(esmtp, answer->code, answer->enhanced, answer->text ? answer->text : "no");
        if (answer->end)
                esmtp_say_answer(esmtp, answer);
}
