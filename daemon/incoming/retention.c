/* SPDX-License-Identifier: MIT */
/* Received mail that is to go: by rule or by hand, told once for each sweep; see retention.h. */
#include "daemon/incoming/retention.h"

#include "common/json_fields.h"
#include "daemon/events.h"
#include "daemon/messages.h"
#include "daemon/store/inbox.h"

struct sweep {
        char *account;
        char *rule; /* keepReceived; "": somebody asked for it */
        void (*done)(void *ctx, size_t count, const struct cause *cause);
        void *ctx;
        struct sweep *next;
};
static struct sweep *sweeps; /* under way */

static struct sweep *sweep_new(const char *account, const char *rule)
{
        struct sweep *sweep = new_object(struct sweep);

        *sweep = (struct sweep){ .account = copy_text(account), .rule = copy_text(rule), .next = sweeps };
        sweeps = sweep;
        return sweep;
}

static void tell(const struct sweep *sweep, size_t count, const struct cause *cause)
{
        struct subject subject = { .account = sweep->account, .direction = "incoming" };
        const char *messages = count == 1 ? "message was" : "messages were";

        if (count && sweep->rule[0])
                log_about(&subject, LOG_INFO, MSG_DELETED, "%s: %zu received %s deleted (keepReceived is %s)",
                          sweep->account, count, messages, sweep->rule);
        if (count) {
                json_t *data = json_object();
                json_put(data, "count", json_integer((json_int_t)count));
                event_emit(EVENT_MAIL_DELETED, sweep->account, data, "%s: %zu received %s deleted",
                           sweep->account, count, messages);
        }
        subject.cause = cause;
        if (cause_happened(cause) && sweep->rule[0])
                log_about(&subject, LOG_WARNING, MSG_DELETED, "%s: received mail cannot be deleted: %s",
                          sweep->account, cause->text);
}

static void swept(void *ctx, size_t count, const struct cause *cause)
{
        struct sweep *sweep = ctx, **place = &sweeps;

        tell(sweep, count, cause);
        if (sweep->done)
                sweep->done(sweep->ctx, count, cause);
        while (*place != sweep)
                place = &(*place)->next;
        *place = sweep->next;
        free(sweep->account);
        free(sweep->rule);
        free(sweep);
}

static bool is_under_way(const char *account)
{
        for (const struct sweep *sweep = sweeps; sweep; sweep = sweep->next)
                if (sweep->rule[0] && strcmp(sweep->account, account) == 0)
                        return true;
        return false;
}

void retention_look(const struct account *account, bool look)
{
        const char *rule = prop_text(&account->values, PROP_KEEP_RECEIVED);
        struct inbox_keeping keeping = { .look = look };
        int64_t seconds = 0;

        if (!rule[0] || account->unreadable || properties_kept(rule, &seconds, &keeping.most, NULL) < 0 ||
            is_under_way(account->name))
                return;
        if (seconds)
                keeping.before = (int64_t)loop_wall() - seconds;
        struct sweep *sweep = sweep_new(account->name, rule);
        inbox_keep(account->name, &keeping, swept, sweep);
}

void retention_delete(const char *account, const char *const *ids, size_t id_count,
                      void (*done)(void *ctx, size_t count, const struct cause *cause), void *ctx)
{
        struct sweep *sweep = sweep_new(account, "");

        sweep->done = done;
        sweep->ctx = ctx;
        inbox_delete(account, ids, id_count, swept, sweep);
}

void retention_delete_old(const char *account, int64_t before,
                          void (*done)(void *ctx, size_t count, const struct cause *cause), void *ctx)
{
        struct sweep *sweep = sweep_new(account, "");
        struct inbox_keeping keeping = { .before = before, .look = true };

        sweep->done = done;
        sweep->ctx = ctx;
        inbox_keep(account, &keeping, swept, sweep);
}
