/* SPDX-License-Identifier: MIT */
/* System calls on files: names, and what is open. The disk itself: disk.c. No symbolic links, one mount. */
#include "tests/simulator/kernel.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/vfs.h>
#include <utime.h>

/* ---- paths ---- */

static struct inode *folder_of_fd(int fd)
{
        if (fd == AT_FDCWD)
                return disk_root();
        struct file *file = fd_file(fd);
        struct inode *inode = file ? file_inode(file) : NULL;
        if (file && (!inode || !S_ISDIR(inode->mode)))
                errno = ENOTDIR;
        return inode && S_ISDIR(inode->mode) ? inode : NULL;
}

/* The folder in which the last part of the path is, or is to be; `last` points into `path`, without slashes
 * after it. */
static struct inode *walk(int folder_fd, const char *path, const char **last, size_t *last_len)
{
        shared->turn_work++;
        struct inode *folder = *path == '/' ? disk_root() : folder_of_fd(folder_fd);

        if (!folder)
                return NULL;
        *last = ".";
        *last_len = 1;
        if (!*path) {
                errno = ENOENT;
                return NULL;
        }
        for (;;) {
                path += strspn(path, "/");
                size_t len = strcspn(path, "/");
                if (!len)
                        return folder;
                *last = path;
                *last_len = len;
                path += len;
                if (!path[strspn(path, "/")])
                        return folder;
                struct inode *next = len == 1 && **last == '.' ? folder
                                     : len == 2 && (*last)[0] == '.' && (*last)[1] == '.'
                                             ? folder->parent
                                             : folder_find(folder, *last, len);
                if (!next || !S_ISDIR(next->mode)) {
                        errno = next ? ENOTDIR : ENOENT;
                        return NULL;
                }
                folder = next;
        }
}

static struct inode *last_of(struct inode *folder, const char *last, size_t len)
{
        if (len == 1 && last[0] == '.')
                return folder;
        if (len == 2 && last[0] == '.' && last[1] == '.')
                return folder->parent;
        return folder_find(folder, last, len);
}

struct inode *path_find(int folder_fd, const char *path, bool follow)
{
        const char *last;
        size_t len;
        struct inode *folder = walk(folder_fd, path, &last, &len);
        struct inode *found = folder ? last_of(folder, last, len) : NULL;

        (void)follow;
        if (folder && !found)
                errno = ENOENT;
        return found;
}

/* ---- open files ---- */

static ssize_t file_read(struct file *file, void *bytes, size_t len)
{
        struct inode *inode = file->object;
        int error = disk_trouble("read", inode);

        if (error || S_ISDIR(inode->mode)) {
                errno = error ? error : EISDIR;
                return -1;
        }
        ssize_t got = inode_read(inode, bytes, len, file->at);
        file->at += got;
        return got;
}

static ssize_t write_at(struct inode *inode, const void *bytes, size_t len, int64_t at)
{
        machine_may_die("write");
        int error = disk_trouble("write", inode);
        if (error) {
                errno = error;
                return -1;
        }
        return inode_write(inode, bytes, disk_part(len), at);
}

static ssize_t file_write(struct file *file, const void *bytes, size_t len)
{
        struct inode *inode = file->object;

        if (file->flags & O_APPEND)
                file->at = inode->size;
        ssize_t put = write_at(inode, bytes, len, file->at);
        if (put > 0)
                file->at += put;
        return put;
}

static unsigned file_ready(struct file *file)
{
        (void)file;
        return POLLIN | POLLOUT;
}

static void file_close(struct file *file)
{
        inode_closed(file->object);
}

static const struct file_kind file_kind = {
        .name = "file", .read = file_read, .write = file_write, .ready = file_ready, .close = file_close
};

/* /dev/null and /dev/urandom. */
static char random_device;

static ssize_t device_read(struct file *file, void *bytes, size_t len)
{
        if (!file->object)
                return 0;
        chance_bytes("random", bytes, len);
        return (ssize_t)len;
}

static ssize_t device_write(struct file *file, const void *bytes, size_t len)
{
        (void)file;
        (void)bytes;
        return (ssize_t)len;
}

static void device_close(struct file *file)
{
        (void)file;
}

static const struct file_kind device_kind = { .name = "device",
                                              .read = device_read,
                                              .write = device_write,
                                              .ready = file_ready,
                                              .close = device_close };

struct inode *file_inode(struct file *file)
{
        return file->kind == &file_kind ? file->object : NULL;
}

int inode_fd(struct inode *inode, int flags)
{
        inode_opened(inode);
        return fd_new(&file_kind, inode, flags);
}

static int open_there(int folder_fd, const char *path, int flags, mode_t mode)
{
        const char *last;
        size_t len;

        if (strcmp(path, "/dev/null") == 0 || strcmp(path, "/dev/urandom") == 0)
                return fd_new(&device_kind, path[5] == 'u' ? &random_device : NULL, flags);
        struct inode *folder = walk(folder_fd, path, &last, &len);
        if (!folder)
                return -1;
        struct inode *inode = last_of(folder, last, len);
        if ((flags & O_TMPFILE) == O_TMPFILE && inode) {
                machine_may_die("create");
                errno = disk_left() ? disk_trouble("create", inode) : ENOSPC;
                return errno ? -1 : inode_fd(inode_new(S_IFREG | (mode & 0777)), flags);
        }
        if (!inode && (flags & O_CREAT)) {
                machine_may_die("create");
                int error = disk_left() ? disk_trouble("create", folder) : ENOSPC;
                if (error) {
                        errno = error;
                        return -1;
                }
                mode_t mask = umask(0);
                (void)umask(mask);
                char *name = world_copy(last, len);
                inode = inode_new(S_IFREG | (mode & 07777 & ~mask));
                (void)folder_add(folder, name, inode);
                world_free(name);
        } else if (!inode || (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)) {
                errno = inode ? EEXIST : ENOENT;
                return -1;
        }
        if ((flags & O_DIRECTORY) && !S_ISDIR(inode->mode)) {
                errno = ENOTDIR;
                return -1;
        }
        if (S_ISDIR(inode->mode) && (flags & O_ACCMODE) != O_RDONLY) {
                errno = EISDIR;
                return -1;
        }
        if (flags & O_TRUNC)
                (void)inode_resize(inode, 0);
        return inode_fd(inode, flags);
}

int openat(int folder_fd, const char *path, int flags, ...)
{
        va_list args;

        va_start(args, flags);
        mode_t mode = va_arg(args, mode_t);
        va_end(args);
        return open_there(folder_fd, path, flags, mode);
}
ALSO_NAMED(openat64, openat);

int open(const char *path, int flags, ...)
{
        va_list args;

        va_start(args, flags);
        mode_t mode = va_arg(args, mode_t);
        va_end(args);
        return open_there(AT_FDCWD, path, flags, mode);
}
ALSO_NAMED(open64, open);

int __open_2(const char *path, int flags);
int __open_2(const char *path, int flags)
{
        return open_there(AT_FDCWD, path, flags, 0);
}
ALSO_NAMED(__open64_2, __open_2);

int __openat_2(int folder_fd, const char *path, int flags);
int __openat_2(int folder_fd, const char *path, int flags)
{
        return open_there(folder_fd, path, flags, 0);
}
ALSO_NAMED(__openat64_2, __openat_2);

/* NULL with EBADF or EINVAL. */
static struct inode *inode_of(int fd)
{
        struct file *file = fd_file(fd);
        struct inode *inode = file ? file_inode(file) : NULL;

        if (file && !inode)
                errno = EINVAL;
        return inode;
}

ssize_t pread(int fd, void *bytes, size_t len, off_t at)
{
        struct inode *inode = inode_of(fd);
        int error = inode ? disk_trouble("read", inode) : 0;

        if (error)
                errno = error;
        return inode && !error ? inode_read(inode, bytes, len, at) : -1;
}
ALSO_NAMED(pread64, pread);

ssize_t __pread_chk(int fd, void *bytes, size_t len, off_t at, size_t room);
ssize_t __pread_chk(int fd, void *bytes, size_t len, off_t at, size_t room)
{
        if (len > room)
                abort();
        return pread(fd, bytes, len, at);
}
ALSO_NAMED(__pread64_chk, __pread_chk);

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at)
{
        struct inode *inode = inode_of(fd);

        return inode ? write_at(inode, bytes, len, at) : -1;
}
ALSO_NAMED(pwrite64, pwrite);

off_t lseek(int fd, off_t at, int whence)
{
        if (!fd_is_ours(fd))
                return real(SYS_lseek, (long)fd, at, (long)whence);
        struct inode *inode = inode_of(fd);
        if (!inode)
                return -1;
        struct file *file = fd_file(fd);
        if (whence == SEEK_CUR)
                at += file->at;
        else if (whence == SEEK_END)
                at += inode->size;
        else if (whence == SEEK_DATA || whence == SEEK_HOLE) {
                if (at >= inode->size) {
                        errno = ENXIO;
                        return -1;
                }
                at = whence == SEEK_HOLE ? inode->size : at;
        }
        if (at < 0) {
                errno = EINVAL;
                return -1;
        }
        return file->at = at;
}
ALSO_NAMED(lseek64, lseek);

int ftruncate(int fd, off_t size)
{
        struct inode *inode = inode_of(fd);

        if (!inode)
                return -1;
        machine_may_die("truncate");
        int error = disk_trouble("truncate", inode);
        if (error) {
                errno = error;
                return -1;
        }
        return inode_resize(inode, size);
}
ALSO_NAMED(ftruncate64, ftruncate);

int posix_fallocate(int fd, off_t from, off_t len)
{
        struct inode *inode = inode_of(fd);

        if (!inode)
                return EBADF;
        machine_may_die("fallocate");
        return inode_reserve(inode, from + len) ? 0 : ENOSPC;
}
ALSO_NAMED(posix_fallocate64, posix_fallocate);

static int sync_there(int fd)
{
        struct inode *inode = inode_of(fd);

        if (!inode)
                return -1;
        machine_may_die("sync");
        int error = disk_trouble("sync", inode);
        if (error) {
                errno = error;
                return -1;
        }
        return inode_sync(inode);
}

int fsync(int fd)
{
        return sync_there(fd);
}

int fdatasync(int fd)
{
        return sync_there(fd);
}

int sync_file_range(int fd, off64_t from, off64_t len, unsigned flags)
{
        (void)fd;
        (void)from;
        (void)len;
        (void)flags;
        return 0; /* begins to write, and promises nothing */
}

int syncfs(int fd)
{
        if (!inode_of(fd))
                return -1;
        machine_may_die("sync");
        int error = inodes_sync();
        errno = error;
        return error ? -1 : 0;
}

int flock(int fd, int operation)
{
        (void)operation;
        return fd_file(fd) ? 0 : -1;
}

/* ---- facts ---- */

static void fill(struct stat *out, const struct inode *inode)
{
        memset(out, 0, sizeof *out);
        out->st_dev = makedev(8, 1);
        out->st_ino = inode->number;
        out->st_mode = inode->mode;
        out->st_nlink = inode->links + (S_ISDIR(inode->mode) ? 1 : 0);
        out->st_uid = inode->uid;
        out->st_gid = inode->gid;
        out->st_size = inode->size;
        out->st_blksize = PAGE_SIZE_;
        out->st_blocks = (inode->size + 511) / 512;
        out->st_mtim = inode->modified;
        out->st_ctim = inode->changed;
        out->st_atim = inode->modified;
}

int fstat(int fd, struct stat *out)
{
        if (!fd_is_ours(fd))
                return (int)real(SYS_fstat, (long)fd, out);
        struct file *file = fd_file(fd);
        if (!file)
                return -1;
        struct inode *inode = file_inode(file);
        if (inode) {
                fill(out, inode);
                return 0;
        }
        memset(out, 0, sizeof *out);
        out->st_mode = file->kind == &device_kind ? S_IFCHR | 0666 : S_IFSOCK | 0600;
        return 0;
}
ALSO_NAMED(fstat64, fstat);

static int stat_there(int folder_fd, const char *path, struct stat *out)
{
        const struct inode *inode = path_find(folder_fd, path, true);

        if (!inode)
                return -1;
        fill(out, inode);
        return 0;
}

int fstatat(int folder_fd, const char *path, struct stat *out, int flags)
{
        return (flags & AT_EMPTY_PATH) && !*path ? fstat(folder_fd, out) : stat_there(folder_fd, path, out);
}
ALSO_NAMED(fstatat64, fstatat);

int stat(const char *path, struct stat *out)
{
        return stat_there(AT_FDCWD, path, out);
}
ALSO_NAMED(stat64, stat);

int lstat(const char *path, struct stat *out)
{
        return stat_there(AT_FDCWD, path, out);
}
ALSO_NAMED(lstat64, lstat);

int statx(int folder_fd, const char *path, int flags, unsigned mask, struct statx *out)
{
        struct stat facts;

        (void)mask;
        if (fstatat(folder_fd, path, &facts, flags) < 0)
                return -1;
        memset(out, 0, sizeof *out);
        out->stx_mask = STATX_BASIC_STATS;
        out->stx_mode = (uint16_t)facts.st_mode;
        out->stx_size = (uint64_t)facts.st_size;
        out->stx_ino = facts.st_ino;
        out->stx_dev_major = 8;
        out->stx_dev_minor = 1;
        return 0;
}

int statvfs(const char *path, struct statvfs *out)
{
        if (!path_find(AT_FDCWD, path, true))
                return -1;
        *out = (struct statvfs){ .f_bsize = PAGE_SIZE_,
                                 .f_frsize = PAGE_SIZE_,
                                 .f_blocks = 1 << 23,
                                 .f_bfree = (fsblkcnt_t)disk_left(),
                                 .f_bavail = (fsblkcnt_t)disk_left(),
                                 .f_files = 1 << 20,
                                 .f_ffree = 1 << 19,
                                 .f_favail = 1 << 19,
                                 .f_namemax = 255 };
        return 0;
}
ALSO_NAMED(statvfs64, statvfs);

int fstatfs(int fd, struct statfs *out)
{
        *out = (struct statfs){ .f_type = EXT4_SUPER_MAGIC, .f_bsize = PAGE_SIZE_ };
        return inode_of(fd) ? 0 : -1;
}
ALSO_NAMED(fstatfs64, fstatfs);

int access(const char *path, int mode)
{
        (void)mode;
        return path_find(AT_FDCWD, path, true) ? 0 : -1;
}

int faccessat(int folder_fd, const char *path, int mode, int flags)
{
        (void)mode;
        (void)flags;
        return path_find(folder_fd, path, true) ? 0 : -1;
}

static int set_mode(struct inode *inode, mode_t mode)
{
        if (!inode)
                return -1;
        inode->mode = (inode->mode & S_IFMT) | (mode & 07777);
        inode->changed = disk_time();
        return 0;
}

int chmod(const char *path, mode_t mode)
{
        return set_mode(path_find(AT_FDCWD, path, true), mode);
}

int fchmod(int fd, mode_t mode)
{
        return set_mode(inode_of(fd), mode);
}

int fchown(int fd, uid_t uid, gid_t gid)
{
        struct inode *inode = inode_of(fd);

        if (!inode)
                return -1;
        if (uid != (uid_t)-1)
                inode->uid = uid;
        if (gid != (gid_t)-1)
                inode->gid = gid;
        return 0;
}

int futimens(int fd, const struct timespec times[2])
{
        struct inode *inode = inode_of(fd);

        if (!inode)
                return -1;
        inode->modified = times && times[1].tv_nsec != UTIME_NOW ? times[1] : disk_time();
        inode->changed = disk_time();
        return 0;
}

/* ---- changes of folders ---- */

static struct inode *to_change(int folder_fd, const char *path, char **name, const char *call)
{
        const char *last;
        size_t len;
        struct inode *folder = walk(folder_fd, path, &last, &len);

        if (!folder)
                return NULL;
        machine_may_die(call);
        int error = disk_trouble(call, folder);
        if (error) {
                errno = error;
                return NULL;
        }
        *name = world_copy(last, len);
        return folder;
}

int mkdirat(int folder_fd, const char *path, mode_t mode)
{
        char *name = NULL;
        struct inode *folder = to_change(folder_fd, path, &name, "mkdir");
        int result = -1;

        if (folder && folder_find(folder, name, strlen(name))) {
                errno = EEXIST;
        } else if (folder && !disk_left()) {
                errno = ENOSPC;
        } else if (folder) {
                mode_t mask = umask(0);
                (void)umask(mask);
                result = folder_add(folder, name, inode_new(S_IFDIR | (mode & 07777 & ~mask)));
        }
        world_free(name);
        return result;
}

int mkdir(const char *path, mode_t mode)
{
        return mkdirat(AT_FDCWD, path, mode);
}

int unlinkat(int folder_fd, const char *path, int flags)
{
        char *name = NULL;
        struct inode *folder = to_change(folder_fd, path, &name, "unlink");
        const struct inode *inode = folder ? folder_find(folder, name, strlen(name)) : NULL;
        int result = -1;

        if (!folder)
                return -1;
        if (!inode)
                errno = ENOENT;
        else if (S_ISDIR(inode->mode) && !(flags & AT_REMOVEDIR))
                errno = EISDIR;
        else if (!S_ISDIR(inode->mode) && (flags & AT_REMOVEDIR))
                errno = ENOTDIR;
        else if (inode->entry_count)
                errno = ENOTEMPTY;
        else
                result = folder_remove(folder, name);
        world_free(name);
        return result;
}

int unlink(const char *path)
{
        return unlinkat(AT_FDCWD, path, 0);
}

int rmdir(const char *path)
{
        return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int remove(const char *path)
{
        int result = unlink(path);

        return result < 0 && errno == EISDIR ? rmdir(path) : result;
}

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
        char *old = NULL, *new = NULL;
        struct inode *source = to_change(from_fd, from, &old, "rename");
        const char *last;
        size_t len;
        struct inode *target = source ? walk(to_fd, to, &last, &len) : NULL;
        int result = -1;

        if (target) {
                new = world_copy(last, len);
                const struct inode *inode = folder_find(source, old, strlen(old)),
                                   *other = folder_find(target, new, len);
                if (!inode || ((flags & RENAME_EXCHANGE) && !other))
                        errno = ENOENT;
                else if (other && (flags & RENAME_NOREPLACE))
                        errno = EEXIST;
                else if (other && other != inode && !(flags & RENAME_EXCHANGE) && S_ISDIR(other->mode) &&
                         other->entry_count)
                        errno = ENOTEMPTY;
                else
                        result = folder_move(source, old, target, new, flags & RENAME_EXCHANGE);
        }
        world_free(old);
        world_free(new);
        return result;
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
        return renameat2(from_fd, from, to_fd, to, 0);
}

int rename(const char *from, const char *to)
{
        return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

/* Of "/proc/self/fd/N": that of an open file, which may have no name. */
static struct inode *by_descriptor(const char *path)
{
        static const char folder[] = "/proc/self/fd/";

        if (strncmp(path, folder, sizeof folder - 1) != 0)
                return NULL;
        return inode_of(atoi(path + sizeof folder - 1));
}

int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
        struct inode *inode = by_descriptor(from);
        if (!inode)
                inode = path_find(from_fd, from, true);
        char *name = NULL;
        struct inode *folder = inode ? to_change(to_fd, to, &name, "link") : NULL;
        int result = -1;

        (void)flags;
        if (folder && folder_find(folder, name, strlen(name)))
                errno = EEXIST;
        else if (folder)
                result = folder_add(folder, name, inode);
        world_free(name);
        return result;
}

int link(const char *from, const char *to)
{
        return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

ssize_t readlink(const char *path, char *out, size_t size)
{
        (void)out;
        (void)size;
        if (path_find(AT_FDCWD, path, false))
                errno = EINVAL; /* not a link */
        return -1;
}

char *realpath(const char *path, char *out)
{
        if (*path != '/' || !path_find(AT_FDCWD, path, true)) {
                errno = ENOENT;
                return NULL;
        }
        return out ? strcpy(out, path) : strdup(path);
}

char *__realpath_chk(const char *path, char *out, size_t size);
char *__realpath_chk(const char *path, char *out, size_t size)
{
        (void)size;
        return realpath(path, out);
}

char *getcwd(char *out, size_t size)
{
        (void)size;
        return out ? strcpy(out, "/") : strdup("/");
}

int nftw(const char *path, void *each, int most, int flags)
{
        (void)path;
        (void)each;
        (void)most;
        (void)flags;
        errno = ENOENT; /* of restoring alone */
        return -1;
}

/* Shared memory of SQLite's log: one process has it, and each life begins anew. */
void *mmap(void *at, size_t len, int protection, int flags, int fd, off_t from)
{
        if (!fd_is_ours(fd))
                return (void *)real(SYS_mmap, at, len, (long)protection, (long)flags, (long)fd, from);
        return (void *)real(SYS_mmap, at, len, (long)protection, (long)(MAP_PRIVATE | MAP_ANONYMOUS), -1L,
                            0L);
}
ALSO_NAMED(mmap64, mmap);
