/* SPDX-License-Identifier: MIT */
/*
 * The order of work within one look at a folder; see fetching.h.
 *
 *   open -> cursor from disk -> (tell what was left untold) -> list -> which are new -> fetch in rounds:
 *   message pieces into a delivery; full deliveries are committed one after the other (files, folder, cursor)
 *   while the next one fills; at the end of a round the server is told, then the next round.
 *
 * What is new is found by fetching_new.c; the rounds are in fetching_batches.c, the storing in
 * fetching_store.c. What those files share is fetching_state.c; here are beginning and end.
 *
 * The order across a crash is files, then record, then the server. Killed before the record: the files are
 * recognized by their names, which are made of where they come from (maildir_name), and not stored again.
 * Killed between record and server: the row says told = 0, and the next look at the folder tells it. A
 * message is never deleted at the server before it is on disk here.
 *
 * Callbacks of the engine get the address of the receiver's pointer, not the fetching: it is NULL once the
 * receiver has let go, while an engine that is on its way out may still speak.
 */
#include "daemon/incoming/fetching_state.h"

#include "daemon/accounts/accounts.h"
#include "daemon/incoming/hand_on.h"
#include "daemon/loop.h"
#include "daemon/store/maildir.h"
#include "daemon/store/reserve.h"

/* ---- what the session tells ---- */

/* This folder alone: the poll goes on with the next one. */
static void on_not_opened(void *ctx, const struct cause *cause)
{
        struct fetching *fetching = *(struct fetching **)ctx;
        struct fetching_result result = { .refused = *cause };

        if (!fetching || fetching->finished)
                return;
        fetching->finished = true;
        hand_on_rest(fetching->hand_on);
        fetching->done(fetching->ctx, &result);
}

/* A refused header, asked for to compare (fetching_new.c), stands for an empty one; a refused message is
 * missing. */
static int on_refused(void *ctx, const struct mailbox_entry *entry, const struct cause *why)
{
        const struct fetching *fetching = *(struct fetching **)ctx;
        bool head = fetching && !fetching->finished && fetching->heads;

        return head ? fetching_on_head(ctx, entry, "", 0) : fetching_on_refused(ctx, entry, why);
}

const struct mailbox_user fetching_mailbox_user = {
        .opened = fetching_on_opened,
        .not_opened = on_not_opened,
        .listed = fetching_on_listed,
        .holds = fetching_on_holds,
        .nameless = fetching_on_nameless,
        .listed_all = fetching_on_listed_all,
        .message_begin = fetching_on_message_begin,
        .message_piece = fetching_on_message_piece,
        .message_end = fetching_on_message_end,
        .head = fetching_on_head,
        .refused = on_refused,
        .gone = fetching_on_gone,
        .fetched = fetching_on_fetched,
        .not_marked = fetching_on_not_marked,
        .marked = fetching_on_marked,
        .marked_beside = fetching_on_marked_beside,
};

/* ---- from outside ---- */

struct fetching *fetching_new(struct account *account, struct session *session, const struct mailbox_ops *ops,
                              const char *folder,
                              void (*done)(void *ctx, const struct fetching_result *result), void *ctx)
{
        struct fetching *fetching = new_object(struct fetching);

        fetching->account = account_hold(account);
        fetching->hand_on = hand_on_new(account);
        fetching->session = session;
        fetching->ops = ops;
        fetching->pop3 = prop_is(&account->values, WORD_POP3);
        fetching->folder = copy_text(fetching->pop3 ? "" : folder);
        fetching->done = done;
        fetching->ctx = ctx;
        return fetching;
}

/* `is_open`: the same session has looked at this folder before and kept it selected; where the protocol has
 * no way to look again, it is opened anew. */
void fetching_begin(struct fetching *fetching, bool is_open)
{
        (void)reserve_room(); /* looked at now, known when the first message comes */
        fetching->just_opened = !is_open || !fetching->ops->refresh;
        if (!fetching->just_opened)
                fetching->ops->refresh(fetching_engine(fetching));
        else
                fetching->ops->open(fetching_engine(fetching), fetching->folder,
                                    fetching_policy_is(fetching, WORD_MARK_AS_UNREAD));
}

/* True too while a full delivery waits for its turn: it is one commit at a time. */
bool fetching_committing(const struct fetching *fetching)
{
        return fetching->committing || fetching->full;
}

void fetching_try_all(struct fetching *fetching)
{
        fetching->try_all = true;
}

bool fetching_moved_on(const struct fetching *fetching)
{
        return fetching->moved_on;
}

bool fetching_can_idle(const struct fetching *fetching)
{
        return fetching->info.can_idle && fetching->ops->idle;
}

/* Nothing more is taken in for an account that has been deleted or stopped, nor after a disk has failed. */
static bool may_keep(const struct fetching *fetching)
{
        return !fetching->failed && account_named(fetching->account->name) == fetching->account &&
               account_enabled(fetching->account);
}

/* What has arrived whole is committed all the same; half a message is kept where it can be continued. The
 * object ends with the last answer of the store. */
void fetching_free(struct fetching *fetching)
{
        if (!fetching || fetching->freed)
                return;
        fetching->freed = true;
        fetching_forget_list(fetching);
        if (may_keep(fetching)) {
                fetching_keep_whole(fetching);
        } else {
                hand_on_stop(fetching->hand_on);
                delivery_abandon(take(fetching->filling));
                delivery_abandon(take(fetching->full));
        }
        fetching_let_end(fetching);
}
