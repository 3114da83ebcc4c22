/* SPDX-License-Identifier: MIT */
/* One call: what it asks, and its answers; see client.h. */
#include "daemon/control/audit.h"
#include "daemon/control/client_parts.h"
#include "daemon/control/methods.h"

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
                CAUSE_INVALID,     CAUSE_PORT_REQUIRED, CAUSE_NOT_FOUND, CAUSE_EXISTS,    CAUSE_AMBIGUOUS,
                CAUSE_PERMISSION,  CAUSE_STATE,         CAUSE_BUSY,      CAUSE_TOO_LARGE, CAUSE_QUEUE_FULL,
                CAUSE_FINGERPRINT, CAUSE_STORAGE,       CAUSE_INTERNAL,  CAUSE_DISABLED,  CAUSE_CALL,
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
