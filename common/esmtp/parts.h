/* SPDX-License-Identifier: MIT */
/* What server.c (lines, answers), reply.c (what is said), command.c (the table of commands, AUTH), envelope.c
 * (MAIL and RCPT) and content.c (DATA and BDAT) share; nobody else includes this. */
#pragma once

#include "common/esmtp/server.h"
#include "common/limits.h"

enum {
        ESMTP_LINE = 4 * KIB, /* a command; RFC 5321 has 512, extensions lengthen it */
        ESMTP_SIGNIN_LINE = LIMIT_SASL_MESSAGE + 64,
        ESMTP_ERRORS = 10,         /* refused commands, then the session ends */
        ESMTP_IDLE_COMMANDS = 200, /* commands without a message among them */
        ESMTP_OUT = 16 * KIB,      /* replies that wait before more is read */
};

enum esmtp_state {
        STATE_COMMAND,
        STATE_SIGNIN, /* a line of AUTH is awaited */
        STATE_DATA,   /* a message up to its dot */
        STATE_CHUNK,  /* chunk_left bytes of BDAT */
        STATE_WANTS,  /* the wish waits for its answer */
        STATE_OVER,
};

/* Where the next byte of a message stands. */
enum esmtp_place { LINE_START, IN_LINE, AFTER_CR, AFTER_DOT, AFTER_DOT_CR };

enum esmtp_line_end { ENDS_UNKNOWN, ENDS_BY_CRLF, ENDS_BY_LF };

struct esmtp {
        const struct esmtp_user *user;
        void *ctx;
        char *hostname;
        uint64_t max_size;
        bool standard_input;
        enum esmtp_line_end line_end;
        enum esmtp_state state;
        enum esmtp_want want; /* in STATE_WANTS */
        struct buf out;
        struct buf line; /* of a line that has not come whole */
        const char *offence;

        bool offers_starttls, secure, signed_in;
        const char *mechanisms; /* static or the owner's; NULL */
        bool extended;          /* EHLO was said */
        char *hello;            /* NULL: neither EHLO nor HELO was said */
        unsigned errors, idle;
        size_t ahead; /* bytes that came behind the command being done */

        bool has_mail; /* MAIL was accepted */
        struct esmtp_envelope envelope;

        enum esmtp_place place; /* of the message */
        uint64_t taken;         /* bytes of it */
        bool in_message;        /* ESMTP_DATA was answered yes */
        bool chunked, last_chunk;
        uint64_t chunk_left;
        bool skipping; /* what comes is not wanted: refusal is said at the end */
        struct refusal {
                int code;
                char enhanced[8];
                char text[128];
        } refusal;

        char mechanism[24];
        bool signin_first;
        uint8_t *said; /* in AUTH; wiped */
        size_t said_len;
};

/* ---- reply.c ---- */
void esmtp_envelope_done(struct esmtp_envelope *envelope);
void esmtp_drop_last_recipient(struct esmtp_envelope *envelope);
void esmtp_reply(struct esmtp *esmtp, int code, const char *enhanced, const char *format, ...)
        printf_like(4, 5);
/* The same for a command that was wrong: it counts, and too many of them end the session. */
void esmtp_wrong(struct esmtp *esmtp, int code, const char *enhanced, const char *format, ...)
        printf_like(4, 5);
/* 521 or 421 and the end; `offence` is static. */
void esmtp_offended(struct esmtp *esmtp, const char *enhanced, const char *offence);
void esmtp_wish(struct esmtp *esmtp, enum esmtp_want want);
/* MAIL has not been said. */
void esmtp_reset(struct esmtp *esmtp);
void esmtp_say_answer(struct esmtp *esmtp, const struct esmtp_answer *answer);

/* ---- command.c ---- */
void esmtp_command(struct esmtp *esmtp, char *line);
void esmtp_on_auth(struct esmtp *esmtp, char *rest);
void esmtp_signin_line(struct esmtp *esmtp, const char *line);
void esmtp_signin_over(struct esmtp *esmtp);

/* ---- envelope.c ---- */
void esmtp_on_mail(struct esmtp *esmtp, char *rest);
void esmtp_on_rcpt(struct esmtp *esmtp, char *rest);

/* ---- content.c ---- */
void esmtp_on_data(struct esmtp *esmtp, char *rest);
void esmtp_on_bdat(struct esmtp *esmtp, char *rest);
/* Both return how many bytes were used. */
size_t esmtp_take_data(struct esmtp *esmtp, const uint8_t *bytes, size_t len);
size_t esmtp_take_chunk(struct esmtp *esmtp, const uint8_t *bytes, size_t len);
/* ESMTP_DATA was answered. */
void esmtp_begin_message(struct esmtp *esmtp, const struct esmtp_answer *answer);
