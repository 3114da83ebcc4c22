/* SPDX-License-Identifier: MIT */
/* The table of descriptors of the simulated process, and the calls that only look there. Of a life. */
#include "tests/simulator/kernel.h"

#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

static struct {
        struct file *file;
        bool cloexec;
} table[FD_MOST];
static unsigned open_now;
static uint64_t opened;

/* The system's own, past the names that this program defines. */
long real(long number, ...)
{
        long arg[6];
        va_list args;

        va_start(args, number);
        for (size_t i = 0; i < lengthof(arg); i++)
                arg[i] = va_arg(args, long);
        va_end(args);
        register long r10 __asm__("r10") = arg[3];
        register long r8 __asm__("r8") = arg[4];
        register long r9 __asm__("r9") = arg[5];
        long result;
        __asm__ volatile("syscall"
                         : "=a"(result)
                         : "a"(number), "D"(arg[0]), "S"(arg[1]), "d"(arg[2]), "r"(r10), "r"(r8), "r"(r9)
                         : "rcx", "r11", "memory");
        if (result < 0 && result > -4096) {
                errno = (int)-result;
                return -1;
        }
        return result;
}

struct file *fd_file(int fd)
{
        shared->turn_work++; /* the loop's bound: machine_turn() */
        struct file *file = fd_is_ours(fd) ? table[fd - FD_FIRST].file : NULL;

        if (!file)
                errno = EBADF;
        return file;
}

int fd_of_file(struct file *file)
{
        for (int i = 0; i < FD_MOST; i++)
                if (!table[i].file) {
                        table[i].file = file;
                        open_now++;
                        return FD_FIRST + i;
                }
        file_drop(file);
        errno = EMFILE;
        return -1;
}

int fd_new(const struct file_kind *kind, void *object, int flags)
{
        struct file *file = calloc(1, sizeof *file);

        if (!file)
                abort();
        *file = (struct file){
                .kind = kind, .references = 1, .flags = flags, .object = object, .number = ++opened
        };
        return fd_of_file(file);
}

struct file *file_keep(struct file *file)
{
        file->references++;
        return file;
}

void file_drop(struct file *file)
{
        if (--file->references)
                return;
        file->kind->close(file);
        free(file);
}

unsigned fds_open(void)
{
        return open_now;
}

void fds_tell(void)
{
        for (int i = 0; i < FD_MOST; i++)
                if (table[i].file)
                        history("kernel", "descriptor %d is open: %s, the %lluth", FD_FIRST + i,
                                table[i].file->kind->name, (unsigned long long)table[i].file->number);
}

/* ---- calls ---- */

int close(int fd)
{
        if (!fd_is_ours(fd))
                return (int)real(SYS_close, (long)fd);
        struct file *file = fd_file(fd);
        if (!file) {
                history("kernel", "close of descriptor %d, which is not open", fd);
                return -1;
        }
        table[fd - FD_FIRST].file = NULL;
        open_now--;
        file_drop(file);
        return 0;
}

ssize_t read(int fd, void *bytes, size_t len)
{
        if (!fd_is_ours(fd))
                return real(SYS_read, (long)fd, bytes, len);
        struct file *file = fd_file(fd);
        return file ? file->kind->read(file, bytes, len) : -1;
}

ssize_t write(int fd, const void *bytes, size_t len)
{
        if (fd == STDERR_FILENO && in_daemon) {
                history_lines("daemon", bytes, len);
                return (ssize_t)len;
        }
        if (!fd_is_ours(fd))
                return real(SYS_write, (long)fd, bytes, len);
        struct file *file = fd_file(fd);
        return file ? file->kind->write(file, bytes, len) : -1;
}

ssize_t readv(int fd, const struct iovec *iov, int count)
{
        ssize_t all = 0;

        for (int i = 0; i < count; i++) {
                ssize_t got = read(fd, iov[i].iov_base, iov[i].iov_len);
                if (got < 0)
                        return all ? all : -1;
                all += got;
                if ((size_t)got < iov[i].iov_len)
                        break;
        }
        return all;
}

ssize_t writev(int fd, const struct iovec *iov, int count)
{
        ssize_t all = 0;

        for (int i = 0; i < count; i++) {
                ssize_t put = write(fd, iov[i].iov_base, iov[i].iov_len);
                if (put < 0)
                        return all ? all : -1;
                all += put;
                if ((size_t)put < iov[i].iov_len)
                        break;
        }
        return all;
}

static int duplicate(struct file *file)
{
        return fd_of_file(file_keep(file));
}

int dup(int fd)
{
        struct file *file = fd_file(fd);

        return file ? duplicate(file) : -1;
}

int fcntl(int fd, int command, ...)
{
        va_list args;

        va_start(args, command);
        long arg = va_arg(args, long);
        va_end(args);
        if (!fd_is_ours(fd))
                return (int)real(SYS_fcntl, (long)fd, (long)command, arg);
        struct file *file = fd_file(fd);
        if (!file)
                return -1;
        switch (command) {
        case F_GETFL:
                return file->flags;
        case F_SETFL:
                file->flags = (int)arg;
                return 0;
        case F_GETFD:
                return table[fd - FD_FIRST].cloexec ? FD_CLOEXEC : 0;
        case F_SETFD:
                table[fd - FD_FIRST].cloexec = arg & FD_CLOEXEC;
                return 0;
        case F_DUPFD:
        case F_DUPFD_CLOEXEC:
                return duplicate(file);
        case F_GETLK:
        case F_OFD_GETLK:
                ((struct flock *)arg)->l_type = F_UNLCK;
                return 0;
        case F_SETLK:
        case F_SETLKW:
        case F_OFD_SETLK:
                return 0; /* one process, and each life ends with its locks */
        default:          /* F_GET_SEALS of what clients pass: a file in memory */
                return 0;
        }
}
ALSO_NAMED(fcntl64, fcntl);

int ioctl(int fd, unsigned long request, ...)
{
        va_list args;

        va_start(args, request);
        void *arg = va_arg(args, void *);
        va_end(args);
        if (!fd_is_ours(fd))
                return (int)real(SYS_ioctl, (long)fd, request, arg);
        errno = ENOTTY;
        return -1;
}

int isatty(int fd)
{
        (void)fd;
        errno = ENOTTY;
        return 0;
}

ssize_t __read_chk(int fd, void *bytes, size_t len, size_t room);
ssize_t __read_chk(int fd, void *bytes, size_t len, size_t room)
{
        if (len > room)
                abort();
        return read(fd, bytes, len);
}
