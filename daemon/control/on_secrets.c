/* SPDX-License-Identifier: MIT */
/*
 * Socket methods about what has a secret that goes in and never out: devices, which submit by SMTP with a
 * name and a password; client certificates of the user key store, which come with their keys.
 */
#include "common/limits.h"
#include "daemon/accounts/accounts.h"
#include "daemon/accounts/devices.h"
#include "daemon/accounts/index.h"
#include "daemon/control/call.h"
#include "daemon/control/methods.h"
#include "daemon/events.h"
#include "daemon/tls/keys.h"

/* ---- devices ---- */

struct device_call {
        struct call *call;
        enum audit_trail_action action;
        char *object;
};

void on_list_devices(struct call *call)
{
        json_t *reply = json_object(), *list = json_array();

        for (const struct device *device = devices_first(); device; device = device->next)
                if (json_array_append_new(list, device_json(device)) < 0)
                        abort();
        json_put(reply, "devices", list);
        call_reply(call, reply);
}

static void device_changed(void *ctx, const struct device *device, const struct cause *cause)
{
        struct device_call *d = ctx;

        if (cause_happened(cause)) {
                call_fail(d->call, cause);
        } else {
                json_t *reply = json_object();
                bool added = d->action == TRAIL_DEVICE_ADDED && device;
                scoped(scoped_free) char *account =
                        added && device->account ? text_of(", account %s", device->account) : NULL;
                scoped(scoped_free) char *from =
                        added && device->from ? text_of(", sender %s", device->from) : NULL;
                scoped(scoped_free) char *object =
                        text_of("%s%s%s", d->object, account ? account : "", from ? from : "");
                audit(d->call, &(struct trail){ .action = d->action, .object = object });
                if (device)
                        json_put(reply, "device", device_json(device));
                call_reply(d->call, reply);
        }
        free(d->object);
        free(d);
}

static struct device_call *device_call_new(struct call *call, enum audit_trail_action action,
                                           const char *what)
{
        struct device_call *d = new_object(struct device_call);

        *d = (struct device_call){ .call = call,
                                   .action = action,
                                   .object = text_of("%s %s", what, call_parameters(call)->name) };
        return d;
}

void on_add_device(struct call *call)
{
        const struct parameters *in = call_parameters(call);

        device_add(in->name, in->account, in->from, call_actor(call), device_changed,
                   device_call_new(call, TRAIL_DEVICE_ADDED, "device"));
}

void on_set_device_password(struct call *call)
{
        const struct parameters *in = call_parameters(call);

        device_password(in->name, in->password, device_changed,
                        device_call_new(call, TRAIL_SECRET_SET, "the password of device"));
}

void on_delete_device(struct call *call)
{
        device_delete(call_parameters(call)->name, device_changed,
                      device_call_new(call, TRAIL_DEVICE_DELETED, "device"));
}

/* ---- client certificates ---- */

struct key_call {
        struct call *call;
        enum audit_trail_action action;
        enum event_kind event;
        const char *words;
};

void on_list_keys(struct call *call)
{
        json_t *reply = json_object();

        json_put(reply, "keys", keys_list());
        call_reply(call, reply);
}

static void key_done(void *ctx, const struct cause *cause, json_t *key)
{
        struct key_call *k = ctx;

        if (cause_happened(cause)) {
                call_fail(k->call, cause);
        } else {
                const char *name = json_string_value(json_object_get(key, "name"));
                json_t *data = json_object(), *reply = json_object();
                const char *fingerprint = json_string_value(
                        json_object_get(json_object_get(key, "certificate"), "fingerprintSha256"));
                scoped(scoped_free) char *object =
                        text_of("client certificate %s (SHA-256 %s)", name, fingerprint ? fingerprint : "?");
                audit(k->call, &(struct trail){ .action = k->action,
                                                .about = { .cert_sha256 = fingerprint },
                                                .object = object });
                json_put_text(data, "name", name);
                json_put_text(data, "fingerprintSha256", fingerprint);
                event_emit(k->event, NULL, data, "client certificate %s was %s", name, k->words);
                json_put(reply, "key", json_incref(key));
                call_reply(k->call, reply);
        }
        free(k);
}

static struct key_call *key_call_new(struct call *call, enum audit_trail_action action, enum event_kind event,
                                     const char *words)
{
        struct key_call *k = new_object(struct key_call);

        *k = (struct key_call){ .call = call, .action = action, .event = event, .words = words };
        return k;
}

void on_import_key(struct call *call)
{
        const struct parameters *in = call_parameters(call);
        struct cause cause;
        uint8_t *bytes = NULL;
        size_t len = 0;

        if (base64_decode(in->private_key, strlen(in->private_key), &bytes, &len) < 0) {
                cause_about(&cause, CAUSE_INVALID, "key", "is not base64");
                call_fail(call, &cause);
        } else {
                keys_import(in->name, bytes, len, key_done,
                            key_call_new(call, TRAIL_KEY_IMPORTED, EVENT_KEY_IMPORTED, "stored"));
        }
        if (bytes)
                explicit_bzero(bytes, len);
        free(bytes);
}

/* The first account that shows this certificate, or NULL. */
static const struct account *user_of(const char *name)
{
        const struct account *account = index_next(INDEX_KEY, name, 0, "");

        while (account && strcmp(prop_text(&account->values, PROP_CLIENT_CERTIFICATE), name) != 0)
                account = index_next(INDEX_KEY, name, 0, account->name);
        return account;
}

void on_delete_key(struct call *call)
{
        const char *name = call_parameters(call)->name;
        const struct account *user = user_of(name);
        struct cause cause;

        if (user) {
                cause_set(&cause, CAUSE_STATE, "account %s uses the client certificate %s", user->name, name);
                cause_remedy(&cause, "emailsecctl account set %s clientCertificate=", user->name);
                call_fail(call, &cause);
                return;
        }
        keys_delete(name, key_done, key_call_new(call, TRAIL_KEY_DELETED, EVENT_KEY_DELETED, "deleted"));
}
