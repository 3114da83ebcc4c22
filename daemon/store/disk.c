/* SPDX-License-Identifier: MIT */
/* The durable system calls and the seam for their failures; see disk.h. */
#include "daemon/store/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

static int plain_unlink(int folder, const char *name)
{
        return unlinkat(folder, name, 0);
}

static const struct disk_calls real = {
        .write = write,
        .sync = fsync,
        .sync_data = fdatasync,
        .rename = renameat2,
        .unlink = plain_unlink,
};
static const struct disk_calls *_Atomic calls = &real; /* set by tests, read by every thread */

void disk_use(const struct disk_calls *use)
{
        atomic_store(&calls, use ? use : &real);
}

const struct disk_calls *disk_real_calls(void)
{
        return &real;
}

int disk_write(int fd, const void *bytes, size_t len)
{
        const uint8_t *at = bytes;

        while (len) {
                ssize_t wrote = atomic_load(&calls)->write(fd, at, len);
                if (wrote < 0 && errno == EINTR)
                        continue;
                if (wrote <= 0) {
                        if (wrote == 0)
                                errno = EIO;
                        return -1;
                }
                at += wrote;
                len -= (size_t)wrote;
        }
        return 0;
}

/* An fsync that failed is never tried again: the kernel may have dropped the pages and would
 * then report success. Only an interruption is repeated. */
int disk_sync(int fd)
{
        int result;

        do {
                result = atomic_load(&calls)->sync(fd);
        } while (result < 0 && errno == EINTR);
        return result;
}

int disk_sync_data(int fd)
{
        int result;

        do {
                result = atomic_load(&calls)->sync_data(fd);
        } while (result < 0 && errno == EINTR);
        return result;
}

int disk_rename(int from_folder, const char *from, int to_folder, const char *to)
{
        return atomic_load(&calls)->rename(from_folder, from, to_folder, to, 0);
}

int disk_rename_new(int from_folder, const char *from, int to_folder, const char *to)
{
        if (atomic_load(&calls)->rename(from_folder, from, to_folder, to, RENAME_NOREPLACE) == 0)
                return 0;
        if (errno != EINVAL && errno != ENOSYS)
                return -1;
        /* A filesystem that does not know the flag; only this process makes names there. */
        if (faccessat(to_folder, to, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
                errno = EEXIST;
                return -1;
        }
        return disk_rename(from_folder, from, to_folder, to);
}

int disk_exchange(int one_folder, const char *one, int other_folder, const char *other)
{
        return atomic_load(&calls)->rename(one_folder, one, other_folder, other, RENAME_EXCHANGE);
}

int disk_unlink(int folder, const char *name)
{
        return atomic_load(&calls)->unlink(folder, name);
}
