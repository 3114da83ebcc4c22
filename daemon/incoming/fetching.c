/* SPDX-License-Identifier: MIT */
/*
 * The order of work within one look at a folder; see fetching.h.
 *
 *   open -> cursor from disk -> (tell what was left untold) -> list -> which are new -> fetch in rounds:
 *   message pieces into a delivery; full deliveries are committed one after the other (files, folder, cursor)
 *   while the next one fills; at the end of a round the server is told, then the next round.
 *
 * What is new is found by fetching_new.c; the rounds are in fetching_batches.c, the storing in fetching_store.c. Here
 * are beginning and end, and what those files share.
 */
#include "daemon/incoming/fetching_state.h"

#include "daemon/accounts/accounts.h"
#include "daemon/incoming/hand_on.h"
#include "daemon/loop.h"
#include "daemon/store/maildir.h"
#include "daemon/store/reserve.h"

/* ---- helpers ---- */

struct subject fetching_subject(const struct fetching *fetching)
{
        return account_subject(fetching->account);
}

bool fetching_policy_is(const struct fetching *fetching, enum property_word word)
{
        return prop_is(&fetching->account->values, word);
}

/* What the server is to be told of a stored message: nothing, \Seen or deletion. */
bool fetching_tells_server(const struct fetching *fetching)
{
        return fetching_policy_is(fetching, WORD_DELETE) || (fetching_policy_is(fetching, WORD_MARK_AS_READ) && !fetching->pop3);
}

void fetching_push(struct mailbox_entry **list, size_t *count, size_t *size, const struct mailbox_entry *entry)
{
        if (*count == *size) {
                *size = *size ? *size * 2 : 64;
                *list = new_resized(*list, *size, sizeof **list);
        }
        (*list)[(*count)++] = *entry;
}

/* Looks that are over, but for what they still have on its way to the disk: the next one of their account reads its
 * cursor behind that. */
static struct fetching *ending, *waiting;

static bool is_behind(const struct fetching *fetching)
{
        for (const struct fetching *one = ending; one; one = one->sibling)
                if (one->account == fetching->account)
                        return true;
        return false;
}

static void list_remove(struct fetching **list, const struct fetching *fetching)
{
        while (*list && *list != fetching)
                list = &(*list)->sibling;
        if (*list)
                *list = fetching->sibling;
}

static void go_on(void *ctx)
{
        if (fetching_answered(ctx))
                fetching_behind_others(ctx);
}

void fetching_behind_others(struct fetching *fetching)
{
        if (!is_behind(fetching)) {
                fetching_read_cursor(fetching);
                return;
        }
        fetching->answers++;
        fetching->waits = true;
        fetching->sibling = waiting;
        waiting = fetching;
}

/* What it had is on disk. */
static void end_over(struct fetching *fetching)
{
        list_remove(&ending, fetching);
        for (struct fetching *one = waiting, *next; one; one = next) {
                next = one->sibling;
                if (one->account != fetching->account || is_behind(one))
                        continue;
                list_remove(&waiting, one);
                one->waits = false;
                loop_later(go_on, one);
        }
}

static void destroy(struct fetching *fetching)
{
        end_over(fetching);
        fetching_forget_list(fetching);
        free(fetching->folder);
        free(fetching->listed);
        uidl_set_clear(&fetching->uidls);
        free(fetching->wanted);
        free(fetching->tell);
        free(fetching->quit_tell);
        delivery_abandon(take(fetching->filling)); /* there when a commit before it has failed */
        delivery_abandon(take(fetching->full));
        hand_on_free(fetching->hand_on);
        free(fetching->wants);
        free(fetching->missing);
        free(fetching->alone);
        free(fetching->vain);
        free(fetching->not_told);
        free(fetching->known);
        free(fetching->left);
        free(fetching->back);
        account_release(fetching->account);
        free(fetching);
}

/* At the head of each store answer: true when the object is still wanted. */
bool fetching_answered(struct fetching *fetching)
{
        fetching->answers--;
        if (!fetching->freed)
                return true;
        if (!fetching->answers)
                destroy(fetching);
        return false;
}

static void forget_list(struct fetching *fetching)
{
        free(take(fetching->listed));
        uidl_set_clear(&fetching->uidls);
        free(take(fetching->wanted));
        free(take(fetching->wants));
        free(take(fetching->alone));
        fetching->alone_count = fetching->alone_size = fetching->alone_next = 0;
        fetching->round = 0;
        fetching->listed_count = fetching->listed_size = 0;
        fetching_count_list(fetching);
        fetching->wanted_count = fetching->next = fetching->expected = 0;
}

void fetching_finish(struct fetching *fetching, const struct cause *cause)
{
        if (fetching->finished)
                return;
        fetching->finished = true;
        hand_on_rest(fetching->hand_on);
        struct fetching_result result = { .received = fetching->received, .left = fetching->noted };
        fetching->failed = cause != NULL && !fetching->no_room;
        if (fetching->next_try)
                result.next_try = fetching->next_try > loop_wall() ? fetching->next_try - loop_wall() : 1;
        if (cause)
                result.cause = *cause;
        else    /* what was listed is dealt with: a session may idle for days */
                forget_list(fetching);
        fetching->done(fetching->ctx, &result);
}

bool fetching_stopped_by(struct fetching *fetching, const struct cause *cause)
{
        if (!cause_happened(cause))
                return false;
        fetching_finish(fetching, cause);
        return true;
}

struct chat *fetching_chat(struct fetching *fetching)
{
        return session_chat(fetching->session);
}

uint64_t fetching_most(const struct fetching *fetching)
{
        return (uint64_t)prop_number(&fetching->account->values, PROP_MAX_MESSAGE_SIZE);
}

/* ---- what the session tells ---- */

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

static void on_changed(void *ctx)
{
        struct fetching *fetching = *(struct fetching **)ctx;

        if (fetching && fetching->changed)
                fetching->changed(fetching->ctx);
}

static void on_woken(void *ctx)
{
        struct fetching *fetching = *(struct fetching **)ctx;

        if (fetching && fetching->woken)
                fetching->woken(fetching->ctx);
}

static void on_idle_refused(void *ctx, const struct cause *cause)
{
        struct fetching *fetching = *(struct fetching **)ctx;

        if (fetching && fetching->idle_refused)
                fetching->idle_refused(fetching->ctx, cause);
}

const struct mailbox_user fetching_mailbox_user = {
        .opened = fetching_on_opened,
        .not_opened = on_not_opened,
        .listed = fetching_on_listed,
        .nameless = fetching_on_nameless,
        .listed_all = fetching_on_listed_all,
        .message_begin = fetching_on_message_begin,
        .message_piece = fetching_on_message_piece,
        .message_end = fetching_on_message_end,
        .head = fetching_on_head,
        .refused = fetching_on_refused,
        .gone = fetching_on_gone,
        .fetched = fetching_on_fetched,
        .not_marked = fetching_on_not_marked,
        .marked = fetching_on_marked,
        .changed = on_changed,
        .woken = on_woken,
        .idle_refused = on_idle_refused,
};

/* ---- from outside ---- */

struct fetching *fetching_new(struct account *account, struct session *session, const struct mailbox_class *tools,
                              const char *folder, void (*done)(void *ctx, const struct fetching_result *result),
                              void *ctx)
{
        struct fetching *fetching = new_object(struct fetching);

        fetching->account = account_hold(account);
        fetching->hand_on = hand_on_new(account);
        fetching->session = session;
        fetching->tools = tools;
        fetching->pop3 = prop_is(&account->values, WORD_POP3);
        fetching->folder = copy_text(fetching->pop3 ? "" : folder);
        fetching->done = done;
        fetching->ctx = ctx;
        return fetching;
}

void fetching_begin(struct fetching *fetching, bool is_open)
{
        (void)reserve_room(); /* looked at now, known when the first message comes */
        fetching->just_opened = !is_open || !fetching->tools->refresh;
        if (!fetching->just_opened)
                fetching->tools->refresh(fetching_chat(fetching));
        else
                fetching->tools->open(fetching_chat(fetching), fetching->folder, fetching_policy_is(fetching, WORD_MARK_AS_UNREAD));
}

void fetching_on_idle(struct fetching *fetching, void (*changed)(void *ctx), void (*woken)(void *ctx),
                      void (*refused)(void *ctx, const struct cause *cause))
{
        fetching->idle_refused = refused;
        fetching->changed = changed;
        fetching->woken = woken;
}

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
        return fetching->facts.can_idle && fetching->tools->idle;
}

/* Nothing more is taken in for an account that has been deleted or stopped, nor after a disk has failed. */
static bool may_keep(const struct fetching *fetching)
{
        return !fetching->failed && account_named(fetching->account->name) == fetching->account &&
               account_enabled(fetching->account);
}

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
        if (fetching->waits) {
                list_remove(&waiting, fetching);
                fetching->answers--;
        }
        if (!fetching->answers) {
                destroy(fetching);
        } else {
                fetching->sibling = ending;
                ending = fetching;
        }
}
