/* SPDX-License-Identifier: MIT */
/*
 * The order of work within one look at a folder; see fetching.h.
 *
 *   open -> cursor from disk -> (tell what was left untold) -> list -> which are new -> fetch in rounds:
 *   message pieces into a delivery; full deliveries are committed one after the other (files, folder, cursor)
 *   while the next one fills; at the end of a round the server is told, then the next round.
 *
 * Here is what comes before the rounds; those are in fetching_rounds.c, the storing in fetching_store.c.
 */
#include "daemon/station/fetching_state.h"

#include "daemon/messages.h"
#include "daemon/station/handing.h"
#include "daemon/store/half.h"
#include "daemon/store/maildir.h"

/* ---- helpers ---- */

struct subject fetching_subject(const struct fetching *fetching)
{
        return account_subject(fetching->account);
}

bool fetching_policy_is(const struct fetching *fetching, const char *word)
{
        return prop_is(&fetching->account->values, PROP_DELIVERY_POLICY, word);
}

/* What the server is to be told of a stored message: nothing, \Seen or deletion. */
bool fetching_tells_server(const struct fetching *fetching)
{
        return fetching_policy_is(fetching, "delete") || (fetching_policy_is(fetching, "markAsRead") && !fetching->pop3);
}

void fetching_push(struct mailbox_entry **list, size_t *count, size_t *size, const struct mailbox_entry *entry)
{
        if (*count == *size) {
                *size = *size ? *size * 2 : 64;
                *list = new_resized(*list, *size, sizeof **list);
        }
        (*list)[(*count)++] = *entry;
}

static void destroy(struct fetching *fetching)
{
        free(fetching->folder);
        free(fetching->listed);
        free(fetching->wanted);
        free(fetching->tell);
        free(fetching->quit_tell);
        handing_free(fetching->handing);
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
        free(take(fetching->wanted));
        fetching->listed_count = fetching->listed_size = 0;
        fetching->wanted_count = fetching->next = fetching->expected = 0;
}

void fetching_finish(struct fetching *fetching, const struct cause *cause)
{
        if (fetching->finished)
                return;
        fetching->finished = true;
        handing_rest(fetching->handing);
        struct fetching_result result = { .received = fetching->received, .left = fetching->noted };
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
        return link_chat(fetching->link);
}

uint64_t fetching_most(const struct fetching *fetching)
{
        return (uint64_t)prop_number(&fetching->account->values, PROP_MAX_MESSAGE_SIZE);
}

/* ---- what is new ---- */

static int by_uid(const void *a, const void *b)
{
        const struct mailbox_entry *one = a, *two = b;

        return one->uid < two->uid ? -1 : one->uid > two->uid;
}

static void want(struct fetching *fetching, const struct mailbox_entry *entry, size_t *size)
{
        if (entry->size > fetching_most(fetching))
                fetching_push(&fetching->left, &fetching->left_count, &fetching->left_size, entry);
        else
                fetching_push(&fetching->wanted, &fetching->wanted_count, size, entry);
}

static void uidls_known(void *ctx, const bool *known, const bool *untold, size_t count, const struct cause *cause)
{
        struct fetching *fetching = ctx;
        size_t size = 0;

        if (!fetching_answered(fetching) || fetching_stopped_by(fetching, cause))
                return;
        for (size_t i = 0; i < count; i++) {
                if (!known[i])
                        want(fetching, &fetching->listed[i], &size);
                else if (untold[i] && fetching_policy_is(fetching, "delete"))
                        fetching_push(&fetching->tell, &fetching->tell_count, &fetching->tell_size, &fetching->listed[i]);
        }
        fetching_tell_server(fetching); /* those of an earlier session first; then the rounds */
}

static void pop3_skipped(void *ctx, const struct cause *cause)
{
        struct fetching *fetching = ctx;

        if (!fetching_answered(fetching) || fetching_stopped_by(fetching, cause))
                return;
        fetching_conclude(fetching);
}

/* What this account itself has deleted does not come again: with that policy, what looks the same is another one. */
static void uidls_pruned(void *ctx, bool some, const struct cause *cause)
{
        struct fetching *fetching = ctx;

        if (!fetching_answered(fetching) || fetching_stopped_by(fetching, cause))
                return;
        fetching->some_gone = some;
        fetching->reconcile = some && !fetching_policy_is(fetching, "delete");
        fetching->answers++;
        seen_uidls(fetching->account->name, fetching->listed, fetching->listed_count, fetching_most(fetching),
                   uidls_known, fetching);
}

static void listed_pop3(struct fetching *fetching)
{
        fetching->answers++;
        if (fetching->first_look && prop_is(&fetching->account->values, PROP_FETCH, "new")) {
                seen_skip_uidls(fetching->account->name, fetching->listed, fetching->listed_count, pop3_skipped, fetching);
                return;
        }
        seen_prune_uidls(fetching->account->name, fetching->listed, fetching->listed_count, uidls_pruned, fetching);
}

static void halves_found(void *ctx, const struct mailbox_entry *entries, size_t count)
{
        struct fetching *fetching = ctx;

        if (!fetching_answered(fetching))
                return;
        for (size_t i = 0; i < count; i++)
                fetching->wanted[i].from = entries[i].from;
        fetching_tell_server(fetching); /* those of an earlier session first; then the rounds */
}

/* What is wanted is known: where a large message was cut before, it is gone on with. */
static void begin_rounds(struct fetching *fetching)
{
        bool any = false;

        for (size_t i = 0; i < fetching->wanted_count && !any; i++)
                any = half_is_kept(&fetching->wanted[i]);
        if (!any) {
                fetching_tell_server(fetching);
                return;
        }
        fetching->answers++;
        halves_find(fetching->account->name, fetching->folder, fetching->facts.uidvalidity, fetching->wanted,
                    fetching->wanted_count, halves_found, fetching);
}

static void on_listed(void *ctx, const struct mailbox_entry *entries, size_t count)
{
        struct fetching *fetching = *(struct fetching **)ctx;

        for (size_t i = 0; fetching && i < count; i++)
                fetching_push(&fetching->listed, &fetching->listed_count, &fetching->listed_size, &entries[i]);
}

static void listed_imap(struct fetching *fetching)
{
        size_t size = 0;
        bool skip = fetching->first_look && prop_is(&fetching->account->values, PROP_FETCH, "new");
        if (fetching->listed_count)
                qsort(fetching->listed, fetching->listed_count, sizeof *fetching->listed, by_uid);
        for (size_t i = 0; i < fetching->back_count; i++)
                want(fetching, &fetching->back[i], &size);
        for (size_t i = 0; i < fetching->listed_count; i++) {
                const struct mailbox_entry *entry = &fetching->listed[i];
                if (entry->uid > fetching->highest)
                        fetching->highest = entry->uid;
                if (!skip && !entry->deleted && !(fetching->unseen_only && entry->seen))
                        want(fetching, entry, &size);
        }
        begin_rounds(fetching);
}

/* UIDNEXT as SELECT gives it says that nothing is there above the cursor: no listing. On a kept session it is asked
 * for all the same, should the server have been silent. */
static bool nothing_new(const struct fetching *fetching, uint32_t after)
{
        return fetching->just_opened && fetching->facts.uidnext && fetching->facts.uidnext - 1 <= after &&
               !fetching->first_look && !fetching->reconcile;
}

static void on_listed_all(void *ctx)
{
        struct fetching *fetching = *(struct fetching **)ctx;

        if (fetching)
                (fetching->pop3 ? listed_pop3 : listed_imap)(fetching);
}

static void list(struct fetching *fetching)
{
        uint32_t after = fetching->pop3 || fetching->first_look || fetching->reconcile ? 0 : fetching->cursor.uid;

        /* what the listing does not show (unseen only) is dealt with as well */
        fetching->highest = fetching->facts.uidnext && (fetching->first_look || fetching->reconcile) ?
                                    fetching->facts.uidnext - 1 : after;
        fetching->unseen_only = fetching->first_look && !fetching->pop3 &&
                                prop_is(&fetching->account->values, PROP_FETCH, "unread");
        if (nothing_new(fetching, after)) {
                listed_imap(fetching);
                return;
        }
        fetching->tools->list(fetching_chat(fetching), after, fetching->unseen_only);
        link_pump(fetching->link);
}

static void note_new_uidvalidity(struct fetching *fetching)
{
        struct subject subject = fetching_subject(fetching);

        log_about(&subject, LOG_NOTICE, MSG_UIDVALIDITY,
                  "%s: folder %s was numbered anew by the server (UIDVALIDITY %u, was %u): comparing by content, "
                  "nothing is delivered again",
                  fetching->account->name, fetching->folder, fetching->facts.uidvalidity, fetching->cursor.uidvalidity);
}

static void cursor_known(void *ctx, const struct seen_cursor *cursor, const struct mailbox_entry *untold,
                         size_t count, const struct cause *cause)
{
        struct fetching *fetching = ctx;

        if (!fetching_answered(fetching) || fetching_stopped_by(fetching, cause))
                return;
        fetching->cursor = *cursor;
        fetching->first_look = !cursor->known;
        fetching->reconcile = cursor->known && cursor->uidvalidity != fetching->facts.uidvalidity;
        if (fetching->reconcile)
                note_new_uidvalidity(fetching);
        for (size_t i = 0; i < count && !fetching->reconcile; i++) {
                struct mailbox_entry entry = untold[i];
                entry.left = false;
                if (!untold[i].left)
                        fetching_push(&fetching->tell, &fetching->tell_count, &fetching->tell_size, &entry);
                else if (entry.size <= fetching_most(fetching) && entry.uid <= cursor->uid)
                        fetching_push(&fetching->back, &fetching->back_count, &fetching->back_size, &entry);
        }
        list(fetching);
}

static void on_opened(void *ctx, const struct mailbox_facts *facts)
{
        struct fetching *fetching = *(struct fetching **)ctx;

        if (!fetching)
                return;
        fetching->facts = *facts;
        fetching->answers++;
        seen_cursor(fetching->account->name, fetching->folder, cursor_known, fetching);
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

const struct mailbox_user fetching_mailbox_user = {
        .opened = on_opened,
        .listed = on_listed,
        .listed_all = on_listed_all,
        .message_begin = fetching_on_message_begin,
        .message_piece = fetching_on_message_piece,
        .message_end = fetching_on_message_end,
        .head = fetching_on_head,
        .fetched = fetching_on_fetched,
        .marked = fetching_on_marked,
        .changed = on_changed,
        .woken = on_woken,
};

/* ---- from outside ---- */

struct fetching *fetching_new(struct account *account, struct link *link, const struct mailbox_class *tools,
                              const char *folder, void (*done)(void *ctx, const struct fetching_result *result),
                              void *ctx)
{
        struct fetching *fetching = new_object(struct fetching);

        fetching->account = account_hold(account);
        fetching->handing = handing_new(account);
        fetching->link = link;
        fetching->tools = tools;
        fetching->pop3 = prop_is(&account->values, PROP_TRANSPORT, "pop3");
        fetching->folder = copy_text(fetching->pop3 ? "" : folder);
        fetching->done = done;
        fetching->ctx = ctx;
        return fetching;
}

void fetching_begin(struct fetching *fetching, bool is_open)
{
        fetching->just_opened = !is_open || !fetching->tools->refresh;
        if (!fetching->just_opened)
                fetching->tools->refresh(fetching_chat(fetching));
        else
                fetching->tools->open(fetching_chat(fetching), fetching->folder, fetching_policy_is(fetching, "markAsUnread"));
        link_pump(fetching->link);
}

void fetching_on_idle(struct fetching *fetching, void (*changed)(void *ctx), void (*woken)(void *ctx))
{
        fetching->changed = changed;
        fetching->woken = woken;
}

bool fetching_committing(const struct fetching *fetching)
{
        return fetching->committing || fetching->full;
}

bool fetching_can_idle(const struct fetching *fetching)
{
        return fetching->facts.can_idle && fetching->tools->idle;
}

void fetching_free(struct fetching *fetching)
{
        if (!fetching || fetching->freed)
                return;
        fetching->freed = true;
        handing_stop(fetching->handing);
        if (fetching->filling)
                delivery_abandon(take(fetching->filling));
        if (fetching->full)
                delivery_abandon(take(fetching->full));
        if (!fetching->answers)
                destroy(fetching);
}
