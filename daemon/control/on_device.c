/* SPDX-License-Identifier: MIT */
/* Socket methods about devices, which submit by SMTP with a name and a password: the password goes in, and
 * never out. */
#include "daemon/accounts/devices.h"
#include "daemon/control/audit.h"
#include "daemon/control/methods.h"

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
