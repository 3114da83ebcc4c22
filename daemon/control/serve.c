/* SPDX-License-Identifier: MIT */
/*
 * What comes over a control connection: frames into calls, one at a time in order. What a call may cost is
 * decided by the beginning of its frame (frame_scan.h): its method, the rights of who asks, its size. And
 * whose turn it is: a user who has had a share of the loop's turn waits in line for the next one.
 */
#include "daemon/control/client_parts.h"
#include "daemon/control/methods.h"
#include "daemon/journal.h"
#include "daemon/service/service.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

/* ---- the line of those that wait for their turn ---- */

static struct {
        struct client *first, **end;
        struct timer *timer;
} line = { .end = &line.first };

enum { PARSED_HERE = 256 * KIB }; /* a larger call is parsed by a thread */

static void serve_line(void *ctx);

void client_leave_line(struct client *client)
{
        struct client **at = &line.first;

        if (!client->put_off)
                return;
        client->put_off = false;
        while (*at != client)
                at = &(*at)->behind;
        *at = client->behind;
        client->behind = NULL;
        if (!*at)
                line.end = at;
}

static void put_off(struct client *client)
{
        if (client->put_off)
                return;
        client->put_off = true;
        *line.end = client;
        line.end = &client->behind;
        if (!line.timer)
                line.timer = timer_new(serve_line, NULL);
        timer_set_next_turn(line.timer);
}

void serve_close(void)
{
        timer_free(take(line.timer));
}

/* ---- refusing ---- */

/* NULL: of what is no call, or of none that is known. */
static json_t *error_of(const struct method *method, const struct cause *cause)
{
        bool own = method && strncmp(method->name, "io.emailsec.", strlen("io.emailsec.")) == 0;
        const char *name = own ? method->name : "io.emailsec.EmailService.X";
        json_t *object = json_object(), *parameters = json_object();
        scoped(scoped_free) char *error =
                text_of("%.*s.%s", (int)(strrchr(name, '.') - name), name, cause_kind(cause->code)->name);

        json_put_text(object, "error", error);
        json_put(parameters, "cause", cause_json(cause));
        if (cause->code == CAUSE_INVALID)
                json_put(parameters, "problems",
                         problems_json(&(struct causes){ .items = (struct cause *)cause, .count = 1 }));
        json_put(object, "parameters", parameters);
        return object;
}

/* Says why before the connection ends, since nothing after it can be trusted to begin where a call begins. */
static void refuse_method(struct client *client, const struct method *method, const struct cause *cause)
{
        share_notice(client->share, "a control client (%s) was refused: %s", client->who, cause->text);
        client->closing = client->refused = true;
        client->active = loop_now();
        client_send(client, error_of(method, cause), -1);
        frame_reader_free(&client->reader);
}

static void refuse_call(struct client *client, const struct cause *cause)
{
        refuse_method(client, NULL, cause);
}

static void refuse_overdraft(struct client *client)
{
        struct cause cause;

        cause_set(&cause, CAUSE_BUSY, "%s has sent too much that is no whole call yet", client->who);
        refuse_call(client, &cause);
}

/* What its work was told to do may be done all the same. */
void client_tell_end(struct client *client)
{
        struct call *call = client->call;
        struct cause cause;

        (void)cause_set(&cause, CAUSE_NO_DAEMON, "the daemon has ended before this was answered");
        cause_remedy(&cause,
                     call && (call->method->flags & METHOD_CHANGES)
                             ? "when it runs again look whether it was done, emailsecctl log --audit; "
                               "else try again"
                             : "try again when it runs again");
        if (call ? call->go_on || call->oneway || (call->method->flags & METHOD_EVENTS) : !client->parsing) {
                client_end(client);
        } else if (call && call->cancel) {
                take(call->cancel)(call->work); /* it is stopped, and will not answer */
                call_fail(call, &cause);
        } else {
                client->closing = true;
                client_send(client, error_of(call ? call->method : NULL, &cause), -1);
                client_flush(client);
        }
}

/* ---- admission ---- */

/* What is known of a call by its beginning: false when it was refused. */
static bool admit(struct client *client)
{
        const struct frame_scan *scan = &client->reader.scan;
        const struct method *method = scan->has_method ? method_named(scan->method) : NULL;
        bool large = client->reader.searched > LIMIT_CALL || scan->values > LIMIT_CALL_VALUES;
        struct cause cause = { 0 };

        if (!large)
                return true;
        if (method && !permit(&client->peer, method->permission)) {
                cause_set(&cause, CAUSE_PERMISSION, "%s may not do this", client->who);
        } else if (client->reader.searched > method_size(method)) {
                cause_set(&cause, CAUSE_TOO_LARGE, "a call of %s is larger than %zu bytes",
                          method ? method->name : "an unknown method", method_size(method));
                cause_remedy(&cause,
                             "name the method at the beginning of the call; give a message as a descriptor");
        } else if (scan->values > method_values(method)) {
                cause_set(&cause, CAUSE_TOO_LARGE, "a call of %s has more than %zu values",
                          method ? method->name : "an unknown method", method_values(method));
                cause_remedy(&cause, "do it in several calls");
        } else {
                return true;
        }
        refuse_method(client, method, &cause);
        return false;
}

/* ---- calls ---- */

static void refuse_permission(struct call *call)
{
        struct cause cause;

        cause_set(&cause, CAUSE_PERMISSION, "%s may not do this", call->who);
        call_fail(call, &cause);
}

static void fail_unknown(struct call *call, const char *name)
{
        const char *dot = strrchr(name, '.');
        scoped(scoped_free) char *interface = copy_bytes(name, dot ? (size_t)(dot - name) : strlen(name));

        if (interface_known(name))
                call_fail_varlink(call, "MethodNotFound", "method", name);
        else
                call_fail_varlink(call, "InterfaceNotFound", "interface", interface);
}

/* A call that waits for something to happen takes one of the places for that. */
static bool may_wait(struct call *call)
{
        if (!(call->method->flags & METHOD_WAITS))
                return true;
        return !share_is_out(call->share, BUDGET_WAITING, 1) &&
               share_count(call->share, BUDGET_WAITING, &call->waiting, 1);
}

static void dispatch(struct call *call, const char *name)
{
        static const struct method unknown = { .name = "org.varlink.service.Unknown" };
        const struct method *method = method_named(name);
        struct cause cause;

        call->method = method ? method : &unknown;
        if (!method) {
                fail_unknown(call, name);
        } else if (!permit(&call->peer, method->permission)) {
                refuse_permission(call);
        } else if ((method->flags & METHOD_MORE) && !call->more) {
                call_fail_varlink(call, "ExpectedMore", NULL, NULL);
        } else if (service_ending() && !(method->flags & METHOD_ENDING)) {
                cause_set(&cause, CAUSE_BUSY, "the daemon is ending");
                call_fail(call, &cause);
        } else if (!may_wait(call)) {
                cause_set(&cause, CAUSE_BUSY, "too many calls of %s wait already", call->who);
                call_fail(call, &cause);
        } else if (call_read(call)) {
                method->handle(call);
        }
}

/* more, oneway and upgrade, each absent or a truth value. Returns the name of one that is not. */
static const char *read_flags(struct call *call, const json_t *object)
{
        static const char *const names[] = { "more", "oneway", "upgrade" };

        call->oneway =
                json_is_true(json_object_get(object, "oneway")); /* first: then nothing is answered at all */
        for (size_t i = 0; i < count_of(names); i++) {
                const json_t *value = json_object_get(object, names[i]);
                if (value && !json_is_null(value) && !json_is_boolean(value))
                        return names[i];
        }
        call->more = json_is_true(json_object_get(object, "more")) &&
                     !call->oneway; /* who hears nothing wants no parts */
        return json_is_true(json_object_get(object, "upgrade")) ? "upgrade" : NULL; /* to no other protocol */
}

static void name_actor(struct call *call, const struct client *client)
{
        struct actor *actor = &call->actor;

        (void)snprintf(actor->uid, sizeof actor->uid, "%u", client->peer.uid);
        if (client->peer.has_login)
                (void)snprintf(actor->login_uid, sizeof actor->login_uid, "%u", client->peer.login);
        (void)snprintf(actor->who, sizeof actor->who, "%s%s%s", client->who,
                       client->login[0] ? ", logged in as " : "", client->login);
}

static void begin_call(struct client *client, const json_t *object)
{
        static const struct method none = { .name = "org.varlink.service.Unknown" };
        const char *name = json_string_value(json_object_get(object, "method"));
        json_t *parameters = json_object_get(object, "parameters");
        struct cause cause;

        if (!name || (parameters && !json_is_object(parameters) && !json_is_null(parameters))) {
                cause_set(&cause, CAUSE_CALL, "a call has a method (text) and parameters (an object)");
                refuse_call(client, &cause);
                return;
        }
        struct call *call = new_object(struct call);
        *call = (struct call){
                .client = client, .peer = client->peer, .share = share_keep(client->share), .method = &none
        };
        memcpy(call->who, client->who, sizeof call->who);
        name_actor(call, client);
        call->sent = json_is_object(parameters) ? json_incref(parameters) : NULL;
        client->call = call;
        const char *wrong = read_flags(call, object);
        if (wrong)
                call_fail_varlink(call, "InvalidParameter", "parameter", wrong);
        else
                dispatch(call, name);
}

static void take_object(struct client *client, const struct method *method, const json_t *object,
                        const struct cause *cause)
{
        if (object)
                begin_call(client, object);
        else if (cause->code == CAUSE_INVALID)
                refuse_method(client, method, cause);
        else
                refuse_call(client, cause);
}

/* False when there is none, or it will be there later. */
static bool take_call(struct client *client)
{
        struct cause cause = { 0 };
        json_t *object = NULL;
        bool whole = frame_look(&client->reader);
        const struct frame_scan *scan = &client->reader.scan;
        const struct method *method = scan->has_method ? method_named(scan->method) : NULL;

        if (!admit(client) || !whole)
                return false;
        if (client->reader.searched > PARSED_HERE) {
                client_parse_apart(client, method);
                return false;
        }
        if (frame_next(&client->reader, &object, &cause) < 0)
                object = NULL;
        take_object(client, method, object, &cause);
        json_decref(object);
        return true;
}

static bool may_take(const struct client *client)
{
        return !client->ending && !client->closing && !client->call && !client->parsing &&
               client->out.len < LIMIT_CLIENT_UNREAD;
}

void client_take_calls(struct client *client)
{
        if (client->ending || client->handling)
                return;
        client->handling = true;
        for (bool took = true; took && may_take(client) && !client->put_off;) {
                if (frame_look(&client->reader) && !share_has_time(client->share)) {
                        put_off(client);
                        break;
                }
                share_start(client->share);
                took = take_call(client);
                share_stop(client->share);
        }
        client->handling = false;
        if (!client->reader.in.len)
                buf_release(&client->reader.in);
        if (client->half_closed && !client->call && !client->parsing && !frame_look(&client->reader))
                client->closing = true;
        client_flush(client);
}

void client_call_came(struct client *client, const struct method *method, const json_t *object,
                      const struct cause *cause)
{
        if (client->ending)
                return;
        client->handling = true;
        share_start(client->share);
        take_object(client, method, object, cause);
        share_stop(client->share);
        client->handling = false;
        if (client->winding_down && !client->call)
                client->closing = true;
        client_take_calls(client);
}

/* ---- the descriptor ---- */

bool client_hung_up(const struct client *client)
{
        struct pollfd poll_fd = { .fd = client->fd };

        return poll(&poll_fd, 1, 0) > 0 && (poll_fd.revents & (POLLHUP | POLLERR));
}

static void peer_left(struct client *client)
{
        if (client_hung_up(client)) {
                client_end(client);
                return;
        }
        client->half_closed = true;
}

/* While a call waits, what comes is left in the socket, where it is bounded; only the end is taken note of.
 */
static void look_whether_gone(struct client *client)
{
        char byte;
        ssize_t got = recv(client->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

        if (got > 0)
                client->more_came = true;
        if (got == 0)
                peer_left(client);
        else if (got < 0 && errno != EAGAIN && errno != EINTR)
                client_end(client);
        client_watch(client);
}

static void read_away(struct client *client)
{
        uint8_t piece[64 * KIB];
        ssize_t got = recv(client->fd, piece, sizeof piece, MSG_DONTWAIT);

        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
                client_end(client);
}

static void receive(struct client *client)
{
        struct cause cause = { 0 };
        frame_reader_take_fds(&client->reader, !closers_hang() || share_in_charge(client->share));
        int got = frame_receive(&client->reader, client->fd, &cause);

        if (got > 0)
                client->active = loop_now();
        if (got == 0)
                peer_left(client);
        else if (got == -2 && cause.code == CAUSE_CLOSED)
                client_end(client);
        else if (got == -2)
                refuse_call(client, &cause);
        else if (got > 0 && !client_count(client))
                refuse_overdraft(client);
}

static void serve(struct client *client)
{
        if (!frame_look(&client->reader)) {
                share_start(client->share);
                client_files_patience(true);
                if (client->refused)
                        read_away(client);
                else
                        receive(client);
                client_files_patience(false);
                share_stop(client->share);
        }
        client_take_calls(client);
}

/* In their order, but for those who have no time left in this turn. */
static void serve_line(void *ctx unused_arg)
{
        struct client *next;

        for (struct client *client = line.first, *last = NULL; client && client != last; client = next) {
                next = client->behind;
                if (!share_has_time(client->share))
                        continue;
                client_leave_line(client);
                serve(client);
                if (client->put_off && !last)
                        last = client; /* it came behind those that were there */
        }
        if (line.first)
                timer_set_next_turn(line.timer);
}


void client_ready(void *ctx, int what)
{
        struct client *client = ctx;

        if (what & WATCH_WRITE)
                client_flush(client);
        if (client->ending || client->parsing || !(what & WATCH_READ))
                return;
        if (client->call) {
                look_whether_gone(client);
                return;
        }
        if (share_has_time(client->share)) {
                serve(client);
        } else {
                put_off(client);
                client_watch(client);
        }
}
