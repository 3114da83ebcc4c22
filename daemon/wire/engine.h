/* SPDX-License-Identifier: MIT */
/*
 * A conversation with a mail server, without I/O: received bytes in, bytes to
 * send and a state out. SMTP, IMAP and POP3 each embed a struct engine as their
 * first member, fill a table of steps and give an engine_ops; the driver here is
 * the only place that changes the step. Whoever owns the connection
 * (session/session) calls the functions of its ops, is told by engine->due that there is
 * something to see to, and then, not from inside that call, looks at engine->state, sends
 * engine->out, and arms the wait.
 *
 * A step is a table row: `say` appends what is sent on entering it, `heard`
 * takes one complete reply and RETURNS the next step. A branch without a
 * successor does not compile.
 */
#pragma once

#include "common/buf.h"
#include "common/cause.h"

enum engine_state {
        ENGINE_TALKING,   /* waits for the peer */
        ENGINE_WANTS_TLS, /* the go-ahead for STARTTLS/STLS came: handshake, judge, then class->secured */
        ENGINE_READY,     /* signed in (or no sign-in asked for); takes work */
        ENGINE_ENDED,     /* orderly end (QUIT/LOGOUT answered): close */
        ENGINE_FAILED,    /* engine->cause says why: send nothing more, close */
};

/* Steps that every protocol has; its own begin at ENGINE_FIRST_STEP. */
enum {
        STEP_FAILED,    /* engine_fail() returns it */
        STEP_HANDSHAKE, /* -> ENGINE_WANTS_TLS */
        STEP_READY,     /* -> ENGINE_READY */
        STEP_ENDED,     /* -> ENGINE_ENDED */
        STEP_SAME,      /* stay: more of the same is awaited; the wait starts anew */
        ENGINE_FIRST_STEP,
};

struct engine;

struct engine_step {
        const char *name;                   /* "EHLO": for the trace */
        const char *phrase;                 /* "waiting for the answer to EHLO": for time-outs */
        unsigned wait;                      /* seconds; 0 = the account's connectionTimeout */
        void (*say)(struct engine *engine); /* NULL: nothing */
        int (*heard)(struct engine *engine, const void *reply); /* the protocol's own reply type */
};

/* Channel binding data of the TLS session (RFC 9266), made by tls/. */
struct engine_binding {
        bool present;
        uint8_t exporter[32];
};

/* What the owner knows about the connection when it hands it over. */
struct engine_channel {
        bool tls;       /* bytes are inside TLS and judge() said go */
        char local[56]; /* this end as an address literal, "[192.0.2.1]" or "[IPv6:...]"; "": it has none */
        struct engine_binding binding;
};

/* Work too long for the loop, which touches nothing but itself: the engine goes on with what came out. */
struct calculation {
        void (*work)(struct calculation *calculation); /* on any thread */
        void (*free)(struct calculation *calculation);
};

struct engine_ops {
        /* TCP stands (plain, or STARTTLS still to come), or with implicit TLS: the
         * channel is judged. Never called before a good verdict where TLS is from the
         * first byte. */
        void (*start)(struct engine *engine, const struct engine_channel *channel);
        void (*received)(struct engine *engine, const uint8_t *bytes, size_t len);
        /* After ENGINE_WANTS_TLS, when the handshake is done and judged. Everything
         * learned before is forgotten by the callee. */
        void (*secured)(struct engine *engine, const struct engine_channel *channel);
        /* The peer closed in order. Fails the engine unless an end was awaited. */
        void (*closed)(struct engine *engine);
        /* engine->out was sent completely: the engine may append more. May be NULL. */
        void (*drained)(struct engine *engine);
        /* Say good-bye (QUIT, LOGOUT) from ENGINE_READY; ENGINE_ENDED follows. */
        void (*quit)(struct engine *engine);
        void (*free)(struct engine *engine);
};

struct engine {
        const struct engine_ops *class;
        const struct engine_step *steps; /* indexed by step; set by the protocol */
        int step;
        enum engine_state state;
        const struct cause *cause;     /* of ENGINE_FAILED; kept by cause_keep */
        struct engine_channel channel; /* as last told by start/secured */
        bool wants_starttls;           /* account property: TLS must come by STARTTLS/STLS */
        bool injection_checked;        /* nothing lay beyond the STARTTLS go-ahead (security rule 3) */
        unsigned wait;                 /* seconds for what is awaited now; 0 = account's; see idle */
        unsigned waits;                /* changes whenever the wait starts anew */
        bool idle;                     /* nothing is awaited: no deadline at all */
        bool said;                     /* something was said */
        bool bound;        /* and answered, or must not be said twice: no other address of the host will do */
        uint64_t coming;   /* bytes that follow of what has begun to come, as far as it was announced */
        uint64_t progress; /* bytes that came of what was asked for; see engine_progress */
        const char *phrase; /* what is awaited, for time-outs */
        struct buf in;      /* received, not taken yet; see engine_feed, engine_skip */
        size_t max_line;
        size_t searched; /* bytes of `in` known to hold no LF */
        struct buf out;  /* to be sent; the owner consumes it */
        /* There are bytes to send, or another state, wait or calculation. Only to be remembered: the owner
         * looks at the engine later. NULL: nobody is told. */
        void (*due)(void *owner);
        void *owner;
        /* Every line sent ('>') and heard ('<'), secrets replaced by "***", else as it is:
         * the owner escapes it. NULL = off. */
        void (*trace)(void *ctx, char direction, const char *line, size_t len);
        struct calculation *calculation; /* due: the owner takes it; see engine_calculate */
        int (*calculated)(struct engine *engine,
                          const struct calculation *calculation); /* awaits its end; NULL: nothing does */
        char *greeting; /* the server's first words, where they may carry its time; owned; NULL: none */
        const char *signed_in_by; /* mechanism that signed in, static; NULL: none did */
        char *signin_broken; /* those that did not work at this server, parted by blanks; NULL: none; owned */
        const struct cause *refused; /* see engine_refused; kept by cause_keep */
        /* True for a line heard that repeats a secret: traced as "***", and in no cause. NULL: none does. */
        bool (*hides)(const struct engine *engine, const char *line, size_t len);
        /* Every step taken; NULL = off. */
        void (*traced_step)(void *ctx, const char *from, const char *to);
        void *trace_ctx;
};

/* Zeroes and sets up; `max_in` bounds a line (LIMIT_LINE), without its CRLF. */
void engine_init(struct engine *engine, const struct engine_ops *class, const struct engine_step *steps,
                 size_t max_in);
/* Wipes and frees the buffers. */
void engine_done(struct engine *engine);
/* Gives back the memory of empty buffers: for engines that idle. */
void engine_release(struct engine *engine);

/* Tells the owner that there is something to see to: for those that change `out` or the wait by themselves.
 */
void engine_touch(struct engine *engine);
/* So many bytes came of what was asked for: a message, a list. Nothing else gives a long answer more time
 * than its step has; whole replies do that by themselves. */
void engine_progress(struct engine *engine, size_t len);
/* What an item of a list counts, however it is written. */
enum { ENGINE_ITEM = 64 };

/* Enters a step: says, arms wait and phrase, traces; the only setter. */
void engine_go(struct engine *engine, int step);
/* Hands a complete reply to the present step and enters what it returns. */
void engine_hear(struct engine *engine, const void *reply);

/* Has something worked out off the loop, and waits: the owner takes engine->calculation, has a thread do its
 * work, calls engine_calculated() and frees it; until then it hands over nothing that was received. `then`
 * returns the next step. Takes the calculation over; returns STEP_SAME for `return engine_calculate(...)`. */
int engine_calculate(struct engine *engine, struct calculation *calculation,
                     int (*then)(struct engine *engine, const struct calculation *calculation));
/* Its work is done. */
void engine_calculated(struct engine *engine, const struct calculation *calculation);

/* Sets the cause and ENGINE_FAILED; returns STEP_FAILED for `return engine_fail(...)`. */
int engine_fail(struct engine *engine, enum cause_code code, const char *format, ...) printf_like(3, 4);

/* The same with a cause that was made elsewhere. */
int engine_fail_with(struct engine *engine, const struct cause *cause);

/* A sign-in was refused for this cause and another way is tried: when that fails too, this is what is told,
 * unless the other refusal says more of the password. */
void engine_refused(struct engine *engine, const struct cause *cause);
/* It has succeeded, by the mechanism of that (static) name; `broken` (owned from here on, or NULL) is what
 * did not work. */
void engine_signed_in(struct engine *engine, const char *mechanism, char *broken);

/* True once the engine takes and says nothing more: failed, ended, or a handshake is due. */
bool engine_is_over(const struct engine *engine);

/* Appends to out and traces; a line has no CR or LF in it, CRLF is added. A CR, LF
 * or NUL inside a text fails the engine instead of being sent (security rule 22). */
void engine_say(struct engine *engine, const char *format, ...) printf_like(2, 3);
/* The same with the traced form given apart, for lines that hold a secret. Asks
 * engine_may_speak by itself. */
void engine_say_secret(struct engine *engine, const char *traced, const char *line);

/*
 * The gate of security rule 2 (S4): true when a command other than capability
 * discovery, STARTTLS/STLS and good-bye may be sent: TLS stands, or the account
 * asked for neither. Every say_* of such a command asks it through engine_say_gated;
 * false fails the engine.
 */
bool engine_may_speak(struct engine *engine);
/* engine_say behind that gate. */
void engine_say_gated(struct engine *engine, const char *format, ...) printf_like(2, 3);

/* Appends received bytes to engine->in; -1 when that fails the engine. As much as one
 * read of a connection always fits beside an incomplete line. */
int engine_feed(struct engine *engine, const uint8_t *bytes, size_t len) must_use;
/* Drops bytes from the front of engine->in that were taken without engine_next_line (a
 * literal): nobody else consumes engine->in. */
void engine_skip(struct engine *engine, size_t len);

/* Takes the next whole line (CRLF or bare LF taken off) out of engine->in: its length,
 * with *out_line, also NUL-ended, valid until the next call that appends to engine->in;
 * -1 none yet; -2 the engine has failed: the bound was passed, a NUL byte came, or
 * anything at all where a handshake is due (security rule 3). Traces it. */
ssize_t engine_next_line(struct engine *engine, const char **out_line);
