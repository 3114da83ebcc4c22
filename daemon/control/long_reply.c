/* SPDX-License-Identifier: MIT */
/* A reply in pieces over several turns; see long_reply.h. */
#include "daemon/control/long_reply.h"

#include "common/times.h"
#include "daemon/control/audit.h"
#include "daemon/control/client_parts.h"

enum {
        TURN_US = 4000,   /* of a turn that are written on end */
        NEXT_TURN_MS = 1, /* a timer that is due now may fire again within this turn */
};

struct long_reply {
        struct call *call;
        const struct long_reply_user *user;
        void *work;
        struct timer *timer;
        struct json_writer out;
};

static void long_reply_free(struct long_reply *reply)
{
        reply->user->end(reply->work);
        timer_free(reply->timer);
        free(reply);
}

static void cancelled(void *work)
{
        long_reply_free(work);
}

/* False: that was all of it. */
static bool write_some(struct long_reply *reply, const struct client *client)
{
        int64_t until = time_monotonic_us() + TURN_US;
        bool more = true;

        while (more && !reply->out.failed && client->out.len < LIMIT_CLIENT_UNREAD &&
               time_monotonic_us() < until)
                more = reply->user->next(reply->work, &reply->out);
        return more;
}

static void finish(struct long_reply *reply)
{
        struct call *call = reply->call;

        json_write(&reply->out, "}");
        if (buf_append(&call->client->out, "", 1) < 0) /* without its end it is no frame */
                client_end(call->client);
        long_reply_free(reply);
        audit_answered(call);
        call_end(call, NULL, -1);
}

static void write_on(void *ctx)
{
        struct long_reply *reply = ctx;
        struct client *client = reply->call->client;
        bool own_turn = !client->handling, more = true;

        if (client->ending)
                return;
        if (share_has_time(client->share)) {
                if (own_turn)
                        share_start(client->share);
                more = write_some(reply, client);
                if (own_turn)
                        share_stop(client->share);
        }
        if (reply->out.failed) {
                client_end(client);
        } else if (!more) {
                finish(reply);
        } else {
                if (own_turn)
                        client_flush(client);
                if (client->out.len < LIMIT_CLIENT_UNREAD) /* else once it has read some of it */
                        timer_set(reply->timer, NEXT_TURN_MS);
        }
}

void call_reply_long(struct call *call, const struct long_reply_user *user, void *work)
{
        if (!call->client || call->oneway) {
                user->end(work);
                call_reply(call, NULL);
                return;
        }
        struct long_reply *reply = new_object(struct long_reply);
        *reply = (struct long_reply){
                .call = call, .user = user, .work = work, .out = { .to = &call->client->out }
        };
        reply->timer = timer_new(write_on, reply);
        call_on_cancel(call, cancelled, reply);
        call->go_on = write_on;
        json_write(&reply->out, "{\"parameters\":");
        write_on(reply);
}
