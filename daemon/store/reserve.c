/* SPDX-License-Identifier: MIT */
/*
 * How much room the disk has, looked at by threads and kept for a moment; what may come into it; see
 * reserve.h.
 *
 * statvfs may hang with its disk: it is called under `looking` alone, which the loop never takes. What was
 * seen is copied under `lock`, which is held for moments. So the loop decides by what was seen up to 200 ms
 * ago, less what it has let in since (`arrived`); the writer, before each commit, by a look of its own.
 */
#include "daemon/store/reserve_place.h"

#include "common/limits.h"
#include "common/times.h"
#include "daemon/journal.h"
#include "daemon/loop.h"
#include "daemon/messages.h"
#include "daemon/store/jobs.h"
#include "daemon/store/store.h"

#include <errno.h>
#include <pthread.h>
#include <sys/statvfs.h>

enum {
        LOOK_AFTER = 200,  /* ms: what was seen is good for so long */
        LOOK_AGAIN = 1000, /* ms between looks while there is little room */
        FULL = 512 * KIB,  /* free, or less: what it takes to begin may be lacking */
        FILES_PERCENT = 5,
        FILES_LEAST = 8,
        FILES_MOST = 1000,
        SHRINK_PAGES = 512, /* given back at once */
        SHRINK_WORTH = 64,  /* pages that are not used any more: then it is worth it */
};
#define PERCENT_MOST (UINT64_C(1) << 30)

static struct {
        pthread_mutex_t looking; /* held by a thread that looks; the loop never waits for it */
        char *directory;         /* NULL: closed */
        struct reserve_place place;
        uint64_t promised; /* to submissions of the commit under way; writer's */

        pthread_mutex_t lock; /* held for moments */
        int64_t wanted;
        bool known; /* `wanted` was told */
        struct disk_room room;
        size_t held;

        /* the loop's */
        int64_t looked; /* loop_now(); 0: not yet */
        bool asked;     /* a look is on its way */
        bool low;       /* as the journal was told */
        bool shrinking;
        struct arrived {
                uint64_t bytes, files;
        } arrived[2]; /* of fetched mail, since the last look and between it and the one before: not all is on
                         disk */
        struct cause fault;
        struct job job;
        struct timer *again;
} reserve = { .looking = PTHREAD_MUTEX_INITIALIZER, .lock = PTHREAD_MUTEX_INITIALIZER };

/* ---- looking ---- */

/* Both locks, always in this order: `looking`, then `lock`. */
bool reserve_let_go(void)
{
        pthread_mutex_lock(&reserve.looking);
        bool went = reserve.directory && reserve_place_let_go(&reserve.place, reserve.directory);
        pthread_mutex_lock(&reserve.lock);
        reserve.room.let_go = reserve.room.let_go || went;
        pthread_mutex_unlock(&reserve.lock);
        pthread_mutex_unlock(&reserve.looking);
        return went;
}

bool reserve_is_let_go(void)
{
        pthread_mutex_lock(&reserve.lock);
        bool let_go = reserve.room.let_go;
        pthread_mutex_unlock(&reserve.lock);
        return let_go;
}

static uint64_t kept(int64_t wanted, uint64_t total)
{
        if (wanted >= 0)
                return (uint64_t)wanted;
        uint64_t part = total / 100 * (uint64_t)-wanted;
        return part > PERCENT_MOST ? PERCENT_MOST : part;
}

static uint64_t kept_files(int64_t wanted, uint64_t total)
{
        uint64_t part = total / 100 * FILES_PERCENT;

        return !total || !wanted    ? 0
               : part < FILES_LEAST ? FILES_LEAST
               : part > FILES_MOST  ? FILES_MOST
                                    : part;
}

/* Nothing is fetched: what is at the server can wait there. */
static bool is_low(const struct disk_room *room)
{
        return room->let_go || room->free < room->reserve || room->files < room->files_reserve;
}

/* Only urgent mail is taken: what is here must get its result written. */
static bool is_very_low(const struct disk_room *room)
{
        return room->let_go || room->free < room->reserve / 2 || room->files < room->files_reserve / 2;
}

/* Any thread but the loop's. */
static struct disk_room look(void)
{
        struct disk_room room = { 0 };
        struct statvfs disk;

        pthread_mutex_lock(&reserve.looking);
        pthread_mutex_lock(&reserve.lock);
        int64_t wanted = reserve.wanted;
        bool known = reserve.known;
        pthread_mutex_unlock(&reserve.lock);
        if (known && reserve.directory && statvfs(reserve.directory, &disk) == 0)
                room = (struct disk_room){
                        .free = (uint64_t)disk.f_bavail * disk.f_frsize,
                        .reserve = kept(wanted, (uint64_t)disk.f_blocks * disk.f_frsize),
                        .files = (uint64_t)disk.f_favail,
                        .files_reserve = kept_files(wanted, (uint64_t)disk.f_files),
                };
        room.let_go = known && reserve.directory &&
                      reserve_place_hold(&reserve.place, reserve.directory, &room) == ENOSPC;
        /* What is in the log needs place in the database as well: while there is little, none of it waits for
         * that. */
        database_log_is(is_low(&room) || (room.reserve && room.free < room.reserve + 2 * reserve.place.log)
                                ? 0
                                : reserve.place.log);
        pthread_mutex_lock(&reserve.lock);
        reserve.room = room;
        reserve.held = reserve_place_size(&reserve.place);
        pthread_mutex_unlock(&reserve.lock);
        pthread_mutex_unlock(&reserve.looking);
        return room;
}

static int too_little(const struct disk_room *room, const char *what, struct cause *cause)
{
        char has[32], keeps[32];

        size_text(room->free, has);
        size_text(room->reserve, keeps);
        if (room->let_go)
                (void)cause_set(cause, CAUSE_STORAGE,
                                "%s: the disk of the state folder was full, and what is held there for the "
                                "queue's own work is in use; it has %s free",
                                what, has);
        else if (room->free >= room->reserve && room->files < room->files_reserve)
                (void)cause_set(cause, CAUSE_STORAGE,
                                "%s: the disk of the state folder has room for %llu more files, and "
                                "DiskReserve keeps %llu",
                                what, (unsigned long long)room->files,
                                (unsigned long long)room->files_reserve);
        else
                (void)cause_set(cause, CAUSE_STORAGE,
                                "%s: the disk of the state folder has %s free, and DiskReserve is %s", what,
                                has, keeps);
        cause_remedy(cause, "make room on that disk (received mail lies in mail/), or lower DiskReserve= in "
                            "emailsecd.conf");
        return -1;
}

static int does_not_fit(const struct disk_room *room, uint64_t size, struct cause *cause)
{
        char wants[32], has[32];

        size_text(size, wants);
        size_text(room->free, has);
        (void)cause_set(cause, CAUSE_STORAGE,
                        "a message of %s does not fit: the disk of the state folder has %s free", wants, has);
        cause_remedy(cause, "make room on that disk (received mail lies in mail/)");
        return -1;
}

/* ---- threads ---- */

/* `promised` counts what this commit has let in, since the next look sees it only afterwards. */
void reserve_begin_commit(void)
{
        (void)look();
        reserve.promised = 0;
}

int reserve_allows(bool urgent, uint64_t size, bool placed, struct cause *cause)
{
        uint64_t wants =
                reserve.promised + (placed ? 0 : 2 * size); /* in the log, and then in the database */

        pthread_mutex_lock(&reserve.lock);
        struct disk_room room = reserve.room;
        pthread_mutex_unlock(&reserve.lock);
        if (!room.reserve)
                return 0;
        if (room.let_go || (!urgent && is_very_low(&room)))
                return too_little(&room, room.let_go ? "no mail is taken" : "only urgent mail is taken",
                                  cause);
        if (room.free < wants + (urgent ? 0 : room.reserve / 2))
                return does_not_fit(&room, size, cause);
        reserve.promised = wants;
        return 0;
}

int reserve_allows_fetching(struct cause *cause)
{
        struct disk_room room = look();

        return is_low(&room) ? too_little(&room, "nothing is fetched", cause) : 0;
}

int reserve_spares(size_t size, struct cause *cause)
{
        struct disk_room room = look();

        if (!room.reserve ||
            (!is_very_low(&room) && room.free >= size && room.free - size >= room.reserve / 2))
                return 0;
        return too_little(&room, "nothing is fetched", cause);
}

/* ---- loop ---- */

static void look_work(unused_arg struct job *job)
{
        (void)look();
}

/* What was sent is not used any more in the database, and may be all that the disk has. */
struct shrink {
        struct store_write write;
        int64_t left;
};

static int shrink_work(struct store_write *write, struct database *db, struct cause *cause)
{
        struct shrink *shrink = container_of(write, struct shrink, write);
        int64_t unused = 0;

        if (db_number(db, cause, &unused, 0, "PRAGMA freelist_count", NULL, 0) < 0)
                return -1;
        shrink->left = unused < SHRINK_WORTH ? 0 : database_shrink(db, SHRINK_PAGES, cause);
        return shrink->left < 0 ? -1 : 0;
}

static void shrink(void);

static void shrink_done(struct store_write *write, const struct cause *cause)
{
        struct shrink *done = container_of(write, struct shrink, write);

        reserve.shrinking = false;
        if (!cause && done->left >= SHRINK_WORTH && !store_closing())
                shrink();
        free(done);
}

/* Not for the place that was held: it is no harm where it cannot be done. */
static void shrink(void)
{
        struct shrink *next = new_object(struct shrink);

        reserve.shrinking = true;
        next->write = (struct store_write){ .write = shrink_work, .done = shrink_done, .brings = true };
        store_write(&next->write);
}

static void tell(const struct disk_room *room)
{
        bool low = reserve.low;

        reserve.low = is_low(room);
        if (reserve.low && !low) {
                struct subject subject = { .cause = &reserve.fault };
                (void)reserve_fault();
                log_about(&subject, LOG_ERR, MSG_DISK_FAULT, "%s", reserve.fault.text);
        } else if (!reserve.low && low) {
                log_about(NULL, LOG_NOTICE, MSG_DISK_WELL, "the disk has more free than DiskReserve again");
        }
}

static void look_done(unused_arg struct job *job)
{
        pthread_mutex_lock(&reserve.lock);
        struct disk_room room = reserve.room;
        bool tight = room.reserve && (is_low(&room) || room.free < room.reserve / 2 + 2 * reserve.held);
        pthread_mutex_unlock(&reserve.lock);
        reserve.asked = false;
        reserve.looked = loop_now();
        reserve.arrived[1] = reserve.arrived[0];
        reserve.arrived[0] = (struct arrived){ 0 };
        tell(&room);
        if (store_closing() || !tight)
                return;
        if (!reserve.shrinking)
                shrink();
        timer_set(reserve.again, LOOK_AGAIN);
}

struct disk_room reserve_room(void)
{
        pthread_mutex_lock(&reserve.lock);
        struct disk_room room = reserve.room;
        bool known = reserve.known;
        pthread_mutex_unlock(&reserve.lock);
        bool old = !reserve.looked || loop_now() - reserve.looked >= LOOK_AFTER;
        if (old && known && reserve.again && !reserve.asked && !store_closing()) {
                reserve.asked = true;
                reserve.job = (struct job){ .work = look_work, .done = look_done };
                store_run_files(&reserve.job);
        }
        return room;
}

static void look_again(unused_arg void *ctx)
{
        (void)reserve_room();
}

const struct cause *reserve_fault(void)
{
        struct disk_room room = reserve_room();

        if (!is_low(&room))
                return NULL;
        (void)too_little(&room,
                         room.let_go          ? "nothing is fetched, and no mail is taken"
                         : is_very_low(&room) ? "nothing is fetched, and only urgent mail is taken"
                                              : "nothing is fetched",
                         &reserve.fault);
        return &reserve.fault;
}

static uint64_t less(uint64_t from, uint64_t what)
{
        return from > what ? from - what : 0;
}

int reserve_fits(uint64_t asked, uint64_t size, struct cause *cause)
{
        struct disk_room room = reserve_room();

        room.free = less(room.free, reserve.arrived[0].bytes + reserve.arrived[1].bytes);
        room.files = less(room.files, reserve.arrived[0].files + reserve.arrived[1].files);
        if (is_low(&room))
                return too_little(&room, "nothing is fetched", cause);
        if (!room.reserve || less(less(room.free, room.reserve / 2), asked) >= size)
                return 0;
        (void)does_not_fit(&room, size, cause);
        return 1;
}

void reserve_arrived(size_t bytes, bool file)
{
        reserve.arrived[0].bytes += bytes;
        reserve.arrived[0].files += file;
}

/* ---- beginning and end ---- */

void reserve_set(int64_t wanted)
{
        pthread_mutex_lock(&reserve.lock);
        reserve.wanted = wanted;
        reserve.known = true;
        pthread_mutex_unlock(&reserve.lock);
        reserve.looked = 0;
        (void)reserve_room();
}

void reserve_open(const char *directory)
{
        struct statvfs disk;

        reserve.directory = copy_text(directory);
        reserve.known = false;
        reserve.room = (struct disk_room){ 0 };
        reserve.looked = 0;
        reserve.asked = reserve.low = reserve.shrinking = false;
        memset(reserve.arrived, 0, sizeof reserve.arrived);
        reserve.again = timer_new(look_again, NULL);
        reserve_place_init(&reserve.place, statvfs(directory, &disk) < 0
                                                   ? UINT64_MAX
                                                   : (uint64_t)disk.f_blocks * disk.f_frsize);
        database_log_is(reserve.place.log);
}

bool reserve_lacks_room(const char *directory, const struct cause *cause)
{
        struct statvfs disk;

        if (cause->code != CAUSE_STORAGE || cause->no_room)
                return cause->no_room;
        return statvfs(directory, &disk) == 0 && ((uint64_t)disk.f_bavail * disk.f_frsize < FULL ||
                                                  (disk.f_files && disk.f_favail < FILES_LEAST));
}

/* After the threads. */
void reserve_close(void)
{
        timer_free(take(reserve.again));
        free(take(reserve.directory));
}
