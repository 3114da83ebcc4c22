/* SPDX-License-Identifier: MIT */
/* Calls of the station's socket; see calls.h. */
#include "tests/simulator/calls.h"

#include "common/cleanup.h"
#include "tests/simulator/world.h"

#include <string.h>

struct station_call {
        answered then;
        void *ctx;
        bool more;
        const char *method;
        unsigned life;
        int64_t since; /* machine_awake() */
        struct station_call *next, **link;
};
static struct station_call **calls; /* those that wait for an answer */

void calls_open(void)
{
        calls = world_alloc(sizeof *calls);
}

static void call_over(struct station_call *call)
{
        if (call->next)
                call->next->link = call->link;
        *call->link = call->next;
        world_free(call);
}

void calls_look(int64_t most)
{
        for (const struct station_call *call = *calls; call; call = call->next)
                if (call->life == daemon_life() && machine_awake() - call->since > most &&
                    !same_text(call->method, MAIL_METHOD "Monitor"))
                        violated("call.ends", "%s has had no answer for %lld s", call->method,
                                 (long long)(machine_awake() - call->since) / SECOND_MS);
}

static void on_heard(struct caller *caller, const char *text, size_t len)
{
        struct station_call *call = caller_ctx(caller);
        json_t *message = json_loadb(text, len, 0, NULL);
        const char *error = json_string_value(json_object_get(message, "error"));
        bool goes_on = call->more && json_is_true(json_object_get(message, "continues"));

        if (!message)
                violated("socket.json", "a reply is not JSON: %.200s", text);
        if (!goes_on)
                caller_close(caller);
        call->then(call->ctx, error ? NULL : json_object_get(message, "parameters"),
                   error && strrchr(error, '.') ? strrchr(error, '.') + 1 : error);
        if (call->more && !goes_on && !error)
                call->then(call->ctx, NULL, NULL);
        if (!goes_on)
                call_over(call);
        json_decref(message);
}

static void on_ended(struct caller *caller)
{
        struct station_call *call = caller_ctx(caller);

        call->then(call->ctx, NULL, NULL);
        call_over(call);
}

/* Takes the parameters. */
static void say(struct caller *caller, const char *method, json_t *parameters, bool more, const void *file,
                size_t len)
{
        json_t *message = json_object();

        json_object_set_new(message, "method", json_string(method));
        json_object_set_new(message, "parameters", parameters);
        if (more)
                json_object_set_new(message, "more", json_true());
        scoped(scoped_free) char *text = json_dumps(message, JSON_COMPACT);
        caller_send(caller, text, strlen(text), file, len);
        json_decref(message);
}

static void begin(const char *method, json_t *parameters, const void *file, size_t len, bool more,
                  answered then, void *ctx)
{
        static const struct caller_ops ops = { on_heard, on_ended };
        struct station_call *call = world_alloc(sizeof *call);

        *call = (struct station_call){ .then = then,
                                       .ctx = ctx,
                                       .more = more,
                                       .method = method,
                                       .life = daemon_life(),
                                       .since = machine_awake(),
                                       .next = *calls,
                                       .link = calls };
        if (call->next)
                call->next->link = &call->next;
        *calls = call;
        struct caller *caller = caller_open(0, &ops, call);
        if (caller) {
                say(caller, method, parameters, call->more, file, len);
                return;
        }
        json_decref(parameters);
        call->then(call->ctx, NULL, NULL);
        call_over(call);
}

void station_call(const char *method, json_t *parameters, const void *file, size_t len, answered then,
                  void *ctx)
{
        begin(method, parameters, file, len, false, then, ctx);
}

void station_listen(const char *method, json_t *parameters, answered then, void *ctx)
{
        begin(method, parameters, NULL, 0, true, then, ctx);
}

/* ---- somebody who does not stay ---- */

struct glance {
        struct caller *caller;
        uint64_t leaving;
        unsigned replies; /* still to come; 0: any number */
};

static void glance_ended(struct caller *caller)
{
        struct glance *glance = caller_ctx(caller);

        world_cancel(glance->leaving);
        world_free(glance);
}

static void leave(void *ctx)
{
        struct glance *glance = ctx;

        caller_close(glance->caller);
        world_free(glance);
}

static void glance_heard(struct caller *caller, const char *text, size_t len)
{
        struct glance *glance = caller_ctx(caller);

        (void)text;
        (void)len;
        if (!glance->replies || --glance->replies)
                return;
        world_cancel(glance->leaving);
        leave(glance);
}

void station_glance(const char *method, json_t *parameters, int64_t ms, unsigned replies)
{
        static const struct caller_ops ops = { glance_heard, glance_ended };
        struct glance *glance = world_alloc(sizeof *glance);

        glance->caller = caller_open(0, &ops, glance);
        if (!glance->caller) {
                json_decref(parameters);
                world_free(glance);
                return;
        }
        glance->replies = replies;
        glance->leaving = world_in(ms, leave, glance);
        say(glance->caller, method, parameters, true, NULL, 0);
}
