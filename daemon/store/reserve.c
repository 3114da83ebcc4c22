/* SPDX-License-Identifier: MIT */
/* How much room the disk has, looked at by threads and kept for a moment; and the file that holds place; see reserve.h. */
#include "daemon/store/reserve.h"

#include "common/limits.h"
#include "daemon/journal.h"
#include "daemon/loop.h"
#include "daemon/messages.h"
#include "daemon/store/jobs.h"
#include "daemon/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

enum {
        LOOK_AFTER = 1,          /* s: what was seen is good for so long */
        HELD = 20 * MIB,         /* the file that holds place: more than the log takes until it is begun anew */
};
#define PERCENT_MOST (UINT64_C(1) << 30)

static struct {
        pthread_mutex_t lock;
        char *directory;         /* NULL: closed */
        int64_t wanted;
        struct disk_room room;
        time_t looked;           /* monotonic; 0: not yet */
        bool let_go;             /* the place that was held: nothing new comes until it is held again */
        bool asked;              /* a look is on its way; loop's */
        bool low;                /* as the journal was told */
        struct cause fault;      /* loop's */
        struct job job;
} reserve = { .lock = PTHREAD_MUTEX_INITIALIZER };

static time_t monotonic(void)
{
        struct timespec now;

        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        return now.tv_sec + 1;
}

static char *held_path(void)
{
        return text_of("%s/reserve", reserve.directory);
}

/* Makes the file where there is none and plenty of room. What else may have that name goes, but for a folder. */
static void hold(const struct disk_room *room)
{
        scoped(scoped_free) char *path = held_path();
        struct stat facts;
        bool there = lstat(path, &facts) == 0;

        if (!room->reserve || room->free < room->reserve + HELD || (there && S_ISREG(facts.st_mode) && facts.st_size >= HELD))
                return;
        if (there && !S_ISREG(facts.st_mode) && unlink(path) < 0)
                return;
        scoped(scoped_close) int fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
        if (fd < 0)
                return;
        if (posix_fallocate(fd, 0, HELD) == 0)
                reserve.let_go = false;
        else
                (void)unlink(path); /* then there is none, until a later look */
}

/* With the lock held. */
static void look(void)
{
        struct statvfs disk;

        if (!reserve.directory || (reserve.looked && monotonic() - reserve.looked < LOOK_AFTER))
                return;
        reserve.looked = monotonic();
        if (statvfs(reserve.directory, &disk) < 0) {
                reserve.room = (struct disk_room){ 0 };
                return;
        }
        uint64_t total = (uint64_t)disk.f_blocks * disk.f_frsize;
        uint64_t part = reserve.wanted < 0 ? total / 100 * (uint64_t)-reserve.wanted : (uint64_t)reserve.wanted;
        if (reserve.wanted < 0 && part > PERCENT_MOST)
                part = PERCENT_MOST;
        reserve.room = (struct disk_room){ .free = (uint64_t)disk.f_bavail * disk.f_frsize, .reserve = part };
        hold(&reserve.room);
}

static int too_little(const struct disk_room *room, const char *what, struct cause *cause)
{
        (void)cause_set(cause, CAUSE_STORAGE, "%s: the disk of the state folder has %llu MiB free, and DiskReserve is %llu MiB",
                        what, (unsigned long long)(room->free / MIB), (unsigned long long)(room->reserve / MIB));
        cause_remedy(cause, "make room on that disk (received mail lies in mail/), or lower DiskReserve= in emailsecd.conf");
        return -1;
}

int reserve_allows(bool urgent, struct cause *cause)
{
        pthread_mutex_lock(&reserve.lock);
        look();
        struct disk_room room = reserve.room;
        bool let_go = reserve.let_go;
        pthread_mutex_unlock(&reserve.lock);
        if (!let_go && (urgent || room.free >= room.reserve / 2))
                return 0;
        return too_little(&room, let_go ? "no mail is taken" : "only urgent mail is taken", cause);
}

bool reserve_let_go(void)
{
        struct stat facts;

        pthread_mutex_lock(&reserve.lock);
        scoped(scoped_free) char *path = reserve.directory ? held_path() : NULL;
        bool held = path && lstat(path, &facts) == 0 && S_ISREG(facts.st_mode) && facts.st_size > 0;
        if (held)
                held = reserve.let_go = unlink(path) == 0;
        pthread_mutex_unlock(&reserve.lock);
        return held;
}

/* ---- loop ---- */

static void look_work(unused_arg struct job *job)
{
        pthread_mutex_lock(&reserve.lock);
        look();
        pthread_mutex_unlock(&reserve.lock);
}

static void look_done(unused_arg struct job *job)
{
        bool low = reserve.low;

        reserve.asked = false;
        reserve.low = reserve.room.free < reserve.room.reserve;
        if (reserve.low && !low) {
                struct subject subject = { .cause = &reserve.fault };
                (void)reserve_fault();
                log_about(&subject, LOG_ERR, MSG_DISK_FAULT, "%s", reserve.fault.text);
        } else if (!reserve.low && low) {
                log_about(NULL, LOG_NOTICE, MSG_DISK_WELL, "the disk has more free than DiskReserve again");
        }
}

struct disk_room reserve_room(void)
{
        pthread_mutex_lock(&reserve.lock);
        struct disk_room room = reserve.room;
        bool old = reserve.directory && monotonic() - reserve.looked >= LOOK_AFTER;
        pthread_mutex_unlock(&reserve.lock);
        if (old && !reserve.asked && !store_closing()) {
                reserve.asked = true;
                reserve.job = (struct job){ .work = look_work, .done = look_done };
                store_run_files(&reserve.job);
        }
        return room;
}

const struct cause *reserve_fault(void)
{
        struct disk_room room = reserve_room();

        if (room.free >= room.reserve)
                return NULL;
        (void)too_little(&room, room.free < room.reserve / 2 ? "nothing is fetched, and only urgent mail is taken"
                                                             : "nothing is fetched", &reserve.fault);
        return &reserve.fault;
}

/* ---- beginning and end ---- */

void reserve_set(int64_t wanted)
{
        pthread_mutex_lock(&reserve.lock);
        reserve.wanted = wanted;
        reserve.looked = 0;
        pthread_mutex_unlock(&reserve.lock);
        (void)reserve_room();
}

void reserve_open(const char *directory)
{
        reserve.directory = copy_text(directory);
        reserve.wanted = 0;
        reserve.looked = 0;
        reserve.asked = reserve.low = reserve.let_go = false;
        reserve.room = (struct disk_room){ 0 };
}

void reserve_close(void)
{
        pthread_mutex_lock(&reserve.lock);
        free(take(reserve.directory));
        pthread_mutex_unlock(&reserve.lock);
}
