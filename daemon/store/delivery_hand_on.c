/* SPDX-License-Identifier: MIT */
/*
 * The end of a batch whose messages go to someone else (deliverTo) instead of into the Maildir: each that is
 * not known is given away, and its row committed before the next one is given, so that a crash can repeat one
 * message at most: the one that was taken and not recorded. The cursor follows after the last. What is
 * refused for good is placed in the Maildir; what is put off ends the batch, and stays at the server.
 */
#include "daemon/store/delivery.h"
#include "daemon/store/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

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
