/* SPDX-License-Identifier: MIT */
/* The audit trail: one table of what can be changed, one place that tells it; see audit_trail.h. */
#include "daemon/service/audit_trail.h"

#include "common/buf.h"
#include "common/json_fields.h"
#include "common/limits.h"
#include "daemon/events.h"
#include "daemon/loop.h"
#include "daemon/messages.h"
#include "daemon/store/kept.h"

#include <stdarg.h>
#include <stdlib.h>

enum {
        WORDS_MOST = 16 * KIB,
        VALUE_SHOWN = 160,      /* bytes of one value */
        DIFFERENCES_SHOWN = 24, /* properties of one change */
        IDS_SHOWN = 20,         /* messages, exemptions */
};

/* The names are part of the interface: events and the journal's fields carry them, and they stay as they
 * are. The words follow the object in a sentence. */
static const struct {
        const char *name, *message_id, *words;
} actions[TRAIL_ACTIONS] = {
        [TRAIL_ACCOUNT_ADDED] = { "account.added", MSG_ACCOUNT_CHANGED, "was added" },
        [TRAIL_ACCOUNT_CHANGED] = { "account.changed", MSG_ACCOUNT_CHANGED, "was changed" },
        [TRAIL_ACCOUNT_ENABLED] = { "account.enabled", MSG_ACCOUNT_CHANGED, "was enabled" },
        [TRAIL_ACCOUNT_DISABLED] = { "account.disabled", MSG_ACCOUNT_CHANGED, "was disabled" },
        [TRAIL_ACCOUNT_DELETED] = { "account.deleted", MSG_ACCOUNT_CHANGED, "was deleted" },
        [TRAIL_ACCOUNT_AUTHORIZED] = { "account.authorized", MSG_SECRET_CHANGED,
                                       "was authorized at its OAuth provider" },
        [TRAIL_SECRET_SET] = { "secret.set", MSG_SECRET_CHANGED, "was set" },
        [TRAIL_SECRET_CLEARED] = { "secret.cleared", MSG_SECRET_CHANGED, "was cleared" },
        [TRAIL_DEVICE_ADDED] = { "device.added", MSG_ACCOUNT_CHANGED, "was added" },
        [TRAIL_DEVICE_DELETED] = { "device.deleted", MSG_ACCOUNT_CHANGED, "was deleted" },
        [TRAIL_ALLOWED_APPROVED] = { "allowed.approved", MSG_ALLOWED_DECIDED, "was approved" },
        [TRAIL_ALLOWED_REJECTED] = { "allowed.rejected", MSG_ALLOWED_DECIDED, "was rejected" },
        [TRAIL_ALLOWED_UNAPPROVED] = { "allowed.unapproved", MSG_ALLOWED_DECIDED,
                                       "is no longer approved: taken back" },
        [TRAIL_ALLOWED_DELETED] = { "allowed.deleted", MSG_ALLOWED_DECIDED, "was deleted" },
        [TRAIL_ALLOWED_PRUNED] = { "allowed.pruned", MSG_ALLOWED_DECIDED, "pruned" },
        [TRAIL_ANCHOR_IMPORTED] = { "trust.imported", MSG_TRUST_CHANGED,
                                    "was imported into the User Trust Store" },
        [TRAIL_ANCHOR_DELETED] = { "trust.deleted", MSG_TRUST_CHANGED,
                                   "was deleted from the User Trust Store" },
        [TRAIL_KEY_IMPORTED] = { "key.imported", MSG_TRUST_CHANGED, "was stored" },
        [TRAIL_KEY_DELETED] = { "key.deleted", MSG_TRUST_CHANGED, "was deleted" },
        [TRAIL_QUEUE_RETRIED] = { "queue.retried", MSG_QUEUE_CHANGED, "made due now" },
        [TRAIL_QUEUE_HELD] = { "queue.held", MSG_QUEUE_CHANGED, "held" },
        [TRAIL_QUEUE_RELEASED] = { "queue.released", MSG_QUEUE_CHANGED, "released" },
        [TRAIL_QUEUE_DELETED] = { "queue.deleted", MSG_QUEUE_CHANGED, "deleted" },
        [TRAIL_QUEUE_REROUTED] = { "queue.rerouted", MSG_QUEUE_CHANGED, "moved to another account" },
        [TRAIL_QUEUE_FLUSHED] = { "queue.flushed", MSG_QUEUE_CHANGED, "made due now" },
        [TRAIL_MISSING_FORGOTTEN] = { "missing.forgotten", MSG_CHANGED, "given up" },
        [TRAIL_INBOX_DELETED] = { "inbox.deleted", MSG_DELETED, "deleted" },
        [TRAIL_INBOX_MARKED] = { "inbox.marked", MSG_CHANGED, "marked" },
        [TRAIL_SUBSCRIBER_FORGOTTEN] = { "subscriber.forgotten", MSG_CHANGED, "was forgotten" },
        [TRAIL_RELOADED] = { "station.reloaded", MSG_RELOADED, "were read again" },
        [TRAIL_BACKED_UP] = { "station.backedUp", MSG_BACKUP, "was backed up" },
        [TRAIL_OTHER] = { "other", MSG_CHANGED, "was called" },
};

const char *audit_trail_action_name(enum audit_trail_action action)
{
        return actions[action].name;
}

/* ---- words ---- */

static void append(struct buf *words, const char *format, ...) printf_like(2, 3);
static void append(struct buf *words, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        if (buf_vappendf(words, format, args) < 0)
                abort(); /* what is shown of one is bounded, and how many are */
        va_end(args);
}

/* As JSON, so that a text with blanks or quotes stays one value. Secrets are no properties and never come
 * here. */
static void append_value(struct buf *words, const json_t *value)
{
        scoped(scoped_free) char *text =
                json_is_null(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        bool cut = text && strlen(text) > VALUE_SHOWN;

        append(words, "%.*s%s", VALUE_SHOWN, text ? text : "unset", cut ? "..." : "");
}

/* The caller frees. What is left out is counted: a trail that is silent about its gaps would be worth less.
 */
char *audit_trail_differences(const json_t *differences)
{
        struct buf words = BUF_WITH_MAX(WORDS_MOST);
        size_t index, count = json_array_size(differences);
        json_t *one;

        json_array_foreach((json_t *)differences, index, one) {
                const json_t *from = json_object_get(one, "from");
                if (index == DIFFERENCES_SHOWN) {
                        append(&words, " and %zu more", count - index);
                        break;
                }
                append(&words, "%s%s ", index ? ", " : "",
                       json_string_value(json_object_get(one, "property")));
                if (!json_is_null(from)) {
                        append_value(&words, from);
                        append(&words, " -> ");
                }
                append_value(&words, json_object_get(one, "to"));
        }
        return buf_take_text(&words);
}

char *audit_trail_ids(const json_t *ids)
{
        struct buf words = BUF_WITH_MAX(WORDS_MOST);
        size_t index, count = json_array_size(ids);
        json_t *one;

        json_array_foreach((json_t *)ids, index, one)
                if (index < IDS_SHOWN)
                        append(&words, "%s%.*s", index ? ", " : "", VALUE_SHOWN, json_string_value(one));
        if (count > IDS_SHOWN)
                append(&words, " and %zu more", count - IDS_SHOWN);
        return buf_take_text(&words);
}

/* ---- the last one ---- */

/* For the status, also after a restart; the whole trail is the journal's to keep. */
static void keep_last(const struct actor *actor, const struct trail *trail, const char *text)
{
        json_t *last = json_object();

        json_put_time(last, "time", (int64_t)loop_wall());
        json_put_text(last, "action", actions[trail->action].name);
        json_put_text(last, "who", actor->who);
        json_put_text(last, "uid", actor->uid[0] ? actor->uid : NULL);
        json_put_text(last, "account", trail->about.account);
        json_put_text(last, "text", text);
        scoped(scoped_free) char *kept = json_dumps(last, JSON_COMPACT);
        if (kept)
                kept_set_text(KEPT_OF_SERVICE, KEPT_LAST_CHANGE, kept);
        json_decref(last);
}

json_t *audit_trail_last(void)
{
        const char *kept = kept_text(KEPT_OF_SERVICE, KEPT_LAST_CHANGE);

        return kept ? json_loads(kept, 0, NULL) : NULL;
}

/* ---- telling ---- */

/* To the journal, as an event, and as the last change. `trail->data` is taken over by the event; the texts
 * stay the caller's. Only what has happened is recorded: callers come here when it is done. */
void audit_trail_record(const struct actor *actor, const struct trail *trail)
{
        const char *name = actions[trail->action].name;
        struct subject subject = trail->about;
        json_t *data = trail->data ? trail->data : json_object();
        scoped(scoped_free) char *text = text_of(
                "%s %s by %s%s%s", trail->object, actions[trail->action].words, actor->who,
                trail->details && trail->details[0] ? ": " : "", trail->details ? trail->details : "");

        subject.action = name;
        subject.who = actor->who;
        subject.uid = actor->uid;
        subject.login_uid = actor->login_uid;
        subject.details = trail->details;
        log_about(&subject, LOG_NOTICE, actions[trail->action].message_id, "%s", text);
        json_put_text(data, "action", name);
        json_put_text(data, "who", actor->who);
        json_put_text(data, "uid", actor->uid[0] ? actor->uid : NULL);
        json_put_text(data, "loginUid", actor->login_uid[0] ? actor->login_uid : NULL);
        event_emit(EVENT_AUDIT_RECORDED, trail->about.account, data, "%s", text);
        keep_last(actor, trail, text);
}
