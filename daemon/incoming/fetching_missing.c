/* SPDX-License-Identifier: MIT */
/*
 * Messages of a poll that the server lists and does not hand out. None of them stops the others: it is
 * written down before the cursor passes it, and asked for again by itself at the end of later polls, after
 * growing pauses, until it is here or has gone from the server. A session that breaks is laid at the door of
 * the message that was awaited: the next one asks for that one last. Journal and events tell of it when it is
 * certain, and when it is over.
 */
#include "daemon/incoming/fetching_state.h"
#include "daemon/store/kept.h"

#include "common/json_fields.h"
#include "common/limits.h"
#include "daemon/events.h"
#include "daemon/loop.h"
#include "daemon/messages.h"
#include "daemon/store/partial_download.h"
#include "daemon/store/reserve.h"

#include <stdio.h>

enum {
        VAIN_IN_ROW = 10, /* refused one after the other: the server is in trouble, not the messages */
        ALONE_MOST = 200, /* asked for by themselves in one poll */
};

/* ---- words ---- */

static json_t *missing_data(const struct fetching *fetching, const struct mailbox_entry *entry)
{
        json_t *data = json_object();

        json_put_text(data, "folder", fetching->folder);
        json_put(data, "uid", entry->uidl[0] ? json_null() : json_integer(entry->uid));
        json_put_text(data, "uidl", entry->uidl[0] ? entry->uidl : NULL);
        json_put(data, "size", entry->size ? json_integer((json_int_t)entry->size) : json_null());
        return data;
}

char *fetching_name_of(const struct fetching *fetching, const struct mailbox_entry *entry)
{
        return entry->uidl[0] ? text_of("message UIDL %s", entry->uidl)
                              : text_of("message UID %u in %s", entry->uid, fetching->folder);
}

/* After the row is on disk: told once, whatever happens to the daemon between the tries. */
static void tell_missing(const struct fetching *fetching, const struct missing *message)
{
        struct subject subject = fetching_subject(fetching);
        scoped(scoped_free) char *name = fetching_name_of(fetching, &message->entry);
        json_t *data = missing_data(fetching, &message->entry);

        log_about(&subject, LOG_WARNING, MSG_MISSING,
                  "%s: %s cannot be had from the server, the others are received: %s",
                  fetching->account->name, name, message->text);
        json_put_text(data, "cause", message->text);
        event_emit(EVENT_MAIL_MISSING, fetching->account->name, data, "%s cannot be had from the server",
                   name);
}

static void tell_over(const struct fetching *fetching, const struct mailbox_entry *entry, bool came)
{
        struct subject subject = fetching_subject(fetching);
        scoped(scoped_free) char *name = fetching_name_of(fetching, entry);
        json_t *data = missing_data(fetching, entry);
        const char *what = came ? "has come after all" : "is no longer at the server";

        log_about(&subject, LOG_NOTICE, MSG_MISSING_OVER, "%s: %s, which could not be had, %s",
                  fetching->account->name, name, what);
        json_put(data, "came", json_boolean(came));
        event_emit(EVENT_MAIL_MISSING_OVER, fetching->account->name, data, "%s %s", name, what);
}

/* ---- what is missing from earlier polls ---- */

static int by_key(const void *a, const void *b)
{
        const struct mailbox_entry *one = a;
        const struct mailbox_entry *other = &((const struct missing *)b)->entry;

        if (one->uidl[0] || other->uidl[0])
                return strcmp(one->uidl, other->uidl);
        return one->uid < other->uid ? -1 : one->uid > other->uid;
}

static struct missing *find(const struct fetching *fetching, const struct mailbox_entry *entry)
{
        return fetching->missing_count ? bsearch(entry, fetching->missing, fetching->missing_count,
                                                 sizeof *fetching->missing, by_key)
                                       : NULL;
}

/* Sorted as the store gives them, by UID or UIDL: find() searches by halves. */
void fetching_take_missing(struct fetching *fetching, const struct missing *missing, size_t count)
{
        free(fetching->missing);
        fetching->missing = count ? new_zeroed(count, sizeof *missing) : NULL;
        fetching->missing_count = count;
        if (count)
                memcpy(fetching->missing, missing, count * sizeof *missing);
        for (size_t i = 0; i < count; i++)
                fetching->missing[i].fresh = false; /* until it is listed */
}

static void try_at(struct fetching *fetching, int64_t time)
{
        if (!fetching->next_try || time < fetching->next_try)
                fetching->next_try = time;
}

void fetching_poll_soon(struct fetching *fetching)
{
        try_at(fetching, loop_wall());
}

/* In several responses, each with a part of what is known, and by a server at fault any number of times. Of
 * POP3 several messages may have that UIDL. */
static bool listed_twice(struct fetching *fetching, const struct mailbox_entry *entry)
{
        struct mailbox_entry *last =
                fetching->alone_count ? &fetching->alone[fetching->alone_count - 1] : NULL;

        if (last && last->uid == entry->uid && entry->size > last->size)
                last->size = entry->size;
        return !entry->uidl[0];
}

/* True: it is dealt with here, and not new. What is due goes into `alone`, asked for by itself at the end of
 * the poll. */
bool fetching_sort_out(struct fetching *fetching, const struct mailbox_entry *entry)
{
        struct missing *row = find(fetching, entry);
        struct mailbox_entry again = *entry;

        if (!row)
                return false;
        bool twice = row->fresh && listed_twice(fetching, entry);
        row->fresh = true;
        again.missing = true;
        if (twice || fetching->alone_count == LIMIT_MISSING)
                return true;
        if (row->state != MISSING_GIVEN_UP && (fetching->try_all || missing_is_due(row, loop_wall())))
                fetching_push(&fetching->alone, &fetching->alone_count, &fetching->alone_size, &again);
        else if (row->state != MISSING_GIVEN_UP)
                try_at(fetching, row->next);
        return true;
}

bool fetching_is_missing(const struct fetching *fetching, const struct mailbox_entry *entry)
{
        return find(fetching, entry) != NULL;
}

static void push_vain(struct fetching *fetching, const struct missing *message)
{
        if (fetching->vain_count == fetching->vain_size) {
                fetching->vain_size = fetching->vain_size ? 2 * fetching->vain_size : 4;
                fetching->vain = new_resized(fetching->vain, fetching->vain_size, sizeof *fetching->vain);
        }
        fetching->vain[fetching->vain_count++] = *message;
}

static bool is_unlisted(const struct fetching *fetching, const struct missing *row)
{
        return !row->fresh && row->state != MISSING_GIVEN_UP && !fetching->pop3;
}

bool fetching_any_unlisted(const struct fetching *fetching)
{
        for (size_t i = 0; i < fetching->missing_count; i++)
                if (is_unlisted(fetching, &fetching->missing[i]) &&
                    (fetching->try_all || missing_is_due(&fetching->missing[i], loop_wall())))
                        return true;
        return false;
}

/* The server counts more messages than it lists: this may be one of them, and it is asked about again. */
static void still_unlisted(struct fetching *fetching, const struct missing *row)
{
        struct missing message = { .entry = row->entry, .state = MISSING_SUSPECTED };

        message.entry.missing = false; /* a try of its own */
        (void)snprintf(message.text, sizeof message.text,
                       "the server does not list it, and counts %zu more messages than it lists",
                       fetching->unlisted);
        if (fetching->unlisted && (fetching->try_all || missing_is_due(row, loop_wall())))
                push_vain(fetching, &message);
        else
                try_at(fetching, row->next);
}

/* The table forgets what has gone from the server. */
void fetching_end_gone(struct fetching *fetching)
{
        struct mailbox_entry *gone = NULL;
        size_t count = 0, size = 0;

        for (size_t i = 0; i < fetching->missing_count; i++) {
                const struct missing *row = &fetching->missing[i];
                if (row->fresh)
                        continue;
                if (is_unlisted(fetching, row) && !fetching->all_listed) {
                        still_unlisted(fetching, row);
                        continue;
                }
                fetching_push(&gone, &count, &size, &row->entry);
                if (row->state == MISSING_TOLD)
                        tell_over(fetching, &row->entry, false);
        }
        if (count || fetching->reconcile)
                missing_end(fetching->account->name, fetching->folder, fetching->info.uidvalidity, gone,
                            count);
        free(gone);
}

/* ---- what does not come now ---- */

/* `lost`: the session broke, which may be this message's doing or not: suspected, until it happens again. 1
 * to the engine: stop, since ten in a row say that the server is in trouble and not the messages. */
int fetching_not_had(struct fetching *fetching, const struct mailbox_entry *entry, const struct cause *why,
                     bool lost)
{
        struct missing message = { .entry = *entry, .state = lost ? MISSING_SUSPECTED : MISSING_TOLD };

        message.entry.missing = fetching->in_alone;
        (void)snprintf(message.text, sizeof message.text, "%s%.250s",
                       lost ? "the session broke over it: " : "", why->text);
        push_vain(fetching, &message);
        fetching->in_order = false;
        fetching->vain_in_row += !lost && !fetching->in_alone;
        if (fetching->vain_in_row < VAIN_IN_ROW)
                return 0;
        for (size_t i = 0; i < fetching->vain_count; i++)
                fetching->vain[i].state = MISSING_SUSPECTED; /* others are asked for first the next time */
        return 1;
}

int fetching_on_refused(void *ctx, const struct mailbox_entry *entry, const struct cause *why)
{
        struct fetching *fetching = *(struct fetching **)ctx;

        if (!fetching || fetching->finished)
                return 0;
        fetching_set_want(fetching, entry, WANT_REFUSED);
        return fetching_not_had(fetching, entry, why, false);
}

/* Denied, and counted still: a suspicion, of which nobody hears until it is so again. */
static void denied(struct fetching *fetching, const struct mailbox_entry *entry)
{
        for (size_t i = 0; i < fetching->vain_count; i++)
                if (fetching->vain[i].entry.uid == entry->uid)
                        fetching->vain[i].state = MISSING_SUSPECTED;
}

void fetching_on_gone(void *ctx, const struct mailbox_entry *entry, bool told)
{
        struct fetching *fetching = *(struct fetching **)ctx;
        size_t kept = 0;

        if (fetching && !told)
                denied(fetching, entry);
        if (!fetching || !told)
                return;
        fetching_set_want(fetching, entry, WANT_GONE);
        for (size_t i = 0; i < fetching->vain_count; i++)
                if (fetching->vain[i].entry.uid != entry->uid)
                        fetching->vain[kept++] = fetching->vain[i];
        fetching->vain_count = kept;
        struct missing *row = find(fetching, entry);
        if (row && row->state == MISSING_TOLD)
                tell_over(fetching, entry, false);
        if (row)
                missing_end(fetching->account->name, fetching->folder, fetching->info.uidvalidity, entry, 1);
}

void fetching_on_nameless(void *ctx, size_t count)
{
        struct fetching *fetching = *(struct fetching **)ctx;
        int64_t before = fetching ? kept_number(fetching->account->name, KEPT_NAMELESS) : 0;

        if (fetching && fetching->counting) /* what is missing is told of by itself */
                fetching->unlisted = count;
        if (!fetching || fetching->counting || before == (int64_t)count)
                return;
        struct subject subject = fetching_subject(fetching);
        kept_set_number(fetching->account->name, KEPT_NAMELESS, (int64_t)count);
        if (count && !fetching->pop3)
                log_about(&subject, LOG_WARNING, MSG_MISSING,
                          "%s: the server says that there are more messages in folder %s than it lists, by "
                          "%zu: those are left "
                          "there, the others are received",
                          fetching->account->name, fetching->folder, count);
        else if (count)
                log_about(&subject, LOG_WARNING, MSG_MISSING,
                          "%s: the server gives no unique id (UIDL) for %zu of its messages: they are left "
                          "there, the others are "
                          "received",
                          fetching->account->name, count);
}

static void noted(void *ctx, const struct missing *messages, size_t count, const struct cause *cause)
{
        struct fetching *fetching = ctx;
        void (*then)(struct fetching *fetching) = fetching->then;

        for (size_t i = 0; i < count; i++) {
                if (messages[i].fresh)
                        tell_missing(fetching, &messages[i]);
                try_at(fetching, messages[i].next);
        }
        if (fetching_answered(fetching) && !fetching_stopped_by(fetching, cause) && then)
                then(fetching);
}

void fetching_note_vain(struct fetching *fetching, void (*then)(struct fetching *fetching))
{
        size_t count = fetching->vain_count;
        struct cause cause;

        if (!count) {
                if (then)
                        then(fetching);
                return;
        }
        if (fetching->missing_count + fetching->noted_count + count > LIMIT_MISSING && then) {
                (void)cause_set(
                        &cause, CAUSE_SERVER_BUSY,
                        "the server does not hand out more than %d messages of its list, such as: %.200s",
                        LIMIT_MISSING, fetching->vain[0].text);
                fetching_finish(fetching, &cause);
                return;
        }
        fetching->noted_count += count;
        fetching->vain_count = 0;
        fetching->then = then;
        fetching->answers++;
        missing_note(fetching->account->name, fetching->folder, fetching->info.uidvalidity, fetching->vain,
                     count, noted, fetching);
}

/* ---- each by itself ---- */

static void ask_alone(void *ctx, const struct mailbox_entry *entries, size_t count unused_arg)
{
        struct fetching *fetching = ctx;
        struct cause cause = { 0 };

        if (!fetching_answered(fetching))
                return;
        fetching->wanted = new_resized(fetching->wanted, 1, sizeof *fetching->wanted);
        fetching->wants = new_resized(fetching->wants, 1, sizeof *fetching->wants);
        fetching->wanted[0] = *entries;
        fetching->wants[0] = WANT_OPEN;
        fetching->wanted_size = fetching->wanted_count = fetching->next = 1;
        fetching->round = fetching->expected = 0;
        fetching->in_order = fetching->round_received = false;
        int fits = reserve_fits(0, mailbox_rest_of(entries), &cause);
        if (fits > 0)
                (void)fetching_not_had(fetching, entries, &cause, false);
        if (fits != 0) {
                fetching_ask_nothing(fetching, fits < 0 ? &cause : NULL);
                return;
        }
        fetching->asking = true;
        fetching->ops->fetch(fetching_engine(fetching), fetching->wanted, 1);
}

static void begun(void *ctx, const struct cause *cause)
{
        struct fetching *fetching = ctx;

        if (!fetching_answered(fetching) || fetching_stopped_by(fetching, cause))
                return;
        const struct mailbox_entry *entry = &fetching->alone[fetching->alone_next++];
        fetching->answers++;
        if (partial_is_kept(entry))
                partial_find(fetching->account->name, fetching->folder, fetching->info.uidvalidity, entry, 1,
                             ask_alone, fetching);
        else
                ask_alone(fetching, entry, 1);
}

void fetching_next_alone(struct fetching *fetching)
{
        fetching->in_alone = true;
        if (fetching->alone_next == fetching->alone_count || fetching->alone_next == ALONE_MOST) {
                fetching_finish(fetching, NULL);
                return;
        }
        fetching->answers++;
        missing_begin(fetching->account->name, fetching->folder, fetching->info.uidvalidity,
                      &fetching->alone[fetching->alone_next], begun, fetching);
}

unsigned fetching_tries(const struct fetching *fetching, const struct mailbox_entry *entry)
{
        const struct missing *row = find(fetching, entry);

        return row ? row->tries + 1 : 1;
}

void fetching_came(struct fetching *fetching, const struct mailbox_entry *entry)
{
        const struct missing *row = find(fetching, entry);

        if (row && row->state == MISSING_TOLD)
                tell_over(fetching, entry, true);
        missing_end(fetching->account->name, fetching->folder, fetching->info.uidvalidity, entry, 1);
}

/* ---- a session that breaks ---- */

static const struct mailbox_entry *awaited(const struct fetching *fetching)
{
        if (!fetching->asking || fetching->heads || fetching->vain_in_row >= VAIN_IN_ROW)
                return NULL;
        if (fetching->in_message)
                return &fetching->arriving;
        for (size_t i = fetching->round; i < fetching->next; i++)
                if (fetching->wants[i] == WANT_OPEN)
                        return &fetching->wanted[i];
        return NULL;
}

enum fetching_end fetching_blame(struct fetching *fetching, const struct cause *why)
{
        const struct mailbox_entry *entry = fetching->finished ? NULL : awaited(fetching);
        bool goes_on = fetching->in_message && fetching->fresh && partial_is_kept(&fetching->arriving);

        if (entry && !goes_on) /* a large message of which more has come is gone on with */
                (void)fetching_not_had(fetching, entry, why, true);
        if (!fetching->finished)
                fetching_note_vain(fetching, NULL);
        if (!entry)
                return FETCHING_BROKE;
        return fetching->in_alone ? FETCHING_AS_GOOD : FETCHING_BROKE_OVER;
}
