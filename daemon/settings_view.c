/* SPDX-License-Identifier: MIT */
/* The settings told to programs that show them. */
#include "common/json_fields.h"
#include "daemon/settings.h"

json_t *settings_description(const struct settings *settings)
{
        const struct settings_key_info *keys;
        const size_t count = settings_keys(&keys);
        struct settings unset;
        json_t *list = json_array();

        settings_defaults(&unset);
        for (size_t i = 0; i < count; i++) {
                scoped(scoped_free) char *value = settings_value(settings, i);
                scoped(scoped_free) char *fallback = settings_value(&unset, i);
                json_t *row = json_object();
                json_put_text(row, "section", keys[i].section);
                json_put_text(row, "key", keys[i].key);
                json_put_text(row, "type", settings_type(i));
                json_put_text(row, "default", keys[i].fallback);
                json_put_text(row, "value", value);
                json_put(row, "changed", json_boolean(!same_text(value, fallback)));
                json_put_text(row, "help", keys[i].meaning);
                if (json_array_append_new(list, row) < 0)
                        abort();
        }
        settings_done(&unset);
        return list;
}
