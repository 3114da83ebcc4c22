/* SPDX-License-Identifier: MIT */
/* Socket methods about the user key store: client certificates go in with their keys, only certificates come
 * out. */
#include "common/limits.h"
#include "daemon/accounts/accounts.h"
#include "daemon/control/audit.h"
#include "daemon/control/methods.h"
#include "daemon/events.h"
#include "daemon/tls/keys.h"

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
        const struct account *account = accounts_first();

        while (account && (account->unreadable ||
                           strcmp(prop_text(&account->values, PROP_CLIENT_CERTIFICATE), name) != 0))
                account = account->next;
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
