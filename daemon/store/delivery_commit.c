/* SPDX-License-Identifier: MIT */
/*
 * The end of a batch, in the crash-safe order of mail.md:
 * look up (reader: which are here already, which names) -> sync the files (all at once on the sync pool) ->
 * place (rename to new/, one sync of the folder) -> record (writer: rows and cursor, one commit) -> answer.
 * Each phase begins the next on the loop; a failure in any ends with nothing counted and tmp/ clean.
 */
#include "daemon/store/delivery.h"

#include "common/names.h"
#include "daemon/store/disk.h"
#include "daemon/store/seen_rows.h"
#include "daemon/store/subscriber_rows.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static struct seen_key key_of(const struct delivery *delivery, const struct item *item)
{
        return seen_key_of(delivery->account, delivery->folder, delivery->uidvalidity, &item->entry);
}

static const char *file_of(const struct item *item)
{
        return item->known ? item->known_file : item->file;
}

/* ---- answer ---- */

static void free_delivery(struct delivery *delivery)
{
        free(delivery->account);
        free(delivery->folder);
        free(delivery);
}

static struct delivered delivered_of(const struct delivery *delivery, const struct item *item)
{
        const char *file = file_of(item);

        return (struct delivered){ .entry = item->entry,
                                   .file = (char *)(uintptr_t)(file ? file : ""),
                                   .size = item->size,
                                   .received = delivery->received,
                                   .from = item->facts.from,
                                   .subject = item->facts.subject,
                                   .date = item->facts.date,
                                   .message_id = item->facts.message_id,
                                   .again = item->known };
}

static void answer(struct delivery *delivery)
{
        const struct arrival *arrival = &delivery->arrival;
        struct delivered *messages = new_zeroed(arrival->count + 1, sizeof *messages);

        for (size_t i = 0; i < arrival->count; i++) {
                messages[i] = delivered_of(delivery, &arrival->items[i]);
                hex_print(arrival->items[i].digest, sizeof arrival->items[i].digest, messages[i].sha256);
        }
        delivery->done(delivery->ctx, messages, arrival->count, NULL);
        free(messages);
        arrival_end(&delivery->arrival); /* tmp/ is empty by now: this only closes and frees */
        free_delivery(delivery);
}

static void clean_work(struct job *job)
{
        arrival_end(&container_of(job, struct delivery, job)->arrival);
}

static void clean_done(struct job *job)
{
        struct delivery *delivery = container_of(job, struct delivery, job);

        if (delivery->abandoned && delivery->half_kept)
                half_keeping(false);
        if (!delivery->abandoned)
                delivery->done(delivery->ctx, NULL, 0, &delivery->failure);
        free_delivery(delivery);
}

/* Ends without counting anything; by the pool, since there may be files to remove. */
static void clean(struct delivery *delivery)
{
        delivery->job = (struct job){ .work = clean_work, .done = clean_done };
        store_run_files(&delivery->job);
}

static void give_up(struct delivery *delivery, const struct cause *cause)
{
        if (cause != &delivery->failure)
                delivery->failure = *cause;
        clean(delivery);
}

/* ---- record ---- */

static int record_item(const struct delivery *delivery, const struct item *item, struct database *db,
                       struct cause *cause)
{
        struct seen_key key = key_of(delivery, item);
        struct seen_message message = { .generation = item->generation,
                                        .told = !delivery->tell_server,
                                        .received = delivery->received,
                                        .file = file_of(item),
                                        .size = item->size,
                                        .digest = item->digest,
                                        .from = item->facts.from,
                                        .subject = item->facts.subject,
                                        .date = item->facts.date,
                                        .message_id = item->facts.message_id };

        return item->recorded ? 0 : seen_record(db, &key, &message, cause);
}

/* What named subscribers are told, in the same commit: no message without its event, no event without its message. */
static int offer_all(const struct delivery *delivery, struct database *db, struct wanting *wanting, struct cause *cause)
{
        const struct arrival *arrival = &delivery->arrival;

        for (size_t i = 0; i < arrival->count && wanting->count; i++) {
                const struct item *item = &arrival->items[i];
                struct delivered delivered = delivered_of(delivery, item);
                if (delivered.again)
                        continue;
                json_t *data = delivered_json(delivery->account, delivery->folder, &delivered);
                scoped(scoped_free) char *text = json_dumps(data, JSON_COMPACT);
                json_decref(data);
                if (!text)
                        abort(); /* as new_object */
                if (wanting_offer(db, wanting, delivery->received, delivery->account, text, cause) < 0)
                        return -1;
        }
        return wanting_end(db, wanting, delivery->received, cause);
}

static int record_work(struct store_write *write, struct database *db, struct cause *cause)
{
        struct delivery *delivery = container_of(write, struct delivery, write);
        const struct arrival *arrival = &delivery->arrival;
        scoped(wanting_free) struct wanting wanting = { 0 };

        for (size_t i = 0; i < arrival->count; i++)
                if (record_item(delivery, &arrival->items[i], db, cause) < 0)
                        return -1;
        if (arrival->count && (wanting_find(db, delivery->account, &wanting, cause) < 0 ||
                               offer_all(delivery, db, &wanting, cause) < 0))
                return -1;
        if (delivery->cursor_uid == 0)
                return 0;
        return seen_move_cursor(db, delivery->account, delivery->folder, delivery->uidvalidity,
                                delivery->cursor_uid, cause);
}

static void recorded(struct store_write *write, const struct cause *cause)
{
        struct delivery *delivery = container_of(write, struct delivery, write);

        if (cause) {
                maildir_doubt(delivery->account, delivery->folder);
                give_up(delivery, cause);
                return;
        }
        if (delivery->last_was_new)
                maildir_make_certain(delivery->account, delivery->folder);
        answer(delivery);
}

static void record(struct delivery *delivery)
{
        delivery->received = loop_wall();
        delivery->write = (struct store_write){ .write = record_work, .done = recorded };
        store_write(&delivery->write);
}

/* ---- place ---- */

static void drop_temporary(struct arrival *arrival, struct item *item)
{
        if (disk_unlink(arrival->maildir.tmp, item->temporary) == 0)
                item->temporary[0] = '\0'; /* else maildir_sweep finds it */
}

static int place_one(struct delivery *delivery, struct item *item, const struct maildir_listing *cur)
{
        struct arrival *arrival = &delivery->arrival;

        bool there = maildir_find(cur, item->file) != NULL;

        if (!there &&
            disk_rename_new(arrival->maildir.tmp, item->temporary, arrival->maildir.new, item->file) == 0) {
                item->temporary[0] = '\0';
                delivery->last_was_new = true;
                return 0;
        }
        if (!there && errno != EEXIST)
                return cause_errno(&delivery->failure, errno, "cannot put a received message into place");
        delivery->last_was_new = false;
        drop_temporary(arrival, item);
        return 0;
}

static int place_all(struct delivery *delivery)
{
        struct arrival *arrival = &delivery->arrival;
        scoped(maildir_listing_free) struct maildir_listing cur = { 0 };

        if (delivery->look_in_cur && maildir_list(arrival->maildir.cur, false, &cur) < 0)
                return cause_errno(&delivery->failure, errno, "cannot read the Maildir of %s",
                                   delivery->account);
        for (size_t i = 0; i < arrival->count; i++) {
                struct item *item = &arrival->items[i];
                if (item->known)
                        drop_temporary(arrival, item);
                else if (place_one(delivery, item, &cur) < 0)
                        return -1;
        }
        if (disk_sync(arrival->maildir.new) < 0)
                return cause_errno(&delivery->failure, errno, "cannot sync the Maildir of %s",
                                   delivery->account);
        return 0;
}

static void place_work(struct job *job)
{
        struct delivery *delivery = container_of(job, struct delivery, job);

        delivery->failed = place_all(delivery) < 0;
}

static void placed(struct job *job)
{
        struct delivery *delivery = container_of(job, struct delivery, job);

        if (!delivery->failed) {
                record(delivery);
                return;
        }
        maildir_doubt(delivery->account, delivery->folder);
        give_up(delivery, &delivery->failure);
}

static void place(struct delivery *delivery)
{
        delivery->look_in_cur = !maildir_is_certain(delivery->account, delivery->folder);
        delivery->job = (struct job){ .work = place_work, .done = placed };
        store_run_files(&delivery->job);
}

/* ---- sync ---- */

struct sync {
        struct delivery *delivery;
        size_t first, step;      /* which items */
        int error;
        struct job job;
};

static int sync_item(const struct arrival *arrival, const struct item *item)
{
        scoped(scoped_close) int fd =
                openat(arrival->maildir.tmp, item->temporary, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

        return fd >= 0 && disk_sync_data(fd) == 0 ? 0 : errno;
}

static void sync_work(struct job *job)
{
        struct sync *sync = container_of(job, struct sync, job);
        const struct arrival *arrival = &sync->delivery->arrival;

        for (size_t i = sync->first; i < arrival->count && !sync->error; i += sync->step)
                if (!arrival->items[i].known)
                        sync->error = sync_item(arrival, &arrival->items[i]);
}

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
                give_up(delivery, &delivery->failure);
        else
                place(delivery);
}

static void sync_all(struct delivery *delivery)
{
        size_t count = delivery->arrival.count;
        size_t jobs = count < STORE_SYNC_THREADS ? count : STORE_SYNC_THREADS;

        delivery->syncing = (unsigned)jobs;
        for (size_t i = 0; i < jobs; i++) {
                struct sync *sync = new_object(struct sync);
                *sync = (struct sync){ .delivery = delivery, .first = i, .step = jobs,
                                       .job = { .work = sync_work, .done = synced } };
                store_run_sync(&sync->job);
        }
}

/* ---- look up ---- */

/* Two messages of one batch under the same UIDL: the same one sent twice, of which a row tells and no file, or
 * another one (a server at fault), which gets a name of its own. */
static bool is_twin(struct arrival *arrival, size_t index)
{
        struct item *item = &arrival->items[index];

        for (size_t i = 0; i < index && item->entry.uidl[0]; i++) {
                const struct item *other = &arrival->items[i];
                if (strcmp(other->entry.uidl, item->entry.uidl) != 0)
                        continue;
                if (!other->recorded && item->generation <= other->generation)
                        item->generation = other->generation + 1;
                if (!item->known_file && memcmp(other->digest, item->digest, sizeof item->digest) == 0)
                        item->known_file = copy_text(file_of(other));
        }
        return item->known_file != NULL;
}

/* A UIDL that is known: of this very message, or of another one (a server at fault, in two batches). */
static int look_up_copy(struct item *item, const struct seen_key *key, struct database *db, struct cause *cause)
{
        char *file = NULL;
        int found = seen_find_copy(db, key, item->digest, &file, cause);

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

static int look_up_one(struct delivery *delivery, size_t index, struct database *db, struct cause *cause)
{
        struct item *item = &delivery->arrival.items[index];
        struct seen_key key = key_of(delivery, item);
        struct seen_row row;

        if (seen_find(db, &key, &row, cause) < 0)
                return -1;
        item->generation = row.generation;
        item->known_file = row.file;
        item->known = item->recorded = row.known;
        if (item->known && item->entry.uidl[0] && look_up_copy(item, &key, db, cause) < 0)
                return -1;
        if (item->known)
                return 0;
        item->known = is_twin(&delivery->arrival, index);
        if (!item->known && delivery->reconcile) {
                if (seen_find_digest(db, &key, item->digest, &item->known_file, cause) < 0)
                        return -1;
                item->known = item->known_file != NULL;
        }
        maildir_name(delivery->account, delivery->folder, delivery->uidvalidity, key.uid, key.uidl,
                     item->generation, item->file);
        return 0;
}

static int look_up_work(struct store_read *read, struct database *db, struct cause *cause)
{
        struct delivery *delivery = container_of(read, struct delivery, read);

        for (size_t i = 0; i < delivery->arrival.count; i++)
                if (look_up_one(delivery, i, db, cause) < 0)
                        return -1;
        return 0;
}

static void looked_up(struct store_read *read, const struct cause *cause)
{
        struct delivery *delivery = container_of(read, struct delivery, read);

        if (cause)
                give_up(delivery, cause);
        else
                sync_all(delivery);
}

static void answer_later(void *ctx)
{
        answer(ctx);
}

void delivery_finish(struct delivery *delivery)
{
        if (delivery->abandoned || delivery->failed) {
                clean(delivery);
        } else if (delivery->arrival.count) {
                delivery->read = (struct store_read){ .read = look_up_work, .done = looked_up };
                store_read(&delivery->read);
        } else if (delivery->cursor_uid) {
                record(delivery);
        } else {
                loop_later(answer_later, delivery);
        }
}
