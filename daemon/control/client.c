/* SPDX-License-Identifier: MIT */
/* One control connection: its life, and what goes out; see client.h. */
#include "daemon/control/client_parts.h"
#include "daemon/control/methods.h"
#include "daemon/journal.h"
#include "daemon/store/rest.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
        PATROL_MS = 1000,
        IDLE_MS = 60 * 1000, /* so long a connection may say nothing while others want its place */
        DRAIN_MS = 2000,     /* so long what follows something that was refused is read away */
};

static struct client *clients;
static struct timer *patrol; /* set while there are clients whose end would not be seen otherwise */

/* ---- the end of a client ---- */

static void call_free(struct call *call)
{
        (void)share_count(call->share, BUDGET_WAITING, &call->waiting, 0);
        share_drop(call->share);
        json_decref(call->sent);
        free(call);
        rest_put_off();
}

/* Takes it out of everything it is in. */
static void detach(struct client *client)
{
        struct client **at = &clients;

        if (client->detached)
                return;
        client->detached = true;
        handle_drop(&client->parsing);
        client_leave_line(client);
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
}

static void free_client(void *ctx)
{
        struct client *client = ctx;

        detach(client);
        frame_reader_free(&client->reader);
        buf_wipe(&client->out);
        for (size_t i = 0; i < client->out_fd_count; i++)
                (void)close(client->out_fds[i]);
        watch_free(client->watch);
        client_files_patience(true);
        close_fd(&client->fd);
        client_files_patience(false);
        for (int kind = 0; kind < BUDGET_KINDS; kind++)
                (void)share_count(client->share, (enum budget_kind)kind, &client->counted[kind], 0);
        share_drop(client->share);
        free(client);
        rest_put_off();
}

void client_end(struct client *client)
{
        if (client->ending)
                return;
        client->ending = true;
        watch_for(client->watch, 0);
        loop_later(free_client, client);
}

bool client_count(struct client *client)
{
        const size_t now[BUDGET_KINDS] = {
                [BUDGET_CONNECTIONS] = 1,
                [BUDGET_INPUT] = client->reader.in.size,
                [BUDGET_OUTPUT] = client->out.size,
                [BUDGET_DESCRIPTORS] = client->reader.fd_count,
        };
        bool good = true;

        for (int kind = 0; kind < BUDGET_KINDS; kind++)
                if (!share_count(client->share, (enum budget_kind)kind, &client->counted[kind], now[kind]))
                        good = false;
        return good;
}

/* ---- those whose end is not seen by reading ---- */

static bool is_unseen(const struct client *client)
{
        return !client->ending &&
               ((client->call && (client->half_closed || client->more_came)) || client->refused);
}

static void look_around(void *ctx unused_arg)
{
        bool again = false;

        for (struct client *client = clients; client; client = client->next) {
                if (!is_unseen(client))
                        continue;
                again = true;
                if (client->refused ? loop_now() - client->active > DRAIN_MS : client_hung_up(client))
                        client_end(client);
        }
        if (again)
                timer_set(patrol, PATROL_MS);
}

void client_watch(struct client *client)
{
        int what = 0;

        if (client->ending)
                return;
        bool wants = !client->username && !client->parsing && !client->half_closed && !client->put_off &&
                     client->out.len < LIMIT_CLIENT_UNREAD &&
                     !(client->call && client->more_came); /* also while a call waits: to see the client go */
        if (client->closing ? client->refused && !client->out.len : wants)
                what |= WATCH_READ;
        if (client->out.len)
                what |= WATCH_WRITE;
        watch_for(client->watch, what);
        if (is_unseen(client)) {
                if (!patrol)
                        patrol = timer_new(look_around, NULL);
                if (!timer_is_set(patrol))
                        timer_set(patrol, PATROL_MS);
        }
}

/* ---- out ---- */

static void go_on(void *ctx)
{
        struct client *client = ctx;

        client->going_on = false;
        if (client->call && client->call->go_on)
                client->call->go_on(client->call->work);
        client_take_calls(client);
}

static void go_on_later(struct client *client)
{
        if (client->ending || client->going_on)
                return;
        client->going_on = true;
        loop_later(go_on, client);
}

static void drop_slow(struct client *client, const char *what)
{
        share_notice(client->share, "a control client (%s) does not read its %s and was dropped", client->who,
                     what);
        client_end(client);
}

static void send_out(struct client *client)
{
        struct cause cause = { 0 };
        size_t fds = client->out_fd_count, before = client->out.len;
        int sent = frame_send(client->fd, &client->out, client->out_fds, &client->out_fd_count, &cause);

        for (size_t i = client->out_fd_count; i < fds; i++) /* the peer has its own by now */
                close_fd(&client->out_fds[i]);
        if (client->out.len < before)
                client->active = loop_now();
        buf_release(&client->out);
        if (sent < 0)
                client_end(client);
        else if (before >= LIMIT_CLIENT_UNREAD && client->out.len < LIMIT_CLIENT_UNREAD)
                go_on_later(client);
}

void client_flush(struct client *client)
{
        if (client->ending)
                return;
        if (client->out.len)
                send_out(client);
        if (!client_count(client) && client->out.len) {
                drop_slow(client, "replies");
                return;
        }
        if (client->closing && !client->out.len) {
                if (!client->refused)
                        client_end(client);
                else
                        (void)shutdown(client->fd, SHUT_WR);
        }
        client_watch(client);
}

void client_send(struct client *client, json_t *object, int fd)
{
        if (fd >= 0) {
                if (client->ending || client->out_fd_count == LIMIT_FRAME_FDS)
                        (void)close(fd);
                else
                        client->out_fds[client->out_fd_count++] = fd;
        }
        if (!client->ending && frame_append(&client->out, object) < 0)
                drop_slow(client, "replies");
        json_decref(object);
}

void call_reply_part(struct call *call, json_t *parameters)
{
        struct client *client = call->client;
        json_t *object = json_object();

        json_put(object, "parameters", parameters ? parameters : json_object());
        json_put(object, "continues", json_true());
        if (!client || call->oneway || client->ending) {
                json_decref(object);
                return;
        }
        if (client->out.len > LIMIT_MONITOR_BACKLOG)
                drop_slow(client, "stream");
        client_send(client, object, -1);
        if (!client->handling)
                client_flush(client);
}

void call_end(struct call *call, json_t *object, int fd)
{
        struct client *client = call->client;
        bool wanted = client && !call->oneway && object;

        if (client) {
                client->call = NULL;
                client->more_came = false;
                frame_drop_fds(&client->reader);
        }
        if (wanted) {
                client_send(client, object, fd);
        } else {
                json_decref(object);
                if (fd >= 0)
                        (void)close(fd);
        }
        call_free(call);
        if (!client || client->ending)
                return;
        if (client->winding_down)
                client->closing = true;
        if (!client->handling) {
                client_flush(client);
                go_on_later(client);
        }
}

/* ---- who it is ---- */

static void login_named(void *ctx, const char *name)
{
        struct client *client = ctx;

        client->username = NULL;
        if (name)
                (void)snprintf(client->login, sizeof client->login, "%s (uid %u)", name, client->peer.login);
        client_watch(client);
}

/* Who signed in, where that is somebody else. */
static void name_login(struct client *client)
{
        const char *name;

        if (!client->peer.has_login)
                return;
        (void)snprintf(client->login, sizeof client->login, "uid %u", client->peer.login);
        if (username_recent(client->peer.login, &name))
                login_named(client, name);
        else
                client->username = username_look_up(client->peer.login, login_named, client);
}

static void user_named(void *ctx, const char *name)
{
        struct client *client = ctx;

        client->username = NULL;
        if (name)
                (void)snprintf(client->who, sizeof client->who, "%s (uid %u)", name, client->peer.uid);
        name_login(client);
        client_watch(client);
}

static void name_user(struct client *client)
{
        uid_t uid = client->peer.uid;
        const char *name;

        (void)snprintf(client->who, sizeof client->who, "uid %u", uid);
        if (uid == 0) {
                (void)snprintf(client->who, sizeof client->who, "root (uid 0)");
                name_login(client);
        } else if (username_recent(uid, &name)) {
                user_named(client, name);
        } else {
                client->username = username_look_up(uid, user_named, client);
                if (!client->username)
                        name_login(client);
        }
}

void client_new(int fd, const struct peer *peer)
{
        struct client *client = new_object(struct client);

        client->fd = fd;
        client->peer = *peer;
        client->share = share_hold(peer);
        client->active = loop_now();
        buf_init(&client->out, LIMIT_CLIENT_OUTPUT);
        frame_reader_init(&client->reader, LIMIT_FRAME + 1);
        frame_close_by(client_file_close);
        client->watch = watch_new(fd, client_ready, client);
        client->next = clients;
        clients = client;
        (void)client_count(client);
        name_user(client);
        client_watch(client);
}

/* ---- all of them ---- */

bool clients_end_idle(const struct share *of)
{
        struct client *longest = NULL;

        for (struct client *client = clients; client; client = client->next)
                if (!client->ending && !client->call && !client->parsing && !share_in_charge(client->share) &&
                    (!of || client->share == of) && loop_now() - client->active >= IDLE_MS &&
                    (!longest || client->active < longest->active))
                        longest = client;
        if (longest)
                client_end(longest);
        return longest != NULL;
}

void clients_wind_down(void)
{
        for (struct client *client = clients; client; client = client->next) {
                client->winding_down = true;
                if (client->call && client->call->cancel && (client->call->method->flags & METHOD_WAITS)) {
                        client_tell_end(client);
                } else if (!client->call && !client->parsing) {
                        client->closing = true; /* once it has read its answers */
                        client_flush(client);
                }
        }
}

/* Nobody has to answer it, or it can be given up. */
static bool may_be_told(const struct client *client)
{
        const struct call *call = client->call;

        return !call || (call->cancel && !(call->method->flags & METHOD_STORED));
}

void clients_stop(void)
{
        for (struct client *client = clients; client; client = client->next) {
                client->winding_down = true;
                if (!client->ending && may_be_told(client))
                        client_tell_end(client);
        }
}

void clients_close(void)
{
        while (clients) {
                struct client *client = clients;
                if (!client->ending && client->call)
                        client_tell_end(client);
                client_end(client);
                detach(client); /* now: what its call works with ends next */
        }
        timer_free(take(patrol));
        parse_apart_close();
        serve_close();
        usernames_close();
}
