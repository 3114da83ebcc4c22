/* SPDX-License-Identifier: MIT */
/* One control connection: frames in, calls handled in order, replies out; see client.h. */
#include "daemon/control/client_parts.h"
#include "daemon/control/methods.h"
#include "daemon/journal.h"
#include "daemon/station/station.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static struct client *clients;

/* ---- the end of a client ---- */

static void free_client(void *ctx)
{
        struct client *client = ctx;

        frame_reader_free(&client->reader);
        buf_wipe(&client->out);
        for (size_t i = 0; i < client->out_fd_count; i++)
                (void)close(client->out_fds[i]);
        watch_free(client->watch);
        close_fd(&client->fd);
        client->gone(client->ctx, &client->peer);
        free(client);
}

static void call_free(struct call *call)
{
        json_decref(call->parameters);
        free(call);
}

void client_end(struct client *client)
{
        struct client **at = &clients;

        if (client->dead)
                return;
        client->dead = true;
        watch_for(client->watch, 0);
        username_cancel(take(client->username));
        while (*at != client)
                at = &(*at)->next;
        *at = client->next;
        if (client->call) {
                struct call *call = take(client->call);
                call->client = NULL;
                if (call->cancel) { /* the work is stopped and will not answer */
                        call->cancel(call->work);
                        call_free(call);
                }
        }
        loop_later(free_client, client);
}

/* ---- out ---- */

static void watch_as_needed(struct client *client)
{
        int what = 0;

        if (client->dead)
                return;
        if (!client->closing && !(client->call && client->more_came))
                what |= WATCH_READ; /* also while a call waits: to see the client go */
        if (client->out.len)
                what |= WATCH_WRITE;
        watch_for(client->watch, what);
}

void client_flush(struct client *client)
{
        struct cause cause = { 0 };

        if (client->dead)
                return;
        if (client->out.len) {
                size_t fds = client->out_fd_count;
                int sent = frame_send(client->fd, &client->out, client->out_fds, &client->out_fd_count, &cause);
                for (size_t i = client->out_fd_count; i < fds; i++) /* the peer has its own by now */
                        close_fd(&client->out_fds[i]);
                if (sent < 0) {
                        client_end(client);
                        return;
                }
        }
        if (!client->out.len && client->closing)
                client_end(client);
        else
                watch_as_needed(client);
}

void client_send(struct client *client, json_t *object, int fd)
{
        if (fd >= 0) {
                if (client->out_fd_count == LIMIT_FRAME_FDS) {
                        (void)close(fd);
                } else {
                        client->out_fds[client->out_fd_count++] = fd;
                }
        }
        if (frame_append(&client->out, object) < 0) {
                log_about(NULL, LOG_NOTICE, NULL, "a control client (%s) does not read its replies and was dropped", client->who);
                client_end(client);
        }
        json_decref(object);
}

static void handle_frames(struct client *client);

static void go_on(void *ctx)
{
        struct client *client = ctx;

        if (!client->dead)
                handle_frames(client);
}

void call_end(struct call *call, json_t *object, int fd)
{
        struct client *client = call->client;

        if (client) {
                client->call = NULL;
                client->more_came = false;
                frame_drop_fds(&client->reader);
                if (call->oneway) {
                        json_decref(object);
                        if (fd >= 0)
                                (void)close(fd);
                } else {
                        client_send(client, object, fd);
                }
                if (!client->dead && client->winding_down)
                        client->closing = true;
                if (!client->dead && !client->handling) {
                        client_flush(client);
                        if (!client->dead)
                                loop_later(go_on, client);
                }
        } else {
                json_decref(object);
                if (fd >= 0)
                        (void)close(fd);
        }
        call_free(call);
}

/* ---- in ---- */

static void refuse_permission(struct call *call)
{
        struct cause cause;

        cause_set(&cause, CAUSE_PERMISSION, "%s may not do this", call->client->who);
        call_fail(call, &cause);
}

static void dispatch(struct call *call, const char *name)
{
        static const struct method unknown = { "org.varlink.service.Unknown", PERMIT_NONE, 0, NULL };
        const struct method *method = method_named(name);
        struct cause cause;

        call->method = method ? method : &unknown;
        if (!method) {
                bool known = interface_known(name);
                call_fail_varlink(call, known ? "MethodNotFound" : "InterfaceNotFound", known ? "method" : "interface", name);
        } else if (!permit(&call->client->peer, method->permission)) {
                refuse_permission(call);
        } else if ((method->flags & METHOD_MORE) && !call->more) {
                call_fail_varlink(call, "ExpectedMore", NULL, NULL);
        } else if (station_ending() && !(method->flags & METHOD_ENDING)) {
                cause_set(&cause, CAUSE_BUSY, "the daemon is ending");
                call_fail(call, &cause);
        } else {
                method->handle(call);
        }
}

/* What came is no call: the client is told why before the connection ends, since nothing after it can be trusted to
 * begin where a call begins. */
static void refuse_frame(struct client *client, const struct cause *cause)
{
        json_t *object = json_object(), *parameters = json_object();

        log_about(NULL, LOG_NOTICE, NULL, "a control client (%s) sent what is no Varlink call: %s", client->who,
                  cause->text);
        json_put_text(object, "error", "io.emailsec.EmailService.InvalidProperty");
        json_put(parameters, "cause", cause_json(cause));
        json_put(parameters, "problems", json_array());
        json_put(object, "parameters", parameters);
        client->closing = true;
        client_send(client, object, -1);
}

static void begin_call(struct client *client, json_t *object)
{
        struct call *call = new_object(struct call);
        const char *name = json_string_value(json_object_get(object, "method"));
        json_t *parameters = json_object_get(object, "parameters");

        call->client = client;
        call->parameters = json_is_object(parameters) ? json_incref(parameters) : NULL;
        call->more = json_is_true(json_object_get(object, "more"));
        call->oneway = json_is_true(json_object_get(object, "oneway"));
        client->call = call;
        if (!name || (parameters && !json_is_object(parameters) && !json_is_null(parameters))) {
                struct cause cause;
                client->call = NULL;
                call_free(call);
                cause_set(&cause, CAUSE_INVALID, "a call has a method (text) and parameters (an object)");
                refuse_frame(client, &cause);
                return;
        }
        dispatch(call, name);
}

static void handle_frames(struct client *client)
{
        struct cause cause = { 0 };

        client->handling = true;
        while (!client->dead && !client->closing && !client->call) {
                json_t *object = NULL;
                int got = frame_next(&client->reader, &object, &cause);
                if (got < 0) {
                        refuse_frame(client, &cause);
                } else if (got == 0) {
                        break;
                } else {
                        begin_call(client, object);
                        json_decref(object);
                }
        }
        client->handling = false;
        client_flush(client);
}

/* While a call waits, what comes is left in the socket, where it is bounded; only the end is taken note of. */
static void look_whether_gone(struct client *client)
{
        char byte;
        ssize_t got = recv(client->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
                client_end(client);
        } else if (got > 0) {
                client->more_came = true;
                watch_as_needed(client);
        }
}

static void ready(void *ctx, int what)
{
        struct client *client = ctx;
        struct cause cause = { 0 };

        if (what & WATCH_WRITE)
                client_flush(client);
        if (client->dead || !(what & WATCH_READ))
                return;
        if (client->call) {
                look_whether_gone(client);
                return;
        }
        int got = frame_receive(&client->reader, client->fd, &cause);
        if (got == 0) {
                client_end(client);
        } else if (got == -2 && cause.code == CAUSE_CLOSED) {
                client_end(client);
        } else if (got == -2) {
                refuse_frame(client, &cause);
                client_flush(client);
        } else if (got > 0) {
                handle_frames(client);
        }
}

/* ---- who it is ---- */

static void user_named(void *ctx, const char *name)
{
        struct client *client = ctx;

        client->username = NULL;
        if (name)
                (void)snprintf(client->who, sizeof client->who, "%s (uid %u)", name, client->peer.uid);
        watch_as_needed(client);
}

void client_new(int fd, const struct peer *peer, void (*gone)(void *ctx, const struct peer *peer), void *ctx)
{
        struct client *client = new_object(struct client);

        client->fd = fd;
        client->peer = *peer;
        client->gone = gone;
        client->ctx = ctx;
        buf_init(&client->out, LIMIT_CLIENT_OUTPUT);
        frame_reader_init(&client->reader, LIMIT_FRAME);
        client->watch = watch_new(fd, ready, client);
        client->next = clients;
        clients = client;
        (void)snprintf(client->who, sizeof client->who, "uid %u", peer->uid);
        if (peer->uid == 0)
                (void)snprintf(client->who, sizeof client->who, "root (uid 0)");
        else
                client->username = username_look_up(peer->uid, user_named, client);
        if (!client->username)
                watch_as_needed(client);
}

void clients_wind_down(void)
{
        for (struct client *client = clients, *next; client; client = next) {
                next = client->next;
                client->winding_down = true;
                if (client->call && client->call->cancel) {
                        client_end(client);
                } else if (!client->call) {
                        client->closing = true; /* once it has read its answers */
                        client_flush(client);
                }
        }
}

void clients_close(void)
{
        while (clients)
                client_end(clients);
        usernames_close();
}
