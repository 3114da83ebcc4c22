/* SPDX-License-Identifier: MIT */
/* The ways of handing on, and what is told of what came back; see hand_on.h. */
#include "daemon/incoming/hand_on.h"

#include "common/json_fields.h"
#include "daemon/events.h"
#include "daemon/loop.h"
#include "daemon/messages.h"
#include "daemon/store/kept.h"

static const struct hand_on_way *const ways[] = { &hand_on_lmtp, &hand_on_exec };

struct hand_on {
        const struct hand_on_way *way;
        void *object;
};

struct hand_on *hand_on_new(struct account *account)
{
        for (size_t i = 0; i < count_of(ways); i++) {
                void *object = ways[i]->begin(account);
                if (!object)
                        continue;
                struct hand_on *hand_on = new_object(struct hand_on);
                *hand_on = (struct hand_on){ ways[i], object };
                return hand_on;
        }
        return NULL;
}

void hand_on_give(void *ctx, struct delivery *delivery, const struct given *given)
{
        struct hand_on *hand_on = ctx;

        hand_on->way->give(hand_on->object, delivery, given);
}

void hand_on_rest(struct hand_on *hand_on)
{
        if (hand_on && hand_on->way->rest)
                hand_on->way->rest(hand_on->object);
}

void hand_on_stop(struct hand_on *hand_on)
{
        if (hand_on)
                hand_on->way->stop(hand_on->object);
}

void hand_on_free(struct hand_on *hand_on)
{
        if (!hand_on)
                return;
        hand_on->way->free(hand_on->object);
        free(hand_on);
}

void hand_on_refused(const struct account *account, const char *who, const char *key, const char *what,
                     const char *reply)
{
        struct subject subject = account_subject(account);
        json_t *data = json_object();

        log_about(&subject, LOG_WARNING, MSG_HANDED_BACK,
                  "%s: %s refused a message, which is in the inbox here: %s", account->name, who, reply);
        kept_add(account->name, KEPT_HANDED_BACK, 1);
        kept_set_number(account->name, KEPT_LAST_HANDED_BACK, (int64_t)loop_wall());
        json_put_text(data, key, what);
        json_put_text(data, "reply", reply);
        event_emit(EVENT_MAIL_HANDED_BACK, account->name, data,
                   "%s: %s refused a message, which is in the inbox here", account->name, who);
}
