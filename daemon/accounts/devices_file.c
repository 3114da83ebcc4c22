/* SPDX-License-Identifier: MIT */
/* A device as its file has it; see devices_file.h. */
#include "daemon/accounts/devices_file.h"

#include "common/json_fields.h"
#include "common/names.h"

static void put_bytes(json_t *object, const char *name, const uint8_t *bytes, size_t len)
{
        scoped(scoped_free) char *text = base64_encode(bytes, len);

        json_put_text(object, name, text);
}

char *device_file_text(const struct device *device)
{
        json_t *object = json_object();

        json_put_text(object, "name", device->name);
        json_put_text(object, "account", device->account);
        json_put_text(object, "from", device->from);
        json_put(object, "added", json_integer(device->added));
        json_put_text(object, "addedBy", device->added_by);
        if (device->has_keys) {
                json_t *password = json_object();
                json_put_text(password, "mechanism", "SCRAM-SHA-256");
                json_put(password, "iterations", json_integer(device->keys.rounds));
                put_bytes(password, "salt", device->keys.salt, SCRAM_SALT);
                put_bytes(password, "storedKey", device->keys.stored, SCRAM_KEY);
                put_bytes(password, "serverKey", device->keys.server, SCRAM_KEY);
                json_put(object, "password", password);
        }
        char *text = json_dumps(object, JSON_INDENT(1));
        json_decref(object);
        if (!text)
                abort();
        return text;
}

static bool get_bytes(const json_t *object, const char *name, uint8_t *out, size_t size)
{
        const char *text = json_string_value(json_object_get(object, name));
        uint8_t *bytes = NULL;
        size_t len = 0;

        if (!text || base64_decode(text, strlen(text), &bytes, &len) < 0)
                return false;
        bool fits = len == size;
        if (fits)
                memcpy(out, bytes, size);
        explicit_bzero(bytes, len);
        free(bytes);
        return fits;
}

static bool read_keys(const json_t *password, struct scram_keys *keys)
{
        json_int_t rounds = json_integer_value(json_object_get(password, "iterations"));

        keys->rounds = (unsigned)rounds;
        return rounds >= 4096 && rounds <= SCRAM_ROUNDS_MOST &&
               get_bytes(password, "salt", keys->salt, SCRAM_SALT) &&
               get_bytes(password, "storedKey", keys->stored, SCRAM_KEY) &&
               get_bytes(password, "serverKey", keys->server, SCRAM_KEY);
}

bool device_from_file(struct device *device, const json_t *object)
{
        const json_t *password = json_object_get(object, "password");
        const char *from = json_string_value(json_object_get(object, "from"));
        const char *account = json_string_value(json_object_get(object, "account"));

        if (!same_text(json_string_value(json_object_get(object, "name")), device->name) ||
            (from && address_check(from, false, NULL) < 0) || (account && !account_name_valid(account)))
                return false;
        device->account = copy_text(account);
        device->from = copy_text(from);
        device->added = (time_t)json_integer_value(json_object_get(object, "added"));
        device->added_by = copy_text(json_string_value(json_object_get(object, "addedBy")));
        device->has_keys = json_is_object(password) && read_keys(password, &device->keys);
        return !password || device->has_keys;
}
