/* SPDX-License-Identifier: MIT */
/* Varlink over one stream socket, waited for with poll. What an error says becomes causes, whatever its name.
 */
#include "ctl/call.h"

#include "common/frame.h"
#include "common/json_fields.h"
#include "common/times.h"
#include "ctl/term.h"
#include "ctl/unit.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define DEFAULT_SOCKET  "/run/emailsecd/io.emailsec"
#define ANSWER_SECONDS  300 /* a commit on a very slow disk still fits in */
#define TICK_MS         200
#define SILENCE_SECONDS 3  /* after which the service manager is asked whether there will be an answer */
#define COMING_SECONDS  15 /* after which one that is started again should be there */

/* One connection for all calls of a run: the first call opens it, call_close() ends it. */
struct call_state {
        int fd;
        int asks_after; /* so many seconds of silence the service manager is asked; 0: it was not yet, below
                           0: no more */
        struct frame_reader reader;
};

const char *call_socket_path(const struct tool *tool)
{
        if (tool->socket)
                return tool->socket;
        const char *path = getenv("EMAILSEC_SOCKET");
        return path && path[0] ? path : DEFAULT_SOCKET;
}

/* Nobody was reached, or whoever was there has gone: the service manager knows more of the standard socket.
 * Says so in place of what the cause says, where that is more. */
static void ask_service_manager(const char *path, struct cause *cause)
{
        static const struct {
                const char *words, *remedy; /* NULL: the cause's own */
        } known[] = {
                [UNIT_UNKNOWN] = { NULL, NULL },
                [UNIT_ABSENT] = { NULL, "install the package emailsecd, or name the socket of another "
                                        "station by --socket" },
                [UNIT_STOPPED] = { "no daemon: emailsecd is not started", "systemctl start emailsecd" },
                [UNIT_MASKED] = { "no daemon: emailsecd is masked",
                                  "systemctl unmask emailsecd.service emailsecd.socket; systemctl start "
                                  "emailsecd" },
                [UNIT_COMING] = { "emailsecd has ended and is started again",
                                  "look in a moment whether it was done; why it ended: journalctl -u "
                                  "emailsecd -n 20" },
                [UNIT_FAILING] = { "emailsecd does not start", "journalctl -u emailsecd -n 20" },
                [UNIT_STARTING] = { "emailsecd does not start",
                                    "journalctl -u emailsecd -n 20" }, /* who is ready answers */
                [UNIT_ENDING] = { "emailsecd is ending",
                                  "try again in a moment, or: systemctl start emailsecd" },
                [UNIT_RUNNING] = { NULL, NULL },
        };

        if (!same_text(path, DEFAULT_SOCKET))
                return;
        enum unit_state state = unit_state();
        if (known[state].words)
                (void)cause_set(cause, CAUSE_NO_DAEMON, "%s", known[state].words);
        if (known[state].remedy)
                cause_remedy(cause, "%s", known[state].remedy);
}

/* The remedy depends on whose socket it is: systemd holds the standard one, any other is known by
 * its path alone. */
static void no_socket(const char *path, const char *words, struct cause *cause)
{
        (void)cause_set(cause, CAUSE_NO_DAEMON, "no daemon: %s %s", words, path);
        cause_remedy(cause, same_text(path, DEFAULT_SOCKET)
                                    ? "systemctl restart emailsecd.socket; why it has gone: emailsecctl log"
                                    : "start that station, or name another socket by --socket");
        ask_service_manager(path, cause);
}

/* What a person can do something about has a sentence of its own. Always -1, so that callers return
 * it. */
static int unreachable(const char *path, int error, struct cause *cause)
{
        switch (error) {
        case ENOENT:
        case ENOTDIR:
                no_socket(path, "there is no socket at", cause);
                break;
        case ECONNREFUSED:
                no_socket(path, "nobody listens at", cause);
                break;
        case EACCES:
        case EPERM:
                (void)cause_set(cause, CAUSE_NO_DAEMON, "no daemon reached: you may not open %s", path);
                cause_remedy(cause, "run it as root or as a member of the group of that socket");
                break;
        default:
                (void)cause_set(cause, CAUSE_NO_DAEMON, "no daemon reached at %s: %s", path, strerror(error));
        }
        return -1;
}

/* It was there, and the connection has ended before the answer. */
static int hung_up(const char *path, struct cause *cause)
{
        (void)cause_set(cause, CAUSE_NO_DAEMON, "the daemon closed the connection before it answered");
        cause_remedy(cause, "look whether it was done, and try again; why it closed: emailsecctl log");
        ask_service_manager(path, cause);
        return -1;
}

/* A path longer than sun_path holds is refused, never cut: a cut one could be somebody else's
 * socket. */
static int connect_to(const char *path, struct cause *cause)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        if (strlen(path) >= sizeof(address.sun_path))
                return unreachable(path, ENAMETOOLONG, cause);
        memcpy(address.sun_path, path, strlen(path) + 1);
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return unreachable(path, errno, cause);
        if (connect(fd, (const struct sockaddr *)&address, sizeof(address))) {
                int error = errno;
                close(fd);
                return unreachable(path, error, cause);
        }
        return fd;
}

static int open_connection(struct tool *tool, struct cause *cause)
{
        if (tool->calls)
                return 0;
        int fd = connect_to(call_socket_path(tool), cause);
        if (fd < 0)
                return -1;
        tool->calls = new_object(struct call_state);
        tool->calls->fd = fd;
        frame_reader_init(&tool->calls->reader, LIMIT_CLIENT_OUTPUT);
        return 0;
}

void call_close(struct tool *tool)
{
        if (!tool->calls)
                return;
        close_fd(&tool->calls->fd);
        frame_reader_free(&tool->calls->reader);
        free(take(tool->calls));
}

/* Milliseconds of the monotonic clock. A call that waits for events has no deadline (0): silence is
 * its ordinary state. */
static int64_t deadline_of(const struct tool_call *call)
{
        return call->waits ? 0 : time_monotonic_ms() + ANSWER_SECONDS * 1000;
}

/* Waits until the socket is ready; `deadline` 0 = for ever. `call`: whose tick is called meanwhile, or NULL.
 */
static int wait_ready(int fd, short events, int64_t deadline, const struct tool_call *call,
                      struct cause *cause)
{
        for (;;) {
                int64_t left = deadline ? deadline - time_monotonic_ms() : -1;
                if (deadline && left <= 0)
                        return cause_set(cause, CAUSE_NO_DAEMON, "the daemon did not answer in %d seconds",
                                         ANSWER_SECONDS);
                /* With a tick the wait is cut into pieces, so that progress is drawn; the deadline
                 * is looked at between them. */
                int wait = call && call->tick ? TICK_MS : (int)left;
                struct pollfd ready = { .fd = fd, .events = events };
                int count = poll(&ready, 1, wait);
                if (count > 0)
                        return 0;
                if (count < 0 && errno != EINTR)
                        return cause_set(cause, CAUSE_NO_DAEMON, "waiting for the daemon: %s",
                                         strerror(errno));
                if (count == 0 && call && call->tick)
                        call->tick(call->tick_arg);
        }
}

/* At the standard socket a call may wait for a daemon that is started again and again: true when that is so.
 * One that comes up again is waited for. */
static bool waits_in_vain(const struct tool *tool, const struct tool_call *call)
{
        struct cause late = { 0 };

        while (tool->calls->asks_after >= 0 && same_text(call_socket_path(tool), DEFAULT_SOCKET)) {
                int seconds = tool->calls->asks_after ? tool->calls->asks_after : SILENCE_SECONDS;
                if (wait_ready(tool->calls->fd, POLLIN, time_monotonic_ms() + seconds * 1000, call, &late) ==
                    0)
                        break;
                enum unit_state state = unit_state();
                bool first = tool->calls->asks_after == 0,
                     comes = state == UNIT_COMING || state == UNIT_STARTING;
                tool->calls->asks_after = first && comes ? COMING_SECONDS : -1;
                if (state == UNIT_FAILING || (state == UNIT_COMING && !first))
                        return true;
                if (!call->waits && !call->tick)
                        term_progress(tool, state == UNIT_COMING
                                                    ? "emailsecd has ended and is started again..."
                                                    : "emailsecd has not answered yet...");
        }
        tool->calls->asks_after = -1;
        return false;
}

/* 0, -1 with a cause, or -2: the other end has gone. */
static int send_frame(struct call_state *calls, struct buf *out, int fd, int64_t deadline,
                      struct cause *cause)
{
        size_t fd_count = fd >= 0;
        /* The descriptor goes with the first bytes: frame_send() then sets the count to 0, so that
         * it is not sent twice. */
        for (;;) {
                int sent = frame_send(calls->fd, out, &fd, &fd_count, cause);
                if (sent)
                        return sent < 0 ? cause->code == CAUSE_CLOSED ? -2 : -1 : 0;
                if (wait_ready(calls->fd, POLLOUT, deadline, NULL, cause))
                        return -1;
        }
}

static int await_frame(const struct tool *tool, const struct tool_call *call, json_t **out,
                       struct cause *cause)
{
        struct call_state *calls = tool->calls;
        int64_t deadline = deadline_of(call);
        for (;;) {
                /* What the reader holds comes first: one read may have brought several replies,
                 * which poll() would not report again. */
                int found = frame_next(&calls->reader, out, cause);
                if (found)
                        return found < 0 ? -1 : 0;
                if (waits_in_vain(tool, call))
                        return hung_up(call_socket_path(tool), cause);
                if (wait_ready(calls->fd, POLLIN, deadline, call, cause))
                        return -1;
                int got = frame_receive(&calls->reader, calls->fd, cause);
                if (got == 0 || (got == -2 && cause->code == CAUSE_CLOSED))
                        return hung_up(call_socket_path(tool), cause);
                if (got == -2)
                        return -1;
        }
}

static int receive_frame(const struct tool *tool, const struct tool_call *call, json_t **out,
                         struct cause *cause)
{
        int failed = await_frame(tool, call, out, cause);
        /* A line that waits_in_vain() has written goes before the reply is shown. */
        if (!call->waits && !call->tick)
                term_progress_end();
        return failed;
}

/* One cause of an error reply. One that brings no code is called after the last part of the error's
 * name; words it has in any case. */
static void add_problem(struct causes *failures, const json_t *problem, const char *error)
{
        struct cause *cause = causes_add(failures);
        cause_from_json(problem, cause);
        if (cause->code == CAUSE_NONE) {
                const char *dot = strrchr(error, '.');
                cause->code = cause_named(dot ? dot + 1 : error);
        }
        if (cause->code == CAUSE_NONE)
                cause->code = CAUSE_INTERNAL;
        if (!cause->text[0])
                (void)cause_set(cause, cause->code, "the daemon answered %s", error);
}

/* org.varlink.service errors name what they could not do: the daemon is of another version than the tool. */
static void add_service_error(struct causes *failures, const char *error, const json_t *parameters)
{
        struct cause *cause = causes_add(failures);
        const char *key = NULL;
        json_t *value = NULL;
        json_object_foreach((json_t *)parameters, key, value)
                break;
        (void)cause_set(cause, CAUSE_STATE, "the daemon does not know this call: %s %s",
                        error + strlen("org.varlink.service."), value ? json_string_value(value) : "");
        cause_remedy(cause, "tool and daemon must be of the same version: emailsecctl status");
}

/* An error with several problems (a file of accounts) becomes as many causes, any other one. Always
 * -1. */
static int answer_error(const json_t *answer, const char *error, struct causes *failures)
{
        const json_t *parameters = json_object_get(answer, "parameters");
        if (!strncmp(error, "org.varlink.service.", 20)) {
                add_service_error(failures, error, parameters);
                return -1;
        }
        const json_t *problems = json_object_get(parameters, "problems");
        if (json_array_size(problems) == 0)
                add_problem(failures, json_object_get(parameters, "cause"), error);
        for (size_t i = 0; i < json_array_size(problems); i++)
                add_problem(failures, json_array_get(problems, i), error);
        return -1;
}

/* jansson frees texts without overwriting them, and these hold a password. Members of the outermost
 * object only: that is where secrets are. */
static void wipe_texts(json_t *parameters)
{
        const char *key = NULL;
        json_t *value = NULL;
        json_object_foreach(parameters, key, value)
                if (json_is_string(value))
                        explicit_bzero((char *)json_string_value(value), json_string_length(value));
}

/* Sends the call; takes its parameters over. */
static int begin_call(struct tool *tool, struct tool_call *call, bool more, struct causes *failures)
{
        struct cause cause = { 0 };
        json_t *frame = json_pack("{s:s, s:o}", "method", call->method, "parameters",
                                  call->parameters ? call->parameters : json_object());
        if (more)
                json_put(frame, "more", json_true());
        struct buf out = BUF_WITH_MAX(LIMIT_FRAME);
        int failed = open_connection(tool, &cause);
        if (!failed && frame_append(&out, frame))
                failed = cause_set(&cause, CAUSE_TOO_LARGE, "the request is too large for one message");
        if (call->secret)
                wipe_texts(call->parameters);
        json_decref(frame);
        if (!failed) {
                frame_drop_fds(&tool->calls->reader);
                failed = send_frame(tool->calls, &out, call->fd, deadline_of(call), &cause);
                if (failed && frame_receive(&tool->calls->reader, tool->calls->fd, NULL) > 0)
                        failed = 0; /* it was refused before all of it was sent: the answer says why */
                else if (failed == -2)
                        failed = hung_up(call_socket_path(tool), &cause);
        }
        buf_wipe(&out);
        if (failed)
                *causes_add(failures) = cause;
        return failed;
}

static int next_answer(struct tool *tool, const struct tool_call *call, json_t **answer,
                       struct causes *failures)
{
        struct cause cause = { 0 };
        if (receive_frame(tool, call, answer, &cause)) {
                *causes_add(failures) = cause;
                return -1;
        }
        const char *error = json_string_value(json_object_get(*answer, "error"));
        if (!error)
                return 0;
        (void)answer_error(*answer, error, failures);
        json_decref(take(*answer));
        return -1;
}

/* The parameters of an answer, as an object of the caller's own. */
static json_t *parameters_in(const json_t *answer)
{
        json_t *parameters = json_object_get(answer, "parameters");
        return json_is_object(parameters) ? json_incref(parameters) : json_object();
}

int call_once(struct tool *tool, struct tool_call call, json_t **out, struct causes *failures)
{
        json_t *answer = NULL;
        if (begin_call(tool, &call, false, failures) || next_answer(tool, &call, &answer, failures))
                return -1;
        if (out)
                *out = parameters_in(answer);
        json_decref(answer);
        return 0;
}

static int call_told(struct tool *tool, struct tool_call call, json_t **out)
{
        scoped(causes_free) struct causes failures = { 0 };
        return call_once(tool, call, out, &failures) ? tell_causes(&failures) : EXIT_DONE;
}

int call_daemon(struct tool *tool, const char *method, json_t *parameters, json_t **out)
{
        return call_told(tool, (struct tool_call){ .method = method, .parameters = parameters, .fd = -1 },
                         out);
}

int call_waiting(struct tool *tool, const char *method, json_t *parameters, json_t **out)
{
        struct tool_call call = { .method = method, .parameters = parameters, .fd = -1, .waits = true };
        return call_told(tool, call, out);
}

int call_stream(struct tool *tool, const char *method, json_t *parameters, call_heard *heard, void *arg)
{
        scoped(causes_free) struct causes failures = { 0 };
        struct tool_call call = { .method = method, .parameters = parameters, .fd = -1, .waits = true };
        int status = begin_call(tool, &call, true, &failures) ? EXIT_FAILED : EXIT_DONE;
        bool more = !status;
        while (more) {
                json_t *answer = NULL;
                if (next_answer(tool, &call, &answer, &failures))
                        break;
                more = json_is_true(json_object_get(answer, "continues"));
                json_t *content = parameters_in(answer);
                status = heard(tool, content, arg);
                json_decref(content);
                json_decref(answer);
                if (status)
                        more = false;
        }
        return failures.count ? tell_causes(&failures) : status;
}

/* Streams that the caller polls himself, beside a terminal: call_stream_next() never waits. */
int call_stream_begin(struct tool *tool, const char *method, json_t *parameters, struct causes *failures)
{
        struct tool_call call = { .method = method, .parameters = parameters, .fd = -1 };
        return begin_call(tool, &call, true, failures);
}

int call_stream_fd(const struct tool *tool)
{
        return tool->calls ? tool->calls->fd : -1;
}

int call_stream_next(struct tool *tool, json_t **out, struct causes *failures)
{
        struct cause cause = { 0 };
        scoped(scoped_json) json_t *answer = NULL;
        /* One reply for each call: the socket is read only while no whole one is held. */
        int found = frame_next(&tool->calls->reader, &answer, &cause);
        int got = found ? 0 : frame_receive(&tool->calls->reader, tool->calls->fd, &cause);
        if (!found && got > 0)
                found = frame_next(&tool->calls->reader, &answer, &cause);
        /* 0 bytes are the end of the stream, which for one that was begun is a failure. */
        if (!found && !got)
                (void)cause_set(&cause, CAUSE_NO_DAEMON, "the daemon closed the connection");
        if (found < 0 || (!found && (got == 0 || got == -2))) {
                *causes_add(failures) = cause;
                return -1;
        }
        if (!found)
                return 0;
        const char *error = json_string_value(json_object_get(answer, "error"));
        if (error)
                return answer_error(answer, error, failures);
        *out = parameters_in(answer);
        return 1;
}

int call_take_fd(struct tool *tool, size_t index)
{
        return tool->calls ? frame_take_fd(&tool->calls->reader, index) : -1;
}

void scoped_json(json_t **value)
{
        json_decref(*value);
}

json_t *parameters_of(const char *key, const char *text)
{
        json_t *parameters = json_object();
        parameter_text(parameters, key, text);
        return parameters;
}

void parameter_text(json_t *parameters, const char *key, const char *text)
{
        if (text)
                json_put_text(parameters, key, text);
}

void parameter_flag(json_t *parameters, const char *key, bool flag)
{
        if (flag)
                json_put(parameters, key, json_true());
}
