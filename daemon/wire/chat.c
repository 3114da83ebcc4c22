/* SPDX-License-Identifier: MIT */
/*
 * The step driver below SMTP, IMAP and POP3: the one place that changes a step,
 * arms its wait, cuts lines, keeps the gate before TLS and the rule that nothing
 * may lie beyond the go-ahead for STARTTLS (security rules 2, 3, 21, 22).
 */
#include "daemon/wire/chat.h"

#include "common/limits.h"

#include <stdarg.h>
#include <stdio.h>

/* What may lie in `in` beside an incomplete line: one read of a connection. */
enum { ONE_READ = 64 * KIB };

static const char *step_name(const struct chat *chat, int step)
{
        static const char *const common[CHAT_FIRST_STEP] = {
                [STEP_FAILED] = "failed", [STEP_HANDSHAKE] = "handshake", [STEP_READY] = "ready",
                [STEP_ENDED] = "ended",   [STEP_SAME] = "start",
        };

        return step < CHAT_FIRST_STEP ? common[step] : chat->steps[step].name;
}

void chat_init(struct chat *chat, const struct chat_class *class, const struct chat_step *steps,
               size_t max_in)
{
        *chat = (struct chat){
                .class = class,
                .steps = steps,
                .step = STEP_SAME,
                .state = CHAT_TALKING,
                .cause = &cause_none,
                .refused = &cause_none,
                .phrase = "waiting for the server",
                .in = BUF_WITH_MAX(max_in + ONE_READ + 2),
                .out = BUF_WITH_MAX(LIMIT_OUTPUT),
                .max_line = max_in,
        };
}

void chat_done(struct chat *chat)
{
        buf_wipe(&chat->in);
        buf_wipe(&chat->out);
        cause_keep(&chat->cause, NULL);
        cause_keep(&chat->refused, NULL);
        free(take(chat->signin_broken));
        free(take(chat->greeting));
        if (chat->calculation)
                chat->calculation->free(take(chat->calculation));
        chat->searched = 0;
}

void chat_release(struct chat *chat)
{
        buf_release(&chat->in);
        buf_release(&chat->out);
}

bool chat_is_over(const struct chat *chat)
{
        return chat->state == CHAT_FAILED || chat->state == CHAT_ENDED || chat->state == CHAT_WANTS_TLS;
}

void chat_touch(struct chat *chat)
{
        if (chat->due)
                chat->due(chat->owner);
}

void chat_progress(struct chat *chat, size_t len)
{
        chat->progress += len;
}

/* ---- steps ---- */

/* The step and what is awaited in it; `phrase` NULL: nothing is. */
static void enter(struct chat *chat, int step, enum chat_state state, unsigned wait, const char *phrase)
{
        if (chat->traced_step)
                chat->traced_step(chat->trace_ctx, step_name(chat, chat->step), step_name(chat, step));
        chat->step = step;
        chat->state = state;
        chat->wait = wait;
        chat->phrase = phrase;
        chat->idle = phrase == NULL;
        chat->waits++;
        chat_touch(chat);
}

/* A refusal that is kept says more than how the next try ended, unless that is one about the password. */
static int fail(struct chat *chat, const struct cause *cause)
{
        bool password = cause->code == CAUSE_AUTHENTICATION || cause->code == CAUSE_SERVER_SIGNATURE;

        cause_keep(&chat->cause, cause_happened(chat->refused) && !password ? chat->refused : cause);
        enter(chat, STEP_FAILED, CHAT_FAILED, 0, NULL);
        buf_wipe(&chat->out);
        return STEP_FAILED;
}

/* The sentence of a cause, unless it repeats a secret. */
static const char *fit_to_tell(const struct chat *chat, const char *words)
{
        return chat->hides && chat->hides(chat, words, strlen(words))
                       ? "the server's words repeat the secret and are left out"
                       : words;
}

int chat_fail(struct chat *chat, enum cause_code code, const char *format, ...)
{
        if (chat->state == CHAT_FAILED)
                return STEP_FAILED; /* the first cause is the one that counts */
        struct cause cause;
        va_list args;
        va_start(args, format);
        scoped(scoped_free) char *words = text_of_list(format, args);
        va_end(args);
        cause_set(&cause, code, "%s", fit_to_tell(chat, words));
        return fail(chat, &cause);
}

int chat_fail_with(struct chat *chat, const struct cause *cause)
{
        if (chat->state == CHAT_FAILED)
                return STEP_FAILED;
        struct cause told = *cause;
        (void)snprintf(told.text, sizeof told.text, "%s", fit_to_tell(chat, cause->text));
        return fail(chat, &told);
}

void chat_refused(struct chat *chat, const struct cause *cause)
{
        struct cause told = *cause;

        (void)snprintf(told.text, sizeof told.text, "%s", fit_to_tell(chat, cause->text));
        if (chat->refused->code != CAUSE_AUTHENTICATION)
                cause_keep(&chat->refused, &told);
}

void chat_signed_in(struct chat *chat, const char *mechanism, char *broken)
{
        chat->signed_in_by = mechanism;
        free(chat->signin_broken);
        chat->signin_broken = broken;
        cause_keep(&chat->refused, NULL);
}

/* Security rule 3: bytes that came with the go-ahead were sent by someone who
 * hopes that we take them for words said inside TLS. */
static void go_handshake(struct chat *chat)
{
        if (chat->in.len > 0) {
                chat_fail(chat, CAUSE_INJECTION, "%zu bytes came beyond the go-ahead for TLS", chat->in.len);
                return;
        }
        chat->injection_checked = true;
        enter(chat, STEP_HANDSHAKE, CHAT_WANTS_TLS, 0, "waiting for the TLS handshake");
}

static void go_own_step(struct chat *chat, int step)
{
        const struct chat_step *row = &chat->steps[step];

        enter(chat, step, CHAT_TALKING, row->wait, row->phrase);
        if (row->say)
                row->say(chat);
}

void chat_go(struct chat *chat, int step)
{
        if (chat->state == CHAT_FAILED)
                return;
        switch (step) {
        case STEP_FAILED:
                chat_fail(chat, CAUSE_INTERNAL, "the step %s failed without a cause",
                          step_name(chat, chat->step));
                break;
        case STEP_HANDSHAKE:
                go_handshake(chat);
                break;
        case STEP_READY:
                enter(chat, step, CHAT_READY, 0, NULL);
                break;
        case STEP_ENDED:
                enter(chat, step, CHAT_ENDED, 0, NULL);
                break;
        case STEP_SAME:
                chat->waits++;
                chat_touch(chat);
                break;
        default: /* the protocol's own: not words of one enum */
                go_own_step(chat, step);
                break;
        }
}

void chat_hear(struct chat *chat, const void *reply)
{
        if (chat_is_over(chat))
                return;
        if (chat->step < CHAT_FIRST_STEP || !chat->steps[chat->step].heard || chat->calculated) {
                chat_fail(chat, CAUSE_PROTOCOL, "the server spoke out of turn");
                return;
        }
        chat->bound |= chat->said;
        chat_go(chat, chat->steps[chat->step].heard(chat, reply));
}

/* ---- calculations ---- */

int chat_calculate(struct chat *chat, struct calculation *calculation,
                   int (*then)(struct chat *chat, const struct calculation *calculation))
{
        chat->calculation = calculation;
        chat->calculated = then;
        chat_touch(chat);
        return STEP_SAME;
}

void chat_calculated(struct chat *chat, const struct calculation *calculation)
{
        int (*then)(struct chat *, const struct calculation *) = take(chat->calculated);

        if (then && !chat_is_over(chat))
                chat_go(chat, then(chat, calculation));
}

/* ---- saying ---- */

static void trace_line(struct chat *chat, char direction, const char *line, size_t len)
{
        if (chat->trace)
                chat->trace(chat->trace_ctx, direction, line, len);
}

/* The line lies at the end of out, from `start`: checked, ended, traced. */
static void finish_line(struct chat *chat, size_t start, const char *traced)
{
        const char *line = (const char *)buf_bytes(&chat->out) + start;
        size_t len = chat->out.len - start;

        if (memchr(line, '\r', len) || memchr(line, '\n', len) || memchr(line, '\0', len)) {
                chat_fail(chat, CAUSE_INTERNAL, "a line with a line break or NUL in it was not sent");
                return;
        }
        chat->said = true;
        chat_touch(chat);
        trace_line(chat, '>', traced ? traced : line, traced ? strlen(traced) : len);
        if (buf_append(&chat->out, "\r\n", 2))
                chat_fail(chat, CAUSE_INTERNAL, "more than %zu bytes wait to be sent", chat->out.max);
}

printf_like(3, 0) static void say(struct chat *chat, const char *traced, const char *format, va_list args)
{
        size_t start = chat->out.len;

        if (chat->state == CHAT_FAILED || chat->state == CHAT_ENDED)
                return;
        if (chat->state == CHAT_WANTS_TLS)
                chat_fail(chat, CAUSE_INTERNAL, "a command between the go-ahead for TLS and the handshake");
        else if (buf_vappendf(&chat->out, format, args))
                chat_fail(chat, CAUSE_INTERNAL, "more than %zu bytes wait to be sent", chat->out.max);
        else
                finish_line(chat, start, traced);
}

bool chat_may_speak(struct chat *chat)
{
        if (chat->state == CHAT_FAILED)
                return false;
        if (chat->channel.tls || !chat->wants_starttls)
                return true;
        chat_fail(chat, CAUSE_INTERNAL, "%s would have gone out before TLS; it was not sent",
                  step_name(chat, chat->step));
        return false;
}

void chat_say(struct chat *chat, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        say(chat, NULL, format, args);
        va_end(args);
}

void chat_say_gated(struct chat *chat, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        if (chat_may_speak(chat))
                say(chat, NULL, format, args);
        va_end(args);
}

/* For the va_list alone. */
printf_like(3, 4) static void say_traced(struct chat *chat, const char *traced, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        say(chat, traced, format, args);
        va_end(args);
}

void chat_say_secret(struct chat *chat, const char *traced, const char *line)
{
        if (chat_may_speak(chat))
                say_traced(chat, traced, "%s", line);
}

/* ---- hearing ---- */

int chat_feed(struct chat *chat, const uint8_t *bytes, size_t len)
{
        if (chat->state == CHAT_FAILED)
                return -1;
        if (buf_append(&chat->in, bytes, len) == 0)
                return 0;
        chat_fail(chat, CAUSE_PROTOCOL, "the server sent more than %zu bytes at once", chat->in.max);
        return -1;
}

void chat_skip(struct chat *chat, size_t len)
{
        buf_consume(&chat->in, len);
        chat->searched = 0;
}

static ssize_t line_too_long(struct chat *chat)
{
        chat_fail(chat, CAUSE_PROTOCOL, "the server sent a line of more than %zu bytes", chat->max_line);
        return -2;
}

/* No LF in sight. A final CR may be half a line end, not content. */
static ssize_t no_line_yet(struct chat *chat)
{
        size_t len = chat->in.len;

        if (len > 0 && buf_bytes(&chat->in)[len - 1] == '\r')
                len--;
        if (len > chat->max_line)
                return line_too_long(chat);
        chat->searched = chat->in.len;
        return -1;
}

ssize_t chat_next_line(struct chat *chat, const char **out_line)
{
        if (chat->state == CHAT_FAILED)
                return -2;
        if (chat->in.len == 0 || chat->state == CHAT_ENDED)
                return -1;
        if (chat->state == CHAT_WANTS_TLS) {
                go_handshake(chat);
                return -2;
        }
        if (chat->searched > chat->in.len)
                chat->searched = 0;
        char *line = (char *)chat->in.memory + chat->in.start;
        char *end = memchr(line + chat->searched, '\n', chat->in.len - chat->searched);
        if (!end)
                return no_line_yet(chat);
        size_t taken = (size_t)(end - line) + 1;
        size_t len = taken - 1;
        if (len > 0 && line[len - 1] == '\r')
                len--;
        if (len > chat->max_line)
                return line_too_long(chat);
        if (memchr(line, '\0', len)) {
                chat_fail(chat, CAUSE_PROTOCOL, "the server sent a line with a NUL byte in it");
                return -2;
        }
        chat_skip(chat, taken);
        line[len] = '\0';
        if (chat->trace && chat->hides && chat->hides(chat, line, len))
                trace_line(chat, '<', "***", 3);
        else
                trace_line(chat, '<', line, len);
        *out_line = line;
        return (ssize_t)len;
}
