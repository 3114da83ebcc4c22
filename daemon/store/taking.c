/* SPDX-License-Identifier: MIT */
/*
 * Which submission is read when, by which thread, and for how long; see taking.h. A work belongs to its
 * thread, but for the part that the loop alone knows; the loop may give its answer at any time, and frees it
 * when its thread is done with it. The thread asks, after each call that could have waited, whether somebody
 * waits yet. The client's file is also closed by the thread: that may wait as long as a read.
 */
#include "daemon/store/taking.h"

#include "common/limits.h"
#include "daemon/loop.h"
#include "daemon/random.h"
#include "daemon/store/client_file.h"
#include "daemon/store/closers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
        READ_PIECE = 64 * KIB,
        UNDER_WAY_MAX = 64 * MIB,
        LEAST_CHARGE = 4 * KIB, /* what a submission takes besides its message */
        TOKEN = 16,
        LOOK_EVERY = 1000,  /* ms between looks for what takes too long */
        SMALL = 16 * KIB,   /* so much is worked on by the loop, in some 20 us: waking a thread and being told
                               costs more */
        FEW_ADDRESSES = 32, /* in the header of such, for each may be an alias */
        END_MS = 500,       /* threads that a file does not hold are waited for so long */
};

struct work {
        struct taking taking; /* first: freed through it */
        int fd;               /* the client's, or -1 */
        uint8_t *bytes;
        size_t len;
        uint64_t max_size;
        char *folder;
        size_t charge;      /* counted in under_way until it is freed */
        atomic_bool let_go; /* nobody waits for it */
        bool in_order;      /* all of it was read, and is in taking.out but for what is in the file */
        bool failed;
        struct cause cause;
        struct job job;

        /* Loop's. */
        uint64_t ticket;
        uid_t owner;
        bool in_charge;
        bool begun;
        handle_id here; /* begun, and the loop works on it later in this turn; else HANDLE_NONE */
        bool by_loop;   /* no thread is needed for it, unless it turns out to be large */
        int64_t since;  /* loop_now() when it came into the line, or was begun */
        void (*done)(void *ctx, struct taking *taking, const struct cause *cause); /* NULL: was called */
        void *ctx;
        struct work *next; /* in line */
};

/* The loop's. */
static struct {
        struct workers *threads;   /* NULL: closed */
        struct work *first, **end; /* in the order they came, those under way among them */
        struct timer *look;
        atomic_uint working; /* works handed to the threads and not yet worked on */
        uint64_t tickets;
        size_t under_way; /* bytes */
        unsigned busy;    /* threads at work */
        struct share {
                uid_t owner;
                unsigned threads;
        } shares[LIMIT_INTAKES]; /* of those at work; unused: threads 0 */
} takings;

static void close_file(struct work *work)
{
        client_file_close(work->fd);
        work->fd = -1;
}

static void work_free(struct work *work)
{
        if (!work)
                return;
        handle_drop(&work->here);
        takings.under_way -= work->charge;
        close_file(work);
        body_file_done(&work->taking.file);
        intake_free(work->taking.intake);
        buf_free(&work->taking.out);
        free(work->bytes);
        free(work->folder);
        free(work);
}

/* ---- on a thread ---- */

static int is_let_go(struct work *work)
{
        return atomic_load(&work->let_go) ? cause_set(&work->cause, CAUSE_CANCELLED, "nobody waits for it")
                                          : 0;
}

/* As much as a large one comes to, and the same again when a chunk has gone: what is used once is not used
 * up. */
static void make_room(struct buf *out)
{
        buf_expect(out, LIMIT_INTAKE_MEMORY + READ_PIECE);
}

/* Makes room in memory by moving whole chunks to the file, at the end all that is there. */
static int spill(struct work *work, bool all)
{
        struct taking *taking = &work->taking;

        while (taking->out.len >= BODY_CHUNK || (all && taking->out.len)) {
                size_t len = taking->out.len < BODY_CHUNK ? taking->out.len : BODY_CHUNK;
                if (body_file_add(&taking->file, work->folder, buf_bytes(&taking->out), len, &work->cause) <
                    0)
                        return -1;
                buf_consume(&taking->out, len);
                if (!all)
                        make_room(&taking->out);
        }
        return 0;
}

static int feed(struct work *work, const uint8_t *bytes, size_t len)
{
        struct taking *taking = &work->taking;

        while (len) {
                size_t piece = len < READ_PIECE ? len : READ_PIECE;
                if (is_let_go(work) < 0 ||
                    intake_feed(taking->intake, bytes, piece, &taking->out, &work->cause) < 0)
                        return -1;
                if (taking->out.len >= LIMIT_INTAKE_MEMORY && !work->by_loop && spill(work, false) < 0)
                        return -1;
                bytes += piece;
                len -= piece;
        }
        return 0;
}

/* A client's file may lie on a file system that never answers: that must not make the watchdog bark. */
static int fstat_client(int fd, struct stat *st)
{
        workers_outside(true);
        int result = fstat(fd, st);
        workers_outside(false);
        return result;
}

static ssize_t read_client(int fd, uint8_t *to, size_t size, off_t at)
{
        workers_outside(true);
        ssize_t got = pread(fd, to, size, at);
        int error = errno;
        if (got > 0)
                (void)lseek(fd, at + got,
                            SEEK_SET); /* the client shares the offset, and sees how far we are */
        workers_outside(false);
        errno = error;
        return got;
}

static int too_large(struct work *work)
{
        (void)cause_set(&work->cause, CAUSE_TOO_LARGE, "the message is larger than the limit of %llu bytes",
                        (unsigned long long)work->max_size);
        cause_remedy(&work->cause, "make it smaller, or raise MaxMessageSize in emailsecd.conf");
        return -1;
}

/* Reads from offset 0, each byte once: what the peer does to the file meanwhile cannot get between the check
 * and the use. Of what is read only header lines are dropped, so that no message that fits has more bytes
 * than `most`. */
static int feed_file(struct work *work)
{
        struct cause *cause = &work->cause;
        uint64_t most = work->max_size + LIMIT_HEADER, at = 0;
        struct stat st;

        if (client_file_check(work->fd, cause) < 0)
                return -1;
        if (fstat_client(work->fd, &st) < 0 || !S_ISREG(st.st_mode))
                return cause_about(cause, CAUSE_INVALID, "descriptor",
                                   "the descriptor is not a regular file or memfd");
        if (st.st_size > 0 && (uint64_t)st.st_size > most)
                return too_large(work);
        if (st.st_size >= LIMIT_INTAKE_MEMORY)
                make_room(&work->taking.out);
        scoped(scoped_free) uint8_t *piece = new_zeroed(1, READ_PIECE);
        while (is_let_go(work) == 0) {
                ssize_t got = read_client(work->fd, piece, READ_PIECE, (off_t)at);
                if (got < 0 && errno == EINTR)
                        continue;
                if (got < 0)
                        return cause_about(cause, CAUSE_INVALID, "descriptor",
                                           "the descriptor cannot be read: %s", strerror(errno));
                if (got == 0)
                        return 0;
                at += (uint64_t)got;
                if (at > most)
                        return too_large(work);
                if (feed(work, piece, (size_t)got) < 0)
                        return -1;
        }
        return -1;
}

/* The loop's as well: of what is small, it writes nothing. */
static void put_in_order(struct work *work)
{
        struct taking *taking = &work->taking;
        int result = is_let_go(work);

        if (work->len >= LIMIT_INTAKE_MEMORY)
                make_room(&work->taking.out);
        if (result == 0)
                result = work->fd >= 0 ? feed_file(work) : feed(work, work->bytes, work->len);
        if (result == 0)
                result = intake_end(taking->intake, &taking->out, &work->cause);
        work->in_order = true;
        work->failed = result < 0;
        close_file(work);
        free(take(work->bytes));
}

static bool wants_file(const struct work *work)
{
        return !work->failed && intake_facts(work->taking.intake)->size >= BODY_FILE_FROM;
}

static void take_in(struct job *job)
{
        struct work *work = container_of(job, struct work, job);

        if (!work->in_order)
                put_in_order(work);
        if (wants_file(work)) {
                work->failed = spill(work, true) < 0;
                buf_free(&work->taking.out);
        }
        atomic_fetch_sub(&takings.working, 1);
}

/* ---- shares ---- */

static struct share *share_of(uid_t owner)
{
        struct share *unused = NULL;

        for (size_t i = 0; i < count_of(takings.shares); i++) {
                if (!takings.shares[i].threads)
                        unused = &takings.shares[i];
                else if (takings.shares[i].owner == owner)
                        return &takings.shares[i];
        }
        return unused;
}

/* Each share that is in use has a thread at least, so one is free as long as a thread is. */
static bool has_thread(const struct work *work)
{
        const struct share *share = share_of(work->owner);
        unsigned most = work->in_charge ? LIMIT_INTAKES : LIMIT_INTAKES - LIMIT_INTAKES_IN_CHARGE;

        return takings.busy < most && share && share->threads < LIMIT_INTAKES_OF_USER;
}

static void take_thread(const struct work *work)
{
        struct share *share = share_of(work->owner);

        takings.busy++;
        if (!share) /* at the end, when all are begun */
                return;
        share->owner = work->owner;
        share->threads++;
}

static void give_thread(const struct work *work)
{
        struct share *share = share_of(work->owner);

        takings.busy--;
        if (share && share->owner == work->owner && share->threads)
                share->threads--;
}

/* ---- the line ---- */

static void work_here(void *object);

static void begin(struct work *work)
{
        work->begun = true;
        work->since = loop_now();
        takings.under_way += work->charge;
        if (work->by_loop) {
                work->here = handle_new(work);
                loop_later_to(work->here, work_here);
                return;
        }
        take_thread(work);
        atomic_fetch_add(&takings.working, 1);
        workers_run(takings.threads, &work->job);
}

/* Begins what has a thread, in the order it came; one that finds no memory is not overtaken. */
static void begin_all(void)
{
        for (struct work *work = takings.first; takings.threads && work; work = work->next) {
                if (work->begun || (!work->by_loop && !has_thread(work)))
                        continue;
                if (takings.under_way && takings.under_way + work->charge > UNDER_WAY_MAX)
                        return;
                begin(work);
        }
}

static void unlist(struct work *work)
{
        struct work **at = &takings.first;

        while (*at != work)
                at = &(*at)->next;
        *at = work->next;
        if (!work->next)
                takings.end = at;
}

static void answer(struct work *work, struct taking *taking, const struct cause *cause)
{
        void (*done)(void *ctx, struct taking *taking, const struct cause *cause) = take(work->done);

        if (done)
                done(work->ctx, taking, cause);
}

/* The answer comes before the work is over: its thread only closes the file then. One that was not begun
 * leaves the line: clients that come and go leave nothing in it. */
static void let_go(struct work *work, const struct cause *cause)
{
        atomic_store(&work->let_go, true);
        if (!work->begun)
                unlist(work);
        answer(work, NULL, cause);
        if (work->begun)
                return;
        work->charge = 0; /* counts from its beginning on */
        work_free(work);
}

static void taken_in(struct job *job)
{
        struct work *work = container_of(job, struct work, job);

        if (!work->by_loop)
                give_thread(work);
        unlist(work);
        takings.under_way -= work->charge;
        work->charge = LEAST_CHARGE + work->taking.out.size;
        takings.under_way += work->charge;
        if (work->done && !work->failed) {
                answer(work, &work->taking, NULL);
        } else {
                answer(work, NULL, &work->cause);
                work_free(work);
        }
        begin_all();
}

/* A few names may stand for very many addresses: a file is written by a thread, when one is free. */
static void work_here(void *object)
{
        struct work *work = object;

        handle_drop(&work->here);
        if (!work->in_order)
                put_in_order(work);
        if (!wants_file(work)) {
                taken_in(&work->job);
                return;
        }
        work->by_loop = work->begun = false;
        takings.under_way -= work->charge;
        work->charge = LEAST_CHARGE + work->taking.out.size;
        begin_all();
}

/* What is good goes on at once: the writer has it while the loop reads the next. An answer of ours never
 * comes from within the call that asks, so the rest is for later. */
static void work_at_once(struct work *work)
{
        put_in_order(work);
        if (!work->failed && !wants_file(work))
                work_here(work);
}

void taking_free(struct taking *taking)
{
        if (!taking)
                return;
        work_free(container_of(taking, struct work, taking));
        begin_all();
}

/* ---- time ---- */

static void too_slow(struct work *work)
{
        struct cause cause;

        if (work->begun)
                (void)cause_about(&cause, CAUSE_INVALID, "descriptor",
                                  "the descriptor could not be read within %d seconds", LIMIT_INTAKE_SECONDS);
        else
                (void)cause_set(&cause, CAUSE_QUEUE_FULL,
                                "submissions that came before could not be read within %d seconds",
                                LIMIT_INTAKE_SECONDS);
        cause_remedy(&cause, "hand in a file whose file system answers, and not too many at once");
        let_go(work, &cause);
}

static void look(unused_arg void *ctx)
{
        int64_t before = loop_now() - (int64_t)LIMIT_INTAKE_SECONDS * 1000;

        for (struct work *work = takings.first, *next; work; work = next) {
                bool late = work->done && work->since <= before;

                if (late)
                        too_slow(work);
                next = late ? takings.first : work->next; /* it may have left the line, and others with it */
        }
        if (takings.first)
                timer_set(takings.look, LOOK_EVERY);
}

/* ---- asking ---- */

/* Where the first empty line is, or the end. */
static size_t header_length(const char *bytes, size_t len)
{
        const char *end = bytes + len, *line = bytes, *lf;

        while ((lf = memchr(line, '\n', (size_t)(end - line)))) {
                line = lf + 1;
                if (line < end && (*line == '\n' || (*line == '\r' && line + 1 < end && line[1] == '\n')))
                        return (size_t)(lf - bytes);
        }
        return len;
}

/* There is little of it, and little to look up. */
static bool is_small(const struct work *work)
{
        const char *bytes = (const char *)work->bytes;
        size_t addresses = 0;

        if (work->fd >= 0 || work->len > SMALL)
                return false;
        size_t header = header_length(bytes, work->len);
        for (size_t i = 0; i < header && addresses <= FEW_ADDRESSES; i++)
                addresses += bytes[i] == ',';
        return addresses <= FEW_ADDRESSES;
}

/* A little memfd that nobody can change any more is read at once: nothing is waited for. One that has memory
 * beyond its end is left to a thread, for whom its last close may take long. */
static void read_sealed(struct work *work)
{
        const int sealed = F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_WRITE;
        int seals = work->fd >= 0 ? fcntl(work->fd, F_GET_SEALS) : -1;
        struct stat st;

        if (seals < 0 || (seals & sealed) != sealed || fstat(work->fd, &st) < 0 || st.st_size > SMALL ||
            (uint64_t)st.st_blocks * 512 > 2 * SMALL)
                return;
        scoped(scoped_free) uint8_t *bytes = new_zeroed((size_t)st.st_size + 1, 1);
        if (pread(work->fd, bytes, (size_t)st.st_size, 0) != st.st_size)
                return;
        (void)lseek(work->fd, st.st_size, SEEK_SET); /* as read_client() does */
        close_file(work);
        work->len = (size_t)st.st_size;
        work->bytes = take(bytes);
}

static struct work *work_new(const struct taking_order *order)
{
        struct work *work = new_object(struct work);
        struct intake_rules rules = order->rules;
        char token[TOKEN + 1];

        random_token(token, TOKEN);
        rules.id = token;
        work->job = (struct job){ .work = take_in, .done = taken_in };
        work->failed = true; /* until it has been worked on: the pool may be abandoned before */
        (void)cause_set(&work->cause, CAUSE_CANCELLED, "the daemon is ending");
        work->taking.intake = intake_new(&rules);
        body_file_init(&work->taking.file);
        /* One piece may double (bare line ends) and gets a header on top. */
        buf_init(&work->taking.out, LIMIT_INTAKE_MEMORY + 2 * READ_PIECE + LIMIT_HEADER);
        work->fd = order->fd;
        if (order->fd < 0)
                work->bytes = (uint8_t *)copy_bytes(order->bytes ? order->bytes : "", order->len);
        work->len = order->fd < 0 ? order->len : 0;
        work->max_size = order->rules.max_size;
        read_sealed(work);
        work->by_loop = is_small(work);
        work->folder = copy_text(body_files_place());
        work->charge = LEAST_CHARGE + (work->fd < 0 ? 2 * work->len : LIMIT_INTAKE_MEMORY + READ_PIECE);
        work->owner = order->owner;
        work->in_charge = order->in_charge;
        return work;
}

uint64_t taking_begin(const struct taking_order *order,
                      void (*done)(void *ctx, struct taking *taking, const struct cause *cause), void *ctx)
{
        struct work *work = work_new(order);
        uint64_t ticket = ++takings.tickets;
        struct cause cause;

        work->ticket = ticket;
        work->since = loop_now();
        work->done = done;
        work->ctx = ctx;
        if (!takings.threads) {
                (void)cause_set(&cause, CAUSE_CANCELLED, "the daemon is ending");
                answer(work, NULL, &cause);
                work->charge = 0; /* counts from its beginning on */
                work_free(work);
                return ticket;
        }
        *takings.end = work;
        takings.end = &work->next;
        begin_all();
        if (work->here)
                work_at_once(work);
        if (!timer_is_set(takings.look))
                timer_set(takings.look, LOOK_EVERY);
        return ticket;
}

void taking_cancel(uint64_t ticket)
{
        struct cause cause;

        for (struct work *work = takings.first; work; work = work->next) {
                if (work->ticket != ticket)
                        continue;
                (void)cause_set(&cause, CAUSE_CANCELLED, "the submission was given up");
                let_go(work, &cause);
                return;
        }
}

/* ---- beginning and end ---- */

void takings_open(const char *state_directory)
{
        closers_open(state_directory);
        takings.threads = workers_new("store-intake", LIMIT_INTAKES);
        takings.first = NULL;
        takings.end = &takings.first;
        takings.look = timer_new(look, NULL);
}

/* Waits until no thread works, and not longer than END_MS. */
static bool all_worked(void)
{
        for (int i = 0; i < END_MS && atomic_load(&takings.working); i++)
                (void)nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
        return atomic_load(&takings.working) == 0;
}

/* Whether it has a thread or not. */
static void begin_rest(void)
{
        for (struct work *work = takings.first; work; work = work->next)
                if (!work->begun)
                        begin(work);
}

void takings_close(void)
{
        struct workers *threads = takings.threads;
        struct cause cause;

        if (!threads)
                return;
        begin_rest();
        for (struct work *work = takings.first, *next; work; work = next) {
                next = work->next;
                if (work->here)
                        work_here(work);
        }
        begin_rest();
        bool all = all_worked();
        takings.threads = NULL; /* nothing is begun any more */
        (void)cause_set(&cause, CAUSE_CANCELLED, "the daemon is ending");
        for (struct work *work = takings.first; !all && work; work = work->next)
                let_go(work, &cause);
        if (all || all_worked())
                workers_free(threads);
        else
                workers_abandon(threads); /* what these threads work on stays theirs */
        takings.first = NULL;
        takings.end = &takings.first;
        timer_free(take(takings.look));
        memset(takings.shares, 0, sizeof takings.shares);
        takings.busy = 0;
        atomic_store(&takings.working, 0);
}

int64_t takings_stuck_for(void)
{
        return takings.threads ? workers_stuck_for(takings.threads) : 0;
}
