/* SPDX-License-Identifier: MIT */
/* What every part of the session says and does to it: replies, wishes, the end of a message or of all. */
#include "common/esmtp/parts.h"
#include "common/printable.h"

enum { REPLY_TEXT = 400 };

/* ---- replies ---- */

/* One line: printable ASCII, within the 512 bytes of RFC 5321 section 4.5.3.1.5. */
static void say_line(struct esmtp *esmtp, int code, char between, const char *enhanced, const char *text)
{
        char clean[REPLY_TEXT];

        (void)printable_copy(clean, sizeof clean, text, strlen(text));
        for (char *c = clean; *c; c++)
                if ((unsigned char)*c > 126)
                        *c = '?';
        if (buf_appendf(&esmtp->out, "%d%c%s%s%s\r\n", code, between, enhanced ? enhanced : "",
                        enhanced ? " " : "", clean) < 0)
                esmtp->state = STATE_OVER; /* ESMTP_FLUSH comes long before */
}

void esmtp_reply(struct esmtp *esmtp, int code, const char *enhanced, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        scoped(scoped_free) char *text = text_of_list(format, args);
        va_end(args);
        say_line(esmtp, code, ' ', enhanced, text);
}

void esmtp_say_answer(struct esmtp *esmtp, const struct esmtp_answer *answer)
{
        bool more = answer->remedy && answer->remedy[0];

        say_line(esmtp, answer->code, more ? '-' : ' ', answer->enhanced, answer->text ? answer->text : "no");
        if (more) {
                scoped(scoped_free) char *text = text_of("what to do: %s", answer->remedy);
                say_line(esmtp, answer->code, ' ', answer->enhanced, text);
        }
        if (answer->end)
                esmtp->state = STATE_OVER;
}

void esmtp_wrong(struct esmtp *esmtp, int code, const char *enhanced, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        scoped(scoped_free) char *text = text_of_list(format, args);
        va_end(args);
        say_line(esmtp, code, ' ', enhanced, text);
        if (++esmtp->errors < ESMTP_ERRORS)
                return;
        esmtp_reply(esmtp, 421, "4.7.0", "%s: too many commands were wrong", esmtp->hostname);
        esmtp->offence = "too many wrong commands";
        esmtp->state = STATE_OVER;
}

void esmtp_offended(struct esmtp *esmtp, const char *enhanced, const char *offence)
{
        if (esmtp->state == STATE_OVER)
                return;
        esmtp_reply(esmtp, 521, enhanced, "%s: %s", esmtp->hostname, offence);
        esmtp->offence = offence;
        esmtp->state = STATE_OVER;
}

/* ---- the session ---- */

void esmtp_drop_last_recipient(struct esmtp_envelope *envelope)
{
        struct esmtp_recipient *last = &envelope->recipients[--envelope->recipient_count];

        free(last->address);
        free(last->original);
}

void esmtp_envelope_done(struct esmtp_envelope *envelope)
{
        while (envelope->recipient_count)
                esmtp_drop_last_recipient(envelope);
        free(envelope->recipients);
        free(envelope->from);
        free(envelope->envelope_id);
        *envelope = (struct esmtp_envelope){ 0 };
}

void esmtp_reset(struct esmtp *esmtp)
{
        esmtp_envelope_done(&esmtp->envelope);
        esmtp->has_mail = esmtp->in_message = esmtp->chunked = esmtp->last_chunk = esmtp->skipping = false;
        esmtp->taken = 0;
        esmtp->user->forget(esmtp->ctx);
}

void esmtp_wish(struct esmtp *esmtp, enum esmtp_want want)
{
        esmtp->want = want;
        esmtp->state = STATE_WANTS;
}
