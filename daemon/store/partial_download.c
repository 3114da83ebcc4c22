/* SPDX-License-Identifier: MIT */
/*
 * Half messages in tmp/; see partial_download.h.
 *
 * The file is named FORM, 32 digits of where it comes from, and how many bytes are durable: renamed only
 * after fdatasync, so that after a power cut the name never promises more than is there; what lies behind
 * that length is overwritten. FORM says whether line ends are as they came or LF, since bytes of the one
 * cannot continue a file of the other.
 */
#include "daemon/store/partial_download.h"

#include "common/limits.h"
#include "common/names.h"
#include "daemon/store/disk.h"
#include "daemon/store/jobs.h"
#include "daemon/store/owner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FORM_LF = 'L', FORM_AS_CAME = 'C' };

/* Large ones of IMAP alone: POP3 has no way to ask for the rest. */
bool partial_is_kept(const struct mailbox_entry *entry)
{
        return !entry->uidl[0] && entry->size > MAILBOX_WHOLE && !entry->left;
}

void partial_of(const char *key, const char *folder, uint64_t uidvalidity, const struct mailbox_entry *entry,
                char half[HALF_SIZE])
{
        char source[MAILDIR_NAME_SIZE];
        scoped(scoped_free) char *size = text_of("%llu", (unsigned long long)entry->size);

        /* the name in new/ comes from the same facts but for the size, which takes the place of a UIDL */
        maildir_name(key, folder, uidvalidity, entry->uid, size, 0, source);
        (void)snprintf(half, HALF_SIZE, "%c%.32s", FORM_LF, source + 1);
}

bool partial_is_as_came(const char *name)
{
        return name[0] == FORM_AS_CAME;
}

static void name_of(const char *half, uint64_t length, char name[MAILDIR_NAME_SIZE])
{
        (void)snprintf(name, MAILDIR_NAME_SIZE, "%.33s.%llu.emailsecd", half, (unsigned long long)length);
}

/* The length that a name tells; -1: it is not one of a half message. */
static int64_t length_of(const char *name)
{
        long long length;
        int end = 0;

        if ((name[0] != FORM_LF && name[0] != FORM_AS_CAME) || strlen(name) < HALF_SIZE ||
            sscanf(name + HALF_SIZE - 1, ".%lld.emailsecd%n", &length, &end) != 1 || !end ||
            name[HALF_SIZE - 1 + end])
                return -1;
        return length;
}

static bool is_of(const char *name, const char *half)
{
        return strncmp(name + 1, half + 1, HALF_SIZE - 2) == 0 && length_of(name) >= 0;
}

static time_t written(int tmp, const char *name)
{
        struct stat st;

        return fstatat(tmp, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_mtime : 0;
}

/* Removes those of this message but `keep`, and the oldest of all while there are too many for one more.
 * Those that deliveries under way hold are fewer than the limit, and the youngest. */
static void make_room(int tmp, const struct maildir_listing *listing, const char *half, const char *keep)
{
        const char *oldest = NULL;
        time_t oldest_time = 0;
        size_t count = 0;

        for (size_t i = 0; i < listing->count; i++) {
                const char *name = listing->files[i].name;
                if (length_of(name) < 0 || same_text(name, keep))
                        continue;
                if (is_of(name, half)) {
                        (void)disk_unlink(tmp, name); /* the sweep finds it later */
                        continue;
                }
                time_t time = written(tmp, name);
                count++;
                if (!oldest || time < oldest_time) {
                        oldest = name;
                        oldest_time = time;
                }
        }
        if (count >= LIMIT_HALVES && oldest)
                (void)disk_unlink(tmp, oldest);
}

/* The descriptor, and in `name` what it is called. `from` > 0 must be continued: ENOENT where it is gone,
 * and the message is asked for from its beginning. */
int partial_open(int tmp, const char *half, uint64_t from, char name[MAILDIR_NAME_SIZE])
{
        scoped(maildir_listing_free) struct maildir_listing listing = { 0 };
        const char *found = NULL;

        if (maildir_list(tmp, false, &listing) < 0)
                return -1;
        for (size_t i = 0; i < listing.count && from; i++)
                if (is_of(listing.files[i].name, half) && (uint64_t)length_of(listing.files[i].name) >= from)
                        found = listing.files[i].name;
        make_room(tmp, &listing, half, found);
        if (from && !found) {
                errno = ENOENT;
                return -1;
        }
        if (!found) {
                name_of(half, 0, name);
                return maildir_create(tmp, name);
        }
        (void)snprintf(name, MAILDIR_NAME_SIZE, "%s", found);
        return openat(tmp, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
}

int partial_open_as_came(int tmp, const char *half, char name[MAILDIR_NAME_SIZE])
{
        name_of(half, 0, name);
        name[0] = FORM_AS_CAME;
        return maildir_create(tmp, name);
}

/* 0 bytes are not worth a file. */
int partial_keep(int tmp, int fd, uint64_t length, char name[MAILDIR_NAME_SIZE])
{
        char next[MAILDIR_NAME_SIZE];

        if (length == 0)
                return disk_unlink(tmp, name);
        name_of(name, length, next);
        if (same_text(name, next))
                return 0;
        if (disk_sync_data(fd) < 0 || disk_rename(tmp, name, tmp, next) < 0)
                return -1;
        (void)snprintf(name, MAILDIR_NAME_SIZE, "%s", next);
        return 0;
}

/* ---- finding ---- */

struct find {
        char *account, *key, *folder;
        uint64_t uidvalidity;
        struct mailbox_entry *entries;
        size_t count;
        void (*done)(void *ctx, const struct mailbox_entry *entries, size_t count);
        void *ctx;
        struct find *next; /* that waits, too */
        struct job job;
};
static unsigned keeping;     /* deliveries given up that still write what they have */
static struct find *waiting; /* for them */

/* The last byte is asked for again even where all are here: an answer to a part beyond the end is not the
 * same with all servers. */
static uint64_t from_of(const struct maildir_listing *listing, const char *half, uint64_t size)
{
        uint64_t from = 0;

        for (size_t i = 0; i < listing->count; i++) {
                const char *name = listing->files[i].name;
                if (is_of(name, half) && (uint64_t)length_of(name) > from)
                        from = (uint64_t)length_of(name);
        }
        return from < size ? from : size - 1;
}

/* File worker. What cannot be read is not found: the message comes whole. */
static void find_work(struct job *job)
{
        struct find *find = container_of(job, struct find, job);
        scoped(maildir_listing_free) struct maildir_listing listing = { 0 };
        struct maildir maildir;
        char half[HALF_SIZE];

        if (maildir_open(find->account, false, &maildir, NULL) <= 0)
                return;
        bool listed = maildir_list(maildir.tmp, false, &listing) == 0;
        for (size_t i = 0; i < find->count && listed && listing.count; i++) {
                struct mailbox_entry *entry = &find->entries[i];
                if (!partial_is_kept(entry))
                        continue;
                partial_of(find->key, find->folder, find->uidvalidity, entry, half);
                entry->from = from_of(&listing, half, entry->size);
        }
        maildir_close(&maildir);
}

static void find_done(struct job *job)
{
        struct find *find = container_of(job, struct find, job);

        find->done(find->ctx, find->entries, find->count);
        free(find->account);
        free(find->key);
        free(find->folder);
        free(find->entries);
        free(find);
}

/* A delivery that was given up still writes the half it has: whoever looks for halves waits for it, or would
 * fetch those bytes again. */
void partial_keeping(bool begins)
{
        keeping += begins ? 1 : -1u;
        while (!keeping && waiting) {
                struct find *find = waiting;
                waiting = find->next;
                store_run_files(&find->job);
        }
}

void partial_find(const char *account, const char *folder, uint64_t uidvalidity,
                  const struct mailbox_entry *entries, size_t count,
                  void (*done)(void *ctx, const struct mailbox_entry *entries, size_t count), void *ctx)
{
        struct find *find = new_object(struct find);

        *find = (struct find){ .account = copy_text(account),
                               .key = owner_key(account),
                               .folder = copy_text(folder),
                               .uidvalidity = uidvalidity,
                               .entries = new_zeroed(count, sizeof *entries),
                               .count = count,
                               .done = done,
                               .ctx = ctx,
                               .job = { .work = find_work, .done = find_done } };
        if (count)
                memcpy(find->entries, entries, count * sizeof *entries);
        if (keeping) {
                find->next = waiting;
                waiting = find;
        } else {
                store_run_files(&find->job);
        }
}
