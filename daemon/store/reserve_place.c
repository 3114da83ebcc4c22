/* SPDX-License-Identifier: MIT */
/* The file that holds place on the disk; see reserve_place.h. */
#include "daemon/store/reserve_place.h"

#include "common/limits.h"
#include "daemon/store/database.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
        LOG_PART = 32,         /* of the disk: the log of the database, */
        LOG_LEAST = 256 * KIB, /* at least */
        COMMIT_PART = 16,      /* and what one commit may take beside it */
        COMMIT_LEAST = 512 * KIB,
        COMMIT_MOST = 4 * MIB,
};

static size_t within(uint64_t size, size_t least, size_t most)
{
        return size < least ? least : size > most ? most : (size_t)size;
}

void reserve_place_init(struct reserve_place *place, uint64_t total)
{
        *place = (struct reserve_place){ .log = within(total / LOG_PART, LOG_LEAST, DATABASE_LOG_MOST),
                                         .commit = within(total / COMMIT_PART, COMMIT_LEAST, COMMIT_MOST) };
}

/* The log grows to its length, and must then fit into the database; a commit may be on top of it. */
size_t reserve_place_size(const struct reserve_place *place)
{
        return place->log + place->log / 4 + place->commit;
}

/* As much as a quota allows, within a few tries; the log follows. 0, or what was in the way. */
static int allocate(struct reserve_place *place, int fd, size_t before)
{
        struct reserve_place try = *place;
        int error;

        for (;;) {
                error = posix_fallocate(fd, 0, (off_t)reserve_place_size(&try));
                if (error == 0 && ftruncate(fd, (off_t)reserve_place_size(&try)) == 0) {
                        *place = try;
                        return 0;
                }
                if ((error != ENOSPC && error != EDQUOT) || try.log == LOG_LEAST ||
                    ftruncate(fd, (off_t)before) < 0)
                        return error ? error : EIO;
                try.log = within(try.log / 2, LOG_LEAST, try.log);
                try.commit = within(try.commit / 2, COMMIT_LEAST, try.commit);
        }
}

/* ENOSPC where the disk is full; anything else is tried again at a later look. */
static int no_room(int error)
{
        return error == ENOSPC || error == EDQUOT ? ENOSPC : 0;
}

/* `before`: bytes of ours that are there. */
static int make_file(struct reserve_place *place, const char *path, size_t before)
{
        scoped(scoped_close) int fd =
                open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);

        if (fd < 0)
                return no_room(errno);
        int error = allocate(place, fd, before);
        place->holding = error == 0;
        if (error)
                (void)unlink(path); /* then there is none, until a later look */
        return no_room(error);
}

int reserve_place_hold(struct reserve_place *place, const char *directory, const struct disk_room *room)
{
        scoped(scoped_free) char *path = text_of("%s/reserve", directory);
        size_t wanted = reserve_place_size(place);
        struct stat st = { 0 };
        bool there = lstat(path, &st) == 0, ours = there && S_ISREG(st.st_mode);

        if (room->reserve && place->holding && ours && (size_t)st.st_size >= wanted)
                return 0;
        place->holding = false;
        if (!room->reserve) {
                if (ours)
                        (void)unlink(path);
                return 0;
        }
        if (!(ours && st.st_size > 0) && room->free < 2 * wanted)
                return ENOSPC;
        if (there && !ours && unlink(path) < 0 && rmdir(path) < 0)
                return 0;
        return make_file(place, path, ours ? (size_t)st.st_size : 0);
}

bool reserve_place_let_go(struct reserve_place *place, const char *directory)
{
        scoped(scoped_free) char *path = text_of("%s/reserve", directory);
        struct stat st;
        bool went = lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 && unlink(path) == 0;

        place->holding = place->holding && !went;
        return went;
}
