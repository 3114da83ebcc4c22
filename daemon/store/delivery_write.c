/* SPDX-License-Identifier: MIT */
/*
 * Pieces of the stream into files in tmp/, with size, tag and header summary of each message. Size and tag
 * are of the message as it came; its file has LF for CRLF, until a LF without CR shows that it has to
 * be the same bytes. File pool.
 */
#include "daemon/store/content_tag.h"
#include "daemon/store/delivery.h"
#include "daemon/store/disk.h"
#include "daemon/store/reserve.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum {
        HALF_STEP = 2 * MIB, /* of a large message: then it is made safe as far as it has come, */
        HALF_SHARE = 4,      /* or after such a part of what is safe already: more is not lost by a kill */
        WRITE_BACK_STEP = 1 * MIB, /* bytes on their way to the disk that are worth a call */
};

void delivery_arrival_init(struct arrival *arrival)
{
        *arrival = (struct arrival){ .maildir = MAILDIR_CLOSED, .fd = -1 };
        buf_init(&arrival->head, HEADER_SUMMARY_READ);
}

static void fail(struct arrival *arrival, const struct cause *cause)
{
        if (arrival->failed)
                return;
        arrival->failed = true;
        arrival->failure = *cause;
}

static void fail_errno(struct arrival *arrival, const char *what)
{
        struct cause cause;

        (void)cause_errno(&cause, errno, "%s", what);
        fail(arrival, &cause);
}

static int open_file(struct delivery *delivery, const struct mailbox_entry *entry)
{
        struct arrival *arrival = &delivery->arrival;

        arrival->half[0] = '\0';
        if (partial_is_kept(entry)) {
                partial_of(delivery->key, delivery->folder, delivery->uidvalidity, entry, arrival->half);
                return partial_open(arrival->maildir.tmp, arrival->half, entry->from, arrival->now.temporary);
        }
        maildir_temporary_name(delivery->begun, arrival->now.temporary);
        return maildir_create(arrival->maildir.tmp, arrival->now.temporary);
}

/* Takes bytes of the message into account. */
static void count_bytes(struct arrival *arrival, const uint8_t *given, size_t len)
{
        size_t room = arrival->head.max - arrival->head.len;

        content_tag_add(arrival->tagging, given, len);
        if (buf_append(&arrival->head, given, len < room ? len : room) < 0)
                abort(); /* within its bound: as new_object */
        arrival->now.size += len;
}

/* How much of the file stands for the first `len` bytes that `lf` of it stand for when each LF is CRLF.
 * Between CR and LF: without the LF, and *cr. */
static size_t shortened(const uint8_t *lf, size_t lf_len, size_t len, bool *cr)
{
        size_t at = 0;

        *cr = false;
        for (size_t used = 0; at < lf_len && used < len && !*cr; at += !*cr) {
                used += lf[at] == '\n' ? 2 : 1;
                *cr = used > len;
        }
        return at;
}

/* What came of the message in an earlier session; what lies behind it goes. */
static int read_again(struct arrival *arrival, uint64_t size)
{
        uint8_t memory[32 * KIB], whole[2 * sizeof memory];
        off_t place = 0;
        bool lf = !partial_is_as_came(arrival->now.temporary);

        while (arrival->now.size < size) {
                ssize_t got = read(arrival->fd, memory, sizeof memory);
                if (got <= 0)
                        return -1;
                size_t used = (size_t)got, len = lf ? line_ends_lengthen(memory, used, whole) : used;
                if (len > size - arrival->now.size) {
                        len = (size_t)(size - arrival->now.size);
                        used = lf ? shortened(memory, used, len, &arrival->cr) : len;
                }
                count_bytes(arrival, lf ? whole : memory, len);
                place += (off_t)used;
        }
        arrival->kept = size;
        return ftruncate(arrival->fd, place) < 0 || lseek(arrival->fd, place, SEEK_SET) < 0 ? -1 : 0;
}

static void begin(struct delivery *delivery, const struct mailbox_entry *entry)
{
        struct arrival *arrival = &delivery->arrival;
        struct cause cause = { 0 };

        /* Later ones go by what the loop knows: what came before them is not to be lost. */
        if (!arrival->count && reserve_allows_fetching(&cause) < 0) {
                fail(arrival, &cause);
                return;
        }
        if (!arrival->opened) {
                if (maildir_open(delivery->account, true, &arrival->maildir, &cause) < 0) {
                        fail(arrival, &cause);
                        return;
                }
                arrival->opened = true;
        }
        arrival->now = (struct item){ .entry = *entry, .line_ends = LINE_ENDS_LF };
        arrival->cr = false;
        arrival->written_back = 0;
        arrival->fd = open_file(delivery, entry);
        if (arrival->fd < 0) {
                fail_errno(arrival, "cannot make a file for a received message");
                return;
        }
        if (arrival->half[0] && partial_is_as_came(arrival->now.temporary))
                arrival->now.line_ends = LINE_ENDS_AS_CAME;
        content_tag_begin(&arrival->tagging);
        buf_clear(&arrival->head);
        if (entry->from && read_again(arrival, entry->from) < 0)
                fail_errno(arrival, "cannot read what came of a message before");
}

/* All of it so far, with its line ends, into another file. */
static int write_as_came(struct arrival *arrival, int fd)
{
        uint8_t memory[32 * KIB], whole[2 * sizeof memory];
        ssize_t got;

        if (lseek(arrival->fd, 0, SEEK_SET) < 0)
                return -1;
        while ((got = read(arrival->fd, memory, sizeof memory)) > 0)
                if (disk_write(fd, whole, line_ends_lengthen(memory, (size_t)got, whole)) < 0)
                        return -1;
        return got < 0 ? -1 : 0;
}

/* A LF without CR: from here on the file is the same bytes as the message, from its beginning. */
static int go_on_as_came(struct arrival *arrival, time_t begun)
{
        char name[MAILDIR_NAME_SIZE];

        if (!arrival->half[0])
                maildir_temporary_name(begun, name);
        int fd = arrival->half[0] ? partial_open_as_came(arrival->maildir.tmp, arrival->half, name)
                                  : maildir_create(arrival->maildir.tmp, name);
        if (fd < 0)
                return -1;
        int written = write_as_came(arrival, fd);
        close_fd(&arrival->fd);
        (void)disk_unlink(arrival->maildir.tmp, arrival->now.temporary); /* maildir_sweep finds it later */
        arrival->fd = fd;
        memcpy(arrival->now.temporary, name, sizeof name);
        arrival->now.line_ends = LINE_ENDS_AS_CAME;
        arrival->kept = 0;
        return written;
}

/* The CR that was held back was none of a line end. */
static int write_held_back(struct arrival *arrival)
{
        bool held = arrival->cr;

        arrival->cr = false;
        return held ? disk_write(arrival->fd, "\r", 1) : 0;
}

static int write_bytes(struct arrival *arrival, time_t begun, uint8_t *given, size_t len)
{
        size_t taken = 0;

        if (arrival->now.line_ends == LINE_ENDS_LF) {
                if (len && given[0] != '\n' && write_held_back(arrival) < 0)
                        return -1;
                size_t lf = line_ends_shorten(given, len, &arrival->cr, &taken);
                if (disk_write(arrival->fd, given, lf) < 0 ||
                    (taken < len && go_on_as_came(arrival, begun) < 0))
                        return -1;
        }
        return disk_write(arrival->fd, given + taken, len - taken);
}

/* Begins now, so that a sync finds little left to wait for: only a hint. Small files cost more by it, each a
 * request of its own, than when they go to the disk together. */
static void write_back(struct arrival *arrival)
{
        if (arrival->now.size - arrival->written_back < WRITE_BACK_STEP)
                return;
        (void)sync_file_range(arrival->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
        arrival->written_back = arrival->now.size;
}

static bool is_worth_keeping(const struct arrival *arrival)
{
        uint64_t share = arrival->kept / HALF_SHARE;

        return arrival->half[0] &&
               arrival->now.size - arrival->kept >= (share > HALF_STEP ? share : HALF_STEP);
}

static void bytes(struct delivery *delivery, uint8_t *given, size_t len)
{
        struct arrival *arrival = &delivery->arrival;

        count_bytes(arrival, given, len);
        if (write_bytes(arrival, delivery->begun, given, len) < 0) {
                fail_errno(arrival, "cannot write a received message");
                return;
        }
        write_back(arrival);
        if (!is_worth_keeping(arrival))
                return;
        if (partial_keep(arrival->maildir.tmp, arrival->fd, arrival->now.size - arrival->cr,
                         arrival->now.temporary) < 0)
                fail_errno(arrival, "cannot sync a received message");
        arrival->kept = arrival->now.size;
}

/* The message is cut or not wanted: what is left behind is the beginning of a large one. */
static void drop(struct arrival *arrival)
{
        if (arrival->fd < 0)
                return;
        bool kept = arrival->half[0] && !arrival->failed &&
                    partial_keep(arrival->maildir.tmp, arrival->fd, arrival->now.size - arrival->cr,
                                 arrival->now.temporary) == 0;
        close_fd(&arrival->fd);
        if (kept)
                return;
        (void)disk_unlink(arrival->maildir.tmp, arrival->now.temporary); /* maildir_sweep finds it later */
}

/* A large message that is whole is a file like others: nobody goes on with it. */
static void no_longer_half(struct arrival *arrival, time_t now)
{
        char name[MAILDIR_NAME_SIZE];

        maildir_temporary_name(now, name);
        if (disk_rename(arrival->maildir.tmp, arrival->now.temporary, arrival->maildir.tmp, name) < 0)
                fail_errno(arrival, "cannot rename a received message");
        else
                memcpy(arrival->now.temporary, name, sizeof name);
        arrival->half[0] = '\0';
}

size_t delivery_note_head(const struct buf *head)
{
        const uint8_t *bytes = buf_bytes(head), *end = memmem(bytes, head->len, "\r\n\r\n", 4);

        return end ? (size_t)(end - bytes) : head->len;
}

static void end(struct delivery *delivery, uint8_t odd)
{
        struct arrival *arrival = &delivery->arrival;
        struct item *item = &arrival->now;

        item->entry.odd = odd;
        if (write_held_back(arrival) < 0)
                fail_errno(arrival, "cannot write a received message");
        if (arrival->half[0])
                no_longer_half(arrival, delivery->begun);
        if (arrival->failed)
                return;

        content_tag_end(arrival->tagging, item->tag);
        if (item->entry.left)
                content_tag_of(buf_bytes(&arrival->head), delivery_note_head(&arrival->head), item->tag);
        close_fd(&arrival->fd);
        const char *head = (const char *)buf_bytes(&arrival->head);
        header_summary_read(head, arrival->head.len, &item->summary);
        item->box = item->entry.left ? "" : file_rules_folder(&delivery->rules, head, arrival->head.len);
        if (arrival->count == arrival->size) {
                arrival->size = arrival->size ? 2 * arrival->size : 16;
                arrival->items = new_resized(arrival->items, arrival->size, sizeof *arrival->items);
        }
        arrival->items[arrival->count++] = *item;
}

void delivery_arrival_work(struct delivery *delivery, struct piece *piece)
{
        struct arrival *arrival = &delivery->arrival;
        uint8_t *at = (uint8_t *)(uintptr_t)buf_bytes(&piece->bytes); /* nobody else reads them after this */
        struct cause cause;

        if (piece->bytes.len && !arrival->failed && reserve_spares(piece->bytes.len, &cause) < 0)
                fail(arrival, &cause);
        for (size_t i = 0; i < piece->step_count && !arrival->failed; i++) {
                const struct step *step = &piece->steps[i];
                switch (step->kind) {
                case STEP_BEGIN:
                        begin(delivery, &step->entry);
                        break;
                case STEP_BYTES:
                        bytes(delivery, at, step->len);
                        at += step->len;
                        break;
                case STEP_END:
                        end(delivery, step->odd);
                        break;
                case STEP_CANCEL:
                        drop(arrival);
                        break;
                case STEP_DROP:
                        arrival->half[0] = '\0';
                        drop(arrival);
                        break;
                }
        }
}

void delivery_arrival_clean(struct arrival *arrival)
{
        drop(arrival);
        for (size_t i = 0; i < arrival->count; i++) {
                struct item *item = &arrival->items[i];
                if (item->temporary[0])
                        (void)disk_unlink(arrival->maildir.tmp,
                                          item->temporary); /* maildir_sweep finds it later */
                item->temporary[0] = '\0';
        }
}

void delivery_arrival_end(struct arrival *arrival)
{
        delivery_arrival_clean(arrival);
        for (size_t i = 0; i < arrival->count; i++) {
                struct item *item = &arrival->items[i];
                header_summary_free(&item->summary);
                free(item->known_file);
                free(item->placed_in);
        }
        arrival->count = 0;
        buf_free(&arrival->head);
        content_tag_free(&arrival->tagging);
        maildir_close(&arrival->maildir);
}
