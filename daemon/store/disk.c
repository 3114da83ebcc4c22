/* SPDX-License-Identifier: MIT */
/* The durable system calls and the seam for their failures; see disk.h. */
#include "daemon/store/disk.h"

#include "common/times.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

enum {
        SYNC_ALL_SLOW = 1000,           /* ms: others write much */
        SYNC_ALL_NOT_AGAIN = 60 * 1000, /* ms after one that was slow or failed */
};

static int plain_unlink(int folder, const char *name)
{
        return unlinkat(folder, name, 0);
}

static bool tells_errors; /* of syncfs(), which does since Linux 5.8 */

static void look_at_kernel(void)
{
        struct utsname kernel;
        unsigned major = 0, minor = 0;

        tells_errors = uname(&kernel) == 0 && sscanf(kernel.release, "%u.%u", &major, &minor) == 2 &&
                       (major > 5 || (major == 5 && minor >= 8));
}

/* Others may take syncfs() for a wish (FUSE), or know nothing of it. */
static bool syncs_whole(int fd)
{
        static const long known[] = { EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC, F2FS_SUPER_MAGIC,
                                      TMPFS_MAGIC };
        static pthread_once_t once = PTHREAD_ONCE_INIT;
        struct statfs system;

        (void)pthread_once(&once, look_at_kernel);
        if (!tells_errors || fstatfs(fd, &system) < 0)
                return false;
        for (size_t i = 0; i < count_of(known); i++)
                if ((long)system.f_type == known[i])
                        return true;
        return false;
}

static int whole_sync(int fd)
{
        if (!syncs_whole(fd))
                return 0;
        return syncfs(fd) < 0 ? -1 : 1;
}

/* By its descriptor alone (AT_EMPTY_PATH) older kernels let only a privileged process do it. */
static int plain_link(int fd, int folder, const char *name)
{
        char path[40];

        (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        return linkat(AT_FDCWD, path, folder, name, AT_SYMLINK_FOLLOW);
}

static const struct disk_calls real = {
        .write = write,
        .sync = fsync,
        .sync_data = fdatasync,
        .sync_all = whole_sync,
        .rename = renameat2,
        .unlink = plain_unlink,
        .link = plain_link,
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

/* One that failed may have failed for what others wrote: then each file is asked about for a while. So it is
 * where it takes long, since much of others' has to be waited for. */
int disk_sync_all(int fd)
{
        static _Atomic int64_t not_before; /* ms */
        int64_t begun = time_monotonic_ms();

        if (begun < atomic_load(&not_before))
                return 0;
        int result = atomic_load(&calls)->sync_all(fd), error = errno;
        int64_t now = time_monotonic_ms();
        if (result < 0 || now - begun >= SYNC_ALL_SLOW)
                atomic_store(&not_before, now + SYNC_ALL_NOT_AGAIN);
        errno = error;
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

int disk_link(int fd, int folder, const char *name)
{
        return atomic_load(&calls)->link(fd, folder, name);
}
