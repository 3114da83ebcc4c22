/* SPDX-License-Identifier: MIT */
/*
 * Messages of a poll on their way to the disk: pieces fill a delivery; batches are committed one after the
 * other while the next one fills, and the server waits when the disk is behind.
 *
 * A delivery is `filling`, then `full`, then committed (`committing`; the store has it): one of each at most,
 * in the order of arrival, so that memory is bounded by BACKLOG_HIGH and two batches, and the cursor of a
 * later batch never stands on disk before the files of an earlier one. Pausing the session is how the server
 * is held back: TCP's window does the rest.
 */
#include "daemon/incoming/fetching_state.h"
#include "daemon/store/kept.h"

#include "common/json_fields.h"
#include "daemon/events.h"
#include "daemon/incoming/hand_on.h"
#include "daemon/incoming/oversize_notice.h"
#include "daemon/loop.h"
#include "daemon/messages.h"
#include "daemon/store/delivery_unrecorded.h"
#include "daemon/store/maildir.h"
#include "daemon/work_counts.h"

enum {
        BATCH_MESSAGES = 250, /* of one commit, or more while another one is under way, */
        BATCH_MOST = 1000,    /* up to this */
        BATCH_BYTES = 4 * 1024 * 1024,
        COUNTED = 128,                  /* bytes */
        TAKEN_AFTER = 3,                /* tries that brought what was not announced: it is what it is */
        BACKLOG_HIGH = 4 * 1024 * 1024, /* not yet on disk: the server waits */
        BACKLOG_SMALL = 1024 * 1024, /* of messages that cost more than their bytes: memory would be fresh */
};

static own_mail_test *is_own_mail;

void fetching_know_own_mail(own_mail_test *test)
{
        is_own_mail = test;
}

/* ---- storing ---- */

static json_t *received_data(const void *of)
{
        return inbox_message_json(of);
}

static char *received_text(const void *of)
{
        const struct inbox_message *message = of;

        return event_received_text(message->account, message->subject);
}

static const struct event_recipe received_recipe = { received_data, received_text };

/* After the commit: who hears of it finds the file. */
static void announce(struct fetching *fetching, const struct delivered *message)
{
        struct subject subject = fetching_subject(fetching);

        subject.file = message->file;
        log_about(&subject, LOG_INFO, MSG_RECEIVED, "%s: received %s (%llu bytes) from %s%s%s",
                  fetching->account->name, message->file, (unsigned long long)message->size,
                  message->from ? message->from : "(no From)", message->handed_on ? ", handed on to " : "",
                  message->handed_on ? prop_text(&fetching->account->values, PROP_DELIVER_TO) : "");
        if (is_own_mail && is_own_mail(fetching->account->name, message->message_id, message->subject))
                return; /* which is no mail to tell of */
        struct inbox_message known = delivered_message(fetching->account->name, fetching->folder, message);
        event_emit_of(EVENT_MAIL_RECEIVED, known.account, &received_recipe, inbox_message_copy(&known));
}

static void count_left(struct fetching *fetching, const struct delivered *message)
{
        const struct mailbox_entry *entry = &message->entry;
        struct subject subject = fetching_subject(fetching);
        json_t *data = json_object();

        fetching->noted++;
        subject.file = message->file;
        log_about(
                &subject, LOG_WARNING, MSG_LEFT_AT_SERVER,
                "%s: a message of %llu bytes was left at the server (%s %u%s%s): maxMessageSize is %llu%s%s",
                fetching->account->name, (unsigned long long)entry->size, fetching->pop3 ? "number" : "uid",
                entry->uid, fetching->pop3 ? ", UIDL " : "", entry->uidl,
                (unsigned long long)fetching_most(fetching), message->handed_on ? "" : "; of it tells ",
                message->handed_on ? "" : message->file);
        json_put_text(data, "file", message->handed_on ? NULL : message->file);
        json_put(data, "size", json_integer((json_int_t)entry->size));
        json_put(data, "uid", json_integer(entry->uid));
        json_put_text(data, "folder", fetching->folder);
        event_emit(EVENT_MAIL_LEFT, fetching->account->name, data,
                   "%s: a message of %llu bytes was left at the server", fetching->account->name,
                   (unsigned long long)entry->size);
}

static void count_received(struct fetching *fetching, const struct delivered *message)
{
        fetching->received++;
        kept_add(fetching->account->name, KEPT_NUMBER_RECEIVED, 1);
        work_counts.received++;
        kept_set_number(fetching->account->name, KEPT_LAST_RECEIVED, (int64_t)loop_wall());
        announce(fetching, message);
}

static void hand_over(struct fetching *fetching);

/* The last batch of the round is on disk and the server has answered everything. */
static void round_over(struct fetching *fetching)
{
        if (fetching->round_received && !fetching->committing && !fetching->full && !fetching->filling)
                fetching_note_vain(fetching, fetching_tell_server);
}

/* Files are in the Maildir and recorded, in one answer for the whole batch. It comes too for a fetching that
 * was freed meanwhile: what it counts is true all the same. A full batch behind it is handed over first: the
 * disk goes on while these are told of, and it does before the object goes. */
static void committed(void *ctx, const struct delivered *messages, size_t count, const struct cause *cause)
{
        struct fetching *fetching = ctx;
        bool tells = !fetching->freed && fetching_tells_server(fetching);

        fetching->committing = false;
        if (!cause)
                hand_over(fetching);
        for (size_t i = 0; i < count; i++) {
                if (tells && !messages[i].entry.left && !messages[i].entry.odd)
                        fetching_push(&fetching->tell, &fetching->tell_count, &fetching->tell_size,
                                      &messages[i].entry);
                fetching->moved += messages[i].again && fetching->reconcile;
                if (!messages[i].again)
                        (messages[i].entry.left ? count_left : count_received)(fetching, &messages[i]);
                if (messages[i].entry.missing && messages[i].entry.odd != ODD)
                        fetching_came(fetching, &messages[i].entry);
        }
        if (fetching_answered(fetching) && !fetching_stopped_by(fetching, cause))
                round_over(fetching);
}

/* What it waited for is no longer before it. */
static void server_goes_on(struct fetching *fetching)
{
        if (!fetching->freed)
                session_pause(fetching->session, false);
}

/* in_order: its record moves the cursor to the last message; else the cursor stays, and each message is
 * known by its own row. */
static void commit_full(struct fetching *fetching)
{
        struct delivery *delivery = take(fetching->full);

        fetching->committing = true;
        fetching->answers++;
        delivery_commit(delivery, fetching->in_order ? fetching->full_last : 0, committed, fetching);
        server_goes_on(fetching);
}

/* One that need not wait for the disk is committed soon. */
static bool is_ripe(const struct fetching *fetching)
{
        size_t enough = fetching->committing ? BATCH_MOST : BATCH_MESSAGES;

        return fetching->filling && !fetching->in_message &&
               (fetching->round_received || delivery_messages(fetching->filling) >= enough ||
                delivery_bytes(fetching->filling) >= BATCH_BYTES);
}

/* Batches go to the disk one after the other: the cursor of one must not be there before the files of the
 * last. One is being committed, one waits filled, one fills. */
static void hand_over(struct fetching *fetching)
{

        if (fetching->full && !fetching->committing)
                commit_full(fetching);
        if (fetching->full || !is_ripe(fetching))
                return;
        if (delivery_messages(fetching->filling) == 0) {
                delivery_abandon(take(fetching->filling));
                server_goes_on(fetching); /* nobody else tells of what this one has written */
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

/* From how many bytes on the server waits, until they are half as many. Large messages come in bursts, each
 * with a sync of its own, and are slower by less. */
static size_t backlog_most(const struct fetching *fetching)
{
        return fetching->got < BACKLOG_SMALL / 4 ? BACKLOG_SMALL : BACKLOG_HIGH;
}

/* By two batches: what fills while another one waits is not handed over at BATCH_MOST, and each message that
 * is not recorded yet costs memory, however small it is. commit_full() ends it. */
static bool is_behind(const struct fetching *fetching)
{
        return fetching->full && delivery_messages(fetching->filling) >= 2 * (size_t)BATCH_MOST;
}

static void on_disk_progress(void *ctx)
{
        struct fetching *fetching = ctx;

        if (!fetching->freed && fetching->filling && !is_behind(fetching) &&
            delivery_backlog(fetching->filling) < backlog_most(fetching) / 2)
                session_pause(fetching->session, false);
}

static int disk_failed(struct fetching *fetching, const struct cause *cause)
{
        fetching_finish(fetching, cause);
        return -1;
}

/* How much of a message is taken: what was announced, with what honest servers err by, and what the account
 * takes. When it is asked for again by itself, the second of these alone counts. */
static uint64_t most_of(const struct fetching *fetching, const struct mailbox_entry *entry)
{
        uint64_t most = fetching_most(fetching), announced = entry->size;

        if (!announced || announced > most)
                return most;
        uint64_t honest = announced + announced / 8 + 4 * 1024;
        uint64_t likely = announced + announced / 2 + 1024 * 1024;
        most = most > honest ? most : honest;
        return fetching->in_alone || most < likely ? most : likely;
}

/* This message is not taken: what comes of it is read over, and the others come. 1 to the engine: read its
 * bytes over, without storing them, and go on with the next message. */
static int not_taken(struct fetching *fetching, const struct mailbox_entry *entry, const struct cause *why)
{
        fetching_set_want(fetching, entry, WANT_REFUSED);
        (void)fetching_not_had(fetching, entry, why, false);
        return 1;
}

/* It is more than that. */
static int too_much(struct fetching *fetching, const struct mailbox_entry *entry, uint64_t size)
{
        struct cause why;

        (void)cause_set(&why, CAUSE_PROTOCOL,
                        "the server announced %llu bytes and sends %llu or more; maxMessageSize is %llu",
                        (unsigned long long)entry->size, (unsigned long long)size,
                        (unsigned long long)fetching_most(fetching));
        return not_taken(fetching, entry, &why);
}

static void make_delivery(struct fetching *fetching)
{
        if (fetching->reconcile && !fetching->unrecorded)
                fetching->unrecorded = unrecorded_new();
        struct delivery_target target = {
                .account = fetching->account->name,
                .folder = fetching->folder,
                .uidvalidity = fetching->info.uidvalidity,
                .tell_server = fetching_tells_server(fetching),
                .again_is_known = fetching->pop3,
                .deletes = fetching->pop3 && fetching_policy_is(fetching, WORD_DELETE),
                .give = fetching->hand_on ? hand_on_give : NULL,
                .give_ctx = fetching->hand_on,
                .unrecorded = fetching->unrecorded,
                .file_into = prop_text(&fetching->account->values, PROP_FILE_INTO),
        };

        fetching->filling = delivery_new(&target);
        delivery_reconcile(fetching->filling, fetching->reconcile);
        delivery_on_progress(fetching->filling, on_disk_progress, fetching);
}

/* -1: nothing is fetched any more, by a disk without room; what has arrived whole is kept. */
static int begin_message(struct fetching *fetching, const struct mailbox_entry *entry)
{
        struct cause cause = { 0 };

        if (!fetching->filling)
                make_delivery(fetching);
        fetching->in_message = true;
        fetching->arriving = *entry;
        fetching->got = entry->from;
        fetching->fresh = fetching->lines = fetching->returns = 0;
        int begun = delivery_begin(fetching->filling, entry, &cause);
        if (begun == 0)
                return 0;
        if (begun > 0) { /* it does not fit on the disk, or is said not to */
                fetching->in_message = false;
                return not_taken(fetching, entry, &cause);
        }
        fetching->no_room = true;
        fetching_keep_whole(fetching);
        return disk_failed(fetching, &cause);
}

int fetching_on_message_begin(void *ctx, const struct mailbox_entry *entry, uint64_t size)
{
        struct fetching *fetching = *(struct fetching **)ctx;

        if (!fetching || fetching->finished)
                return -1;
        if (fetching->in_message && fetching->arriving.uid != entry->uid)
                fetching->in_order = false;
        fetching->as_announced = !fetching->pop3 && entry->from + size == entry->size;
        return entry->from + size > most_of(fetching, entry) ? too_much(fetching, entry, entry->from + size)
                                                             : begin_message(fetching, entry);
}

/* In blocks of one length, which the compiler counts by vectors; no count of one is beyond a byte. */
static size_t count_block(const uint8_t *bytes, size_t *returns)
{
        uint8_t lines = 0, whole = 0;

        for (size_t i = 0; i < COUNTED; i++) {
                bool is_end = bytes[i] == '\n', is_whole = is_end & (bytes[(ptrdiff_t)i - 1] == '\r');
                lines = (uint8_t)(lines + is_end);
                whole = (uint8_t)(whole + is_whole);
        }
        *returns += whole;
        return lines;
}

/* Both counts, to tell a server that counts line ends otherwise from one that sends something else
 * (oddness). An LF at the beginning of a piece is taken to have had its CR. */
static void count_lines(struct fetching *fetching, const uint8_t *bytes, size_t len)
{
        size_t at = len ? 1 : 0, lines = len && *bytes == '\n', returns = lines;

        for (; len - at >= COUNTED; at += COUNTED)
                lines += count_block(bytes + at, &returns);
        for (; at < len; at++) {
                lines += bytes[at] == '\n';
                returns += bytes[at] == '\n' && bytes[at - 1] == '\r';
        }
        fetching->lines += lines;
        fetching->returns += returns;
}

int fetching_on_message_piece(void *ctx, const uint8_t *bytes, size_t len)
{
        struct fetching *fetching = *(struct fetching **)ctx;
        struct cause cause = { 0 };

        if (!fetching || !fetching->filling)
                return -1;
        fetching->got += len;
        fetching->fresh += len;
        if (fetching->got > most_of(fetching, &fetching->arriving) && !fetching->arriving.left) {
                delivery_drop_message(fetching->filling);
                fetching->in_message = false;
                return too_much(fetching, &fetching->arriving, fetching->got);
        }
        if (!fetching->as_announced)
                count_lines(fetching, bytes, len);
        if (delivery_piece(fetching->filling, bytes, len, &cause) < 0)
                return disk_failed(fetching, &cause);
        if (delivery_backlog(fetching->filling) > backlog_most(fetching))
                session_pause(fetching->session, true);
        return 0;
}

/* Servers count line ends as LF and send CRLF, or the other way round, and add fields of their own. */
static enum mailbox_odd oddness(const struct fetching *fetching)
{
        const struct mailbox_entry *entry = &fetching->arriving;
        uint64_t got = fetching->got, announced = entry->size;
        uint64_t bare = fetching->lines > fetching->returns ? fetching->lines - fetching->returns : 0;
        uint64_t most = got + bare, least = got - (fetching->returns < got ? fetching->returns : got);

        if (!announced || entry->left ||
            (most + most / 8 + 16 >= announced && least <= announced + announced / 8 + 128))
                return AS_ANNOUNCED;
        return fetching->in_alone && got && fetching_tries(fetching, entry) > TAKEN_AFTER ? ODD_FOR_GOOD
                                                                                          : ODD;
}

/* Here in memory and on its way to disk; `moved_on` says that this session was worth something, whatever
 * ends it. */
static int end_message(struct fetching *fetching)
{
        struct cause cause = { 0 };

        fetching->in_message = false;
        fetching->moved_on = true;
        fetching->vain_in_row = 0;
        fetching->filling_last = fetching->arriving.uid;
        if (delivery_end(fetching->filling, &cause) < 0)
                return disk_failed(fetching, &cause);
        hand_over(fetching);
        if (fetching->filling &&
            (is_behind(fetching) || delivery_bytes(fetching->filling) >= 2 * (uint64_t)BATCH_BYTES))
                session_pause(fetching->session, true); /* the disk is behind by two batches */
        return 0;
}

/* What came is not what was announced: it is kept, but the server is not told of it, and it is asked for
 * again. */
static void note_odd(struct fetching *fetching, enum mailbox_odd odd)
{
        const struct mailbox_entry *entry = &fetching->arriving;
        struct cause why;

        delivery_is_odd(fetching->filling, odd);
        (void)cause_set(&why, CAUSE_PROTOCOL,
                        "%llu bytes came where %llu were announced: they are in the inbox, and the server "
                        "was not told so",
                        (unsigned long long)fetching->got, (unsigned long long)entry->size);
        if (odd == ODD)
                (void)fetching_not_had(fetching, entry, &why, false);
}

int fetching_on_message_end(void *ctx)
{
        struct fetching *fetching = *(struct fetching **)ctx;

        if (!fetching || !fetching->filling)
                return -1;
        enum mailbox_odd odd = oddness(fetching);
        fetching_set_want(fetching, &fetching->arriving, WANT_HERE);
        if (odd)
                note_odd(fetching, odd);
        return end_message(fetching);
}

/* Stores the note about a message that is too large. */
static int store_note(struct fetching *fetching, struct mailbox_entry *entry, const char *head, size_t len)
{
        struct oversize_message message = { .account = fetching->account->name,
                                            .folder = fetching->folder,
                                            .entry = entry,
                                            .most = fetching_most(fetching),
                                            .head = head,
                                            .head_len = len };
        scoped(scoped_free) char *text = oversize_notice_text(&message);

        entry->left = true;
        if (begin_message(fetching, entry) != 0 ||
            fetching_on_message_piece(&fetching, (const uint8_t *)text, strlen(text)) < 0)
                return -1;
        return end_message(fetching);
}

int fetching_on_head(void *ctx, const struct mailbox_entry *entry, const char *bytes, size_t len)
{
        struct fetching *fetching = *(struct fetching **)ctx;

        for (size_t i = 0; fetching && i < fetching->left_count; i++)
                if (fetching->left[i].uid == entry->uid)
                        return fetching->left[i].left ? 0
                                                      : store_note(fetching, &fetching->left[i], bytes, len);
        return fetching ? 0 : -1;
}

/* Of those that the server gave no header of, though it lists them. */
static void notes_without_head(struct fetching *fetching)
{
        for (size_t i = 0; i < fetching->left_count && !fetching->finished; i++)
                if (!fetching->left[i].left)
                        (void)store_note(fetching, &fetching->left[i], "", 0);
}

enum fetching_end fetching_broke(struct fetching *fetching, const struct cause *why)
{
        if (fetching->heads && fetching->asking &&
            !fetching->finished) { /* a header is not worth another session */
                notes_without_head(fetching);
                return FETCHING_BROKE_OVER;
        }
        return fetching_blame(fetching, why);
}

/* Each message of the round is here, refused or gone; should the session have lost sight of one, it is not.
 */
static void settle_round(struct fetching *fetching)
{
        struct cause why;

        (void)cause_set(&why, CAUSE_PROTOCOL, "the server did not hand it out");
        for (size_t i = fetching->round; i < fetching->next; i++)
                if (fetching->wants[i] == WANT_OPEN)
                        (void)fetching_not_had(fetching, &fetching->wanted[i], &why, false);
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
        fetching->asking = false;
        if (fetching->heads)
                notes_without_head(fetching);
        else
                settle_round(fetching);
        if (fetching_goes_on(fetching))
                return;
        fetching->round_received = true;
        hand_over(fetching);
        round_over(fetching);
}
