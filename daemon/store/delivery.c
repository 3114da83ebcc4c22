/* SPDX-License-Identifier: MIT */
/*
 * The loop's side of a delivery: gathers messages into pieces and keeps the file pool busy with one of them
 * at a time, in order. Small messages share a piece; a large one goes through many.
 */
#include "daemon/store/delivery.h"
#include "daemon/store/reserve.h"

#include "common/limits.h"

enum {
        PIECE_READY = 128 * KIB, /* worth a job */
        PIECE_SMALL = 64 * KIB,  /* up to this it grows, and has room for all of it then: nothing is copied */
        PIECE_STEPS = 4096,
};

static void work(struct job *job)
{
        struct delivery *delivery = container_of(job, struct delivery, job);

        delivery_arrival_work(delivery, delivery->working);
}

static bool is_ready(const struct delivery *delivery)
{
        const struct piece *piece = delivery->first;

        if (!piece)
                return false;
        return piece->next || delivery->ending || piece->bytes.len >= PIECE_READY ||
               piece->step_count >= PIECE_STEPS;
}

/* Begins the next piece; when all is done that will come, the end of the delivery. */
static void work_on(struct delivery *delivery)
{
        if (delivery->working)
                return;
        if (is_ready(delivery)) {
                delivery->working = delivery->first;
                delivery->first = delivery->working->next;
                if (!delivery->first)
                        delivery->last = NULL;
                store_run_files(&delivery->job);
        } else if (delivery->ending) {
                delivery_finish(delivery);
        }
}

static void worked(struct job *job)
{
        struct delivery *delivery = container_of(job, struct delivery, job);

        delivery->backlog -= delivery->working->bytes.len;
        delivery_piece_done(take(delivery->working));
        if (delivery->arrival.failed && !delivery->failed) {
                delivery->failed = true;
                delivery->failure = delivery->arrival.failure;
        }
        bool ending = delivery->ending;
        work_on(delivery);
        if (!ending && delivery->progress)
                delivery->progress(delivery->progress_ctx); /* may end the delivery */
}

struct delivery *delivery_new(const struct delivery_target *target)
{
        struct delivery *delivery = new_object(struct delivery);

        delivery->account = copy_text(target->account);
        delivery->owner = owner_of(target->account);
        delivery->key = owner_key(target->account);
        delivery->folder = copy_text(target->folder);
        delivery->uidvalidity = target->uidvalidity;
        delivery->tell_server = target->tell_server;
        delivery->again_is_known = target->again_is_known;
        delivery->deletes = target->deletes;
        if (target->file_into && file_rules_parse(target->file_into, &delivery->rules, NULL) < 0)
                delivery->rules = (struct file_rules){ 0 }; /* not reached: a property is checked */
        delivery->unrecorded = target->unrecorded;
        delivery->give = target->give;
        delivery->give_ctx = target->give_ctx;
        delivery->begun = loop_wall();
        delivery->job = (struct job){ .work = work, .done = worked };
        delivery_arrival_init(&delivery->arrival);
        delivery_spares_hold(&delivery->arrival);
        return delivery;
}

/* The piece being filled, with room for one more step. */
static struct piece *filling(struct delivery *delivery)
{
        struct piece *piece = delivery->last;

        if (!piece || piece->bytes.len >= DELIVERY_PIECE_MAX || piece->step_count >= PIECE_STEPS) {
                struct piece *fresh = delivery_piece_take();
                if (piece)
                        piece->next = fresh;
                else
                        delivery->first = fresh;
                delivery->last = piece = fresh;
        }
        if (piece->step_count == piece->step_size) {
                piece->step_size = piece->step_size ? 2 * piece->step_size : 8;
                piece->steps = new_resized(piece->steps, piece->step_size, sizeof *piece->steps);
        }
        return piece;
}

static void add_step(struct delivery *delivery, struct step step)
{
        struct piece *piece = filling(delivery);

        piece->steps[piece->step_count++] = step;
}

static int check(const struct delivery *delivery, struct cause *cause)
{
        if (delivery->failed && cause)
                *cause = delivery->failure;
        return delivery->failed ? -1 : 0;
}

int delivery_begin(struct delivery *delivery, const struct mailbox_entry *entry, struct cause *cause)
{
        int room = check(delivery, cause) < 0 ? -1 : reserve_fits(0, mailbox_rest_of(entry), cause);

        if (room != 0)
                return room;
        reserve_arrived(0, true);
        delivery_cancel_message(delivery);
        delivery->in_message = true;
        delivery->half_kept |= partial_is_kept(entry);
        delivery->bytes += entry->from;
        add_step(delivery, (struct step){ .kind = STEP_BEGIN, .entry = *entry });
        return 0;
}

static int put_bytes(struct buf *to, const uint8_t *bytes, size_t len)
{
        if (to->len + len > PIECE_SMALL && !buf_room(to, DELIVERY_PIECE_MAX - to->len))
                return -1;
        return buf_append(to, bytes, len);
}

int delivery_piece(struct delivery *delivery, const uint8_t *bytes, size_t len, struct cause *cause)
{
        if (check(delivery, cause) < 0)
                return -1;
        if (!delivery->in_message)
                return cause_set(cause, CAUSE_INTERNAL, "bytes of a message that has not begun");
        reserve_arrived(len, false);
        while (len) {
                struct piece *piece = filling(delivery);
                size_t room = DELIVERY_PIECE_MAX - piece->bytes.len;
                size_t part = len < room ? len : room;
                if (put_bytes(&piece->bytes, bytes, part) < 0)
                        return cause_set(cause, CAUSE_STORAGE, "no memory for a received message");
                struct step *last = piece->step_count ? &piece->steps[piece->step_count - 1] : NULL;
                if (last && last->kind == STEP_BYTES)
                        last->len += part;
                else
                        piece->steps[piece->step_count++] = (struct step){ .kind = STEP_BYTES, .len = part };
                delivery->backlog += part;
                delivery->bytes += part;
                bytes += part;
                len -= part;
        }
        work_on(delivery);
        return check(delivery, cause);
}

int delivery_end(struct delivery *delivery, struct cause *cause)
{
        if (check(delivery, cause) < 0)
                return -1;
        add_step(delivery, (struct step){ .kind = STEP_END, .odd = delivery->odd });
        delivery->odd = AS_ANNOUNCED;
        delivery->in_message = false;
        delivery->messages++;
        work_on(delivery);
        return 0;
}

void delivery_cancel_message(struct delivery *delivery)
{
        if (delivery->in_message)
                add_step(delivery, (struct step){ .kind = STEP_CANCEL });
        delivery->in_message = false;
}

void delivery_drop_message(struct delivery *delivery)
{
        if (delivery->in_message)
                add_step(delivery, (struct step){ .kind = STEP_DROP });
        delivery->in_message = false;
}

void delivery_is_odd(struct delivery *delivery, enum mailbox_odd odd)
{
        delivery->odd = (uint8_t)odd;
}

size_t delivery_backlog(const struct delivery *delivery)
{
        return delivery->backlog;
}

void delivery_on_progress(struct delivery *delivery, void (*progress)(void *ctx), void *ctx)
{
        delivery->progress = progress;
        delivery->progress_ctx = ctx;
}

size_t delivery_messages(const struct delivery *delivery)
{
        return delivery->messages;
}

uint64_t delivery_bytes(const struct delivery *delivery)
{
        return delivery->bytes;
}

void delivery_reconcile(struct delivery *delivery, bool reconcile)
{
        delivery->reconcile = reconcile;
}

void delivery_commit(struct delivery *delivery, uint32_t cursor_uid,
                     void (*done)(void *ctx, const struct delivered *messages, size_t count,
                                  const struct cause *cause),
                     void *ctx)
{
        delivery_cancel_message(delivery);
        delivery->cursor_uid = cursor_uid;
        delivery->done = done;
        delivery->ctx = ctx;
        delivery->ending = true;
        work_on(delivery);
}

void delivery_abandon(struct delivery *delivery)
{
        if (!delivery)
                return;
        while (delivery->first && !delivery->half_kept) {
                struct piece *piece = delivery->first;
                delivery->first = piece->next;
                delivery_piece_done(piece);
        }
        if (!delivery->first)
                delivery->last = NULL;
        delivery->ending = delivery->abandoned = true;
        if (delivery->half_kept)
                partial_keeping(true);
        work_on(delivery);
}
