/* SPDX-License-Identifier: MIT */
/*
 * The last phase of a batch: rows, offers and cursor in one commit, then the answer; or the end without any.
 * Messages that go to someone else (deliverTo) instead of into the Maildir are given away one by one first.
 */
#include "daemon/store/delivery.h"
#include "daemon/store/disk.h"
#include "daemon/store/fetched_rows.h"
#include "daemon/store/inbox_scan.h"
#include "daemon/store/missing_rows.h"
#include "daemon/store/own_mail.h"
#include "daemon/store/partial_download.h"
#include "daemon/store/subscriber_rows.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

struct fetched_key delivery_key(const struct delivery *delivery, const struct item *item)
{
        return fetched_key_of(delivery->account, delivery->folder, delivery->uidvalidity, &item->entry);
}

const char *delivery_item_file(const struct item *item)
{
        return item->known ? item->known_file : item->file;
}

/* ---- answer ---- */

static void free_delivery(struct delivery *delivery)
{
        free(delivery->account);
        free(delivery->key);
        free(delivery->folder);
        file_rules_done(&delivery->rules);
        delivery_spares_let_go(&delivery->arrival);
        free(delivery);
}

static struct delivered delivered_of(const struct item *item)
{
        const char *file = delivery_item_file(item);

        return (struct delivered){ .entry = item->entry,
                                   .file = (char *)(uintptr_t)(file ? file : ""),
                                   .size = item->size,
                                   .line_ends = item->known ? LINE_ENDS_UNKNOWN : item->line_ends,
                                   .box = item->known ? NULL : item->box,
                                   .received = item->received,
                                   .from = item->summary.from,
                                   .subject = item->summary.subject,
                                   .date = item->summary.date,
                                   .message_id = item->summary.message_id,
                                   .again = item->known,
                                   .handed_on = item->handed_on,
                                   .handed_back = item->handed_back };
}

/* Tells of the first `count` messages, and frees. */
static void tell(struct delivery *delivery, size_t count, const struct cause *cause)
{
        const struct arrival *arrival = &delivery->arrival;
        struct delivered *messages = new_zeroed(count + 1, sizeof *messages);

        for (size_t i = 0; i < count; i++)
                messages[i] = delivered_of(&arrival->items[i]);
        if (!delivery->abandoned)
                delivery->done(delivery->ctx, messages, count, cause);
        free(messages);
        delivery_arrival_end(&delivery->arrival); /* tmp/ is empty by now: this only closes and frees */
        free_delivery(delivery);
}

void delivery_answer(void *ctx)
{
        struct delivery *delivery = ctx;

        tell(delivery, delivery->arrival.count, NULL);
}

static void answer_cleaned(struct job *job)
{
        delivery_answer(container_of(job, struct delivery, job));
}

static void clean_work(struct job *job)
{
        delivery_arrival_clean(&container_of(job, struct delivery, job)->arrival);
}

static void clean_done(struct job *job)
{
        struct delivery *delivery = container_of(job, struct delivery, job);

        if (delivery->abandoned && delivery->half_kept)
                partial_keeping(false);
        tell(delivery, delivery->recorded, &delivery->failure);
}

/* By the pool, since there may be files to remove. */
static void clean(struct delivery *delivery, void (*done)(struct job *job))
{
        delivery->job = (struct job){ .work = clean_work, .done = done };
        store_run_files(&delivery->job);
}

void delivery_give_up(struct delivery *delivery, const struct cause *cause)
{
        if (cause != &delivery->failure)
                delivery->failure = *cause;
        clean(delivery, clean_done);
}

/* ---- record ---- */

static struct fetched_message message_of(const struct delivery *delivery, const struct item *item)
{
        return (struct fetched_message){
                .generation = item->generation,
                .told = !delivery->tell_server || item->entry.left || item->entry.odd ? SEEN_LEFT
                                                                                      : SEEN_UNTOLD,
                .how = item->known       ? SEEN_KNOWN
                       : item->handed_on ? SEEN_HANDED_ON
                                         : SEEN_PLACED,
                .received = item->received,
                .file = delivery_item_file(item),
                .line_ends = item->line_ends,
                .box = item->box,
                .size = item->size,
                .left_size = item->entry.left ? item->entry.size : 0,
                .tag = item->tag,
                .from = item->summary.from,
                .subject = item->summary.subject,
                .date = item->summary.date,
                .message_id = item->summary.message_id,
        };
}

/* What changes of rows that are there already. */
static int record_again(const struct delivery *delivery, const struct item *item, struct database *db,
                        int64_t place, struct cause *cause)
{
        struct fetched_key key = delivery_key(delivery, item);
        bool tells = delivery->tell_server && !item->entry.left && !item->entry.odd;

        if (item->was_left && fetched_left_came(db, &key, seen_tag(item->tag), cause) < 0)
                return -1;
        if (!item->entry.missing || item->entry.odd == ODD)
                return 0;
        if (tells && item->recorded && fetched_tell_now(db, place, &key, cause) < 0)
                return -1;
        return missing_end_row(db, &key, cause);
}

static int record_items(const struct delivery *delivery, struct database *db, struct cause *cause)
{
        struct fetched_record records[DB_MANY];
        size_t count = 0;
        int64_t place;

        if (fetched_make_place(db, delivery->account, delivery->folder, &place, cause) < 0)
                return -1;
        for (size_t i = delivery->recorded; i < delivery->recording; i++) {
                const struct item *item = &delivery->arrival.items[i];
                struct fetched_key key = delivery_key(delivery, item);
                if (record_again(delivery, item, db, place, cause) < 0)
                        return -1;
                if (item->recorded)
                        continue;
                records[count++] = (struct fetched_record){ key, message_of(delivery, item) };
                if (count < DB_MANY)
                        continue;
                if (fetched_record(db, place, records, count, cause) < 0)
                        return -1;
                count = 0;
        }
        return fetched_record(db, place, records, count, cause);
}

/* What named subscribers are told, in the same commit: no message without its event, no event without its
 * message. */
static int offer_all(const struct delivery *delivery, struct database *db, struct wanting *wanting,
                     struct cause *cause)
{
        const struct arrival *arrival = &delivery->arrival;

        for (size_t i = delivery->recorded; i < delivery->recording && wanting->count; i++) {
                const struct item *item = &arrival->items[i];
                struct delivered delivered = delivered_of(item);
                if (own_mail_is(item->summary.message_id, item->summary.subject))
                        continue;                        /* a heartbeat */
                if (delivered.again || item->entry.left) /* a note is no message: mail.left tells of it */
                        continue;
                struct inbox_message message =
                        delivered_message(delivery->account, delivery->folder, &delivered);
                json_t *data = inbox_message_json(&message);
                scoped(scoped_free) char *text = json_dumps(data, JSON_COMPACT);
                json_decref(data);
                if (!text)
                        abort(); /* as new_object */
                if (subscriber_wanting_offer(db, wanting, delivery->received, delivery->account, text,
                                             cause) < 0)
                        return -1;
        }
        return subscriber_wanting_end(db, wanting, delivery->received, cause);
}

static int record_work(struct store_write *write, struct database *db, struct cause *cause)
{
        struct delivery *delivery = container_of(write, struct delivery, write);
        const struct arrival *arrival = &delivery->arrival;
        scoped(subscriber_wanting_free) struct wanting wanting = { 0 };

        if (delivery->recording > delivery->recorded &&
            (record_items(delivery, db, cause) < 0 ||
             subscriber_wanting_find(db, delivery->account, &wanting, cause) < 0 ||
             offer_all(delivery, db, &wanting, cause) < 0))
                return -1;
        if (delivery->cursor_uid == 0 || delivery->recording < arrival->count)
                return 0;
        return fetched_move_cursor(db, delivery->account, delivery->folder, delivery->uidvalidity,
                                   delivery->cursor_uid, cause);
}

static void recorded(struct store_write *write, const struct cause *cause)
{
        struct delivery *delivery = container_of(write, struct delivery, write);

        if (cause) {
                maildir_doubt(delivery->account, delivery->folder);
                inbox_doubt(delivery->account);
                delivery_give_up(delivery, cause);
                return;
        }
        delivery->recorded = delivery->recording;
        if (delivery->recorded < delivery->arrival.count) {
                delivery_hand_on(delivery);
                return;
        }
        if (delivery->last_was_new && !delivery->give &&
            !delivery->reconcile) /* anew numbered, the order may be another */
                maildir_make_certain(delivery->account, delivery->folder);
        if (delivery->give)
                clean(delivery, answer_cleaned);
        else
                delivery_answer(delivery);
}

void delivery_record(struct delivery *delivery, size_t until)
{
        delivery->received = loop_wall();
        for (size_t i = delivery->recorded; i < until; i++)
                delivery->arrival.items[i].received = delivery->received;
        delivery->recording = until;
        delivery->write =
                (struct store_write){ .owner = &delivery->owner, .write = record_work, .done = recorded };
        store_write(&delivery->write);
}

/*
 * The end of a batch whose messages go to someone else (deliverTo) instead of into the Maildir: each that is
 * not known is given away, and its row committed before the next one is given, so that a crash can repeat one
 * message at most: the one that was taken and not recorded. The cursor follows after the last. What is
 * refused for good is placed in the Maildir; what is put off ends the batch, and stays at the server.
 */

/* The first one that is to be given. */
static size_t next_item(const struct delivery *delivery)
{
        size_t index = delivery->recorded;

        while (index < delivery->arrival.count && delivery->arrival.items[index].known)
                index++;
        return index;
}

/* File worker; those before it that are known are dropped here, beside the opening. */
static void open_work(struct job *job)
{
        struct delivery *delivery = container_of(job, struct delivery, job);
        struct arrival *arrival = &delivery->arrival;
        size_t index = next_item(delivery);

        for (size_t i = 0; i < index; i++)
                delivery_item_drop(arrival, &arrival->items[i]);
        delivery->given = openat(arrival->maildir.tmp, arrival->items[index].temporary,
                                 O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (delivery->given < 0)
                (void)cause_errno(&delivery->failure, errno, "cannot read a received message");
}

static void opened(struct job *job)
{
        struct delivery *delivery = container_of(job, struct delivery, job);
        const struct item *item = &delivery->arrival.items[next_item(delivery)];
        char id[INBOX_ID_SIZE];
        struct given given = { .fd = delivery->given,
                               .line_ends = item->line_ends,
                               .size = item->size,
                               .id = id,
                               .uid = item->entry.uidl[0] ? 0 : item->entry.uid,
                               .folder = delivery->folder,
                               .from = item->summary.from,
                               .subject = item->summary.subject,
                               .date = item->summary.date,
                               .message_id = item->summary.message_id };

        maildir_id(item->file, id);
        delivery->given = -1;
        if (given.fd < 0)
                delivery_give_up(delivery, &delivery->failure);
        else
                delivery->give(delivery->give_ctx, delivery, &given);
}

/* Entered once a message: after each row that was committed, until none is left. */
void delivery_hand_on(struct delivery *delivery)
{
        const struct cause *fault = store_fault();
        if (next_item(delivery) == delivery->arrival.count) {
                delivery_record(delivery, delivery->arrival.count);
                return;
        }
        if (fault) { /* its row could not be written: it would be given again with every try */
                delivery_give_up(delivery, fault);
                return;
        }
        /* a crash left it in the Maildir: refused before, or placed before deliverTo was set */
        if (delivery->arrival.items[next_item(delivery)].placed_in) {
                delivery_handed(delivery, HANDED_BACK, NULL);
                return;
        }
        delivery->job = (struct job){ .work = open_work, .done = opened };
        store_run_files(&delivery->job);
}

/* ---- the answer ---- */

static void place_work(struct job *job)
{
        struct delivery *delivery = container_of(job, struct delivery, job);

        delivery->failed = delivery_place_one(delivery, &delivery->arrival.items[next_item(delivery)]) < 0;
}

static void placed(struct job *job)
{
        struct delivery *delivery = container_of(job, struct delivery, job);

        if (delivery->failed)
                delivery_give_up(delivery, &delivery->failure);
        else
                delivery_record(delivery, next_item(delivery) + 1);
}

/* HANDED_ON: its row says so before the next one is given. HANDED_LATER ends the batch; what was recorded
 * before it stays. */
void delivery_handed(struct delivery *delivery, enum handed what, const struct cause *why)
{
        struct item *item = &delivery->arrival.items[next_item(delivery)];

        switch (what) {
        case HANDED_ON:
                item->handed_on = true;
                delivery_record(delivery, next_item(delivery) + 1);
                break;
        case HANDED_BACK:
                item->handed_back = true;
                delivery->job = (struct job){ .work = place_work, .done = placed };
                store_run_files(&delivery->job);
                break;
        case HANDED_LATER:
                delivery_give_up(delivery, why);
                break;
        }
}
