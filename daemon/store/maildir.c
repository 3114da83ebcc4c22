/* SPDX-License-Identifier: MIT */
/* The Maildir of an account: folders, names made here, listing, sweeping of tmp/. */
#include "daemon/store/maildir.h"

#include "common/limits.h"
#include "common/names.h"
#include "daemon/sha256.h"
#include "daemon/store/disk.h"
#include "daemon/store/inbox_id.h"
#include "daemon/store/jobs.h"
#include "daemon/store/maildir_folder.h"
#include "daemon/store/maildir_rights.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TEMPORARY_LIFE = 36 * 3600 }; /* seconds: the Maildir custom */

/* ---- folders ---- */

char *maildir_place(const char *account, const char *box)
{
        return box && box[0] ? text_of("%s/%s", account, box) : copy_text(account);
}

static bool is_there(const char *whole, const char *part)
{
        scoped(scoped_free) char *path = text_of("%s/%s", whole, part);

        return access(path, F_OK) == 0;
}

int maildir_open(const char *account, bool make, struct maildir *maildir, struct cause *cause)
{
        const struct {
                const char *name;
                int *fd;
        } parts[] = { { "tmp", &maildir->tmp }, { "new", &maildir->new }, { "cur", &maildir->cur } };

        *maildir = MAILDIR_CLOSED;
        scoped(scoped_free) char *whole = text_of("%s/mail/%s", store_directory(), account);
        scoped(scoped_close) int fd = -1;
        /* A part that is missing beside others was empty when somebody copied the Maildir (an archive has
         * files alone). */
        if (!make && !is_there(whole, "new") && !is_there(whole, "cur"))
                return 0;
        if (make && maildir_folder_make(whole, &fd, cause) < 0)
                return -1;
        for (size_t i = 0; i < count_of(parts); i++) {
                scoped(scoped_free) char *path = text_of("%s/%s", whole, parts[i].name);
                if (maildir_folder_make(path, parts[i].fd, cause) < 0) {
                        maildir_close(maildir);
                        return -1;
                }
        }
        return 1;
}

void maildir_close(struct maildir *maildir)
{
        close_fd(&maildir->tmp);
        close_fd(&maildir->new);
        close_fd(&maildir->cur);
}

DIR *maildir_directory_open(int folder)
{
        int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *directory = fd < 0 ? NULL : fdopendir(fd);

        if (!directory)
                close_fd(&fd);
        return directory;
}

void maildir_directory_close(DIR **directory)
{
        if (*directory)
                (void)closedir(take(*directory));
}

/* Links lead elsewhere. */
void maildir_each_box(const char *account, void (*each)(void *ctx, const char *box), void *ctx)
{
        scoped(scoped_free) char *path = text_of("%s/mail/%s", store_directory(), account);
        scoped(maildir_directory_close) DIR *directory = opendir(path);
        const struct dirent *entry;
        int count = 0;

        each(ctx, "");
        while (directory && count < LIMIT_BOXES && (entry = readdir(directory))) {
                if (entry->d_name[0] != '.' || !entry->d_name[1] || strcmp(entry->d_name, "..") == 0 ||
                    entry->d_type == DT_REG || entry->d_type == DT_LNK)
                        continue;
                each(ctx, entry->d_name);
                count++;
        }
}

/* ---- names ---- */

#define OURS_END ".emailsecd"

size_t maildir_base_length(const char *file)
{
        return strcspn(file, ":");
}

void maildir_name(const char *key, const char *folder, uint64_t uidvalidity, uint32_t uid, const char *uidl,
                  int64_t generation, char name[MAILDIR_NAME_SIZE])
{
        /* Account names hold no line end, UIDLs no blank; so no two sources give one text. */
        scoped(scoped_free) char *source =
                text_of("%s\n%llu %u %lld %s\n%s", key, (unsigned long long)uidvalidity, uid,
                        (long long)generation, uidl, folder);
        uint8_t digest[32];
        char hex[33];

        sha256_of(source, strlen(source), digest);
        hex_print(digest, 16, hex);
        (void)snprintf(name, MAILDIR_NAME_SIZE, "U%s" OURS_END, hex);
}

bool maildir_is_ours(const char *file)
{
        enum { DIGITS = 32 };

        return file[0] == 'U' && maildir_base_length(file) == 1 + DIGITS + strlen(OURS_END) &&
               strspn(file + 1, "0123456789abcdef") >= DIGITS &&
               memcmp(file + 1 + DIGITS, OURS_END, strlen(OURS_END)) == 0;
}

void maildir_temporary_name(time_t now, char name[MAILDIR_NAME_SIZE])
{
        static atomic_uint counter;

        (void)snprintf(name, MAILDIR_NAME_SIZE, "%lld.P%dQ%u.emailsecd", (long long)now, (int)getpid(),
                       atomic_fetch_add(&counter, 1));
}

void maildir_id(const char *file, char id[INBOX_ID_SIZE])
{
        inbox_id_print(inbox_id(file), id);
}

/* ---- listing ---- */

static int compare_bases(const char *a, size_t a_len, const char *b, size_t b_len)
{
        int order = memcmp(a, b, a_len < b_len ? a_len : b_len);

        return order ? order : (a_len > b_len) - (a_len < b_len);
}

static int by_base(const void *a, const void *b)
{
        const struct maildir_file *one = a, *two = b;

        return compare_bases(one->name, one->base, two->name, two->base);
}

void maildir_listing_sort(struct maildir_listing *listing)
{
        if (listing->count)
                qsort(listing->files, listing->count, sizeof *listing->files, by_base);
}

int maildir_list(int folder, bool in_new, struct maildir_listing *listing)
{
        scoped(maildir_directory_close) DIR *directory = maildir_directory_open(folder);
        const struct dirent *entry;

        if (!directory)
                return -1;
        for (errno = 0; (entry = readdir(directory)); errno = 0) {
                if (entry->d_name[0] == '.')
                        continue;
                if ((listing->count & (listing->count - 1)) == 0)
                        listing->files =
                                new_resized(listing->files, 2 * listing->count + 1, sizeof *listing->files);
                listing->files[listing->count++] = (struct maildir_file){
                        .name = copy_text(entry->d_name),
                        .base = maildir_base_length(entry->d_name),
                        .in_new = in_new,
                };
        }
        if (errno)
                return -1;
        maildir_listing_sort(listing);
        return 0;
}

const struct maildir_file *maildir_find(const struct maildir_listing *listing, const char *name)
{
        struct maildir_file key = { .name = (char *)(uintptr_t)name, .base = maildir_base_length(name) };

        return listing->count ? bsearch(&key, listing->files, listing->count, sizeof *listing->files, by_base)
                              : NULL;
}

int maildir_keep_present(int folder, struct maildir_listing *listing)
{
        scoped(maildir_directory_close) DIR *directory = maildir_directory_open(folder);
        scoped(scoped_free) bool *present = new_zeroed(listing->count + 1, sizeof *present);
        const struct dirent *entry;
        size_t kept = 0;

        if (!directory)
                return -1;
        for (errno = 0; (entry = readdir(directory)); errno = 0) {
                const struct maildir_file *file = maildir_find(listing, entry->d_name);
                if (file)
                        present[file - listing->files] = true;
        }
        if (errno)
                return -1;
        for (size_t i = 0; i < listing->count; i++) {
                if (present[i])
                        listing->files[kept++] = listing->files[i];
                else
                        free(listing->files[i].name);
        }
        listing->count = kept;
        return 0;
}

void maildir_listing_free(struct maildir_listing *listing)
{
        for (size_t i = 0; i < listing->count; i++)
                free(listing->files[i].name);
        free(take(listing->files));
        listing->count = 0;
}

/* ---- what is certain ---- */

struct certain {
        char *account, *folder;
        struct certain *next;
};
static struct certain *certain;
static bool files_alone;

static bool is_for(const struct certain *one, const char *account, const char *folder)
{
        return same_text(one->account, account) && (!folder || same_text(one->folder, folder));
}

void maildir_trust_files(bool alone)
{
        files_alone = alone;
}

bool maildir_is_certain(const char *account, const char *folder)
{
        if (files_alone)
                return false;
        for (const struct certain *one = certain; one; one = one->next)
                if (is_for(one, account, folder))
                        return true;
        return false;
}

void maildir_make_certain(const char *account, const char *folder)
{
        if (files_alone || maildir_is_certain(account, folder))
                return;
        struct certain *one = new_object(struct certain);
        *one = (struct certain){ copy_text(account), copy_text(folder), certain };
        certain = one;
}

static void drop_certain(struct certain **link)
{
        struct certain *one = *link;

        *link = one->next;
        free(one->account);
        free(one->folder);
        free(one);
}

void maildir_doubt(const char *account, const char *folder)
{
        struct certain **link = &certain;

        while (*link) {
                if (is_for(*link, account, folder))
                        drop_certain(link);
                else
                        link = &(*link)->next;
        }
}

void maildir_end(void)
{
        while (certain)
                drop_certain(&certain);
}

/* ---- sweeping ---- */

struct sweep {
        char *account;
        time_t now;
        struct job job;
};

/* Left by a daemon before this one, which was killed: there is one at a time. */
static bool is_orphan(const char *name)
{
        long long time;
        unsigned number;
        int pid, end = 0;

        return sscanf(name, "%lld.P%dQ%u.emailsecd%n", &time, &pid, &number, &end) == 3 && end &&
               name[end] == '\0' && pid != (int)getpid();
}

static void sweep_work(struct job *job)
{
        struct sweep *sweep = container_of(job, struct sweep, job);
        struct maildir maildir;
        struct maildir_listing listing = { 0 };
        struct stat st;

        if (maildir_open(sweep->account, false, &maildir, NULL) <= 0)
                return;
        if (maildir_list(maildir.tmp, false, &listing) == 0) {
                for (size_t i = 0; i < listing.count; i++) {
                        const char *name = listing.files[i].name;
                        if (fstatat(maildir.tmp, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                            S_ISREG(st.st_mode) &&
                            (is_orphan(name) || st.st_mtime < sweep->now - TEMPORARY_LIFE))
                                (void)disk_unlink(maildir.tmp, name); /* the next sweep tries again */
                }
        }
        maildir_listing_free(&listing);
        maildir_close(&maildir);
}

static void sweep_done(struct job *job)
{
        struct sweep *sweep = container_of(job, struct sweep, job);

        free(sweep->account);
        free(sweep);
}

void maildir_sweep(const char *account)
{
        struct sweep *sweep = new_object(struct sweep);

        *sweep = (struct sweep){ .account = copy_text(account),
                                 .now = loop_wall(),
                                 .job = { .work = sweep_work, .done = sweep_done } };
        store_run_files(&sweep->job);
}
