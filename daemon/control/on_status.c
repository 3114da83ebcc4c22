/* SPDX-License-Identifier: MIT */
/* Socket methods about the station: status, audit, events, metrics, reload. */
#include "daemon/control/methods.h"
#include "daemon/station/events.h"
#include "daemon/station/metrics.h"
#include "daemon/station/station.h"

struct about {
        const char *account;
};

void on_get_status(struct call *call)
{
        struct about in = { 0 };
        struct cause cause;
        static const struct json_field fields[] = {
                { .name = "account", .kind = JSON_FIELD_TEXT, .offset = offsetof(struct about, account) },
        };

        if (!call_read(call, fields, count_of(fields), &in))
                return;
        json_t *status = station_status(in.account, &cause);
        if (!status) {
                call_fail(call, &cause);
                return;
        }
        json_t *reply = json_object();
        json_put(reply, "status", status);
        call_reply(call, reply);
}

void on_audit(struct call *call)
{
        json_t *reply = json_object();

        json_put(reply, "findings", station_audit());
        call_reply(call, reply);
}

void on_get_metrics(struct call *call)
{
        json_t *reply = json_object();
        char *text = metrics_text();

        json_put_text(reply, "text", text);
        free(text);
        call_reply(call, reply);
}

void on_reload(struct call *call)
{
        json_t *warnings = json_array();
        struct cause cause = { 0 };

        if (methods_reload(warnings, &cause) < 0) {
                json_decref(warnings);
                call_fail(call, &cause);
                return;
        }
        json_t *reply = json_object();
        json_put_text(reply, "text", "settings, credentials and system trust were read again");
        json_put(reply, "warnings", warnings);
        call_reply(call, reply);
}

/* ---- events ---- */

struct monitor {
        struct call *call;
        struct subscription *subscription;
        json_t *events, *accounts; /* borrowed from the call's parameters; NULL: all */
};

static bool wanted(const json_t *list, const char *name, bool beginning)
{
        size_t index;
        json_t *item;

        if (!list)
                return true;
        json_array_foreach((json_t *)list, index, item) {
                const char *word = json_string_value(item);
                if (name && (strcmp(word, name) == 0 || (beginning && strncmp(name, word, strlen(word)) == 0)))
                        return true;
        }
        return false;
}

static void hear(void *ctx, json_t *event)
{
        struct monitor *monitor = ctx;

        if (!wanted(monitor->events, json_string_value(json_object_get(event, "event")), true) ||
            !wanted(monitor->accounts, json_string_value(json_object_get(event, "account")), false))
                return;
        json_t *reply = json_object();
        json_put(reply, "event", json_incref(event));
        call_reply_part(monitor->call, reply); /* may end the client and with it the monitor: nothing after this */
}

static void stop_monitor(void *work)
{
        struct monitor *monitor = work;

        events_unsubscribe(monitor->subscription);
        free(monitor);
}

struct watched {
        json_t *events, *accounts;
        const char *since;
};

void on_monitor(struct call *call)
{
        struct watched in = { 0 };
        static const struct json_field fields[] = {
                { .name = "events", .kind = JSON_FIELD_TEXTS, .offset = offsetof(struct watched, events) },
                { .name = "accounts", .kind = JSON_FIELD_TEXTS, .offset = offsetof(struct watched, accounts) },
                { .name = "since", .kind = JSON_FIELD_TEXT, .offset = offsetof(struct watched, since) },
        };

        if (!call_read(call, fields, count_of(fields), &in))
                return;
        struct monitor *monitor = new_object(struct monitor);
        *monitor = (struct monitor){ .call = call, .events = in.events, .accounts = in.accounts };
        json_t *first = json_object();
        json_put(first, "event", json_null());
        call_reply_part(call, first);
        call_on_cancel(call, stop_monitor, monitor);
        monitor->subscription = events_subscribe(in.since, hear, monitor);
}
