/* SPDX-License-Identifier: MIT */
/*
 * The end of a batch, in the crash-safe order of mail.md:
 * look up (reader: which are here already, which names) -> sync the files (sync pool; many by one call) ->
 * place (rename to new/, one sync of the folder) -> record (writer: rows and cursor, one commit) -> answer.
 * Each phase begins the next on the loop; a failure in any ends with nothing counted and tmp/ clean. Messages
 * that are handed on take another way after the look up: delivery_record.c.
 */
#include "daemon/store/box.h"
#include "daemon/store/delivery.h"
#include "daemon/store/delivery_unrecorded.h"
#include "daemon/store/disk.h"
#include "daemon/store/fetched_rows.h"
#include "daemon/store/inbox_scan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { RUN_WORTH_ASKING = 4 }; /* messages with ascending keys: one look tells whether any is known */

/* ---- place ---- */

void delivery_item_drop(struct arrival *arrival, struct item *item)
{
        if (item->temporary[0] && disk_unlink(arrival->maildir.tmp, item->temporary) == 0)
                item->temporary[0] = '\0'; /* else maildir_sweep finds it */
}

/* Into the folder that it is filed into. */
static int place_one(struct delivery *delivery, struct item *item, const struct maildir *into)
{
        struct arrival *arrival = &delivery->arrival;
        bool there = item->placed_in != NULL, fresh;

        fresh = !there && disk_rename_new(arrival->maildir.tmp, item->temporary, into->new, item->file) == 0;
        if (fresh)
                item->temporary[0] = '\0';
        else if (!there && errno != EEXIST)
                return cause_errno(&delivery->failure, errno, "cannot put a received message into place");
        else
                delivery_item_drop(arrival, item);
        if (item == &arrival->items[arrival->count - 1])
                delivery->last_was_new = fresh;
        return 0;
}

/* All items from `first` on that are filed into the same folder as that one. */
static int place_box(struct delivery *delivery, size_t first, size_t end)
{
        struct arrival *arrival = &delivery->arrival;
        const char *box = arrival->items[first].box;
        scoped(box_drop) struct box_entered at = BOX_NONE;

        if (box_enter(&at, delivery->account, box, true, &delivery->failure) < 0)
                return -1;
        for (size_t i = first; i < end; i++) {
                struct item *item = &arrival->items[i];
                if (!item->known && strcmp(item->box, box) == 0 && place_one(delivery, item, &at.maildir) < 0)
                        return -1;
        }
        inbox_change_end(at.place, &at.maildir, &at.change);
        if (disk_sync(at.maildir.new) < 0)
                return cause_errno(&delivery->failure, errno, "cannot sync the Maildir of %s", at.place);
        return 0;
}

static bool is_first_of_box(const struct arrival *arrival, size_t index)
{
        for (size_t i = 0; i < index; i++)
                if (!arrival->items[i].known && strcmp(arrival->items[i].box, arrival->items[index].box) == 0)
                        return false;
        return true;
}

/* Files get their names in new/ after their bytes are synced, box by box, with one sync of each folder: a
 * name that survives a power cut leads to a whole message. */
static int place_all(struct delivery *delivery)
{
        struct arrival *arrival = &delivery->arrival;

        delivery->last_was_new = false;
        for (size_t i = 0; i < arrival->count; i++) {
                if (arrival->items[i].known)
                        delivery_item_drop(arrival, &arrival->items[i]);
                else if (is_first_of_box(arrival, i) && place_box(delivery, i, arrival->count) < 0)
                        return -1;
        }
        return 0;
}

static void place_work(struct job *job)
{
        struct delivery *delivery = container_of(job, struct delivery, job);

        delivery->failed = place_all(delivery) < 0;
}

/* Recorded next. Where placing failed half way, some files stand without a row: what is known of the folder
 * is doubted, and the next delivery looks for them. */
static void placed(struct job *job)
{
        struct delivery *delivery = container_of(job, struct delivery, job);

        if (!delivery->failed) {
                delivery_record(delivery, delivery->arrival.count);
                return;
        }
        maildir_doubt(delivery->account, delivery->folder);
        inbox_doubt(delivery->account);
        delivery_give_up(delivery, &delivery->failure);
}

static void place(struct delivery *delivery)
{
        delivery->job = (struct job){ .work = place_work, .done = placed };
        store_run_files(&delivery->job);
}

/* ---- sync ---- */

struct sync {
        struct delivery *delivery;
        size_t first, step; /* which items */
        int error;
        struct job job;
};

/* Opened anew, since thousands of descriptors are not kept open; what was written through another one is
 * synced by this one as well (POSIX fsync is of the file). */
static int sync_item(const struct arrival *arrival, const struct item *item)
{
        scoped(scoped_close) int fd =
                openat(arrival->maildir.tmp, item->temporary, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

        return fd >= 0 && disk_sync_data(fd) == 0 ? 0 : errno;
}

int delivery_place_one(struct delivery *delivery, struct item *item)
{
        const struct arrival *arrival = &delivery->arrival;
        size_t index = (size_t)(item - arrival->items);
        int error = sync_item(arrival, item);

        if (error)
                return cause_errno(&delivery->failure, error, "cannot sync a received message");
        return place_box(delivery, index, index + 1);
}

/* Several threads: a journaling file system commits what they wait for together. */
static void sync_work(struct job *job)
{
        struct sync *sync = container_of(job, struct sync, job);
        const struct arrival *arrival = &sync->delivery->arrival;

        for (size_t i = sync->first; i < arrival->count && !sync->error; i += sync->step)
                if (!arrival->items[i].known)
                        sync->error = sync_item(arrival, &arrival->items[i]);
}

/* On the loop, once a thread; the last one goes on. */
static void synced(struct job *job)
{
        struct sync *sync = container_of(job, struct sync, job);
        struct delivery *delivery = sync->delivery;

        if (sync->error && !delivery->failed) {
                delivery->failed = true;
                (void)cause_errno(&delivery->failure, sync->error, "cannot sync a received message");
        }
        free(sync);
        if (--delivery->syncing)
                return;
        if (delivery->failed)
                delivery_give_up(delivery, &delivery->failure);
        else
                place(delivery);
}

static void sync_each(struct delivery *delivery)
{
        size_t count = delivery->arrival.count;
        size_t jobs = count < STORE_SYNC_THREADS ? count : STORE_SYNC_THREADS;

        delivery->syncing = (unsigned)jobs;
        for (size_t i = 0; i < jobs; i++) {
                struct sync *sync = new_object(struct sync);
                *sync = (struct sync){ .delivery = delivery,
                                       .first = i,
                                       .step = jobs,
                                       .job = { .work = sync_work, .done = synced } };
                store_run_sync(&sync->job);
        }
}

static void sync_all_work(struct job *job)
{
        struct delivery *delivery = container_of(job, struct delivery, job);

        delivery->synced = disk_sync_all(delivery->arrival.maildir.tmp);
        if (delivery->synced < 0)
                (void)cause_errno(&delivery->failure, errno, "cannot sync a received message");
}

static void synced_all(struct job *job)
{
        struct delivery *delivery = container_of(job, struct delivery, job);

        if (delivery->synced < 0)
                delivery_give_up(delivery, &delivery->failure);
        else if (delivery->synced == 0)
                sync_each(delivery);
        else
                place(delivery);
}

/* The folder tmp/ was opened before the first byte of the batch was written: an error since then is told. */
static void sync_all(struct delivery *delivery)
{
        const struct arrival *arrival = &delivery->arrival;
        size_t fresh = 0;

        for (size_t i = 0; i < arrival->count; i++)
                fresh += !arrival->items[i].known;
        if (fresh < DISK_SYNC_TOGETHER) {
                sync_each(delivery);
                return;
        }
        delivery->job = (struct job){ .work = sync_all_work, .done = synced_all };
        store_run_sync(&delivery->job);
}

/* ---- look up ---- */

/* Those of a batch by the hash of their UIDL: 1 + the number of the last one, and of the one before each. */
struct twins {
        size_t *last, mask, *before;
};

static void twins_init(struct twins *twins, size_t count)
{
        while (twins->mask < count)
                twins->mask = 2 * twins->mask + 1;
        twins->last = new_zeroed(twins->mask + 1, sizeof *twins->last);
        twins->before = new_zeroed(count, sizeof *twins->before);
}

static size_t *twins_of(const struct twins *twins, const struct item *item)
{
        return &twins->last[text_hash(item->entry.uidl) & twins->mask];
}

static void twins_add(struct twins *twins, const struct item *item, size_t index)
{
        size_t *last = twins_of(twins, item);

        twins->before[index] = *last;
        *last = index + 1;
}

static void twins_free(struct twins *twins)
{
        free(twins->last);
        free(twins->before);
}

/* Two messages of one batch under the same UIDL: the same one sent twice, of which a row tells and no file,
 * or another one (a server at fault), which gets a name of its own. */
static bool is_twin(struct arrival *arrival, size_t index, const struct twins *twins)
{
        struct item *item = &arrival->items[index];

        if (!item->entry.uidl[0])
                return false;
        for (size_t i = *twins_of(twins, item); i; i = twins->before[i - 1]) {
                const struct item *other = &arrival->items[i - 1];
                if (strcmp(other->entry.uidl, item->entry.uidl) != 0)
                        continue;
                if (!other->recorded && item->generation <= other->generation)
                        item->generation = other->generation + 1;
                if (!item->known_file && memcmp(other->tag, item->tag, sizeof item->tag) == 0)
                        item->known_file = copy_text(delivery_item_file(other));
        }
        return item->known_file != NULL;
}

/* A UIDL that is known: of this very message, or of another one (a server at fault, in two batches). */
static int look_up_copy(const struct arrival *arrival, struct item *item, const struct fetched_key *key,
                        struct database *db, struct cause *cause)
{
        char *file = NULL;
        int found = delivery_content_find(arrival, item, key, fetched_find_copy, db, &file, cause);

        if (found < 0)
                return -1;
        free(item->known_file);
        item->known_file = file;
        if (!found) {
                item->known = item->recorded = false;
                item->generation++;
        }
        return 0;
}

/* By its content, with what has come under another number: of a folder that is numbered anew, or was since
 * the message was first looked for; and what went from the list and is there again. */
static bool is_compared(const struct delivery *delivery, const struct item *item)
{
        bool came_before = delivery->again_is_known && item->generation > 0 && !item->recorded;
        bool outstanding = item->entry.missing && !item->entry.uidl[0];

        return delivery->reconcile || came_before || outstanding;
}

/* Messages of this batch that stand for one of those which were left at the server. */
static int come_in_batch(const struct delivery *delivery, size_t index)
{
        const struct item *items = delivery->arrival.items;
        int count = 0;

        for (size_t i = 0; i < index; i++)
                count += items[i].was_left && memcmp(items[i].tag, items[index].tag, CONTENT_TAG_SIZE) == 0;
        return count;
}

static int look_up_content(struct delivery *delivery, size_t index, const struct fetched_key *key,
                           struct database *db, struct cause *cause)
{
        struct item *item = &delivery->arrival.items[index];
        fetched_finder *find = delivery->deletes ? fetched_find_left : fetched_find_digest;
        char *file = NULL;
        int found = delivery_content_find(&delivery->arrival, item, key, find, db, &file, cause);

        if (found < 0)
                return -1;
        item->was_left = delivery->deletes && found > 0 && found > come_in_batch(delivery, index);
        item->known = item->was_left || (!delivery->deletes && found);
        if (item->known)
                item->known_file = take(file);
        free(file);
        return 0;
}

/* That of a file without a row which holds the same, else a new one. */
static void name_it(const struct delivery *delivery, struct item *item, const struct fetched_key *key,
                    struct unrecorded *unrecorded)
{
        maildir_name(delivery->key, delivery->folder, delivery->uidvalidity, key->uid, key->uidl,
                     item->generation, item->file);
        const char *there = item->known || !unrecorded ? NULL : unrecorded_take(unrecorded, item->tag);
        if (there)
                (void)snprintf(item->file, sizeof item->file, "%s", there); /* ours: as long as any */
}

/* Outcomes: known (a row tells, the file is dropped), recorded under a new generation (same UIDL, another
 * message), or new, with the name that it will have. Nothing is written here. */
static int look_up_one(struct delivery *delivery, size_t index, bool any, struct unrecorded *unrecorded,
                       const struct twins *twins, struct database *db, struct cause *cause)
{
        struct item *item = &delivery->arrival.items[index];
        struct fetched_key key = delivery_key(delivery, item);
        struct fetched_row row = { 0 };

        if (any && fetched_find(db, &key, &row, cause) < 0)
                return -1;
        item->generation = row.generation;
        item->known_file = row.file;
        item->known = item->recorded = row.known;
        if (row.known && row.left_size && !item->entry.left) { /* known was the note, here is the message */
                item->known = item->recorded = false;
                item->generation++;
                free(take(item->known_file));
        }
        /* what came before of one that was not as announced may be another content */
        if (item->known && (item->entry.uidl[0] || item->entry.missing) &&
            look_up_copy(&delivery->arrival, item, &key, db, cause) < 0)
                return -1;
        if (item->known)
                return 0;
        item->known = is_twin(&delivery->arrival, index, twins);
        if (!item->known && is_compared(delivery, item) &&
            look_up_content(delivery, index, &key, db, cause) < 0)
                return -1;
        name_it(delivery, item, &key, unrecorded);
        return 0;
}

/* What is to be looked for among the files without a row; NULL: nothing. */
static struct unrecorded *unrecorded_of(const struct delivery *delivery)
{
        return delivery->reconcile && delivery->look_in_cur && !delivery->give ? delivery->unrecorded : NULL;
}

/* Up to which item they go up, from number `first` on. A server that answers several commands side by side
 * sends runs. */
static size_t run_end(const struct delivery *delivery, size_t first, struct fetched_range *range)
{
        size_t until = first;

        for (; until < delivery->arrival.count; until++) {
                struct fetched_key key = delivery_key(delivery, &delivery->arrival.items[until]);
                if (!fetched_range_go_on(range, &key))
                        break;
        }
        return until;
}

static int look_up_work(struct store_read *read, struct database *db, struct cause *cause)
{
        struct delivery *delivery = container_of(read, struct delivery, read);
        scoped(twins_free) struct twins twins = { 0 };
        struct unrecorded *unrecorded = unrecorded_of(delivery);

        twins_init(&twins, delivery->arrival.count);
        for (size_t i = 0, until; i < delivery->arrival.count; i = until) {
                struct fetched_range range = { 0 };
                until = run_end(delivery, i, &range);
                int any = until - i < RUN_WORTH_ASKING ? 1 : fetched_range_has(db, &range, cause);
                if (any < 0)
                        return -1;
                for (size_t k = i; k < until; k++) {
                        if (look_up_one(delivery, k, any, unrecorded, &twins, db, cause) < 0)
                                return -1;
                        twins_add(&twins, &delivery->arrival.items[k], k);
                }
        }
        return 0;
}

static void go_on(struct delivery *delivery)
{
        if (delivery->give)
                delivery_hand_on(delivery);
        else
                sync_all(delivery);
}

/* ---- files that a crash left ---- */

/* A crash came between file and row: the file is there under the very name, so the message is not placed
 * again but recorded. */
static void note_placed(struct delivery *delivery, const char *box, const struct maildir_listing *present)
{
        struct arrival *arrival = &delivery->arrival;

        for (size_t i = 0; i < arrival->count && present->count; i++) {
                struct item *item = &arrival->items[i];
                if (item->known || item->placed_in || !maildir_find(present, item->file))
                        continue;
                item->placed_in = copy_text(box);
                item->box = item->placed_in;
        }
}

static int look_in_folder(struct delivery *delivery, const char *box, int folder)
{
        const struct arrival *arrival = &delivery->arrival;
        scoped(maildir_listing_free) struct maildir_listing names = { 0 };

        names.files = new_zeroed(arrival->count, sizeof *names.files);
        for (size_t i = 0; i < arrival->count; i++) {
                const struct item *item = &arrival->items[i];
                if (!item->known && !item->placed_in)
                        names.files[names.count++] = (struct maildir_file){
                                .name = copy_text(item->file),
                                .base = maildir_base_length(item->file),
                        };
        }
        maildir_listing_sort(&names);
        if (maildir_keep_present(folder, &names) < 0)
                return -1;
        note_placed(delivery, box, &names);
        return 0;
}

static void look_in_box(void *ctx, const char *box)
{
        struct delivery *delivery = ctx;
        scoped(scoped_free) char *place = maildir_place(delivery->account, box);
        scoped(maildir_close) struct maildir maildir = MAILDIR_CLOSED;

        if (delivery->failed || maildir_open(place, false, &maildir, NULL) <= 0)
                return;
        if (look_in_folder(delivery, box, maildir.new) < 0 || look_in_folder(delivery, box, maildir.cur) < 0)
                delivery->failed =
                        cause_errno(&delivery->failure, errno, "cannot read the Maildir of %s", place) < 0;
}

/* By what rules it was placed does not count: they may be others since. */
static void look_work(struct job *job)
{
        struct delivery *delivery = container_of(job, struct delivery, job);

        maildir_each_box(delivery->account, look_in_box, delivery);
}

static void looked(struct job *job)
{
        struct delivery *delivery = container_of(job, struct delivery, job);
        const struct item *last = &delivery->arrival.items[delivery->arrival.count - 1];

        if (delivery->failed) {
                delivery_give_up(delivery, &delivery->failure);
                return;
        }
        if (delivery->give && !last->known && !last->placed_in)
                maildir_make_certain(delivery->account, delivery->folder);
        go_on(delivery);
}

static void looked_up(struct store_read *read, const struct cause *cause)
{
        struct delivery *delivery = container_of(read, struct delivery, read);

        if (cause) {
                delivery_give_up(delivery, cause);
        } else if (delivery->look_in_cur) {
                delivery->job = (struct job){ .work = look_work, .done = looked };
                store_run_files(&delivery->job);
        } else {
                go_on(delivery);
        }
}

static void look_up(void *ctx, const struct cause *cause)
{
        struct delivery *delivery = ctx;

        if (cause) {
                delivery_give_up(delivery, cause);
                return;
        }
        delivery->read = (struct store_read){ .read = look_up_work, .done = looked_up };
        store_read(&delivery->read);
}

/* All pieces are in tmp/. From here: look for what a crash left, look up, hand on or sync, place, record;
 * each step on its own thread, the answers on the loop, one after the other. */
void delivery_finish(struct delivery *delivery)
{
        if (delivery->abandoned || delivery->failed) {
                delivery_give_up(delivery, &delivery->failure);
        } else if (delivery->arrival.count) {
                delivery->look_in_cur = !maildir_is_certain(delivery->account, delivery->folder);
                struct unrecorded *unrecorded = unrecorded_of(delivery);
                if (unrecorded && !unrecorded->read)
                        unrecorded_look(delivery->account, unrecorded, look_up, delivery);
                else
                        look_up(delivery, NULL);
        } else if (delivery->cursor_uid) {
                delivery_record(delivery, 0);
        } else {
                loop_later(delivery_answer, delivery);
        }
}
