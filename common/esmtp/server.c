/* SPDX-License-Identifier: MIT */
/*
 * The session as a whole: what came is cut into lines or handed on as content, wishes stop the work, answers
 * let it go on. A line that is split is kept, never more than one; a line ends by CRLF alone, or, on standard
 * input, by what ended the first one.
 */
#include "common/esmtp/parts.h"

/* Replies that were not sent yet; the work stops (ESMTP_FLUSH) long before. */
enum { OUT_MOST = 64 * KIB };

struct esmtp *esmtp_new(const struct esmtp_rules *rules, const struct esmtp_user *user, void *ctx)
{
        struct esmtp *esmtp = new_object(struct esmtp);

        esmtp->user = user;
        esmtp->ctx = ctx;
        esmtp->hostname = copy_text(rules->hostname);
        esmtp->max_size = rules->max_size;
        esmtp->standard_input = rules->standard_input;
        esmtp->line_end = rules->standard_input ? ENDS_UNKNOWN : ENDS_BY_CRLF;
        buf_init(&esmtp->out, OUT_MOST);
        buf_init(&esmtp->line, ESMTP_SIGNIN_LINE);
        return esmtp;
}

void esmtp_free(struct esmtp *esmtp)
{
        if (!esmtp)
                return;
        esmtp_signin_over(esmtp);
        esmtp_envelope_done(&esmtp->envelope);
        buf_free(&esmtp->out);
        buf_wipe(&esmtp->line);
        free(esmtp->hello);
        free(esmtp->hostname);
        free(esmtp);
}

/* ---- the session ---- */

void esmtp_greet(struct esmtp *esmtp, const struct esmtp_answer *refused)
{
        if (!refused) {
                esmtp_reply(esmtp, 220, NULL, "%s ESMTP emailsecd", esmtp->hostname);
                return;
        }
        esmtp_say_answer(esmtp, refused);
        esmtp->state = STATE_OVER;
}

void esmtp_farewell(struct esmtp *esmtp, const struct esmtp_answer *answer)
{
        if (esmtp->state == STATE_OVER)
                return;
        esmtp_say_answer(esmtp, answer);
        esmtp->state = STATE_OVER;
}

void esmtp_offer(struct esmtp *esmtp, bool starttls, const char *mechanisms)
{
        esmtp->offers_starttls = starttls;
        esmtp->mechanisms = mechanisms;
}

/* What was learned in clear is forgotten, the greeting too (RFC 3207 section 4.2). */
void esmtp_secured(struct esmtp *esmtp)
{
        esmtp_reset(esmtp);
        esmtp_signin_over(esmtp);
        buf_wipe(&esmtp->line);
        free(take(esmtp->hello));
        esmtp->extended = false;
        esmtp->secure = true;
        esmtp->state = STATE_COMMAND;
}

/* ---- lines ---- */

/* Where the line ends that begins here: the length without its end, *whole with it; -1: its end has not come;
 * -2: it has a CR or LF that is no end. */
static ssize_t line_length(struct esmtp *esmtp, const uint8_t *bytes, size_t len, size_t *whole)
{
        const uint8_t *lf = memchr(bytes, '\n', len);
        size_t upto = lf ? (size_t)(lf - bytes) : len;
        const uint8_t *cr = memchr(bytes, '\r', upto);

        if (esmtp->line_end == ENDS_UNKNOWN && lf)
                esmtp->line_end = cr ? ENDS_BY_CRLF : ENDS_BY_LF;
        bool by_lf = esmtp->line_end == ENDS_BY_LF;
        if (cr && (by_lf || cr + 1 != bytes + upto)) /* one that is last so far may be half of an end */
                return -2;
        if (!lf)
                return -1;
        if (!by_lf && !cr)
                return -2;
        *whole = upto + 1;
        return (ssize_t)(by_lf ? upto : upto - 1);
}

/* All of a line is in esmtp->line, ended by a NUL. */
static void do_line(struct esmtp *esmtp, size_t len)
{
        char *line = (char *)esmtp->line.memory + esmtp->line.start;

        line[len] = '\0';
        if (strlen(line) != len)
                esmtp_offended(esmtp, "5.5.2", "a NUL byte in a command");
        else if (esmtp->state == STATE_SIGNIN)
                esmtp_signin_line(esmtp, line);
        else
                esmtp_command(esmtp, line);
        buf_wipe(&esmtp->line); /* it may have held a password */
}

/* Takes one line, or what there is of it. */
static size_t take_line(struct esmtp *esmtp, const uint8_t *bytes, size_t len)
{
        size_t most = esmtp->state == STATE_SIGNIN ? ESMTP_SIGNIN_LINE : ESMTP_LINE;
        size_t before = esmtp->line.len, piece = len < most ? len : most;

        /* Only a CR at the end of what was kept can be half of an end: looked at anew from there. */
        const uint8_t *lf = memchr(bytes, '\n', piece);
        size_t taken = lf ? (size_t)(lf - bytes) + 1 : piece;
        if (before + taken > most || buf_append(&esmtp->line, bytes, taken) < 0) {
                esmtp_offended(esmtp, "5.5.2", "a line is too long");
                return len;
        }
        size_t whole = 0;
        ssize_t length = line_length(esmtp, buf_bytes(&esmtp->line), esmtp->line.len, &whole);
        if (length == -2) {
                esmtp_offended(esmtp, "5.5.2", "a line ends with CR LF, and neither of these stands alone");
                return len;
        }
        if (length < 0)
                return taken;
        /* What came behind this line, which STARTTLS must not have. */
        esmtp->ahead = len - taken;
        do_line(esmtp, (size_t)length);
        return taken;
}

enum esmtp_want esmtp_work(struct esmtp *esmtp, const uint8_t *bytes, size_t len, size_t *used)
{
        *used = 0;
        for (;;) {
                const uint8_t *at = bytes + *used;
                size_t left = len - *used;
                if (esmtp->state == STATE_OVER) {
                        *used = len;
                        return ESMTP_END;
                }
                if (esmtp->state == STATE_WANTS)
                        return esmtp->want;
                if (esmtp->out.len >= ESMTP_OUT)
                        return ESMTP_FLUSH;
                /* A chunk of no bytes (BDAT 0 LAST) ends without more input. */
                if (!left && !(esmtp->state == STATE_CHUNK && !esmtp->chunk_left))
                        return ESMTP_INPUT;
                if (esmtp->state == STATE_DATA)
                        *used += esmtp_take_data(esmtp, at, left);
                else if (esmtp->state == STATE_CHUNK)
                        *used += esmtp_take_chunk(esmtp, at, left);
                else
                        *used += take_line(esmtp, at, left);
        }
}

/* ---- answers ---- */

static void mail_answered(struct esmtp *esmtp, const struct esmtp_answer *answer)
{
        esmtp->state = STATE_COMMAND;
        if (answer->code) {
                esmtp_say_answer(esmtp, answer); /* its words may be of the envelope */
                esmtp_reset(esmtp);
                return;
        }
        esmtp->has_mail = true;
        esmtp_reply(esmtp, 250, "2.1.0", "sender ok");
}

static void recipient_answered(struct esmtp *esmtp, const struct esmtp_answer *answer)
{
        esmtp->state = STATE_COMMAND;
        if (!answer->code) {
                esmtp_reply(esmtp, 250, "2.1.5", "recipient ok");
                return;
        }
        esmtp_say_answer(esmtp, answer);
        esmtp_drop_last_recipient(&esmtp->envelope);
}

static void commit_answered(struct esmtp *esmtp, const struct esmtp_answer *answer)
{
        esmtp->state = STATE_COMMAND;
        if (answer->code) {
                esmtp_say_answer(esmtp, answer);
        } else {
                /* A message that was taken makes good what was held against the client. */
                esmtp->errors = esmtp->idle = 0;
                esmtp_reply(esmtp, 250, "2.0.0", "%s", answer->text ? answer->text : "ok");
        }
        esmtp_reset(esmtp);
}

static void signin_answered(struct esmtp *esmtp, const struct esmtp_answer *answer)
{
        esmtp->state = STATE_COMMAND;
        esmtp_signin_over(esmtp);
        if (answer->code) {
                esmtp_say_answer(esmtp, answer);
                return;
        }
        esmtp->signed_in = true;
        esmtp_reply(esmtp, 235, "2.7.0", "signed in");
}

void esmtp_answer(struct esmtp *esmtp, const struct esmtp_answer *answer)
{
        if (esmtp->state != STATE_WANTS)
                return;
        switch (esmtp->want) {
        case ESMTP_MAIL:
                mail_answered(esmtp, answer);
                break;
        case ESMTP_RECIPIENT:
                recipient_answered(esmtp, answer);
                break;
        case ESMTP_DATA:
                esmtp_begin_message(esmtp, answer);
                break;
        case ESMTP_COMMIT:
                commit_answered(esmtp, answer);
                break;
        case ESMTP_SIGNIN:
                signin_answered(esmtp, answer);
                break;
        case ESMTP_INPUT:
        case ESMTP_FLUSH:
        case ESMTP_STARTTLS:
        case ESMTP_END:
                break; /* no questions */
        }
}

/* ---- looking ---- */

struct buf *esmtp_out(struct esmtp *esmtp)
{
        return &esmtp->out;
}

const struct esmtp_envelope *esmtp_envelope(const struct esmtp *esmtp)
{
        return &esmtp->envelope;
}

/* Of the recipient that was named last: the one that the daemon is asked about. */
void esmtp_redirect(struct esmtp *esmtp, const char *address)
{
        struct esmtp_envelope *envelope = &esmtp->envelope;
        char *fresh = copy_text(address);

        if (!envelope->recipient_count) {
                free(fresh);
                return;
        }
        free(envelope->recipients[envelope->recipient_count - 1].address);
        envelope->recipients[envelope->recipient_count - 1].address = fresh;
}

/* For the Received field: what could not stand there is left out as a whole. */
const char *esmtp_hello(const struct esmtp *esmtp)
{
        static const char legal[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]";
        const char *hello = esmtp->hello ? esmtp->hello : "";

        return hello[strspn(hello, legal)] ? "" : hello;
}

const char *esmtp_protocol(const struct esmtp *esmtp)
{
        /* The names of RFC 3848, and of RFC 6531 section 4.3. */
        static const char *const names[2][2][2] = {
                { { "ESMTP", "ESMTPA" }, { "ESMTPS", "ESMTPSA" } },
                { { "UTF8SMTP", "UTF8SMTPA" }, { "UTF8SMTPS", "UTF8SMTPSA" } },
        };

        if (!esmtp->extended)
                return "SMTP";
        return names[esmtp->envelope.utf8][esmtp->secure][esmtp->signed_in];
}

bool esmtp_is_secure(const struct esmtp *esmtp)
{
        return esmtp->secure;
}

bool esmtp_in_body(const struct esmtp *esmtp)
{
        return esmtp->state == STATE_DATA || esmtp->state == STATE_CHUNK;
}

const char *esmtp_offence(const struct esmtp *esmtp)
{
        return esmtp->offence;
}
