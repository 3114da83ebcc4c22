/* SPDX-License-Identifier: MIT */
/* Messages on their way in; see spool.h. A piece that is written belongs to its job, and so does the file
 * meanwhile. */
#include "daemon/smtpd/spool.h"

#include "common/limits.h"
#include "daemon/loop.h"
#include "daemon/store/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* Several threads, since one disk operation may stall; one message never has two pieces under way, so its
 * bytes stay in order. */
enum { THREADS = 4, PIECE_MOST = 8 * MIB };

struct spool_piece {
        struct job job;
        handle_id spool;
        char *folder; /* where the file is made */
        int fd;
        struct buf bytes;
        struct cause cause;
};

struct spool {
        handle_id self;
        struct buf memory;
        int fd; /* -1: none yet, or a piece has it */
        /* A piece is under way: `memory` collects the next one meanwhile. */
        bool busy;
        struct cause fault;
        void (*written)(void *ctx);
        void *ctx;
};

static struct {
        struct workers *threads;
        char *folder;
} spools;

void spools_open(const char *state_directory)
{
        spools.folder = text_of("%s/spool", state_directory);
        spools.threads = workers_new("smtp-spool", THREADS);
}

/* A thread that hangs on a sick disk is left behind after a moment; its piece is lost with the process, and
 * no client was told that it is safe. */
void spools_close(void)
{
        workers_abandon(take(spools.threads));
        free(take(spools.folder));
}

int64_t spools_stuck_for(void)
{
        return spools.threads ? workers_stuck_for(spools.threads) : 0;
}

struct spool *spool_new(void (*written)(void *ctx), void *ctx)
{
        struct spool *spool = new_object(struct spool);

        *spool = (struct spool){ .memory = { .max = PIECE_MOST }, .fd = -1, .written = written, .ctx = ctx };
        spool->self = handle_new(spool);
        return spool;
}

/* A piece that is under way finds the handle dropped and closes the file itself. */
void spool_free(struct spool *spool)
{
        if (!spool)
                return;
        handle_drop(&spool->self);
        buf_free(&spool->memory);
        close_fd(&spool->fd);
        free(spool);
}

void spool_add(struct spool *spool, const uint8_t *bytes, size_t len)
{
        if (buf_append(&spool->memory, bytes, len) < 0) /* the owner reads far less before it writes */
                (void)cause_set(&spool->fault, CAUSE_INTERNAL, "a piece of the message is too large");
}

/* ---- writing ---- */

/* In a thread. The file has no name: after a kill -9 the kernel frees it, and nobody else can open it
 * meanwhile. It is not synced: the queue does that before the message is accepted. */
static void write_piece(struct job *job)
{
        struct spool_piece *piece = container_of(job, struct spool_piece, job);

        if (piece->fd < 0)
                piece->fd = open(piece->folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        if (piece->fd < 0)
                (void)cause_errno(&piece->cause, errno, "cannot make a file in %s", piece->folder);
        else if (disk_write(piece->fd, buf_bytes(&piece->bytes), piece->bytes.len) < 0)
                (void)cause_errno(&piece->cause, errno, "cannot write the message to the spool");
}

/* On the loop. The owner may have gone; if not, it gets the file back before it is called. */
static void piece_done(struct job *job)
{
        struct spool_piece *piece = container_of(job, struct spool_piece, job);
        struct spool *spool = handle_object(piece->spool);

        if (spool) {
                spool->busy = false;
                spool->fd = piece->fd;
                piece->fd = -1;
                if (cause_happened(&piece->cause))
                        spool->fault = piece->cause;
        }
        close_fd(&piece->fd);
        buf_free(&piece->bytes);
        free(piece->folder);
        free(piece);
        if (spool)
                spool->written(spool->ctx);
}

/* Small messages never see the disk here: they stay in memory up to SPOOL_MEMORY and go into the queue from
 * there. */
void spool_write(struct spool *spool, bool end)
{
        bool enough = spool->memory.len > SPOOL_MEMORY || (end && spool->fd >= 0 && spool->memory.len);

        if (spool->busy || !enough || !spools.threads)
                return;
        struct spool_piece *piece = new_object(struct spool_piece);
        *piece = (struct spool_piece){ .job = { .work = write_piece, .done = piece_done },
                                       .spool = spool->self,
                                       .folder = copy_text(spools.folder),
                                       .fd = spool->fd,
                                       .bytes = spool->memory };
        buf_init(&spool->memory, PIECE_MOST);
        spool->fd = -1;
        spool->busy = true;
        workers_run(spools.threads, &piece->job);
}

bool spool_is_busy(const struct spool *spool)
{
        return spool->busy;
}

const struct cause *spool_fault(const struct spool *spool)
{
        return cause_happened(&spool->fault) ? &spool->fault : NULL;
}

/* Either the file or the bytes, never both; the caller owns what it gets. Not while a piece is under way. */
void spool_take(struct spool *spool, int *fd, uint8_t **bytes, size_t *len)
{
        *fd = spool->fd;
        spool->fd = -1;
        *bytes = NULL;
        *len = 0;
        if (*fd >= 0)
                return;
        *len = spool->memory.len;
        *bytes = (uint8_t *)buf_take_text(&spool->memory);
}
