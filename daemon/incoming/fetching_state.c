/* SPDX-License-Identifier: MIT */
/* What the files of a poll share: its account's wishes, its lists, its end, and the order of polls of one
 * account. */
#include "daemon/incoming/fetching_state.h"

#include "daemon/incoming/hand_on.h"
#include "daemon/loop.h"
#include "daemon/store/delivery_unrecorded.h"
#include "daemon/store/maildir.h"

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
        return fetching_policy_is(fetching, WORD_DELETE) ||
               (fetching_policy_is(fetching, WORD_MARK_AS_READ) && !fetching->pop3);
}

void fetching_push(struct mailbox_entry **list, size_t *count, size_t *size,
                   const struct mailbox_entry *entry)
{
        if (*count == *size) {
                *size = *size ? *size * 2 : 64;
                *list = new_resized(*list, *size, sizeof **list);
        }
        (*list)[(*count)++] = *entry;
}

/* Looks that are over, but for what they still have on its way to the disk: the next one of their account
 * reads its cursor behind that. */
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
                fetching_behind_others(ctx, ((struct fetching *)ctx)->behind);
}

void fetching_behind_others(struct fetching *fetching, void (*then)(struct fetching *fetching))
{
        if (!is_behind(fetching)) {
                then(fetching);
                return;
        }
        fetching->answers++;
        fetching->waits = true;
        fetching->behind = then;
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
        free(fetching->rows);
        uidl_set_clear(&fetching->uidls);
        free(fetching->wanted);
        free(fetching->tell);
        free(fetching->quit_tell);
        delivery_abandon(take(fetching->filling)); /* there when a commit before it has failed */
        delivery_abandon(take(fetching->full));
        hand_on_free(fetching->hand_on);
        unrecorded_free(fetching->unrecorded);
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

void fetching_let_end(struct fetching *fetching)
{
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

/* Each is freed by its last answer, which comes later. */
void fetching_stop_handing_on(void)
{
        for (const struct fetching *one = ending; one; one = one->sibling)
                hand_on_stop(one->hand_on);
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
        free(take(fetching->rows));
        uidl_set_clear(&fetching->uidls);
        free(take(fetching->wanted));
        free(take(fetching->wants));
        free(take(fetching->alone));
        fetching->alone_count = fetching->alone_size = fetching->alone_next = 0;
        fetching->round = 0;
        fetching->listed_count = fetching->listed_size = 0;
        fetching->row_count = fetching->row_size = fetching->row_next = 0;
        fetching->wanted_count = fetching->wanted_size = fetching->next = fetching->expected = 0;
        fetching_count_list(fetching);
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
        else /* what was listed is dealt with: a session may idle for days */
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

struct engine *fetching_engine(struct fetching *fetching)
{
        return session_engine(fetching->session);
}

uint64_t fetching_most(const struct fetching *fetching)
{
        return (uint64_t)prop_number(&fetching->account->values, PROP_MAX_MESSAGE_SIZE);
}

/* The place of a message in its round; those that come in order are found at once. SIZE_MAX: it is none of
 * it. */
static size_t place_of(const struct fetching *fetching, const struct mailbox_entry *entry)
{
        if (fetching->expected < fetching->next && fetching->wanted[fetching->expected].uid == entry->uid)
                return fetching->expected;
        for (size_t i = fetching->round; i < fetching->next; i++)
                if (fetching->wanted[i].uid == entry->uid)
                        return i;
        return SIZE_MAX;
}

/* The cursor may pass a batch only where everything below has arrived: not after a message that was left out
 * (it may be asked for again), nor where a poll that is cut off must begin anew, comparing or with unseen
 * ones only. */
void fetching_set_want(struct fetching *fetching, const struct mailbox_entry *entry, enum want want)
{
        size_t place = place_of(fetching, entry);

        if (place != fetching->expected || want != WANT_HERE)
                fetching->in_order = false;
        if (place == SIZE_MAX)
                return;
        fetching->wants[place] = (uint8_t)want;
        fetching->expected = place + 1;
}
