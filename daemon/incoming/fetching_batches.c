/* SPDX-License-Identifier: MIT */
/*
 * The rounds of a poll: messages are asked for, stored (fetching_store.c), the server is told, then the next.
 *
 * Where each message is: `wanted` [next..] to be asked for; [round..next) asked for in this round, and what
 * became of each stands in `wants`; `tell` on disk here and not yet told to the server; `quit_tell` told by
 * POP3's DELE, which counts when QUIT is answered; then told = 1 on disk. Killed at any point, the next poll
 * finds it by the record alone: not recorded is fetched, recorded and not told is told.
 *
 * What the server is told goes beside the next round's FETCH where the protocol can do both in one flight.
 */
#include "daemon/incoming/fetching_state.h"
#include "daemon/store/kept.h"

#include "daemon/messages.h"
#include "daemon/store/maildir.h"
#include "daemon/store/reserve.h"

enum {
        ROUND = 2000,           /* messages between two tellings of the server */
        DELETED_MOST = 1 << 15, /* POP3: by one session, which has to end for that */
};

/* ---- the end of a poll ---- */

/* All in order is done: what is missing is asked for one by one now. */
static void cursor_set(void *ctx, const struct cause *cause)
{
        struct fetching *fetching = ctx;

        if (fetching_answered(fetching) && !fetching_stopped_by(fetching, cause))
                fetching_next_alone(fetching);
}

static void note_moved(const struct fetching *fetching)
{
        struct subject subject = fetching_subject(fetching);

        log_about(&subject, LOG_NOTICE, MSG_UIDVALIDITY,
                  "%s: the server has other UIDLs than before for messages that are here (%zu): known by "
                  "their content, "
                  "they are not delivered again",
                  fetching->account->name, fetching->moved);
}

/* Everything new is here: the cursor goes past what was skipped as well. */
void fetching_conclude(struct fetching *fetching)
{
        if (fetching->back_count)
                fetched_not_left(fetching->account->name, fetching->folder, fetching->info.uidvalidity,
                                 fetching->back, fetching->back_count);
        fetching->answers++;
        if (fetching->pop3)
                fetched_skip_uidls(fetching->account->name, NULL, 0, false, cursor_set, fetching);
        else
                fetched_set_cursor(fetching->account->name, fetching->folder, fetching->info.uidvalidity,
                                   fetching->highest, cursor_set, fetching);
        if (fetching->pop3 && fetching->some_gone)
                fetched_look_over(fetching->account->name);
        if (fetching->pop3 && fetching->moved)
                note_moved(fetching);
}

/* The cursor (UIDVALIDITY, UID) means "all up to here is known": only where messages come in the order of
 * their UIDs, and none was passed over. */
static bool cursor_moves_on(const struct fetching *fetching)
{
        return !fetching->pop3 && !fetching->reconcile && !fetching->unseen_only;
}

/* What is stored and not yet told is told beside the next messages. */
static void fetch_next(struct fetching *fetching, size_t count)
{
        const struct mailbox_entry *first = &fetching->wanted[fetching->next];

        fetching->round = fetching->expected = fetching->next;
        fetching->asking = true;
        fetching->next += count;
        fetching->in_order = cursor_moves_on(fetching);
        if (fetching->tell_count && fetching->ops->fetch_marking)
                fetching->ops->fetch_marking(fetching_engine(fetching), first, count, fetching->tell,
                                             fetching->tell_count);
        else
                fetching->ops->fetch(fetching_engine(fetching), first, count);
        fetching->tell_count = 0; /* the engine has it */
}

/* How many messages there are for the next round, before any of them is asked for: as many as the disk has
 * room for. What would not fit even alone is left out, and is not had. 0 with a cause: nothing may be
 * fetched. */
static size_t next_round(struct fetching *fetching, struct cause *cause)
{
        struct mailbox_entry *wanted = fetching->wanted;
        size_t from = fetching->next, left = fetching->wanted_count - from;
        size_t at = from, kept = from, end = from + (left > ROUND ? ROUND : left);
        uint64_t asked = 0;

        cause_clear(cause);
        for (; at < end; at++) {
                uint64_t size = mailbox_rest_of(&wanted[at]);
                int fits = reserve_fits(asked, size, cause);
                if (fits < 0 || (fits > 0 && asked))
                        break;
                if (fits > 0)
                        (void)fetching_not_had(fetching, &wanted[at], cause, false);
                else
                        wanted[kept++] = wanted[at];
                asked += fits ? 0 : size;
                cause_clear(cause);
        }
        if (kept != at) /* else nothing moves, and there may be no list at all */
                memmove(wanted + kept, wanted + at, (fetching->wanted_count - at) * sizeof *wanted);
        fetching->wanted_count -= at - kept;
        return kept - from;
}

/* A shortcut of begin_round(), taken before the round's files are on disk: nothing of it may need the
 * telling of this round first. False: the long way. */
bool fetching_goes_on(struct fetching *fetching)
{
        struct cause none;

        bool tells = fetching_tells_server(fetching) && !fetching->info.read_only;

        if ((tells && !fetching->ops->fetch_marking) || fetching_policy_is(fetching, WORD_DELETE) ||
            fetching->finished || fetching->no_room || fetching->in_alone || fetching->heads ||
            fetching->vain_count || fetching->in_order != cursor_moves_on(fetching))
                return false;
        size_t count = next_round(fetching, &none);
        if (!count || fetching->vain_count)
                return false;
        if (!tells)
                fetching->tell_count = 0;
        fetch_next(fetching, count);
        return true;
}

/* The round is over without a command to the server; the same follows as after one. */
void fetching_ask_nothing(struct fetching *fetching, const struct cause *no_room)
{
        fetching->round = fetching->expected = fetching->next;
        fetching->round_received = true;
        fetching->no_room = cause_happened(no_room);
        if (fetching->no_room)
                fetching_finish(fetching, no_room);
        else
                fetching_note_vain(fetching, fetching_tell_server);
}

/* Re-entered after each answer of server or disk until nothing is left: fetching_conclude() or
 * fetching_finish() end it. */
static void begin_round(struct fetching *fetching)
{
        struct cause no_room;

        if (fetching->in_alone) {
                fetching_next_alone(fetching);
                return;
        }
        fetching->round_received = false;
        fetching->heads = fetching->left_count && !fetching->heads_over;
        fetching->heads_over = true;
        if (fetching->heads) { /* first, while the cursor has not passed them */
                fetching->in_order = false;
                fetching->asking = true;
                fetching->ops->heads(fetching_engine(fetching), fetching->left, fetching->left_count);
                return;
        }
        if (fetching->quit_tell_count >= DELETED_MOST) {
                fetching_poll_soon(fetching);
                fetching_finish(fetching, NULL);
                return;
        }
        bool any = fetching->next < fetching->wanted_count;
        size_t count = next_round(fetching, &no_room);
        if (!any && !fetching_list_more(fetching))
                fetching_conclude(fetching);
        else if (!any)
                return; /* it goes on with those */
        else if (!count)
                fetching_ask_nothing(fetching, &no_room);
        else
                fetch_next(fetching, count);
}

/* ---- telling the server ---- */

/* Without UIDPLUS there is no deleting that would not take with it what others have flagged: told once, and
 * shown as a warning of the account for as long as it is so. */
static void note_expunge(struct fetching *fetching)
{
        struct subject subject = fetching_subject(fetching);
        bool known = kept_number(fetching->account->name, KEPT_NO_UID_EXPUNGE);

        if (known == !fetching->info.can_expunge_uid)
                return;
        kept_set_number(fetching->account->name, KEPT_NO_UID_EXPUNGE, !known);
        if (!known)
                log_about(&subject, LOG_WARNING, MSG_NOT_EXPUNGED,
                          "%s: the server has no UIDPLUS: what is deleted there is only flagged as deleted "
                          "and left, since "
                          "more would delete what others have flagged as well",
                          fetching->account->name);
}

static void told(void *ctx, const struct cause *cause)
{
        struct fetching *fetching = ctx;

        if (fetching_answered(fetching) && !fetching_stopped_by(fetching, cause))
                begin_round(fetching);
}

void fetching_on_not_marked(void *ctx, const struct mailbox_entry *entry, const struct cause *why)
{
        struct fetching *fetching = *(struct fetching **)ctx;

        if (!fetching)
                return;
        struct subject subject = fetching_subject(fetching);
        scoped(scoped_free) char *name = fetching_name_of(fetching, entry);
        if (!fetching->not_told_count)
                log_about(&subject, LOG_WARNING, MSG_NOT_MARKED,
                          "%s: %s: %s; it is tried again at the next poll", fetching->account->name, name,
                          why->text);
        fetching_push(&fetching->not_told, &fetching->not_told_count, &fetching->not_told_size, entry);
}

static void told_beside(void *ctx, const struct cause *cause)
{
        struct fetching *fetching = ctx;

        if (fetching_answered(fetching))
                (void)fetching_stopped_by(fetching, cause);
}

/* Of those that it did not mark the server is told once more when all are here, each by itself. */
void fetching_on_marked_beside(void *ctx, const struct mailbox_entry *entries, size_t count, bool marked)
{
        struct fetching *fetching = *(struct fetching **)ctx;

        if (!fetching)
                return;
        for (size_t i = 0; i < count && !marked; i++)
                fetching_push(&fetching->tell, &fetching->tell_count, &fetching->tell_size, &entries[i]);
        if (!marked)
                return;
        fetching->answers++;
        fetched_told(fetching->account->name, fetching->folder, fetching->info.uidvalidity, entries, count,
                     told_beside, fetching);
}

static bool was_marked(const struct fetching *fetching, const struct mailbox_entry *entry)
{
        for (size_t i = 0; i < fetching->not_told_count; i++)
                if (fetching->not_told[i].uid == entry->uid)
                        return false;
        return true;
}

/* They stay told = 0, and are told at the next poll. */
static void leave_out_not_marked(struct fetching *fetching)
{
        size_t kept = 0;

        for (size_t i = 0; i < fetching->tell_count && fetching->not_told_count; i++)
                if (was_marked(fetching, &fetching->tell[i]))
                        fetching->tell[kept++] = fetching->tell[i];
        if (fetching->not_told_count)
                fetching->tell_count = kept;
}

/* The server has said yes (RFC 3501, STORE and UID EXPUNGE): only then told = 1 is written. */
void fetching_on_marked(void *ctx)
{
        struct fetching *fetching = *(struct fetching **)ctx;

        if (!fetching)
                return;
        leave_out_not_marked(fetching);
        if (fetching->pop3) { /* counts only after QUIT (RFC 1939 section 6) */
                size_t all = fetching->quit_tell_count + fetching->tell_count;
                fetching->quit_tell = new_resized(fetching->quit_tell, all, sizeof *fetching->quit_tell);
                memcpy(fetching->quit_tell + fetching->quit_tell_count, fetching->tell,
                       fetching->tell_count * sizeof *fetching->tell);
                fetching->quit_tell_count = all;
                fetching->tell_count = 0;
                begin_round(fetching);
                return;
        }
        fetching->answers++;
        fetched_told(fetching->account->name, fetching->folder, fetching->info.uidvalidity, fetching->tell,
                     fetching->tell_count, told, fetching);
        fetching->tell_count = 0;
}

/* Read-only folders and accounts that leave the server as it is have nothing to tell: their rows were
 * written as told. */
void fetching_tell_server(struct fetching *fetching)
{
        bool deletes = fetching_policy_is(fetching, WORD_DELETE);

        if (!fetching->tell_count || !fetching_tells_server(fetching) || fetching->info.read_only) {
                fetching->tell_count = 0;
                begin_round(fetching);
                return;
        }
        if (deletes)
                note_expunge(fetching);
        fetching->ops->mark(fetching_engine(fetching), fetching->tell, fetching->tell_count,
                            deletes ? MARK_DELETED : MARK_SEEN);
}

static void recorded_as_told(void *ctx, const struct cause *cause)
{
        (void)cause; /* not recorded: the server is told once more next time, which harms nothing */
        (void)fetching_answered(ctx);
}

/* Without that answer the server may have kept all of them (RFC 1939, 6): they stay untold, and are deleted
 * by the next session. */
void fetching_quit_answered(struct fetching *fetching, bool deleted)
{
        if (!deleted || !fetching->quit_tell_count)
                return;
        fetching->answers++;
        fetched_told(fetching->account->name, fetching->folder, 0, fetching->quit_tell,
                     fetching->quit_tell_count, recorded_as_told, fetching);
        fetching->quit_tell_count = 0;
}

bool fetching_needs_quit(const struct fetching *fetching)
{
        return fetching->quit_tell_count > 0;
}
