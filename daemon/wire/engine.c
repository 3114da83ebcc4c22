/* SPDX-License-Identifier: MIT */
/*
 * The step driver below SMTP, IMAP and POP3: the one place that changes a step,
 * arms its wait, cuts lines, keeps the gate before TLS and the rule that nothing
 * may lie beyond the go-ahead for STARTTLS (security rules 2, 3, 21, 22).
 */
#include "daemon/wire/engine.h"

#include "common/limits.h"

#include <stdarg.h>
#include <stdio.h>

/* What may lie in `in` beside an incomplete line: one read of a connection. */
enum { ONE_READ = 64 * KIB };

static const char *step_name(const struct engine *engine, int step)
{
        static const char *const common[ENGINE_FIRST_STEP] = {
                [STEP_FAILED] = "failed", [STEP_HANDSHAKE] = "handshake", [STEP_READY] = "ready",
                [STEP_ENDED] = "ended",   [STEP_SAME] = "start",
        };

        return step < ENGINE_FIRST_STEP ? common[step] : engine->steps[step].name;
}

void engine_init(struct engine *engine, const struct engine_ops *class, const struct engine_step *steps,
                 size_t max_in)
{
        *engine = (struct engine){
                .class = class,
                .steps = steps,
                .step = STEP_SAME,
                .state = ENGINE_TALKING,
                .cause = &cause_none,
                .refused = &cause_none,
                .phrase = "waiting for the server",
                .in = BUF_WITH_MAX(max_in + ONE_READ + 2),
                .out = BUF_WITH_MAX(LIMIT_OUTPUT),
                .max_line = max_in,
        };
}

void engine_done(struct engine *engine)
{
        buf_wipe(&engine->in);
        buf_wipe(&engine->out);
        cause_keep(&engine->cause, NULL);
        cause_keep(&engine->refused, NULL);
        free(take(engine->signin_broken));
        free(take(engine->greeting));
        if (engine->calculation)
                engine->calculation->free(take(engine->calculation));
        engine->searched = 0;
}

void engine_release(struct engine *engine)
{
        buf_release(&engine->in);
        buf_release(&engine->out);
}

bool engine_is_over(const struct engine *engine)
{
        return engine->state == ENGINE_FAILED || engine->state == ENGINE_ENDED ||
               engine->state == ENGINE_WANTS_TLS;
}

void engine_touch(struct engine *engine)
{
        if (engine->due)
                engine->due(engine->owner);
}

void engine_progress(struct engine *engine, size_t len)
{
        engine->progress += len;
}

/* ---- steps ---- */

/* The step and what is awaited in it; `phrase` NULL: nothing is. */
static void enter(struct engine *engine, int step, enum engine_state state, unsigned wait, const char *phrase)
{
        if (engine->traced_step)
                engine->traced_step(engine->trace_ctx, step_name(engine, engine->step),
                                    step_name(engine, step));
        engine->step = step;
        engine->state = state;
        engine->wait = wait;
        engine->phrase = phrase;
        engine->idle = phrase == NULL;
        engine->waits++;
        engine_touch(engine);
}

/* A refusal that is kept says more than how the next try ended, unless that is one about the password. */
static int fail(struct engine *engine, const struct cause *cause)
{
        bool password = cause->code == CAUSE_AUTHENTICATION || cause->code == CAUSE_SERVER_SIGNATURE;

        cause_keep(&engine->cause, cause_happened(engine->refused) && !password ? engine->refused : cause);
        enter(engine, STEP_FAILED, ENGINE_FAILED, 0, NULL);
        buf_wipe(&engine->out);
        return STEP_FAILED;
}

/* The sentence of a cause, unless it repeats a secret. */
static const char *fit_to_tell(const struct engine *engine, const char *words)
{
        return engine->hides && engine->hides(engine, words, strlen(words))
                       ? "the server's words repeat the secret and are left out"
                       : words;
}

int engine_fail(struct engine *engine, enum cause_code code, const char *format, ...)
{
        if (engine->state == ENGINE_FAILED)
                return STEP_FAILED; /* the first cause is the one that counts */
        struct cause cause;
        va_list args;
        va_start(args, format);
        scoped(scoped_free) char *words = text_of_list(format, args);
        va_end(args);
        cause_set(&cause, code, "%s", fit_to_tell(engine, words));
        return fail(engine, &cause);
}

int engine_fail_with(struct engine *engine, const struct cause *cause)
{
        if (engine->state == ENGINE_FAILED)
                return STEP_FAILED;
        struct cause told = *cause;
        (void)snprintf(told.text, sizeof told.text, "%s", fit_to_tell(engine, cause->text));
        return fail(engine, &told);
}

void engine_refused(struct engine *engine, const struct cause *cause)
{
        struct cause told = *cause;

        (void)snprintf(told.text, sizeof told.text, "%s", fit_to_tell(engine, cause->text));
        if (engine->refused->code != CAUSE_AUTHENTICATION)
                cause_keep(&engine->refused, &told);
}

void engine_signed_in(struct engine *engine, const char *mechanism, char *broken)
{
        engine->signed_in_by = mechanism;
        free(engine->signin_broken);
        engine->signin_broken = broken;
        cause_keep(&engine->refused, NULL);
}

/* Security rule 3: bytes that came with the go-ahead were sent by someone who
 * hopes that we take them for words said inside TLS. */
static void go_handshake(struct engine *engine)
{
        if (engine->in.len > 0) {
                engine_fail(engine, CAUSE_INJECTION, "%zu bytes came beyond the go-ahead for TLS",
                            engine->in.len);
                return;
        }
        engine->injection_checked = true;
        enter(engine, STEP_HANDSHAKE, ENGINE_WANTS_TLS, 0, "waiting for the TLS handshake");
}

static void go_own_step(struct engine *engine, int step)
{
        const struct engine_step *row = &engine->steps[step];

        enter(engine, step, ENGINE_TALKING, row->wait, row->phrase);
        if (row->say)
                row->say(engine);
}

void engine_go(struct engine *engine, int step)
{
        if (engine->state == ENGINE_FAILED)
                return;
        switch (step) {
        case STEP_FAILED:
                engine_fail(engine, CAUSE_INTERNAL, "the step %s failed without a cause",
                            step_name(engine, engine->step));
                break;
        case STEP_HANDSHAKE:
                go_handshake(engine);
                break;
        case STEP_READY:
                enter(engine, step, ENGINE_READY, 0, NULL);
                break;
        case STEP_ENDED:
                enter(engine, step, ENGINE_ENDED, 0, NULL);
                break;
        case STEP_SAME:
                engine->waits++;
                engine_touch(engine);
                break;
        default: /* the protocol's own: not words of one enum */
                go_own_step(engine, step);
                break;
        }
}

void engine_hear(struct engine *engine, const void *reply)
{
        if (engine_is_over(engine))
                return;
        if (engine->step < ENGINE_FIRST_STEP || !engine->steps[engine->step].heard || engine->calculated) {
                engine_fail(engine, CAUSE_PROTOCOL, "the server spoke out of turn");
                return;
        }
        engine->bound |= engine->said;
        engine_go(engine, engine->steps[engine->step].heard(engine, reply));
}

/* ---- calculations ---- */

int engine_calculate(struct engine *engine, struct calculation *calculation,
                     int (*then)(struct engine *engine, const struct calculation *calculation))
{
        engine->calculation = calculation;
        engine->calculated = then;
        engine_touch(engine);
        return STEP_SAME;
}

void engine_calculated(struct engine *engine, const struct calculation *calculation)
{
        int (*then)(struct engine *, const struct calculation *) = take(engine->calculated);

        if (then && !engine_is_over(engine))
                engine_go(engine, then(engine, calculation));
}

/* ---- saying ---- */

static void trace_line(struct engine *engine, char direction, const char *line, size_t len)
{
        if (engine->trace)
                engine->trace(engine->trace_ctx, direction, line, len);
}

/* The line lies at the end of out, from `start`: checked, ended, traced. */
static void finish_line(struct engine *engine, size_t start, const char *traced)
{
        const char *line = (const char *)buf_bytes(&engine->out) + start;
        size_t len = engine->out.len - start;

        if (memchr(line, '\r', len) || memchr(line, '\n', len) || memchr(line, '\0', len)) {
                engine_fail(engine, CAUSE_INTERNAL, "a line with a line break or NUL in it was not sent");
                return;
        }
        engine->said = true;
        engine_touch(engine);
        trace_line(engine, '>', traced ? traced : line, traced ? strlen(traced) : len);
        if (buf_append(&engine->out, "\r\n", 2))
                engine_fail(engine, CAUSE_INTERNAL, "more than %zu bytes wait to be sent", engine->out.max);
}

printf_like(3, 0) static void say(struct engine *engine, const char *traced, const char *format, va_list args)
{
        size_t start = engine->out.len;

        if (engine->state == ENGINE_FAILED || engine->state == ENGINE_ENDED)
                return;
        if (engine->state == ENGINE_WANTS_TLS)
                engine_fail(engine, CAUSE_INTERNAL,
                            "a command between the go-ahead for TLS and the handshake");
        else if (buf_vappendf(&engine->out, format, args))
                engine_fail(engine, CAUSE_INTERNAL, "more than %zu bytes wait to be sent", engine->out.max);
        else
                finish_line(engine, start, traced);
}

bool engine_may_speak(struct engine *engine)
{
        if (engine->state == ENGINE_FAILED)
                return false;
        if (engine->channel.tls || !engine->wants_starttls)
                return true;
        engine_fail(engine, CAUSE_INTERNAL, "%s would have gone out before TLS; it was not sent",
                    step_name(engine, engine->step));
        return false;
}

void engine_say(struct engine *engine, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        say(engine, NULL, format, args);
        va_end(args);
}

void engine_say_gated(struct engine *engine, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        if (engine_may_speak(engine))
                say(engine, NULL, format, args);
        va_end(args);
}

/* For the va_list alone. */
printf_like(3, 4) static void say_traced(struct engine *engine, const char *traced, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        say(engine, traced, format, args);
        va_end(args);
}

void engine_say_secret(struct engine *engine, const char *traced, const char *line)
{
        if (engine_may_speak(engine))
                say_traced(engine, traced, "%s", line);
}

/* ---- hearing ---- */

int engine_feed(struct engine *engine, const uint8_t *bytes, size_t len)
{
        if (engine->state == ENGINE_FAILED)
                return -1;
        if (buf_append(&engine->in, bytes, len) == 0)
                return 0;
        engine_fail(engine, CAUSE_PROTOCOL, "the server sent more than %zu bytes at once", engine->in.max);
        return -1;
}

void engine_skip(struct engine *engine, size_t len)
{
        buf_consume(&engine->in, len);
        engine->searched = 0;
}

static ssize_t line_too_long(struct engine *engine)
{
        engine_fail(engine, CAUSE_PROTOCOL, "the server sent a line of more than %zu bytes",
                    engine->max_line);
        return -2;
}

/* No LF in sight. A final CR may be half a line end, not content. */
static ssize_t no_line_yet(struct engine *engine)
{
        size_t len = engine->in.len;

        if (len > 0 && buf_bytes(&engine->in)[len - 1] == '\r')
                len--;
        if (len > engine->max_line)
                return line_too_long(engine);
        engine->searched = engine->in.len;
        return -1;
}

ssize_t engine_next_line(struct engine *engine, const char **out_line)
{
        if (engine->state == ENGINE_FAILED)
                return -2;
        if (engine->in.len == 0 || engine->state == ENGINE_ENDED)
                return -1;
        if (engine->state == ENGINE_WANTS_TLS) {
                go_handshake(engine);
                return -2;
        }
        if (engine->searched > engine->in.len)
                engine->searched = 0;
        char *line = (char *)engine->in.memory + engine->in.start;
        char *end = memchr(line + engine->searched, '\n', engine->in.len - engine->searched);
        if (!end)
                return no_line_yet(engine);
        size_t taken = (size_t)(end - line) + 1;
        size_t len = taken - 1;
        if (len > 0 && line[len - 1] == '\r')
                len--;
        if (len > engine->max_line)
                return line_too_long(engine);
        if (memchr(line, '\0', len)) {
                engine_fail(engine, CAUSE_PROTOCOL, "the server sent a line with a NUL byte in it");
                return -2;
        }
        engine_skip(engine, taken);
        line[len] = '\0';
        if (engine->trace && engine->hides && engine->hides(engine, line, len))
                trace_line(engine, '<', "***", 3);
        else
                trace_line(engine, '<', line, len);
        *out_line = line;
        return (ssize_t)len;
}
