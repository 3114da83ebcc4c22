/* SPDX-License-Identifier: MIT */
/*
 * Messages of a look on their way to the disk: pieces fill a delivery; batches are committed one after the other
 * while the next one fills, and the server waits when the disk is behind.
 */
#include "daemon/station/fetching_state.h"

#include "common/json_fields.h"
#include "daemon/loop.h"
#include "daemon/messages.h"
#include "daemon/station/events.h"
#include "daemon/station/handing.h"
#include "daemon/station/leftover.h"
#include "daemon/store/maildir.h"

enum {
        BATCH_MESSAGES = 250,                /* of one commit */
        BATCH_BYTES = 4 * 1024 * 1024,
        BACKLOG_HIGH = 8 * 1024 * 1024,      /* not yet on disk: the server waits */
        BACKLOG_LOW = 2 * 1024 * 1024,
};

/* ---- storing ---- */

static void announce(struct fetching *fetching, const struct delivered *message)
{
        struct subject subject = fetching_subject(fetching);

        subject.file = message->file;
        log_about(&subject, LOG_INFO, MSG_RECEIVED, "%s: received %s (%llu bytes) from %s%s%s", fetching->account->name,
                  message->file, (unsigned long long)message->size, message->from ? message->from : "(no From)",
                  message->handed_on ? ", handed on to " : "",
                  message->handed_on ? prop_text(&fetching->account->values, PROP_DELIVER_TO) : "");
        scoped(scoped_free) char *text = event_received_text(fetching->account->name, message->subject);
        event_emit("mail.received", fetching->account->name,
                   delivered_json(fetching->account->name, fetching->folder, message), "%s", text);
}

static void count_left(struct fetching *fetching, const struct delivered *message)
{
        const struct mailbox_entry *entry = &message->entry;
        struct subject subject = fetching_subject(fetching);
        json_t *data = json_object();

        fetching->noted++;
        subject.file = message->file;
        log_about(&subject, LOG_WARNING, MSG_LEFT_AT_SERVER,
                  "%s: a message of %llu bytes was left at the server (%s %u%s%s): maxMessageSize is %llu%s%s",
                  fetching->account->name, (unsigned long long)entry->size, fetching->pop3 ? "number" : "uid", entry->uid,
                  fetching->pop3 ? ", UIDL " : "", entry->uidl,
                  (unsigned long long)fetching_most(fetching), message->handed_on ? "" : "; of it tells ",
                  message->handed_on ? "" : message->file);
        json_put_text(data, "file", message->handed_on ? NULL : message->file);
        json_put(data, "size", json_integer((json_int_t)entry->size));
        json_put(data, "uid", json_integer(entry->uid));
        json_put_text(data, "folder", fetching->folder);
        event_emit("mail.left", fetching->account->name, data, "%s: a message of %llu bytes was left at the server",
                   fetching->account->name, (unsigned long long)entry->size);
}

static void count_received(struct fetching *fetching, const struct delivered *message)
{
        fetching->received++;
        fact_add(fetching->account->name, "numberReceived", 1);
        fact_set_number(fetching->account->name, "lastReceived", (int64_t)loop_wall());
        announce(fetching, message);
}

static void hand_over(struct fetching *fetching);

static void round_over(struct fetching *fetching)
{
        if (fetching->round_received && !fetching->committing && !fetching->full && !fetching->filling)
                fetching_tell_server(fetching);
}

static void committed(void *ctx, const struct delivered *messages, size_t count, const struct cause *cause)
{
        struct fetching *fetching = ctx;

        fetching->committing = false;
        for (size_t i = 0; i < count; i++) {
                if (!fetching->freed && !messages[i].entry.left)
                        fetching_push(&fetching->tell, &fetching->tell_count, &fetching->tell_size, &messages[i].entry);
                fetching->moved += messages[i].again && fetching->reconcile;
                if (!messages[i].again)
                        (messages[i].entry.left ? count_left : count_received)(fetching, &messages[i]);
        }
        if (fetching->freed && !cause)
                hand_over(fetching);
        if (!fetching_answered(fetching) || fetching_stopped_by(fetching, cause))
                return;
        hand_over(fetching);
        round_over(fetching);
}

/* The cursor may pass a batch only where everything below has arrived: not after a message that was left out (it may
 * be asked for again), nor where a look that is cut off must begin anew, comparing or with unseen ones only. */
static void note_order(struct fetching *fetching, uint32_t uid)
{
        if (fetching->expected >= fetching->next || fetching->wanted[fetching->expected].uid != uid)
                fetching->in_order = false;
        fetching->expected++;
}

static void commit_full(struct fetching *fetching)
{
        struct delivery *delivery = take(fetching->full);

        fetching->committing = true;
        fetching->answers++;
        delivery_commit(delivery, fetching->in_order ? fetching->full_last : 0, committed, fetching);
        if (!fetching->freed)
                link_pause(fetching->link, false);
}

/* Batches go to the disk one after the other: the cursor of one must not be there before the files of the last. One
 * is being committed, one waits filled, one fills. */
static void hand_over(struct fetching *fetching)
{
        bool ripe = fetching->filling && !fetching->in_message &&
                    (fetching->round_received || delivery_messages(fetching->filling) >= BATCH_MESSAGES ||
                     delivery_bytes(fetching->filling) >= BATCH_BYTES);

        if (fetching->full && !fetching->committing)
                commit_full(fetching);
        if (!ripe || fetching->full)
                return;
        if (delivery_messages(fetching->filling) == 0) {
                delivery_abandon(take(fetching->filling));
                return;
        }
        fetching->full = take(fetching->filling);
        fetching->full_last = fetching->filling_last;
        if (!fetching->committing)
                commit_full(fetching);
}

void fetching_keep_whole(struct fetching *fetching)
{
        fetching->in_message = false; /* of one that was cut the beginning stays, when it is a large one */
        fetching->round_received = true;
        hand_over(fetching);
}

static void on_disk_progress(void *ctx)
{
        struct fetching *fetching = ctx;

        if (!fetching->freed && fetching->filling && delivery_backlog(fetching->filling) < BACKLOG_LOW)
                link_pause(fetching->link, false);
}

static int disk_failed(struct fetching *fetching, const struct cause *cause)
{
        fetching_finish(fetching, cause);
        return -1;
}

int fetching_on_message_begin(void *ctx, const struct mailbox_entry *entry, uint64_t size)
{
        struct fetching *fetching = *(struct fetching **)ctx;
        struct cause cause = { 0 };

        (void)size;
        if (!fetching || fetching->finished)
                return -1;
        if (!fetching->filling) {
                struct delivery_target target = {
                        .account = fetching->account->name,
                        .folder = fetching->folder,
                        .uidvalidity = fetching->facts.uidvalidity,
                        .tell_server = fetching_tells_server(fetching),
                        .give = fetching->handing ? handing_give : NULL,
                        .give_ctx = fetching->handing,
                };
                fetching->filling = delivery_new(&target);
                delivery_reconcile(fetching->filling, fetching->reconcile);
                delivery_on_progress(fetching->filling, on_disk_progress, fetching);
        }
        fetching->in_message = true;
        fetching->arriving = entry->uid;
        return delivery_begin(fetching->filling, entry, &cause) < 0 ? disk_failed(fetching, &cause) : 0;
}

int fetching_on_message_piece(void *ctx, const uint8_t *bytes, size_t len)
{
        struct fetching *fetching = *(struct fetching **)ctx;
        struct cause cause = { 0 };

        if (!fetching || !fetching->filling)
                return -1;
        if (delivery_piece(fetching->filling, bytes, len, &cause) < 0)
                return disk_failed(fetching, &cause);
        if (delivery_backlog(fetching->filling) > BACKLOG_HIGH)
                link_pause(fetching->link, true);
        return 0;
}

int fetching_on_message_end(void *ctx)
{
        struct fetching *fetching = *(struct fetching **)ctx;
        struct cause cause = { 0 };

        if (!fetching || !fetching->filling)
                return -1;
        fetching->in_message = false;
        fetching->moved_on = true;
        note_order(fetching, fetching->arriving);
        fetching->filling_last = fetching->arriving;
        if (delivery_end(fetching->filling, &cause) < 0)
                return disk_failed(fetching, &cause);
        hand_over(fetching);
        if (fetching->filling && delivery_bytes(fetching->filling) >= 2 * (uint64_t)BATCH_BYTES)
                link_pause(fetching->link, true); /* the disk is behind by two batches */
        return 0;
}

/* Stores the note about a message that is too large. */
static int store_note(struct fetching *fetching, struct mailbox_entry *entry, const char *head, size_t len)
{
        struct leftover left = { .account = fetching->account->name, .folder = fetching->folder, .entry = entry,
                                 .most = fetching_most(fetching), .head = head, .head_len = len,
                                 .now = loop_wall() };
        scoped(scoped_free) char *text = leftover_text(&left);

        entry->left = true;
        if (fetching_on_message_begin(&fetching, entry, 0) < 0 ||
            fetching_on_message_piece(&fetching, (const uint8_t *)text, strlen(text)) < 0)
                return -1;
        return fetching_on_message_end(&fetching);
}

int fetching_on_head(void *ctx, const struct mailbox_entry *entry, const char *bytes, size_t len)
{
        struct fetching *fetching = *(struct fetching **)ctx;

        for (size_t i = 0; fetching && i < fetching->left_count; i++)
                if (fetching->left[i].uid == entry->uid)
                        return fetching->left[i].left ? 0 : store_note(fetching, &fetching->left[i], bytes, len);
        return fetching ? 0 : -1;
}

/* POP3 without TOP: those are still there of which no header came. With IMAP they have gone. */
static void notes_without_head(struct fetching *fetching)
{
        for (size_t i = 0; i < fetching->left_count && fetching->pop3 && !fetching->finished; i++)
                if (!fetching->left[i].left)
                        (void)store_note(fetching, &fetching->left[i], "", 0);
}

void fetching_on_fetched(void *ctx)
{
        struct fetching *fetching = *(struct fetching **)ctx;

        if (!fetching)
                return;
        if (fetching->in_message) { /* it has gone from the server amidst */
                delivery_cancel_message(fetching->filling);
                fetching->in_message = fetching->in_order = false;
        }
        if (fetching->heads)
                notes_without_head(fetching);
        fetching->round_received = true;
        hand_over(fetching);
        round_over(fetching);
}
