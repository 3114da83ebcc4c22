/* SPDX-License-Identifier: MIT */
/*
 * The state folder read, and the archive written, for a backup; see backup.h. All of it on the backup's
 * thread. Files may come, go and be renamed meanwhile: one that is not there any more is left out. Whoever
 * reads the archive may be slow, or stop reading for good; a write that could wait is begun only when there
 * is room, so that giving up takes effect.
 */
#include "daemon/store/backup_parts.h"

#include "common/json_fields.h"
#include "common/printable.h"
#include "common/tar.h"
#include "common/times.h"
#include "daemon/sha256.h"
#include "daemon/store/replace_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

enum {
        PIECE = 64 * KIB,
        PIECE_OF_PIPE = 4096, /* PIPE_BUF: what fits when there is room at all */
        LOOK_EVERY = 200,     /* ms */
        PATIENCE = 5 * 60 * 1000,
        DEPTH = 8,
        RENAMES = 64, /* of one message while it is to be opened */
};

void backup_archive_open(struct archive *archive, const char *directory, const struct backup_order *order,
                         const atomic_bool *cancelled)
{
        struct stat st;

        *archive = (struct archive){
                .directory = copy_text(directory),
                .fd = order->fd,
                .patience = PATIENCE,
                .secrets = order->secrets,
                .mail = order->mail,
                .regular = fstat(order->fd, &st) == 0 && S_ISREG(st.st_mode),
                .cancelled = cancelled,
                .sums = BUF_WITH_MAX(LIMIT_BACKUP_SUMS),
        };
}

static void forget_files(struct archive *archive)
{
        for (size_t i = 0; i < archive->file_count; i++) {
                free(archive->files[i].path);
                buf_wipe(&archive->files[i].bytes);
        }
        free(take(archive->files));
        archive->file_count = 0;
        archive->gathered = 0;
}

void backup_archive_free(struct archive *archive)
{
        forget_files(archive);
        buf_free(&archive->sums);
        close_fd(&archive->fd);
        free(archive->directory);
}

/* ---- the state folder ---- */

/* `st` NULL: it was there when the folder was listed, and is not any more by that name. */
typedef int visitor(struct archive *archive, const char *path, const struct stat *st, void *arg,
                    struct cause *cause);

/* A name that can stand in a line of SHA256SUMS; all that are made here can. */
static bool is_plain(const char *name)
{
        for (const char *at = name; *at; at++)
                if ((unsigned char)*at < ' ' || *at == 0x7f || *at == '\\')
                        return false;
        return name[0] != '.';
}

/* "new" before "cur": what a mail program moves meanwhile is met in one of them. */
static int last_first(const struct dirent **one, const struct dirent **other)
{
        return strcmp((*other)->d_name, (*one)->d_name);
}

/* What is kept of a folder's content; mail/ACCOUNT/.FOLDER is a folder of a Maildir. */
static bool is_kept(const char *name, unsigned depth)
{
        return is_plain(name) || (depth == 2 && name[0] == '.' && name[1] && name[1] != '.');
}

static int walk(struct archive *archive, const char *path, unsigned depth, visitor *visit, void *arg,
                struct cause *cause)
{
        scoped(scoped_free) char *full = text_of("%s/%s", archive->directory, path);
        struct dirent **names = NULL;
        int count = scandir(full, &names, NULL, last_first), result = 0;

        if (count < 0)
                return errno == ENOENT ? 0 : cause_errno(cause, errno, "cannot read %s", full);
        for (int i = 0; i < count; i++) {
                scoped(scoped_free) char *below =
                        text_of("%s%s%s", path, path[0] ? "/" : "", names[i]->d_name);
                scoped(scoped_free) char *place = text_of("%s/%s", archive->directory, below);
                struct stat st;
                if (result < 0 || !is_kept(names[i]->d_name, depth))
                        ;
                else if (lstat(place, &st) < 0)
                        result = errno == ENOENT ? visit(archive, below, NULL, arg, cause)
                                                 : cause_errno(cause, errno, "cannot read %s", place);
                else if (S_ISREG(st.st_mode))
                        result = visit(archive, below, &st, arg, cause);
                else if (S_ISDIR(st.st_mode) && depth < DEPTH && strcmp(names[i]->d_name, "tmp") != 0)
                        result = walk(archive, below, depth + 1, visit, arg, cause);
                free(names[i]);
        }
        free(names);
        return result;
}

/* "folder/..." or the file itself. */
static bool lies_in(const char *path, const char *name)
{
        size_t len = strlen(name);

        return !strncmp(path, name, len) && (!path[len] || path[len] == '/');
}

/* ---- the small files ---- */

static int look_at(struct archive *archive unused_arg, const char *path, const struct stat *st, void *arg,
                   struct cause *cause)
{
        if (st && buf_appendf(arg, "%s %llu %lld %lld.%ld %lld.%ld\n", path, (unsigned long long)st->st_ino,
                              (long long)st->st_size, (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec,
                              (long long)st->st_ctim.tv_sec, st->st_ctim.tv_nsec) < 0)
                return cause_set(cause, CAUSE_TOO_LARGE, "there are too many files in the state folder");
        return 0;
}

int backup_archive_look(struct archive *archive, struct buf *out, struct cause *cause)
{
        static const char *const told_by[] = { "accounts", "devices", "keys", "secrets", "trust" };
        scoped(scoped_free) char *allowed = text_of("%s/allowed-hosts.json", archive->directory);
        struct stat st;

        for (size_t i = 0; i < count_of(told_by); i++)
                if (walk(archive, told_by[i], 1, look_at, out, cause) < 0)
                        return -1;
        return lstat(allowed, &st) == 0 ? look_at(archive, "allowed-hosts.json", &st, out, cause) : 0;
}

/* Of an account's secrets, the names of credentials: they are no secrets. Empty: nothing is left. */
static void leave_secrets_out(struct buf *bytes)
{
        json_t *all = json_loadb((const char *)buf_bytes(bytes), bytes->len, 0, NULL), *one;
        const char *kind;
        void *next;
        size_t kept = 0;

        json_object_foreach_safe(all, next, kind, one) {
                if (!json_is_object(one))
                        continue;
                if (json_object_get(one, "credential"))
                        kept++;
                else
                        (void)json_object_del(all, kind);
        }
        char *text = kept ? json_dumps(all, JSON_INDENT(1)) : NULL;
        json_decref(all);
        buf_wipe(bytes);
        buf_init(bytes, LIMIT_SECRET);
        if (text && buf_append_text(bytes, text) < 0)
                buf_clear(bytes);
        free_secret(text);
}

/* Of a device, all but what its password is known by. */
static void leave_device_keys_out(struct buf *bytes)
{
        json_t *device = json_loadb((const char *)buf_bytes(bytes), bytes->len, 0, NULL);
        (void)json_object_del(device, "password");
        char *text = device ? json_dumps(device, JSON_INDENT(1)) : NULL;

        json_decref(device);
        buf_wipe(bytes);
        buf_init(bytes, LIMIT_SECRET);
        if (text && buf_append_text(bytes, text) < 0)
                buf_clear(bytes);
        free_secret(text);
}

static void leave_out(const char *path, struct buf *bytes)
{
        if (lies_in(path, "secrets"))
                leave_secrets_out(bytes);
        else if (lies_in(path, "devices"))
                leave_device_keys_out(bytes);
}

bool backup_stays(const char *path)
{
        static const char *const names[] = { "lock",    "spool",     "reserve",
                                             "history", "restoring", "restoring.new" };

        for (size_t i = 0; i < count_of(names); i++)
                if (lies_in(path, names[i]))
                        return true;
        return !strncmp(path, "replaced-", 9);
}

static bool is_left_out(const struct archive *archive, const char *path)
{
        static const char *const names[] = {
                /* or put in otherwise */
                "mail", "bodies", "station.db", "station.db-wal", "station.db-shm", BACKUP_ABOUT, BACKUP_SUMS,
        };

        for (size_t i = 0; i < count_of(names); i++)
                if (lies_in(path, names[i]))
                        return true;
        return backup_stays(path) || (!archive->secrets && lies_in(path, "keys"));
}

static int gather(struct archive *archive, const char *path, const struct stat *st, unused_arg void *arg,
                  struct cause *cause)
{
        scoped(scoped_free) char *full = text_of("%s/%s", archive->directory, path);
        struct buf bytes;

        if (!st || is_left_out(archive, path))
                return 0;
        int found = read_file(full, LIMIT_BACKUP_FILES, &bytes, cause);
        if (found > 0 && !archive->secrets)
                leave_out(path, &bytes);
        if (found <= 0 || (!bytes.len && lies_in(path, "secrets"))) {
                buf_wipe(&bytes);
                return found < 0 ? -1 : 0;
        }
        archive->gathered += bytes.len;
        if (archive->gathered > LIMIT_BACKUP_FILES) {
                buf_wipe(&bytes);
                return cause_set(cause, CAUSE_TOO_LARGE,
                                 "the files of the state folder are larger than %d MiB",
                                 LIMIT_BACKUP_FILES / MIB);
        }
        archive->files = new_resized(archive->files, archive->file_count + 1, sizeof *archive->files);
        archive->files[archive->file_count++] = (struct gathered){ copy_text(path), bytes, st->st_mtime };
        return 0;
}

int backup_archive_gather(struct archive *archive, struct cause *cause)
{
        forget_files(archive);
        return walk(archive, "", 0, gather, NULL, cause);
}

/* ---- writing ---- */

/* The reader may be one that waits for us: whoever made the backup go to where he hears its answer. */
static int took_nothing(const struct archive *archive, struct cause *cause)
{
        (void)cause_set(cause, CAUSE_TIMEOUT, "the reader of the archive took nothing for %lld s",
                        (long long)archive->patience / 1000);
        cause_remedy(cause, "write it to a file, or to a program that goes on reading");
        return -1;
}

static int await_room(struct archive *archive, struct cause *cause)
{
        struct pollfd out = { .fd = archive->fd, .events = POLLOUT };
        int64_t until = time_monotonic_ms() + archive->patience;

        for (;;) {
                if (atomic_load(archive->cancelled))
                        return cause_set(cause, CAUSE_CANCELLED, "the backup was given up");
                if (archive->regular)
                        return 0;
                int ready = poll(&out, 1, LOOK_EVERY);
                if (ready > 0)
                        return 0;
                if (ready < 0 && errno != EINTR)
                        return cause_errno(cause, errno, "cannot write the archive");
                if (time_monotonic_ms() >= until)
                        return took_nothing(archive, cause);
        }
}

static int put(struct archive *archive, const void *bytes, size_t len, struct cause *cause)
{
        size_t piece = archive->regular ? PIECE : PIECE_OF_PIPE;

        for (const uint8_t *at = bytes; len;) {
                if (await_room(archive, cause) < 0)
                        return -1;
                ssize_t put = write(archive->fd, at, len < piece ? len : piece);
                if (put < 0 && errno != EINTR && errno != EAGAIN) {
                        (void)cause_errno(cause, errno, "cannot write the archive");
                        cause_remedy(cause, "see that its disk has room and that its reader goes on");
                        return -1;
                }
                at += put > 0 ? put : 0;
                len -= put > 0 ? (size_t)put : 0;
                archive->result.bytes += put > 0 ? (uint64_t)put : 0;
        }
        return 0;
}

/* The next `size` bytes of a member: from memory, else of this file. 1: the file is shorter. */
static int put_bytes(struct archive *archive, const struct buf *bytes, int fd, uint64_t size,
                     EVP_MD_CTX *hash, struct cause *cause)
{
        static const uint8_t zeros[TAR_BLOCK];
        scoped(scoped_free) uint8_t *room = bytes ? NULL : new_zeroed(1, PIECE);

        for (uint64_t left = size; left;) {
                size_t want = bytes || left < PIECE ? (size_t)left : PIECE;
                ssize_t got = bytes ? (ssize_t)want : read(fd, room, want);
                if (got < 0 && errno == EINTR)
                        continue;
                if (got <= 0)
                        return got < 0 ? cause_errno(cause, errno, "cannot read what is to be backed up")
                                       : cause_set(cause, CAUSE_STORAGE,
                                                   "a file became shorter while it was backed up");
                const void *piece = bytes ? (const void *)buf_bytes(bytes) : room;
                sha256_add(hash, piece, (size_t)got);
                if (put(archive, piece, (size_t)got, cause) < 0)
                        return -1;
                left -= (uint64_t)got;
        }
        return put(archive, zeros, tar_padding(size), cause);
}

static int put_member(struct archive *archive, const char *path, const struct buf *bytes, int fd,
                      uint64_t size, int64_t time, struct cause *cause)
{
        struct tar_member member = { .size = size, .time = time };
        struct buf header = BUF_WITH_MAX(TAR_PAX_MAX + 4 * TAR_BLOCK);
        uint8_t digest[32] = { 0 };
        char text[65];
        scoped(sha256_free) EVP_MD_CTX *hash = NULL;
        int result = -1;

        sha256_begin(&hash);
        (void)snprintf(member.name, sizeof member.name, "%s", path);
        if (strlen(path) >= sizeof member.name || tar_header(&member, &header) < 0)
                (void)cause_set(cause, CAUSE_INTERNAL, "%s cannot be put into the archive", path);
        else if (put(archive, buf_bytes(&header), header.len, cause) == 0 &&
                 put_bytes(archive, bytes, fd, size, hash, cause) == 0)
                result = 0;
        sha256_end(hash, digest);
        buf_free(&header);
        for (size_t i = 0; i < sizeof digest; i++)
                (void)snprintf(text + 2 * i, 3, "%02x", digest[i]);
        if (result == 0 && buf_appendf(&archive->sums, "%s  %s\n", text, path) < 0)
                result = cause_set(cause, CAUSE_TOO_LARGE, "there are too many files");
        archive->result.files += result == 0;
        return result;
}

/* A mail program has changed the flags at the end of its name since the folder was listed: the name that it
 * has now, below the state folder; the caller frees. NULL: it has gone, or to another folder, which is met
 * later. */
static char *renamed(const struct archive *archive, const char *path)
{
        size_t folder_len = (size_t)(strrchr(path, '/') - path),
               base_len = strcspn(path + folder_len + 1, ":");
        scoped(scoped_free) char *folder = text_of("%s/%.*s", archive->directory, (int)folder_len, path);
        struct dirent **names = NULL;
        int count = scandir(folder, &names, NULL, NULL);
        char *found = NULL;

        for (int i = 0; i < count; i++) {
                const char *name = names[i]->d_name;
                if (!found && !strncmp(name, path + folder_len + 1, base_len) &&
                    (!name[base_len] || name[base_len] == ':') && is_plain(name))
                        found = text_of("%.*s/%s", (int)folder_len, path, name);
                free(names[i]);
        }
        free(names);
        return found;
}

static int open_below(const struct archive *archive, const char *path)
{
        scoped(scoped_free) char *full = text_of("%s/%s", archive->directory, path);

        return open(full, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
}

static int put_mail(struct archive *archive, const char *path, unused_arg const struct stat *st,
                    unused_arg void *arg, struct cause *cause)
{
        scoped(scoped_free) char *name = copy_text(path);
        scoped(scoped_close) int fd = open_below(archive, name);
        struct stat now;

        for (int i = 0; i < RENAMES && fd < 0 && errno == ENOENT; i++) {
                free(name);
                name = renamed(archive, path);
                if (!name)
                        return 0;
                fd = open_below(archive, name);
        }
        if (fd < 0 || fstat(fd, &now) < 0)
                return errno == ENOENT ? 0 : cause_errno(cause, errno, "cannot read %s", path);
        if (!S_ISREG(now.st_mode))
                return 0;
        return put_member(archive, name, NULL, fd, (uint64_t)now.st_size, now.st_mtime, cause);
}

static int put_about(struct archive *archive, struct cause *cause)
{
        struct buf bytes = BUF_WITH_MAX(4 * KIB);
        json_t *about = json_object();
        char made[32], host[256] = "";
        time_t now = time(NULL);
        struct tm utc;

        (void)gethostname(host, sizeof host - 1);
        (void)strftime(made, sizeof made, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
        json_put(about, "format", json_integer(BACKUP_FORMAT));
        json_put_text(about, "version", VERSION);
        json_put_text(about, "made", made);
        json_put_text(about, "host", utf8_valid(host, strlen(host)) ? host : "");
        json_put(about, "secrets", json_boolean(archive->secrets));
        json_put(about, "mail", json_boolean(archive->mail));
        char *text = json_dumps(about, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
        json_decref(about);
        int result = buf_append_text(&bytes, text) < 0
                             ? cause_set(cause, CAUSE_INTERNAL, "too long")
                             : put_member(archive, BACKUP_ABOUT, &bytes, -1, bytes.len, now, cause);
        free(text);
        buf_free(&bytes);
        return result;
}

/* The end of a tar archive is two blocks of zeros. */
static int put_end(struct archive *archive, struct cause *cause)
{
        static const uint8_t zeros[2 * TAR_BLOCK];
        struct buf sums = archive->sums;

        archive->sums = BUF_WITH_MAX(LIMIT_BACKUP_SUMS); /* that file has no line of its own */
        int result = put_member(archive, BACKUP_SUMS, &sums, -1, sums.len, time(NULL), cause);
        buf_free(&sums);
        return result < 0 ? -1 : put(archive, zeros, sizeof zeros, cause);
}

int backup_archive_write(struct archive *archive, int database, struct cause *cause)
{
        struct stat st;

        if (put_about(archive, cause) < 0)
                return -1;
        for (size_t i = 0; i < archive->file_count; i++) {
                const struct gathered *file = &archive->files[i];
                if (put_member(archive, file->path, &file->bytes, -1, file->bytes.len, file->time, cause) < 0)
                        return -1;
        }
        if (fstat(database, &st) < 0)
                return cause_errno(cause, errno, "cannot read the copy of station.db");
        if (put_member(archive, "station.db", NULL, database, (uint64_t)st.st_size, st.st_mtime, cause) < 0 ||
            (archive->mail && walk(archive, "mail", 1, put_mail, NULL, cause) < 0))
                return -1;
        return put_end(archive, cause);
}
