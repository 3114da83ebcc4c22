/* SPDX-License-Identifier: MIT */
/* Reading files that a person names; see read_file.h. */
#include "ctl/read_file.h"

#include "common/times.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define READ_PIECE 65536

/* zero, full, random and what else is memory; not null, which ends at once, nor terminals and tapes. */
static bool never_ends(const struct stat *facts)
{
        return S_ISCHR(facts->st_mode) && major(facts->st_rdev) == 1 && minor(facts->st_rdev) != 3;
}

static int check(int fd, struct cause *cause)
{
        struct stat facts;

        if (fstat(fd, &facts) == 0 && never_ends(&facts))
                return cause_set(cause, CAUSE_INVALID, "the input is a device that never ends");
        return 0;
}

/* It is the caller's file, not the station's disk. */
static int about(const char *path, struct cause *cause)
{
        if (!cause)
                return -1;
        cause_prefix(cause, "%s: ", path);
        if (cause->code != CAUSE_TOO_LARGE)
                cause_remedy(cause,
                             strpbrk(path, " \t")
                                     ? "FILE is a file's name; a text goes by standard input: echo TEXT | ..."
                                     : "name a file that is there and can be read, or - for standard input");
        return -1;
}

int read_file_open(const char *path, struct cause *cause)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC);

        if (fd >= 0 && check(fd, cause) == 0)
                return fd;
        if (fd < 0)
                (void)cause_set(cause, CAUSE_STORAGE, "%s", strerror(errno));
        close_fd(&fd);
        return about(path, cause);
}

/* Cuts the text before the first line that is a single dot; true when there was one. Looks from *looked on.
 */
static bool cut_at_dot(struct buf *text, size_t *looked)
{
        const char *bytes = (const char *)buf_bytes(text);
        for (;;) {
                const char *line = bytes + *looked;
                const char *end = memchr(line, '\n', text->len - *looked);
                if (!end)
                        return false;
                size_t len = (size_t)(end - line);
                if (line[0] == '.' && (len == 1 || (len == 2 && line[1] == '\r'))) {
                        text->len = *looked;
                        return true;
                }
                *looked += len + 1;
        }
}

static int too_large(const struct buf *into, struct cause *cause)
{
        char size[32];

        size_text(into->max, size);
        return cause_set(cause, CAUSE_TOO_LARGE, "the input is larger than %s", size);
}

int read_file_rest(int fd, struct buf *into, bool dot_ends, struct cause *cause)
{
        size_t looked = 0;

        if (check(fd, cause) < 0)
                return -1;
        for (;;) {
                size_t left = into->max - into->len, piece = left < READ_PIECE ? left : READ_PIECE;
                char more;
                uint8_t *room = piece ? buf_room(into, piece) : (uint8_t *)&more;
                if (!room)
                        return too_large(into, cause);
                ssize_t got = read(fd, room, piece ? piece : 1);
                if (got < 0 && errno == EINTR)
                        continue;
                if (got < 0)
                        return cause_errno(cause, errno, "reading the input");
                if (got == 0)
                        return 0;
                if (!piece)
                        return too_large(into, cause);
                buf_grown(into, (size_t)got);
                if (dot_ends && cut_at_dot(into, &looked))
                        return 0;
        }
}

int read_file_whole(const char *path, struct buf *into, struct cause *cause)
{
        if (!path || same_text(path, "-"))
                return read_file_rest(STDIN_FILENO, into, false, cause);
        scoped(scoped_close) int fd = read_file_open(path, cause);
        if (fd < 0)
                return -1;
        return read_file_rest(fd, into, false, cause) == 0 ? 0 : about(path, cause);
}
