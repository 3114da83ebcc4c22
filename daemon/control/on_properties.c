/* SPDX-License-Identifier: MIT */
/* The socket method that describes what an account and the service can be told. */
#include "common/properties.h"
#include "daemon/control/methods.h"
#include "daemon/settings.h"

void on_describe_properties(struct call *call)
{
        json_t *reply = json_object();

        json_put(reply, "groups", property_groups_description());
        json_put(reply, "outgoing", properties_description(KIND_OUTGOING));
        json_put(reply, "incoming", properties_description(KIND_INCOMING));
        json_put(reply, "settings", settings_description(settings_current()));
        json_put(reply, "secrets", property_secrets_description());
        json_put(reply, "ports", port_table_json());
        call_reply(call, reply);
}
