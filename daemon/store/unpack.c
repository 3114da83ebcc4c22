/* SPDX-License-Identifier: MIT */
/*
 * Unpacking a backup; see unpack.h. The archive may be anybody's: only regular files with plain relative
 * names are taken, nothing is overwritten, and nothing counts before the list of digests at its end has been
 * compared.
 */
#include "daemon/store/unpack.h"

#include "common/json_fields.h"
#include "common/tar.h"
#include "daemon/sha256.h"
#include "daemon/store/backup_parts.h"
#include "daemon/store/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <unistd.h>

enum { PIECE = 64 * KIB, ABOUT_MAX = 64 * KIB };

struct unpacking {
        int fd;
        const char *folder;
        struct buf sums; /* as SHA256SUMS should be */
        struct tar_member member;
        struct unpacked *out;
};

static int cut_off(struct cause *cause)
{
        cause_set(cause, CAUSE_INVALID, "the archive ends too early: it was cut off");
        cause_remedy(cause, "take another backup; nothing was restored from this one");
        return -1;
}

static int damaged(struct cause *cause, const char *name)
{
        cause_set(cause, CAUSE_INVALID, "%s in the archive is not what was backed up", name);
        cause_remedy(cause, "take another backup; nothing was restored from this one");
        return -1;
}

/* 1: read whole; 0: there is nothing more at all. */
static int read_whole(int fd, void *bytes, size_t len, struct cause *cause)
{
        size_t have = 0;

        while (have < len) {
                ssize_t got = read(fd, (uint8_t *)bytes + have, len - have);
                if (got < 0 && errno == EINTR)
                        continue;
                if (got < 0)
                        return cause_errno(cause, errno, "cannot read the archive");
                if (got == 0)
                        return have ? cut_off(cause) : 0;
                have += (size_t)got;
        }
        return 1;
}

/* ---- names ---- */

/* One part of a path. */
static bool part_is_plain(const char *part, size_t len)
{
        if (!len || (len == 1 && part[0] == '.') || (len == 2 && part[0] == '.' && part[1] == '.'))
                return false;
        for (; len; len--, part++)
                if ((unsigned char)*part < ' ' || *part == 0x7f)
                        return false;
        return true;
}

static bool name_is_plain(const char *name)
{
        if (!name[0] || name[0] == '.' || backup_stays(name) || !strncmp(name, "station.db-", 11))
                return false;
        for (const char *at = name; *at; at += at[0] == '/') {
                size_t len = strcspn(at, "/");
                if (!part_is_plain(at, len) || (at[len] && !at[len + 1]))
                        return false;
                at += len;
        }
        return true;
}

/* The folders on the way to it, then the file. */
static int open_new(const struct unpacking *unpacking, struct cause *cause)
{
        scoped(scoped_free) char *path = text_of("%s/%s", unpacking->folder, unpacking->member.name);

        for (char *slash = path + strlen(unpacking->folder) + 1; (slash = strchr(slash, '/'));
             *slash++ = '/') {
                *slash = '\0';
                if (mkdir(path, 0700) < 0 && errno != EEXIST)
                        return cause_errno(cause, errno, "cannot make the folder %s", path);
        }
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                (void)cause_errno(cause, errno, "cannot write %s", path);
        return fd;
}

/* ---- members ---- */

/* Its bytes, to a file, or (fd -1) kept; hashed. */
static int take_bytes(struct unpacking *unpacking, int fd, struct buf *kept, EVP_MD_CTX *hash,
                      struct cause *cause)
{
        uint64_t left = unpacking->member.size + tar_padding(unpacking->member.size),
                 data = unpacking->member.size;
        scoped(scoped_free) uint8_t *room = new_zeroed(1, PIECE);

        while (left) {
                size_t want = left < PIECE ? (size_t)left : PIECE,
                       of_file = data < want ? (size_t)data : want;
                int got = read_whole(unpacking->fd, room, want, cause);
                if (got <= 0)
                        return got < 0 ? -1 : cut_off(cause);
                sha256_add(hash, room, of_file);
                if (kept && buf_append(kept, room, of_file) < 0)
                        return cause_set(cause, CAUSE_TOO_LARGE, "%s in the archive is too large",
                                         unpacking->member.name);
                if (fd >= 0 && disk_write(fd, room, of_file) < 0) {
                        (void)cause_errno(cause, errno, "cannot write %s", unpacking->member.name);
                        cause_remedy(cause, "make room on the disk of the state folder");
                        return -1;
                }
                left -= want;
                data -= of_file;
        }
        return 0;
}

static int take_member(struct unpacking *unpacking, int fd, struct buf *kept, struct cause *cause)
{
        scoped(sha256_free) EVP_MD_CTX *hash = NULL;
        uint8_t digest[32];
        char text[65];

        sha256_begin(&hash);
        if (take_bytes(unpacking, fd, kept, hash, cause) < 0)
                return -1;
        sha256_end(hash, digest);
        for (size_t i = 0; i < sizeof digest; i++)
                (void)snprintf(text + 2 * i, 3, "%02x", digest[i]);
        if (buf_appendf(&unpacking->sums, "%s  %s\n", text, unpacking->member.name) < 0)
                return cause_set(cause, CAUSE_TOO_LARGE, "there are too many files in the archive");
        return 0;
}

static int take_file(struct unpacking *unpacking, struct cause *cause)
{
        if (!name_is_plain(unpacking->member.name))
                return cause_set(cause, CAUSE_INVALID, "a file of the archive has a name that no backup has");
        scoped(scoped_close) int fd = open_new(unpacking, cause);
        if (fd < 0 || take_member(unpacking, fd, NULL, cause) < 0)
                return -1;
        const struct timespec times[2] = { { .tv_sec = unpacking->member.time },
                                           { .tv_sec = unpacking->member.time } };
        (void)futimens(fd, times); /* when it was received; nothing rests on it */
        unpacking->out->files++;
        unpacking->out->bytes += unpacking->member.size;
        return 0;
}

static int take_about(struct unpacking *unpacking, struct cause *cause)
{
        struct buf bytes = BUF_WITH_MAX(ABOUT_MAX);
        int result = take_member(unpacking, -1, &bytes, cause);
        json_t *about = result == 0 ? json_loadb((const char *)buf_bytes(&bytes), bytes.len, 0, NULL) : NULL;

        buf_free(&bytes);
        if (result < 0)
                return -1;
        unpacking->out->about = about;
        if (!json_is_object(about))
                return damaged(cause, BACKUP_ABOUT);
        if (json_integer_value(json_object_get(about, "format")) != BACKUP_FORMAT) {
                cause_set(cause, CAUSE_INVALID, "the archive was written by a newer emailsecd");
                cause_remedy(cause, "install that one first");
                return -1;
        }
        return 0;
}

/* The first line that differs names the file. */
static int compare_sums(const struct buf *given, const struct buf *sums, struct cause *cause)
{
        const char *one = (const char *)buf_bytes(given), *other = (const char *)buf_bytes(sums);
        size_t same = 0, least = given->len < sums->len ? given->len : sums->len;

        while (same < least && one[same] == other[same])
                same++;
        if (same == given->len && same == sums->len)
                return 0;
        while (same && other[same - 1] != '\n')
                same--;
        const char *name = memchr(other + same, ' ', sums->len - same);
        const char *end = name ? memchr(name, '\n', sums->len - (size_t)(name - other)) : NULL;
        scoped(scoped_free) char *file =
                end ? copy_bytes(name + 2, (size_t)(end - name - 2)) : copy_text(BACKUP_SUMS);
        return damaged(cause, file);
}

static int take_sums(struct unpacking *unpacking, struct cause *cause)
{
        struct buf given = BUF_WITH_MAX(LIMIT_BACKUP_SUMS), sums = unpacking->sums;

        unpacking->sums = BUF_WITH_MAX(LIMIT_BACKUP_SUMS);
        int result = take_member(unpacking, -1, &given, cause);
        if (result == 0)
                result = compare_sums(&given, &sums, cause);
        buf_free(&given);
        buf_free(&sums);
        return result;
}

/* 1: a member is next; 0: the end. */
static int next_member(struct unpacking *unpacking, struct cause *cause)
{
        uint8_t block[TAR_BLOCK];
        char records[TAR_PAX_MAX + TAR_BLOCK];
        struct tar_member said;
        size_t said_len = 0;

        for (;;) {
                int got = read_whole(unpacking->fd, block, sizeof block, cause);
                if (got <= 0)
                        return got;
                enum tar_kind kind = tar_read(block, &unpacking->member, cause);
                if (kind == TAR_BAD)
                        return -1;
                if (kind == TAR_END)
                        return said_len ? cut_off(cause) : 0;
                if (kind == TAR_FILE)
                        return said_len && tar_pax(records, said_len, &unpacking->member, cause) < 0 ? -1 : 1;
                said = unpacking->member;
                if (said_len || said.size > TAR_PAX_MAX)
                        return cause_set(cause, CAUSE_INVALID, "a pax header of the archive is damaged");
                said_len = (size_t)said.size;
                if (read_whole(unpacking->fd, records, said_len + tar_padding(said_len), cause) <= 0)
                        return cause_happened(cause) ? -1 : cut_off(cause);
        }
}

static int unpack_all(struct unpacking *unpacking, struct cause *cause)
{
        int more = next_member(unpacking, cause);

        if (more > 0 && strcmp(unpacking->member.name, BACKUP_ABOUT) != 0) {
                cause_set(cause, CAUSE_INVALID, "this is no backup of a station");
                cause_remedy(cause, "name an archive that `emailsecctl backup` has written");
                return -1;
        }
        if (more > 0 && take_about(unpacking, cause) < 0)
                return -1;
        while (more > 0 && (more = next_member(unpacking, cause)) > 0) {
                if (strcmp(unpacking->member.name, BACKUP_SUMS) == 0)
                        return take_sums(unpacking, cause);
                if (take_file(unpacking, cause) < 0)
                        return -1;
        }
        return more < 0 ? -1 : cut_off(cause);
}

int unpack_archive(int fd, const char *folder, struct unpacked *out, struct cause *cause)
{
        struct unpacking unpacking = {
                .fd = fd, .folder = folder, .sums = BUF_WITH_MAX(LIMIT_BACKUP_SUMS), .out = out
        };

        *out = (struct unpacked){ 0 };
        int result = unpack_all(&unpacking, cause);
        buf_free(&unpacking.sums);
        if (result < 0)
                json_decref(take(out->about));
        return result;
}

/* ---- away with it ---- */

static int remove_one(const char *path, unused_arg const struct stat *st, unused_arg int kind,
                      unused_arg struct FTW *where)
{
        return remove(path);
}

int remove_tree(const char *folder, struct cause *cause)
{
        enum { OPEN_FOLDERS = 16 };

        if (nftw(folder, remove_one, OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) < 0 && errno != ENOENT)
                return cause_errno(cause, errno, "cannot remove %s", folder);
        return 0;
}
