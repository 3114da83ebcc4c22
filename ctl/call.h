/* SPDX-License-Identifier: MIT */
/*
 * The tool's side of the socket: Varlink calls over one connection, opened by the first call. Parameters are
 * always taken over. Failures come back as causes (the daemon's own, or CAUSE_NO_DAEMON with words that say
 * why).
 */
#pragma once

#include "ctl/tool.h"

#define EMAIL(method) "io.emailsec.EmailService." method
#define TRUST(method) "io.emailsec.Trust." method

/* Where the socket is: --socket, $EMAILSEC_SOCKET, the default. */
const char *call_socket_path(const struct tool *tool);

struct tool_call {
        const char *method; /* full name */
        json_t *parameters; /* taken over, its texts wiped when `secret`; NULL = {} */
        int fd;             /* goes along as descriptor 0; -1 = none; stays the caller's */
        bool waits;         /* no limit on how long the daemon may take */
        bool secret;
        void (*tick)(void *arg); /* NULL, or called some times a second until the answer comes */
        void *tick_arg;
};

/* One call and its answer. 0 with *out (caller decrefs; `out` NULL: not wanted), or -1 with failures. */
int call_once(struct tool *tool, struct tool_call call, json_t **out, struct causes *failures) must_use;

/* The same for commands: failures are told. Exit status; *out only with EXIT_DONE. */
int call_daemon(struct tool *tool, const char *method, json_t *parameters, json_t **out) must_use;
/* The same without a limit of time. */
int call_waiting(struct tool *tool, const char *method, json_t *parameters, json_t **out) must_use;

/* A call with `more`: `heard` is called for each answer (borrowed) and ends the stream early by anything but
 * EXIT_DONE. Exit status; failures are told. */
typedef int call_heard(struct tool *tool, const json_t *answer, void *arg);
int call_stream(struct tool *tool, const char *method, json_t *parameters, call_heard *heard, void *arg)
        must_use;

/* The same step by step, for who has more to wait for: the call; then, whenever call_stream_fd() can be read,
 * answers until there is none yet. Nothing here waits. */
int call_stream_begin(struct tool *tool, const char *method, json_t *parameters, struct causes *failures)
        must_use;
int call_stream_fd(const struct tool *tool);
/* 1 with *out (the caller decrefs), 0: nothing more yet, -1 with failures. */
int call_stream_next(struct tool *tool, json_t **out, struct causes *failures) must_use;

/* Descriptor `index` that came with the last answer; -1 when there is none. The caller closes. */
int call_take_fd(struct tool *tool, size_t index) must_use;
void call_close(struct tool *tool);

/* Destructor for `scoped`. */
void scoped_json(json_t **value);
/* {"key": text}, the key left out when text is NULL. For parameters. */
json_t *parameters_of(const char *key, const char *text) must_use;
/* Sets a text or a true only when there is one. */
void parameter_text(json_t *parameters, const char *key, const char *text);
void parameter_flag(json_t *parameters, const char *key, bool flag);
