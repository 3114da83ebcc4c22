/* SPDX-License-Identifier: MIT */
/* What the C library does with folders and streams, on the simulated disk; and the world's own look at it. */
#include "tests/simulator/kernel.h"

#include <dirent.h>
#include <fcntl.h>

struct __dirstream {
        int fd;
        size_t at, count;
        char **names; /* as they were when it was opened */
        ino_t *numbers;
        unsigned char *types;
        struct dirent entry;
};

/* Order of a folder: of making; production may not rest on another. */
static DIR *list_of(int fd)
{
        struct file *file = fd_file(fd);
        struct inode *inode = file ? file_inode(file) : NULL;

        if (!inode || !S_ISDIR(inode->mode)) {
                errno = file ? ENOTDIR : EBADF;
                return NULL;
        }
        DIR *list = calloc(1, sizeof *list);
        list->fd = fd;
        list->count = inode->entry_count + 2;
        list->names = calloc(list->count, sizeof *list->names);
        list->numbers = calloc(list->count, sizeof *list->numbers);
        list->types = calloc(list->count, sizeof *list->types);
        for (size_t i = 0; i < list->count; i++) {
                const struct inode *one = i < 2 ? inode : inode->entries[i - 2].inode;
                list->names[i] = strdup(i == 0 ? "." : i == 1 ? ".." : inode->entries[i - 2].name);
                list->numbers[i] = one->number;
                list->types[i] = S_ISDIR(one->mode) ? DT_DIR : S_ISREG(one->mode) ? DT_REG : DT_SOCK;
        }
        return list;
}

DIR *fdopendir(int fd)
{
        return list_of(fd);
}

DIR *opendir(const char *path)
{
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *list = fd < 0 ? NULL : list_of(fd);

        if (!list && fd >= 0)
                (void)close(fd);
        return list;
}

struct dirent *readdir(DIR *list)
{
        if (list->at == list->count)
                return NULL;
        list->entry.d_ino = list->numbers[list->at];
        list->entry.d_type = list->types[list->at];
        (void)snprintf(list->entry.d_name, sizeof list->entry.d_name, "%s", list->names[list->at++]);
        return &list->entry;
}
ALSO_NAMED(readdir64, readdir);

int closedir(DIR *list)
{
        (void)close(list->fd);
        for (size_t i = 0; i < list->count; i++)
                free(list->names[i]);
        free(list->names);
        free(list->numbers);
        free(list->types);
        free(list);
        return 0;
}

int dirfd(DIR *list)
{
        return list->fd;
}

void rewinddir(DIR *list)
{
        list->at = 0;
}

int scandir(const char *path, struct dirent ***out, int (*wanted)(const struct dirent *),
            int (*order)(const struct dirent **, const struct dirent **))
{
        DIR *list = opendir(path);
        int count = 0;

        if (!list)
                return -1;
        *out = calloc(list->count, sizeof **out);
        for (const struct dirent *entry; (entry = readdir(list)) != NULL;) {
                if (wanted && !wanted(entry))
                        continue;
                (*out)[count] = malloc(sizeof *entry);
                *(*out)[count++] = *entry;
        }
        if (order)
                qsort(*out, (size_t)count, sizeof **out,
                      (int (*)(const void *, const void *))(void (*)(void))order);
        (void)closedir(list);
        return count;
}
ALSO_NAMED(scandir64, scandir);

/* ---- streams ---- */

static ssize_t stream_read(void *cookie, char *bytes, size_t len)
{
        return read((int)(intptr_t)cookie, bytes, len);
}

static ssize_t stream_write(void *cookie, const char *bytes, size_t len)
{
        return write((int)(intptr_t)cookie, bytes, len);
}

static int stream_close(void *cookie)
{
        return close((int)(intptr_t)cookie);
}

FILE *fopen(const char *path, const char *mode)
{
        int flags = mode[0] == 'r'   ? O_RDONLY
                    : mode[0] == 'a' ? O_WRONLY | O_CREAT | O_APPEND
                                     : O_WRONLY | O_CREAT | O_TRUNC;
        int fd = open(path, flags, 0666);

        if (fd < 0)
                return NULL;
        return fopencookie(
                (void *)(intptr_t)fd, mode[0] == 'r' ? "r" : "w",
                (cookie_io_functions_t){ .read = stream_read, .write = stream_write, .close = stream_close });
}
ALSO_NAMED(fopen64, fopen);

/* ---- the world's look ---- */

void disk_put(const char *path, const void *bytes, size_t len)
{
        struct inode *folder = disk_root();

        for (;;) {
                path += strspn(path, "/");
                size_t part = strcspn(path, "/");
                struct inode *next = folder_find(folder, path, part);
                bool last = path[part] == '\0';
                if (!next) {
                        char *name = world_copy(path, part);
                        next = inode_new(last ? S_IFREG | 0644 : S_IFDIR | 0755);
                        (void)folder_add(folder, name, next);
                        world_free(name);
                        (void)inode_sync(folder);
                }
                folder = next;
                path += part;
                if (last)
                        break;
        }
        (void)inode_resize(folder, 0);
        if (len)
                (void)inode_write(folder, bytes, len, 0);
        (void)inode_sync(folder);
        inotify_tell();
}

char *disk_get(const char *path, size_t *len)
{
        struct inode *inode = path_find(AT_FDCWD, path, true);

        if (!inode || !S_ISREG(inode->mode))
                return NULL;
        char *bytes = world_alloc((size_t)inode->size + 1);
        *len = (size_t)inode_read(inode, bytes, (size_t)inode->size, 0);
        return bytes;
}

void disk_list(const char *path, void (*each)(void *ctx, const char *name), void *ctx)
{
        const struct inode *folder = path_find(AT_FDCWD, path, true);

        for (size_t i = 0; folder && i < folder->entry_count; i++)
                each(ctx, folder->entries[i].name);
}

void disk_remove(const char *path)
{
        (void)unlink(path);
        inotify_tell();
}
