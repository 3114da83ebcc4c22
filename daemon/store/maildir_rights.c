/* SPDX-License-Identifier: MIT */
/*
 * The rights of received mail; see maildir_rights.h. The folder `mail` alone is opened and closed: what is in
 * it is always made for a group to read. What lies in a folder is brought in line before the folder itself:
 * one that is right needs no look at its files.
 */
#include "daemon/store/maildir_rights.h"

#include "daemon/journal.h"
#include "daemon/messages.h"
#include "daemon/store/jobs.h"
#include "daemon/store/maildir_folder.h"
#include "daemon/store/replace_file.h"
#include "daemon/store/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
        FOLDER_OPEN = 02750,
        FOLDER_CLOSED = 0700,
        FILE_OPEN = 0640,
        DEPTH = 3, /* mail/ACCOUNT/.FOLDER/new */
};

static atomic_bool some_readers;
static _Atomic gid_t readers;
static bool told; /* loop: maildir_readers() was called */
static char *group_name;

/* ---- any thread ---- */

/* A folder inherits the bit from its parent; where the service manager's sandbox does not let anybody set it,
 * the group is what counts. */
static int open_folder(int fd, const struct stat *st)
{
        gid_t group = atomic_load(&readers);

        if (st->st_gid != group && fchown(fd, (uid_t)-1, group) < 0)
                return -1;
        if ((st->st_mode & 07777) == FOLDER_OPEN || fchmod(fd, FOLDER_OPEN) == 0 ||
            (st->st_mode & 0777) == (FOLDER_OPEN & 0777))
                return 0;
        return fchmod(fd, FOLDER_OPEN & 0777);
}

static bool is_right(const struct stat *st)
{
        return st->st_gid == atomic_load(&readers) && (st->st_mode & 0777) == (FOLDER_OPEN & 0777);
}

int maildir_folder_make(const char *path, int *fd, struct cause *cause)
{
        struct stat st;

        if (make_folder(path, FOLDER_OPEN & 0777, cause) < 0)
                return -1;
        *fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (*fd < 0)
                return cause_errno(cause, errno, "cannot open the folder %s", path);
        if (atomic_load(&some_readers) && fstat(*fd, &st) == 0)
                (void)open_folder(*fd, &st); /* at worst it stays closed; told at start */
        return 1;
}

int maildir_create(int tmp, const char *name)
{
        gid_t group = atomic_load(&readers);
        int fd = openat(tmp, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, FILE_OPEN);

        if (fd >= 0 && atomic_load(&some_readers) && group != getegid())
                (void)!fchown(fd, (uid_t)-1, group); /* at worst it stays closed */
        return fd;
}

/* ---- bringing in line; file pool ---- */

struct fit {
        bool some;
        int error; /* why the group cannot be given */
        struct job job;
};

static int fit_file(int fd, const struct stat *st)
{
        gid_t group = atomic_load(&readers);

        if (st->st_gid != group && fchown(fd, (uid_t)-1, group) < 0)
                return -1;
        return (st->st_mode & 0777) == FILE_OPEN ? 0 : fchmod(fd, FILE_OPEN);
}

static int fit_folder(int fd, unsigned depth);

/* Nothing but messages is in it. */
static bool is_part(const char *name)
{
        return strcmp(name, "new") == 0 || strcmp(name, "cur") == 0 || strcmp(name, "tmp") == 0;
}

static int fit_entry(int folder, const char *name, unsigned depth, bool folder_right)
{
        scoped(scoped_close) int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return 0; /* it has gone, or is a link: not ours */
        if (S_ISDIR(st.st_mode))
                return depth == DEPTH || (is_part(name) && is_right(&st)) ? 0 : fit_folder(fd, depth + 1);
        return S_ISREG(st.st_mode) && !folder_right ? fit_file(fd, &st) : 0;
}

static int fit_folder(int fd, unsigned depth)
{
        struct stat st;
        const struct dirent *entry;
        int result = 0;

        if (fstat(fd, &st) < 0)
                return -1;
        bool right = is_right(&st);
        scoped(maildir_directory_close) DIR *directory = maildir_directory_open(fd);
        if (!directory)
                return -1;
        while (result == 0 && !store_closing() && (entry = readdir(directory)))
                if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
                    (!right || entry->d_type != DT_REG))
                        result = fit_entry(fd, entry->d_name, depth, right);
        return result < 0 || store_closing() ? result : open_folder(fd, &st);
}

/* Through the state folder, but not a look into it: as its group, or else as anybody. */
static int let_through(const char *directory)
{
        struct stat st;

        if (stat(directory, &st) < 0)
                return -1;
        mode_t way = st.st_gid == atomic_load(&readers) ? 0010 : 0001;
        return st.st_mode & way ? 0 : chmod(directory, (st.st_mode & 07777) | way);
}

static void fit_work(struct job *job)
{
        struct fit *fit = container_of(job, struct fit, job);
        scoped(scoped_free) char *path = text_of("%s/mail", store_directory());
        scoped(scoped_close) int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        if (fd < 0)
                fit->error = errno;
        else if (!fit->some)
                (void)!fchmod(fd, FOLDER_CLOSED); /* nobody gets at what is in it */
        else if (fit_folder(fd, 0) < 0 || let_through(store_directory()) < 0)
                fit->error = errno;
        if (fit->error && fd >= 0)
                (void)!fchmod(fd, FOLDER_CLOSED);
}

static void fit_done(struct job *job)
{
        struct fit *fit = container_of(job, struct fit, job);
        struct cause cause = { 0 };
        struct subject subject = { .cause = &cause };

        if (fit->error) {
                atomic_store(&some_readers, false);
                (void)cause_errno(&cause, fit->error,
                                  "group %s (ReadGroup=) is not given the right to read received mail",
                                  group_name ? group_name : "");
                cause_remedy(&cause, "make the daemon's user a member of that group (SupplementaryGroups= of "
                                     "emailsecd.service), "
                                     "and own the folder mail");
                log_about(&subject, LOG_WARNING, MSG_DISK_FAULT, "%s", cause.text);
        }
        free(fit);
}

static void fit_all(void)
{
        struct fit *fit = new_object(struct fit);

        *fit = (struct fit){ .some = atomic_load(&some_readers),
                             .job = { .work = fit_work, .done = fit_done } };
        store_run_files(&fit->job);
}

/* ---- loop ---- */

void maildir_readers(bool some, gid_t group, const char *name)
{
        free(group_name);
        group_name = copy_text(name);
        atomic_store(&readers, group);
        atomic_store(&some_readers, some);
        told = true;
        if (store_directory() && store_file_workers())
                fit_all();
}

void maildir_rights_open(void)
{
        if (told)
                fit_all();
}
