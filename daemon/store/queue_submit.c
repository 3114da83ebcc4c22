/* SPDX-License-Identifier: MIT */
/*
 * Submission: the message is read and put in order on the intake pool (a client's file may be slow, or never
 * answer, and must hold up nothing else), then inserted by the writer. Small results stay in memory,
 * larger ones go through an unnamed file in spool/. Memory of all submissions under way is
 * bounded: the others wait in line.
 */
#include "daemon/random.h"
#include "daemon/store/queue_rows.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
        READ_PIECE = 64 * KIB,
        UNDER_WAY_MAX = 64 * MIB,
        LEAST_CHARGE = 4 * KIB,  /* what a submission takes besides its message */
        TOKEN = 16
};

struct submit {
        struct submission s;     /* with copies of its own */
        uint8_t *bytes;          /* copy of s.bytes */
        size_t charge;           /* counted in under_way */
        struct intake *intake;
        struct buf out;          /* the message in order, when it is small */
        int spool;               /* or this file */
        bool refused;            /* from the start, by `cause` */
        bool failed;             /* before the writer, by `cause` */
        struct cause cause;
        char id[QUEUE_ID_SIZE];
        bool duplicate;
        void (*done)(void *ctx, const char *id, bool duplicate, const struct cause *cause);
        void *ctx;
        struct job job;
        struct store_write write;
        struct submit *next;
};

/* Loop's. */
static size_t under_way;
static struct submit *line, **line_end = &line;

static void submit_free(struct submit *submit)
{
        struct submission *s = &submit->s;

        for (size_t i = 0; i < s->recipient_count; i++)
                free((char *)(uintptr_t)s->recipients[i]);
        for (size_t i = 0; s->notify && i < s->recipient_count; i++)
                free((char *)(uintptr_t)s->notify[i]);
        const char *texts[] = { s->account,        s->from,       s->key,            s->submitted_by,
                                s->rules.hostname, s->rules.from, s->rules.reply_to, s->ret,
                                s->envelope_id };
        for (size_t i = 0; i < count_of(texts); i++)
                free((char *)(uintptr_t)texts[i]);
        free(s->recipients);
        free(s->notify);
        close_fd(&s->fd);
        close_fd(&submit->spool);
        intake_free(submit->intake);
        buf_free(&submit->out);
        free(submit->bytes);
        free(submit);
}

/* ---- intake pool ---- */

/* Makes room in memory by moving what is there to the file. */
static int spill(struct submit *submit)
{
        struct cause *cause = &submit->cause;

        if (submit->spool < 0) {
                scoped(scoped_free) char *folder = text_of("%s/spool", store_directory());
                submit->spool = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
                if (submit->spool < 0)
                        return cause_errno(cause, errno, "cannot make a file in %s", folder);
        }
        size_t len = submit->out.len;
        const uint8_t *bytes = buf_bytes(&submit->out);
        while (len) {
                ssize_t wrote = write(submit->spool, bytes, len);
                if (wrote < 0 && errno == EINTR)
                        continue;
                if (wrote < 0)
                        return cause_errno(cause, errno, "cannot write the message to the spool");
                bytes += wrote;
                len -= (size_t)wrote;
        }
        buf_clear(&submit->out);
        return 0;
}

static int feed(struct submit *submit, const uint8_t *bytes, size_t len)
{
        while (len) {
                size_t piece = len < READ_PIECE ? len : READ_PIECE;
                if (intake_feed(submit->intake, bytes, piece, &submit->out, &submit->cause) < 0)
                        return -1;
                if (submit->out.len > LIMIT_INTAKE_MEMORY && spill(submit) < 0)
                        return -1;
                bytes += piece;
                len -= piece;
        }
        return 0;
}

/* A client's file may lie on a file system that never answers: that must not make the watchdog bark. */
static int fstat_client(int fd, struct stat *facts)
{
        workers_outside(true);
        int result = fstat(fd, facts);
        workers_outside(false);
        return result;
}

static ssize_t read_client(int fd, uint8_t *to, size_t size, off_t at)
{
        workers_outside(true);
        ssize_t got = pread(fd, to, size, at);
        int error = errno;
        if (got > 0)
                (void)lseek(fd, at + got, SEEK_SET); /* the client shares the offset, and sees how far we are */
        workers_outside(false);
        errno = error;
        return got;
}

/* Reads from offset 0, each byte once: what the peer does to the file meanwhile cannot get between
 * the check and the use. */
static int feed_file(struct submit *submit)
{
        struct cause *cause = &submit->cause;
        struct stat facts;
        off_t at = 0;

        if (fstat_client(submit->s.fd, &facts) < 0 || !S_ISREG(facts.st_mode))
                return cause_about(cause, CAUSE_INVALID, "descriptor",
                                   "the descriptor is not a regular file or memfd");
        scoped(scoped_free) uint8_t *piece = new_zeroed(1, READ_PIECE);
        for (;;) {
                ssize_t got = read_client(submit->s.fd, piece, READ_PIECE, at);
                if (got < 0 && errno == EINTR)
                        continue;
                if (got < 0)
                        return cause_about(cause, CAUSE_INVALID, "descriptor",
                                           "the descriptor cannot be read: %s", strerror(errno));
                if (got == 0)
                        return 0;
                if (feed(submit, piece, (size_t)got) < 0)
                        return -1;
                at += got;
        }
}

static void take_in(struct job *job)
{
        struct submit *submit = container_of(job, struct submit, job);
        char token[TOKEN + 1];

        if (submit->refused)
                return;
        random_token(token, TOKEN);
        submit->s.rules.id = token;
        submit->intake = intake_new(&submit->s.rules);
        submit->s.rules.id = NULL;
        int result = submit->s.fd >= 0 ? feed_file(submit) : feed(submit, submit->bytes, submit->s.len);
        if (result == 0)
                result = intake_end(submit->intake, &submit->out, &submit->cause);
        if (result == 0 && submit->spool >= 0)
                result = spill(submit);
        submit->failed = result < 0;
}

/* ---- writer thread ---- */

static int known_key(struct submit *submit, struct database *db, uint64_t *seq, struct cause *cause)
{
        int64_t number = 0;

        if (submit->s.key && db_number(db, cause, &number, 0,
                                       "SELECT seq FROM message WHERE submitted_by = ? AND key = ?",
                                       VALUES(v_text(submit->s.submitted_by), v_text(submit->s.key))) < 0)
                return -1;
        *seq = (uint64_t)number;
        return 0;
}

static int check_room(const struct submission *s, uint64_t size, struct cause *cause)
{
        struct queue_counts all = queue_counts_inside(NULL);
        uint64_t waiting = queue_waiting_inside(s->account);

        if (waiting >= s->max_queue)
                return cause_about(cause, CAUSE_QUEUE_FULL, "maxQueueSize",
                                   "the queue of %s is full: %llu messages wait, maxQueueSize is %zu",
                                   s->account, (unsigned long long)waiting, s->max_queue);
        if (s->max_disk && all.bytes + size > s->max_disk) {
                (void)cause_set(cause, CAUSE_QUEUE_FULL,
                                "the queue of the station is full: %llu bytes wait, QueueSizeLimit is %llu",
                                (unsigned long long)all.bytes, (unsigned long long)s->max_disk);
                cause_remedy(cause, "see why mail waits: emailsecctl status; then raise QueueSizeLimit "
                                    "or delete what is not needed");
                return -1;
        }
        return 0;
}

static int insert_from_file(struct submit *submit, struct database *db, uint64_t seq, struct cause *cause)
{
        uint64_t size = intake_facts(submit->intake)->size;
        scoped(scoped_free) uint8_t *chunk = new_zeroed(1, BODY_CHUNK);
        unsigned number = 0;

        for (uint64_t at = 0; at < size; at += BODY_CHUNK) {
                size_t want = size - at < BODY_CHUNK ? (size_t)(size - at) : BODY_CHUNK;
                size_t have = 0;
                while (have < want) {
                        ssize_t got = pread(submit->spool, chunk + have, want - have, (off_t)(at + have));
                        if (got < 0 && errno == EINTR)
                                continue;
                        if (got <= 0)
                                return cause_errno(cause, got ? errno : EIO, "cannot read the spool");
                        have += (size_t)got;
                }
                if (queue_chunk_insert(db, seq, number++, chunk, want, cause) < 0)
                        return -1;
        }
        return 0;
}

static int insert_body(struct submit *submit, struct database *db, uint64_t seq, struct cause *cause)
{
        const uint8_t *bytes = buf_bytes(&submit->out);
        unsigned number = 0;

        if (submit->spool >= 0)
                return insert_from_file(submit, db, seq, cause);
        for (size_t at = 0; at < submit->out.len; at += BODY_CHUNK) {
                size_t len = submit->out.len - at < BODY_CHUNK ? submit->out.len - at : BODY_CHUNK;
                if (queue_chunk_insert(db, seq, number++, bytes + at, len, cause) < 0)
                        return -1;
        }
        return 0;
}

static int insert_recipients(const struct submission *s, struct database *db, uint64_t seq,
                             struct cause *cause)
{
        for (size_t i = 0; i < s->recipient_count; i++)
                if (db_run(db, cause,
                           "INSERT INTO recipient (seq, number, address, state, notify) VALUES (?, ?, ?, ?, ?)",
                           VALUES(v_int((int64_t)seq), v_int((int64_t)i), v_text(s->recipients[i]),
                                  v_int(s->held ? QUEUE_HELD : QUEUE_QUEUED),
                                  v_text(s->notify ? s->notify[i] : NULL))) < 0)
                        return -1;
        return 0;
}

static int insert_message(struct submit *submit, struct database *db, uint64_t *seq, struct cause *cause)
{
        const struct submission *s = &submit->s;
        const struct intake_facts *facts = intake_facts(submit->intake);

        if (db_run(db, cause,
                   "INSERT INTO message (account, state, priority, due, expires_clock, lifetime, expires, "
                   "size,"
                   " eight_bit, header_utf8, submitted, sender, message_id, submitted_by, key,"
                   " ret, envelope_id)"
                   " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                   VALUES(v_text(s->account), v_int(s->held ? QUEUE_HELD : QUEUE_QUEUED),
                          v_int(s->priority > 0), s->held ? v_null() : v_int(0),
                          v_int(s->held ? CLOCK_NEVER : s->account_clock + s->lifetime), v_int(s->lifetime),
                          v_int(s->rules.now + s->lifetime), v_int((int64_t)facts->size),
                          v_int(facts->eight_bit), v_int(facts->header_utf8), v_int(s->rules.now),
                          v_text(s->from), v_text(facts->message_id), v_text(s->submitted_by),
                          v_text(s->key), v_text(s->ret), v_text(s->envelope_id))) < 0)
                return -1;
        *seq = (uint64_t)db_last_id(db);
        queue_counts_add(s->account, s->held ? QUEUE_HELD : QUEUE_QUEUED, 1, (int64_t)facts->size);
        return 0;
}

static int insert(struct store_write *write, struct database *db, struct cause *cause)
{
        struct submit *submit = container_of(write, struct submit, write);
        uint64_t seq;

        if (known_key(submit, db, &seq, cause) < 0)
                return -1;
        submit->duplicate = seq != 0;
        if (!submit->duplicate && (check_room(&submit->s, intake_facts(submit->intake)->size, cause) < 0 ||
                                   insert_message(submit, db, &seq, cause) < 0 ||
                                   insert_recipients(&submit->s, db, seq, cause) < 0 ||
                                   insert_body(submit, db, seq, cause) < 0))
                return -1;
        queue_id_of(seq, submit->id);
        return 0;
}

/* ---- loop ---- */

static void start_waiting(void)
{
        while (line && (under_way == 0 || under_way + line->charge <= UNDER_WAY_MAX)) {
                struct submit *submit = line;
                line = submit->next;
                if (!line)
                        line_end = &line;
                under_way += submit->charge;
                store_run_intake(&submit->job);
        }
}

static void finish(struct submit *submit, const struct cause *cause)
{
        under_way -= submit->charge;
        submit->done(submit->ctx, cause ? NULL : submit->id, !cause && submit->duplicate, cause);
        submit_free(submit);
        start_waiting();
}

static void inserted(struct store_write *write, const struct cause *cause)
{
        finish(container_of(write, struct submit, write), cause);
}

static void taken_in(struct job *job)
{
        struct submit *submit = container_of(job, struct submit, job);

        close_fd(&submit->s.fd);
        free(take(submit->bytes));
        if (submit->failed) {
                finish(submit, &submit->cause);
                return;
        }
        under_way -= submit->charge;
        submit->charge = LEAST_CHARGE + submit->out.size;
        under_way += submit->charge;
        submit->write = (struct store_write){ .write = insert, .done = inserted };
        store_write(&submit->write);
        start_waiting();
}

static struct submit *submit_copy(const struct submission *given)
{
        struct submit *submit = new_object(struct submit);
        struct submission *s = &submit->s;

        *s = *given;
        s->account = copy_text(given->account);
        s->from = copy_text(given->from ? given->from : "");
        s->key = copy_text(given->key);
        s->ret = copy_text(given->ret);
        s->envelope_id = copy_text(given->envelope_id);
        s->notify = given->notify ? new_zeroed(given->recipient_count + 1, sizeof *s->notify) : NULL;
        for (size_t i = 0; given->notify && i < given->recipient_count; i++)
                s->notify[i] = copy_text(given->notify[i]);
        s->submitted_by = copy_text(given->submitted_by ? given->submitted_by : "");
        s->rules.hostname = copy_text(given->rules.hostname);
        s->rules.from = copy_text(given->rules.from);
        s->rules.reply_to = copy_text(given->rules.reply_to);
        s->recipients = new_zeroed(given->recipient_count + 1, sizeof *s->recipients);
        for (size_t i = 0; i < given->recipient_count; i++)
                s->recipients[i] = copy_text(given->recipients[i]);
        if (given->fd < 0)
                submit->bytes = (uint8_t *)copy_bytes(given->bytes ? given->bytes : "", given->len);
        s->bytes = NULL;
        /* One piece may double (bare line ends) and gets a header on top. */
        buf_init(&submit->out, LIMIT_INTAKE_MEMORY + 2 * READ_PIECE + LIMIT_HEADER);
        submit->spool = -1;
        submit->charge = LEAST_CHARGE + (given->fd < 0 ? 2 * given->len : LIMIT_INTAKE_MEMORY + READ_PIECE);
        return submit;
}

void queue_submit(const struct submission *submission,
                  void (*done)(void *ctx, const char *id, bool duplicate, const struct cause *cause),
                  void *ctx)
{
        struct submit *submit = submit_copy(submission);

        submit->done = done;
        submit->ctx = ctx;
        submit->job = (struct job){ .work = take_in, .done = taken_in };
        /* Until it has been taken in: the store may close before. */
        submit->failed = true;
        (void)cause_set(&submit->cause, CAUSE_CANCELLED, "the daemon is ending");
        submit->refused = submission->recipient_count == 0 || submission->recipient_count > LIMIT_RECIPIENTS;
        if (submit->refused)
                (void)cause_about(&submit->cause, CAUSE_INVALID, "recipients",
                                  "a message has 1 to %d recipients", LIMIT_RECIPIENTS);
        *line_end = submit;
        line_end = &submit->next;
        start_waiting();
}
