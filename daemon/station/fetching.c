/* SPDX-License-Identifier: MIT */
/*
 * The order of work within one look at a folder; see fetching.h.
 *
 *   open -> cursor from disk -> (tell what was left untold) -> list -> which are new -> fetch in rounds:
 *   message pieces into a delivery; full deliveries are committed one after the other (files, folder, cursor)
 *   while the next one fills; at the end of a round the server is told, then the next round.
 */
#include "daemon/station/fetching.h"

#include "common/json_fields.h"
#include "common/limits.h"
#include "daemon/loop.h"
#include "daemon/messages.h"
#include "daemon/station/events.h"
#include "daemon/store/maildir.h"

enum {
        ROUND = 2000,                        /* messages between two tellings of the server */
        BATCH_MESSAGES = 250,                /* of one commit */
        BATCH_BYTES = 4 * 1024 * 1024,
        BACKLOG_HIGH = 8 * 1024 * 1024,      /* not yet on disk: the server waits */
        BACKLOG_LOW = 2 * 1024 * 1024,
};

struct fetching {
        struct account *account;
        struct link *link;
        const struct mailbox_class *tools;
        char *folder;
        void (*done)(void *ctx, const struct fetching_result *result);
        void *ctx;
        void (*changed)(void *ctx), (*woken)(void *ctx);

        struct mailbox_facts facts;
        bool pop3, first_look, reconcile, unseen_only;
        struct seen_cursor cursor;
        struct mailbox_entry *listed;        /* as the server lists them */
        size_t listed_count, listed_size;
        struct mailbox_entry *wanted;        /* new ones, in order */
        size_t wanted_count, next;           /* next: first of the present round that is not asked for */
        size_t expected;                     /* the one that should arrive next */
        struct mailbox_entry *tell;          /* stored here, to be told to the server */
        size_t tell_count, tell_size;
        struct mailbox_entry *quit_tell;     /* POP3: told when QUIT is answered */
        size_t quit_tell_count;
        uint32_t highest;                    /* UID up to which everything is dealt with at the end */

        struct delivery *filling;            /* takes pieces */
        struct delivery *full;               /* waits for its commit */
        bool committing, round_received, in_order;
        bool in_message;                     /* one that has begun and not ended fills */
        uint32_t filling_last, full_last;    /* highest UID within */
        struct fetching_result result;
        unsigned answers;                    /* store answers under way */
        bool freed, finished;
};

/* ---- helpers ---- */

static struct subject subject_of(const struct fetching *fetching)
{
        return account_subject(fetching->account);
}

static bool is_policy(const struct fetching *fetching, const char *word)
{
        return prop_is(&fetching->account->values, PROP_DELIVERY_POLICY, word);
}

/* What the server is to be told of a stored message: nothing, \Seen or deletion. */
static bool tells_server(const struct fetching *fetching)
{
        return is_policy(fetching, "delete") || (is_policy(fetching, "markAsRead") && !fetching->pop3);
}

static void push_entry(struct mailbox_entry **list, size_t *count, size_t *size, const struct mailbox_entry *entry)
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
        account_release(fetching->account);
        free(fetching);
}

/* At the head of each store answer: true when the object is still wanted. */
static bool answered(struct fetching *fetching)
{
        fetching->answers--;
        if (!fetching->freed)
                return true;
        if (!fetching->answers)
                destroy(fetching);
        return false;
}

static void finish(struct fetching *fetching, const struct cause *cause)
{
        if (fetching->finished)
                return;
        fetching->finished = true;
        if (cause)
                fetching->result.cause = *cause;
        fetching->done(fetching->ctx, &fetching->result);
}

static bool stopped_by(struct fetching *fetching, const struct cause *cause)
{
        if (!cause_happened(cause))
                return false;
        finish(fetching, cause);
        return true;
}

static struct chat *chat_of(struct fetching *fetching)
{
        return link_chat(fetching->link);
}

/* ---- the end of a look ---- */

static void cursor_set(void *ctx, const struct cause *cause)
{
        struct fetching *fetching = ctx;

        if (answered(fetching) && !stopped_by(fetching, cause))
                finish(fetching, NULL);
}

/* Everything new is here: the cursor goes past what was skipped as well. */
static void conclude(struct fetching *fetching)
{
        fetching->answers++;
        if (fetching->pop3)
                seen_skip_uidls(fetching->account->name, NULL, 0, cursor_set, fetching);
        else
                seen_set_cursor(fetching->account->name, fetching->folder, fetching->facts.uidvalidity,
                                fetching->highest, cursor_set, fetching);
        if (fetching->pop3)
                seen_prune_uidls(fetching->account->name, fetching->listed, fetching->listed_count);
}

static void begin_round(struct fetching *fetching);

/* ---- telling the server ---- */

static void told(void *ctx, const struct cause *cause)
{
        struct fetching *fetching = ctx;

        if (answered(fetching) && !stopped_by(fetching, cause))
                begin_round(fetching);
}

static void on_marked(void *ctx)
{
        struct fetching *fetching = *(struct fetching **)ctx;

        if (!fetching)
                return;
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
        seen_told(fetching->account->name, fetching->folder, fetching->facts.uidvalidity, fetching->tell,
                  fetching->tell_count, told, fetching);
        fetching->tell_count = 0;
}

static void tell_server(struct fetching *fetching)
{
        bool deletes = is_policy(fetching, "delete");

        if (!fetching->tell_count || !tells_server(fetching) || fetching->facts.read_only) {
                fetching->tell_count = 0;
                begin_round(fetching);
                return;
        }
        fetching->tools->mark(chat_of(fetching), fetching->tell, fetching->tell_count,
                              deletes ? MARK_DELETED : MARK_SEEN);
        link_pump(fetching->link);
}

static void recorded_as_told(void *ctx, const struct cause *cause)
{
        (void)cause; /* not recorded: the server is told once more next time, which harms nothing */
        (void)answered(ctx);
}

void fetching_quit_answered(struct fetching *fetching, bool deleted)
{
        if (!deleted || !fetching->quit_tell_count)
                return;
        fetching->answers++;
        seen_told(fetching->account->name, fetching->folder, 0, fetching->quit_tell, fetching->quit_tell_count,
                  recorded_as_told, fetching);
        fetching->quit_tell_count = 0;
}

bool fetching_needs_quit(const struct fetching *fetching)
{
        return fetching->quit_tell_count > 0;
}

/* ---- storing ---- */

static void announce(struct fetching *fetching, const struct delivered *message)
{
        struct subject subject = subject_of(fetching);
        json_t *data = json_object();

        subject.file = message->file;
        log_about(&subject, LOG_INFO, MSG_RECEIVED, "%s: received %s (%llu bytes) from %s", fetching->account->name,
                  message->file, (unsigned long long)message->size, message->from ? message->from : "(no From)");
        json_put_text(data, "file", message->file);
        json_put_text(data, "folder", fetching->folder);
        json_put(data, "size", json_integer((json_int_t)message->size));
        json_put_text(data, "from", message->from);
        json_put_text(data, "subject", message->subject);
        json_put_text(data, "date", message->date);
        json_put_text(data, "messageId", message->message_id);
        event_emit("mail.received", fetching->account->name, data, "%s received a message: %s",
                   fetching->account->name, message->subject ? message->subject : "(no subject)");
}

static void hand_over(struct fetching *fetching);

static void round_over(struct fetching *fetching)
{
        if (fetching->round_received && !fetching->committing && !fetching->full && !fetching->filling)
                tell_server(fetching);
}

static void committed(void *ctx, const struct delivered *messages, size_t count, const struct cause *cause)
{
        struct fetching *fetching = ctx;

        fetching->committing = false;
        for (size_t i = 0; i < count && !cause_happened(cause); i++) {
                if (!fetching->freed)
                        push_entry(&fetching->tell, &fetching->tell_count, &fetching->tell_size, &messages[i].entry);
                if (messages[i].again)
                        continue;
                fetching->result.received++;
                fact_add(fetching->account->name, "numberReceived", 1);
                fact_set_number(fetching->account->name, "lastReceived", (int64_t)loop_wall());
                announce(fetching, &messages[i]);
        }
        if (!answered(fetching) || stopped_by(fetching, cause))
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

static bool cursor_moves_on(const struct fetching *fetching)
{
        return !fetching->pop3 && !fetching->reconcile && !fetching->unseen_only;
}

static void commit_full(struct fetching *fetching)
{
        struct delivery *delivery = take(fetching->full);

        fetching->committing = true;
        fetching->answers++;
        delivery_commit(delivery, fetching->in_order ? fetching->full_last : 0, committed, fetching);
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

static void on_disk_progress(void *ctx)
{
        struct fetching *fetching = ctx;

        if (!fetching->freed && fetching->filling && delivery_backlog(fetching->filling) < BACKLOG_LOW)
                link_pause(fetching->link, false);
}

static int disk_failed(struct fetching *fetching, const struct cause *cause)
{
        finish(fetching, cause);
        return -1;
}

static int on_message_begin(void *ctx, const struct mailbox_entry *entry, uint64_t size)
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
                        .tell_server = tells_server(fetching),
                };
                fetching->filling = delivery_new(&target);
                delivery_reconcile(fetching->filling, fetching->reconcile);
                delivery_on_progress(fetching->filling, on_disk_progress, fetching);
        }
        fetching->in_message = true;
        note_order(fetching, entry->uid);
        fetching->filling_last = entry->uid;
        return delivery_begin(fetching->filling, entry, &cause) < 0 ? disk_failed(fetching, &cause) : 0;
}

static int on_message_piece(void *ctx, const uint8_t *bytes, size_t len)
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

static int on_message_end(void *ctx)
{
        struct fetching *fetching = *(struct fetching **)ctx;
        struct cause cause = { 0 };

        if (!fetching || !fetching->filling)
                return -1;
        fetching->in_message = false;
        if (delivery_end(fetching->filling, &cause) < 0)
                return disk_failed(fetching, &cause);
        hand_over(fetching);
        if (fetching->filling && delivery_bytes(fetching->filling) >= 2 * (uint64_t)BATCH_BYTES)
                link_pause(fetching->link, true); /* the disk is behind by two batches */
        return 0;
}

static void on_fetched(void *ctx)
{
        struct fetching *fetching = *(struct fetching **)ctx;

        if (!fetching)
                return;
        fetching->round_received = true;
        hand_over(fetching);
        round_over(fetching);
}

static void begin_round(struct fetching *fetching)
{
        size_t count = fetching->wanted_count - fetching->next;

        if (!count) {
                conclude(fetching);
                return;
        }
        if (count > ROUND)
                count = ROUND;
        const struct mailbox_entry *first = &fetching->wanted[fetching->next];
        fetching->expected = fetching->next;
        fetching->next += count;
        fetching->in_order = cursor_moves_on(fetching);
        fetching->round_received = false;
        fetching->tools->fetch(chat_of(fetching), first, count);
        link_pump(fetching->link);
}

/* ---- what is new ---- */

static void left_at_server(struct fetching *fetching, const struct mailbox_entry *entry)
{
        struct subject subject = subject_of(fetching);
        json_t *data = json_object();
        long long most = (long long)prop_number(&fetching->account->values, PROP_MAX_MESSAGE_SIZE);

        log_about(&subject, LOG_WARNING, MSG_LEFT_AT_SERVER,
                  "%s: a message of %llu bytes was left at the server (uid %u%s): maxMessageSize is %lld",
                  fetching->account->name, (unsigned long long)entry->size, entry->uid, entry->uidl, most);
        json_put(data, "size", json_integer((json_int_t)entry->size));
        json_put(data, "uid", json_integer(entry->uid));
        json_put_text(data, "folder", fetching->folder);
        event_emit("mail.left", fetching->account->name, data, "%s: a message of %llu bytes was left at the server",
                   fetching->account->name, (unsigned long long)entry->size);
}

static bool too_large(const struct fetching *fetching, const struct mailbox_entry *entry)
{
        return entry->size > (uint64_t)prop_number(&fetching->account->values, PROP_MAX_MESSAGE_SIZE);
}

static int by_uid(const void *a, const void *b)
{
        const struct mailbox_entry *one = a, *two = b;

        return one->uid < two->uid ? -1 : one->uid > two->uid;
}

static void want(struct fetching *fetching, const struct mailbox_entry *entry, size_t *size)
{
        if (too_large(fetching, entry))
                left_at_server(fetching, entry);
        else
                push_entry(&fetching->wanted, &fetching->wanted_count, size, entry);
}

static void uidls_known(void *ctx, const bool *known, const bool *untold, size_t count, const struct cause *cause)
{
        struct fetching *fetching = ctx;
        size_t size = 0;

        if (!answered(fetching) || stopped_by(fetching, cause))
                return;
        for (size_t i = 0; i < count; i++) {
                if (!known[i])
                        want(fetching, &fetching->listed[i], &size);
                else if (untold[i] && is_policy(fetching, "delete"))
                        push_entry(&fetching->tell, &fetching->tell_count, &fetching->tell_size, &fetching->listed[i]);
        }
        tell_server(fetching); /* those of an earlier session first; then the rounds */
}

static void pop3_skipped(void *ctx, const struct cause *cause)
{
        struct fetching *fetching = ctx;

        if (!answered(fetching) || stopped_by(fetching, cause))
                return;
        fact_set_number(fetching->account->name, "pop3Looked", 1);
        conclude(fetching);
}

static void listed_pop3(struct fetching *fetching)
{
        bool first = !fact_number(fetching->account->name, "pop3Looked");

        fetching->answers++;
        if (first && prop_is(&fetching->account->values, PROP_FETCH, "new")) {
                seen_skip_uidls(fetching->account->name, fetching->listed, fetching->listed_count, pop3_skipped, fetching);
                return;
        }
        fact_set_number(fetching->account->name, "pop3Looked", 1);
        seen_uidls(fetching->account->name, fetching->listed, fetching->listed_count, uidls_known, fetching);
}

static void on_listed(void *ctx, const struct mailbox_entry *entries, size_t count)
{
        struct fetching *fetching = *(struct fetching **)ctx;

        for (size_t i = 0; fetching && i < count; i++)
                push_entry(&fetching->listed, &fetching->listed_count, &fetching->listed_size, &entries[i]);
}

static void on_listed_all(void *ctx)
{
        struct fetching *fetching = *(struct fetching **)ctx;
        size_t size = 0;

        if (!fetching)
                return;
        if (fetching->pop3) {
                listed_pop3(fetching);
                return;
        }
        bool skip = fetching->first_look && prop_is(&fetching->account->values, PROP_FETCH, "new");
        if (fetching->listed_count)
                qsort(fetching->listed, fetching->listed_count, sizeof *fetching->listed, by_uid);
        for (size_t i = 0; i < fetching->listed_count; i++) {
                const struct mailbox_entry *entry = &fetching->listed[i];
                if (entry->uid > fetching->highest)
                        fetching->highest = entry->uid;
                if (!skip && !entry->deleted && !(fetching->unseen_only && entry->seen))
                        want(fetching, entry, &size);
        }
        tell_server(fetching);
}

static void list(struct fetching *fetching)
{
        uint32_t after = fetching->pop3 || fetching->first_look || fetching->reconcile ? 0 : fetching->cursor.uid;

        /* what the listing does not show (unseen only) is dealt with as well */
        fetching->highest = fetching->facts.uidnext && (fetching->first_look || fetching->reconcile) ?
                                    fetching->facts.uidnext - 1 : after;
        fetching->unseen_only = fetching->first_look && !fetching->pop3 &&
                                prop_is(&fetching->account->values, PROP_FETCH, "unread");
        fetching->tools->list(chat_of(fetching), after, fetching->unseen_only);
        link_pump(fetching->link);
}

static void note_new_uidvalidity(struct fetching *fetching)
{
        struct subject subject = subject_of(fetching);

        log_about(&subject, LOG_NOTICE, MSG_UIDVALIDITY,
                  "%s: folder %s was numbered anew by the server (UIDVALIDITY %u, was %u): comparing by content, "
                  "nothing is delivered again",
                  fetching->account->name, fetching->folder, fetching->facts.uidvalidity, fetching->cursor.uidvalidity);
}

static void cursor_known(void *ctx, const struct seen_cursor *cursor, const struct mailbox_entry *untold,
                         size_t count, const struct cause *cause)
{
        struct fetching *fetching = ctx;

        if (!answered(fetching) || stopped_by(fetching, cause))
                return;
        fetching->cursor = *cursor;
        fetching->first_look = !cursor->known;
        fetching->reconcile = cursor->known && cursor->uidvalidity != fetching->facts.uidvalidity;
        if (fetching->reconcile)
                note_new_uidvalidity(fetching);
        for (size_t i = 0; i < count && !fetching->reconcile; i++)
                push_entry(&fetching->tell, &fetching->tell_count, &fetching->tell_size, &untold[i]);
        list(fetching);
}

static void on_opened(void *ctx, const struct mailbox_facts *facts)
{
        struct fetching *fetching = *(struct fetching **)ctx;

        if (!fetching)
                return;
        fetching->facts = *facts;
        if (fetching->pop3) {
                list(fetching);
                return;
        }
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
        .message_begin = on_message_begin,
        .message_piece = on_message_piece,
        .message_end = on_message_end,
        .fetched = on_fetched,
        .marked = on_marked,
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
        if (is_open && fetching->tools->refresh)
                fetching->tools->refresh(chat_of(fetching));
        else
                fetching->tools->open(chat_of(fetching), fetching->folder, is_policy(fetching, "markAsUnread"));
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
        if (fetching->filling)
                delivery_abandon(take(fetching->filling));
        if (fetching->full)
                delivery_abandon(take(fetching->full));
        if (!fetching->answers)
                destroy(fetching);
}
