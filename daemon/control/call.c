/* SPDX-License-Identifier: MIT */
/* One call: what it asks, what of it is in the trail, and its answers, at once or in pieces; see call.h. */
#include "daemon/control/call.h"

#include "common/limits.h"
#include "common/times.h"
#include "daemon/control/client_parts.h"
#include "daemon/control/methods.h"

#include <stdio.h>

#define VARLINK "org.varlink.service."

/* ---- what it asks ---- */

const struct peer *call_peer(const struct call *call)
{
        return &call->peer;
}

const char *call_who(const struct call *call)
{
        return call->who;
}

const struct parameters *call_parameters(const struct call *call)
{
        return &call->parameters;
}

bool call_wants_more(const struct call *call)
{
        return call->more;
}

bool call_is_oneway(const struct call *call)
{
        return call->oneway;
}

int call_take_fd(struct call *call, size_t index)
{
        return call->client ? frame_take_fd(&call->client->reader, index) : -1;
}

void call_on_cancel(struct call *call, void (*cancel)(void *work), void *work)
{
        call->cancel = cancel;
        call->work = work;
}

/* ---- its part in the audit trail ---- */

const struct actor *call_doer(const struct call *call)
{
        return &call->actor;
}

const char *call_actor(const struct call *call)
{
        return call->actor.who;
}

void audit(struct call *call, const struct trail *trail)
{
        call->audited = true;
        audit_trail_record(&call->actor, trail);
}

void audit_nothing(struct call *call)
{
        call->audited = true;
}

/* The call of a changing method succeeds. */
static void audit_answered(struct call *call)
{
        if (!(call->method->flags & METHOD_CHANGES) || call->audited)
                return;
        scoped(scoped_free) char *object = text_of("method %s", call->method->name);
        audit(call, &(struct trail){ .action = TRAIL_OTHER, .object = object });
}

/* ---- answers ---- */

static json_t *reply_object(json_t *parameters)
{
        json_t *object = json_object();

        json_put(object, "parameters", parameters ? parameters : json_object());
        return object;
}

void call_reply_fd(struct call *call, json_t *parameters, int fd)
{
        audit_answered(call);
        call_end(call, reply_object(parameters), fd);
}

void call_reply(struct call *call, json_t *parameters)
{
        audit_answered(call);
        call_end(call, reply_object(parameters), -1);
}

static void fail_named(struct call *call, const char *interface, const char *error, json_t *parameters)
{
        json_t *object = json_object();
        scoped(scoped_free) char *name =
                text_of("%.*s.%s", (int)(strrchr(interface, '.') - interface), interface, error);

        json_put_text(object, "error", name);
        json_put(object, "parameters", parameters);
        call_end(call, object, -1);
}

static bool is_among(enum cause_code code, const enum cause_code *codes, size_t count)
{
        for (size_t i = 0; i < count; i++)
                if (codes[i] == code)
                        return true;
        return false;
}

/* Causes that have an error of their own in the interfaces; every other is `Failed`, in Trust `Internal`. */
static const char *error_name(const struct call *call, enum cause_code code)
{
        static const enum cause_code own[] = {
                CAUSE_INVALID,   CAUSE_PORT_REQUIRED, CAUSE_NOT_FOUND,   CAUSE_EXISTS,
                CAUSE_AMBIGUOUS, CAUSE_PERMISSION,    CAUSE_STATE,       CAUSE_BUSY,
                CAUSE_TOO_LARGE, CAUSE_QUEUE_FULL,    CAUSE_FINGERPRINT, CAUSE_STORAGE,
                CAUSE_INTERNAL,  CAUSE_DISABLED,      CAUSE_CALL,        CAUSE_NO_DAEMON,
        };
        static const enum cause_code not_of_trust[] = { CAUSE_PORT_REQUIRED, CAUSE_EXISTS, CAUSE_QUEUE_FULL,
                                                        CAUSE_DISABLED, CAUSE_CALL };
        static const enum cause_code not_of_service[] = { CAUSE_FINGERPRINT };
        bool trust = strstr(call->method->name, ".Trust.") != NULL;

        if (!is_among(code, own, count_of(own)) ||
            (trust && is_among(code, not_of_trust, count_of(not_of_trust))) ||
            (!trust && is_among(code, not_of_service, count_of(not_of_service))))
                return trust ? "Internal" : "Failed";
        return cause_kind(code)->name;
}

void call_fail(struct call *call, const struct cause *cause)
{
        json_t *parameters = json_object();

        json_put(parameters, "cause", cause_json(cause));
        if (cause->code == CAUSE_INVALID || cause->code == CAUSE_PORT_REQUIRED) {
                struct causes one = { .items = (struct cause *)cause, .count = 1 };
                json_put(parameters, "problems", problems_json(&one));
        }
        fail_named(call, call->method->name, error_name(call, cause->code), parameters);
}

void call_fail_problems(struct call *call, const struct causes *problems)
{
        struct cause cause = problems->items[0];

        if (problems->count == 1) {
                call_fail(call, &cause);
                return;
        }
        json_t *parameters = json_object();
        cause_set(&cause, CAUSE_INVALID, "%zu values are not right; nothing was changed", problems->count);
        json_put(parameters, "cause", cause_json(&cause));
        json_put(parameters, "problems", problems_json(problems));
        fail_named(call, call->method->name, "InvalidProperty", parameters);
}

void call_fail_varlink(struct call *call, const char *error, const char *field, const char *value)
{
        json_t *parameters = json_object();

        if (field)
                json_put_text(parameters, field, value);
        fail_named(call, VARLINK, error, parameters);
}

bool call_read(struct call *call)
{
        struct causes problems = { 0 };
        bool good = parameters_read(call->sent, call->method->takes, &call->parameters, &problems) == 0;

        if (!good && (problems.count == 1 || strncmp(call->method->name, VARLINK, strlen(VARLINK)) == 0))
                call_fail_varlink(call, "InvalidParameter", "parameter", problems.items[0].property);
        else if (!good)
                call_fail_problems(call, &problems);
        causes_free(&problems);
        return good;
}

/* ---- a reply in pieces over several turns ---- */

enum { PIECE_US = 4000 }; /* of a turn that are written on end */

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

static void long_reply_cancelled(void *work)
{
        long_reply_free(work);
}

/* False: that was all of it. */
static bool write_some(struct long_reply *reply, const struct client *client)
{
        int64_t until = time_monotonic_us() + PIECE_US;
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
                        timer_set_next_turn(reply->timer);
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
        call_on_cancel(call, long_reply_cancelled, reply);
        call->go_on = write_on;
        json_write(&reply->out, "{\"parameters\":");
        write_on(reply);
}
